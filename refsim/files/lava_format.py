"""The neurons of lava-dl, as equations/formats/lava.toml describes them.

`Kind` is one type of neuron, and `LavaFormat` the whole file. `neurons` turns the entries of a
file into a card and its parameters.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np

from ..cards.frameworks import holds
from ..cards.language import SCALAR_FUNCTIONS, evaluate, names_in, parse_expression
from ..cards.neuron import NeuronModel
from ..cards.read import load
from ..core.arrays import EXACT, Floats, float_array
from ..core.errors import RefsimError, listed
from ..core.shelf import shelf
from .per_neuron import by_channel, part_shared


@dataclass(frozen=True)
class Kind:
    """One [[neuron]] of lava.toml, whose comments explain each key.

    Attributes
    ----------
    types : tuple of str
    card : str
    convention : dict of str to str
        Traits that a file does not say, with the option that is usually meant.
    values, optional : dict of str to str
        The expression over entries that gives a parameter of the card, by its name.
    tensors : dict of str to str
        The tensor of the neuron in a state_dict that holds an entry, by the name of the entry.
    given : dict of str to str
        The expression over numbers that a state_dict does not hold, such as the threshold, by the
        name of the entry.
    rotation : tuple of str
        Entries that hold cosine and sine; the card computes them from decay and period.
    sends : str
        The size of a spike of 1 behind this neuron, as an expression.
    variants : tuple of (when, then)
        Expressions that replace others where the convention is so.
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
        """Return the size of a spike of 1 behind this neuron."""
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
            Where a number is missing, or is not used.
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
        """Return the convention, with the options that a user asked for."""
        return {trait: asked.get(trait, option) for trait, option in self.convention.items()}


class Refusal(NamedTuple):
    """One [[refuse]] of lava.toml: entries that are not read, why, and for which types they are."""

    when: Mapping[str, object]
    because: str
    exempt: tuple[str, ...]


@dataclass(frozen=True)
class LavaFormat:
    """The whole of lava.toml."""

    kinds: Mapping[str, Kind]
    unsaid: Mapping[str, Mapping[str, str]]
    grid: Mapping[str, float]
    refusals: tuple[Refusal, ...]

    def kind(self, name: str, where: str) -> Kind:
        """Return a type of neuron by its name in lava-dl."""
        if name not in self.kinds:
            raise RefsimError(
                f"{where}: holds neurons of type '{name[:40]}', which no card says; of lava-dl "
                f"refsim reads {listed(self.kinds)}."
            )
        return self.kinds[name]

    def check_convention(self, asked: Mapping[str, str], where: str) -> None:
        """Refuse traits and options that lava.toml does not list."""
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

    def check_refused(self, kind: Kind, entries: Mapping[str, object], where: str) -> None:
        """Refuse entries that no card can express."""
        for refusal in self.refusals:
            when = {name: value for name, value in refusal.when.items() if name in entries}
            if when and not set(kind.types) & set(refusal.exempt) and holds(when, entries):
                raise RefsimError(
                    f"{where}: {', '.join(f'{name} = {entries[name]!r}' for name in when)} is "
                    f"not read: {refusal.because}"
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
    # One [[neuron]] may serve several types of lava-dl.
    return LavaFormat(
        {name: kind for kind in kinds for name in kind.types},
        table["unsaid"],
        table["grid"],
        tuple(
            Refusal(row["when"], row["because"], tuple(row.get("except", ())))
            for row in table["refuse"]
        ),
    )


def neurons(
    kind: Kind,
    entries: Mapping[str, object],
    shape: tuple[int, ...],
    convention: Mapping[str, str],
    where: str,
) -> tuple[NeuronModel, dict[str, Floats]]:
    """Return the card with its parameters, and those that differ from neuron to neuron, (n,).

    Parameters
    ----------
    kind : Kind
    entries : dict of str to number or array
        The entries of the neuron, with ``bias`` and ``spike`` besides. An entry holds one number,
        one a channel or one a neuron.
    shape : tuple of int
        The shape of the layer; its first axis counts the channels.
    convention : dict of str to str
        The option of every trait.
    where : str
        Opens the error messages.
    """
    # Which expressions hold depends on the entries that are there, and on the convention.
    texts = dict(kind.values)
    texts |= {
        name: text
        for name, text in kind.optional.items()
        if names_in(parse_expression(text, where)) <= set(entries)
    }
    for when, then in kind.variants:
        texts |= then if all(convention[trait] == option for trait, option in when.items()) else {}
    # Every parameter of the card is an expression over entries.
    values = {name: _value(text, entries, where) for name, text in texts.items()}
    # The card has a decay and a period where the file has cosine and sine.
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
    same, own = part_shared(
        {name: by_channel(value, shape, f"{where}: {name}") for name, value in values.items()}
    )
    try:
        return load(kind.card, **same), own
    except RefsimError as error:
        raise RefsimError(f"{where}: {error}") from None


def _value(text: str, entries: Mapping[str, object], where: str) -> Floats:
    """Return the value of an expression over entries."""
    tree = parse_expression(text, where)
    scope = {name: _entry(entries, name, where) for name in names_in(tree)}
    value = np.asarray(evaluate(tree, scope, {}), np.float64)
    # lava-dl computes with whole numbers, which float64 must be able to hold exactly.
    if np.abs(value).max() > EXACT:
        raise RefsimError(
            f"{where}: {text} reaches {np.abs(value).max():.3g}, and float64 holds whole numbers "
            "exactly up to 2**53 only."
        )
    return value


def _entry(entries: Mapping[str, object], name: str, where: str) -> Floats:
    """Return an entry of a neuron as whole numbers."""
    if name not in entries:
        raise RefsimError(
            f"{where}: its neuron has no '{name}'; it has "
            f"{listed(set(entries) - {'bias', 'spike'})}."
        )
    # An entry of a state_dict is an array, and one of a description is a number.
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
    """Return the decay and period from which the card computes this cosine and sine, in 4096ths.

    The computation is repeated here, and whatever would give other whole numbers is refused.
    """
    # The card turns the state by an angle a step, and shrinks it.
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
