"""NeuronModel: one neuron as data, what reaches it, and what its readout makes of the steps.

The loader of cards has checked its text; nothing here computes a spike. After the class follow its
inputs, the kernels that stretch an input or its own spikes in time, and the readout's rules.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from ..core.arrays import Floats
from ..core.errors import RefsimError, listed
from ..core.tables import Table
from ..core.units import check_unit, to_si
from .keys import INPUT as INPUT_KEYS
from .keys import KERNEL as KERNEL_KEYS
from .language import SCALAR_FUNCTIONS, comparisons, evaluate, names_in, parse_expression
from .names import DRAWS, INPUT, INPUT_KINDS, STEP
from .parts import Continuous, DeclaredStep, Derived, Kernel, Parameter, State


class Maker(Protocol):
    """How a neuron is made from words or a table, and written.

    Reading cards needs neurons, and so neurons cannot import it.
    """

    def fields_of(self, words: Mapping[str, Any], read: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a neuron from the arguments of its constructor."""

    def from_table(
        self, table: Mapping[str, Any] | None, keys: Mapping[str, Any] | None = None
    ) -> "NeuronModel":
        """Make a neuron from a table with a card's keys."""

    def save(self, model: "NeuronModel", path: Path) -> Path:
        """Write a neuron as a card."""


_MAKERS: list[Maker] = []


def register_maker(maker: Maker) -> None:
    """Set who makes neurons.

    `refsim.cards` does so when it is imported, which every import of a neuron does first.
    """
    _MAKERS[:] = [maker]


@dataclass(frozen=True, init=False)
class NeuronModel:
    """A neuron, declared once: read from a card by `refsim.load`, or written in Python.

    ``NeuronModel("mine", "dv/dt = (v_rest - v + r_m*I)/tau_m : volt", threshold="v >= v_th",
    reset="v = v_rest", input="amp", state={"v": "-65 mV"}, parameters={"tau_m": "10 ms", "r_m":
    "100 Mohm", "v_rest": "-65 mV", "v_th": "-50 mV"})``

    Parameters
    ----------
    name : str
    equations : str
        One ``dv/dt = ... : unit`` or ``name = ... : unit`` a line, over states, parameters, the
        input ``I`` and the duration ``step``.
    threshold, reset : str
        ``"v >= v_th"``, ``"v = v_reset; w += b"``. Without a threshold the state that the input
        reaches is a readout.
    refractory : str
        A constant in seconds, or a condition; the threshold itself makes a spike of each crossing.
    method : {"euler", "exponential_euler", "rk4", "exact", "rk2", "heun"}
        Of the ODE, and of the step made from it; by default exponential Euler where each equation
        is linear in its own state, else Euler.
    parameters, state : dict
        Name to value (a state's start, 0 where it is left out): ``"10 ms"``, ``0.5``, or a dict
        with the keys of a card (bounds, meaning).
    derived : dict
        Name to ``"text : unit"``, computed once.
    input : str or dict
        Unit of ``I``, or ``kind``, ``target`` and ``unit`` as in a card.
    discrete : dict
        The declared step as in a card, where it is not the method's own; alone, without equations,
        the neuron is a map.
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
    # What follows are the fields of a card; the constructor's arguments are described above.
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
    discrete: DeclaredStep
    kernels: Mapping[str, Kernel] = field(default_factory=dict)
    # Trait -> option, of a card whose step is given by traits.
    convention: Mapping[str, str] = field(default_factory=dict)
    text: str = field(repr=False, default="")

    def __init__(
        self,
        name: str = "",
        equations: str = "",
        *,
        threshold: str = "",
        reset: str = "",
        refractory: str = "",
        method: str = "",
        parameters: Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
        derived: Mapping[str, Any] | None = None,
        input: str | Mapping[str, Any] = "1",
        discrete: Any = None,
        kernel: Mapping[str, Any] | None = None,
        title: str = "",
        family: str = "",
        references: Any = (),
        traits: Any = (),
        **read: Any,
    ) -> None:
        """Make a neuron from the arguments described above.

        Further keywords are fields of a neuron that was read; changed copies are made with them.
        """
        words = {key: value for key, value in locals().items() if key not in ("self", "read")}
        vars(self).update(_MAKERS[0].fields_of(words, read))

    @property
    def membrane(self) -> str:
        """The state that the threshold sees, directly or through [discrete] modulate.

        Where it sees none, this is the state that the input reaches.
        """
        if self.discrete.readout:
            return self.discrete.readout
        seen = names_in(self.discrete.tests[0][0])
        # From the last helper back to the first, each is replaced by what it reads.
        for statement in reversed(self.discrete.modulate):
            seen = (
                (seen - {statement.target}) | statement.names if statement.target in seen else seen
            )
        return next(
            (name for name in self.stepped if name in seen), next(iter(self.inputs.values()))
        )

    def membrane_in(self, *, fine: bool) -> str:
        """Return the membrane of the step, or of the ODE where that has no state of its name."""
        if (
            not fine
            or self.membrane in self.solved
            or self.continuous is None
            or not self.continuous.threshold
        ):
            return self.membrane
        seen = _words(self.continuous.threshold)
        return next(
            (name for name in self.solved if name in seen), next(iter(self.inputs.values()))
        )

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
        texts = (
            [self.continuous.equations, self.continuous.threshold, self.continuous.reset]
            if self.continuous
            else []
        )
        named = set(self.discrete.names) | set(_words(" ".join(texts)))
        return tuple(name for name in DRAWS if name in named)

    @property
    def timed(self) -> bool:
        """Whether the declared step depends on its duration in seconds."""
        wanted = {
            *self.discrete.names,
            *(
                name
                for kernel in self.kernels.values()
                for text in (kernel.text, kernel.cut)
                for name in _words(text)
            ),
        }
        # A derived constant may read others, which stand before it.
        for name, derived in reversed(list(self.derived.items())):
            wanted |= set(_words(derived.text)) if name in wanted else set()
        return STEP in wanted

    @classmethod
    def from_table(
        cls, table: "Mapping[str, object] | None" = None, /, **keys: object
    ) -> "NeuronModel":
        """Make a neuron in Python, from a dict with the keys of a card or from keywords.

        See `refsim.cards.from_python.from_table`.
        """
        return _MAKERS[0].from_table(table, keys)

    def save(self, path: str | Path) -> Path:
        """Write the neuron as a card, its parameters as they are now.

        The commands and other people read it there; see `refsim.cards.from_python.save`.
        """
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
            changed[name] = replace(
                parameter, value=parameter.check(to_si(value, parameter.unit, where), where)
            )
        model = replace(self, parameters=changed)
        # A state may start at a constant; none of those depends on the step.
        known = model.constants(1.0) if any(entry.at for entry in self.state.values()) else {}
        return replace(
            model,
            state={
                name: replace(entry, start=known[entry.at]) if entry.at else entry
                for name, entry in self.state.items()
            },
        )

    def parameter(self, name: str) -> Parameter:
        """Return a parameter by its name.

        Raises
        ------
        RefsimError
            For a name that the card does not have; the message lists those that it has.
        """
        if name not in self.parameters:
            raise RefsimError(
                f"card '{self.name}': has no parameter '{name}'; it has {listed(self.parameters)}."
            )
        return self.parameters[name]

    @property
    def constant_units(self) -> dict[str, str]:
        """The unit of each parameter and derived constant."""
        return {name: entry.unit for name, entry in self.parameters.items()} | {
            name: entry.unit for name, entry in self.derived.items()
        }

    def constants(self, step: float, values: Mapping[str, float] | None = None) -> dict[str, float]:
        """Compute parameters and derived constants in double precision.

        Parameters
        ----------
        step : float
            Duration of the declared step, in seconds.
        values : mapping of str to float, optional
            Parameter values that replace the card's.

        Raises
        ------
        RefsimError
            Where a derived constant cannot be computed, or is NaN or infinite.
        """
        known = {name: parameter.value for name, parameter in self.parameters.items()}
        known |= dict(values or {})
        scope = known | {STEP: step}
        # A derived constant may read those before it.
        for name, derived in self.derived.items():
            where = f"card '{self.name}': derived {name} = {derived.text!r}"
            try:
                value = float(
                    evaluate(parse_expression(derived.text, where), scope, SCALAR_FUNCTIONS)
                )
            except (ArithmeticError, ValueError, TypeError) as error:
                raise RefsimError(
                    f"{where}: cannot be computed with {_written(known)} ({error})."
                ) from None
            if not math.isfinite(value):
                raise RefsimError(
                    f"{where}: is {value:g} with {_written(known)}, and must be a finite number."
                )
            scope[name] = known[name] = value
        return known


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z_]\w*", text)


def _written(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in values.items())


SIGNS = ("excitatory", "inhibitory")  # weights above and below zero, both as sizes
_LONGEST = 100_000  # steps that a kernel may last


def read_inputs(
    table: Table, state: Mapping[str, State], card: str
) -> tuple[str, dict[str, str], str]:
    """Return (kind, input -> state it reaches, unit) of the table [input].

    ``target = "v"`` is one input, I. ``target = { excitatory = "g_e", inhibitory = "g_i" }`` are
    two, I_excitatory and I_inhibitory: each is the sum over the weights of one sign, as sizes,
    because in a sum of mixed signs they would cancel.
    """
    where = f"{card}: [input]"
    INPUT_KEYS.check(table, where)
    kind, target = table["kind"], table["target"]
    if not isinstance(kind, str) or kind not in INPUT_KINDS:
        raise RefsimError(f"{where} kind must be one of {listed(INPUT_KINDS)}, but is {kind!r}.")
    if isinstance(target, dict) and sorted(target) != sorted(SIGNS):
        raise RefsimError(
            f"{where} target: a table has the keys excitatory and inhibitory, but has "
            f"{listed(target)}."
        )
    # A target for each sign makes two inputs.
    inputs = (
        {f"{INPUT}_{sign}": target[sign] for sign in SIGNS}
        if isinstance(target, dict)
        else {INPUT: target}
    )
    # Input reaches a state of the ODE, where there is one.
    known = [name for name, entry in state.items() if entry.only != "discrete"] or list(state)
    for reached in inputs.values():
        if reached not in known:
            raise RefsimError(
                f"{where} target must be a state, one of {listed(known)}, but is {reached!r}."
            )
    return kind, inputs, check_unit(table.get("unit", "1"), f"{where} unit")


def read_kernels(table: Table, card: str) -> dict[str, Kernel]:
    """Read the tables ``[kernel.NAME]``."""
    kernels = {}
    for name, entry in table.items():
        where = f"{card}: [kernel] {name}"
        if (
            not isinstance(entry, dict)
            or sorted(entry) != sorted(KERNEL_KEYS)
            or not all(isinstance(value, str) for value in entry.values())
        ):
            raise RefsimError(
                f"{where}: must have the keys {', '.join(KERNEL_KEYS)}, all of them text, but is "
                f"{entry!r}."
            )
        kernels[name] = Kernel(entry["text"], entry["cut"], entry["of"], entry["meaning"])
    return kernels


def check_kernels(model: NeuronModel, card: str) -> None:
    """Check that each kernel reads known names, is of an input or of spikes, and ends."""
    known = {*model.parameters, *model.derived, STEP, "k"}
    for name, kernel in model.kernels.items():
        where = f"{card}: [kernel] {name}"
        cut = parse_expression(kernel.cut, f"{where} cut")
        if not comparisons(cut):
            raise RefsimError(
                f"{where} cut: must be a comparison, such as 'abs({name}) < 0.01', but is "
                f"{kernel.cut!r}."
            )
        if unknown := (names_in(parse_expression(kernel.text, f"{where} text")) - known) | (
            names_in(cut) - known - {name}
        ):
            raise RefsimError(
                f"{where}: {listed(unknown)} is not known here; known are {listed(known | {name})}."
            )
        if kernel.of not in (*model.inputs, "z"):
            raise RefsimError(
                f"{where} of: must be an input or z, one of {listed((*model.inputs, 'z'))}, but "
                f"is {kernel.of!r}."
            )
        kernel_values(model, name, model.constants(step=1e-3), 1e-3, where)


def kernel_values(
    model: NeuronModel, name: str, constants: Mapping[str, float], step: float, where: str
) -> list[float]:
    """Return a kernel at k = 0, 1, ... up to the step before its cut.

    A kernel of spikes begins at k = 1.

    Raises
    ------
    RefsimError
        Where the cut never comes, or a value cannot be computed.
    """
    kernel = model.kernels[name]
    text, cut = parse_expression(kernel.text, where), parse_expression(kernel.cut, where)
    values: list[float] = []
    for k in range(_LONGEST):
        scope = {**constants, STEP: step, "k": float(k)}
        try:
            scope[name] = float(evaluate(text, scope, SCALAR_FUNCTIONS))
        except (ArithmeticError, ValueError) as error:
            raise RefsimError(f"{where}: cannot be computed at k = {k} ({error}).") from None
        if evaluate(cut, scope, SCALAR_FUNCTIONS):
            return values
        values.append(scope[name])
    raise RefsimError(
        f"{where}: is not cut within {_LONGEST:,} steps of {step:g} s; is the cut {kernel.cut!r} "
        "ever true?"
    )


def so_far(values: ArrayLike, rule: str) -> Floats:
    """Return what a rule makes of the steps so far, after each step.

    Parameters
    ----------
    values : (n_steps, ...)
    rule : {"mean", "sum", "last", "max"}

    Returns
    -------
    (n_steps, ...) float64
        The last row is what the rule makes of the whole record.
    """
    given = np.asarray(values, np.float64)
    if rule == "last":
        return given
    if rule == "max":
        return np.asarray(np.maximum.accumulate(given, axis=0))
    sums = np.cumsum(given, axis=0)
    counts = np.arange(1.0, len(given) + 1).reshape(-1, *[1] * (given.ndim - 1))
    return np.asarray(sums / counts if rule == "mean" else sums)
