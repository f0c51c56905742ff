"""Run code in float64 that asks for float32: what a module computes is one question, how it rounds another."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class _Float64(TorchFunctionMode):
    """Takes every wish for float32 as one for float64."""

    def __torch_function__(self, function: Callable[..., Any], types: Any, arguments: Sequence[Any] = (), options: Mapping[str, Any] | None = None) -> Any:
        if function is Tensor.float:
            return arguments[0].double()
        wishes = {name: _wide(value) for name, value in (options or {}).items()}
        return function(*map(_wide, arguments), **wishes)


def _wide(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value


@contextlib.contextmanager
def in_float64() -> Iterator[None]:
    """Make tensors of float64 where code says float32, or says nothing."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Float64():
            yield
    finally:
        torch.set_default_dtype(usual)
