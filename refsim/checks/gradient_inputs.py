"""What a gradient check runs on: what was given, or made up from a seed."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..arrays import Floats, plain_array, real_array
from ..drive import Drive
from ..errors import RefsimError
from ..network import Network

DEFAULT = (8, 25)  # samples and steps
_DISTANCES = (np.linspace(-1.0, 1.0, 201) * np.logspace(-3, 3, 7)[:, None]).ravel()  # from threshold, where a surrogate is asked for a gradient


def inputs_of(given: Any, network: Network, seed: int) -> Floats:
    """Return inputs as an array; without any, random spikes."""
    if given is None:
        return (np.random.default_rng(seed).random((*DEFAULT, network.n_inputs)) < 0.3).astype(np.float64)
    if isinstance(given, Drive) and given.dt != network.dt:
        raise RefsimError(f"check_gradient: the drive has a step of {given.dt:g} s, but the network has {network.dt:g} s; one of the two is meant otherwise.")
    values = np.stack(list(given.frames()), 1) if isinstance(given, Drive) else given
    checked = real_array(values, "check_gradient: inputs")
    if checked.ndim != 3 or checked.shape[2] != network.n_inputs or not checked.size:
        raise RefsimError(f"check_gradient: inputs must be (n_samples, n_steps, {network.n_inputs}), but have shape {checked.shape}.")
    return checked


def target_of(loss: Callable[..., Any], given: Any, network: Network, n_samples: int, seed: int) -> tuple[Any, ...]:
    """Return what a loss takes besides the outputs; where it takes something and nothing is given, random labels."""
    if given is not None:
        return (given if hasattr(given, "detach") else _labels(given),)
    try:
        needed = [
            each
            for each in inspect.signature(getattr(loss, "forward", loss)).parameters.values()
            if each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        ]
        takes = len(needed) > 1
    except (TypeError, ValueError):
        takes = False
    return (np.random.default_rng(seed).integers(0, network.layers[-1].n_post, n_samples),) if takes else ()


def drawn_trains(n_samples: int, n_classes: int, n_steps: int, seed: int) -> Floats:
    """Return desired trains for a loss that takes some, (n_samples, n_classes, n_steps)."""
    return (np.random.default_rng(seed).random((n_samples, n_classes, n_steps)) < 0.1).astype(np.float64)


def _labels(given: Any) -> Any:
    """Return labels or a target as an array; whole numbers as int64, which is what losses of PyTorch ask for."""
    found = plain_array(given, "check_gradient: target")
    if found.dtype.kind not in "fiubc":
        raise RefsimError(f"check_gradient: target must be one array of numbers, such as labels (n_samples,), but has dtype {found.dtype}.")
    return found.astype(np.int64) if found.dtype.kind in "iu" else found


def declared_of(surrogate: Any, parameters: Mapping[str, float], detach_reset: Any, network: Network) -> tuple[list[Any], list[bool]]:
    """Return the declared spike function of each layer, and whether its reset is declared to pass no gradient."""
    from ..pytorch.probing import fire_slope
    from ..pytorch.surrogate import spike_function

    each, detached = (list(given) if isinstance(given, list | tuple | np.ndarray) else [given] * len(network.layers) for given in (surrogate, detach_reset))
    for what, given in (("surrogate", each), ("detach_reset", detached)):
        if len(given) != len(network.layers):
            raise RefsimError(f"check_gradient: {what} names {len(given)} layers of neurons, but there are {len(network.layers)}; give one, or one a layer.")
    if wrong := [one for one in detached if not isinstance(one, bool | np.bool_)]:
        raise RefsimError(f"check_gradient: detach_reset must be True or False, or one of them a layer, but {wrong[0]!r} was given.")
    if any(one is None for one in each):
        raise RefsimError("check_gradient: surrogate=None passes no gradient; name the declared one, such as 'arctangent', slope=2.")
    if parameters and not any(isinstance(one, str) for one in each):
        raise RefsimError(f"check_gradient: {', '.join(parameters)} is of a surrogate that is named, but a function was given, which has its own.")
    fires = [spike_function(one, **(parameters if isinstance(one, str) else {})) for one in each]
    if any(not fire_slope(fire)(_DISTANCES).any() for fire in fires):
        raise RefsimError("check_gradient: a declared surrogate passes no gradient at any distance from threshold; name one that does, such as 'arctangent'.")
    return fires, [bool(one) for one in detached]
