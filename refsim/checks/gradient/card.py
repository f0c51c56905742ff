"""Back-propagation through time through the text of a card, in float64.

What comes out is what the gradient of the same network must be in any other program.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...cards.language import evaluate, execute, parse_expression
from ...cards.names import INPUT, STEP
from ...core.arrays import Floats
from ...core.errors import RefsimError
from ...engines.arrivals import layer_kernels
from ...networks.connection import DRIVE
from ...networks.network import Layer, Network
from ...pytorch.base import piece, size
from ...pytorch.surrogate import Fire
from .traced import Traced, tapped


@dataclass(frozen=True)
class Passing:
    """How gradients pass a layer of neurons.

    Attributes
    ----------
    fire : function from distance to threshold to spikes, with the surrogate derivative
    detach_reset : bool
        Whether what a spike does to the states after it passes no gradient.
    held : bool
        Whether a neuron that other conditions than its membrane keep from firing, such as a
        refractory period, passes none.
    recurrent : bool
        Whether connections from the layer itself and from later layers pass one.
    """

    fire: Fire
    detach_reset: bool = False
    held: bool = True
    recurrent: bool = True


def trace_network(
    network: Network,
    inputs: Floats,
    passing: Sequence[Passing],
    *,
    like: Traced | None = None,
    noise: float = 0.0,
) -> Traced:
    """Run the declared steps of a network in float64, with a graph.

    Parameters
    ----------
    network : Network
    inputs : (n_samples, n_steps, n_inputs)
    passing : one a layer
    like : Traced, optional
        A run whose decisions, spikes among them, are taken over.
    noise : float
        By so much, relative, up or down at random, what arrives and each state are changed in each
        step: what rounding does, made larger.

    Raises
    ------
    RefsimError
        For a card that draws random numbers, computes with whole numbers, or has spikes of other
        sizes than 1: there is no gradient to declare.
    """
    check_declared(network)
    given = torch.as_tensor(inputs, dtype=torch.float64)
    frames = list(given.unbind(1))
    # A run that is like another takes over what its comparisons gave.
    decided = like.decided if like else [[] for _ in network.layers]
    # Each layer has its own record of decisions and its own noise.
    rows = [
        _Row(
            index,
            layer,
            network.dt,
            len(given),
            passing[index],
            _Decisions(decided[index], replay=like is not None),
            _Noise(noise, index),
        )
        for index, layer in enumerate(network.layers)
    ]
    spikes: list[list[Tensor]] = [[] for _ in rows]
    gave: list[list[Tensor]] = [[] for _ in rows]
    # Layers run in their sequence, so that a spike passes all of them in one step.
    for _ in frames:
        for row, fired, given_on in zip(rows, spikes, gave, strict=True):
            fired.append(row.step(frames, spikes))
            given_on.append(row.gives(fired[-1]))
    return Traced(
        [row.arrived for row in rows],
        ["step"] * len(rows),
        [torch.stack(each) for each in gave],
        decided,
        [row.leaves for row in rows],
    )


def check_declared(network: Network) -> None:
    """Refuse a network with a card that declares no gradient."""
    for layer in network.layers:
        _check(layer)


def _check(layer: Layer) -> None:
    model = layer.model
    # The first reason is given; each makes the gradient of the card undefined.
    why = (
        "draws random numbers; refsim.surrogate_bias compares expected gradients"
        if model.draws
        else "computes with whole numbers, whose derivative is 0 or nothing"
        if "integer" in model.traits
        else "has spikes that carry a number"
        if model.discrete.payload
        else "takes excitation and inhibition as two inputs"
        if len(model.inputs) > 1
        else "is a max pool"
        if model.name == "pytorch_max_pool"
        else ""
    )
    if why:
        raise RefsimError(
            f"check_gradient: {layer.name}, card '{model.name}', {why}; a gradient is declared "
            "for spikes of 1 that a threshold decides alone."
        )


class _Decisions:
    """What comparisons gave, one after the other: written down, or read again."""

    def __init__(self, kept: list[Tensor], *, replay: bool) -> None:
        self.kept, self.replay, self.now = kept, replay, 0

    def __call__(self, condition: Tensor | bool) -> Tensor:
        """Return 1 where a comparison holds and 0 elsewhere."""
        if not self.replay:
            self.kept.append(torch.as_tensor(condition).to(torch.float64))
        self.now += 1
        return self.kept[self.now - 1]


class _Noise:
    """Changes numbers a little, up or down at random."""

    def __init__(self, size: float, seed: int) -> None:
        self.size, self.generator = size, torch.Generator().manual_seed(seed)

    def __call__(self, x: Any) -> Any:
        """Return numbers changed."""
        if not self.size or not isinstance(x, Tensor):  # a state may be set to a plain number
            return x
        signs = torch.randint(0, 2, x.shape, generator=self.generator, dtype=torch.float64) * 2 - 1
        return x * (1 + self.size * signs)


def _leaves(layer: Layer, shape: tuple[int, int]) -> dict[str, Tensor]:
    """Return the parameters of a layer, (n_samples, n_post) each, with room for their gradients.

    Each sample has its own, for what samples add to a shared one may cancel.
    """
    # A value a neuron where the layer has one, else the card's.
    values = {
        name: layer.parameters.get(name, np.float64(entry.value))
        for name, entry in layer.model.parameters.items()
    }
    return {
        name: torch.tensor(
            np.broadcast_to(value, shape).copy(), dtype=torch.float64, requires_grad=True
        )
        for name, value in values.items()
    }


def _constants(layer: Layer, dt: float, leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return parameters and derived constants with the gradients of their formulas.

    The values are those of the other engines, to the last bit.
    """
    # The formulas are computed with a graph, from the parameters.
    scope: dict[str, Any] = {**leaves, STEP: torch.tensor(dt, dtype=torch.float64)}
    for name, derived in layer.model.derived.items():
        scope[name] = torch.as_tensor(
            evaluate(parse_expression(derived.text, f"derived {name}"), scope, FUNCTIONS),
            dtype=torch.float64,
        )
    # The value is the other engines', and only the gradient comes from the formula.
    found = {}
    for name, value in layer.constants(dt).items():
        exact = torch.as_tensor(value, dtype=torch.float64)
        found[name] = (
            exact + (scope[name] - scope[name].detach())
            if bool(scope[name].detach().isfinite().all())
            else exact
        )
    return {**found, STEP: scope[STEP]}


class _Row:
    """One layer, step after step."""

    def __init__(
        self,
        index: int,
        layer: Layer,
        dt: float,
        n_samples: int,
        passing: Passing,
        decide: _Decisions,
        noise: _Noise,
    ) -> None:
        self.index, self.layer, self.passing, self.decide, self.noise = (
            index,
            layer,
            passing,
            decide,
            noise,
        )
        shape = (n_samples, layer.n_post)
        # Parameters with gradients, and the constants that follow from them.
        self.leaves = _leaves(layer, shape)
        self.constants = _constants(layer, dt, self.leaves)
        # Each state starts where the card says, perhaps at a constant.
        self.states: dict[str, Tensor] = {}
        for name, start in layer.starts(layer.model.stepped).items():
            at = layer.model.state[name].at
            self.states[name] = torch.zeros(shape, dtype=torch.float64) + (
                self.constants[at] if at else torch.as_tensor(start, dtype=torch.float64)
            )
        # Kernels, weights and bias stay the same in every step.
        self.kernels = {
            name: [float(value) for value in values]
            for name, values in layer_kernels(layer, dt).items()
        }
        self.weights = [torch.as_tensor(weight) for weight in layer.weights]
        self.bias = torch.as_tensor(layer.bias).expand(shape)
        self.arrived: list[Tensor] = []
        self.fired: list[Tensor] = []

    def step(self, frames: Sequence[Tensor], outputs: Sequence[Sequence[Tensor]]) -> Tensor:
        """Advance by one step; return the spikes, which other layers receive."""
        discrete = self.layer.model.discrete
        # What arrives can be read by itself, for its gradient.
        self.arrived.append(tapped(self.noise(self._sum(frames, outputs))))
        values = {**self.constants, **self.states, INPUT: self.arrived[-1], **self._filtered()}
        execute(discrete.before_fire, values, FUNCTIONS, self.decide)
        # The card's text before the decision, the decision, and the text after it.
        fired = self._fires(values)
        # A detached reset sees the spike as a plain number.
        values["z"] = fired.detach() if self.passing.detach_reset else fired
        self.fired.append(values["z"])
        execute(discrete.reset, values, FUNCTIONS, self.decide)
        self.states = {name: self.noise(values[name]) for name in self.states}
        return fired

    def gives(self, fired: Tensor) -> Tensor:
        """Return what the layer gives to a loss: its spikes, or the membrane of a readout."""
        readout = self.layer.model.discrete.readout
        return self.states[readout] if readout else fired

    def _sum(self, frames: Sequence[Tensor], outputs: Sequence[Sequence[Tensor]]) -> Tensor:
        """Return the weighted sum of what arrives now, each input its delay after it was sent."""
        now, total = len(self.arrived), self.bias
        for source, weight in zip(self.layer.sources, self.weights, strict=True):
            sent = frames if source.layer == DRIVE else outputs[source.layer]
            # A connection that passes no gradient still passes its spikes.
            cut = source.layer >= self.index and not self.passing.recurrent
            # All inputs of one delay together, from that many steps ago.
            for delay in np.unique(source.delay):
                if now >= delay:
                    columns = torch.as_tensor(source.delay == delay)
                    x = sent[now - int(delay)].detach() if cut else sent[now - int(delay)]
                    total = total + x[:, columns] @ weight[:, columns].T
        return total

    def _filtered(self) -> dict[str, Tensor]:
        """Return the value of each kernel, over the input so far or the neuron's earlier spikes."""
        found = {}
        for name, kernel in self.kernels.items():
            own = self.layer.model.kernels[name].of == "z"
            # The kernel of the spikes starts one step ago, for this step's are not known yet.
            past = reversed(self.fired if own else self.arrived)
            terms = [
                weight * x for weight, x in zip(kernel[1:] if own else kernel, past, strict=False)
            ]
            found[name] = torch.stack(terms).sum(0) if terms else torch.zeros_like(self.arrived[-1])
        return found

    def _fires(self, values: Mapping[str, Tensor]) -> Tensor:
        """Decide as the card's text says.

        The gradient is the surrogate's at the membrane's distance from threshold.
        """
        discrete = self.layer.model.discrete
        if discrete.fire is None:
            return torch.zeros_like(self.arrived[-1])
        # The first test is the membrane's; the others keep a neuron from firing.
        (left, symbol, right), *others = discrete.tests
        distance = evaluate(left, values, FUNCTIONS) - evaluate(right, values, FUNCTIONS)
        # Where the neuron fires below its threshold the distance has the other sign.
        soft = self.passing.fire(distance if symbol in (">", ">=") else -distance)
        # Other conditions decide, but pass no gradient themselves.
        free = torch.ones_like(soft)
        for other_left, other_symbol, other_right in others:
            free = free * self.decide(
                _COMPARE[other_symbol](
                    evaluate(other_left, values, FUNCTIONS),
                    evaluate(other_right, values, FUNCTIONS),
                )
            )
        # The value is the decision; the gradient is the surrogate's.
        hard = self.decide(evaluate(discrete.fire.tree, values, FUNCTIONS))
        passed = soft * free.detach() if self.passing.held else soft
        return passed + (hard - passed).detach()


def _exprel(x: Tensor) -> Tensor:
    # Near 0 the quotient is 0/0.
    small = x.abs() < 1e-16
    safe = torch.where(small, torch.ones_like(x), x)
    # 1 to the last bit, with its slope of a half.
    return torch.where(small, 1 + x / 2, torch.expm1(safe) / safe)


_COMPARE: dict[str, Callable[..., Tensor]] = {
    ">": torch.gt,
    ">=": torch.ge,
    "<": torch.lt,
    "<=": torch.le,
}
_PLAIN: dict[str, Callable[..., Tensor]] = {
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "abs": size,
    "tanh": torch.tanh,
    "sin": torch.sin,
    "cos": torch.cos,
    "floor": torch.floor,
    "sign": torch.sign,
    "trunc": torch.trunc,
    "round": lambda x: torch.floor(x + 0.5),
    "exprel": _exprel,
}


def _of_tensors(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Take plain numbers too."""
    return lambda *given: function(*(torch.as_tensor(each, dtype=torch.float64) for each in given))


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    name: _of_tensors(function) for name, function in _PLAIN.items()
} | {
    "clip": _of_tensors(piece),
    "shr": _of_tensors(lambda x, n: torch.trunc(x / 2.0**n)),
}
