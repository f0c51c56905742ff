"""NeuronModel: one neuron as data. Its text was checked by the card loader; nothing here computes a spike."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from ..errors import RefsimError, listed
from ..units import to_si
from .expressions import SCALAR_FUNCTIONS, Comparison, Statement, comparisons, evaluate, names_in, parse_expression
from .naming import DRAWS, STEP
from .parts import Continuous, Derived, Kernel, Parameter, State


class Maker(Protocol):
    """How a neuron is made of words or of a table, and written: reading cards needs neurons, so neurons cannot import it."""

    def fields_of(self, words: Mapping[str, Any], read: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a neuron from the arguments of its constructor."""

    def from_table(self, table: Mapping[str, Any] | None, keys: Mapping[str, Any] | None = None) -> "NeuronModel":
        """Make a neuron from a table with a card's keys."""

    def save(self, model: "NeuronModel", path: Path) -> Path:
        """Write a neuron as a card."""


_MAKERS: list[Maker] = []


def made_by(maker: Maker) -> None:
    """Say who makes neurons. `refsim.cards` does so once, when it is imported, which every import of a neuron does first."""
    _MAKERS[:] = [maker]


@dataclass(frozen=True)
class Discrete:
    """One step of dt as ordered statements: integrate, modulate (may be empty), fire, reset (may be empty).

    A neuron that never fires has no `fire` but a `readout`, the state that is its output. One whose spikes carry a number has a
    `payload`, the state that they carry, 0 where there is no spike. `streams` are states that are events of their own, 0 or 1 in each
    step, beside the spikes. Where the readout is the mean, sum, last or maximum of what has arrived over the steps so far, `over_steps`
    says so: it is then the readout after the last step that decides.
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
        """All statements, in order."""
        return (*self.before_fire, *([self.fire] if self.fire else []), *self.reset)

    @property
    def tests(self) -> tuple[Comparison, ...]:
        """The comparisons of the threshold, all of which must hold; the first is the membrane's. Empty for a readout."""
        return comparisons(self.fire.tree) if self.fire else ()

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """All statements as (target, text), in order."""
        return tuple((statement.target, statement.text) for statement in self.ordered)

    @property
    def names(self) -> frozenset[str]:
        """All names that the statements read."""
        return frozenset(name for statement in self.ordered for name in statement.names)


@dataclass(frozen=True, init=False)
class NeuronModel:
    """A neuron, declared once: read from a card by `refsim.load`, or written in Python.

    ``NeuronModel("mine", "dv/dt = (v_rest - v + r_m*I)/tau_m : volt", threshold="v >= v_th", reset="v = v_rest", input="amp",
    state={"v": "-65 mV"}, parameters={"tau_m": "10 ms", "r_m": "100 Mohm", "v_rest": "-65 mV", "v_th": "-50 mV"})``

    Parameters
    ----------
    name : str
    equations : str
        One ``dv/dt = ... : unit`` or ``name = ... : unit`` a line, over states, parameters, the input ``I`` and the duration ``step``.
    threshold, reset : str
        ``"v >= v_th"``, ``"v = v_reset; w += b"``. Without a threshold the state that the input reaches is a readout.
    refractory : str
        A constant in seconds, or a condition; the threshold itself makes a spike of each crossing.
    method : {"euler", "exponential_euler", "rk4", "exact", "rk2", "heun"}
        Of the ODE, and of the step made from it; by default exponential Euler where each equation is linear in its own state, else Euler.
    parameters, state : dict
        Name to value (a state's start, 0 where it is left out): ``"10 ms"``, ``0.5``, or a dict with the keys of a card (bounds, meaning).
    derived : dict
        Name to ``"text : unit"``, computed once.
    input : str or dict
        Unit of ``I``, or ``kind``, ``target`` and ``unit`` as in a card.
    discrete : dict
        The declared step as in a card, where it is not the method's own; alone, without equations, the neuron is a map.
    kernel, title, family, references, traits
        As in a card.

    Raises
    ------
    RefsimError
        For a wrong argument, as for a wrong card: what was given, what is needed, where.

    Attributes
    ----------
    The fields below, those of the card. All numbers are SI.
    """

    name: str
    title: str
    family: str
    references: tuple[str, ...]
    traits: tuple[str, ...]
    input_kind: str
    inputs: Mapping[str, str]  # input -> the state it reaches; two where weights are split by sign
    input_unit: str
    state: Mapping[str, State]
    parameters: Mapping[str, Parameter]
    derived: Mapping[str, Derived]
    continuous: Continuous | None
    discrete: Discrete
    kernels: Mapping[str, Kernel] = field(default_factory=dict)
    convention: Mapping[str, str] = field(default_factory=dict)  # trait -> option, of a card that says its step in traits
    text: str = field(repr=False, default="")

    def __init__(
        self, name: str = "", equations: str = "", *, threshold: str = "", reset: str = "", refractory: str = "", method: str = "",
        parameters: Mapping[str, Any] | None = None, state: Mapping[str, Any] | None = None, derived: Mapping[str, Any] | None = None,
        input: str | Mapping[str, Any] = "1", discrete: Any = None, kernel: Mapping[str, Any] | None = None,
        title: str = "", family: str = "", references: Any = (), traits: Any = (), **read: Any,
    ) -> None:  # fmt: skip
        """Make a neuron from plain words; or from the fields of one that was read, which is how copies with changes are made."""
        words = {key: value for key, value in locals().items() if key not in ("self", "read")}
        vars(self).update(_MAKERS[0].fields_of(words, read))

    @property
    def membrane(self) -> str:
        """The state that the threshold looks at, be it through [discrete] modulate; else the one the input reaches."""
        if self.discrete.readout:
            return self.discrete.readout
        seen = names_in(self.discrete.tests[0][0])
        for statement in reversed(self.discrete.modulate):
            seen = (seen - {statement.target}) | statement.names if statement.target in seen else seen
        return next((name for name in self.stepped if name in seen), next(iter(self.inputs.values())))

    def membrane_in(self, *, fine: bool) -> str:
        """Return the membrane of the step, or of the ODE where that has none of the name."""
        if not fine or self.membrane in self.solved or self.continuous is None or not self.continuous.threshold:
            return self.membrane
        seen = _words(self.continuous.threshold)
        return next((name for name in self.solved if name in seen), next(iter(self.inputs.values())))

    @property
    def stepped(self) -> dict[str, State]:
        """The states of the declared step."""
        return {name: state for name, state in self.state.items() if state.only != "continuous"}

    @property
    def solved(self) -> dict[str, State]:
        """The states of the ODE."""
        return {name: state for name, state in self.state.items() if state.only != "discrete"}

    @property
    def draws(self) -> tuple[str, ...]:
        """The random numbers that a step uses, ``uniform``, ``uniform_2``, ..., in order."""
        texts = [self.continuous.equations, self.continuous.threshold, self.continuous.reset] if self.continuous else []
        named = set(self.discrete.names) | set(_words(" ".join(texts)))
        return tuple(name for name in DRAWS if name in named)

    @property
    def timed(self) -> bool:
        """Whether the declared step depends on its duration in seconds."""
        wanted = {*self.discrete.names, *(name for kernel in self.kernels.values() for text in (kernel.text, kernel.cut) for name in _words(text))}
        for name, derived in reversed(list(self.derived.items())):
            wanted |= set(_words(derived.text)) if name in wanted else set()
        return STEP in wanted

    @classmethod
    def from_table(cls, table: "Mapping[str, object] | None" = None, /, **keys: object) -> "NeuronModel":
        """Make a neuron in Python, from a dict with the keys of a card or from keywords; see `refsim.model.own.from_table`."""
        return _MAKERS[0].from_table(table, keys)

    def save(self, path: str | Path) -> Path:
        """Write the neuron as a card, its parameters as they are now, for the commands and for other people; see `refsim.model.own.save`."""
        return _MAKERS[0].save(self, Path(path))

    def with_parameters(self, /, **values: object) -> "NeuronModel":
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
        made = replace(self, parameters=changed)
        known = made.constants(1.0) if any(entry.at for entry in self.state.values()) else {}  # no start depends on the step
        return replace(made, state={name: replace(entry, start=known[entry.at]) if entry.at else entry for name, entry in self.state.items()})

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
            if not math.isfinite(value):
                raise RefsimError(f"{where}: is {value:g} with {_written(known)}, and must be a finite number.")
            scope[name] = known[name] = value
        return known


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z_]\w*", text)


def _written(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in values.items())
