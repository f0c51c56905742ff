"""Which parameters of a module lead to no layer of neurons: what stands behind the last spikes is run, and not judged."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .answer import tensor_in
from .framework import first, with_first
from .states import twin
from .trying import BATCH, Tried


def unjudged(module: nn.Module, tried: Tried, *, answered: bool = False) -> tuple[str, ...]:
    """Return the parts of a module whose parameters change nothing that arrives at its neurons, such as a Linear behind the last of them.

    What arrives is asked for its gradient; spikes have none here, so that only what leads straight to a layer counts.

    Parameters
    ----------
    answered : bool
        Whether what the module gives is judged too, so that what leads there counts as well.
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
        gave = [tensor for output in tried.feeding.run(copied, [zeros] * 2) if (tensor := tensor_in(output)) is not None]
        heard = [x.double().sum() for x in [*arrived, *(gave if answered else ())] if x.requires_grad]
        if not asked:
            return ()
        found = torch.autograd.grad(torch.stack(heard).sum(), list(asked.values()), allow_unused=True) if heard else [None] * len(asked)
    return tuple(dict.fromkeys(name.rpartition(".")[0] or name for name, gradient in zip(asked, found, strict=True) if gradient is None))


def behind(module: nn.Module, tried: Tried) -> tuple[str, ...]:
    """Return the parts of a module whose parameters lead to none of its neurons, but to what it gives; all of the former where it gives no tensor."""
    none, idle = unjudged(module, tried), unjudged(module, tried, answered=True)
    return none if tried.answer is None else tuple(name for name in none if name not in idle)


def _listened(called: Callable[..., Any], arrived: list[Tensor]) -> Callable[..., Any]:
    """Return a forward that keeps what it is given, and whose spikes lead no gradient on."""

    def forward(x: Tensor, *states: Any, **more: Any) -> Any:
        arrived.append(x)
        output = called(x.detach(), *states, **more)
        return with_first(output, first(output).detach())

    return forward
