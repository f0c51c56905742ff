"""The linear maps between two layers, as a description names them, measured as one matrix.

`read_map` checks what the description says of one map. `compose` takes the tensors of all maps
between two layers, runs them one behind another, and measures the matrix that they make.
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
from .affine import measured, shape_text
from .weights import Tensors

_NUMBERS = {"stride", "padding", "dilation", "groups"}
# The options of each map. A map without tensors has the size of its window, or true, as its value.
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
Numbers = int | tuple[int, ...]


@dataclass(frozen=True)
class MapDescription:
    """One linear map.

    Attributes
    ----------
    kind : str
        One of ``KINDS``.
    weight, bias : str
        Names of tensors. A bias that was not named by itself may be absent from the file.
    size : int or tuple of int
        The size of the window of a pool.
    options : dict
        stride, padding, dilation, groups, eps, transposed.
    prefix : str
        What the names of the tensors of a batch norm begin with.
    bias_named : bool
        Whether the description names the bias, which must then be in the file.
    """

    kind: str
    weight: str = ""
    bias: str = ""
    size: Numbers = 1
    options: Mapping[str, object] = field(default_factory=dict)
    prefix: str = ""
    bias_named: bool = False


def read_map(row: object, where: str) -> MapDescription:
    """Read one map of a description, such as ``{ conv2d = "0", stride = 2 }``.

    Raises
    ------
    RefsimError
        Where the kind or an option is unknown or malformed; the message says what is known.
    """
    # These are asked for often, so that they get a sentence of their own.
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
    # The options are checked before the value, for all kinds alike.
    value, options = row[kind], {key: row[key] for key in row if key != kind}
    for name in _NUMBERS & set(options):
        options[name] = _numbers(options[name], f"{where}: {name}", 0 if name == "padding" else 1)
    if not isinstance(options.get("transposed", False), bool):
        raise RefsimError(
            f"{where}: transposed must be true or false, but is {options['transposed']!r}."
        )
    # What follows depends on whether the map has tensors, a window or neither.
    if kind in _TRAINED:
        return _trained(kind, value, options, where)
    if kind == "flatten":
        if value is not True:
            raise RefsimError(f"{where}: flatten must be true, or be left out, but is {value!r}.")
        return MapDescription(kind)
    return MapDescription(kind, size=_numbers(value, f"{where}: {kind}", 1), options=options)


def _trained(kind: str, value: object, options: dict[str, object], where: str) -> MapDescription:
    """Return a map with tensors, which are named by their prefix or each by its own name."""
    if isinstance(value, str | int) and not isinstance(value, bool):
        return MapDescription(
            kind, f"{value}.weight", f"{value}.bias", options=options, prefix=str(value)
        )
    # A batch norm has five tensors, and is named by their prefix alone.
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


def _numbers(value: object, where: str, least: int) -> Numbers:
    """Return a whole number from `least` on, or a tuple of two."""
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


def compose(
    maps: Sequence[MapDescription], before: Shape, state: Tensors, where: str
) -> tuple[Floats, Floats, Shape, str]:
    """Return the matrix of several maps, one behind another.

    Parameters
    ----------
    maps : sequence of MapDescription
    before : tuple of int
        Shape of the input; empty where nothing says it, which a Linear does not need.
    state : Tensors
        The tensors of the file; those of the maps are taken from it.
    where : str
        Opens the error messages.

    Returns
    -------
    weight : (n_post, n_pre)
    bias : (n_post,)
    shape : tuple of int
        Of the output.
    words : str
        The maps in words.
    """
    # A Linear alone is a matrix already, and is copied bit for bit.
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
    # Each map is tried on shapes alone first, so that a wrong one is named before memory is needed.
    parts, shape, words = [], before, [shape_text(before)]
    for each in maps:
        part = _module(each, shape, state, where)
        after = _shape_after(part, shape)
        if not after or 0 in after:
            raise RefsimError(f"{where}: {each.kind} does not fit what it hears, of shape {shape}.")
        check_matrix_room(math.prod(after), math.prod(before), where)
        parts.append(part)
        shape, words = after, [*words, each.kind, shape_text(after)]
    weight, bias = measured(nn.Sequential(*parts), before, where)
    return weight, bias, shape, " ".join(words)


def _shape_after(part: nn.Module, shape: Shape) -> Shape:
    """Return the shape of an output without computing it; empty where the input does not fit."""
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
    # A convolution's weight under linear is the likeliest mistake.
    if weight.ndim != 2:
        raise RefsimError(f"{where}: weight must be (n_post, n_pre), but has shape {weight.shape}.")
    weight = real_array(
        weight.T if each.options.get("transposed") else weight, f"{where}: {each.weight}"
    )
    bias = described_bias(each, state)
    return weight, np.zeros(len(weight)) if bias is None else bias


def described_bias(each: MapDescription, state: Tensors) -> Floats | None:
    """Return the bias of a map; None where it was not named and the file has none."""
    return state.take(each.bias) if each.bias_named or (each.bias and each.bias in state) else None


def _module(each: MapDescription, before: Shape, state: Tensors, where: str) -> nn.Module:
    """Return a map as a module of PyTorch, in float64."""
    options: dict[str, Any] = dict(each.options)  # keywords of PyTorch, which `read_map` checked
    if each.kind == "flatten":
        return nn.Flatten()
    if each.kind == "batch_norm":
        return _BatchNorm(each, each.options.get("eps", 1e-5), state, where)
    if each.kind == "linear":
        weight, bias = linear(each, state, where)
        return _filled(nn.Linear(weight.shape[1], len(weight), device="meta"), weight, bias, where)
    if each.kind in ("conv1d", "conv2d"):
        weight, given = state.take(each.weight), described_bias(each, state)
        axes = int(each.kind[4])
        # PyTorch's own messages would name neither the layer nor the tensor.
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
        bias = np.zeros(len(weight)) if given is None else given
        return _filled(made, weight, bias, where)
    options["kernel_size"] = each.size
    if each.kind == "sum_pool2d":
        return nn.AvgPool2d(divisor_override=1, **options)
    return (nn.AvgPool1d if each.kind == "avg_pool1d" else nn.AvgPool2d)(**options)


def _filled(
    made: nn.Linear | nn.Conv1d | nn.Conv2d, weight: Floats, bias: Floats, where: str
) -> nn.Module:
    """Return a module that was made without memory, with its weight and bias in float64."""
    if bias.shape != (len(weight),):
        raise RefsimError(f"{where}: bias must have shape ({len(weight)},), but has {bias.shape}.")
    real = made.to_empty(device="cpu").double()
    assert real.bias is not None
    with torch.no_grad():
        real.weight.copy_(torch.tensor(real_array(weight, f"{where}: weight")))
        real.bias.copy_(torch.tensor(real_array(bias, f"{where}: bias")))
    return real


class _BatchNorm(nn.Module):
    """A batch norm after training: a factor and a shift a channel, from its running statistics."""

    def __init__(self, each: MapDescription, eps: object, state: Tensors, where: str) -> None:
        super().__init__()
        if isinstance(eps, bool) or not isinstance(eps, int | float) or not 0 <= eps < 1:
            raise RefsimError(f"{where}: eps must be a small number, but is {eps!r}.")
        names = {
            key: f"{each.prefix}.{key}"
            for key in ("running_mean", "running_var", "weight", "bias", "num_batches_tracked")
        }
        # Mean and variance must be there; gain and shift are missing where affine is False.
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
        # The number of batches means nothing after training, and is only accounted for.
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
        """Multiply each channel by its factor, and add its shift."""
        shape = (-1, *[1] * (x.ndim - 2))
        return x * self.factor.reshape(shape) + self.shift.reshape(shape)
