"""From node to node through a NIR graph: the shape of every signal, and what each layer hears of each, as weights."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...arrays import Floats, Ints
from ...errors import RefsimError
from .affine import unit_answers
from .nir_graph import Graph, linear_order
from .nir_maps import Delays, Shape, mapped, shape_behind
from .nir_nodes import INTEGRATORS, NEURONS, Node

Shapes = Mapping[str, Shape]
Signals = dict[int, Tensor]  # what arrives, by its delay in steps
_WEIGHTS = 1 << 28  # numbers in all weights: 2 GiB


class Heard(NamedTuple):
    """What a layer hears of a source: weight (n_target, n_source), and the delay in steps, of all or of each of the source, (n_source,)."""

    source: str
    weight: Floats
    delay: Ints


class Arrivals(NamedTuple):
    """What arrives at each layer: what it hears of others, and its bias (n_target,)."""

    heard: Mapping[str, list[Heard]]
    biases: Mapping[str, Floats]


def infer_shapes(graph: Graph) -> Shapes:
    """Return the shape of what each node gives.

    Raises
    ------
    RefsimError
        Where two ends of an edge do not fit together, or an edge leads on the membrane of a neuron that never fires.
    """
    order = linear_order(graph)
    shapes: dict[str, Shape] = {graph.source: _said(graph.nodes[graph.source])}
    shapes |= {name: own for name in graph.neurons if (own := _own_shape(graph.nodes[name])) is not None}
    waiting = [name for name in (*graph.neurons, *order, graph.sink) if name not in shapes]
    while waiting:
        ready = [name for name in waiting if any(each in shapes for each in graph.before(name))]
        if not ready:
            raise RefsimError(f"{graph.nodes[waiting[0]].where}: nothing says the shape of its signal; give its parameters one value a neuron.")
        for name in ready:
            given = next(shapes[each] for each in graph.before(name) if each in shapes)
            shapes[name] = given if name == graph.sink or graph.nodes[name].kind in NEURONS else shape_behind(graph.nodes[name], given)
        waiting = [name for name in waiting if name not in shapes]
    for source, target in graph.edges:
        _check_edge(graph, shapes, source, target)
    return shapes


def _said(node: Node) -> Shape:
    shape = node.whole("shape", node.values["shape"].size)
    if math.prod(shape) > _WEIGHTS:
        raise RefsimError(f"{node.where}: its shape {shape} is of {math.prod(shape):,} numbers, more than any network here.")
    return shape


def _own_shape(node: Node) -> Shape | None:
    """Return the shape that the parameters of a layer say; None where each is one value for all neurons."""
    shapes = {field: array.shape for field, array in node.values.items() if array.size > 1}
    if len(set(shapes.values())) > 1:
        raise RefsimError(f"{node.where}: its parameters have different shapes, {', '.join(f'{field} {shape}' for field, shape in shapes.items())}.")
    return next(iter(shapes.values()), None)


def _check_edge(graph: Graph, shapes: Shapes, source: str, target: str) -> None:
    node, given = graph.nodes[target], shapes[source]
    takes = _said(node) if target == graph.sink else shapes[target] if node.kind in NEURONS else given
    if given != takes:
        raise RefsimError(f"{graph.where}: the edge from '{source}' to '{target}' does not fit: '{source}' gives {given}, '{target}' takes {takes}.")
    if node.kind not in NEURONS and target != graph.sink and shape_behind(node, given) != shapes[target]:
        raise RefsimError(f"{node.where}: what leads to it has different shapes, {given} from '{source}' among them.")


def _check_membranes(graph: Graph, layers: Sequence[str]) -> None:
    """Refuse a neuron that never fires, where it is not simply what the Output shows."""
    for name in graph.neurons:
        heard = sorted(graph.heard_by(name) - ({graph.sink} if graph.sink not in layers else set()))
        if graph.nodes[name].kind in INTEGRATORS and heard:
            raise RefsimError(
                f"{graph.nodes[name].where}: its membrane is led on to '{heard[0]}'; layers here hear of spikes, and a neuron that never fires has none."
            )


def arrivals(graph: Graph, shapes: Shapes, layers: Sequence[str], dt: float) -> Arrivals:
    """Measure what each layer, perhaps the Output among them, hears of the Input and of each layer, on unit inputs.

    Raises
    ------
    RefsimError
        Where a delay is no whole number of steps, a membrane is led on, or the weights need more memory than any network here.
    """
    _check_membranes(graph, layers)
    bench = _Bench(graph, shapes, layers, dt)
    heard: dict[str, list[Heard]] = {name: [] for name in layers}
    with torch.no_grad():
        silence = bench.arriving({}, 1, bias=True)
        biases = {name: _sum(silence[name], shapes[name]).numpy() for name in layers}
        for source in (graph.source, *graph.neurons):
            for target, weights in bench.weights(source).items():
                heard[target] += _axonal(source, weights)
    return Arrivals(heard, biases)


def _axonal(source: str, weights: Mapping[int, Floats]) -> list[Heard]:
    """Return weights by their delay as one, where each source has one delay only."""
    used = np.array([weight.any(axis=0) for weight in weights.values()])
    if len(weights) > 1 and (used.sum(axis=0) <= 1).all():
        return [Heard(source, np.sum(list(weights.values()), axis=0), np.array(list(weights))[used.argmax(axis=0)])]
    return [Heard(source, weight, np.array(delay)) for delay, weight in weights.items()]


def _sum(signals: Signals, shape: Shape) -> Tensor:
    """Return what arrives in all, whatever its delay: a bias is there from the start."""
    total = torch.zeros(math.prod(shape), dtype=torch.float64)
    for x in signals.values():
        total = total + x.reshape(-1)
    return total


class _Bench:
    """The linear nodes of a graph, run on numbers put in at any of its layers."""

    def __init__(self, graph: Graph, shapes: Shapes, layers: Sequence[str], dt: float) -> None:
        self.graph, self.shapes, self.layers, self.order = graph, shapes, layers, linear_order(graph)
        self.delays = {name: Delays.of(node, shapes[name], dt) for name, node in graph.nodes.items() if node.kind == "Delay"}
        self.n_weights = 0

    def weights(self, source: str) -> dict[str, dict[int, Floats]]:
        """Return the weights of all that hear of one source, by target and delay."""
        n = math.prod(self.shapes[source])
        probe = self.arriving({source: torch.zeros(1, n, dtype=torch.float64)}, 1, bias=False)
        keys = [(target, delay) for target, signals in probe.items() for delay in signals]
        self.n_weights += sum(n * math.prod(self.shapes[target]) for target, _ in keys)
        if self.n_weights > _WEIGHTS:
            raise RefsimError(
                f"{self.graph.nodes[source].where}: the weights from it, a number for each pair of neurons and each delay, bring the network to {self.n_weights:,} numbers; at most {_WEIGHTS:,} are read."
            )

        def answers(x: Tensor) -> list[Tensor]:
            arriving = self.arriving({source: x}, len(x), bias=False)
            return [arriving[target][delay].flatten(1) for target, delay in keys]

        made: dict[str, dict[int, Floats]] = {}
        for (target, delay), rows in zip(keys, unit_answers(answers, n) if keys else [], strict=True):
            made.setdefault(target, {})[delay] = np.ascontiguousarray(rows.T)
        return made

    def arriving(self, given: Mapping[str, Tensor], n_samples: int, *, bias: bool) -> dict[str, Signals]:
        """Return what arrives at each layer and at the Output for numbers (n_samples, n) that sources give."""
        made: dict[str, Signals] = {name: {0: x.reshape(n_samples, *self.shapes[name])} for name, x in given.items()}
        for name in self.order:
            node, signals = self.graph.nodes[name], self._summed(name, made)
            if not signals and not (bias and "bias" in node.values):
                continue
            if name in self.delays:
                made[name] = self.delays[name].split(signals)
                continue
            signals = signals or {0: torch.zeros(n_samples, *self._given(name), dtype=torch.float64)}
            first = min(signals)
            made[name] = {delay: mapped(node, x, self.shapes[name], bias and delay == first) for delay, x in signals.items()}
        return {name: self._summed(name, made) for name in self.layers}

    def _given(self, name: str) -> Shape:
        return self.shapes[self.graph.before(name)[0]]

    def _summed(self, name: str, made: Mapping[str, Signals]) -> Signals:
        total: Signals = {}
        for each in self.graph.before(name):
            for delay, x in made.get(each, {}).items():
                total[delay] = total[delay] + x if delay in total else x
        return total
