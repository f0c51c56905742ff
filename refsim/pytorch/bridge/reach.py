"""Which parameters of a module lead to no layer of neurons: what stands behind the last spikes is run, and not judged."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .answer import tensor_in
from .framework import first, with_first
from .states import twin
from .trying import BATCH, Tried


@dataclass(frozen=True)
class Reach:
    """The parts of a module whose parameters change nothing that arrives at its neurons, such as a Linear behind the last of them.

    Attributes
    ----------
    behind : tuple of str
        Those that change what the module gives; all of them where it gives no tensor, and nobody can say.
    nowhere : tuple of str
        The others.
    """

    behind: tuple[str, ...] = ()
    nowhere: tuple[str, ...] = ()


def reach(module: nn.Module, tried: Tried) -> Reach:
    """Return what stands behind the neurons of a module.

    What arrives, and what the module gives, is asked for its gradient; spikes have none here, so that only what leads straight there counts.
    """
    copied, arrived = twin(module), list[Tensor]()
    inside = dict(copied.named_modules())
    for part in tried.parts:
        inside[part.name].forward = _listened(inside[part.name].forward, arrived)
    own = tuple(f"{part.name}." if part.name else "" for part in tried.parts)
    asked = {name: each.requires_grad_() for name, each in copied.named_parameters() if each.is_floating_point() and not name.startswith(own)}
    if not asked:
        return Reach()
    like = next(iter(nn.Module.parameters(copied)), torch.zeros(1))
    zeros = torch.zeros(BATCH, tried.feeding.width, dtype=like.dtype, device=like.device)
    with torch.enable_grad():
        gave = [tensor for output in tried.feeding.run(copied, [zeros] * 2) if (tensor := tensor_in(output)) is not None]
        to_neurons, to_caller = (_leading(asked, tensors) for tensors in (arrived, gave))
    left = [name for name in asked if name not in to_neurons]
    answering = [name for name in left if name in to_caller or not gave]
    return Reach(_parts(answering), _parts([name for name in left if name not in answering]))


def _leading(asked: Mapping[str, Tensor], tensors: Sequence[Tensor]) -> set[str]:
    """Return the names of parameters that lead to any of some tensors."""
    reached = [tensor.double().sum() for tensor in tensors if tensor.requires_grad]
    if not reached:
        return set()
    found = torch.autograd.grad(torch.stack(reached).sum(), list(asked.values()), allow_unused=True, retain_graph=True)
    return {name for name, gradient in zip(asked, found, strict=True) if gradient is not None}


def _parts(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.rpartition(".")[0] or name for name in names))


def _listened(called: Callable[..., Any], arrived: list[Tensor]) -> Callable[..., Any]:
    """Return a forward that keeps what it is given, and whose spikes lead no gradient on."""

    def forward(x: Tensor, *states: Any, **more: Any) -> Any:
        arrived.append(x)
        output = called(x.detach(), *states, **more)
        return with_first(output, first(output).detach())

    return forward
