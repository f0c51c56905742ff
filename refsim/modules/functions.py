"""Functions of a user, such as a loss or a surrogate: called with NumPy, and answered in NumPy.

Whatever a user's function returns is checked before it is used. The first half is about losses, the
second about surrogates, and `line_of_losses` moves one weight of a module along a line.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..core.arrays import Floats
from ..core.errors import RefsimError, crash, listed
from ..pytorch.surrogate import SURROGATES, derivative_of

# Functions of a user may return anything, so that their types promise nothing.
UserLoss = Callable[..., object]  # (values, target) -> loss; (values) where there is no target
SpikeFunction = Callable[[torch.Tensor], object]  # distances to threshold -> spikes
ModuleLoss = Callable[[nn.Module], object]


@contextlib.contextmanager
def graphs_kept() -> Iterator[None]:
    """Record graphs of gradients, even where a caller has turned that off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def loss_value(
    loss: UserLoss, values: Floats, *target: NDArray[np.generic], where: str = "check_loss"
) -> float:
    """Return the loss of values (batch, class, step)."""
    with torch.no_grad():
        return float(call_loss(loss, torch.tensor(values), target, where))


@graphs_kept()
def loss_gradient(loss: UserLoss, values: Floats, *target: NDArray[np.generic]) -> Floats | None:
    """Return the gradient of a loss by autograd, of the shape of the values.

    None where the loss does not depend on them.
    """
    given = torch.tensor(values, requires_grad=True)
    found = call_loss(loss, given, target)
    if not found.requires_grad:
        return None
    try:
        (gradient,) = torch.autograd.grad(found, given, allow_unused=True)
    except Exception as error:  # a user's backward can raise anything
        raise crash("check_loss: the backward pass of the loss", error) from error
    return None if gradient is None else np.asarray(gradient.double().numpy())


def call_loss(
    loss: UserLoss, values: torch.Tensor, target: Sequence[object], where: str = "check_loss"
) -> torch.Tensor:
    """Return the loss of values (batch, class, step), one number with its graph.

    The loss is given a copy of the values, which it may change.

    Raises
    ------
    RefsimError
        Where the loss is no function, fails, or returns anything but one real number.
    """
    if not callable(loss):
        raise RefsimError(
            f"{where}: the loss must be a function or a module, but {loss!r} was given; losses "
            "by name are in refsim.pytorch.losses, such as losses.spikemax."
        )
    # The message names what was given: most losses fail on a shape or a dtype.
    try:
        found = loss(
            values.clone(), *(torch.as_tensor(entry, device=values.device) for entry in target)
        )
    except RefsimError:
        raise
    except Exception as error:  # a user's loss can raise anything
        given: tuple[Any, ...] = (values, *target)  # tensors or arrays
        words = ", ".join(
            f"{what} {tuple(each.shape)} {str(each.dtype).removeprefix('torch.')}"
            for what, each in zip(("values", "target"), given, strict=False)
        )
        how = f"when it was called with {words or 'values'}"
        raise crash(
            f"{where}: the loss",
            error,
            how,
            (
                "it is called with float64 too: tensors of its own must be float64, or follow the "
                "values"
            ),
        ) from error
    # A loss per sample has no single gradient, and is the most usual mistake.
    if not isinstance(found, torch.Tensor) or found.numel() != 1 or found.is_complex():
        what = (
            f"a tensor {tuple(found.shape)}"
            if isinstance(found, torch.Tensor)
            else type(found).__name__
        )
        raise RefsimError(
            f"{where}: the loss must return one number, a tensor, but returned {what}; reduce it "
            "over the batch."
        )
    return found.reshape(())


def loss_digits(loss: UserLoss, values: Floats, *target: NDArray[np.generic]) -> int:
    """Return the bits in which a loss gives its value for float64 values."""
    with torch.no_grad():
        return 8 * call_loss(loss, torch.tensor(values), target).element_size()


def surrogate_spikes(fire: SpikeFunction, x: Floats) -> Floats:
    """Return the spikes of distances to threshold (n,)."""
    with torch.no_grad():
        return np.asarray(_fired(fire, torch.tensor(x)).double().numpy())


@graphs_kept()
def surrogate_slope(
    fire: SpikeFunction, x: Floats, upstream: Floats | float = 1.0
) -> Floats | None:
    """Return the gradient of x (n,) for a gradient `upstream` of the spikes; None without one."""
    given = torch.tensor(x, requires_grad=True)
    spikes = _fired(fire, given)
    if not spikes.requires_grad:
        return None
    wanted = torch.tensor(np.broadcast_to(upstream, x.shape).copy()).to(spikes.dtype)
    try:
        (gradient,) = torch.autograd.grad(spikes, given, wanted, allow_unused=True)
    except Exception as error:  # a user's backward can raise anything
        raise crash("check_surrogate: the backward pass of the function", error) from error
    return None if gradient is None else np.asarray(gradient.double().numpy())


def fire_slope(fire: SpikeFunction) -> Callable[[Floats], Floats]:
    """Return the derivative of a spike function, as a function of distances to threshold (n,).

    It is 0 where the spike function sends no gradient back.
    """

    def slope(x: Floats) -> Floats:
        found = surrogate_slope(fire, x)
        return np.zeros_like(x) if found is None else found

    return slope


def _fired(fire: SpikeFunction, x: torch.Tensor) -> torch.Tensor:
    """Return the spikes of a user's function, which must be as many as the distances."""
    try:
        spikes = fire(x)
    except Exception as error:  # a user's function can raise anything
        raise crash(
            "check_surrogate: the function",
            error,
            f"when it was called with {x.numel()} distances to threshold",
        ) from error
    # Any other shape would be broadcast in silence.
    if not isinstance(spikes, torch.Tensor) or spikes.shape != x.shape:
        what = (
            f"a tensor {tuple(spikes.shape)}"
            if isinstance(spikes, torch.Tensor)
            else type(spikes).__name__
        )
        raise RefsimError(
            f"check_surrogate: the function got distances to threshold {tuple(x.shape)} and must "
            f"return as many spikes, but returned {what}."
        )
    return spikes


def surrogate_derivative(name: str, **parameters: float) -> Callable[[Floats], Floats]:
    """Return the derivative of a named surrogate, as a function of NumPy arrays.

    Raises
    ------
    RefsimError
        Where the name or a parameter is unknown; at once, and not at the first call.
    """
    if name not in SURROGATES:
        raise RefsimError(f"surrogate {name!r} is not known; known are {listed(SURROGATES)}.")
    derivative = derivative_of(name, **parameters)
    return lambda x: np.asarray(derivative(torch.tensor(x)).numpy())


def line_of_losses(
    module: nn.Module,
    loss: ModuleLoss,
    name: str,
    place: tuple[int, ...],
    offsets: Floats,
    at: float,
) -> tuple[Floats, float]:
    """Return the losses of a module along one weight, and the slope that autograd gives there.

    Parameters
    ----------
    module : nn.Module
        Its weight is restored afterwards.
    loss : function of the module
    name : str
        The parameter.
    place : tuple of int
        The index of the weight in the parameter.
    offsets : (n,)
        How far the weight is moved for each loss.
    at : float
        The offset at which the slope is taken.

    Returns
    -------
    losses : (n,)
    slope : float
        0 where the loss does not depend on the weight.
    """
    parameters = dict(module.named_parameters())
    if name not in parameters:
        raise RefsimError(
            f"along: the module has no parameter {name!r}; it has {listed(parameters)}."
        )
    weight = parameters[name]
    if len(place) != weight.dim() or any(
        index >= size for index, size in zip(place, weight.shape, strict=True)
    ):
        raise RefsimError(
            f"along: {name} has shape {tuple(weight.shape)}, and places count from 0."
        )
    # The weight is restored whatever the loss does.
    own = weight.detach().clone()
    try:
        values = np.array(
            [_moved_loss(module, loss, weight, own, place, by).item() for by in offsets]
        )
        found = _moved_loss(module, loss, weight, own, place, at, keep=True)
        (gradient,) = (
            torch.autograd.grad(found, weight, allow_unused=True)
            if found.requires_grad
            else (None,)
        )
    finally:
        with torch.no_grad():
            weight.copy_(own)
    return values, 0.0 if gradient is None else float(gradient[place])


def _moved_loss(
    module: nn.Module,
    loss: ModuleLoss,
    weight: torch.Tensor,
    own: torch.Tensor,
    place: tuple[int, ...],
    by: float,
    *,
    keep: bool = False,
) -> torch.Tensor:
    """Return the loss with one weight moved, with its graph where it is to be kept."""
    with torch.no_grad():
        weight.copy_(own)
        weight[place] += by
    with torch.set_grad_enabled(keep):
        found = loss(module)
    if not isinstance(found, torch.Tensor) or found.numel() != 1:
        raise RefsimError(
            "landscape: the loss must be a function of the module that returns one number, a "
            "tensor."
        )
    return found.reshape(())
