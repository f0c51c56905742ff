"""Write tables as TOML that a person can read, and that the loader reads back as the same table."""

import json
from collections.abc import Iterable, Mapping
from numbers import Integral, Real


def card_text(table: Mapping[str, object]) -> str:
    """Return the TOML of a card's table, whose values are texts, numbers, lists, or tables."""
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"{key} = {_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            lines += [
                "",
                f"[{key}]",
                *(f"{name} = {_value(entry)}" for name, entry in value.items()),
            ]
    return "\n".join(lines) + "\n"


def rows_text(name: str, rows: Iterable[Mapping[str, object]]) -> str:
    """Return rows as TOML, a [[name]] for each; tables in a row stand on one line."""
    return "\n".join(
        "\n".join([f"[[{name}]]", *(f"{key} = {_value(value)}" for key, value in row.items()), ""])
        for row in rows
    )


def _value(value: object) -> str:
    """Return one value; a text of several lines keeps them."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_value(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(entry) for entry in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Real):
        return str(int(value)) if isinstance(value, Integral) else repr(float(value))
    if isinstance(value, str) and "\n" in value:
        return '"""\n' + "\n".join(_escaped(line) for line in value.split("\n")) + '"""'
    return f'"{_escaped(str(value))}"'


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007f")
