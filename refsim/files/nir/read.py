"""A .nir file becomes a Network, once the caller says what NIR leaves open.

NIR is a graph of differential equations and has no step. Its files do not say how the reset of
their neurons was trained, nor what a spike does to the next neuron. The caller gives all this
(`NirOptions`), and nothing is guessed. `load_nir` reads the file.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...cards.frameworks import framework_layers
from ...cards.neuron import NeuronModel
from ...core.arrays import Floats
from ...core.errors import RefsimError, option
from ...networks.connection import Connection, wire
from ...networks.network import Network, make_layer, positive_time
from ..hdf5 import read_tree
from ..per_neuron import part_shared
from .graph import FIRING, INTEGRATORS, Graph, Node, SortedLayers, read_graph, sort_layers
from .wiring import Arrivals, arrivals, infer_shapes

WHAT = "NIR file"
# The values of each option, and what each value means. The cards equations/frameworks/nir_*.toml
# hold what each does to a step.
OPTIONS: dict[str, dict[str, str]] = {
    "reset": {
        "to v_reset": "as NIR writes it",
        "to zero": "whatever v_reset says",
        "by subtraction": "of v_threshold",
    },
    "integration": {
        "euler": "forward Euler, all states from those before the step",
        "euler, current first": "as Euler, but the membrane takes the current of the new step",
        "zero-order hold": (
            "the exact solution for an input held over the step, spikes found and reset at its end"
        ),
        "exact spike times": "the same, spikes and resets at their own times within the step",
        "impulse": (
            "the exact solution for spikes that are impulses of charge 1, at the end of the step"
        ),
    },
    "spikes": {
        "one": "at most one a step, as NIR writes it",
        "many": "as many as v_threshold fits into the membrane",
    },
    "comparison": {">": "as NIR writes it", ">=": "fires at the threshold too"},
}


@dataclass(frozen=True)
class NirOptions:
    """What NIR leaves open, as the caller says it; None where the caller does not.

    Attributes
    ----------
    dt : float
        Seconds a step.
    reset, integration, spikes, comparison : str or None
        One of ``OPTIONS`` each.
    """

    dt: float
    reset: str | None = None
    integration: str | None = None
    spikes: str = "one"
    comparison: str = ">"

    @classmethod
    def of(cls, where: str, dt: object, **options: object) -> "NirOptions":
        """Check the options of a call.

        Raises
        ------
        RefsimError
            Where dt is missing, or an option has an unknown value.
        """
        if dt is None:
            raise RefsimError(
                f"{where}: NIR says no duration of a step; give {option('dt', '1 ms')}, or what "
                "was meant in training."
            )
        for name, value in options.items():
            if value is not None and (not isinstance(value, str) or value not in OPTIONS[name]):
                raise RefsimError(
                    f"{where}: {name} must be one of {', '.join(map(repr, OPTIONS[name]))}, but "
                    f"is {value!r}."
                )
        said = {name: str(value) for name, value in options.items() if value is not None}
        return cls(positive_time(dt, f"{where}: dt"), **said)

    def needed(self, name: str, node: Node) -> str:
        """Return an option that a node cannot be read without."""
        value: str | None = getattr(self, name)
        if value is None:
            meanings = "; ".join(
                f"{choice!r}, {meaning}" for choice, meaning in OPTIONS[name].items()
            )
            first = next(iter(OPTIONS[name]))
            how = option(name, first, f"--convention {name}={first!r}")
            raise RefsimError(
                f"{node.where}: NIR leaves open how its neurons were {_OPEN[name]}. Give one, as "
                f"in {how}: {meanings}."
            )
        return value


_OPEN = {"reset": "reset, for other resets are written as this one too", "integration": "stepped"}


def load_nir(path: str | Path, dt: object = None, **options: object) -> Network:
    """Read a .nir file.

    Parameters
    ----------
    path : path
    dt : float or str
        Duration of a step, ``"1 ms"``.
    reset, integration, spikes, comparison : str, optional
        One of ``OPTIONS`` each. Every neuron but Threshold needs `integration`, and every neuron
        that fires needs `reset`. The other two are as NIR writes them, "one" spike a step and ">".

    Returns
    -------
    Network

    Notes
    -----
    Membranes start at 0. Spikes arrive at another layer in the same step. Within a loop of layers,
    spikes to a layer that is not farther from the Input arrive in the next step. A Delay adds to
    that.

    Raises
    ------
    RefsimError
        Where an option is missing, the file is damaged or hostile, or a node cannot be read.
    """
    where = f"{WHAT} {path}"
    # The options are checked first: without dt no file can be read.
    reading = NirOptions.of(where, dt, **options)
    graph = read_graph(read_tree(path, WHAT, skip=frozenset({"metadata"})), where)
    order = sort_layers(graph)
    shapes = infer_shapes(graph)
    # Where the Output shows a sum or a map, it becomes a layer of its own.
    shown = bool(order.layers) and graph.shown == order.layers[-1]
    layers = [*order.layers, *([] if shown else [graph.sink])]
    found = arrivals(graph, shapes, layers, reading.dt)
    numbers = {name: index for index, name in enumerate(layers)}
    # Each layer becomes a row: connections, bias, card and parameters.
    rows = []
    for name in layers:
        node = graph.nodes[name]
        model, own = _neurons(node, shapes[name], reading)
        wires = wire(_connections(name, found, numbers, order, graph), numbers[name], len(layers))
        rows.append(make_layer(wires, found.biases[name], model, own, name=f"'{name}'"))
    try:
        return Network.of(rows, reading.dt)
    except RefsimError as error:
        raise RefsimError(f"{where}: {error}") from None


def _neurons(
    node: Node, shape: tuple[int, ...], reading: NirOptions
) -> tuple[NeuronModel, dict[str, Floats]]:
    """Return the card of a node, and the parameters that differ from neuron to neuron, (n,)."""
    options: dict[str, object] = {
        "fires": node.kind not in INTEGRATORS,
        "spikes": reading.spikes,
        "comparison": reading.comparison,
    }
    kind = node.kind
    if node.kind in (*FIRING, *INTEGRATORS):
        options["integration"] = reading.needed("integration", node)
        options["reset"] = reading.needed("reset", node) if node.kind in FIRING else None
        kind = f"{node.kind}, {options['integration']}"
    # The card is chosen by kind and integration, and its options by the rest.
    card = framework_layers()["nir", kind]
    model = card.model(options, node.where)
    # A reset to zero ignores the v_reset of the file.
    same, own = part_shared(
        {
            parameter: np.broadcast_to(node.values[field], shape).reshape(-1)
            for parameter, field in card.attributes.items()
            if parameter in model.parameters
            and field in node.values
            and not (field == "v_reset" and reading.reset == "to zero")
        }
    )
    try:
        return model.with_parameters(**same), own
    except RefsimError as error:
        raise RefsimError(f"{node.where}: {error}") from None


def _connections(
    name: str, found: Arrivals, numbers: dict[str, int], order: SortedLayers, graph: Graph
) -> list[Connection]:
    """Return the connections of a layer; an edge that leads back in a loop takes one step more."""
    return [
        Connection(
            each.weight,
            source="input" if each.source == graph.source else numbers[each.source],
            delay=each.delay + ((each.source, name) in order.back),
        )
        for each in found.received[name]
    ]
