"""The parts of a card, each as data: states, parameters, constants, ODE, declared step, kernels."""

import math
from dataclasses import dataclass
from functools import cached_property

from ..core.errors import RefsimError
from .language import Comparison, Statement, comparisons, parse_expression
from .ode import Equation, Odes, equations_in, odes_of


@dataclass(frozen=True)
class State:
    """A state variable: SI unit, value at the start, and meaning.

    Attributes
    ----------
    only : {"", "discrete", "continuous"}
        The one side of the card that has it, where only the step or only the ODE does.
    at : str
        The parameter or derived constant at which it starts, whose value `start` is; empty where it
        starts at a number.
    """

    unit: str
    start: float
    meaning: str
    only: str = ""
    at: str = ""


@dataclass(frozen=True)
class Parameter:
    """A parameter: SI value and unit, meaning, and the bounds within which it must stay.

    A parameter that counts something is `whole`.
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
        """Return the value, if it is within the bounds.

        Raises
        ------
        RefsimError
            With the bounds in words.
        """
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
        """The bounds in words; empty where there are none."""
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
    """A constant made from parameters, computed once in double precision.

    It is then rounded to the dtype of the run.
    """

    text: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Continuous:
    """The ODE side of a card, as text; its equations are parsed once, and the trees are kept.

    Attributes
    ----------
    equations : str
        Brian2's equation text, an equation a line.
    threshold, reset : str
        Empty where the neuron has none.
    method : str
        How the ODE is integrated.
    refractory : str
        Empty, a constant in seconds, or a condition during which the neuron cannot fire again.
    """

    equations: str
    threshold: str
    reset: str
    method: str
    refractory: str = ""

    @cached_property
    def rows(self) -> tuple[Equation, ...]:
        """The equations, in the order of the text."""
        return equations_in(self.equations, "equations")

    @cached_property
    def odes(self) -> Odes:
        """The equations as trees."""
        return odes_of(self.rows, "equations")

    @cached_property
    def tests(self) -> tuple[Comparison, ...]:
        """The comparisons of the threshold; the first is the membrane's. Empty for a readout."""
        return comparisons(parse_expression(self.threshold, "threshold")) if self.threshold else ()


@dataclass(frozen=True)
class DeclaredStep:
    """One step of dt as ordered statements: integrate, modulate, fire, reset.

    Attributes
    ----------
    integrate, modulate, reset : tuple of Statement
        The last two may be empty.
    fire : Statement or None
        None for a neuron that never fires.
    solution : str
        How the step solves the ODE, one of `equations.SOLUTIONS`.
    readout : str
        The state that is the output of a neuron that never fires.
    payload : str
        The state that a spike carries, 0 where there is no spike.
    streams : tuple of str
        States that are events of their own beside the spikes, 0 or 1 in each step.
    over_steps : {"", "mean", "sum", "last", "max"}
        What the readout makes of the steps so far; then its value after the last step decides.
    """

    integrate: tuple[Statement, ...]
    modulate: tuple[Statement, ...]
    fire: Statement | None
    reset: tuple[Statement, ...]
    solution: str
    readout: str = ""
    payload: str = ""
    streams: tuple[str, ...] = ()
    over_steps: str = ""

    @property
    def before_fire(self) -> tuple[Statement, ...]:
        """The statements up to the threshold."""
        return self.integrate + self.modulate

    @property
    def ordered(self) -> tuple[Statement, ...]:
        """All statements, in the order in which they run."""
        return (*self.before_fire, *([self.fire] if self.fire else []), *self.reset)

    @property
    def tests(self) -> tuple[Comparison, ...]:
        """The comparisons of the threshold, all of which must hold; the first is the membrane's.

        Empty for a readout.
        """
        return comparisons(self.fire.tree) if self.fire else ()

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """All statements as (target, text), in order."""
        return tuple((statement.target, statement.text) for statement in self.ordered)

    @property
    def names(self) -> frozenset[str]:
        """All names that the statements read."""
        return frozenset(name for statement in self.ordered for name in statement.names)


@dataclass(frozen=True)
class Kernel:
    """A finite impulse response over k = 0, 1, ... steps, cut at the first k where `cut` holds.

    Attributes
    ----------
    text, cut : str
        Expressions of k and the constants of the card.
    of : str
        What it is convolved with: an input of the neuron, or ``z``, its own earlier spikes.
    """

    text: str
    cut: str
    of: str
    meaning: str
