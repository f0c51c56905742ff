"""Discrete: the engine that runs the declared step in plain NumPy float64.

It is slow and readable, and decides between the fast engines. First the functions of the card
language and the weighted sums in their declared order, then one layer's running state, then the
engine, and what an engine keeps of a layer while it runs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cards.language import evaluate, execute, names_in
from ..cards.names import INPUT, STEP
from ..core.arrays import Floats
from ..core.errors import RefsimError
from ..core.progress import advance
from ..core.spikes import SpikeTrains
from ..networks.drive import Draw, Drive
from ..networks.network import Layer, Network
from ..networks.recording import Approach, Recording, check_run, make_provenance, traces_of
from .arrivals import Array, Convolution, LayerInputs, layer_kernels, steady


def exprel(x: ArrayLike) -> Array:
    """Return (exp(x) - 1)/x in the dtype of x, and 1 where x is 0 or the quotient rounds to 1."""
    x = np.asarray(x)
    small = np.abs(x) < 1e-16
    return np.where(small, x.dtype.type(1), np.expm1(x) / np.where(small, x.dtype.type(1), x))


_AT_ONCE = 64  # columns of weights
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "floor": np.floor,
    "clip": np.clip,
    "sign": np.sign,
    "trunc": np.trunc,
    "round": lambda x: np.floor(x + 0.5),
    "shr": lambda x, n: np.trunc(x / 2.0**n),
    "exprel": exprel,
}


def one_where_true(condition: ArrayLike) -> NDArray[np.float64]:
    """Return 1 where a comparison holds and 0 elsewhere."""
    return np.asarray(condition, np.float64)


def weighted_sum(layer: Layer, x: Array) -> Array:
    """Return ``x @ weight.T + bias``, added up input after input in ascending order, the bias last.

    The matrix product of a library adds in an order of its own. This order is the declared one, so
    that two engines can be equal to the last bit.

    Parameters
    ----------
    layer : Layer
    x : (n_samples, n_pre)

    Returns
    -------
    (n_samples, n_post) in the dtype of the weights
    """
    total, active = (
        np.zeros((x.shape[0], layer.n_post), layer.weight.dtype),
        np.flatnonzero(x.any(axis=0)),
    )
    for some in np.split(active, range(_AT_ONCE, len(active), _AT_ONCE)):
        # Copied in blocks, since a column of a matrix is scattered over all of the memory.
        rows = np.ascontiguousarray(layer.weight[:, some].T)
        for pre, row in zip(some, rows, strict=True):
            total += x[:, pre, None] * row
    return total + layer.bias


def signed_sums(layer: Layer, x: Array) -> dict[str, Array]:
    """Return the weighted sum that reaches each input of a layer, (n_samples, n_post) by input.

    Where the card splits weights by their sign, there is a sum for each sign.
    """
    return {name: weighted_sum(part, x) for name, part in parts_by_input(layer).items()}


def parts_by_input(layer: Layer) -> dict[str, Layer]:
    """Return, by input, the layer with the weights that reach it.

    These are all weights, or those of one sign without their sign.
    """
    if len(layer.model.inputs) == 1:
        return {INPUT: layer}
    signs = zip(layer.model.inputs, (1.0, -1.0), strict=True)
    return {
        name: replace(
            layer, weight=np.maximum(sign * layer.weight, 0), bias=np.maximum(sign * layer.bias, 0)
        )
        for name, sign in signs
    }


def constant_threshold(layer: Layer, dt: float) -> Floats:
    """Return the threshold of a layer, () or (n_post,).

    It is NaN where it moves with the state, and infinite where there is none.
    """
    if not layer.model.discrete.tests:
        return np.asarray(np.inf)
    right = layer.model.discrete.tests[0][2]
    constants = layer.constants(dt) | {STEP: np.float64(dt)}
    return np.asarray(
        evaluate(right, constants, FUNCTIONS) if names_in(right) <= set(constants) else np.nan,
        np.float64,
    )


# What a card computes with: arrays here, and in other rooms slopes or bounds in their place.
Values = Any
# Left side, operator and right side of one comparison of a threshold.
Tested = tuple[Values, str, Values]


@dataclass
class LayerState:
    """The running state of one layer for a batch; `step` advances it by one declared step."""

    layer: Layer
    constants: Mapping[str, Values]
    state: dict[str, Values]
    kernels: dict[str, Convolution]
    draw: Draw
    now: int = 0

    @classmethod
    def start(
        cls, layer: Layer, dt: float, n_samples: int, draw: Draw | None = None
    ) -> "LayerState":
        """Return the layer at rest, as its card declares the start."""
        shape = (n_samples, layer.n_post)
        state = {
            name: np.full(shape, start) for name, start in layer.starts(layer.model.stepped).items()
        }
        constants = {**layer.constants(dt), STEP: np.float64(dt)}
        kernels = {
            name: Convolution(list(values), layer.model.kernels[name].of == "z")
            for name, values in layer_kernels(layer, dt).items()
        }
        return cls(layer, constants, state, kernels, draw or _no_draw)

    def step(
        self,
        current: Values,
        functions: Mapping[str, Callable[..., Any]] = FUNCTIONS,
        fired: Values = None,
        truth: Callable[[Values], Values] = one_where_true,
        sent: Callable[[Values], Values] | None = None,
        named: Callable[[str, Values], Values] | None = None,
    ) -> tuple[Values, tuple[Tested, ...]]:
        """Advance by one step.

        Parameters
        ----------
        current : array, or dict of arrays by input where there are several
        functions : dict
            How the card's functions are computed.
        fired : (n_samples, n_neurons), or function, optional
            Spikes in place of the threshold's own decision, or a function from that decision to
            them.
        truth : function
            Makes 1 and 0 of a comparison.
        sent : function, optional
            Takes the number that the step computes for its spikes to carry, and returns the one
            that is used in its place.
        named : function (name, value) -> value, optional
            Takes each number that a statement before the threshold computes, and returns what is
            kept by its name.

        Returns
        -------
        fired : (n_samples, n_neurons)
            The spikes.
        tested : tuple of (left side, operator, right side)
            Both sides of each comparison of the threshold.
        """
        model, discrete = self.layer.model, self.layer.model.discrete
        inputs = current if isinstance(current, Mapping) else {INPUT: current}
        # All names that the statements of the card may read.
        values = {
            **self.constants,
            **self.state,
            **inputs,
            **{name: self.draw(self.now, name) for name in model.draws},
        }
        for name, convolution in self.kernels.items():
            total = (
                convolution.value()
                if convolution.own
                else convolution.of_input(inputs[model.kernels[name].of])
            )
            # The sum over a past without any arrival is a plain 0.
            values[name] = np.zeros(_shape(inputs)) if isinstance(total, float) else total
        # Up to the threshold, and both sides of what it compares.
        followed = {} if sent is None or not discrete.payload else {discrete.payload: sent}
        execute(discrete.before_fire, values, functions, truth, followed, named)
        tested = tuple(
            (evaluate(left, values, functions), symbol, evaluate(right, values, functions))
            for left, symbol, right in discrete.tests
        )
        # The decision: none for a readout, else the threshold's own or what is given.
        if not discrete.fire:
            tested = ((values[discrete.readout], ">=", np.inf),)
            fired = (
                np.zeros(np.shape(values[discrete.readout]), bool)
                if fired is None or callable(fired)
                else fired
            )
        elif fired is None or callable(fired):
            decided = evaluate(discrete.fire.tree, values, functions)
            fired = decided if fired is None else fired(decided)
        # What the spikes change, and what the next step starts from.
        values["z"] = truth(fired)
        execute(discrete.reset, values, functions, truth, followed)
        for convolution in self.kernels.values():
            if convolution.own:
                convolution.remember(values["z"])
        self.state = {name: values[name] for name in self.state}
        self.now += 1
        return fired, tested

    def output(self, fired: Values) -> Values:
        """Return what other layers receive of the last step: 1 for a spike, or what it carries."""
        payload = self.layer.model.discrete.payload
        return self.state[payload] if payload else np.asarray(fired, np.float64)


def _shape(inputs: Mapping[str, Values]) -> tuple[int, ...]:
    first = next(iter(inputs.values()))
    return np.shape(getattr(first, "value", first))


def _no_draw(_step: int, name: str) -> Floats:
    raise RefsimError(
        f"this use of a stochastic neuron gives no {name}; run it in a network, with a drive "
        "that has a seed."
    )


@dataclass(frozen=True)
class Discrete:
    """Run the declared step in NumPy float64, one statement after the other."""

    def run(self, network: Network, drive: Drive, record: tuple[str, ...] = ()) -> Recording:
        """Run a batch.

        Parameters
        ----------
        record : tuple of {"before_reset", "after_reset", "payload"}, or names of states
            Traces to keep; a state as it is after the step.

        Raises
        ------
        RefsimError
            Where network, drive and traces do not go together.
        """
        record = check_run(network, drive, record, states=True)
        draws = [drive.draws(index, layer.n_post) for index, layer in enumerate(network.layers)]
        states = [
            LayerState.start(layer, network.dt, drive.n_samples, draw)
            for layer, draw in zip(network.layers, draws, strict=True)
        ]
        traced = [traces_of(layer, record, states=True) for layer in network.layers]
        taps = [
            Tap.empty(drive.n_samples, drive.n_steps, layer.n_post, names)
            for layer, names in zip(network.layers, traced, strict=True)
        ]
        inputs = LayerInputs(network, drive.n_samples)
        # The current of a layer whose input stays as it is, computed once.
        constant: dict[int, dict[str, Array]] = {}
        for step, frame in enumerate(drive.frames()):
            for index, (layer, state, tap) in enumerate(
                zip(network.layers, states, taps, strict=True)
            ):
                current = constant.get(index) or signed_sums(layer, inputs(index, frame))
                if steady(layer.sources, drive.held):
                    constant[index] = current
                fired, tested = state.step(current)
                inputs.spikes[index] = state.output(fired)
                tap.keep(
                    step,
                    fired,
                    tested[0][0],
                    tested[0][2],
                    state.state[layer.model.membrane],
                    {"payload": inputs.spikes[index]} | state.state,
                )
        advance(drive.n_samples)
        provenance = make_provenance(
            "Discrete float64", network, drive, engine="Discrete", mode="grid", dtype="float64"
        )
        return Recording(
            network,
            drive,
            tuple(SpikeTrains.from_dense(tap.spikes, network.dt) for tap in taps),
            tuple(tap.traces for tap in taps),
            tuple(tap.approach() for tap in taps),
            provenance,
            not_a_number=first_lost(taps),
        )


def first_lost(taps: "Sequence[Tap]") -> tuple[int, int, int, int] | None:
    """Return (layer, sample, neuron, step) of the first membrane of a run that is not finite."""
    rows = [found for layer, tap in enumerate(taps) if (found := tap.first_lost(layer)) is not None]
    return min(rows, key=lambda row: (row[3], row[0])) if rows else None


@dataclass
class Tap:
    """What is kept of one layer while a run goes on, shared by the engines that step in Python."""

    spikes: NDArray[np.bool_]
    traces: dict[str, Array]
    gap: Array
    # Sample, neuron and step of the first membrane that is not finite.
    lost: "list[tuple[int, int, int]]" = field(default_factory=list)

    @classmethod
    def empty(
        cls,
        n_samples: int,
        n_steps: int,
        n_neurons: int,
        record: tuple[str, ...],
        dtype: type[np.float32] | type[np.float64] = np.float64,
    ) -> "Tap":
        """Make room for a run."""
        shape = (n_samples, n_steps, n_neurons)
        return cls(
            np.zeros(shape, bool),
            {name: np.zeros(shape, dtype) for name in record},
            np.full((n_samples, n_neurons), np.inf),
        )

    def keep(
        self,
        step: int,
        fired: Array,
        seen: Array,
        threshold: Array | float,
        after: Array,
        states: Mapping[str, Array | float] | None = None,
        *,
        hidden: bool = False,
    ) -> None:
        """Keep one step of all samples.

        Parameters
        ----------
        step : int
        fired, seen, threshold, after : (n_samples, n_neurons) or a number
            Spikes, the membrane that the threshold saw, the threshold, the membrane after it.
        states : dict of arrays, optional
            Further traces by name.
        hidden : bool
            Whether a module does not show what its threshold saw, so that NaN stands for it.
        """
        self.spikes[:, step] = fired
        if (
            not self.lost
            and not hidden
            and not np.isfinite(np.sum(seen))
            and not (finite := np.isfinite(seen)).all()
        ):
            sample, neuron = np.argwhere(~finite)[0]
            self.lost.append((int(sample), int(neuron), step))
        # A NaN, an unknown threshold, leaves the gap as it is.
        np.fmin(self.gap, np.abs(seen - threshold), out=self.gap)
        for name, value in {"before_reset": seen, "after_reset": after, **(states or {})}.items():
            if name in self.traces:
                self.traces[name][:, step] = value

    def first_lost(self, layer: int) -> tuple[int, int, int, int] | None:
        """Return (layer, sample, neuron, step) of the first membrane that was not finite."""
        return (layer, *self.lost[0]) if self.lost else None

    def approach(self) -> Approach:
        """Return the nearest approach to threshold of each sample."""
        neuron = np.argmin(self.gap, axis=1)
        return Approach(self.gap[np.arange(len(neuron)), neuron], neuron.astype(np.int64))
