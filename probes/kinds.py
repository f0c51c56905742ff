"""What a probe is made of: a kind of layer, and the module made of random numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

N_INPUTS, N_NEURONS, N_SAMPLES = 6, 16, 4


@dataclass(frozen=True)
class Made:
    """A module with what the bridge has to be told of it, and the input that makes it fire."""

    module: Any
    drive: float = 1.0  # standard deviation of the input
    input_shape: tuple[int, ...] | None = None
    layout: str | None = None
    dt: str | None = "1 ms"


@dataclass(frozen=True)
class Kind:
    """A kind of layer.

    Attributes
    ----------
    name : str
    make : function
        (generator) -> Made.
    """

    name: str
    make: Callable[[np.random.Generator], Made]
