"""What reaches a neuron: its inputs with their unit, and kernels that stretch an input or the neuron's own spikes in time."""

from collections.abc import Mapping
from typing import Any

from ..errors import RefsimError, listed
from ..units import check_unit
from .expressions import SCALAR_FUNCTIONS, comparisons, evaluate, names_in, parse_expression
from .naming import INPUT, INPUT_KINDS, STEP
from .neuron import NeuronModel
from .parts import Kernel, State

SIGNS = ("excitatory", "inhibitory")  # weights above and below zero, both as sizes
_LONGEST = 100_000  # steps that a kernel may last


def read_inputs(table: dict[str, Any], state: Mapping[str, State], card: str) -> tuple[str, dict[str, str], str]:
    """Return (kind, input -> state it reaches, unit).

    ``target = "v"`` is one input I; ``target = { excitatory = "g_e", inhibitory = "g_i" }`` are two, I_excitatory and
    I_inhibitory, each the sum over the weights of one sign, as sizes: sums of mixed signs would cancel.
    """
    where = f"{card}: [input]"
    if surplus := set(table) - {"kind", "target", "unit"}:
        raise RefsimError(f"{where}: {listed(surplus)} is not a known key; known are kind, target, unit.")
    if missing := {"kind", "target"} - set(table):
        raise RefsimError(f"{where}: {listed(missing)} is missing; needed are kind, target.")
    kind, target = table["kind"], table["target"]
    if not isinstance(kind, str) or kind not in INPUT_KINDS:
        raise RefsimError(f"{where} kind must be one of {listed(INPUT_KINDS)}, but is {kind!r}.")
    if isinstance(target, dict) and sorted(target) != sorted(SIGNS):
        raise RefsimError(f"{where} target: a table has the keys excitatory and inhibitory, but has {listed(target)}.")
    inputs = {f"{INPUT}_{sign}": target[sign] for sign in SIGNS} if isinstance(target, dict) else {INPUT: target}
    known = [name for name, entry in state.items() if entry.only != "discrete"] or list(state)
    for reached in inputs.values():
        if reached not in known:
            raise RefsimError(f"{where} target must be a state, one of {listed(known)}, but is {reached!r}.")
    return kind, inputs, check_unit(table.get("unit", "1"), f"{where} unit")


def read_kernels(table: dict[str, Any], card: str) -> dict[str, Kernel]:
    """Read the tables ``[kernel.NAME]``."""
    kernels = {}
    for name, entry in table.items():
        where = f"{card}: [kernel] {name}"
        needed = ("text", "cut", "of", "meaning")
        if not isinstance(entry, dict) or sorted(entry) != sorted(needed) or not all(isinstance(value, str) for value in entry.values()):
            raise RefsimError(f"{where}: must have the keys {', '.join(needed)}, all of them text, but is {entry!r}.")
        kernels[name] = Kernel(entry["text"], entry["cut"], entry["of"], entry["meaning"])
    return kernels


def check_kernels(model: NeuronModel, card: str) -> None:
    """Check names, and that each kernel ends."""
    known = {*model.parameters, *model.derived, STEP, "k"}
    for name, kernel in model.kernels.items():
        where = f"{card}: [kernel] {name}"
        cut = parse_expression(kernel.cut, f"{where} cut")
        if not comparisons(cut):
            raise RefsimError(f"{where} cut: must be a comparison, such as 'abs({name}) < 0.01', but is {kernel.cut!r}.")
        if unknown := (names_in(parse_expression(kernel.text, f"{where} text")) - known) | (names_in(cut) - known - {name}):
            raise RefsimError(f"{where}: {listed(unknown)} is not known here; known are {listed(known | {name})}.")
        if kernel.of not in (*model.inputs, "z"):
            raise RefsimError(f"{where} of: must be an input or z, one of {listed((*model.inputs, 'z'))}, but is {kernel.of!r}.")
        kernel_values(model, name, model.constants(step=1e-3), 1e-3, where)


def kernel_values(model: NeuronModel, name: str, constants: Mapping[str, float], step: float, where: str) -> list[float]:
    """Return a kernel at k = 0, 1, ... up to the step before its cut; one of spikes begins at k = 1.

    Raises
    ------
    RefsimError
        Where the cut never comes, or the values are no numbers.
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
    raise RefsimError(f"{where}: is not cut within {_LONGEST:,} steps of {step:g} s; is the cut {kernel.cut!r} ever true?")
