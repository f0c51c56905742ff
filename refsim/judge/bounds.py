"""How far rounding reaches in a block of samples that is followed step by step.

`Each` bounds each sample by itself, `Ranges` all of them at once; `sums_of` and `instead` are the
pieces that both share with the replay.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import Floats
from ..engines.arrivals import LayerInputs
from ..engines.discrete import LayerState, Tested, parts_by_input
from ..networks.drive import Drive
from ..networks.network import Layer, Network
from .bounded import Bounded, Numbers, last_bits
from .rounding import BoundedLayer, BoundedSum, Rounding, decisive, known


class Step(NamedTuple):
    """What a step of a layer came to in float64.

    Both sides of each comparison, the states after it, and what it would have sent.
    """

    tested: tuple[Tested, ...]
    states: Mapping[str, Numbers]
    computed: Numbers


class Each:
    """The bound of each neuron in each sample: its numbers are those of the step in float64.

    Attributes
    ----------
    limits : list of (n_samples, n_steps, n_neurons), one a layer
        How far rounding may have moved what the threshold saw.
    offs : list of lists
        By layer and step, how far the layer's input may be off.
    """

    def __init__(
        self,
        network: Network,
        drive: Drive,
        rounding: Rounding,
        weighted: list[dict[str, BoundedSum]],
    ) -> None:
        self.unit, self.weighted = rounding.unit, weighted
        self.layers = [
            BoundedLayer(
                layer, network.dt, rounding, drive.n_samples, drive.draws(index, layer.n_post)
            )
            for index, layer in enumerate(network.layers)
        ]
        self.limits = [
            np.zeros((drive.n_samples, drive.n_steps, layer.n_post)) for layer in network.layers
        ]
        self.offs: list[Numbers] = [[] for _ in network.layers]
        self.moved, self.silence = (
            LayerInputs(network, drive.n_samples),
            np.zeros((drive.n_samples, network.n_inputs)),
        )

    def step(
        self,
        index: int,
        step: int,
        heard: NDArray[Any],
        sums: Mapping[str, Numbers],
        fired: NDArray[np.bool_],
        given: Numbers,
    ) -> Step:
        """Take one step of one layer, along the spikes that were fired, and bound it.

        Parameters
        ----------
        heard : (n_samples, n_pre)
        sums : dict of str to (n_samples, n_neurons)
            What that comes to, by input.
        fired : (n_samples, n_neurons) bool
        given : (n_samples, n_neurons) or None
            What the run is known to have sent; it replaces what the step computes.
        """
        layer, off = self.layers[index], self.moved(index, self.silence)
        self.offs[index].append(off)
        computed: list[Numbers] = []

        def follow(number: Numbers) -> Numbers:
            computed.append(_value(number))
            return instead(given, self.unit)

        weighed = {
            name: weigh(heard, off, sums[name]) for name, weigh in self.weighted[index].items()
        }
        tested = layer.step(weighed, fired, follow=None if given is None else follow)
        self.limits[index][:, step] = known(
            decisive(tested)[1] if layer.layer.model.discrete.fire else tested[0][0].error
        )
        self.moved.spikes[index] = np.broadcast_to(
            layer.sent(fired).error if given is None else 0.0, fired.shape
        )
        return Step(
            tuple((_value(left), symbol, _value(right)) for left, symbol, right in tested),
            layer.values,
            computed[-1] if computed else None,
        )


class Ranges:
    """The bound of each neuron over all samples at once, (n_steps, n_neurons) a layer.

    The numbers of a step are known as ranges, taken from the samples themselves. One such bound
    costs no more than one sample, and is fine enough where a neuron forgets. Attributes and
    arguments are those of `Each`.
    """

    def __init__(
        self,
        network: Network,
        drive: Drive,
        rounding: Rounding,
        weighted: list[dict[str, BoundedSum]],
    ) -> None:
        self.unit, self.weighted = rounding.unit, weighted
        self.states = [
            LayerState.start(layer, network.dt, drive.n_samples, drive.draws(index, layer.n_post))
            for index, layer in enumerate(network.layers)
        ]
        self.layers = [
            BoundedLayer(layer, network.dt, rounding, 1, _no_draw) for layer in network.layers
        ]
        self.limits = [np.zeros((drive.n_steps, layer.n_post)) for layer in network.layers]
        self.offs: list[Numbers] = [[] for _ in network.layers]
        self.moved, self.silence = LayerInputs(network, 1), np.zeros((1, network.n_inputs))

    def step(
        self,
        index: int,
        step: int,
        heard: NDArray[Any],
        sums: Mapping[str, Numbers],
        fired: NDArray[np.bool_],
        given: Numbers,
    ) -> Step:
        """Take one step of one layer, and bound it; see `Each`."""
        layer, state, off = self.layers[index], self.states[index], self.moved(index, self.silence)
        self.offs[index].append(off)
        gaps = [
            (left - right) if layer.layer.model.discrete.fire else left
            for left, _, right in self._bounded(index, step, heard, sums, fired, given, off)
        ]
        self.limits[index][step] = known(
            np.max([np.broadcast_to(gap.error, (1, layer.layer.n_post)) for gap in gaps], axis=0)
        )[0]
        sent = layer.sent(np.zeros((1, layer.layer.n_post)))
        self.moved.spikes[index] = np.broadcast_to(
            sent.error if given is None else 0.0, (1, layer.layer.n_post)
        )
        computed: list[Numbers] = []

        def follow(number: Numbers) -> Numbers:
            computed.append(number)
            return given

        _, tested = state.step(sums, fired=fired, sent=None if given is None else follow)
        return Step(tested, state.state, computed[-1] if computed else None)

    def _bounded(
        self,
        index: int,
        step: int,
        heard: NDArray[Any],
        totals: Mapping[str, Numbers],
        fired: NDArray[np.bool_],
        given: Numbers,
        off: Numbers,
    ) -> Numbers:
        """Advance a layer whose numbers are ranges over all samples."""
        layer, state, sums = self.layers[index], self.states[index], {}
        for name, weigh in self.weighted[index].items():
            error, quantum = weigh.over(heard, off)
            middle, half = _range(totals[name])
            sums[name] = Bounded(
                middle, np.broadcast_to(error, middle.shape[-1:])[None], self.unit, quantum, half
            )
        states = {name: _range(value) for name, value in state.state.items()}
        layer.values = {name: middle for name, (middle, _) in states.items()}
        draws = {name: _range(state.draw(step, name)) for name in layer.layer.model.draws}
        layer.state.draw = lambda _step, name: Bounded(
            draws[name][0], layer.cut, self.unit, 0.0, draws[name][1]
        )
        # A spike is 0, 1, or either where some samples fire and some do not.
        some, all_ = fired.any(axis=0), fired.all(axis=0)
        z = Bounded(
            (some & all_).astype(float)[None],
            0.0,
            self.unit,
            1.0,
            (some & ~all_).astype(float)[None],
        )
        sent = None if given is None else _range(given)
        follow = (
            None
            if sent is None
            else lambda _computed: Bounded(sent[0], 0.0, self.unit, 0.0, sent[1])
        )
        spread, before = {name: half for name, (_, half) in states.items()}, state.state
        return layer.step(sums, z, spread, lambda name: _least_bits(before[name]), follow)


def sums_of(layer: Layer, rounding: Rounding) -> dict[str, BoundedSum]:
    """Return, by input, the weighted sum of a layer with its bound."""
    return {name: BoundedSum(part, rounding) for name, part in parts_by_input(layer).items()}


def instead(given: Numbers, unit: float) -> Bounded:
    """Return what a run sent, in place of what the step computes for it."""
    return Bounded(given, 0.0, unit, last_bits(given))


def _value(number: Numbers) -> Numbers:
    return number.value if isinstance(number, Bounded) else number


def _range(value: Numbers) -> tuple[Floats, Floats]:
    """Return middle and half-width of the range over the samples, (1, n_neurons) each.

    The range is a little wide, for its own rounding; of a single value its width is 0.
    """
    value = np.asarray(value, np.float64)
    if value.ndim < 2:  # a state that a step sets to a constant
        return value[None], np.zeros_like(value)[None]
    low, high = value.min(axis=0, keepdims=True), value.max(axis=0, keepdims=True)
    half = np.where(
        high > low,
        (high - low) / 2 * (1 + 2.0**-50) + 2.0**-52 * np.maximum(np.abs(low), np.abs(high)),
        0.0,
    )
    return low + (high - low) / 2, half


def _least_bits(value: Numbers) -> Numbers:
    """Return the last bit that a number has in any sample."""
    bits = last_bits(np.asarray(value, np.float64))
    return bits if bits.ndim < 2 else bits.min(axis=0)


def _no_draw(_step: int, name: str) -> Numbers:
    """Refuse a draw that is not set for this step."""
    raise AssertionError(name)
