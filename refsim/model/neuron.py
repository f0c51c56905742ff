"""NeuronModel: one neuron as data. Its text was checked by the card loader; nothing here computes a spike."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..errors import RefsimError, listed
from ..units import to_si
from .expressions import SCALAR_FUNCTIONS, Statement, comparison, evaluate, names_in, parse_expression

TRAITS = frozenset({"linear", "hard_reset", "soft_reset", "closed_form", "rectified", "adaptive", "stochastic"})
INPUT_KINDS = {
    "impulse": "a spike is a jump of its weight, after the decay and before the threshold",
    "pulse": "a spike is a rectangular current of its weight that lasts one step",
}
# Names that every text may use: the input of this step, and (in [derived] and [continuous]) the step's duration.
INPUT, STEP = "I", "step"


@dataclass(frozen=True)
class State:
    """A state variable: SI unit, value at the start, meaning."""

    unit: str
    start: float
    meaning: str


@dataclass(frozen=True)
class Parameter:
    """A parameter: SI value and unit, meaning, and the bounds it must stay within."""

    value: float
    unit: str
    meaning: str
    minimum: float = -math.inf
    maximum: float = math.inf
    above: float = -math.inf
    below: float = math.inf

    def check(self, value: float, where: str) -> float:
        """Return the value, or say which bound it breaks."""
        if not self.minimum <= value <= self.maximum or not self.above < value < self.below:
            raise RefsimError(f"{where}: must be {self.bounds or 'a finite number'}, but is {value:g}.")
        return value

    @property
    def bounds(self) -> str:
        """The bounds in words, empty where there are none."""
        said = (("at least", self.minimum), ("at most", self.maximum), ("above", self.above), ("below", self.below))
        return " and ".join(f"{words} {bound:g}" for words, bound in said if math.isfinite(bound))


@dataclass(frozen=True)
class Derived:
    """A constant made from parameters, computed once in double precision and then rounded to the dtype of the run."""

    text: str
    unit: str
    meaning: str


@dataclass(frozen=True)
class Continuous:
    """The ODE side of a card: Brian2 equation text, threshold, reset and integration method."""

    equations: str
    threshold: str
    reset: str
    method: str


@dataclass(frozen=True)
class Discrete:
    """One step of dt as ordered statements: integrate, modulate (may be empty), fire, reset."""

    integrate: tuple[Statement, ...]
    modulate: tuple[Statement, ...]
    fire: Statement
    reset: tuple[Statement, ...]
    solution: str

    @property
    def before_fire(self) -> tuple[Statement, ...]:
        """The statements up to the threshold."""
        return self.integrate + self.modulate

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """All statements as (target, text), in order."""
        return tuple((statement.target, statement.text) for statement in (*self.before_fire, self.fire, *self.reset))


@dataclass(frozen=True)
class NeuronModel:
    """A neuron, declared once.

    Made by `refsim.load` from a card; the fields are those of the card. All numbers are SI.
    """

    name: str
    title: str
    family: str
    references: tuple[str, ...]
    traits: tuple[str, ...]
    input_kind: str
    input_target: str
    state: Mapping[str, State]
    parameters: Mapping[str, Parameter]
    derived: Mapping[str, Derived]
    continuous: Continuous
    discrete: Discrete
    text: str = field(repr=False, default="")

    @property
    def membrane(self) -> str:
        """The state that the threshold looks at, be it through [discrete] modulate; else the one the input reaches."""
        sides = comparison(self.discrete.fire.tree)
        assert sides is not None
        seen = names_in(sides[0])
        for statement in reversed(self.discrete.modulate):
            seen = (seen - {statement.target}) | statement.names if statement.target in seen else seen
        return next((name for name in self.state if name in seen), self.input_target)

    @classmethod
    def from_table(cls, table: "Mapping[str, object] | None" = None, /, **keys: object) -> "NeuronModel":
        """Make a neuron in Python, from a dict with the keys of a card or from keywords; see `refsim.model.own.from_table`."""
        from .own import from_table

        return from_table({**(table or {}), **keys})

    def with_parameters(self, **values: object) -> "NeuronModel":
        """Return the model with other parameter values, each a number in SI or text with a unit.

        Raises
        ------
        RefsimError
            For a name the card does not have, a wrong unit, or a value out of bounds.
        """
        changed = dict(self.parameters)
        for name, value in values.items():
            parameter = self.parameter(name)
            where = f"card '{self.name}': parameter {name}"
            changed[name] = replace(parameter, value=parameter.check(to_si(value, parameter.unit, where), where))
        return replace(self, parameters=changed)

    def parameter(self, name: str) -> Parameter:
        """Return a parameter by name, or say which there are."""
        if name not in self.parameters:
            raise RefsimError(f"card '{self.name}': has no parameter '{name}'; it has {listed(self.parameters)}.")
        return self.parameters[name]

    @property
    def constant_units(self) -> dict[str, str]:
        """The unit of each parameter and derived constant."""
        return {name: entry.unit for name, entry in self.parameters.items()} | {name: entry.unit for name, entry in self.derived.items()}

    def constants(self, step: float, values: Mapping[str, float] | None = None) -> dict[str, float]:
        """Compute parameters and derived constants in double precision.

        Parameters
        ----------
        step : float
            Duration of the declared step, in seconds.
        values : mapping of str to float, optional
            Parameter values that stand in for the card's.
        """
        known = {name: parameter.value for name, parameter in self.parameters.items()}
        known |= dict(values or {})
        scope = known | {STEP: step}
        for name, derived in self.derived.items():
            where = f"card '{self.name}': derived {name} = {derived.text!r}"
            try:
                value = float(evaluate(parse_expression(derived.text, where), scope, SCALAR_FUNCTIONS))
            except (ArithmeticError, ValueError, TypeError) as error:
                raise RefsimError(f"{where}: cannot be computed with {_written(known)} ({error}).") from None
            scope[name] = known[name] = value
        return known


def _written(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in values.items())
