"""What comes back through one layer of neurons.

Gradients go from the spikes of one step to what arrived at the layer in that step and before.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...core.arrays import Floats
from ...gradients.bias import Distance
from ..suite import Answer

ENLARGED = -3.0  # times what is sent back: another sign, and another size
_FAR = 1e-6  # of the largest: what is smaller is not missed where a gradient ends
WORDS = {
    "reset": "detached where it is declared to pass a gradient, or the other way round",
    "refractory": "a neuron that is kept from firing passes a gradient all the same",
    "recurrence": "connections from the layer itself, or from later ones, pass no gradient",
}


@dataclass(frozen=True)
class LayerGradient:
    """From the loss to what arrives at one layer.

    Attributes
    ----------
    name : str
    far : Distance
        ``.relative``, length of the difference over the length of the declared gradient, and
        ``.cosine``.
    worst : (step, sample, input)
        Where the two are farthest apart.
    found, true : float
        There.
    """

    name: str
    far: Distance
    worst: tuple[int, int, int]
    found: float
    true: float


@dataclass(frozen=True, eq=False)
class LayerPassage:
    """Gradients through one layer, those of the trial and those that the card declares.

    Attributes
    ----------
    name : str
        Of the layer.
    ends : tuple of int
        Steps whose spikes they come from, each alone.
    trial : (n_ends, n_steps, n_samples, n_inputs)
        At what arrived.
    enlarged : (n_steps, n_samples, n_inputs)
        The same for the last step, of ``ENLARGED`` times what was sent back.
    declared : function of the name of another reading, or "" for the declared one, to an array of
    that shape
    readings : tuple of str
        Other readings that can be told from the declared one for such a card.
    limit : float
        Relative, of rounding.
    least : float
        The smallest gradient that the trial's dtype can tell from 0 with all its digits.
    """

    name: str
    ends: tuple[int, ...]
    trial: Floats
    enlarged: Floats
    declared: Callable[[str], Floats]
    readings: tuple[str, ...]
    limit: float
    least: float

    @cached_property
    def true(self) -> Floats:
        """The declared gradients."""
        return self.declared("")

    @cached_property
    def at_once(self) -> int | None:
        """The fewest steps after which something that arrives changes a spike.

        It is None where no gradient that could be told from 0 reaches anything.
        """
        # The shortest lag whose declared gradient stands above rounding.
        return next(
            (
                lag
                for lag in range(self.ends[-1] + 1)
                if (np.abs(self._at(self.true, lag)) > self.least).any()
            ),
            None,
        )

    def _at(self, gradients: Floats, lag: int) -> Floats:
        """Return what came back to the steps so many before those of the spikes."""
        return np.concatenate(
            [
                gradients[number, end - lag].ravel()
                for number, end in enumerate(self.ends)
                if end >= lag
            ]
            or [np.zeros(0)]
        )

    def along(self, lag: int) -> tuple[float, float]:
        """Return the factor between the trial's and the declared gradients of a lag, and the rest.

        The rest is how far the trial's are from that multiple, relative.
        """
        found, true = self._at(self.trial, lag), self._at(self.true, lag)
        # Least squares; the rest is measured against the largest entry.
        factor = float(found @ true / (true @ true))
        size = np.abs(true).max() * abs(factor)
        return factor, float(np.abs(found - factor * true).max() / size) if size else 1.0

    def apart(self, reading: str = "") -> float:
        """Return how far the trial is from a reading, over its largest entry."""
        return apart(self.trial, self.declared(reading) if reading else self.true)

    def used(self) -> Answer:
        """Return whether nothing comes back at once."""
        assert self.at_once is not None
        nothing = not self._at(self.trial, self.at_once).any()
        return float(
            nothing
        ), f"{self.name}: no gradient comes back from its spikes" if nothing else ""

    def chain(self) -> Answer:
        """Return how far what comes back is from a multiple of what was sent back."""
        # Back-propagation is linear in what is sent back.
        once = ENLARGED * self.trial[-1]
        far = apart(self.enlarged, once)
        return (
            far,
            (
                f"{self.name}: {ENLARGED:g} times the gradient from above is not {ENLARGED:g} "
                "times the gradient below"
            )
            if far > self.limit
            else "",
        )

    def surrogate(self) -> Answer:
        """Return how far the derivative of a spike is from a multiple of the declared one."""
        assert self.at_once is not None
        _, rest = self.along(self.at_once)
        if rest <= self.limit:
            return rest, ""
        found, true = self._at(self.trial, self.at_once), self._at(self.true, self.at_once)
        # The middle nine tenths of the quotients, so that no odd entry is shown.
        low, high = (
            float(bound) for bound in np.nanpercentile(found[true != 0] / true[true != 0], (5, 95))
        )
        return (
            rest,
            (
                f"{self.name}: {low:.3g} to {high:.3g} times the declared derivative, from "
                "membrane to membrane"
            ),
        )

    def scale(self) -> Answer:
        """Return by how much the derivative of a spike is another multiple than 1."""
        assert self.at_once is not None
        factor, rest = self.along(self.at_once)
        if rest > self.limit:
            return None, "what comes back is no multiple of what is declared"
        return abs(factor - 1), f"{self.name}: {factor:.6g} times the declared gradient" if abs(
            factor - 1
        ) > self.limit else ""

    def truncated(self) -> Answer:
        """Return by how many steps the trial's gradient ends early."""
        # What is tiny beside the largest is not missed.
        largest = np.abs(self.true).max()
        reach = [
            max(
                (
                    lag
                    for lag in range(self.ends[-1] + 1)
                    if np.abs(self._at(each, lag)).max() > level
                ),
                default=-1,
            )
            for each, level in ((self.true, _FAR * largest), (self.trial, 0.0))
        ]
        short = max(0, reach[0] - reach[1])
        return (
            float(short),
            f"{self.name}: gradients come back {reach[1]} steps, and should come back {reach[0]}"
            if short
            else "",
        )

    def read_as(self, reading: str) -> Answer:
        """Return whether another reading than the declared one is what the trial does."""
        if reading not in self.readings:
            return None, "does not apply to such a layer"
        # The trial does as declared; does the other reading differ at all here?
        if self.apart() <= self.limit:
            same = apart(self.declared(reading), self.true) <= self.limit
            return (None, "makes no difference on these inputs") if same else (0.0, "")
        # The trial does what the other reading says.
        if self.apart(reading) <= self.limit:
            return 1.0, f"{self.name}: {WORDS[reading]}"
        return None, "does not explain what comes back"

    def memory(self) -> Answer:
        """Return by how much more or less of the membrane is handed back a step than declared."""
        assert self.at_once is not None
        # There must be a step before, and a gradient that goes there.
        if self.at_once == self.ends[-1] or not self._at(self.true, self.at_once + 1).any():
            return None, "nothing is handed back from step to step"
        if self.apart() <= self.limit:
            return 0.0, ""
        # One step back the factor is that of the kept membrane.
        factor, rest = self.along(self.at_once + 1)
        if rest > self.limit or abs(factor - 1) <= self.limit:
            return None, "does not explain what comes back"
        return abs(
            factor - 1
        ), f"{self.name}: {factor:.6g} times as much is handed back a step as declared"

    def layer(self) -> Answer:
        """Return how far the trial is from what is declared, everywhere."""
        far = self.apart()
        return far, f"{self.name}: {_worst(self.trial, self.true)}" if far > self.limit else ""


def apart(found: Floats, true: Floats, least: float = 0.0) -> float:
    """Return the largest difference over the largest true entry.

    Where no true entry is above the least that counts, return 1 if one of the others is, and else
    0.
    """
    largest = np.abs(true).max()
    return (
        float(np.abs(found - true).max() / largest)
        if largest > least
        else float(np.abs(found).max() > least)
    )


def _worst(found: Floats, true: Floats) -> str:
    end, step, sample, entry = np.unravel_index(np.abs(found - true).argmax(), true.shape)
    return (
        f"at step {step}, sample {sample}, input {entry} comes back "
        f"{found[end, step, sample, entry]:.6g}, should {true[end, step, sample, entry]:.6g}"
    )


def worst_of(answers: Mapping[str, Answer]) -> Answer:
    """Return the largest of the layers' answers, with its words; None where no layer has one."""
    known = [(value, words) for value, words in answers.values() if value is not None]
    if known:
        return max(known, key=lambda each: each[0] if np.isfinite(each[0]) else np.inf)
    return next(iter(answers.values()), (None, "no layer of neurons"))
