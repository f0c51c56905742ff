"""What equations/formats/lava.toml says of lava-dl's neurons.

Their cards, and how entries of a file become parameters.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from ..cards.frameworks import holds
from ..cards.language import SCALAR_FUNCTIONS, evaluate, names_in, parse_expression
from ..cards.neuron import NeuronModel
from ..cards.read import load
from ..core.arrays import EXACT, Floats, float_array
from ..core.errors import RefsimError, listed
from ..core.shelf import shelf


@dataclass(frozen=True)
class Kind:
    """One [[neuron]] of the file; see its comments.

    Attributes
    ----------
    types : tuple of str
    card : str
    convention : dict of str to str
        Traits that a file does not say, as they are usually meant.
    values, optional : dict of str to str
        Parameter of the card -> expression over entries.
    tensors : dict of str to str
        Entry -> tensor of the neuron in a state_dict.
    given : dict of str to str
        Entry -> expression over numbers that a state_dict does not hold, such as the threshold.
    rotation : tuple of str
        GroupReader of cosine and sine, which the card computes from decay and period.
    sends : str
        What a spike of 1 amounts to behind this neuron.
    variants : tuple of (when, then)
    """

    types: tuple[str, ...]
    card: str
    convention: Mapping[str, str]
    values: Mapping[str, str]
    tensors: Mapping[str, str]
    given: Mapping[str, str]
    optional: Mapping[str, str] = field(default_factory=dict)
    rotation: tuple[str, ...] = ()
    sends: str = ""
    variants: tuple[tuple[Mapping[str, str], Mapping[str, str]], ...] = ()

    def sent(self, spike: float) -> float:
        """Return what a spike of 1 amounts to behind this neuron."""
        return (
            float(_value(self.sends, {"spike": spike}, f"card '{self.card}'"))
            if self.sends
            else 1.0
        )

    def numbers_from(self, given: Mapping[str, float], where: str) -> dict[str, float]:
        """Return the entries that follow from numbers a user gives, such as the threshold.

        Raises
        ------
        RefsimError
            Where one is missing, or is of no account.
        """
        trees = {name: parse_expression(text, where) for name, text in self.given.items()}
        needed = {name for tree in trees.values() for name in names_in(tree)}
        if missing := needed - set(given):
            raise RefsimError(
                f"{where}: needs {listed(missing)}, as it was given to lava-dl; a state_dict "
                "does not hold it."
            )
        if surplus := set(given) - needed:
            raise RefsimError(
                f"{where}: {listed(surplus)} is not a known key here; beside the tensors its "
                f"neuron needs {listed(needed)}."
            )
        return {
            name: float(evaluate(tree, given, SCALAR_FUNCTIONS)) for name, tree in trees.items()
        }

    def meant(self, asked: Mapping[str, str]) -> dict[str, str]:
        """Return the convention with what a user asked for."""
        return {trait: asked.get(trait, option) for trait, option in self.convention.items()}


@dataclass(frozen=True)
class LavaFormat:
    """The whole file."""

    kinds: Mapping[str, Kind]
    unsaid: Mapping[str, Mapping[str, str]]
    grid: Mapping[str, float]
    refusals: tuple[Mapping[str, Any], ...]

    def kind(self, name: str, where: str) -> Kind:
        """Return what is said of a type of neuron."""
        if name not in self.kinds:
            raise RefsimError(
                f"{where}: holds neurons of type '{name[:40]}', which no card says; of lava-dl "
                f"refsim reads {listed(self.kinds)}."
            )
        return self.kinds[name]

    def check_convention(self, asked: Mapping[str, str], where: str) -> None:
        """Refuse traits and options that are not known here."""
        for trait, option in asked.items():
            if trait not in self.unsaid:
                raise RefsimError(
                    f"{where}: '{trait}' is nothing that lava-dl leaves unsaid; known are "
                    f"{listed(self.unsaid)}."
                )
            if option not in self.unsaid[trait]:
                raise RefsimError(
                    f"{where}: {trait} must be one of "
                    f"{', '.join(map(repr, self.unsaid[trait]))}, but is {option!r}."
                )

    def check_refused(self, kind: Kind, entries: Mapping[str, Any], where: str) -> None:
        """Refuse entries that no card can say."""
        for refusal in self.refusals:
            when = {name: value for name, value in refusal["when"].items() if name in entries}
            if (
                when
                and not set(kind.types) & set(refusal.get("except", ()))
                and holds(when, entries)
            ):
                raise RefsimError(
                    f"{where}: {', '.join(f'{name} = {entries[name]!r}' for name in when)} is "
                    f"not read: {refusal['because']}"
                )


@cache
def lava_format() -> LavaFormat:
    """Read equations/formats/lava.toml."""
    table = tomllib.loads((shelf("equations") / "formats" / "lava.toml").read_text("utf-8"))
    kinds = [
        Kind(
            tuple(row["types"]),
            row["card"],
            row["convention"],
            row["values"],
            row["tensors"],
            row["given"],
            row.get("optional", {}),
            tuple(row.get("rotation", ())),
            row.get("sends", ""),
            tuple((entry["when"], entry["then"]) for entry in row.get("variant", [])),
        )
        for row in table["neuron"]
    ]
    return LavaFormat(
        {name: kind for kind in kinds for name in kind.types},
        table["unsaid"],
        table["grid"],
        tuple(table["refuse"]),
    )


def neurons(
    kind: Kind,
    entries: Mapping[str, Any],
    shape: tuple[int, ...],
    convention: Mapping[str, str],
    where: str,
) -> tuple[NeuronModel, dict[str, Floats]]:
    """Return the card with its parameters, and those that differ from neuron to neuron, (n,).

    Parameters
    ----------
    entries : dict of str to number or array
        Of the neuron, with ``bias`` and ``spike``.
    shape : tuple of int
        Of the layer's neurons; a value may be one, one a channel (the first axis), or one a neuron.
    """
    texts = dict(kind.values)
    texts |= {
        name: text
        for name, text in kind.optional.items()
        if names_in(parse_expression(text, where)) <= set(entries)
    }
    for when, then in kind.variants:
        texts |= then if all(convention[trait] == option for trait, option in when.items()) else {}
    values = {name: _value(text, entries, where) for name, text in texts.items()}
    if kind.rotation:
        values |= dict(
            zip(
                ("decay", "period"),
                _rotation(
                    _entry(entries, kind.rotation[0], where),
                    _entry(entries, kind.rotation[1], where),
                    where,
                ),
                strict=True,
            )
        )
    same, own = {}, {}
    for name, value in values.items():
        flat = spread(value, shape, f"{where}: {name}")
        if (flat == flat.flat[0]).all():
            same[name] = float(flat.flat[0])
        else:
            own[name] = np.broadcast_to(flat, math.prod(shape))
    try:
        return load(kind.card, **same), own
    except RefsimError as error:
        raise RefsimError(f"{where}: {error}") from None


def _value(text: str, entries: Mapping[str, Any], where: str) -> Floats:
    tree = parse_expression(text, where)
    scope = {name: _entry(entries, name, where) for name in names_in(tree)}
    value = np.asarray(evaluate(tree, scope, {}), np.float64)
    if np.abs(value).max() > EXACT:
        raise RefsimError(
            f"{where}: {text} reaches {np.abs(value).max():.3g}, and float64 holds whole numbers "
            "exactly up to 2**53 only."
        )
    return value


def _entry(entries: Mapping[str, Any], name: str, where: str) -> Floats:
    if name not in entries:
        raise RefsimError(
            f"{where}: its neuron has no '{name}'; it has "
            f"{listed(set(entries) - {'bias', 'spike'})}."
        )
    try:
        value = float_array(np.asarray(entries[name]), f"{where}: '{name}'")
    except RefsimError:
        raise
    except (TypeError, ValueError):
        raise RefsimError(
            f"{where}: '{name}' must be a number, but is {str(entries[name])[:40]!r}."
        ) from None
    if not value.size or not np.isfinite(value).all() or (value != np.rint(value)).any():
        raise RefsimError(f"{where}: '{name}' must be whole numbers, but is {str(value)[:60]}.")
    return value


def _rotation(cos: Floats, sin: Floats, where: str) -> tuple[Floats, Floats]:
    """Return decay and period of which the card makes these 4096ths, and see that it does."""
    decay, angle = 1 - np.hypot(cos, sin) / 4096, np.arctan2(sin, cos)
    with np.errstate(divide="ignore"):
        period = 2 * np.pi / angle
    again = [
        np.floor(4096 * (1 - decay) * part(2 * np.pi / period) + 0.5) for part in (np.cos, np.sin)
    ]
    if (np.abs([cos, sin]).max() > 4096) or not all(map(np.array_equal, again, (cos, sin))):
        raise RefsimError(
            f"{where}: cosDecay {cos} and sinDecay {sin} are no turn by a quarter or less in "
            "4096ths."
        )
    return decay, period


def spread(value: Floats, shape: tuple[int, ...], where: str) -> Floats:
    """Return a value, one a channel or one a neuron, as (1,) or (n,)."""
    flat = np.ravel(value)
    if flat.size in (1, math.prod(shape)):
        return flat
    if flat.size == shape[0]:
        return np.repeat(flat, math.prod(shape[1:]))
    raise RefsimError(
        f"{where}: has {flat.size} values, but its layer has {math.prod(shape)} neurons in "
        f"{shape[0]} channels."
    )
