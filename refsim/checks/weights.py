"""The check of what leads to the neurons of a live module against a Network.

It compares the wiring, the order of the layers, and the orientation, weights and biases of each.
"""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import Floats
from ..core.claims import Claim, Verdict
from ..core.errors import RefsimError, counted
from ..networks.connection import DRIVE, Source
from ..networks.network import Layer, Network
from .suite import Answer, Check, names_skipped, run_checks

if TYPE_CHECKING:
    from torch import nn

LayerPairs = Sequence[tuple[Layer, Layer]]  # the layers in the order they run: found, declared


def _answer(where: Sequence[str], count: float | None = None) -> Answer:
    """Return how many are wrong, and where."""
    return float(len(where)) if count is None else count, "; ".join(where)


def _wiring(pairs: LayerPairs) -> Answer:
    """Count layers that receive from other layers than declared, or after other delays."""
    sources = [(row.name, _sources_text(found), _sources_text(row)) for found, row in pairs]
    return _answer(
        [
            f"{name} hears {found}, and is declared to hear {declared}"
            for name, found, declared in sources
            if found != declared
        ]
    )


def _sources_text(layer: Layer) -> str:
    """Say what a layer receives, and how late, whatever the order of its connections."""
    return " and ".join(
        sorted(f"{_source_name(source)}{_delay_text(source)}" for source in layer.sources)
    )


def _source_name(source: Source) -> str:
    return "the input" if source.layer == DRIVE else f"layer {source.layer}"


def _delay_text(source: Source) -> str:
    steps = np.unique(source.delay)
    if len(steps) > 1:
        return f" after delays of its own, {source.delay.tolist()} steps"
    return f" {counted(int(steps[0]), 'step')} late" if steps[0] else ""


def _layer_order(pairs: LayerPairs) -> Answer:
    """Count layers that hold the weights of another layer.

    Weights that no layer declares belong to none.
    """
    wrong = []
    for index, (found, declared) in enumerate(pairs):
        # A layer with its own weights is in its place.
        if np.array_equal(found.weight, declared.weight):
            continue
        # The layer with whose weights it shares the most, if that is half or more.
        shared = [_shared(found.weight, other.weight) for _, other in pairs]
        other = int(np.argmax(shared))
        if shared[other] > shared[index] and shared[other] >= 0.5:
            wrong.append(f"{declared.name} holds the weights of {pairs[other][1].name}")
    return _answer(wrong)


def _shared(weight: Floats, other: Floats) -> float:
    """Return the share of the weights that are not 0 whose size is among those of another layer."""
    (mine, count), (theirs, there) = (
        np.unique(np.abs(each[each != 0]), return_counts=True) for each in (weight, other)
    )
    # Sizes that occur in both, each as often as in the rarer of the two.
    _, here, at = np.intersect1d(mine, theirs, assume_unique=True, return_indices=True)
    return float(np.minimum(count[here], there[at]).sum() / max(count.sum(), 1))


def _orientation(pairs: LayerPairs) -> Answer:
    """Count layers that equal the transpose of what is declared, and not the declared matrix."""
    return _answer(
        [
            f"{declared.name} is transposed"
            for found, declared in pairs
            if _transposed(found.weight, declared.weight)
        ]
    )


def _transposed(weight: NDArray[np.float64], declared: NDArray[np.float64]) -> bool:
    return np.array_equal(weight, declared.T) and not np.array_equal(weight, declared)


def _weights(pairs: LayerPairs) -> Answer:
    """Count weights that differ in layers that stand in their place and orientation."""
    wrong, words = 0, []
    for found, declared in pairs:
        # Transposed and exchanged layers have a check of their own.
        if not _transposed(found.weight, declared.weight) and _in_place(
            found.weight, declared.weight
        ):
            # The first place is named, and the rest are counted.
            places = np.argwhere(found.weight != declared.weight)
            wrong += len(places)
            words += (
                [
                    (
                        f"{declared.name}: {len(places)} of {declared.weight.size}, first "
                        f"{_place(found.weight, declared.weight, places[0])}"
                    )
                ]
                if len(places)
                else []
            )
    return _answer(words, float(wrong))


def _place(found: Floats, declared: Floats, at: NDArray[np.int64]) -> str:
    post, pre = (int(each) for each in at)
    return (
        f"from input {pre} to neuron {post}: {found[post, pre]:.6g} for {declared[post, pre]:.6g}"
    )


def _in_place(weight: NDArray[np.float64], declared: NDArray[np.float64]) -> bool:
    """Return whether at least half of the weights agree in size.

    A matrix that differs more than that is the matrix of another layer.
    """
    return weight.shape == declared.shape and bool(
        (np.abs(weight) == np.abs(declared)).mean() >= 0.5
    )


def _bias(pairs: LayerPairs) -> Answer:
    # Sorted, so that exchanged neurons do not count twice.
    wrong = {
        declared.name: declared.bias.size
        if found.bias.shape != declared.bias.shape
        else int((np.sort(found.bias) != np.sort(declared.bias)).sum())
        for found, declared in pairs
    }
    return _answer(
        [f"{name}: {count} of its biases are others" for name, count in wrong.items() if count],
        float(sum(wrong.values())),
    )


def _all_numbers(pairs: LayerPairs) -> Answer:
    """Count numbers that differ at all, shapes included."""
    wrong = {
        declared.name: _unlike(found.weight, declared.weight) + _unlike(found.bias, declared.bias)
        for found, declared in pairs
    }
    return _answer(
        [f"{name}: {count} numbers differ" for name, count in wrong.items() if count],
        float(sum(wrong.values())),
    )


def _unlike(found: Floats, declared: Floats) -> int:
    return int((found != declared).sum()) if found.shape == declared.shape else declared.size


def _check(
    measure: str,
    unit: str,
    because: str,
    how: Callable[[LayerPairs], Answer],
    *,
    last: bool = False,
) -> Check:
    return Check(Claim("code", measure, 0, unit, because), how, last=last)


MAP_CHECKS: dict[str, Check] = {
    "wiring": _check(
        "wiring",
        "layers",
        (
            "what reaches a layer, and in which step, is declared; the same weights one step later "
            "are another network"
        ),
        _wiring,
    ),
    "layer_order": _check(
        "layer_order",
        "layers",
        "each layer holds its own weights; two of one size can be swapped unseen",
        _layer_order,
    ),
    "orientation": _check(
        "orientation",
        "layers",
        "weights are (n_post, n_pre); a square matrix can be transposed unseen",
        _orientation,
    ),
    "weights": _check(
        "weights",
        "weights",
        (
            "each input alone gives the declared column, sign included; numbers are copied, not "
            "computed"
        ),
        _weights,
    ),
    "bias": _check(
        "bias",
        "neurons",
        "silence gives the declared biases; a layer without one gives zero",
        _bias,
    ),
    "maps": _check(
        "maps",
        "numbers",
        (
            "every weight and every bias is the declared one, whatever the checks with a name of "
            "their own found"
        ),
        _all_numbers,
        last=True,
    ),
}


def check_module(
    module: "nn.Module",
    network: Network,
    *,
    input_shape: Sequence[int] | None = None,
    layout: str | None = None,
    skip: Collection[str] | str = (),
) -> list[Verdict]:
    """Check the weights and biases of a module, as it runs them in one step, against a network's.

    Parameters
    ----------
    module : nn.Module
        What arrives at each of its layers of neurons is measured, for each input alone and for
        silence, in the order they run.
    network : Network
    input_shape, layout
        Of the module, where it does not say them, such as (2, 34, 34) in front of a convolution;
        see `refsim.bridge.from_module`.
    skip : name or names of checks to leave out

    Returns
    -------
    list of Verdict, one a check
        The last one, maps, compares every number, and is run only where none before it fails.

    Raises
    ------
    RefsimError
        For a check that does not exist, or a module that cannot be read or has other layers of
        neurons.
    """
    from ..modules.read import from_module

    # Wrong names are refused before the module is run.
    names_skipped(skip, MAP_CHECKS, "check_module")
    if not isinstance(network, Network):
        raise RefsimError(
            "check_module: needs the network that is declared, such as refsim.bridge.load(...), "
            f"but {type(network).__name__} was given."
        )
    # The module is measured, not read: what arrives at its neurons counts.
    found = from_module(module, network.dt, input_shape, layout).layers
    if len(found) != len(network.layers):
        raise RefsimError(
            f"check_module: the module runs {len(found)} layers of neurons a step, but the "
            f"network has {len(network.layers)}."
        )
    pairs = list(zip(found, network.layers, strict=True))
    return run_checks(MAP_CHECKS, pairs, who="check_module", run="the module", skip=skip)
