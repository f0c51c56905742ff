"""Declared and read, side by side.

In which weights, parameters, wiring and conventions the two networks differ.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.arrays import Floats
from ..core.claims import Claim, Verdict, judge
from ..networks.connection import DRIVE
from ..networks.network import Layer, Network

MEASURE = "readings unlike the declared"
# A weight that a tool folded in float32 (scale, batch norm, decay) is rounded three or four times,
# by half of 2^-23 each.
ROUNDING = 4 * 2.0**-23
_CLAIM = Claim(
    "code",
    MEASURE,
    0,
    "numbers",
    (
        "weights, biases, delays and parameters are numbers that were measured, and a network with "
        "other numbers is another network"
    ),
)


@dataclass(frozen=True)
class Difference:
    """One thing in which a module is not what is declared.

    Attributes
    ----------
    layer : int or None
        None where it is of the whole network.
    kind : {"layers", "dt", "inputs", "neurons", "wiring", "weight", "bias", "parameter", "card"}
    said : str
        In words: what is declared, and what was read.
    certain : bool
        Whether the two cannot be the same network; another card may be the same neuron under
        another name.
    """

    layer: int | None
    kind: str
    said: str
    certain: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Return it for report.json."""
        return {"layer": self.layer, "kind": self.kind, "said": self.said, "certain": self.certain}


def differences(declared: Network, read: Network) -> tuple[Difference, ...]:
    """Return where a network that was read from a module differs from the declared one, by more
    than float32 rounds.

    Parameters
    ----------
    declared, read : Network
        Layers are held against each other in order.
    """
    if len(declared.layers) != len(read.layers):
        return (
            Difference(
                None,
                "layers",
                (
                    f"{len(declared.layers)} layers of neurons are declared, {len(read.layers)} "
                    "were "
                    "read"
                ),
            ),
        )
    found = []
    if abs(declared.dt - read.dt) > ROUNDING * declared.dt:
        found.append(
            Difference(
                None, "dt", f"a step of {declared.dt:g} s is declared, {read.dt:g} s was read"
            )
        )
    if declared.n_inputs != read.n_inputs:
        found.append(
            Difference(
                None,
                "inputs",
                f"{declared.n_inputs} inputs are declared, {read.n_inputs} were read",
            )
        )
    for index, pair in enumerate(zip(declared.layers, read.layers, strict=True)):
        found += _of_layer(index, *pair, declared.dt)
    return tuple(found)


def judge_readings(found: tuple[Difference, ...], run: str) -> Verdict:
    """Judge what differs: certain differences are no rounding and no matter of names."""
    certain = [each for each in found if each.certain]
    facts = {"differences": [each.as_dict() for each in found]}
    verdict = judge(
        _CLAIM,
        len(certain),
        run=run,
        detail="; ".join(each.said for each in (certain or found)[:4]),
    )
    return Verdict(
        verdict.claim,
        verdict.value,
        verdict.status,
        verdict.margin,
        verdict.run,
        verdict.detail,
        facts,
    )


def _of_layer(index: int, declared: Layer, read: Layer, dt: float) -> Iterator[Difference]:
    where = f"layer {index}"
    if declared.n_post != read.n_post:
        yield Difference(
            index,
            "neurons",
            f"{where}: {declared.n_post} neurons are declared, {read.n_post} were read",
        )
        return
    if words := _cards(declared, read, dt):
        yield Difference(index, "card", f"{where}: {words}", certain=False)
    elif words := _parameters(declared, read, dt):
        yield Difference(index, "parameter", f"{where}: {words}")
    if words := _unlike(declared.bias, read.bias, "bias"):
        yield Difference(index, "bias", f"{where}: {words}")
    ours, theirs = (_by_source(layer) for layer in (declared, read))
    for source in sorted({*ours, *theirs}):
        name = "the input" if source[0] == DRIVE else f"layer {source[0]}"
        late = f", {source[1]} steps late" if source[1] else ""
        if source not in ours or source not in theirs:
            said = (
                "was read, and is not declared"
                if source in theirs
                else "is declared, and was not read"
            )
            yield Difference(index, "wiring", f"{where}: a connection from {name}{late} {said}")
        elif words := _unlike(ours[source], theirs[source], f"weight from {name}{late}"):
            yield Difference(index, "weight", f"{where}: {words}")


def _cards(declared: Layer, read: Layer, dt: float) -> str:
    """Return the cards of two layers where their steps are not the same text, and what both have
    and do not share.
    """
    ours, theirs = declared.model, read.model
    if (ours.discrete.texts, ours.parameters.keys(), ours.derived) == (
        theirs.discrete.texts,
        theirs.parameters.keys(),
        theirs.derived,
    ):
        return ""
    if ours.name != theirs.name or not ours.convention:
        known, other = declared.constants(dt), read.constants(dt)
        apart = [
            f"{name} {_value(known[name])} and {_value(other[name])}"
            for name in known
            if name in other and not _near(known[name], other[name])
        ]
        return f"card '{ours.name}' is declared, and card '{theirs.name}' was read" + (
            f", with {', '.join(apart)}" if apart else ""
        )
    traits = [
        f"{trait} '{option}', read as '{theirs.convention[trait]}'"
        for trait, option in ours.convention.items()
        if theirs.convention[trait] != option
    ]
    return f"declared with {'; '.join(traits)}"


def _parameters(declared: Layer, read: Layer, dt: float) -> str:
    """Return the parameters of one card that have other values."""
    ours, theirs = declared.constants(dt), read.constants(dt)
    names = [name for name in declared.model.parameters if not _near(ours[name], theirs[name])]
    return "; ".join(
        f"{name} is declared {_value(ours[name])}, and read {_value(theirs[name])}"
        for name in names
    )


def _unlike(ours: Floats, theirs: Floats, name: str) -> str:
    """Return how two arrays of one shape differ by more than rounding at their largest number."""
    if ours.shape != theirs.shape:
        return f"{name} has shape {ours.shape}, and was read with {theirs.shape}"
    size, apart = (
        max(float(np.abs(ours).max(initial=0)), float(np.abs(theirs).max(initial=0))),
        np.abs(ours - theirs),
    )
    off = apart > ROUNDING * size
    if not off.any():
        return ""
    at = np.unravel_index(int(apart.argmax()), apart.shape)
    place = ", ".join(map(str, at))
    return (
        f"{name} differs in {int(off.sum()):,} of {off.size:,} numbers, most at ({place}): "
        f"declared {ours[at]:.6g}, read {theirs[at]:.6g}"
    )


def _by_source(layer: Layer) -> dict[tuple[int, int], Floats]:
    """Return the weight from each source with each delay, connections of one kind added.

    What is all 0 connects nothing.
    """
    found: dict[tuple[int, int], Floats] = {}
    for source, weight in zip(layer.sources, layer.weights, strict=True):
        for delay in np.unique(source.delay):
            part = np.where(source.delay == delay, weight, 0.0)
            if part.any():
                key = (source.layer, int(delay))
                found[key] = found[key] + part if key in found else part
    return found


def _near(ours: Floats, theirs: Floats) -> bool:
    return bool(
        (np.abs(ours - theirs) <= ROUNDING * np.maximum(np.abs(ours), np.abs(theirs))).all()
    )


def _value(value: Floats) -> str:
    return (
        f"{float(value):.6g}" if np.ndim(value) == 0 else f"{value.min():.6g} to {value.max():.6g}"
    )
