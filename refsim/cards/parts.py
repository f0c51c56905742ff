"""The parts of a card, each as data: states, parameters, derived constants, the ODE, kernels."""

import math
from dataclasses import dataclass

from ..core.errors import RefsimError


@dataclass(frozen=True)
class State:
    """A state variable: SI unit, value at the start, meaning.

    And whether the step or the ODE alone has it.

    Attributes
    ----------
    only : {"", "discrete", "continuous"}
    at : str
        The parameter or derived constant that it starts at, whose value `start` is; empty where it
        starts at a number.
    """

    unit: str
    start: float
    meaning: str
    only: str = ""
    at: str = ""


@dataclass(frozen=True)
class Parameter:
    """A parameter: SI value and unit, meaning, and the bounds it must stay within.

    Whole where it counts something.
    """

    value: float
    unit: str
    meaning: str
    minimum: float = -math.inf
    maximum: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    whole: bool = False

    def check(self, value: float, where: str) -> float:
        """Return the value, or say which bound it breaks."""
        if (
            not self.minimum <= value <= self.maximum
            or not self.above < value < self.below
            or (self.whole and value != int(value))
        ):
            raise RefsimError(
                f"{where}: must be {self.bounds or 'a finite number'}, but is {value:g}."
            )
        return value

    @property
    def bounds(self) -> str:
        """The bounds in words, empty where there are none."""
        whole = ["a whole number"] if self.whole else []
        said = (
            ("at least", self.minimum),
            ("at most", self.maximum),
            ("above", self.above),
            ("below", self.below),
        )
        return " and ".join(
            whole + [f"{words} {bound:g}" for words, bound in said if math.isfinite(bound)]
        )


@dataclass(frozen=True)
class Derived:
    """A constant made from parameters, computed once in double precision and then rounded to the
    dtype of the run.
    """

    text: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Continuous:
    """The ODE side of a card: Brian2 equation text, threshold, reset, refractoriness and
    integration method.

    Threshold and reset are empty where the neuron has none. Refractory is empty, a constant in
    seconds, or a condition during which the neuron cannot fire again.
    """

    equations: str
    threshold: str
    reset: str
    method: str
    refractory: str = ""


@dataclass(frozen=True)
class Kernel:
    """A finite impulse response: `text` over k = 0, 1, ..

    Steps, cut at the first k where `cut` holds.

    Attributes
    ----------
    of : str
        What it is convolved with: an input of the neuron, or ``z``, its own spikes of earlier
        steps.
    """

    text: str
    cut: str
    of: str
    meaning: str
