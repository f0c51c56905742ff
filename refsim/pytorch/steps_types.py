"""What a PyTorch step takes and returns."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from .surrogate import Fire

State = Mapping[str, Tensor]
Stepped = tuple[Tensor, Tensor, dict[str, Tensor]]  # spikes, what the threshold saw, states after the step
Step = Callable[[Any, State, Mapping[str, Any], Fire], Stepped]
