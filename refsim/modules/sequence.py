"""A feed-forward network over all steps of a record, layer after layer.

`over_steps` gives the same numbers as one step a call, and is faster. A Linear takes all steps at
once, and only a part with a memory goes from step to step. For the spike response neurons of SLAYER
even that runs without autograd, since no gradient passes through their refractory response.
"""

import functools

import torch
from torch import Tensor, nn

from ..core.errors import RefsimError
from ..pytorch.base import autocast_in_use, no_autocast, widened
from ..pytorch.delay import AxonalDelay
from ..pytorch.layers import Neuron, reset
from ..pytorch.srm import SRMSlayer, alpha_function


def over_steps(module: nn.Sequential, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Run a record from the start of a network.

    Parameters
    ----------
    module : nn.Sequential
        Its parts are neurons and delays of refsim, parts without a memory, and other Sequentials.
        A part without a memory is called once, with the steps in the batch. Dropout silences an
        input for the whole record. The network is put back to its start before and after.
    x : Tensor (batch, ..., step)

    Returns
    -------
    output : Tensor (batch, ..., step)
        The output of the last part.
    layers : list of Tensor (batch, ..., step)
        The output of each layer of neurons.

    Raises
    ------
    RefsimError
        Where a part has a memory that is neither a neuron nor a delay of refsim.

    Notes
    -----
    Spikes and gradients are those of ``torch.stack([module(x[..., t]) for t in ...], -1)`` but for
    the order of some additions. The potentials of `SRMSlayer` cost the square of the number of
    steps: beyond some thousand steps, call the module step by step.
    """
    layers: list[Tensor] = []
    reset(module)
    output = _over(module, x.movedim(-1, 0), layers, "module")
    reset(module)
    return output.movedim(0, -1), [each.movedim(0, -1) for each in layers]


def _over(part: nn.Module, x: Tensor, layers: list[Tensor], where: str) -> Tensor:
    """Return the output of a part in all steps, (step, batch, ...)."""
    if isinstance(part, nn.Sequential):
        for name, inner in part.named_children():
            x = _over(inner, x, layers, f"{where}.{name}")
        return x
    if isinstance(part, Neuron):
        if type(part) is SRMSlayer and part.detach_reset:
            layers.append(_srm_slayer(part, x))
        else:
            layers.append(torch.stack([part(frame) for frame in x]))
        return layers[-1]
    if isinstance(part, AxonalDelay):
        return part.over_steps(x)
    # What is left has no memory: it takes steps and batch as one axis.
    _check(part, where)
    if isinstance(part, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.AlphaDropout):
        kept: Tensor = part(torch.ones_like(x[0]))
        return x * kept
    given: Tensor = part(x.flatten(0, 1))
    return given.reshape(*x.shape[:2], *given.shape[1:])


def _check(part: nn.Module, where: str) -> None:
    """Refuse a part that has a memory of its own."""
    from .find import framework_of

    for name, inner in part.named_modules():
        if isinstance(inner, nn.RNNBase) or framework_of(inner) is not None:
            what = f"{where}.{name}" if name else where
            raise RefsimError(
                f"over_steps: {what} is a {type(inner).__name__}, which has a memory that only "
                "its own forward knows; call the module step by step."
            )


def _srm_slayer(part: SRMSlayer, x: Tensor) -> Tensor:
    """Return the spikes of SLAYER's neurons.

    The potentials of all steps are computed at once, and then the refractory response, which passes
    no gradient on.
    """
    if autocast_in_use(x.device):  # potentials stay float32, as in the layer's own forward
        with no_autocast(x.device):
            return _srm_slayer(part, widened(x))
    p = part.now()
    eps = alpha_function(p["step"] / p["tau_s"], 1.0, p["cut_s"])
    nu = alpha_function(p["step"] / p["tau_ref"], -p["scale_ref"] * p["theta"], p["cut_ref"])
    potential = (_response(eps, len(x)).to(x) @ x.flatten(1)).view_as(x)
    return part.fire(potential + _refractory(potential.detach(), nu, p["theta"]) - p["theta"])


@torch.no_grad()
def _refractory(potential: Tensor, nu: tuple[float, ...], theta: float) -> Tensor:
    """Return what the spikes of a neuron add to its own potential, (step, batch, ...)."""
    n_steps, kernel = len(potential), potential.new_tensor(nu).view(-1, *[1] * (potential.ndim - 1))
    added = potential.new_zeros((n_steps + len(nu), *potential.shape[1:]))
    for step in range(n_steps):
        fired = (potential[step] + added[step] - theta >= 0).to(potential.dtype)
        added[step : step + len(nu)] += kernel * fired
    return added[:n_steps]


@functools.lru_cache(maxsize=8)
def _response(kernel: tuple[float, ...], n_steps: int) -> Tensor:
    """Return the matrix (step, step) float64 that convolves a record with a kernel.

    Row t holds what each step adds at step t.
    """
    # Only past steps count, so that the matrix is lower triangular.
    lag = torch.arange(n_steps)[:, None] - torch.arange(n_steps)
    padded = torch.zeros(max(n_steps, len(kernel)), dtype=torch.float64)
    padded[: len(kernel)] = torch.tensor(kernel, dtype=torch.float64)
    return torch.where(lag >= 0, padded[lag.clamp(min=0)], torch.zeros((), dtype=torch.float64))
