"""Read a card: a TOML file becomes a NeuronModel, or one sentence says what is wrong with it.

In the order of the file: finding cards (`load` and its kin), reading a card (`_model`), checking
its tables entry by entry, and the notes that a reader should know though nothing is wrong.
"""

import difflib
import tomllib
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ..core.errors import RefsimError, RefsimWarning, is_hidden, listed
from ..core.shelf import shelf
from ..core.tables import Keys, Table, parse_toml, read_toml
from ..core.units import check_unit, to_si
from .equations import METHODS, Names, check_continuous, check_continuous_keys, check_discrete
from .keys import BOUNDS, CARD, DERIVED, OF_FRAMEWORKS, PARAMETER, STATE
from .language import SCALAR_FUNCTIONS, evaluate, execute, names_in, parse_expression
from .names import RESERVED, STEP, TAKEN, TRAITS, check_name, check_names, same_neuron
from .neuron import NeuronModel, check_kernels, read_inputs, read_kernels
from .ode import Odes, read_odes
from .parts import DeclaredStep, Derived, Parameter, State
from .spelling import declared_units, in_card_words, without_units, words_of
from .traits import OPTIONS, check_convention, compose
from .write import card_text

# Ends the name of a card that was saved with a network, where today's card of its name is another.
SAVED = "_as_saved"
_LARGEST = 100_000  # bytes; a card is read by people


def load(name: str | Path, /, **parameters: object) -> NeuronModel:
    """Load a neuron by the name of a card on the shelf, or by the path of your own card.

    Parameters
    ----------
    name : str or path
        ``"srif"``, or a path that ends in ``.toml``.
    **parameters
        Values in place of the card's: numbers in SI, or text with a unit such as ``"20 ms"``. For a
        framework's layer also traits of its convention, such as ``comparison=">="``.

    Raises
    ------
    RefsimError
        Where there is no such card, or it is wrong. The sentence names the card, the key and what
        to write.
    """
    if not isinstance(name, str | Path):
        raise RefsimError(f"load: needs the name of a card or a path, but {name!r} was given.")
    model = read_card(_path_of(name))
    # A word that is a trait and no parameter of the card switches the convention.
    traits = {
        key: parameters.pop(key)
        for key in OPTIONS
        if model.convention and key in parameters and key not in model.parameters
    }
    if traits:
        model = switched(model, **traits)
    return model.with_parameters(**parameters)


def _shelved() -> dict[str, Path]:
    """Return the cards that come with refsim, those of the frameworks among them."""
    return {
        card.stem: card
        for folder in ("", "frameworks")
        for card in (shelf("equations") / folder).glob("*.toml")
    }


def _path_of(name: str | Path) -> Path:
    """Return the file of a card, or say which names are near."""
    path, known = Path(name), _shelved()
    if path.suffix == ".toml":
        return path
    if str(name) not in known:
        near = difflib.get_close_matches(str(name), known)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        raise RefsimError(
            f"no card is named '{name}'; known are {listed(known)}. A card of your own is given "
            f"by its path, ending in .toml.{meant}"
        )
    return known[str(name)]


def switched(model: NeuronModel, **traits: object) -> NeuronModel:
    """Return a neuron with another convention: some traits are switched, its parameters stay.

    Raises
    ------
    RefsimError
        Where the card has no [convention], or has no such trait or option.
    """
    table = tomllib.loads(model.text)
    if "convention" not in table:
        raise RefsimError(
            f"card '{model.name}': says its step in statements; traits such as {listed(traits)} "
            "are of cards with a [convention]."
        )
    table["convention"] = {**table["convention"], **traits}
    other = card_from_text(card_text(table), f"card '{model.name}'")
    kept = {name: entry.value for name, entry in model.parameters.items()}
    return other.with_parameters(
        **{name: value for name, value in kept.items() if name in other.parameters}
    )


def load_all(folder: str = "") -> list[NeuronModel]:
    """Load every card on the shelf, by name; of ``"frameworks"`` where that folder is named."""
    return [read_card(path) for path in sorted((shelf("equations") / folder).glob("*.toml"))]


def read_card(path: Path) -> NeuronModel:
    """Read and check one card file."""
    table, text = read_toml(path, f"card {path}", _LARGEST)
    return _model(table, text, path)


def card_from_text(text: str, where: str) -> NeuronModel:
    """Read and check the text of a card."""
    return _model(parse_toml(text, where), text, Path(where))


def saved_card(text: str, where: str) -> NeuronModel:
    """Read the text of a card that was saved with a network.

    The saved text is the declaration, whatever the card of its name says today. Where the two are
    different neurons, the name of this one ends in ``SAVED``.
    """
    table = parse_toml(text, where)
    shelved = _shelved().get(str(table.get("name")))
    if shelved is not None and not same_neuron(tomllib.loads(shelved.read_text("utf-8")), table):
        text = card_text({**table, "name": f"{table['name']}{SAVED}"})
    return card_from_text(text, where)


def _model(table: Table, text: str, path: Path) -> NeuronModel:
    """Check a card's table, and return its neuron.

    Parameters
    ----------
    table : dict
        The keys of the card.
    text : str
        The card as it was written.
    path : Path
        Where it lies, for messages.
    """
    name = table.get("name")
    if not isinstance(name, str) or not name.replace("_", "a").isidentifier() or not name.isascii():
        raise RefsimError(
            f"card {path}: needs name = \"...\", of letters, digits and '_', but has "
            f"{'none' if name is None else repr(name)}."
        )
    card = f"card '{name}'"
    _check_characters(table, card)
    # A convention stands for the tables of a card, which are made first.
    convention = (
        check_convention(table["convention"], f"{card}: [convention]")
        if "convention" in table
        else {}
    )
    table = {
        key: value
        for key, value in (compose(table, card) if convention else table).items()
        if key not in OF_FRAMEWORKS
    }
    CARD.check(table, card)
    table = without_units(_rewritten(table, card), card)
    # What the card declares: parameters, constants, states, kernels and inputs.
    parameters = {
        key: _parameter(entry, f"{card}: [parameters] {key}")
        for key, entry in _table(table, "parameters", card).items()
    }
    derived = {
        key: _derived(entry, f"{card}: [derived] {key}")
        for key, entry in _table(table, "derived", card).items()
    }
    state = {
        key: _state(entry, {**parameters, **derived}, f"{card}: [state] {key}")
        for key, entry in _table(table, "state", card).items()
    }
    kernels = read_kernels(_table(table, "kernel", card), card)
    check_names(card, state, parameters, derived, kernels)
    kind, inputs, unit = read_inputs(_table(table, "input", card), state, card)
    names = Names(state, {*parameters, *derived}, inputs, set(kernels), kind)
    # The two texts of a neuron: the ODE, and the declared step that may be made of it.
    ode_table, steps = _table(table, "continuous", card), _table(table, "discrete", card)
    odes = None
    if "continuous" not in table and steps.get("solution") != "map":
        raise RefsimError(
            f'{card}: continuous is missing; only a step of solution = "map" stands without an ODE.'
        )
    if "continuous" in table:
        if "method" not in ode_table and steps.get("solution") in METHODS:
            ode_table = {**ode_table, "method": steps["solution"]}  # the step names it already
        check_continuous_keys(ode_table, card)
        odes = read_odes(ode_table["equations"], f"{card}: [continuous] equations")
    discrete = check_discrete(steps, names, odes, card)
    # A helper may not have a name that engines use.
    if clash := {target for target, _ in discrete.texts} & ((RESERVED | TAKEN) - {"z"}):
        raise RefsimError(
            f"{card}: [discrete] sets {listed(clash)}, which has a meaning of its own; give the "
            "helper another name."
        )
    _check_helpers(discrete, odes, state, card)
    model = NeuronModel(
        name=name,
        title=_text(table, "title", card),
        family=_text(table, "family", card),
        references=_strings(table, "references", card),
        traits=_traits(table, card),
        input_kind=kind,
        inputs=inputs,
        input_unit=unit,
        state=state,
        parameters=parameters,
        derived=derived,
        discrete=discrete,
        continuous=None
        if odes is None
        else check_continuous(ode_table, names, odes, discrete, card),
        kernels=kernels,
        convention=convention,
        text=text,
    )
    # What needs the whole model is checked last.
    check_kernels(model, card)
    _check_own_name(model, card, path)
    for key, parameter in parameters.items():
        parameter.check(parameter.value, f"{card}: [parameters] {key}")
    _check_derived(model, card)
    for key, entry in state.items():
        if entry.at and len({model.constants(step)[entry.at] for step in (1e-3, 2e-3)}) > 1:
            raise RefsimError(
                f"{card}: [state] {key}: starts at {entry.at}, which depends on the step; a "
                "start must not."
            )
    return model.with_parameters()


def _check_characters(entry: object, where: str) -> None:
    """Refuse characters that a reader does not see, but that act on lines or on a terminal."""
    if isinstance(entry, dict):
        for key, value in entry.items():
            _check_characters(key, f"{where}: a key")
            _check_characters(value, f"{where}: {key}" if isinstance(value, str | list) else where)
    elif isinstance(entry, list):
        for value in entry:
            _check_characters(value, where)
    elif isinstance(entry, str) and (hidden := [letter for letter in entry if is_hidden(letter)]):
        raise RefsimError(
            f"{where}: holds the character {hidden[0]!r}, which no reader sees; leave it out."
        )


def _check_helpers(
    discrete: DeclaredStep, odes: Odes | None, state: Mapping[str, State], card: str
) -> None:
    """Check names that the card uses on the way by the same rules as those that it declares.

    They live beside the names of the engines.
    """
    # Only names of a generated step end in '_': in a card's own text they were refused.
    written = [target for target, _ in discrete.texts if target[-1] != "_"]
    for name in (*written, *([] if odes is None else odes.subexpressions)):
        if name != "z" and name not in state:
            check_name(f"{card}: a helper", name)


def _rewritten(table: Table, card: str) -> Table:
    """Return a card whose equations are written as cards write them, not as Brian2 does."""
    part = table.get("continuous")
    if not isinstance(part, dict) or not isinstance(part.get("equations"), str):
        return table
    where, method = (
        f"{card}: [continuous] equations",
        str(part.get("method", table["discrete"].get("solution", ""))),
    )
    rest = {**table, "continuous": {key: text for key, text in part.items() if key != "equations"}}
    found = in_card_words(part["equations"], words_of(rest), where, method)
    declared_units(found, table, card)
    noisy = found.noisy and "stochastic" not in table.get("traits", [])
    more = {"traits": [*table.get("traits", []), "stochastic"]} if noisy else {}
    return {**table, **more, "continuous": {**part, "equations": found.text}}


def _table(table: Mapping[str, object], key: str, card: str) -> Table:
    entry = table.get(key, {})
    if not isinstance(entry, dict):
        raise RefsimError(f"{card}: {key} must be a table, written [{key}], but is {entry!r}.")
    return entry


def _text(table: Mapping[str, object], key: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip():
        raise RefsimError(f'{where}: {key} must be text, {key} = "...", but is {value!r}.')
    return value


def _strings(table: Mapping[str, object], key: str, card: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(item, str) and item.strip() for item in value)
    ):
        raise RefsimError(
            f'{card}: {key} must be a list of texts, at least one, {key} = ["..."], but is '
            f"{value!r}."
        )
    return tuple(value)


def _traits(table: Mapping[str, object], card: str) -> tuple[str, ...]:
    traits = _strings(table, "traits", card) if "traits" in table else ()
    if unknown := set(traits) - TRAITS:
        raise RefsimError(
            f"{card}: traits {listed(unknown)} is not known; known are {listed(TRAITS)}."
        )
    return traits


def _entry(entry: object, where: str, keys: Keys) -> Table:
    """Return an entry that is a table with these keys."""
    if not isinstance(entry, dict):
        example = ", ".join(f"{key} = ..." for key in keys.needed)
        raise RefsimError(f"{where}: must be a table such as {{ {example} }}, but is {entry!r}.")
    keys.check(entry, where)
    return entry


def _state(entry: object, constants: Mapping[str, Parameter | Derived], where: str) -> State:
    """Return a state; its start is a number, or the name of a constant of the same unit."""
    table = _entry(entry, where, STATE)
    unit, only = check_unit(table["unit"], where), table.get("only", "")
    if only not in ("", "discrete", "continuous"):
        raise RefsimError(
            f"{where}: only must be discrete or continuous, the one part of the card that has "
            f"this state, but is {only!r}."
        )
    at = table["start"] if isinstance(table["start"], str) and table["start"] in constants else ""
    if at and constants[at].unit != unit:
        raise RefsimError(
            f"{where}: starts at {at}, whose unit is {constants[at].unit!r}, but is of unit "
            f"{unit!r}."
        )
    # The value of a constant is computed when all are known.
    start = 0.0 if at else to_si(table["start"], unit, f"{where}: start")
    return State(unit, start, _text(table, "meaning", where), only, at)


def _parameter(entry: object, where: str) -> Parameter:
    """Return a parameter; some value must be within its bounds."""
    table = _entry(entry, where, PARAMETER)
    unit = check_unit(table["unit"], where)
    bounds = {key: to_si(table[key], unit, f"{where}: {key}") for key in BOUNDS if key in table}
    low = max(bounds.get("minimum", -float("inf")), bounds.get("above", -float("inf")))
    if low > min(bounds.get("maximum", float("inf")), bounds.get("below", float("inf"))):
        raise RefsimError(f"{where}: no value can satisfy its bounds {bounds}.")
    return Parameter(
        to_si(table["value"], unit, f"{where}: value"),
        unit,
        _text(table, "meaning", where),
        whole=_flag(table, "whole", where),
        **bounds,
    )


def _flag(table: Mapping[str, object], key: str, where: str) -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        raise RefsimError(f"{where}: {key} must be true or false, but is {value!r}.")
    return value


def _derived(entry: object, where: str) -> Derived:
    table = _entry(entry, where, DERIVED)
    return Derived(
        _text(table, "text", where),
        check_unit(table["unit"], where),
        _text(table, "meaning", where),
    )


def _check_own_name(model: NeuronModel, card: str, path: Path) -> None:
    """Refuse a changed copy of refsim's card that kept its name.

    Reports and PyTorch steps go by the name. Only its convention may be another.
    """
    original = _shelved().get(model.name)
    if (
        original is None
        or original.resolve() == path.resolve()
        or (text := original.read_text("utf-8")) == model.text
    ):
        return
    if not same_neuron(tomllib.loads(text), tomllib.loads(model.text)):
        raise RefsimError(
            f"{card}: {path} is not the card of that name that comes with refsim; give yours a "
            "name of its own."
        )


def _check_derived(model: NeuronModel, card: str) -> None:
    """Check that each derived constant reads known names, and can be computed."""
    known = {*model.parameters, STEP}
    for name, derived in model.derived.items():
        where = f"{card}: [derived] {name}"
        if unknown := names_in(parse_expression(derived.text, where)) - known:
            raise RefsimError(
                f"{where}: {listed(unknown)} is not known here; known are {listed(known)}."
            )
        known.add(name)
    model.constants(step=1e-3)  # the card's own values must give numbers


_SAME = 1e-9  # of the threshold: what the few operations of a rectifier may round


def notes(model: NeuronModel, values: Mapping[str, Iterable[float]] | None = None) -> list[str]:
    """Return the sentences that a reader should know about a neuron; most have none.

    Parameters
    ----------
    values : dict of str to (n,), optional
        Values of parameters, one a neuron, in place of the card's.
    """
    if "rectified" not in model.traits or not model.discrete.tests:
        return []
    rows = {name: np.asarray(row, float) for name, row in (values or {}).items()}
    # Neurons with the same values need one look, and one sentence is enough.
    each = np.unique(np.stack(list(rows.values()), axis=1), axis=0) if rows else [()]
    found = (_rectified(model, dict(zip(rows, map(float, row), strict=True))) for row in each)
    return list(dict.fromkeys(filter(None, found)))[:1]


def _rectified(model: NeuronModel, values: Mapping[str, float]) -> str:
    """Return a sentence where the rectifier maps the threshold to another value; else nothing.

    Where the threshold is a fixed point, a rising rectifier changes no spike.
    """
    left, _, right = model.discrete.tests[0]
    rectifier = model.discrete.modulate
    scope = {name: state.start for name, state in model.stepped.items()}
    scope |= model.constants(step=1e-3, values=values)
    known = {*scope, *(statement.target for statement in rectifier)}
    if any(names_in(tree) - known for tree in (left, right, *(each.tree for each in rectifier))):
        return ""  # it reads more than the membrane, so that a fixed point is no question
    threshold = float(evaluate(right, scope, SCALAR_FUNCTIONS))
    # A membrane at the threshold is sent through the rectifier.
    scope[model.membrane] = threshold
    execute(rectifier, scope, SCALAR_FUNCTIONS, float)
    seen = float(evaluate(left, scope, SCALAR_FUNCTIONS))
    if abs(seen - threshold) <= _SAME * max(1.0, abs(threshold)):
        return ""
    return (
        f"card '{model.name}': the rectifier changes spikes at a threshold of {threshold:g}, "
        "which is none of its fixed points: "
        f"a membrane of {threshold:g} is seen as {seen:.4g}. Without it this is another neuron."
    )


def warn(
    model: NeuronModel, values: Mapping[str, Iterable[float]] | None = None, *, stacklevel: int = 3
) -> None:
    """Warn of what `notes` says; the warning names the line of the caller's caller."""
    for note in notes(model, values):
        warnings.warn(note, RefsimWarning, stacklevel=stacklevel)
