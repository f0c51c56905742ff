"""The layers of the frameworks: the card of each class, its parameters and its options."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

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
        Traits that hold where the options have these values; under ``"card"``, another card.
    refusals : tuple of (when, because)
        Options that the card cannot express, and the reason.
    """

    card: str
    framework: str
    layers: tuple[str, ...]
    attributes: Mapping[str, str]
    options: Mapping[str, str]
    variants: tuple[tuple[Mapping[str, object], Mapping[str, str]], ...]
    refusals: tuple[tuple[Mapping[str, object], str], ...]

    def model(self, options: Mapping[str, object], where: str) -> NeuronModel:
        """Return the card with the convention that options of the framework ask for.

        Raises
        ------
        RefsimError
            Where the options are those of a neuron that the card cannot express.
        """
        for when, because in self.refusals:
            if holds(when, options):
                raise RefsimError(
                    f"{where}: {', '.join(f'{name} = {options[name]!r}' for name in when)} is "
                    f"not read: {because}"
                )
        # A later variant overrules an earlier one.
        chosen: dict[str, str] = {"card": self.card}
        for when, then in self.variants:
            chosen |= then if holds(when, options) else {}
        return load(chosen.pop("card"), **chosen)


def holds(when: Mapping[str, object], options: Mapping[str, object]) -> bool:
    """Return whether all options have the values that a variant or refusal names."""
    return all(_equals(options[name], value) for name, value in when.items())


def _equals(given: object, value: object) -> bool:
    """Return whether an option has a value, in the words that a card has for values.

    TOML has no null, "other than" or "or": the text "None" stands for None, "not False" for any
    other value, and "a | b" for one of two.
    """
    if isinstance(value, str) and value.startswith("not "):
        return not _equals(given, value.removeprefix("not "))
    if isinstance(value, str):
        return any(_same(given, word) for word in value.split(" | "))
    return bool((given if isinstance(given, bool | int | float | str) else str(given)) == value)


def _same(given: object, word: str) -> bool:
    """Return whether a value is a word; numbers are compared by value, so 1, 1.0 and "1" agree."""
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
    """Return what a card says of a framework; None for a card that is only a variant."""
    table = tomllib.loads(path.read_text("utf-8"))
    if "framework" not in table:
        return None
    framework, where = table["framework"], f"card '{table['name']}'"
    if missing := [key for key in ("name", "layers") if key not in framework]:
        raise RefsimError(f"{where}: [framework] needs {listed(missing)}.")
    options = framework.get("options", {})
    variants = tuple(
        (entry["when"], {"card": entry["card"]} if "card" in entry else entry["then"])
        for entry in table.get("variant", [])
    )
    refusals = tuple((entry["when"], entry["because"]) for entry in table.get("refuse", []))
    # A variant may ask only for options that the card declares.
    for when, _ in (*variants, *refusals):
        if unknown := set(when) - set(options):
            raise RefsimError(
                f"{where}: a variant asks for {listed(unknown)}, but [framework] options are "
                f"{listed(options)}."
            )
    return FrameworkLayer(
        table["name"],
        framework["name"],
        tuple(framework["layers"]),
        framework.get("attributes", {}),
        options,
        variants,
        refusals,
    )
