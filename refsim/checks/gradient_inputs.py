"""What a gradient check runs on: what was given, or made up from a seed."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Floats, real_array
from ..drive import Drive
from ..errors import RefsimError
from ..network import Network

_DEFAULT = (8, 25)  # samples and steps


def inputs_of(given: Any, network: Network, seed: int) -> Floats:
    """Return inputs as an array; without any, random spikes."""
    if given is None:
        return (np.random.default_rng(seed).random((*_DEFAULT, network.n_inputs)) < 0.3).astype(np.float64)
    values = np.stack(list(given.frames()), 1) if isinstance(given, Drive) else given
    checked = real_array(values, "check_gradient: inputs")
    if checked.ndim != 3 or checked.shape[2] != network.n_inputs or not checked.size:
        raise RefsimError(f"check_gradient: inputs must be (n_samples, n_steps, {network.n_inputs}), but have shape {checked.shape}.")
    return checked


def target_of(loss: Callable[..., Any], given: Any, network: Network, n_samples: int, seed: int) -> tuple[Any, ...]:
    """Return what a loss takes besides the outputs; where it takes something and nothing is given, random labels."""
    if given is not None:
        return (given if hasattr(given, "device") else np.asarray(given),)
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
