"""Tensors of a file that no layer asks for, held against what the description says of its neurons: a saved beta of 0.95 is no decay of 0.9."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...model import load
from ...model.framework import framework_layers
from ...network import Network

# What is saved in float32 and written in decimals differs by half of 2^-24 of it; what a tool computed in float32, by a few of these.
_ROUNDING = 4 * 2.0**-23
_COMPUTED = ("w", "bias", "weight")  # the same names, for other numbers


def against_declared(left: Mapping[str, NDArray[Any]], network: Network) -> tuple[frozenset[str], dict[str, str]]:
    """Hold tensors that carry the name of a framework's parameter against the declared ones.

    Parameters
    ----------
    left : dict of str to array
        Tensors that no layer of the description asks for, in the order of the file.
    network : Network
        As it is declared.

    Returns
    -------
    frozenset of str
        Tensors that hold what is declared.
    dict of str to str
        Tensors that hold something else, and in words what.
    """
    named = {name: constants for name in left if (constants := _constants().get(name.rpartition(".")[2]))}
    prefixes = list(dict.fromkeys(name.rpartition(".")[0] for name in named))
    agree, apart = set[str](), dict[str, str]()
    for name, constants in named.items():
        # Where as many layers were saved as are declared, they stand in one order; else any layer may be meant.
        layers = [prefixes.index(name.rpartition(".")[0])] if len(prefixes) == len(network.layers) else range(len(network.layers))
        held = [(index, key, value) for index in layers for key, value in network.layers[index].constants(network.dt).items() if key in constants]
        if any(_equal(left[name], value) for _, _, value in held):
            agree.add(name)
        elif held:
            index, key, value = held[0]
            apart[name] = f"{name} = {_text(left[name])}, but layer {index} is declared with {key} = {_text(value)}"
    return frozenset(agree), apart


@cache
def _constants() -> Mapping[str, frozenset[str]]:
    """Return for each name of a framework's parameter the constants of a card that hold its number."""
    found: dict[str, set[str]] = {}
    for layer in framework_layers().values():
        derived = load(layer.card).derived
        for parameter, path in layer.attributes.items():
            last = path.removesuffix("?").rpartition(".")[2]
            same = {name for name, entry in derived.items() if entry.text.strip() == parameter}
            if last not in _COMPUTED:
                found.setdefault(last, set()).update({parameter, *same})
    return {name: frozenset(constants) for name, constants in found.items()}


def _equal(found: NDArray[Any], declared: Any) -> bool:
    """Whether a tensor holds a declared number, or one a neuron, to within rounding to float32."""
    ours, theirs = np.asarray(found, float).ravel(), np.asarray(declared, float).ravel()
    if ours.size not in (1, theirs.size) and theirs.size != 1:
        return False
    return bool((np.abs(ours - theirs) <= _ROUNDING * np.abs(theirs)).all())


def _text(value: Any) -> str:
    array = np.asarray(value, float)
    low, high = float(array.min()), float(array.max())
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
