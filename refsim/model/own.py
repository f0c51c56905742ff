"""A card written in Python: the same keys as a TOML card, the same checks, and the same sentences where one fails."""

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..errors import RefsimError, listed
from ..shelf import shelf
from ..whole import whole
from .card import _model as model_of
from .neuron import Discrete, NeuronModel
from .plain import table_of
from .reading import fires_at_start
from .writing import card_text

_USUAL = {"family": "own", "references": ["a neuron of one's own, written in Python"]}
_PARTS = ("parameters", "state", "derived", "discrete", "kernel")


def from_table(table: Mapping[str, Any] | None, keys: Mapping[str, Any] | None = None) -> NeuronModel:
    """Make a neuron from a table with a card's keys, and perhaps others as keywords.

    Parameters
    ----------
    table : dict
        ``name``, ``input``, ``state``, ``parameters``, ``derived``, ``continuous``, ``discrete``, as in a card; ``title``,
        ``family`` and ``references`` may be left out.

    Raises
    ------
    RefsimError
        As for a card in a file.
    """
    if not isinstance(table, Mapping | None):
        raise RefsimError(f"NeuronModel.from_table: needs a dict with the keys of a card, but {table!r} was given.")
    given = {**(table or {}), **(keys or {})}
    whole = {"name": given.get("name"), "title": str(given.get("name", "")), **_USUAL, **given}
    original = shelf("equations") / f"{given.get('name')}.toml"
    if original.is_file() and tomllib.loads(text := original.read_text("utf-8")) == given:
        return model_of(whole, text, original)
    return model_of(whole, card_text(whole), Path("the table given"))


def fields_of(words: Mapping[str, Any], read: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a NeuronModel from the arguments of its constructor."""
    if isinstance(words["discrete"], Discrete):  # of a neuron that was read: dataclasses.replace, and the card loader
        return {"kernels": {}, "convention": {}, "text": "", **{field.name: words[field.name] for field in fields(NeuronModel) if field.name in words}, **read}
    if read:
        known = [*words, "from_table(...), which takes the tables of a card"]
        raise RefsimError(f"NeuronModel {words['name']!r}: {listed(read)} is not an argument; known are {', '.join(known)}.")
    plain = {**words, **{key: {} if words[key] is None else words[key] for key in _PARTS}}
    for key in ("references", "traits"):
        plain[key] = [words[key]] if isinstance(words[key], str) and words[key] else words[key]
        plain[key] = list(plain[key]) if isinstance(plain[key], list | tuple) else plain[key]
    model = from_table(table_of(plain))
    _check_start(model, plain["state"])
    return vars(model)


def _check_start(model: NeuronModel, given: Mapping[str, Any]) -> None:
    """Refuse a neuron that fires at once because nobody said where it starts: 0 V is above most thresholds."""
    if model.draws or not fires_at_start(model) or set(given) & set(model.solved):
        return
    start = ", ".join(f"{name} = {state.start:g}" for name, state in model.solved.items())
    raise RefsimError(f'NeuronModel {model.name!r}: fires where it starts, at {start}; say where it starts, such as state={{"{model.membrane}": "-65 mV"}}.')


def save(model: NeuronModel, path: Path) -> Path:
    """Write a neuron as a card.

    Raises
    ------
    RefsimError
        Where the file cannot be written, or would not load as this neuron: a changed neuron of refsim's shelf under its old
        name, or one whose equations were changed after it was read.
    """
    table = tomllib.loads(model.text)
    values = {name: parameter.value for name, parameter in model.parameters.items()}
    text = model.text if model_of(table, model.text, path).parameters == model.parameters else card_text(_with_values(table, values))
    again = model_of(tomllib.loads(text), text, path)
    if (
        any(getattr(again, part) != getattr(model, part) for part in ("state", "parameters", "derived", "continuous"))
        or again.discrete.texts != model.discrete.texts
    ):
        raise RefsimError(f"{path}: card '{model.name}' was changed after it was read, by more than its parameters; its text no longer tells what it is.")
    try:
        with whole(path) as made:
            made.write_text(text, "utf-8")
    except OSError as error:
        raise RefsimError(f"{path}: cannot be written ({error.strerror}).") from None
    return path


def _with_values(table: dict[str, Any], values: Mapping[str, float]) -> dict[str, Any]:
    return {**table, "parameters": {name: {**entry, "value": values[name]} for name, entry in table["parameters"].items()}}
