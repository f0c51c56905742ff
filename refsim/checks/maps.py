"""Check what the Linear layers of a live module do against a Network: order, orientation, weights, bias."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..claims import EXPLAINED, Claim, Verdict, judge
from ..errors import RefsimError, listed
from ..network import Network

Map = tuple[NDArray[np.float64], NDArray[np.float64]]  # response to each input alone, less silence; response to silence


def _claim(measure: str, unit: str, because: str) -> Claim:
    return Claim("code", measure, 0, unit, because)


def _layer_order(maps: Sequence[Map], network: Network) -> float:
    """Count layers whose multiset of weight sizes belongs to another layer."""
    sizes = [np.sort(np.abs(layer.weight), axis=None) for layer in network.layers]
    wrong = 0
    for index, (weight, _) in enumerate(maps):
        found = np.sort(np.abs(weight), axis=None)
        distance = [np.abs(found - size).sum() if size.shape == found.shape else np.inf for size in sizes]
        wrong += int(np.argmin(distance) != index)
    return float(wrong)


def _orientation(maps: Sequence[Map], network: Network) -> float:
    """Count layers that equal the transpose of what is declared, and not the declared matrix."""
    return float(sum(_transposed(weight, layer.weight) for (weight, _), layer in zip(maps, network.layers, strict=True)))


def _transposed(weight: NDArray[np.float64], declared: NDArray[np.float64]) -> bool:
    return np.array_equal(weight, declared.T) and not np.array_equal(weight, declared)


def _weights(maps: Sequence[Map], network: Network) -> float:
    """Count weights that differ in layers that stand in their place and orientation."""
    wrong = 0
    for (weight, _), layer in zip(maps, network.layers, strict=True):
        if not _transposed(weight, layer.weight) and _in_place(weight, layer.weight):
            wrong += int((weight != layer.weight).sum())
    return float(wrong)


def _in_place(weight: NDArray[np.float64], declared: NDArray[np.float64]) -> bool:
    """Return whether at least half of the weights agree in size; a wholly other matrix is another layer's."""
    return weight.shape == declared.shape and bool((np.abs(weight) == np.abs(declared)).mean() >= 0.5)


def _bias(maps: Sequence[Map], network: Network) -> float:
    return float(sum(bias.shape != layer.bias.shape or int((np.sort(bias) != np.sort(layer.bias)).sum())
                     for (_, bias), layer in zip(maps, network.layers, strict=True)))  # fmt: skip


def _maps(maps: Sequence[Map], network: Network) -> float:
    """Count numbers that differ at all, shapes included."""
    wrong = 0
    for (weight, bias), layer in zip(maps, network.layers, strict=True):
        for found, declared in ((weight, layer.weight), (bias, layer.bias)):
            wrong += int((found != declared).sum()) if found.shape == declared.shape else declared.size
    return float(wrong)


MAP_CHECKS: dict[str, tuple[Claim, Callable[[Sequence[Map], Network], float]]] = {
    "layer_order": (_claim("layer_order", "layers", "each layer holds its own weights; two of one size can be swapped unseen"), _layer_order),
    "orientation": (_claim("orientation", "layers", "weights are (n_post, n_pre); a square matrix can be transposed unseen"), _orientation),
    "weights": (_claim("weights", "weights", "each input alone gives the declared column, sign included; numbers are copied, not computed"), _weights),
    "bias": (_claim("bias", "neurons", "silence gives the declared biases; a layer without one gives zero"), _bias),
    "maps": (_claim("maps", "numbers", "every weight and every bias is the declared one, whatever the checks with a name of their own found"), _maps),
}  # fmt: skip


def check_module(module: Any, network: Network, *, skip: Collection[str] = ()) -> list[Verdict]:
    """Check the Linear layers that a module runs in one step against a network's.

    Parameters
    ----------
    module : nn.Module
        What arrives at each of its layers of neurons is measured, for each input alone and for silence, in the order they run.
    network : Network
    skip : names of checks to leave out

    Returns
    -------
    list of Verdict, one a check
        The last one, maps, compares every number, and is run only where none before it fails.
    """
    from ..pytorch.bridge import from_module

    if unknown := set(skip) - set(MAP_CHECKS):
        raise RefsimError(f"check_module: {listed(unknown)} is not a check; known are {listed(MAP_CHECKS)}.")
    maps = [(layer.weight, layer.bias) for layer in from_module(module, network.dt).layers]
    if len(maps) != len(network.layers):
        raise RefsimError(f"check_module: the module runs {len(maps)} Linear layers a step, but the network has {len(network.layers)}.")
    verdicts: list[Verdict] = []
    for name, (claim, measure) in MAP_CHECKS.items():
        if name not in skip:
            explained = name == "maps" and any(verdict.status == "fail" for verdict in verdicts)
            verdicts.append(judge(claim, None if explained else measure(maps, network), detail=EXPLAINED if explained else ""))
    return verdicts
