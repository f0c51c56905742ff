"""What stands between the neurons of a NIR graph: linear maps, run by PyTorch and measured on unit inputs; and their delays."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...arrays import Floats
from ...errors import RefsimError
from .nir_nodes import LARGEST, Node

Shape = tuple[int, ...]
_WHOLE = 1e-6  # of a step: decimal times such as 3e-4 are no closer to whole steps of 1e-4 in float32


def shape_behind(node: Node, shape: Shape) -> Shape:
    """Return the shape that a linear node makes of a shape.

    Raises
    ------
    RefsimError
        Where it does not take that shape, or makes a signal that no memory holds.
    """
    made = _shape(node, shape)
    if min(made, default=1) < 1 or math.prod(made) > LARGEST:
        raise RefsimError(f"{node.where}: makes {made} of {shape}; a signal has from 1 to {LARGEST:,} numbers.")
    return made


def _shape(node: Node, shape: Shape) -> Shape:
    kind = node.kind
    if kind in ("Affine", "Linear"):
        weight = node.values["weight"].shape
        if len(weight) < 2:
            raise RefsimError(f"{node.where}: weight must be (n_out, n_in), but has shape {weight}.")
        return _taken(node, shape, (*weight[:-2], weight[-1]), (*weight[:-2], weight[-2]))
    if kind in ("Scale", "Delay"):
        own = node.values["scale" if kind == "Scale" else "delay"]
        return shape if own.size == 1 else _taken(node, shape, own.shape, shape)
    if kind in ("Conv1d", "Conv2d"):
        return _convolved(node, shape)
    if kind in ("SumPool2d", "AvgPool2d"):
        return _pooled(node, shape)
    return _flattened(node, shape) if kind == "Flatten" else shape


def _taken(node: Node, given: Shape, own: Shape, made: Shape) -> Shape:
    if given != own:
        raise RefsimError(f"{node.where}: takes {own}, but what leads to it gives {given}.")
    return made


def _convolved(node: Node, shape: Shape) -> Shape:
    n, weight, groups = int(node.kind[4]), node.values["weight"].shape, node.whole("groups", 1)[0]
    if len(weight) != n + 2 or weight[0] % groups or node.values["bias"].shape != (weight[0],):
        raise RefsimError(
            f"{node.where}: weight must be (n_out, n_in/groups, {'height, width' if n == 2 else 'length'}) and bias (n_out,), but have shapes {weight} and {node.values['bias'].shape}, with groups = {groups}."
        )
    if len(shape) != n + 1 or shape[0] != weight[1] * groups:
        raise RefsimError(f"{node.where}: takes {weight[1] * groups} channels of {n} dimensions, but what leads to it gives {shape}.")
    if "input_shape" in node.values and node.whole("input_shape", n) != shape[1:]:
        raise RefsimError(f"{node.where}: says input_shape {node.whole('input_shape', n)}, but what leads to it gives {shape[1:]}.")
    stride, dilation = node.whole("stride", n), node.whole("dilation", n)
    reach = [d * (k - 1) for d, k in zip(dilation, weight[2:], strict=True)]
    if node.padding == "same":
        if set(stride) != {1}:
            raise RefsimError(f"{node.where}: padding 'same' is defined for stride 1 alone, but stride is {stride}.")
        return (weight[0], *shape[1:])
    padding = (0,) * n if node.padding else node.whole("padding", n)
    _check_padded(node, shape, padding)
    return (weight[0], *((size + 2 * p - r - 1) // s + 1 for size, p, r, s in zip(shape[1:], padding, reach, stride, strict=True)))


def _pooled(node: Node, shape: Shape) -> Shape:
    if len(shape) != 3:
        raise RefsimError(f"{node.where}: takes (channels, height, width), but what leads to it gives {shape}.")
    if node.padding:
        raise RefsimError(f"{node.where}: padding must be whole numbers, but is '{node.padding}'.")
    kernel, stride, padding = (node.whole(field, 2) for field in ("kernel_size", "stride", "padding"))
    if node.kind == "AvgPool2d" and any(padding):
        raise RefsimError(f"{node.where}: averages with padding {padding}, and NIR does not say whether the padding counts; use SumPool2d and a Scale.")
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise RefsimError(f"{node.where}: padding {padding} is more than half of the kernel {kernel}; some of its sums would be of padding alone.")
    _check_padded(node, shape, padding)
    return (shape[0], *((size + 2 * p - k) // s + 1 for size, p, k, s in zip(shape[1:], padding, kernel, stride, strict=True)))


def _check_padded(node: Node, shape: Shape, padding: Shape) -> None:
    if math.prod((shape[0], *(size + 2 * p for size, p in zip(shape[1:], padding, strict=True)))) > LARGEST:
        raise RefsimError(f"{node.where}: pads {shape} by {padding}; a signal has at most {LARGEST:,} numbers.")


def _flattened(node: Node, shape: Shape) -> Shape:
    if "input_type" in node.values and (said := node.whole("input_type", node.values["input_type"].size)) != shape:
        raise RefsimError(f"{node.where}: says input_type {said}, but what leads to it gives {shape}.")
    first, last = (node.whole(field, 1)[0] % len(shape) if -len(shape) <= node.whole(field, 1)[0] < len(shape) else -1 for field in ("start_dim", "end_dim"))
    if not 0 <= first <= last:
        raise RefsimError(
            f"{node.where}: cannot flatten {shape} from dimension {node.whole('start_dim', 1)[0]} to {node.whole('end_dim', 1)[0]}; NIR counts without the batch."
        )
    return (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])


def mapped(node: Node, x: Tensor, made: Shape, bias: bool) -> Tensor:
    """Return what a linear node makes of a batch (n, *shape): (n, *made), with its bias or without."""
    value = {field: torch.from_numpy(array) for field, array in node.values.items()}
    if node.kind in ("Affine", "Linear"):
        answer = (value["weight"] @ x[..., None])[..., 0]
        return answer + value["bias"] if bias and node.kind == "Affine" else answer
    if node.kind == "Scale":
        return x * value["scale"]
    if node.kind in ("Conv1d", "Conv2d"):
        n = int(node.kind[4])
        padding = node.padding or node.whole("padding", n)
        run = F.conv1d if n == 1 else F.conv2d
        answer = run(
            x, value["weight"], value["bias"] if bias else None, node.whole("stride", n), padding, node.whole("dilation", n), node.whole("groups", 1)[0]
        )
        return answer
    if node.kind in ("SumPool2d", "AvgPool2d"):
        kernel = node.whole("kernel_size", 2)
        mean = F.avg_pool2d(x, kernel, node.whole("stride", 2), node.whole("padding", 2), divisor_override=1 if node.kind == "SumPool2d" else None)
        return mean
    return x.reshape(len(x), *made)


@dataclass(frozen=True)
class Delays:
    """The delays of a Delay node in steps, one a number of its signal."""

    steps: Tensor

    @classmethod
    def of(cls, node: Node, shape: Shape, dt: float) -> "Delays":
        """Read a Delay node; its times must be whole steps."""
        times: Floats = np.broadcast_to(node.values["delay"], shape)
        steps = np.round(times / dt)
        if times.min() < 0:
            raise RefsimError(f"{node.where}: a delay of {times.min():g} s would reach into the future.")
        if (apart := np.abs(times / dt - steps) > _WHOLE * np.maximum(steps, 1)).any():
            raise RefsimError(f"{node.where}: a delay of {times[apart][0]:g} s is no whole number of steps of {dt:g} s; give a dt that divides it.")
        return cls(torch.from_numpy(steps.astype(np.int64)))

    def split(self, signals: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Return signals by their delay, each part of them delayed by its own more."""
        made: dict[int, Tensor] = {}
        for more in torch.unique(self.steps).tolist():
            for delay, x in signals.items():
                part = x * (self.steps == more)
                made[delay + more] = made[delay + more] + part if delay + more in made else part
        return made
