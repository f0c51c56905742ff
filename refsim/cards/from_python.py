"""A neuron written in Python becomes the table of a card, and a neuron is saved as a card.

`from_table` takes a card's own keys. The words of `NeuronModel(...)` are fewer: `card_table` adds
the units that the text gives, and makes the step from the ODE. Either way the loader of cards
checks the result, with the same sentences.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..core.errors import RefsimError, listed
from ..core.shelf import shelf
from ..core.tables import Table
from ..core.units import base_unit
from ..core.whole_files import whole
from .language import comparisons, names_in, parse_expression, parse_statements
from .names import DRAWS, INPUT, STEP
from .neuron import SIGNS, NeuronModel
from .ode import GENERATED, Equation, Odes, equations_in, generated_step, odes_of, renamed, state_of
from .parts import DeclaredStep
from .questions import fires_at_start
from .read import _model as model_of
from .spelling import in_card_words, words_of
from .write import card_text

_USUAL = {"family": "own", "references": ["a neuron of one's own, written in Python"]}
_PARTS = ("parameters", "state", "derived", "discrete", "kernel")


def from_table(
    table: Mapping[str, Any] | None, keys: Mapping[str, Any] | None = None
) -> NeuronModel:
    """Make a neuron from a table with a card's keys, and perhaps others as keywords.

    Parameters
    ----------
    table : dict
        ``name``, ``input``, ``state``, ``parameters``, ``derived``, ``continuous`` and ``discrete``
        as in a card; ``title``, ``family`` and ``references`` may be left out.
    keys : dict, optional
        More keys, which overrule those of the table.

    Raises
    ------
    RefsimError
        As for a card in a file.
    """
    if not isinstance(table, Mapping | None):
        raise RefsimError(
            f"NeuronModel.from_table: needs a dict with the keys of a card, but {table!r} was "
            "given."
        )
    given = {**(table or {}), **(keys or {})}
    whole = {"name": given.get("name"), "title": str(given.get("name", "")), **_USUAL, **given}
    # A table of refsim's own shelf stays the card that it is, with its text.
    original = shelf("equations") / f"{given.get('name')}.toml"
    if original.is_file() and tomllib.loads(text := original.read_text("utf-8")) == given:
        return model_of(whole, text, original)
    return model_of(whole, card_text(whole), Path("the table given"))


def fields_of(words: Mapping[str, Any], read: Mapping[str, Any]) -> Table:
    """Return the fields of a NeuronModel from the arguments of its constructor.

    Parameters
    ----------
    words : dict
        The arguments that the constructor names.
    read : dict
        Further keywords: fields of a neuron that was read from a card.
    """
    # dataclasses.replace and the loader of cards give the fields themselves.
    if isinstance(words["discrete"], DeclaredStep):
        return {
            "kernels": {},
            "convention": {},
            "text": "",
            **{
                field.name: words[field.name]
                for field in fields(NeuronModel)
                if field.name in words
            },
            **read,
        }
    if read:
        known = [*words, "from_table(...), which takes the tables of a card"]
        raise RefsimError(
            f"NeuronModel {words['name']!r}: {listed(read)} is not an argument; known are "
            f"{', '.join(known)}."
        )
    # What was left out is empty, and a single reference or trait is a list of one.
    filled = {**words, **{key: {} if words[key] is None else words[key] for key in _PARTS}}
    for key in ("references", "traits"):
        filled[key] = [words[key]] if isinstance(words[key], str) and words[key] else words[key]
        filled[key] = list(filled[key]) if isinstance(filled[key], list | tuple) else filled[key]
    model = from_table(card_table(filled))
    _check_start(model, filled["state"])
    return vars(model)


def _check_start(model: NeuronModel, given: Mapping[str, Any]) -> None:
    """Refuse a neuron that fires at once because nobody said where it starts.

    Every state starts at 0, and 0 V is above most thresholds.
    """
    if model.draws or not fires_at_start(model) or set(given) & set(model.solved):
        return
    start = ", ".join(f"{name} = {state.start:g}" for name, state in model.solved.items())
    raise RefsimError(
        f"NeuronModel {model.name!r}: fires where it starts, at {start}; say where it starts, "
        f'such as state={{"{model.membrane}": "-65 mV"}}.'
    )


def save(model: NeuronModel, path: Path) -> Path:
    """Write a neuron as a card.

    Raises
    ------
    RefsimError
        Where the file cannot be written, or would not load as this neuron: a changed neuron of
        refsim's shelf under its old name, or one whose equations were changed after it was read.
    """
    table = tomllib.loads(model.text)
    values = {name: parameter.value for name, parameter in model.parameters.items()}
    # The card's own text is kept where its parameters are still the neuron's.
    text = (
        model.text
        if model_of(table, model.text, path).parameters == model.parameters
        else card_text(_with_values(table, values))
    )
    # The file is written only if it would load as this neuron.
    reloaded = model_of(tomllib.loads(text), text, path)
    if (
        any(
            getattr(reloaded, part) != getattr(model, part)
            for part in ("state", "parameters", "derived", "continuous")
        )
        or reloaded.discrete.texts != model.discrete.texts
    ):
        raise RefsimError(
            f"{path}: card '{model.name}' was changed after it was read, by more than its "
            "parameters; its text no longer tells what it is."
        )
    try:
        with whole(path) as file:
            file.write_text(text, "utf-8")
    except OSError as error:
        raise RefsimError(f"{path}: cannot be written ({error.strerror}).") from None
    return path


def _with_values(table: Table, values: Mapping[str, float]) -> Table:
    return {
        **table,
        "parameters": {
            name: {**entry, "value": values[name]} for name, entry in table["parameters"].items()
        },
    }


# The comparison that is false where another is true.
_OPPOSITE = {">": "<=", ">=": "<", "<": ">=", "<=": ">"}
Words = Mapping[str, Any]  # argument of NeuronModel -> what was given


def card_table(words: Words) -> Table:
    """Return the table of a card from the arguments of `NeuronModel`.

    An argument that was left out gets its usual value.

    Raises
    ------
    RefsimError
        For an argument of the wrong kind, or a step that cannot be made from the ODE.
    """
    _check_kinds(words)
    where = f"NeuronModel {words['name']!r}: equations"
    words, declared = _in_card_words(words, where)
    rows = equations_in(words["equations"], where)
    odes = odes_of(rows, where) if words["equations"] else None
    # The texts first, then the tables of names, which need the units of the equations.
    table: Table = {key: words[key] for key in ("name", "kernel", "traits") if words[key]}
    table |= {key: words[key] for key in ("title", "family", "references") if words[key]}
    table["parameters"] = {
        name: _parameter(name, entry, declared.get(name, ""))
        for name, entry in words["parameters"].items()
    }
    table["derived"] = {name: _derived(name, entry) for name, entry in words["derived"].items()}
    table["state"] = _states(words, odes, rows)
    table["input"] = _input(words, odes, list(table["state"]))
    if odes is not None:
        table["continuous"] = {
            "equations": words["equations"],
            "method": words["method"] or _method(words, odes, table["input"]),
        }
        table["continuous"] |= {
            key: words[key] for key in ("threshold", "reset", "refractory") if words[key]
        }
    # The step is the one given, or else the one that the method makes of the ODE.
    table["discrete"] = dict(words["discrete"]) if words["discrete"] else _step(words, odes, table)
    if odes is None:
        table["discrete"] = {"solution": "map", **table["discrete"]}
    if _draws(words) and "stochastic" not in words["traits"]:
        table["traits"] = [*words["traits"], "stochastic"]
    return table


_TEXTS = ("equations", "threshold", "reset", "refractory", "method", "title", "family")
_TABLES = {
    "parameters": '{"tau": "10 ms"}',
    "state": '{"v": "-65 mV"}',
    "derived": '{"keep": "exp(-step/tau) : 1"}',
    "discrete": (
        '{"solution": "exact", "integrate": "v = v + I", "fire": "z = v >= v_th", '
        '"reset": "v = v*(1 - z)"}'
    ),
    "kernel": (
        '{"response": {"text": "decay**k", "cut": "response < 0.01", "of": "I", "meaning": '
        '"response to a spike"}}'
    ),
}


def _check_kinds(words: Words) -> None:
    """Refuse arguments of the wrong kind, with an example of the right one."""
    name = words["name"]
    if not isinstance(name, str) or not name.isidentifier():
        raise RefsimError(
            f'NeuronModel: needs a name of letters, digits and "_", such as "mine", but {name!r} '
            "was given."
        )
    for key in _TEXTS:
        if not isinstance(words[key], str):
            raise RefsimError(
                f"NeuronModel {name!r}: {key} must be text, but {words[key]!r} was given."
            )
    for key, example in _TABLES.items():
        if not isinstance(words[key], Mapping) or not all(
            isinstance(inner, str) for inner in words[key]
        ):
            raise RefsimError(
                f"NeuronModel {name!r}: {key} must be a dict such as {example}, but "
                f"{words[key]!r} was given."
            )
    if not words["equations"].strip() and not words["discrete"]:
        raise RefsimError(
            f'NeuronModel {name!r}: needs equations such as "dv/dt = (v_rest - v + I)/tau : '
            'volt", or discrete, a step of its own.'
        )
    if words["method"] and not words["equations"]:
        raise RefsimError(f"NeuronModel {name!r}: has a method, but no equations to solve with it.")


def _in_card_words(words: Words, where: str) -> tuple[Table, dict[str, str]]:
    """Return the arguments with equations as cards spell them, and the units that these declare."""
    if not words["equations"]:
        return dict(words), {}
    others = {key: value for key, value in words.items() if key != "equations"}
    claimed = words["discrete"].get("solution", "") if words["discrete"] else ""
    found = in_card_words(
        words["equations"], words_of(others), where, words["method"] or str(claimed)
    )
    _check_values(words, found.declared, where)
    said: Table = {**words, "equations": found.text}
    # A line such as I : amp gives the unit of the input.
    if unit := next(
        (found.declared[name] for name in found.declared if name.split("_")[0] == INPUT), ""
    ):
        said["input"] = _declared_input(words["input"], unit, where)
    if found.noisy:
        said |= {
            "method": words["method"] or "euler",
            "traits": list(dict.fromkeys([*words["traits"], "stochastic"])),
        }
    return said, found.declared


def _declared_input(given: object, unit: str, where: str) -> object:
    """Return the input with the unit that the equations declare for it, as in ``I : amp``."""
    table = dict(given) if isinstance(given, Mapping) else {"unit": given}
    if table.get("unit", "1") not in ("1", unit):
        raise RefsimError(
            f"{where} declare the input of unit {unit}, but input says {table['unit']!r}; leave "
            "one out."
        )
    return {**table, "unit": unit}


def _check_values(words: Words, declared: Mapping[str, str], where: str) -> None:
    """Refuse a parameter that the equations declare and nothing gives a value."""
    for name, unit in declared.items():
        if name not in words["parameters"] and name != INPUT and not name.startswith(f"{INPUT}_"):
            raise RefsimError(
                f"{where} declare {name} : {unit}, but nothing gives its value; write "
                f'parameters={{"{name}": "{_EXAMPLES.get(unit, f"1 {unit}")}"}}. '
                f"What a reset changes is a state: 'd{name}/dt = 0*{unit}/second : {unit}'."
            )


_EXAMPLES = {"1": "0.5", "second": "10 ms", "volt": "-50 mV", "amp": "0.1 nA"}


def _parameter(name: str, entry: object, declared: str = "") -> object:
    """Return the entry of a card; ``"10 ms"`` is a value with its unit, a dict is an entry."""
    value = entry.get("value") if isinstance(entry, Mapping) else entry
    unit = declared or base_unit(value)
    if isinstance(entry, Mapping):
        return {"unit": unit, "meaning": name, **entry}
    return {"value": entry, "unit": unit, "meaning": name}


def _derived(name: str, entry: object) -> object:
    """Return the entry of a card: ``"exp(-step/tau) : 1"`` is a text and its unit."""
    if not isinstance(entry, str):
        return {"unit": "1", "meaning": name, **entry} if isinstance(entry, Mapping) else entry
    text, _, unit = entry.partition(":")
    return {"text": text.strip(), "unit": unit.strip() or "1", "meaning": name}


def _states(words: Words, odes: Odes | None, rows: Iterable[Equation]) -> Table:
    """Return the states: those of the equations with their units, then those of the step alone."""
    units = {state_of(row.left): row.unit for row in rows if state_of(row.left)}
    states: Table = {}
    # A state that no equation solves belongs to the declared step alone.
    for name in [*units, *(name for name in words["state"] if name not in units)]:
        entry = words["state"].get(name, 0.0)
        usual = {"unit": units.get(name, ""), "start": 0.0, "meaning": name}
        if odes is not None and name not in units:
            usual["only"] = "discrete"
        states[name] = (
            {**usual, **entry} if isinstance(entry, Mapping) else {**usual, "start": entry}
        )
        states[name]["unit"] = states[name]["unit"] or base_unit(states[name]["start"])
    return states


def _input(words: Words, odes: Odes | None, states: list[str]) -> object:
    """Return the table of the input; ``"amp"`` is its unit.

    What was left out of it, kind and target, is as the equations read the input.
    """
    given = words["input"]
    if isinstance(given, str):
        given = {"unit": given}
    if not isinstance(given, Mapping):
        raise RefsimError(
            f'NeuronModel {words["name"]!r}: input must be the unit of I, such as "amp", or a '
            f"dict with kind, target, unit, but {given!r} was given."
        )
    # A step of its own, or a term I/step, takes spikes as jumps.
    impulse = odes is None or re.search(rf"\b{INPUT}(_\w+)?\s*/\s*{STEP}\b", words["equations"])
    return {
        "kind": "impulse" if impulse else "pulse",
        "target": _target(words, odes, states),
        **given,
    }


def _target(words: Words, odes: Odes | None, states: list[str]) -> str | dict[str, str]:
    """Return the state that the input reaches, or one for each sign where equations part them."""
    if odes is None:
        return next(iter(states), "v")
    reached = {
        sign: next((name for name in odes.slopes if f"{INPUT}_{sign}" in odes.reads(name)), "")
        for sign in SIGNS
    }
    if missing := [f"{INPUT}_{sign}" for sign, name in reached.items() if not name]:
        if len(missing) < len(reached):
            raise RefsimError(
                f"NeuronModel {words['name']!r}: equations: {missing[0]} is not read by any "
                "'d.../dt', but the input of the other sign is; "
                f"read both, or {INPUT} alone, and give states, helpers and constants other names."
            )
    else:
        return reached
    return next(
        (name for name in odes.slopes if INPUT in odes.reads(name)), next(iter(states), "v")
    )


def _method(words: Words, odes: Odes, given: Mapping[str, Any]) -> str:
    """Return the method of the ODE: the one that the step claims, or one that fits the equations.

    Exponential Euler fits where each equation is linear in its own state; else it is Euler.
    """
    claimed = words["discrete"].get("solution")
    if claimed in ("exact", *GENERATED):
        return str(claimed)
    inputs = given["target"] if isinstance(given["target"], Mapping) else {"": given["target"]}
    # Making the step is the test of whether it can be made.
    try:
        named = {f"{INPUT}_{sign}" if sign else INPUT: state for sign, state in inputs.items()}
        generated_step(odes, "exponential_euler", named, kind=given["kind"], where="")
    except RefsimError:
        return "euler"
    return "exponential_euler"


def _step(words: Words, odes: Odes | None, table: Table) -> dict[str, str]:
    """Return the declared step that the method makes of the ODE, with its threshold and reset."""
    where, method = f"NeuronModel {words['name']!r}", table["continuous"]["method"]
    if method not in GENERATED:
        raise RefsimError(
            f"{where}: method {method!r} makes no step by itself; give the step as "
            f"discrete={{...}}, or one of the methods {listed(GENERATED)}."
        )
    assert odes is not None
    step = {
        "solution": method,
        "integrate": "\n".join(["from continuous", *_recomputed(words, odes)]),
    }
    # The threshold of a step reads the duration of the step, not of a sub-step.
    threshold = re.sub(r"\bdt\b", STEP, words["threshold"])
    if not threshold.strip():
        return {
            "solution": method,
            "integrate": "from continuous",
            "readout": str(table["input"]["target"]),
        }
    # A refractory condition turns the threshold into a crossing.
    fire = threshold
    if words["refractory"]:
        before, fire = _crossing(words, threshold, list(table["state"]), where)
        step["integrate"] = "\n".join([*before, step["integrate"]])
    rows = parse_statements(words["reset"], f"{where}: reset") if words["reset"] else ()
    # A statement of a step runs always, so that the spike z chooses old or new.
    reset = [
        (
            f"{row.target} = {row.target}*(1 - z) + "
            f"{row.text if row.text.isidentifier() else f'({row.text})'}*z"
        )
        for row in rows
    ]
    return {**step, "fire": f"z = {fire}", **({"reset": "\n".join(reset)} if reset else {})}


def _recomputed(words: Words, odes: Odes) -> list[str]:
    """Return statements that compute subexpressions again, from the new states.

    Threshold and reset of the ODE read them so. Only those that the two read are computed.
    """
    read = set(re.findall(r"\w+", f"{words['threshold']} {words['reset']}"))
    wanted = set(read)
    for name, tree in reversed(list(odes.subexpressions.items())):
        wanted |= names_in(tree) if name in wanted else set()
    return [
        f"{name} = {renamed(tree, {'dt': STEP})}"
        for name, tree in odes.subexpressions.items()
        if name in wanted
    ]


def _crossing(words: Words, threshold: str, states: list[str], where: str) -> tuple[list[str], str]:
    """Return statements that keep the old states, and a test that holds at a new crossing alone."""
    tests = comparisons(parse_expression(threshold, f"{where}: threshold"))
    if words["refractory"].split() != words["threshold"].split() or len(tests) != 1:
        raise RefsimError(
            f"{where}: a refractory period needs the step too, as a count of steps: give "
            f"discrete={{...}}, as in equations/lif_refractory.toml. "
            "The refractory condition that is the threshold itself, a spike a crossing, needs "
            "none."
        )
    ((left, symbol, right),) = tests
    kept = sorted(names_in(left) & set(states) | names_in(right) & set(states))
    old = {
        name: _free(f"{name}_old", {*states, *words["parameters"], *words["derived"]})
        for name in kept
    }
    sides = [renamed(side, old) for side in (left, right)]
    return [
        f"{new} = {name}" for name, new in old.items()
    ], f"{threshold} and {sides[0]} {_OPPOSITE[symbol]} {sides[1]}"


def _free(name: str, taken: set[str]) -> str:
    """Return a name, made longer until it is not taken."""
    while name in taken:
        name += "er"
    return name


def _draws(words: Words) -> bool:
    """Return whether some text reads a random number."""
    texts = [words[key] for key in ("equations", "threshold", "reset")] + [
        str(text) for text in words["discrete"].values()
    ]
    return bool(set(DRAWS) & set(re.findall(r"\w+", " ".join(texts))))
