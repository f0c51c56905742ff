"""Whether a module hands its layers of neurons the states that they had: a layer that starts elsewhere, or is set back each step, is another neuron."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .feeding import Feeding
from .framework import first
from .own import OWN
from .parts import Part
from .pooling import POOLING
from .states import expect, forget, tensors_in, twin

_NONE: tuple[Any, ...] = ()
_STEPS = 3  # the start, the first state that is handed on, and one that was handed on before


def astray(module: nn.Module, parts: tuple[Part, ...], feeding: Feeding, n_samples: int) -> str:
    """Return the name of a layer whose states are not those that it had, or nothing.

    Each layer is given random numbers in place of its input, and must answer in each step as a copy of it that is stepped by itself.
    refsim's own layers keep their states themselves and may draw random numbers; they are not asked, nor are pools, which have none.

    Parameters
    ----------
    parts : tuple of Part
    feeding : Feeding
        How the module is run.
    n_samples : int
    """
    copied, found = twin(module), list[str]()
    inside = dict(copied.named_modules())
    for part in parts:
        if part.framework not in (OWN, POOLING):
            inside[part.name].forward = _beside(inside[part.name], part, n_samples, found)
    like = next((each for each in nn.Module.parameters(copied) if each.is_floating_point()), torch.zeros(1))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        feeding.run(copied, [torch.zeros(n_samples, feeding.width, dtype=like.dtype, device=like.device)] * _STEPS)
    return found[0] if found else ""


def _beside(inner: nn.Module, part: Part, n_samples: int, found: list[str]) -> Callable[..., Any]:
    """Return a forward that steps a layer as it is called, and beside it copies that go on from their own last state."""
    called = inner.forward
    copies = [_Alone(inner, part, n_samples) for _ in range(2)]
    random = torch.Generator().manual_seed(0)

    def forward(x: Tensor, *states: Any, **more: Any) -> Any:
        drawn = 3 * torch.randn(x.shape, generator=random, dtype=torch.float64).to(x)
        given = _in_order(called, drawn, states, more)
        output = called(drawn, *states, **more)
        own, again = (copy.step(drawn, given) for copy in copies)
        if not _same(output, own) and _same(own, again):  # a layer that draws random numbers is refused, or told, for that
            found.append(part.name)
        return output

    return forward


class _Alone:
    """A copy of a layer, stepped by itself."""

    def __init__(self, inner: nn.Module, part: Part, n_samples: int) -> None:
        self.inner, self.handed_on, self.last, self.n_given = twin(inner), part.framework.handed_on, _NONE, 0
        forget(self.inner)
        expect(self.inner, n_samples)

    def step(self, x: Tensor, given: tuple[Any, ...]) -> Any:
        """Return its output.

        A layer that cannot do without states (snnTorch's RSynaptic that resets at once) starts from those that it is `given`, if they are all 0, and
        goes on from its own, the last of what it returns.
        """
        try:
            output = self.inner.forward(x, *self.last)
        except Exception:  # a framework's layer raises anything
            if self.last or not given or any(state.any() for state in tensors_in(given)):
                raise
            self.n_given = len(given)
            output = self.inner.forward(x, *given)
        if self.handed_on:
            self.last = (output[1],)
        elif self.n_given:
            self.last = output[-self.n_given :]
        return output


def _in_order(called: Callable[..., Any], x: Tensor, states: tuple[Any, ...], more: dict[str, Any]) -> tuple[Any, ...]:
    """Return the states of a call in the order of the layer's own arguments."""
    return tuple(inspect.signature(called).bind(x, *states, **more).arguments.values())[1:] if more else states


def _same(output: Any, own: Any) -> bool:
    """Whether two answers hold the same numbers, to within the rounding of one step."""
    pairs = zip(tensors_in((first(output), output)), tensors_in((first(own), own)), strict=False)
    return all(
        a.shape == b.shape and torch.allclose(a, b, rtol=64 * torch.finfo(b.dtype).eps, atol=1e-6, equal_nan=True) for a, b in pairs if b.is_floating_point()
    )
