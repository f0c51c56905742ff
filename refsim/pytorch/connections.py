"""The weighted sum of a layer in PyTorch: a linear map a connection, its input delayed where the network says so."""

import torch
from torch import Tensor
from torch.nn.functional import linear

from ..connection import DRIVE
from ..network import Layer


class WeightedSum:
    """What a layer gets in each step: call it with the frame of the drive and the latest spikes of all layers.

    The spikes of a layer that comes later, and the layer's own, are those of the step before.
    """

    def __init__(self, index: int, layer: Layer, n_samples: int, dtype: torch.dtype, device: torch.device, held: bool) -> None:
        self.sources = layer.sources
        self.weights = [torch.as_tensor(weight).to(device, dtype) for weight in layer.weights]
        self.bias = torch.as_tensor(layer.bias).to(device, dtype)
        waits = [torch.as_tensor(source.delay - (source.layer >= index)).to(device) for source in layer.sources]
        self.past = [_Past(wait, n_samples, dtype) if bool(wait.any()) else None for wait in waits]
        self.steady = held and all(source.layer == DRIVE for source in layer.sources) and not any(self.past)
        self.kept: Tensor | None = None

    def __call__(self, frame: Tensor, spikes: list[Tensor]) -> Tensor:
        """Return the current of this step, (n_samples, n_post)."""
        if self.kept is not None:
            return self.kept
        total: Tensor | None = None
        for source, weight, past in zip(self.sources, self.weights, self.past, strict=True):
            x = frame if source.layer == DRIVE else spikes[source.layer]
            x = x if past is None else past(x)
            total = linear(x, weight, self.bias) if total is None else total + linear(x, weight)
        assert total is not None
        if self.steady:
            self.kept = total
        return total


class _Past:
    """The frames of the last steps, as a roll: the newest in front."""

    def __init__(self, wait: Tensor, n_samples: int, dtype: torch.dtype) -> None:
        self.index = wait.view(1, 1, -1).expand(1, n_samples, -1)
        self.roll = torch.zeros(int(wait.max()) + 1, n_samples, len(wait), device=wait.device, dtype=dtype)

    def __call__(self, frame: Tensor) -> Tensor:
        """Take the newest frame, return what arrives."""
        self.roll = torch.cat([frame[None], self.roll[:-1]])
        return self.roll.gather(0, self.index)[0]
