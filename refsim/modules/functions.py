"""A door for checks: NumPy in, somebody's PyTorch function in the middle, NumPy out.

What it returns is looked at, not trusted.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.arrays import Floats
from ..core.errors import RefsimError, crash, listed
from ..pytorch.surrogate import SURROGATES, derivative_of

UserLoss = Callable[..., Any]  # (values, target) -> loss; (values) where there is no target


@contextlib.contextmanager
def graphs_kept() -> Iterator[None]:
    """Keep graphs of gradients, whatever a caller has turned off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def loss_value(
    loss: UserLoss, values: Floats, *target: NDArray[Any], where: str = "check_loss"
) -> float:
    """Return the loss of values (batch, class, step)."""
    with torch.no_grad():
        return float(call_loss(loss, torch.tensor(values), target, where))


@graphs_kept()
def loss_gradient(loss: UserLoss, values: Floats, *target: NDArray[Any]) -> Floats | None:
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
    loss: UserLoss, values: torch.Tensor, target: Sequence[Any], where: str = "check_loss"
) -> torch.Tensor:
    """Return a loss of values (batch, class, step), one number with its graph.

    Refuse anything else.

    It is given a copy of the values, which it may change.
    """
    if not callable(loss):
        raise RefsimError(
            f"{where}: the loss must be a function or a module, but {loss!r} was given; losses "
            "by name are in refsim.pytorch.losses, such as losses.spikemax."
        )
    try:
        found = loss(
            values.clone(), *(torch.as_tensor(entry, device=values.device) for entry in target)
        )
    except RefsimError:
        raise
    except Exception as error:  # a user's loss can raise anything
        words = ", ".join(
            f"{what} {tuple(each.shape)} {str(each.dtype).removeprefix('torch.')}"
            for what, each in zip(("values", "target"), (values, *target), strict=False)
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


def loss_digits(loss: UserLoss, values: Floats, *target: NDArray[Any]) -> int:
    """Return the bits in which a loss gives its value for float64 values."""
    with torch.no_grad():
        return 8 * call_loss(loss, torch.tensor(values), target).element_size()


def surrogate_spikes(fire: Callable[[Any], Any], x: Floats) -> Floats:
    """Return the spikes of distances to threshold (n,)."""
    with torch.no_grad():
        return np.asarray(_fired(fire, torch.tensor(x)).double().numpy())


@graphs_kept()
def surrogate_slope(
    fire: Callable[[Any], Any], x: Floats, upstream: Floats | float = 1.0
) -> Floats | None:
    """Return what comes back to x (n,) from a gradient `upstream` of the spikes.

    None where nothing does.
    """
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


def fire_slope(fire: Callable[[Any], Any]) -> Callable[[Floats], Floats]:
    """Return the derivative that a spike function sends back, a function of distances to threshold
    (n,); 0 where it sends none.
    """

    def slope(x: Floats) -> Floats:
        found = surrogate_slope(fire, x)
        return np.zeros_like(x) if found is None else found

    return slope


def _fired(fire: Callable[[Any], Any], x: torch.Tensor) -> torch.Tensor:
    try:
        spikes = fire(x)
    except Exception as error:  # a user's function can raise anything
        raise crash(
            "check_surrogate: the function",
            error,
            f"when it was called with {x.numel()} distances to threshold",
        ) from error
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
    """Return a named surrogate's derivative as a function of NumPy arrays.

    An unknown name or parameter is refused at once.
    """
    if name not in SURROGATES:
        raise RefsimError(f"surrogate {name!r} is not known; known are {listed(SURROGATES)}.")
    derivative = derivative_of(name, **parameters)
    return lambda x: np.asarray(derivative(torch.tensor(x)).numpy())


def line_of_losses(
    module: Any,
    loss: Callable[[Any], Any],
    name: str,
    place: tuple[int, ...],
    offsets: Floats,
    at: float,
) -> tuple[Floats, float]:
    """Return the losses of a module with one weight moved by each offset, and autograd's slope at
    one of them; the weight is put back.
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
    module: Any,
    loss: Callable[[Any], Any],
    weight: torch.Tensor,
    own: torch.Tensor,
    place: tuple[int, ...],
    by: float,
    *,
    keep: bool = False,
) -> torch.Tensor:
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
