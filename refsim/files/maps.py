"""What stands between layers, from a description.

Linear maps by name and tensor, put together and measured as one matrix.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from ..core.arrays import Floats, real_array
from ..core.errors import RefsimError, listed
from ..core.memory import check_matrix_room
from .affine import measured
from .weights import Tensors

_NUMBERS = {"stride", "padding", "dilation", "groups"}
# Map -> the options it takes. Of those without tensors the value is the size of the window, or
# true.
KINDS: Mapping[str, set[str]] = {
    "linear": {"transposed"},
    "conv1d": _NUMBERS,
    "conv2d": _NUMBERS,
    "batch_norm": {"eps"},
    "avg_pool1d": {"stride", "padding"},
    "avg_pool2d": {"stride", "padding"},
    "sum_pool2d": {"stride", "padding"},
    "flatten": set(),
}
_TRAINED = ("linear", "conv1d", "conv2d", "batch_norm")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class MapDescription:
    """One linear map.

    Attributes
    ----------
    kind : str
        One of ``KINDS``.
    weight, bias : str
        Names of tensors; the bias may be absent where it was not named by itself.
    size : int or tuple of int
        Of a pool's window.
    options : dict
        stride, padding, dilation, groups, eps, transposed.
    prefix : str
        Of a batch norm's tensors.
    """

    kind: str
    weight: str = ""
    bias: str = ""
    size: Any = None
    options: Mapping[str, Any] = field(default_factory=dict)
    prefix: str = ""
    bias_named: bool = False


def read_map(row: object, where: str) -> MapDescription:
    """Read one map of a description, ``{ conv2d = "0", stride = 2 }``.

    Raises
    ------
    RefsimError
        With what was found and what is known.
    """
    if isinstance(row, Mapping) and (found := set(row) & {"max_pool1d", "max_pool2d", "relu"}):
        raise RefsimError(
            f"{where}: {listed(found)} is not linear; only linear maps can stand between layers "
            "of neurons."
        )
    kinds = set(row) & set(KINDS) if isinstance(row, Mapping) else set()
    if not isinstance(row, Mapping) or len(kinds) != 1:
        raise RefsimError(
            f'{where}: each of maps is one of {listed(KINDS)}, such as {{ conv2d = "0", stride = '
            f"2 }}, but one is {str(row)[:60]}."
        )
    kind = kinds.pop()
    if surplus := set(row) - {kind} - KINDS[kind]:
        raise RefsimError(
            f"{where}: {listed(surplus)} is not an option of {kind}, which takes "
            f"{listed(KINDS[kind])}."
        )
    value, options = row[kind], {key: row[key] for key in row if key != kind}
    for name in _NUMBERS & set(options):
        options[name] = _numbers(options[name], f"{where}: {name}", 0 if name == "padding" else 1)
    if not isinstance(options.get("transposed", False), bool):
        raise RefsimError(
            f"{where}: transposed must be true or false, but is {options['transposed']!r}."
        )
    if kind in _TRAINED:
        return _trained(kind, value, options, where)
    if kind == "flatten":
        if value is not True:
            raise RefsimError(f"{where}: flatten must be true, or be left out, but is {value!r}.")
        return MapDescription(kind)
    return MapDescription(kind, size=_numbers(value, f"{where}: {kind}", 1), options=options)


def _trained(kind: str, value: object, options: dict[str, Any], where: str) -> MapDescription:
    """Return a map with tensors: named by their prefix, or each by its own name."""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return MapDescription(
            kind, f"{value}.weight", f"{value}.bias", options=options, prefix=str(value)
        )
    known = {"weight", "bias"} if kind != "batch_norm" else set()
    if (
        isinstance(value, Mapping)
        and "weight" in value
        and set(value) <= known
        and all(isinstance(name, str) for name in value.values())
    ):
        return MapDescription(
            kind,
            value["weight"],
            value.get("bias", ""),
            options=options,
            bias_named="bias" in value,
        )
    raise RefsimError(
        f'{where}: {kind} = ... must be the prefix of its tensors, such as "0" for 0.weight, or '
        f'{{ weight = "...", bias = "..." }}.'
    )


def _numbers(value: object, where: str, least: int) -> Any:
    """Return a whole number, or a tuple of them."""
    several = tuple(value) if isinstance(value, list) else (value,)
    if (
        not several
        or len(several) > 2
        or any(
            isinstance(each, bool) or not isinstance(each, int) or not least <= each <= 1 << 16
            for each in several
        )
    ):
        raise RefsimError(
            f"{where} must be one or two whole numbers from {least} on, but is {value!r}."
        )
    return several if len(several) > 1 else several[0]


def build(
    maps: Sequence[MapDescription], before: Shape, state: Tensors, where: str
) -> tuple[Floats, Floats, Shape, str]:
    """Return weight (n_post, n_pre), bias (n_post,), the shape that comes out, and the maps in
    words.

    Parameters
    ----------
    before : tuple of int
        Shape of what is heard; empty where nothing says it, which a Linear does not need.
    """
    if len(maps) == 1 and maps[0].kind == "linear":
        weight, bias = linear(maps[0], state, where)
        return weight, bias, (len(weight),), f"linear {weight.shape[-1]} -> {len(weight)}"
    if not before and maps[0].kind == "linear":
        before = (linear(maps[0], state, where)[0].shape[1],)
    if not before:
        raise RefsimError(
            f"{where}: nothing says the shape of what it hears; write input_shape = [channels, "
            "height, width] at the top of the description."
        )
    parts, shape, words = [], before, [_written(before)]
    for each in maps:
        part = _module(each, shape, state, where)
        after = _shape_after(part, shape)
        if not after or 0 in after:
            raise RefsimError(f"{where}: {each.kind} does not fit what it hears, of shape {shape}.")
        check_matrix_room(math.prod(after), math.prod(before), where)
        parts.append(part)
        shape, words = after, [*words, each.kind, _written(after)]
    weight, bias = measured(nn.Sequential(*parts), before, where)
    return weight, bias, shape, " ".join(words)


def _shape_after(part: nn.Module, shape: Shape) -> Shape:
    """Return the shape that comes out, without computing it.

    Empty where a part does not take the shape.
    """
    if isinstance(part, _BatchNorm):
        return shape if part.factor.shape == shape[:1] else ()
    try:
        return tuple(
            copy.deepcopy(part)
            .to("meta")(torch.zeros(1, *shape, dtype=torch.float64, device="meta"))
            .shape[1:]
        )
    except (RuntimeError, ValueError, TypeError, IndexError):
        return ()


def linear(each: MapDescription, state: Tensors, where: str) -> tuple[Floats, Floats]:
    """Return weight (n_post, n_pre) and bias (n_post,) of a Linear."""
    weight = state.take(each.weight)
    if weight.ndim != 2:
        raise RefsimError(f"{where}: weight must be (n_post, n_pre), but has shape {weight.shape}.")
    weight = real_array(
        weight.T if each.options.get("transposed") else weight, f"{where}: {each.weight}"
    )
    bias = _bias(each, state)
    return weight, np.zeros(len(weight)) if bias is None else bias


def _bias(each: MapDescription, state: Tensors) -> Floats | None:
    return state.take(each.bias) if each.bias_named or (each.bias and each.bias in state) else None


def _module(each: MapDescription, before: Shape, state: Tensors, where: str) -> nn.Module:
    """Return a map as PyTorch has it, in float64."""
    options = dict(each.options)
    if each.kind == "flatten":
        return nn.Flatten()
    if each.kind == "batch_norm":
        return _BatchNorm(each, options.get("eps", 1e-5), state, where)
    if each.kind == "linear":
        weight, bias = linear(each, state, where)
        return _filled(nn.Linear(weight.shape[1], len(weight), device="meta"), weight, bias, where)
    if each.kind in ("conv1d", "conv2d"):
        weight, bias_ = state.take(each.weight), _bias(each, state)
        axes = int(each.kind[4])
        if weight.ndim != axes + 2 or 0 in weight.shape:
            raise RefsimError(
                f"{where}: the weight of {each.kind} must have {axes + 2} axes, (channels, "
                f"channels of a group, ...), but has shape {weight.shape}."
            )
        groups = options.get("groups", 1)
        if (
            not isinstance(groups, int)
            or len(before) != axes + 1
            or weight.shape[1] * groups != before[0]
            or len(weight) % groups
        ):
            raise RefsimError(
                f"{where}: {each.kind} with weight {weight.shape} and groups {groups} does not "
                f"fit what it hears, of shape {before}."
            )
        made = (nn.Conv1d, nn.Conv2d)[axes - 1](
            before[0], len(weight), weight.shape[2:], device="meta", **options
        )
        return _filled(made, weight, np.zeros(len(weight)) if bias_ is None else bias_, where)
    if each.kind == "sum_pool2d":
        return nn.AvgPool2d(each.size, divisor_override=1, **options)
    return (nn.AvgPool1d if each.kind == "avg_pool1d" else nn.AvgPool2d)(each.size, **options)


def _filled(
    made: nn.Linear | nn.Conv1d | nn.Conv2d, weight: Floats, bias: Floats, where: str
) -> nn.Module:
    if bias.shape != (len(weight),):
        raise RefsimError(f"{where}: bias must have shape ({len(weight)},), but has {bias.shape}.")
    real = made.to_empty(device="cpu").double()
    assert real.bias is not None
    with torch.no_grad():
        real.weight.copy_(torch.tensor(real_array(weight, f"{where}: weight")))
        real.bias.copy_(torch.tensor(real_array(bias, f"{where}: bias")))
    return real


class _BatchNorm(nn.Module):
    """A batch norm as it is after training: by its running mean and variance, a channel."""

    def __init__(self, each: MapDescription, eps: Any, state: Tensors, where: str) -> None:
        super().__init__()
        if isinstance(eps, bool) or not isinstance(eps, int | float) or not 0 <= eps < 1:
            raise RefsimError(f"{where}: eps must be a small number, but is {eps!r}.")
        names = {
            key: f"{each.prefix}.{key}"
            for key in ("running_mean", "running_var", "weight", "bias", "num_batches_tracked")
        }
        mean, variance = (
            real_array(state.take(names[key]), f"{where}: {names[key]}")
            for key in ("running_mean", "running_var")
        )
        gain, shift = (
            real_array(state.take(names[key]), f"{where}: {names[key]}")
            if names[key] in state
            else None
            for key in ("weight", "bias")
        )
        if names["num_batches_tracked"] in state:
            state.take(names["num_batches_tracked"])
        if (variance + eps <= 0).any():
            raise RefsimError(f"{where}: {names['running_var']} must be above 0.")
        self.factor = torch.tensor((1.0 if gain is None else gain) / np.sqrt(variance + eps))
        self.shift = (
            torch.tensor(0.0 if shift is None else shift, dtype=torch.float64)
            - torch.tensor(mean) * self.factor
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale and shift each channel."""
        shape = (-1, *[1] * (x.ndim - 2))
        return x * self.factor.reshape(shape) + self.shift.reshape(shape)


def _written(shape: Shape) -> str:
    return "x".join(map(str, shape))
