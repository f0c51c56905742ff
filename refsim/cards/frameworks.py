"""The layers of the frameworks.

Which card each class has, where its parameters are, and what its options mean.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..core.errors import RefsimError, listed
from ..core.shelf import shelf
from .neuron import NeuronModel
from .read import load


@dataclass(frozen=True)
class FrameworkLayer:
    """What a card of equations/frameworks/ says of the classes that it stands for.

    Attributes
    ----------
    card : str
    framework : str
    layers : tuple of str
        Names of classes.
    attributes : dict of str to str
        Parameter of the card -> attribute of the layer, such as ``p.tau_mem_inv``.
    options : dict of str to str
        Option of the framework -> attribute of the layer.
    variants : tuple of (when, then)
        Traits that hold where the options have these values, or under ``"card"`` another card that
        does.
    refusals : tuple of (when, because)
        Options that the card cannot say, and why.
    """

    card: str
    framework: str
    layers: tuple[str, ...]
    attributes: Mapping[str, str]
    options: Mapping[str, str]
    variants: tuple[tuple[Mapping[str, Any], Mapping[str, str]], ...]
    refusals: tuple[tuple[Mapping[str, Any], str], ...]

    def model(self, options: Mapping[str, object], where: str) -> NeuronModel:
        """Return the card with the convention that options of the framework ask for.

        Raises
        ------
        RefsimError
            Where the options are those of a neuron that the card cannot say.
        """
        for when, because in self.refusals:
            if holds(when, options):
                raise RefsimError(
                    f"{where}: {', '.join(f'{name} = {options[name]!r}' for name in when)} is "
                    f"not read: {because}"
                )
        chosen: dict[str, str] = {"card": self.card}
        for when, then in self.variants:
            chosen |= then if holds(when, options) else {}
        return load(chosen.pop("card"), **chosen)


def holds(when: Mapping[str, Any], options: Mapping[str, object]) -> bool:
    """Whether all options have the values that a variant or refusal names."""
    return all(_equals(options[name], value) for name, value in when.items())


def _equals(given: object, value: Any) -> bool:
    """Compare an option; TOML has no null, "other than" or "or".

    "None" is text, "not False" any other value, "a | b" one of two.
    """
    if isinstance(value, str) and value.startswith("not "):
        return not _equals(given, value.removeprefix("not "))
    if isinstance(value, str):
        return any(_same(given, word) for word in value.split(" | "))
    return bool((given if isinstance(given, bool | int | float | str) else str(given)) == value)


def _same(given: object, word: str) -> bool:
    """Compare with a word; numbers by value, so that 1, 1.0 and "1" are one."""
    if isinstance(given, int | float) and not isinstance(given, bool):
        try:
            return float(given) == float(word)
        except ValueError:
            return False
    return str(given) == word


@cache
def framework_layers() -> Mapping[tuple[str, str], FrameworkLayer]:
    """Return the layers of all frameworks by (framework, class)."""
    found: dict[tuple[str, str], FrameworkLayer] = {}
    for path in sorted((shelf("equations") / "frameworks").glob("*.toml")):
        layer = _read(path)
        found |= {} if layer is None else {(layer.framework, name): layer for name in layer.layers}
    return found


def _read(path: Path) -> FrameworkLayer | None:
    """Return what a card says of a framework.

    None for one without [framework], which is the variant of another.
    """
    table = tomllib.loads(path.read_text("utf-8"))
    if "framework" not in table:
        return None
    said, where = table["framework"], f"card '{table['name']}'"
    if missing := [key for key in ("name", "layers") if key not in said]:
        raise RefsimError(f"{where}: [framework] needs {listed(missing)}.")
    options = said.get("options", {})
    variants = tuple(
        (entry["when"], {"card": entry["card"]} if "card" in entry else entry["then"])
        for entry in table.get("variant", [])
    )
    refusals = tuple((entry["when"], entry["because"]) for entry in table.get("refuse", []))
    for when, _ in (*variants, *refusals):
        if unknown := set(when) - set(options):
            raise RefsimError(
                f"{where}: a variant asks for {listed(unknown)}, but [framework] options are "
                f"{listed(options)}."
            )
    return FrameworkLayer(
        table["name"],
        said["name"],
        tuple(said["layers"]),
        said.get("attributes", {}),
        options,
        variants,
        refusals,
    )
