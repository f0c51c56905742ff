"""Drive: the input of a batch, as spikes in integer steps or as currents, and how it was made."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cards.language import Number
from ..cards.names import DRAWS
from ..core.arrays import Floats, Ints, first_wrong, plain_array, real_array
from ..core.errors import RefsimError
from ..core.random import uniform
from ..core.spikes import SpikeTrains
from .network import positive_time

_BLOCK = 256  # samples unpacked at once

Draw = Callable[[int, str], Number]  # step, name of a random number -> (n_samples, n_neurons)


@dataclass(frozen=True, eq=False)
class Drive:
    """The input of a batch, made by one of the class methods below.

    Attributes
    ----------
    n_samples, n_steps, n_inputs : int
    dt : float
        Seconds a step.
    listed : SpikeTrains or None
        Spikes that arrive at their step, as a list.
    values : (n_samples, n_frames, n_inputs) float64 or None
        Currents. A single frame is held for all steps; else there is a frame for each step.
    made : dict
        Kind, seed and settings: enough to make it again.
    bits : (n_samples, n_steps, ceil(n_inputs/8)) uint8 or None
        Spikes that arrive at their step, as a raster: a bit for each input, the lowest bit first.
    numbers : (n_samples,) int64 or None
        The numbers of the samples in the drive that they were taken from; None for all of it.
    """

    n_samples: int
    n_steps: int
    n_inputs: int
    dt: float
    listed: SpikeTrains | None
    values: Floats | None
    made: Mapping[str, Any]
    bits: NDArray[np.uint8] | None = None
    numbers: Ints | None = None

    def __post_init__(self) -> None:
        # Python's integers do not overflow, as products of NumPy's short ones may.
        for name in ("n_samples", "n_steps", "n_inputs"):
            object.__setattr__(self, name, _positive(getattr(self, name), name))
        _seed(self.made.get("seed", 0))

    @classmethod
    def current(
        cls, values: ArrayLike, dt: object, *, n_steps: int | None = None, **made: Any
    ) -> "Drive":
        """Drive with currents.

        Parameters
        ----------
        values : (n_samples, n_steps, n_inputs), or (n_samples, n_inputs) to be held for n_steps
        dt : float or str
            Duration of a step: seconds, or text such as ``"1 ms"``.
        n_steps : int, optional
            Needed where the same current is held at every step.
        **made
            What `made` says of the drive besides.
        """
        array = real_array(values, "drive: values", axes=_axes(values))
        if array.ndim == 2:
            if n_steps is None:
                raise RefsimError(
                    "drive: values (n_samples, n_inputs) are held at every step; say for how "
                    "many, n_steps=..."
                )
            array = array[:, None, :]
        elif array.ndim != 3:
            raise RefsimError(
                "drive: values must be (n_samples, n_steps, n_inputs) or (n_samples, n_inputs), "
                f"but have shape {array.shape}."
            )
        steps = _steps(array.shape[1] if n_steps is None else n_steps)
        if array.shape[1] not in (1, steps):
            raise RefsimError(f"drive: values hold {array.shape[1]} steps, but n_steps is {steps}.")
        return cls(
            array.shape[0],
            steps,
            array.shape[2],
            positive_time(dt, "drive: dt"),
            None,
            array,
            {"kind": "current", **made},
        )

    @classmethod
    def constant(cls, value: ArrayLike, n_steps: int, dt: object, *, seed: int = 0) -> "Drive":
        """Drive one sample with a constant current: a number, or one for each input.

        The seed is for stochastic neurons.
        """
        return cls.current(
            np.atleast_2d(real_array(value, "drive: value")),
            dt,
            n_steps=n_steps,
            kind="constant",
            seed=seed,
        )

    @classmethod
    def noise(
        cls,
        mean: float,
        std: float,
        n_steps: int,
        dt: object,
        seed: int,
        *,
        n_samples: int = 1,
        n_inputs: int = 1,
    ) -> "Drive":
        """Drive with Gaussian currents, drawn at every step.

        NumPy draws them, so that they are equal in every engine.

        Parameters
        ----------
        mean, std : float
            In the unit of the input.
        n_steps : int
        dt : float or str
        seed : int
        """
        if not np.isfinite([mean, std]).all() or std < 0:
            raise RefsimError(
                f"drive: noise needs a finite mean and a std of 0 or more, but has {mean!r} and "
                f"{std!r}."
            )
        shape = (
            _positive(n_samples, "n_samples"),
            _steps(n_steps),
            _positive(n_inputs, "n_inputs"),
        )
        _check_size(shape)
        values = _generator(seed).normal(mean, std, shape)
        return cls.current(values, dt, kind="noise", mean=mean, std=std, seed=seed)

    @classmethod
    def bernoulli(cls, rates: ArrayLike, n_steps: int, dt: object, seed: int) -> "Drive":
        """Spike with a given probability at every step.

        Parameters
        ----------
        rates : (n_samples, n_inputs)
            Probability of a spike in a step, in [0, 1].
        """
        return cls._drawn(_unit_interval(rates, "rates"), n_steps, dt, seed, "bernoulli")

    @classmethod
    def poisson(cls, rates: ArrayLike, n_steps: int, dt: object, seed: int) -> "Drive":
        """Spike as a Poisson process; two events in one step are one spike.

        Parameters
        ----------
        rates : (n_samples, n_inputs)
            In hertz.
        """
        hertz, step = _matrix(rates, "rates"), positive_time(dt, "drive: dt")
        if (hertz < 0).any() or hertz.max() * step > 1:
            raise RefsimError(
                f"drive: rates must lie between 0 Hz and one a step, {1 / step:g} Hz, but reach "
                f"from {hertz.min():g} to {hertz.max():g}."
            )
        return cls._drawn(1 - np.exp(-hertz * step), n_steps, dt, seed, "poisson")

    @classmethod
    def _drawn(cls, probability: Floats, n_steps: int, dt: object, seed: int, kind: str) -> "Drive":
        """Draw spikes step by step into a raster of bits."""
        generator = _generator(seed)
        _check_size((*probability.shape, _steps(n_steps)))
        n_samples, n_inputs = probability.shape
        bits = np.empty((n_samples, n_steps, -(-n_inputs // 8)), np.uint8)
        for step in range(n_steps):
            bits[:, step] = np.packbits(
                generator.random(probability.shape) < probability, axis=1, bitorder="little"
            )
        return cls(
            n_samples,
            n_steps,
            n_inputs,
            positive_time(dt, "drive: dt"),
            None,
            None,
            {"kind": kind, "seed": seed},
            bits,
        )

    @classmethod
    def latency(cls, values: ArrayLike, n_steps: int, dt: object) -> "Drive":
        """Spike once, the sooner the larger the value, and never for a value of 0.

        Parameters
        ----------
        values : (n_samples, n_inputs)
            In [0, 1]; a value x spikes at step ``round((1 - x)*(n_steps - 1))``.
        """
        x = _unit_interval(values, "values")
        sample, neuron = np.nonzero(x > 0)
        step = np.rint((1 - x[sample, neuron]) * (_steps(n_steps) - 1)).astype(np.int64)
        return cls.events(
            sample, step, neuron, (x.shape[0], n_steps, x.shape[1]), dt, kind="latency"
        )

    @classmethod
    def integrate_and_fire(
        cls,
        values: ArrayLike,
        n_steps: int,
        dt: object,
        *,
        threshold: float = 1.0,
        reset: str = "zero",
    ) -> "Drive":
        """Encode values with an integrate-and-fire neuron for each input.

        In each step v += x; there is a spike where v > threshold, and then the reset.

        Parameters
        ----------
        values : (n_samples, n_inputs)
        threshold : float
        reset : {"zero", "subtract"}
        """
        if reset not in ("zero", "subtract") or not 0 < threshold < math.inf:
            raise RefsimError(
                "drive: reset must be 'zero' or 'subtract' and threshold above 0, but are "
                f"{reset!r} and {threshold!r}."
            )
        x = _matrix(values, "values")
        v = np.zeros_like(x)
        _check_size((*x.shape, _steps(n_steps)))
        dense = np.zeros((x.shape[0], _steps(n_steps), x.shape[1]), bool)
        for step in range(n_steps):
            v += x
            fired = dense[:, step] = v > threshold
            v[fired] = 0.0 if reset == "zero" else v[fired] - threshold
        return cls.raster(dense, dt, kind="integrate_and_fire", threshold=threshold, reset=reset)

    @classmethod
    def raster(cls, spikes: ArrayLike, dt: object, **made: Any) -> "Drive":
        """Drive with spikes from an array of bool, or of 0 and 1.

        Parameters
        ----------
        spikes : (n_samples, n_steps, n_inputs)
        """
        dense = plain_array(spikes, "drive: raster")
        if dense.ndim != 3 or 0 in dense.shape:
            raise RefsimError(
                "drive: a raster must be (n_samples, n_steps, n_inputs), but has shape "
                f"{dense.shape}."
            )
        if dense.dtype.kind == "f" and not np.isfinite(dense).all():
            raise RefsimError(
                "drive: a raster holds 0 and 1, but holds NaN or infinity; "
                f"{first_wrong(dense, _axes(dense))}."
            )
        if dense.dtype != bool and not ((dense == 0) | (dense == 1)).all():
            raise RefsimError(
                "drive: a raster holds 0 and 1, a spike or none; other numbers are currents, "
                "Drive.current(values, dt)."
            )
        # Eight inputs share a byte, which a large raster needs.
        bits = np.packbits(dense if dense.dtype == bool else dense != 0, axis=2, bitorder="little")
        n_samples, n_steps, n_inputs = dense.shape
        return cls(
            n_samples,
            n_steps,
            n_inputs,
            positive_time(dt, "drive: dt"),
            None,
            None,
            {"kind": "raster", **made},
            bits,
        )

    @classmethod
    def events(
        cls,
        sample: ArrayLike,
        step: ArrayLike,
        neuron: ArrayLike,
        shape: tuple[int, int, int],
        dt: object,
        **made: Any,
    ) -> "Drive":
        """Drive with a list of spikes, in any order.

        Parameters
        ----------
        sample, step, neuron : (n_spikes,) of whole numbers
            The sample, the step and the input of each spike.
        shape : (n_samples, n_steps, n_inputs)
        """
        if np.shape(shape) != (3,):
            raise RefsimError(
                "drive: shape must be (n_samples, n_steps, n_inputs), three whole numbers, but "
                f"is {shape!r}."
            )
        n_samples, n_steps, n_inputs = (
            _positive(size, name)
            for size, name in zip(shape, ("n_samples", "n_steps", "n_inputs"), strict=True)
        )
        spikes = SpikeTrains.from_events(
            sample,
            step,
            neuron,
            n_samples,
            n_steps,
            n_inputs,
            positive_time(dt, "drive: dt"),
            where="drive: events",
        )
        return cls(
            n_samples, n_steps, n_inputs, spikes.dt, spikes, None, {"kind": "events", **made}
        )

    @functools.cached_property
    def spikes(self) -> SpikeTrains | None:
        """The spikes; None where the drive is made of currents."""
        if self.bits is None:
            return self.listed
        # Some samples are unpacked at a time, to spare memory.
        blocks = [
            SpikeTrains.from_dense(self._unpacked(slice(first, first + _BLOCK)), self.dt)
            for first in range(0, self.n_samples, _BLOCK)
        ]
        return SpikeTrains.joined(blocks)

    def _unpacked(self, samples: slice, step: int | slice = slice(None)) -> NDArray[np.bool_]:
        """Return a part of the raster as bool."""
        assert self.bits is not None
        return np.unpackbits(
            self.bits[samples, step], axis=-1, count=self.n_inputs, bitorder="little"
        ).astype(bool)

    @property
    def held(self) -> bool:
        """Whether one frame of current is held for all steps."""
        return self.values is not None and self.values.shape[1] == 1

    def frames(self) -> Iterator[Floats]:
        """Yield the input of each step, (n_samples, n_inputs) float64.

        Where a current is held, the same array is yielded again.
        """
        if self.values is not None:
            first = self.values[:, 0]
            for step in range(self.n_steps):
                yield first if self.held else self.values[:, step]
            return
        if self.bits is not None:
            for step in range(self.n_steps):
                yield self._unpacked(slice(None), step).astype(np.float64)
            return
        assert self.spikes is not None
        # Sorted by step, the spikes of a step are one stretch of the list.
        by_step = np.argsort(self.spikes.step, kind="stable")
        ends = np.searchsorted(self.spikes.step[by_step], np.arange(self.n_steps + 1))
        for step in range(self.n_steps):
            now = by_step[ends[step] : ends[step + 1]]
            frame = np.zeros((self.n_samples, self.n_inputs))
            frame[self.spikes.sample[now], self.spikes.neuron[now]] = 1.0
            yield frame

    def take(self, samples: Ints) -> "Drive":
        """Return the drive of the given samples alone, in their order; each may be named once.

        Parameters
        ----------
        samples : (n,) of whole numbers

        Raises
        ------
        RefsimError
            Where a sample is not there or is named twice.
        """
        samples = np.asarray(samples)
        known = (
            samples.ndim == 1
            and samples.dtype.kind in "iu"
            and samples.size
            and samples.min() >= 0
            and samples.max() < self.n_samples
        )
        if not known or len(np.unique(samples)) < len(samples):
            raise RefsimError(
                "drive: samples to take must be different whole numbers in "
                f"0..{self.n_samples - 1}, but are {samples.tolist()}."
            )
        listed = None if self.listed is None else self.listed.take(samples)
        # A slice of consecutive samples shares the arrays, and copies nothing.
        at = (
            slice(int(samples[0]), int(samples[-1]) + 1)
            if len(samples) and np.array_equal(samples, np.arange(samples[0], samples[-1] + 1))
            else samples
        )
        values = None if self.values is None else self.values[at]
        bits = None if self.bits is None else self.bits[at]
        return Drive(
            len(samples),
            self.n_steps,
            self.n_inputs,
            self.dt,
            listed,
            values,
            self.made,
            bits,
            self.sample_numbers[samples],
        )

    @property
    def seed(self) -> int:
        """The seed of stochastic neurons: that of the drive where it has one, else 0."""
        return int(self.made.get("seed", 0))

    @property
    def sample_numbers(self) -> Ints:
        """The samples' numbers in the drive that they were taken from, (n_samples,) int64.

        Their random numbers depend on these numbers.
        """
        return np.arange(self.n_samples, dtype=np.int64) if self.numbers is None else self.numbers

    def draws(self, layer: int, n_neurons: int) -> Draw:
        """Return the random numbers of a layer, as a function of a step and a name.

        The function returns numbers in [0, 1), (n_samples, n_neurons).
        """
        return lambda step, name: uniform(
            self.seed, layer, self.sample_numbers, step, n_neurons, DRAWS.index(name)
        )


def _axes(values: ArrayLike) -> tuple[str, ...]:
    """Return the names of the axes of an input, where it has as many axes as an input has."""
    return {2: ("sample", "input"), 3: ("sample", "step", "input")}.get(np.ndim(values), ())


def _positive(number: object, name: str) -> int:
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
        raise RefsimError(f"drive: {name} must be a whole number of 1 or more, but is {number!r}.")
    return int(number)


def _seed(seed: object) -> int:
    if (
        isinstance(seed, bool)
        or not isinstance(seed, int | np.integer)
        or not 0 <= int(seed) < 1 << 64
    ):
        raise RefsimError(
            f"drive: seed must be a whole number of 0 or more, in 64 bits, but is {seed!r}."
        )
    return int(seed)


def _generator(seed: object) -> np.random.Generator:
    return np.random.default_rng(_seed(seed))


def _check_size(shape: tuple[int, ...]) -> None:
    """Refuse an input that is too large for any machine."""
    bins = math.prod(int(size) for size in shape)
    if bins > 1 << 36:
        raise RefsimError(
            f"drive: {' x '.join(f'{size:,}' for size in shape)} inputs are more than are drawn "
            "at once; give fewer steps or samples."
        )


def _steps(n_steps: object) -> int:
    return _positive(n_steps, "n_steps")


def _matrix(values: ArrayLike, name: str) -> Floats:
    array = real_array(values, f"drive: {name}", axes=_axes(values))
    if array.ndim != 2 or 0 in array.shape:
        raise RefsimError(
            f"drive: {name} must be (n_samples, n_inputs), but have shape {array.shape}."
        )
    return array


def _unit_interval(values: ArrayLike, name: str) -> Floats:
    array = _matrix(values, name)
    if array.min() < 0 or array.max() > 1:
        raise RefsimError(
            f"drive: {name} must lie in [0, 1], but reach from {array.min():g} to {array.max():g}."
        )
    return array
