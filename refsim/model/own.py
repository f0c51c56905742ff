"""A card written in Python: the same keys as a TOML card, the same checks, and the same sentences where one fails."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import RefsimError
from ..shelf import shelf
from .card import _model as model_of
from .neuron import NeuronModel

_USUAL = {"family": "own", "references": ["a neuron of one's own, written in Python"]}


def from_table(table: Mapping[str, Any]) -> NeuronModel:
    """Make a neuron from a table with a card's keys.

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
    if not isinstance(table, Mapping):
        raise RefsimError(f"NeuronModel.from_table: needs a dict with the keys of a card, but {table!r} was given.")
    whole = {**_USUAL, "title": str(table.get("name", "")), **table}
    original = shelf("equations") / f"{table.get('name')}.toml"
    if original.is_file() and tomllib.loads(text := original.read_text("utf-8")) == dict(table):
        return model_of(whole, text, original)
    return model_of(whole, json.dumps(whole, default=str), Path("the table given"))
