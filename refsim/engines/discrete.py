"""Discrete: the declared step in plain NumPy float64. Slow and readable; the referee between the fast engines."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..drive import Drive
from ..model.expressions import comparison, evaluate, names_in
from ..network import Floats, Layer, Network
from ..progress import advance
from ..recording import TRACES, Approach, Recording, check_run, make_provenance
from ..spikes import SpikeTrains

FUNCTIONS: dict[str, Any] = {
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "abs": np.abs, "tanh": np.tanh,
    "sin": np.sin, "cos": np.cos, "floor": np.floor, "clip": np.clip,
}  # fmt: skip


def weighted_sum(layer: Layer, x: NDArray[Any]) -> NDArray[Any]:
    """Return ``x @ weight.T + bias``, adding one input after the other in ascending order, the bias last.

    A matrix product of a library adds in an order of its own; this order is the declared one, so that two engines
    can be equal to the last bit.
    """
    total = np.zeros((x.shape[0], layer.n_post), layer.weight.dtype)
    for pre in np.flatnonzero(x.any(axis=0)):
        total += x[:, pre, None] * layer.weight[:, pre]
    return total + layer.bias


def constant_threshold(layer: Layer, dt: float) -> Floats:
    """Return the threshold of a layer, () or (n_post,); NaN where it moves with the state."""
    sides = comparison(layer.model.discrete.fire.tree)
    assert sides is not None
    constants = layer.constants(dt)
    known = names_in(sides[2]) <= set(constants)
    return np.asarray(evaluate(sides[2], constants, FUNCTIONS) if known else np.nan, np.float64)


@dataclass
class LayerState:
    """The running state of one layer for a batch; `step` advances it by one declared step."""

    layer: Layer
    constants: Mapping[str, Any]
    state: dict[str, Any]

    @classmethod
    def start(cls, layer: Layer, dt: float, n_samples: int) -> "LayerState":
        """Return the layer at rest, as its card declares the start."""
        shape = (n_samples, layer.n_post)
        state = {name: np.full(shape, entry.start) for name, entry in layer.model.state.items()}
        return cls(layer, layer.constants(dt), state)

    def step(self, current: Any, functions: Mapping[str, Any] = FUNCTIONS, fired: Any = None) -> tuple[Any, Any, Any]:
        """Advance by one step; return (spikes, what the threshold saw, threshold).

        Spikes that are given stand in for the threshold's own decision.
        """
        discrete = self.layer.model.discrete
        values = {**self.constants, **self.state, "I": current}
        for statement in discrete.before_fire:
            values[statement.target] = evaluate(statement.tree, values, functions)
        sides = comparison(discrete.fire.tree)
        assert sides is not None
        seen, threshold = (evaluate(side, values, functions) for side in (sides[0], sides[2]))
        if fired is None:
            fired = evaluate(discrete.fire.tree, values, functions)
        values["z"] = np.asarray(fired, np.float64)
        for statement in discrete.reset:
            values[statement.target] = evaluate(statement.tree, values, functions)
        self.state = {name: values[name] for name in self.state}
        return fired, seen, threshold


@dataclass(frozen=True)
class Discrete:
    """Run the declared step in NumPy float64, one statement after the other."""

    def run(self, network: Network, drive: Drive, record: tuple[str, ...] = ()) -> Recording:
        """Run a batch.

        Parameters
        ----------
        record : tuple of {"before_reset", "after_reset"}, or names of states
            Traces to keep; a state as it is after the step.
        """
        record = check_run(network, drive, record, states=True)
        states = [LayerState.start(layer, network.dt, drive.n_samples) for layer in network.layers]
        own = [tuple(name for name in record if name in (*TRACES, *layer.model.state)) for layer in network.layers]
        taps = [Tap.empty(drive.n_samples, drive.n_steps, layer.n_post, names) for layer, names in zip(network.layers, own, strict=True)]
        held: Floats | None = None
        for step, frame in enumerate(drive.frames()):
            x = frame
            for index, (layer, state, tap) in enumerate(zip(network.layers, states, taps, strict=True)):
                if index == 0 and drive.held:
                    current = held = weighted_sum(layer, x) if held is None else held
                else:
                    current = weighted_sum(layer, x)
                fired, seen, threshold = state.step(current)
                tap.keep(step, fired, seen, threshold, state.state[layer.model.membrane], state.state)
                x = fired.astype(np.float64)
        advance(drive.n_samples)
        provenance = make_provenance("Discrete float64", network, drive, engine="Discrete", mode="grid", dtype="float64")
        return Recording(network, drive, tuple(SpikeTrains.from_dense(tap.spikes, network.dt) for tap in taps),
                         tuple(tap.traces for tap in taps), tuple(tap.approach() for tap in taps), provenance)  # fmt: skip


@dataclass
class Tap:
    """What is kept of one layer while a run goes on, shared by the engines that step in Python."""

    spikes: NDArray[np.bool_]
    traces: dict[str, NDArray[Any]]
    gap: NDArray[Any]

    @classmethod
    def empty(cls, n_samples: int, n_steps: int, n_neurons: int, record: tuple[str, ...], dtype: Any = np.float64) -> "Tap":
        """Make room for a run."""
        shape = (n_samples, n_steps, n_neurons)
        return cls(np.zeros(shape, bool), {name: np.zeros(shape, dtype) for name in record}, np.full((n_samples, n_neurons), np.inf))

    def keep(self, step: int, fired: Any, seen: Any, threshold: Any, after: Any, states: Mapping[str, Any] | None = None) -> None:
        """Keep one step."""
        self.spikes[:, step] = fired
        np.fmin(self.gap, np.abs(seen - threshold), out=self.gap)  # a NaN, an unknown threshold, leaves the gap as it is
        for name, value in {"before_reset": seen, "after_reset": after, **(states or {})}.items():
            if name in self.traces:
                self.traces[name][:, step] = value

    def approach(self) -> Approach:
        """Return the nearest approach to threshold of each sample."""
        neuron = np.argmin(self.gap, axis=1)
        return Approach(self.gap[np.arange(len(neuron)), neuron], neuron.astype(np.int64))
