"""The primitives of NIR 1.0: which fields each has, read and checked one by one.

The graph of a NIR file: nested graphs opened out, edges checked, layers of neurons put in the order
in which a step runs them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...core.arrays import DIVERGED, Floats, real_array
from ...core.errors import RefsimError, listed
from ..hdf5 import Tree

_CONV = ("weight", "stride", "padding", "dilation", "groups", "bias")
_POOL = ("kernel_size", "stride", "padding")
# Kind -> the fields that it needs, and those that it may leave out.
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
LARGEST = 1 << 18  # numbers in one signal: what 512 of them need stays below a gigabyte


@dataclass(frozen=True)
class Node:
    """A primitive, its numbers float64 and finite.

    Attributes
    ----------
    name : str
        ``"a"``, or ``"sub.a"`` inside a subgraph.
    kind : str
        A key of ``FIELDS``; "Pass" for what only hands on: the Input and Output of a subgraph.
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
        """Return a field as n whole numbers, where one stands for all."""
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
        For a type that NIR 1.0 does not have, a field that is missing, surplus, or no finite
        number.
    """
    here = f"{where}: node '{name}'"
    kind = kind_of(entry, here)
    if kind not in FIELDS:
        raise RefsimError(
            f"{here}: is of type '{kind}', which refsim does not read; of NIR it reads NIRGraph, "
            f"{listed(FIELDS)}."
        )
    assert isinstance(entry, dict)
    needed, optional = FIELDS[kind]
    here = f"{here} ({kind})"
    if missing := [field for field in needed if field not in entry]:
        raise RefsimError(f"{here}: lacks {listed(missing)}; needed are {', '.join(needed)}.")
    if surplus := set(entry) - {*needed, *optional, "type"}:
        raise RefsimError(
            f"{here}: has {listed(surplus)}, which NIR does not give it; it has "
            f"{', '.join((*needed, *optional))}."
        )
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
    values |= {
        field: np.array(_ABSENT[field])
        for field in optional
        if field in _ABSENT and field not in entry
    }
    return Node(name, kind, values, word, here)


def kind_of(entry: object, where: str) -> str:
    """Return the type that a node says."""
    kind = entry.get("type") if isinstance(entry, dict) else None
    if not isinstance(kind, str):
        raise RefsimError(
            f"{where}: says no type; a node of NIR is a group with a text named type."
        )
    return kind


def _numbers(field: str, value: "Tree | object", where: str) -> Floats:
    if not isinstance(value, np.ndarray):
        raise RefsimError(
            f"{where} must be numbers, but is {'a group' if isinstance(value, dict) else 'text'}."
        )
    array = real_array(value, where, cure=DIVERGED)
    if array.size == 0:
        raise RefsimError(f"{where} holds no number; its shape is {array.shape}.")
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


_LONGEST = 2000  # nodes; a graph of more is none that a person drew
Edge = tuple[str, str]


@dataclass(frozen=True)
class Graph:
    """Nodes by name and the edges between them, as one flat graph.

    Attributes
    ----------
    nodes : dict of str to Node
    edges : tuple of (source, target)
    source, sink : str
        Names of its Input and its Output.
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
        after: dict[str, list[str]] = {name: [] for name in self.nodes}
        before: dict[str, list[str]] = {name: [] for name in self.nodes}
        for source, target in self.edges:
            after[source].append(target)
            before[target].append(source)
        return after, before

    def after(self, name: str) -> list[str]:
        """Return the nodes that hear of a node."""
        return self._ends[0][name]

    def before(self, name: str) -> list[str]:
        """Return the nodes that a node hears of."""
        return self._ends[1][name]

    @property
    def neurons(self) -> list[str]:
        """Names of the nodes that are layers of neurons."""
        return [name for name, node in self.nodes.items() if node.kind in NEURONS]

    @property
    def shown(self) -> str | None:
        """The one node that the Output shows as it is.

        None where it shows a sum, or what a linear map makes.
        """
        heard = self.before(self.sink)
        while len(heard) == 1 and self.nodes[heard[0]].kind == "Pass":
            heard = self.before(heard[0])
        return heard[0] if len(heard) == 1 and self.nodes[heard[0]].kind in NEURONS else None

    def receivers(self, name: str) -> set[str]:
        """Return the layers, and perhaps the Output, that hear of a node with nothing but linear
        maps between.
        """
        found: set[str] = set()
        seen, open_ = {name}, list(self.after(name))
        while open_:
            each = open_.pop()
            if each == self.sink or self.nodes[each].kind in NEURONS:
                found.add(each)
            elif each not in seen:
                seen.add(each)
                open_ += self.after(each)
        return found


def read_graph(tree: Tree, where: str) -> Graph:
    """Read the graph of a file.

    Raises
    ------
    RefsimError
        For what is no NIR graph, an edge that dangles, or a graph without one Input and one Output.
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
    nodes: dict[str, Node] = {}
    edges: dict[Edge, None] = {}
    ends = _open_out(tree["node"], "", nodes, edges, where)
    source, sink = (
        _only(names, kind, where) for names, kind in zip(ends, ("Input", "Output"), strict=True)
    )
    graph = Graph(nodes, tuple(edges), source, sink, where)
    _check_ends(graph)
    return graph


def _open_out(
    entry: object, prefix: str, nodes: dict[str, Node], edges: dict[Edge, None], where: str
) -> tuple[list[str], list[str]]:
    """Add the nodes and edges of a graph, and of those inside it.

    Return the names of its Inputs and Outputs.
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
    for name, each in entry["nodes"].items():
        full = prefix + name
        if isinstance(each, dict) and each.get("type") == "NIRGraph":
            doors[full] = _open_out(each, f"{full}.", nodes, edges, where)
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
    if isinstance(value, np.ndarray) and value.size == 0:
        return []
    if not isinstance(value, list) or not all(len(row) == 2 for row in value):
        raise RefsimError(f"{where}: edges must be pairs of names of nodes, a source and a target.")
    return [(source, target) for source, target in value]


def _door(
    name: str, doors: Mapping[str, tuple[list[str], list[str]]], side: int, where: str
) -> str:
    """Return where an edge to or from a subgraph leads: to its one Input, from its one Output."""
    return (
        name
        if name not in doors
        else _only(doors[name][side], ("Input", "Output")[side], f"{where}: graph '{name}'")
    )


def _only(names: list[str], kind: str, where: str) -> str:
    if len(names) != 1:
        what = (
            f"has {len(names)} ({listed(names)}), and no order says which is which"
            if names
            else "has none"
        )
        raise RefsimError(f"{where}: a graph that refsim reads has one {kind}, but this {what}.")
    return names[0]


def _check_ends(graph: Graph) -> None:
    if heard := graph.before(graph.source):
        raise RefsimError(
            f"{graph.where}: an edge leads from '{heard[0]}' into the Input '{graph.source}'."
        )
    if hears := graph.after(graph.sink):
        raise RefsimError(
            f"{graph.where}: an edge leads from the Output '{graph.sink}' to '{hears[0]}'."
        )
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
    """Return the nodes between the neurons so that each comes after those it hears of.

    Raises
    ------
    RefsimError
        Where they form a circle without a neuron in it.
    """
    waiting = {
        name: {each for each in graph.before(name) if _between(graph, each)}
        for name in graph.nodes
        if _between(graph, name)
    }
    order: list[str] = []
    while waiting:
        free = [name for name, before in waiting.items() if not before - set(order)]
        if not free:
            raise RefsimError(
                f"{graph.where}: the edges between {listed(waiting)} form a circle without a "
                "neuron in it; nothing in it takes a step of time."
            )
        order += free
        waiting = {name: before for name, before in waiting.items() if name not in free}
    return order


def _between(graph: Graph, name: str) -> bool:
    return name not in (graph.source, graph.sink) and graph.nodes[name].kind not in NEURONS


@dataclass(frozen=True)
class SortedLayers:
    """Layers in the order in which a step runs them, and the edges between layers that reach back.

    Attributes
    ----------
    layers : tuple of str
    back : set of (source, target)
        Spikes on these arrive in the next step: within a loop, those to a layer that is not farther
        from the Input.
    """

    layers: tuple[str, ...]
    back: frozenset[Edge]


def sort_layers(graph: Graph) -> SortedLayers:
    """Put the layers in order; what is in no loop comes after all that it hears of, and in a loop
    the nearer to the Input is first.

    Where nothing hears of the layer that the Output shows, it is the last.
    """
    heard = {name: graph.receivers(name) - {graph.sink} for name in (graph.source, *graph.neurons)}
    depth = _depths(heard, graph.source)
    if deaf := [name for name in graph.neurons if name not in depth]:
        raise RefsimError(
            f"{graph.nodes[deaf[0]].where}: no path of edges leads to it from the Input."
        )
    reached = {name: _downstream(heard, name) for name in graph.neurons}
    before = {
        name: {name, *(other for other in graph.neurons if name in reached[other])}
        for name in graph.neurons
    }
    last = graph.shown if graph.shown and not heard[graph.shown] else None
    layers = sorted(
        graph.neurons, key=lambda name: (name == last, len(before[name]), depth[name], name)
    )
    back = frozenset(
        (source, target)
        for source in layers
        for target in heard[source]
        if source in reached[target] and depth[target] <= depth[source]
    )
    return SortedLayers(tuple(layers), back)


def _depths(heard: Mapping[str, set[str]], source: str) -> dict[str, int]:
    depth, edge = {source: 0}, [source]
    while edge:
        following = {target for name in edge for target in heard[name]} - set(depth)
        depth |= dict.fromkeys(following, depth[edge[0]] + 1)
        edge = sorted(following)
    return depth


def _downstream(heard: Mapping[str, set[str]], name: str) -> set[str]:
    reached: set[str] = set()
    open_ = [name]
    while open_:
        new = heard[open_.pop()] - reached
        reached |= new
        open_ += new
    return reached
