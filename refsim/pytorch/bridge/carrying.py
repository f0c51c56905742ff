"""Whether a module hands its layers of neurons the states that they had: a layer that starts elsewhere, or is set back each step, is another neuron."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from .feeding import Feeding
from .framework import first
from .own import OWN
from .parts import Part, attribute
from .pooling import POOLING
from .states import expect, forget, tensors_in, twin

_NONE: tuple[Any, ...] = ()
_ASTRAY = (
    "does not go on from the state that it had: it starts from another, is set back or changed between steps, or its state is not handed back; "
    "keep it in the module, or let forward(x, a=None, b=None) return (output, a, b)"
)
_STEPS = 3  # the start, the first state that is handed on, and one that was handed on before


class Astray(str):
    """Why a layer is no neuron of its card, whatever its input is like."""

    __slots__ = ()


def astray(module: nn.Module, parts: tuple[Part, ...], feeding: Feeding, n_samples: int) -> str:
    """Return the first layer whose states are not those that it had, or whose parameters change while it runs, and what to do; or nothing.

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
    return Astray(found[0]) if found else ""


def _beside(inner: nn.Module, part: Part, n_samples: int, found: list[str]) -> Callable[..., Any]:
    """Return a forward that steps a layer as it is called, and beside it copies that go on from their own last state."""
    called = inner.forward
    copies = [_Alone(inner, part, n_samples) for _ in range(2)]
    random, numbers = torch.Generator().manual_seed(0), _numbers(inner, part)

    def forward(x: Tensor, *states: Any, **more: Any) -> Any:
        drawn = 3 * torch.randn(x.shape, generator=random, dtype=torch.float64).to(x)
        given = _in_order(called, drawn, states, more)
        output = called(drawn, *states, **more)
        own, again = (copy.step(drawn, given) for copy in copies)
        if not _same(output, own) and _same(own, again):  # a layer that draws random numbers is refused, or told, for that
            found.append(f"'{part.name}' {_moved(inner, part, numbers) or _ASTRAY}")
        return output

    return forward


def _numbers(inner: nn.Module, part: Part) -> dict[str, Any]:
    """Return the attributes of a layer that its card reads, as they are now."""
    now, said = replace(part, module=inner), part.layer
    paths = {path.removesuffix("?"): attribute(now, path) for path in said.attributes.values()} if said else {}
    return {path: value.detach().clone() if isinstance(value, Tensor) else value for path, value in paths.items()}


def _moved(inner: nn.Module, part: Part, numbers: dict[str, Any]) -> str:
    """Return that a parameter is not what it was at the start, which a card cannot say; nothing where none moved."""
    now = _numbers(inner, part)
    moved = [path for path, value in numbers.items() if value is not None and not _alike(value, now[path])]
    if not moved:
        return ""
    return f"has another {' and another '.join(moved)} in a later step than at the start; the parameters of a card stay as they are, so that no card says it"


def _alike(start: Any, now: Any) -> bool:
    ours, theirs = (torch.as_tensor(each, dtype=torch.float64) for each in (start, now))
    return ours.shape == theirs.shape and torch.equal(ours, theirs)


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
