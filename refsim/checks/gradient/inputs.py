"""What both runs of a gradient check take: inputs, target, surrogates, given or from a seed."""

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...core.arrays import Floats, plain_array, real_array
from ...core.errors import RefsimError
from ...networks.drive import Drive
from ...networks.network import Network
from .loss import UserLoss

if TYPE_CHECKING:
    from ...pytorch.surrogate import Fire

    Surrogate = str | Fire  # a name of SURROGATES, or a function from distance to spikes


Target = tuple[Any, ...]  # what a loss takes besides the values: one array or tensor, or nothing
DEFAULT = (8, 25)  # samples and steps
# From threshold, where a surrogate is asked for a gradient.
_DISTANCES = (np.linspace(-1.0, 1.0, 201) * np.logspace(-3, 3, 7)[:, None]).ravel()


def inputs_of(given: ArrayLike | Drive | None, network: Network, seed: int) -> Floats:
    """Return inputs as an array; without any, random spikes."""
    if given is None:
        return (np.random.default_rng(seed).random((*DEFAULT, network.n_inputs)) < 0.3).astype(
            np.float64
        )
    # A drive of another step would be another input.
    if isinstance(given, Drive) and given.dt != network.dt:
        raise RefsimError(
            f"check_gradient: the drive has a step of {given.dt:g} s, but the network has "
            f"{network.dt:g} s; one of the two is meant otherwise."
        )
    values = np.stack(list(given.frames()), 1) if isinstance(given, Drive) else given
    checked = real_array(values, "check_gradient: inputs")
    if checked.ndim != 3 or checked.shape[2] != network.n_inputs or not checked.size:
        raise RefsimError(
            f"check_gradient: inputs must be (n_samples, n_steps, {network.n_inputs}), but have "
            f"shape {checked.shape}."
        )
    return checked


def target_of(
    loss: UserLoss, given: ArrayLike | None, network: Network, n_samples: int, seed: int
) -> Target:
    """Return what a loss takes besides the outputs.

    Where it takes something and nothing is given, random labels are drawn.
    """
    if given is not None:
        return (given if hasattr(given, "detach") else _labels(given),)
    try:
        # A loss with two parameters that have no default takes a target.
        needed = [
            each
            for each in inspect.signature(getattr(loss, "forward", loss)).parameters.values()
            if each.default is each.empty
            and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        ]
        takes = len(needed) > 1
    # Some callables have no signature.
    except (TypeError, ValueError):
        takes = False
    return (
        (np.random.default_rng(seed).integers(0, network.layers[-1].n_post, n_samples),)
        if takes
        else ()
    )


def drawn_trains(n_samples: int, n_classes: int, n_steps: int, seed: int) -> Floats:
    """Return desired trains for a loss that takes some, (n_samples, n_classes, n_steps)."""
    return (np.random.default_rng(seed).random((n_samples, n_classes, n_steps)) < 0.1).astype(
        np.float64
    )


def _labels(given: ArrayLike) -> NDArray[Any]:
    """Return labels or a target as an array.

    Whole numbers as int64, which is what losses of PyTorch ask for.
    """
    found = plain_array(given, "check_gradient: target")
    if found.dtype.kind not in "fiubc":
        raise RefsimError(
            "check_gradient: target must be one array of numbers, such as labels (n_samples,), "
            f"but has dtype {found.dtype}."
        )
    return found.astype(np.int64) if found.dtype.kind in "iu" else found


def declared_surrogates(
    surrogate: "Surrogate | Sequence[Surrogate]",
    parameters: Mapping[str, float],
    detach_reset: bool | Sequence[bool],
    network: Network,
) -> "tuple[list[Fire], list[bool]]":
    """Return each layer's declared spike function, and whether its reset passes no gradient."""
    from ...modules.functions import fire_slope
    from ...pytorch.surrogate import spike_function

    each = _one_a_layer(surrogate, "surrogate", len(network.layers))
    detached = _one_a_layer(detach_reset, "detach_reset", len(network.layers))
    if wrong := [one for one in detached if not isinstance(one, bool | np.bool_)]:
        raise RefsimError(
            "check_gradient: detach_reset must be True or False, or one of them a layer, but "
            f"{wrong[0]!r} was given."
        )
    if any(one is None for one in each):
        raise RefsimError(
            "check_gradient: surrogate=None passes no gradient; name the declared one, such as "
            "'arctangent', slope=2."
        )
    if parameters and not any(isinstance(one, str) for one in each):
        raise RefsimError(
            f"check_gradient: {', '.join(parameters)} is of a surrogate that is named, but a "
            "function was given, which has its own."
        )
    # Parameters belong to surrogates that are named; a function has its own.
    fires = [spike_function(one, **(parameters if isinstance(one, str) else {})) for one in each]
    # A surrogate that is 0 everywhere declares no gradient at all.
    if any(not fire_slope(fire)(_DISTANCES).any() for fire in fires):
        raise RefsimError(
            "check_gradient: a declared surrogate passes no gradient at any distance from "
            "threshold; name one that does, such as 'arctangent'."
        )
    return fires, [bool(one) for one in detached]


def _one_a_layer(given: object, what: str, n_layers: int) -> list[Any]:
    """Return what is given for each layer, or once for all."""
    found = list(given) if isinstance(given, list | tuple | np.ndarray) else [given] * n_layers
    if len(found) != n_layers:
        raise RefsimError(
            f"check_gradient: {what} names {len(found)} layers of neurons, but there are "
            f"{n_layers}; give one, or one a layer."
        )
    return found
