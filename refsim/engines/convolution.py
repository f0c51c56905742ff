"""Kernels of a card at run time: the past of an input or of a neuron's own spikes, summed in ascending order of its age."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import RefsimError
from ..model.inputs import kernel_values
from ..network import Layer


def layer_kernels(layer: Layer, dt: float) -> dict[str, list[float]]:
    """Return the values of each kernel of a layer at k = 0, 1, ... steps.

    Raises
    ------
    RefsimError
        Where parameters given per neuron make kernels that differ.
    """
    model, found = layer.model, {}
    rows = [{name: float(values[neuron]) for name, values in layer.parameters.items()} for neuron in range(layer.n_post)] if layer.parameters else [{}]
    for name in model.kernels:
        where = f"{layer.name}: kernel {name}"
        each = [kernel_values(model, name, model.constants(dt, row), dt, where) for row in rows]
        if any(values != each[0] for values in each):
            raise RefsimError(
                f"{where}: all neurons of a layer share a kernel; give its parameters one value, or neurons of another kernel a layer of their own."
            )
        found[name] = each[0]
    return found


@dataclass
class Convolution:
    """One kernel of one layer.

    Attributes
    ----------
    values : list
        The kernel at k = 0, 1, ...
    own : bool
        Of the neuron's own spikes: those of earlier steps, so that k starts at 1.
    """

    values: list[Any]
    own: bool
    past: deque[Any] = field(default_factory=deque)

    def of_input(self, current: Any) -> Any:
        """Take the input of this step and return the sum."""
        self.remember(current)
        return self.value()

    def remember(self, arrived: Any) -> None:
        """Put what arrived in front of the past; a step without any is kept as None."""
        self.past.appendleft(arrived if np.any(getattr(arrived, "value", arrived)) else None)
        if len(self.past) > len(self.values):
            self.past.pop()

    def value(self) -> Any:
        """Return the sum over the past, the newest first."""
        total: Any = 0.0
        for weight, arrived in zip(self.values[1:] if self.own else self.values, self.past, strict=False):
            if arrived is not None:
                total = total + weight * arrived
        return total
