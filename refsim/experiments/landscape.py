"""The loss along one weight or one direction, with what is taken for its slope at a point: exact, surrogate, finite difference."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats, real_array
from ..errors import RefsimError, listed
from ..gradients import EscapeNetwork, SpikeLoss, expected_gradient, expected_loss, expected_surrogate
from ..gradients.enumeration import MOST, slope_along
from ..gradients.replay import certain, play
from .quantities import span
from .tangents import Landscape

Direction = Mapping[str, ArrayLike]
_QUOTIENT = "finite difference, exact loss"


def landscape(
    network: EscapeNetwork, inputs: object, loss: SpikeLoss, along: str | Direction = "W1[0,0]", over: str | ArrayLike = "-2:2:81", *,
    at: float = 0.0, surrogate: Callable[[Floats], Floats] | None = None, detach_reset: bool = False, step: float = 1e-3, most: int = MOST,
) -> Landscape:  # fmt: skip
    """Measure the expected loss of a stochastic network along a line through its weights, and three slopes at a point of it.

    Parameters
    ----------
    network, inputs, loss
        As of `refsim.gradients.expected_gradient`.
    along : str or dict of str to array
        One weight, ``"W1[0,2]"`` (post, pre) or ``"b2[1]"``; or a direction, an array for each parameter that moves.
    over : str or (n,)
        How far from the network's own weights, in units of the weight or of the direction: ``"-2:2:81"``.
    at : float
        Where the slopes are taken, also counted from the network's own weights.
    surrogate, detach_reset
        As of `refsim.gradients.expected_surrogate`.
    step : float
        Of the central difference of order two of the exact expected loss.

    Returns
    -------
    Landscape
        Curves: the exact expected loss, and the loss of the same network without noise, which fires at or above threshold.
        Slopes: of the exact expected loss, of the surrogate, and the finite difference.
    """
    way, name = direction(network.parameters, along), along if isinstance(along, str) else "direction"
    offsets = np.unique(span(over, "1", "over"))
    if not (np.isfinite(at) and 0 < step < np.inf):
        raise RefsimError(f"landscape: at must be a number and step a positive one, but are {at!r} and {step!r}.")

    def moved(by: float) -> EscapeNetwork:
        return network.having({key: network.parameters[key] + by * values for key, values in way.items()})

    there = moved(at)
    exact = expected_gradient(there, inputs, loss, most=most)
    back = expected_surrogate(there, inputs, loss, surrogate=surrogate, detach_reset=detach_reset, most=most)
    ahead, behind = (expected_loss(moved(at + sign * step), inputs, loss, most=most) for sign in (1, -1))
    curves = {
        "expected loss": np.array([expected_loss(moved(by), inputs, loss, most=most) for by in offsets]),
        "loss without noise": np.array([certain_loss(moved(by), inputs, loss) for by in offsets]),
    }
    slopes = {"exact": slope_along(exact.gradient, way), "surrogate": slope_along(back, way), _QUOTIENT: (ahead - behind) / (2 * step)}
    return Landscape(name, offsets, curves, at, exact.loss, slopes)


def module_landscape(
    module: Any, loss: Callable[[Any], Any], along: str, over: str | ArrayLike = "-1:1:201", *, at: float = 0.0, step: float = 0.1
) -> Landscape:  # fmt: skip
    """Measure the loss of a trained module along one of its weights, and the slope that autograd gives with its surrogate.

    Parameters
    ----------
    module : torch.nn.Module
        Its weights are what they were afterwards.
    loss : function ``(module) -> Tensor``, one number
        Resets the module, runs it on data of your choice and returns the loss.
    along : str
        ``"0.weight[3,1]"``: the name of a parameter and the place in it.
    over, at : as of `landscape`
    step : float
        Of the central difference. The loss of hard spikes is a staircase, flat almost everywhere: a small step measures 0, and a wide one
        how the stairs rise on the whole.
    """
    from ..pytorch.probing import line_of_losses

    name, place = _place(along)
    offsets = np.unique(span(over, "1", "over"))
    if not (np.isfinite(at) and 0 < step < np.inf):
        raise RefsimError(f"landscape: at must be a number and step a positive one, but are {at!r} and {step!r}.")
    values, slope = line_of_losses(module, loss, name, place, np.concatenate([offsets, [at, at + step, at - step]]), at)
    here, ahead, behind = values[-3:]
    slopes = {"surrogate": slope, f"finite difference, step {step:g}": (ahead - behind) / (2 * step)}
    return Landscape(along, offsets, {"loss": values[:-3]}, at, float(here), slopes)


def certain_loss(network: EscapeNetwork, inputs: object, loss: SpikeLoss) -> float:
    """Return the loss of the network without noise, the mean over samples."""
    samples = network.heard(inputs)
    return float(np.mean([loss.value(play(network, sample, 1, certain).output, number)[0] for number, sample in enumerate(samples)]))


def direction(parameters: Mapping[str, Floats], along: str | Direction) -> dict[str, Floats]:
    """Return a direction as an array for each parameter that moves; one weight is 1 at its place and 0 elsewhere."""
    if not isinstance(along, str):
        way = {key: real_array(values, f"along: {key}") for key, values in along.items()}
        if wrong := [key for key, values in way.items() if key not in parameters or parameters[key].shape != values.shape]:
            shapes = ", ".join(f"{key} {values.shape}" for key, values in parameters.items())
            raise RefsimError(f"along: {listed(wrong)} is no parameter of the network, or of another shape; the network has {shapes}.")
        if not any(values.any() for values in way.values()):
            raise RefsimError("along: the direction is 0 everywhere; give one that moves at least one weight.")
        return way
    name, place = _place(along)
    if name not in parameters:
        raise RefsimError(f"along: {along!r}: the network has no {name}; it has {listed(parameters)}.")
    way = {name: np.zeros(parameters[name].shape)}
    if len(place) != way[name].ndim or any(index >= size for index, size in zip(place, way[name].shape, strict=True)):
        raise RefsimError(f"along: {along!r}: {name} has shape {way[name].shape}, and places count from 0.")
    way[name][place] = 1.0
    return way


def _place(along: str) -> tuple[str, tuple[int, ...]]:
    match = re.fullmatch(r"([\w.]+)\[(\d+(?:\s*,\s*\d+)*)\]", along.strip())
    if not match:
        raise RefsimError(f"along: one weight is written NAME[POST,PRE], such as W1[0,2], but {along!r} was given.")
    return match[1], tuple(int(part) for part in match[2].split(","))
