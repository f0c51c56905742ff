"""Which parameters of a module lead to no layer of neurons: what stands behind the last spikes is run, and not judged."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .framework import first, with_first
from .states import twin
from .trying import BATCH, Tried


def unjudged(module: nn.Module, tried: Tried) -> tuple[str, ...]:
    """Return the parts of a module whose parameters change nothing that arrives at its neurons, such as a Linear behind the last of them.

    What arrives is asked for its gradient; spikes have none here, so that only what leads straight to a layer counts.
    """
    copied, arrived = twin(module), list[Tensor]()
    inside = dict(copied.named_modules())
    for part in tried.parts:
        inside[part.name].forward = _listened(inside[part.name].forward, arrived)
    own = tuple(f"{part.name}." if part.name else "" for part in tried.parts)
    asked = {name: each.requires_grad_() for name, each in copied.named_parameters() if each.is_floating_point() and not name.startswith(own)}
    like = next(iter(nn.Module.parameters(copied)), torch.zeros(1))
    zeros = torch.zeros(BATCH, tried.feeding.width, dtype=like.dtype, device=like.device)
    with torch.enable_grad():
        tried.feeding.run(copied, [zeros] * 2)
        heard = [x.double().sum() for x in arrived if x.requires_grad]
        if not asked or not heard:
            return ()
        found = torch.autograd.grad(torch.stack(heard).sum(), list(asked.values()), allow_unused=True)
    return tuple(dict.fromkeys(name.rpartition(".")[0] or name for name, gradient in zip(asked, found, strict=True) if gradient is None))


def _listened(called: Callable[..., Any], arrived: list[Tensor]) -> Callable[..., Any]:
    """Return a forward that keeps what it is given, and whose spikes lead no gradient on."""

    def forward(x: Tensor, *states: Any, **more: Any) -> Any:
        arrived.append(x)
        output = called(x.detach(), *states, **more)
        return with_first(output, first(output).detach())

    return forward
