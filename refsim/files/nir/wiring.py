"""What lies between the neurons of a NIR graph: the shape of every signal, and the weights.

`shape_behind` and `mapped` follow one linear node, and `Delays` one Delay. `infer_shapes` goes
through the whole graph. `arrivals` then runs the nodes in PyTorch on unit inputs, and so measures
the weight from each layer to each other.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...core.arrays import Floats, Ints
from ...core.errors import RefsimError
from ..affine import join_delays, unit_answers
from .graph import INTEGRATORS, LARGEST, NEURONS, Graph, Node, sort_linear_nodes

Shape = tuple[int, ...]
# Part of a step; in float32, decimal times such as 3e-4 are no closer to whole steps of 1e-4.
_WHOLE = 1e-6


def shape_behind(node: Node, shape: Shape) -> Shape:
    """Return the shape of the output of a linear node, for the shape of its input.

    Raises
    ------
    RefsimError
        Where the input does not fit, or the output is too large or empty.
    """
    made = _shape(node, shape)
    if min(made, default=1) < 1 or math.prod(made) > LARGEST:
        raise RefsimError(
            f"{node.where}: makes {made} of {shape}; a signal has from 1 to {LARGEST:,} numbers."
        )
    return made


def _shape(node: Node, shape: Shape) -> Shape:
    kind = node.kind
    if kind in ("Affine", "Linear"):
        weight = node.values["weight"].shape
        if len(weight) < 2:
            raise RefsimError(
                f"{node.where}: weight must be (n_out, n_in), but has shape {weight}."
            )
        # A weight may have leading axes, one matrix for each place of the signal.
        return _taken(node, shape, (*weight[:-2], weight[-1]), (*weight[:-2], weight[-2]))
    if kind in ("Scale", "Delay"):
        own = node.values["scale" if kind == "Scale" else "delay"]
        return shape if own.size == 1 else _taken(node, shape, own.shape, shape)
    if kind in ("Conv1d", "Conv2d"):
        return _convolved(node, shape)
    if kind in ("SumPool2d", "AvgPool2d"):
        return _pooled(node, shape)
    return _flattened(node, shape) if kind == "Flatten" else shape


def _taken(node: Node, given: Shape, own: Shape, made: Shape) -> Shape:
    if given != own:
        raise RefsimError(f"{node.where}: takes {own}, but what leads to it gives {given}.")
    return made


def _convolved(node: Node, shape: Shape) -> Shape:
    """Return the shape behind a convolution."""
    n, weight, groups = int(node.kind[4]), node.values["weight"].shape, node.whole("groups", 1)[0]
    if len(weight) != n + 2 or weight[0] % groups or node.values["bias"].shape != (weight[0],):
        raise RefsimError(
            f"{node.where}: weight must be (n_out, n_in/groups, "
            f"{'height, width' if n == 2 else 'length'}) and bias (n_out,), but have shapes "
            f"{weight} and {node.values['bias'].shape}, with groups = {groups}."
        )
    if len(shape) != n + 1 or shape[0] != weight[1] * groups:
        raise RefsimError(
            f"{node.where}: takes {weight[1] * groups} channels of {n} dimensions, but what "
            f"leads to it gives {shape}."
        )
    if "input_shape" in node.values and node.whole("input_shape", n) != shape[1:]:
        raise RefsimError(
            f"{node.where}: says input_shape {node.whole('input_shape', n)}, but what leads to "
            f"it gives {shape[1:]}."
        )
    # The extent of a kernel is how far its last weight lies from its first.
    stride, dilation = node.whole("stride", n), node.whole("dilation", n)
    extent = [d * (k - 1) for d, k in zip(dilation, weight[2:], strict=True)]
    # Same padding keeps the shape, and NIR does not define it for a stride.
    if node.padding == "same":
        if set(stride) != {1}:
            raise RefsimError(
                f"{node.where}: padding 'same' is defined for stride 1 alone, but stride is "
                f"{stride}."
            )
        return (weight[0], *shape[1:])
    padding = (0,) * n if node.padding else node.whole("padding", n)
    _check_padded(node, shape, padding)
    return (
        weight[0],
        *(
            (size + 2 * p - e - 1) // s + 1
            for size, p, e, s in zip(shape[1:], padding, extent, stride, strict=True)
        ),
    )


def _pooled(node: Node, shape: Shape) -> Shape:
    """Return the shape behind a pool."""
    if len(shape) != 3:
        raise RefsimError(
            f"{node.where}: takes (channels, height, width), but what leads to it gives {shape}."
        )
    if node.padding:
        raise RefsimError(f"{node.where}: padding must be whole numbers, but is '{node.padding}'.")
    # Libraries differ in how padding counts in an average, and NIR does not settle it.
    kernel, stride, padding = (
        node.whole(field, 2) for field in ("kernel_size", "stride", "padding")
    )
    if node.kind == "AvgPool2d" and any(padding):
        raise RefsimError(
            f"{node.where}: averages with padding {padding}, and NIR does not say whether the "
            "padding counts; use SumPool2d and a Scale."
        )
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise RefsimError(
            f"{node.where}: padding {padding} is more than half of the kernel {kernel}; some of "
            "its sums would be of padding alone."
        )
    _check_padded(node, shape, padding)
    return (
        shape[0],
        *(
            (size + 2 * p - k) // s + 1
            for size, p, k, s in zip(shape[1:], padding, kernel, stride, strict=True)
        ),
    )


def _check_padded(node: Node, shape: Shape, padding: Shape) -> None:
    if (
        math.prod((shape[0], *(size + 2 * p for size, p in zip(shape[1:], padding, strict=True))))
        > LARGEST
    ):
        raise RefsimError(
            f"{node.where}: pads {shape} by {padding}; a signal has at most {LARGEST:,} numbers."
        )


def _flattened(node: Node, shape: Shape) -> Shape:
    if (
        "input_type" in node.values
        and (said := node.whole("input_type", node.values["input_type"].size)) != shape
    ):
        raise RefsimError(
            f"{node.where}: says input_type {said}, but what leads to it gives {shape}."
        )
    # Dimensions may be negative, and count from the end as in PyTorch.
    first, last = (
        node.whole(field, 1)[0] % len(shape)
        if -len(shape) <= node.whole(field, 1)[0] < len(shape)
        else -1
        for field in ("start_dim", "end_dim")
    )
    if not 0 <= first <= last:
        raise RefsimError(
            f"{node.where}: cannot flatten {shape} from dimension "
            f"{node.whole('start_dim', 1)[0]} to {node.whole('end_dim', 1)[0]}; NIR counts "
            "without the batch."
        )
    return (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])


def mapped(node: Node, x: Tensor, made: Shape, bias: bool) -> Tensor:
    """Return the output (n, *made) of a linear node for a batch (n, *shape)."""
    value = {field: torch.from_numpy(array) for field, array in node.values.items()}
    if node.kind in ("Affine", "Linear"):
        answer = (value["weight"] @ x[..., None])[..., 0]
        return answer + value["bias"] if bias and node.kind == "Affine" else answer
    # The other kinds are as PyTorch has them; only convolutions have a bias.
    if node.kind == "Scale":
        return x * value["scale"]
    if node.kind in ("Conv1d", "Conv2d"):
        n = int(node.kind[4])
        padding = node.padding or node.whole("padding", n)
        run = F.conv1d if n == 1 else F.conv2d
        answer = run(
            x,
            value["weight"],
            value["bias"] if bias else None,
            node.whole("stride", n),
            padding,
            node.whole("dilation", n),
            node.whole("groups", 1)[0],
        )
        return answer
    if node.kind in ("SumPool2d", "AvgPool2d"):
        kernel = node.whole("kernel_size", 2)
        mean = F.avg_pool2d(
            x,
            kernel,
            node.whole("stride", 2),
            node.whole("padding", 2),
            divisor_override=1 if node.kind == "SumPool2d" else None,
        )
        return mean
    return x.reshape(len(x), *made)


@dataclass(frozen=True)
class Delays:
    """The delays of a Delay node in steps, one for each number of its signal."""

    steps: Tensor

    @classmethod
    def of(cls, node: Node, shape: Shape, dt: float) -> "Delays":
        """Read a Delay node, whose times must be whole steps."""
        times: Floats = np.broadcast_to(node.values["delay"], shape)
        steps = np.round(times / dt)
        # A delay that is no whole number of steps would be rounded in silence.
        if times.min() < 0:
            raise RefsimError(
                f"{node.where}: a delay of {times.min():g} s would reach into the future."
            )
        if (apart := np.abs(times / dt - steps) > _WHOLE * np.maximum(steps, 1)).any():
            raise RefsimError(
                f"{node.where}: a delay of {times[apart][0]:g} s is no whole number of steps of "
                f"{dt:g} s; give a dt that divides it."
            )
        return cls(torch.from_numpy(steps.astype(np.int64)))

    def split(self, signals: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Return signals by their delay, after each number was delayed by its own steps."""
        made: dict[int, Tensor] = {}
        for more in torch.unique(self.steps).tolist():
            for delay, x in signals.items():
                part = x * (self.steps == more)
                made[delay + more] = made[delay + more] + part if delay + more in made else part
        return made


Shapes = Mapping[str, Shape]
Signals = dict[int, Tensor]  # signals by their delay in steps
_WEIGHTS = 1 << 28  # numbers in all weights: 2 GiB


class Received(NamedTuple):
    """What a layer receives from one source.

    The weight is (n_target, n_source). The delay in steps is one number, or (n_source,).
    """

    source: str
    weight: Floats
    delay: Ints


class Arrivals(NamedTuple):
    """What arrives at each layer: from each source, and as its bias (n_target,)."""

    received: Mapping[str, list[Received]]
    biases: Mapping[str, Floats]


def infer_shapes(graph: Graph) -> Shapes:
    """Return the shape of the output of each node.

    Raises
    ------
    RefsimError
        Where the two ends of an edge do not fit together, or nothing says the shape of a node.
    """
    order = sort_linear_nodes(graph)
    shapes: dict[str, Shape] = {graph.source: _said(graph.nodes[graph.source])}
    shapes |= {
        name: own
        for name in graph.neurons
        if (own := _declared_shape(graph.nodes[name])) is not None
    }
    # Shapes spread from the nodes that say theirs, until every node has one.
    waiting = [name for name in (*graph.neurons, *order, graph.sink) if name not in shapes]
    while waiting:
        ready = [name for name in waiting if any(each in shapes for each in graph.before(name))]
        if not ready:
            raise RefsimError(
                f"{graph.nodes[waiting[0]].where}: nothing says the shape of its signal; give "
                "its parameters one value a neuron."
            )
        for name in ready:
            given = next(shapes[each] for each in graph.before(name) if each in shapes)
            shapes[name] = (
                given
                if name == graph.sink or graph.nodes[name].kind in NEURONS
                else shape_behind(graph.nodes[name], given)
            )
        waiting = [name for name in waiting if name not in shapes]
    for source, target in graph.edges:
        _check_edge(graph, shapes, source, target)
    return shapes


def _said(node: Node) -> Shape:
    """Return the shape that an Input or Output declares."""
    shape = node.whole("shape", node.values["shape"].size)
    if math.prod(shape) > _WEIGHTS:
        raise RefsimError(
            f"{node.where}: its shape {shape} is of {math.prod(shape):,} numbers, more than any "
            "network here."
        )
    return shape


def _declared_shape(node: Node) -> Shape | None:
    """Return the shape of the parameters of a layer; None where each is one value for all."""
    shapes = {field: array.shape for field, array in node.values.items() if array.size > 1}
    if len(set(shapes.values())) > 1:
        raise RefsimError(
            f"{node.where}: its parameters have different shapes, "
            f"{', '.join(f'{field} {shape}' for field, shape in shapes.items())}."
        )
    return next(iter(shapes.values()), None)


def _check_edge(graph: Graph, shapes: Shapes, source: str, target: str) -> None:
    """Refuse an edge whose two ends have different shapes."""
    node, given = graph.nodes[target], shapes[source]
    takes = (
        _said(node) if target == graph.sink else shapes[target] if node.kind in NEURONS else given
    )
    # Both ends must agree, and a linear map must give the same shape for all that leads to it.
    if given != takes:
        raise RefsimError(
            f"{graph.where}: the edge from '{source}' to '{target}' does not fit: '{source}' "
            f"gives {given}, '{target}' takes {takes}."
        )
    if (
        node.kind not in NEURONS
        and target != graph.sink
        and shape_behind(node, given) != shapes[target]
    ):
        raise RefsimError(
            f"{node.where}: what leads to it has different shapes, {given} from '{source}' among "
            "them."
        )


def _check_membranes(graph: Graph, layers: Sequence[str]) -> None:
    """Refuse a neuron that never fires, unless only the Output shows it."""
    for name in graph.neurons:
        targets = sorted(
            graph.receivers(name) - ({graph.sink} if graph.sink not in layers else set())
        )
        if graph.nodes[name].kind in INTEGRATORS and targets:
            raise RefsimError(
                f"{graph.nodes[name].where}: its membrane is led on to '{targets[0]}'; layers here "
                "hear of spikes, and a neuron that never fires has none."
            )


def arrivals(graph: Graph, shapes: Shapes, layers: Sequence[str], dt: float) -> Arrivals:
    """Measure on unit inputs what each layer receives from the Input and from each other layer.

    Parameters
    ----------
    layers : sequence of str
        In the order in which a step runs them; the Output may be among them.
    dt : float
        Seconds a step.

    Raises
    ------
    RefsimError
        Where a delay is no whole number of steps, a membrane is led on, or the weights need more
        memory than any network here.
    """
    _check_membranes(graph, layers)
    bench = _Bench(graph, shapes, layers, dt)
    received: dict[str, list[Received]] = {name: [] for name in layers}
    with torch.no_grad():
        # Without any input only the biases arrive.
        silence = bench.arriving({}, 1, bias=True)
        biases = {name: _sum(silence[name], shapes[name]).numpy() for name in layers}
        for source in (graph.source, *graph.neurons):
            for target, weights in bench.weights(source).items():
                received[target] += [Received(source, *each) for each in join_delays(weights)]
    return Arrivals(received, biases)


def _sum(signals: Signals, shape: Shape) -> Tensor:
    """Return the sum of all signals, whatever their delay: a bias is there from the start."""
    total = torch.zeros(math.prod(shape), dtype=torch.float64)
    for x in signals.values():
        total = total + x.reshape(-1)
    return total


class _Bench:
    """The linear nodes of a graph, which run on numbers that any of its layers is given."""

    def __init__(self, graph: Graph, shapes: Shapes, layers: Sequence[str], dt: float) -> None:
        self.graph, self.shapes, self.layers, self.order = (
            graph,
            shapes,
            layers,
            sort_linear_nodes(graph),
        )
        self.delays = {
            name: Delays.of(node, shapes[name], dt)
            for name, node in graph.nodes.items()
            if node.kind == "Delay"
        }
        self.n_weights = 0

    def weights(self, source: str) -> dict[str, dict[int, Floats]]:
        """Return the weights from one source, by target and delay."""
        # A run on zeros shows which weights there are, before any memory is taken for them.
        n = math.prod(self.shapes[source])
        probe = self.arriving({source: torch.zeros(1, n, dtype=torch.float64)}, 1, bias=False)
        keys = [(target, delay) for target, signals in probe.items() for delay in signals]
        # The sum runs over all sources, since all weights are kept.
        self.n_weights += sum(n * math.prod(self.shapes[target]) for target, _ in keys)
        if self.n_weights > _WEIGHTS:
            raise RefsimError(
                f"{self.graph.nodes[source].where}: the weights from it, a number for each pair "
                f"of neurons and each delay, bring the network to {self.n_weights:,} numbers; at "
                f"most {_WEIGHTS:,} are read."
            )

        def answers(x: Tensor) -> list[Tensor]:
            arriving = self.arriving({source: x}, len(x), bias=False)
            return [arriving[target][delay].flatten(1) for target, delay in keys]

        made: dict[str, dict[int, Floats]] = {}
        for (target, delay), rows in zip(
            keys, unit_answers(answers, n) if keys else [], strict=True
        ):
            made.setdefault(target, {})[delay] = np.ascontiguousarray(rows.T)
        return made

    def arriving(
        self, given: Mapping[str, Tensor], n_samples: int, *, bias: bool
    ) -> dict[str, Signals]:
        """Return what arrives at each layer, where sources give numbers (n_samples, n)."""
        # Signals are kept by their delay, so that a Delay only renames them.
        made: dict[str, Signals] = {
            name: {0: x.reshape(n_samples, *self.shapes[name])} for name, x in given.items()
        }
        for name in self.order:
            node, signals = self.graph.nodes[name], self._summed(name, made)
            if not signals and not (bias and "bias" in node.values):
                continue
            if name in self.delays:
                made[name] = self.delays[name].split(signals)
                continue
            # A node with a bias answers even where nothing arrives.
            signals = signals or {
                0: torch.zeros(n_samples, *self._given(name), dtype=torch.float64)
            }
            first = min(signals)
            made[name] = {
                delay: mapped(node, x, self.shapes[name], bias and delay == first)
                for delay, x in signals.items()
            }
        return {name: self._summed(name, made) for name in self.layers}

    def _given(self, name: str) -> Shape:
        """Return the shape of the input of a node."""
        return self.shapes[self.graph.before(name)[0]]

    def _summed(self, name: str, made: Mapping[str, Signals]) -> Signals:
        """Return the sum of all signals that lead to a node, by delay."""
        total: Signals = {}
        for each in self.graph.before(name):
            for delay, x in made.get(each, {}).items():
                total[delay] = total[delay] + x if delay in total else x
        return total
