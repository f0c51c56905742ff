"""The graph of a NIR file: its nodes, its edges, and the order in which a step runs its layers.

`read_node` checks the fields of one primitive of NIR 1.0. `read_graph` flattens nested graphs and
checks the edges. `sort_linear_nodes` and `sort_layers` say in which order a step runs them.
"""

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

import numpy as np

from ...core.arrays import DIVERGED, Floats, real_array
from ...core.errors import RefsimError, listed
from ..hdf5 import Tree

_CONV = ("weight", "stride", "padding", "dilation", "groups", "bias")
_POOL = ("kernel_size", "stride", "padding")
# The fields that each kind of node needs, and those that it may leave out.
FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Input": (("shape",), ()),
    "Output": (("shape",), ()),
    "Affine": (("weight", "bias"), ()),
    "Linear": (("weight",), ()),
    "Scale": (("scale",), ()),
    "Conv1d": (_CONV, ("input_shape",)),
    "Conv2d": (_CONV, ("input_shape",)),
    "SumPool2d": (_POOL, ()),
    "AvgPool2d": (_POOL, ()),
    "Flatten": (("start_dim", "end_dim"), ("input_type",)),
    "Delay": (("delay",), ()),
    "Threshold": (("threshold",), ()),
    "I": (("r",), ()),
    "IF": (("r", "v_threshold"), ("v_reset",)),
    "LI": (("tau", "r", "v_leak"), ()),
    "LIF": (("tau", "r", "v_leak", "v_threshold"), ("v_reset",)),
    "CubaLI": (("tau_syn", "tau_mem", "r", "v_leak"), ("w_in",)),
    "CubaLIF": (("tau_syn", "tau_mem", "r", "v_leak", "v_threshold"), ("v_reset", "w_in")),
}
INTEGRATORS = ("I", "LI", "CubaLI")  # their membrane is their output
FIRING = ("IF", "LIF", "CubaLIF")
NEURONS = (*INTEGRATORS, *FIRING, "Threshold")
_ABSENT = {"v_reset": 0.0, "w_in": 1.0}  # what NIR says of a field that is left out
_COUNTS = {
    "stride",
    "padding",
    "dilation",
    "groups",
    "kernel_size",
    "start_dim",
    "end_dim",
    "shape",
    "input_shape",
    "input_type",
}
_MAY_BE_NEGATIVE = {"start_dim", "end_dim"}
_WORDS = ("same", "valid")
LARGEST = 1 << 18  # numbers in one signal; 512 signals then need less than a gigabyte


@dataclass(frozen=True)
class Node:
    """One primitive, whose numbers are float64 and finite.

    Attributes
    ----------
    name : str
        ``"a"``, or ``"sub.a"`` inside a subgraph.
    kind : str
        A key of ``FIELDS``, or "Pass" for the Input and Output of a subgraph, which change nothing.
    values : dict of str to float64 array
    padding : str
        "same" or "valid", where the padding is a word.
    where : str
        The node in a message.
    """

    name: str
    kind: str
    values: Mapping[str, Floats]
    padding: str
    where: str

    def whole(self, field: str, n: int) -> tuple[int, ...]:
        """Return a field as n whole numbers; a single one stands for all."""
        flat = self.values[field].reshape(-1)
        if flat.size not in (1, n):
            raise RefsimError(
                f"{self.where}: {field} must be {n} whole numbers or one, but has shape "
                f"{self.values[field].shape}."
            )
        return tuple(int(value) for value in np.broadcast_to(flat, n))


def read_node(name: str, entry: object, where: str) -> Node:
    """Read one node of a graph.

    Raises
    ------
    RefsimError
        Where NIR 1.0 does not have the type, or a field is missing, surplus, NaN or infinite.
    """
    here = f"{where}: node '{name}'"
    kind = kind_of(entry, here)
    if kind not in FIELDS:
        raise RefsimError(
            f"{here}: is of type '{kind}', which refsim does not read; of NIR it reads NIRGraph, "
            f"{listed(FIELDS)}."
        )
    assert isinstance(entry, dict)
    # NIR 1.0 has fixed fields; any other means another version.
    needed, optional = FIELDS[kind]
    here = f"{here} ({kind})"
    if missing := [field for field in needed if field not in entry]:
        raise RefsimError(f"{here}: lacks {listed(missing)}; needed are {', '.join(needed)}.")
    if surplus := set(entry) - {*needed, *optional, "type"}:
        raise RefsimError(
            f"{here}: has {listed(surplus)}, which NIR does not give it; it has "
            f"{', '.join((*needed, *optional))}."
        )
    # Padding alone may be a word in place of numbers.
    padding = entry.get("padding")
    word = padding if isinstance(padding, str) else ""
    if word and word not in _WORDS:
        raise RefsimError(
            f"{here}: padding must be whole numbers, 'same' or 'valid', but is {word[:40]!r}."
        )
    values = {
        field: _numbers(field, entry[field], f"{here}: {field}")
        for field in (*needed, *optional)
        if field in entry and not (word and field == "padding")
    }
    # A field that is left out has the value that NIR gives it.
    values |= {
        field: np.array(_ABSENT[field])
        for field in optional
        if field in _ABSENT and field not in entry
    }
    return Node(name, kind, values, word, here)


def kind_of(entry: object, where: str) -> str:
    """Return the type of a node."""
    kind = entry.get("type") if isinstance(entry, dict) else None
    if not isinstance(kind, str):
        raise RefsimError(
            f"{where}: says no type; a node of NIR is a group with a text named type."
        )
    return kind


def _numbers(field: str, value: object, where: str) -> Floats:
    """Return the numbers of a field; those that count something must be whole."""
    if not isinstance(value, np.ndarray):
        raise RefsimError(
            f"{where} must be numbers, but is {'a group' if isinstance(value, dict) else 'text'}."
        )
    array = real_array(value, where, cure=DIVERGED)
    if array.size == 0:
        raise RefsimError(f"{where} holds no number; its shape is {array.shape}.")
    # Strides and shapes count something; a huge one would ask for any amount of memory.
    if field in _COUNTS:
        least = 0 if field == "padding" else 1
        if (
            array.ndim > 1
            or (array != np.round(array)).any()
            or (field not in _MAY_BE_NEGATIVE and array.min() < least)
            or np.abs(array).max() > LARGEST
        ):
            raise RefsimError(
                f"{where} must be whole numbers from {least} to {LARGEST:,}, but is "
                f"{_short(array)}."
            )
    return array


def _short(array: Floats) -> str:
    return np.array2string(array, threshold=6) if array.ndim < 2 else f"of shape {array.shape}"


_LONGEST = 2000  # nodes; no person draws a graph of more
Edge = tuple[str, str]


@dataclass(frozen=True)
class Graph:
    """Nodes by name and the edges between them, as one flat graph.

    Attributes
    ----------
    nodes : dict of str to Node
    edges : tuple of (source, target)
    source, sink : str
        The names of its Input and its Output.
    where : str
        The file in a message.
    """

    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]
    source: str
    sink: str
    where: str

    @cached_property
    def _ends(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """The nodes behind each node, and those before it."""
        after: dict[str, list[str]] = {name: [] for name in self.nodes}
        before: dict[str, list[str]] = {name: [] for name in self.nodes}
        for source, target in self.edges:
            after[source].append(target)
            before[target].append(source)
        return after, before

    def after(self, name: str) -> list[str]:
        """Return the nodes to which an edge leads from a node."""
        return self._ends[0][name]

    def before(self, name: str) -> list[str]:
        """Return the nodes from which an edge leads to a node."""
        return self._ends[1][name]

    @property
    def neurons(self) -> list[str]:
        """Names of the nodes that are layers of neurons."""
        return [name for name, node in self.nodes.items() if node.kind in NEURONS]

    @property
    def shown(self) -> str | None:
        """The one layer that the Output shows unchanged; None where it shows a sum or a map."""
        before = self.before(self.sink)
        while len(before) == 1 and self.nodes[before[0]].kind == "Pass":
            before = self.before(before[0])
        return before[0] if len(before) == 1 and self.nodes[before[0]].kind in NEURONS else None

    def receivers(self, name: str) -> set[str]:
        """Return the layers, and perhaps the Output, that a node reaches by linear maps alone."""
        found: set[str] = set()
        seen, waiting = {name}, list(self.after(name))
        while waiting:
            each = waiting.pop()
            if each == self.sink or self.nodes[each].kind in NEURONS:
                found.add(each)
            elif each not in seen:
                seen.add(each)
                waiting += self.after(each)
        return found


def read_graph(tree: Tree, where: str) -> Graph:
    """Read the graph of a file.

    Raises
    ------
    RefsimError
        Where the file is no NIR graph, an edge leads to no node, or the graph does not have exactly
        one Input and one Output.
    """
    if surplus := set(tree) - {"node", "version"}:
        raise RefsimError(
            f"{where}: has {listed(surplus)} at its top, which a file of NIR does not have; it "
            "has node and version."
        )
    if "node" not in tree:
        raise RefsimError(f"{where}: has no entry 'node'; it is HDF5, but no graph of NIR.")
    if (kind := kind_of(tree["node"], where)) != "NIRGraph":
        raise RefsimError(
            f"{where}: holds a single {kind[:40]} and no NIRGraph; a network has an Input, an "
            "Output and edges."
        )
    # A dict keeps the edges in their order, and shows one that stands there twice.
    nodes: dict[str, Node] = {}
    edges: dict[Edge, None] = {}
    ends = _flatten(tree["node"], "", nodes, edges, where)
    source, sink = (
        _only(names, kind, where) for names, kind in zip(ends, ("Input", "Output"), strict=True)
    )
    graph = Graph(nodes, tuple(edges), source, sink, where)
    _check_ends(graph)
    return graph


def _flatten(
    entry: object, prefix: str, nodes: dict[str, Node], edges: dict[Edge, None], where: str
) -> tuple[list[str], list[str]]:
    """Add the nodes and edges of a graph, and of the graphs inside it, to flat ones.

    Returns
    -------
    tuple of list of str
        The names of its Inputs, and of its Outputs.
    """
    here = f"{where}: graph '{prefix[:-1]}'" if prefix else where
    assert isinstance(entry, dict)
    if missing := {"nodes", "edges"} - set(entry):
        raise RefsimError(f"{here}: lacks {listed(missing)}; a NIRGraph has nodes and edges.")
    if surplus := set(entry) - {"nodes", "edges", "type"}:
        raise RefsimError(
            f"{here}: has {listed(surplus)}, which a NIRGraph does not have; it has nodes and "
            "edges."
        )
    if not isinstance(entry["nodes"], dict):
        raise RefsimError(f"{here}: nodes must be a group, a group in it for each node.")
    inputs: list[str] = []
    outputs: list[str] = []
    doors: dict[str, tuple[list[str], list[str]]] = {}
    # A graph inside this one is entered through its Input, and left through its Output.
    for name, each in entry["nodes"].items():
        full = prefix + name
        if isinstance(each, dict) and each.get("type") == "NIRGraph":
            doors[full] = _flatten(each, f"{full}.", nodes, edges, where)
            continue
        node = read_node(full, each, where)
        {"Input": inputs, "Output": outputs}.get(node.kind, []).append(full)
        if full in nodes:
            raise RefsimError(
                f"{where}: two nodes are named '{full}', one of them inside a subgraph; give one "
                "another name."
            )
        nodes[full] = (
            Node(full, "Pass", {}, "", node.where)
            if prefix and node.kind in ("Input", "Output")
            else node
        )
        if len(nodes) > _LONGEST:
            raise RefsimError(f"{where}: has more than {_LONGEST:,} nodes.")
    # Edges come last, when all nodes are known.
    known = {*(prefix + name for name in entry["nodes"])}
    for source, target in _pairs(entry["edges"], here):
        for end in (source, target):
            if prefix + end not in known:
                raise RefsimError(
                    f"{here}: the edge from '{source}' to '{target}' leads to no node: there is "
                    f"no '{end}'; nodes are {listed(entry['nodes'])}."
                )
        edge = (_door(prefix + source, doors, 1, where), _door(prefix + target, doors, 0, where))
        if edge in edges:
            raise RefsimError(f"{here}: the edge from '{source}' to '{target}' stands there twice.")
        edges[edge] = None
    return inputs, outputs


def _pairs(value: object, where: str) -> Iterable[Edge]:
    """Return the edges of a graph; a graph without any has an empty array of numbers."""
    if isinstance(value, np.ndarray) and value.size == 0:
        return []
    if not isinstance(value, list) or not all(len(row) == 2 for row in value):
        raise RefsimError(f"{where}: edges must be pairs of names of nodes, a source and a target.")
    return [(source, target) for source, target in value]


def _door(
    name: str, doors: Mapping[str, tuple[list[str], list[str]]], side: int, where: str
) -> str:
    """Return the node at the end of an edge: of a subgraph, its one Input or its one Output."""
    return (
        name
        if name not in doors
        else _only(doors[name][side], ("Input", "Output")[side], f"{where}: graph '{name}'")
    )


def _only(names: list[str], kind: str, where: str) -> str:
    """Return the one Input or Output of a graph."""
    if len(names) != 1:
        what = (
            f"has {len(names)} ({listed(names)}), and no order says which is which"
            if names
            else "has none"
        )
        raise RefsimError(f"{where}: a graph that refsim reads has one {kind}, but this {what}.")
    return names[0]


def _check_ends(graph: Graph) -> None:
    """Refuse edges into the Input or out of the Output, and nodes that lack edges."""
    if before := graph.before(graph.source):
        raise RefsimError(
            f"{graph.where}: an edge leads from '{before[0]}' into the Input '{graph.source}'."
        )
    if after := graph.after(graph.sink):
        raise RefsimError(
            f"{graph.where}: an edge leads from the Output '{graph.sink}' to '{after[0]}'."
        )
    # Every other node needs something in front of it, and a linear map something behind it.
    for name, node in graph.nodes.items():
        if name != graph.source and not graph.before(name):
            raise RefsimError(
                f"{node.where}: nothing leads to it; a node without an edge to it is wired "
                "wrongly, or is to be left out."
            )
        if name != graph.sink and node.kind not in NEURONS and not graph.after(name):
            raise RefsimError(
                f"{node.where}: leads nowhere; add an edge to the Output or to a neuron, or "
                "leave the node out."
            )


def sort_linear_nodes(graph: Graph) -> list[str]:
    """Return the nodes between the neurons so that each comes after all those before it.

    Raises
    ------
    RefsimError
        Where they form a circle without a neuron in it.
    """
    between = [name for name in graph.nodes if _between(graph, name)]
    rank = {name: index for index, name in enumerate(between)}
    sorter = TopologicalSorter(
        {name: [each for each in graph.before(name) if each in rank] for name in between}
    )
    # The sorter still gives what lies before a circle, and so shows what is caught behind it.
    with contextlib.suppress(CycleError):
        sorter.prepare()
    found: list[str] = []
    while free := sorted(sorter.get_ready(), key=rank.__getitem__):
        found += free
        sorter.done(*free)
    if caught := [name for name in between if name not in found]:
        raise RefsimError(
            f"{graph.where}: the edges between {listed(caught)} form a circle without a "
            "neuron in it; nothing in it takes a step of time."
        )
    return found


def _between(graph: Graph, name: str) -> bool:
    """Return whether a node is a linear map, and neither a layer nor an end of the graph."""
    return name not in (graph.source, graph.sink) and graph.nodes[name].kind not in NEURONS


@dataclass(frozen=True)
class SortedLayers:
    """Layers in the order in which a step runs them, and the edges between them that lead back.

    Attributes
    ----------
    layers : tuple of str
    back : set of (source, target)
        Edges whose spikes arrive in the next step: within a loop, those to a layer that is not
        farther from the Input.
    """

    layers: tuple[str, ...]
    back: frozenset[Edge]


def sort_layers(graph: Graph) -> SortedLayers:
    """Return the layers in the order in which a step runs them.

    A layer that is in no loop comes after all those that lead to it. Within a loop, the layer that
    is nearer to the Input comes first. The layer that the Output shows is the last one, where it
    leads to no other.

    Raises
    ------
    RefsimError
        Where no path of edges leads to a layer from the Input.
    """
    targets = {
        name: graph.receivers(name) - {graph.sink} for name in (graph.source, *graph.neurons)
    }
    # Only layers that the Input reaches can run.
    depth = _depths(targets, graph.source)
    if deaf := [name for name in graph.neurons if name not in depth]:
        raise RefsimError(
            f"{graph.nodes[deaf[0]].where}: no path of edges leads to it from the Input."
        )
    reached = {name: _downstream(targets, name) for name in graph.neurons}
    # Layers of one loop lie before each other, and have equally many before them.
    before = {
        name: {name, *(other for other in graph.neurons if name in reached[other])}
        for name in graph.neurons
    }
    last = graph.shown if graph.shown and not targets[graph.shown] else None
    layers = sorted(
        graph.neurons, key=lambda name: (name == last, len(before[name]), depth[name], name)
    )
    # Within a loop, an edge back to a layer that is not farther takes a step.
    back = frozenset(
        (source, target)
        for source in layers
        for target in targets[source]
        if source in reached[target] and depth[target] <= depth[source]
    )
    return SortedLayers(tuple(layers), back)


def _depths(targets: Mapping[str, set[str]], source: str) -> dict[str, int]:
    """Return how many edges each layer is away from the Input."""
    depth, edge = {source: 0}, [source]
    while edge:
        following = {target for name in edge for target in targets[name]} - set(depth)
        depth |= dict.fromkeys(following, depth[edge[0]] + 1)
        edge = sorted(following)
    return depth


def _downstream(targets: Mapping[str, set[str]], name: str) -> set[str]:
    """Return all layers that a layer leads to, by however many edges."""
    reached: set[str] = set()
    waiting = [name]
    while waiting:
        new = targets[waiting.pop()] - reached
        reached |= new
        waiting += new
    return reached
