"""Options of the form ``name,key=value,...``: a loss or a surrogate with its parameters."""

from typing import Any

from ..errors import RefsimError


def surrogate_named(text: str) -> tuple[str, dict[str, float]]:
    """Read what ``--surrogate`` is given."""
    name, parameters = named(text, "--surrogate", "sigmoid,slope=4")
    if wrong := [key for key, value in parameters.items() if not isinstance(value, int | float)]:
        raise RefsimError(f"--surrogate: {wrong[0]} in {text!r} must be a number.")
    return name, parameters


def named(text: str, option: str, example: str) -> tuple[str, dict[str, Any]]:
    """Read ``name,key=value,...``."""
    name, *rest = [part.strip() for part in text.split(",")]
    found = {}
    for part in rest:
        key, equals, value = part.partition("=")
        if not equals or not key.strip().isidentifier() or not value.strip():
            raise RefsimError(f"{option}: needs NAME or NAME,KEY=VALUE,..., such as {example}, but {text!r} was given.")
        found[key.strip()] = _value(value.strip())
    return name, found


def _value(text: str) -> Any:
    if ":" in text:
        return tuple(_value(part) for part in text.split(":"))
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
