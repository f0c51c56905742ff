"""refsim: its layers take one step a call, and have their card and parameters at hand.

Its delays are no neurons.
"""

from typing import Any

from torch import nn

from ...pytorch.delay import AxonalDelay
from ...pytorch.layers import Neuron
from .framework import Framework, Membranes


def _forget(part: nn.Module) -> None:
    if isinstance(part, Neuron):
        part.state = None
    elif isinstance(part, AxonalDelay):
        part.forget()


def _membranes(part: Any, _output: object) -> Membranes:
    return Membranes(part.seen, part.v)


REFSIM = Framework(
    name="refsim",
    title="refsim",
    package="refsim",
    forget=_forget,
    membranes=_membranes,
    states=lambda part: dict(getattr(part, "state", None) or {}),
    delay=lambda part: int(part.steps().max()) if isinstance(part, AxonalDelay) else 0,
    step_seconds=lambda part: part.dt if isinstance(part, Neuron) and part.model.timed else None,
)
