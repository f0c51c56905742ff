"""refsim's hand-written PyTorch steps, run with their graph: on trial against the cards' own text, on any device and in any dtype."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arrays import Floats
from ..engines.delays import Hearing
from ..errors import RefsimError, listed
from ..network import Network
from .connections import WeightedSum
from .engine import DTYPES, Torch, checked_device, constants_on, states_like
from .parameter_gradient import Along, Slope
from .steps_types import stepped
from .surrogate import Fire
from .traced import Traced, tapped


@dataclass(frozen=True, eq=False)
class StepsTrial:
    """A network on trial.

    Attributes
    ----------
    network : Network
    device : torch.device
    dtype : torch.dtype
    sums : list of WeightedSum
        With the weights and biases whose gradients are asked for; made anew for each run.
    """

    network: Network
    device: torch.device
    dtype: torch.dtype
    sums: list[WeightedSum] = field(default_factory=list)

    @classmethod
    def of(cls, network: Network, device: str, dtype: str) -> "StepsTrial":
        """Take a network."""
        if dtype not in DTYPES:
            raise RefsimError(f"check_gradient: dtype must be one of {listed(DTYPES)}, but is {dtype!r}.")
        return cls(network, checked_device(device), DTYPES[dtype])

    @property
    def title(self) -> str:
        """Who is on trial."""
        return f"refsim's PyTorch steps, {str(self.dtype).removeprefix('torch.')}" + ("" if self.device.type == "cpu" else f", {self.device}")

    @property
    def single(self) -> bool:
        """Whether it computes in float32."""
        return self.dtype != torch.float64

    @property
    def learnt(self) -> dict[str, Tensor]:
        """The weights and biases of the last run, by name."""
        found: dict[str, Tensor] = {}
        for layer, each in zip(self.network.layers, self.sums, strict=True):
            found |= {f"{layer.name}: weight" + (f" {number}" if number else ""): weight for number, weight in enumerate(each.weights)}
            found[f"{layer.name}: bias"] = each.bias
        return found

    def trace(self, inputs: Floats, fires: Sequence[Fire], detach_reset: Sequence[bool]) -> Traced:
        """Run the steps on inputs (n_samples, n_steps, n_inputs)."""
        layers, engine = self.network.layers, Torch()
        self.sums[:] = [WeightedSum(index, layer, len(inputs), self.dtype, self.device, held=False) for index, layer in enumerate(layers)]
        for each in self.sums:
            for tensor in (*each.weights, each.bias):
                tensor.requires_grad_()
        steps = [engine.step_of(layer.model) for layer in layers]
        constants = [constants_on(layer, self.network.dt, self.device, self.dtype) for layer in layers]
        outputs = [torch.zeros(len(inputs), layer.n_post, device=self.device, dtype=self.dtype) for layer in layers]
        states = [states_like(output, layer) for output, layer in zip(outputs, layers, strict=True)]
        arrived: list[list[Tensor]] = [[] for _ in layers]
        gave: list[list[Tensor]] = [[] for _ in layers]
        for frame in torch.as_tensor(inputs).to(self.device, self.dtype).unbind(1):
            for index, step in enumerate(steps):
                arrived[index].append(tapped(self.sums[index](frame, outputs)))
                how = (arrived[index][-1], states[index], constants[index], fires[index])
                outputs[index], _, states[index] = stepped(step, *how, detach_reset=detach_reset[index])  # of a readout others hear nothing
                readout = layers[index].model.discrete.readout
                gave[index].append(states[index][readout] if readout else outputs[index])
        return Traced(arrived, ["step"] * len(layers), [torch.stack(each) for each in gave])

    def spread(self, _traced: Traced, _layer: int, deltas: Floats) -> Floats:
        """Return gradients at what arrives as they are."""
        return deltas

    def slopes(self, inputs: Floats, gave: Sequence[Floats], deltas: Sequence[Floats], _by_card: Any, seed: int) -> tuple[list[Slope], list[str]]:
        """Return the slope of a loss along a random direction of each weight and bias: its gradient by what arrives, times what the direction adds to that."""
        generator, found = np.random.default_rng(seed), []
        hear, heard = Hearing(self.network, len(inputs)), []
        for step in range(inputs.shape[1]):
            row = []
            for index, layer in enumerate(self.network.layers):
                row.append(hear(index, inputs[:, step]))
                hear.spikes[index] = np.zeros_like(gave[index][step]) if layer.model.discrete.readout else gave[index][step]
            heard.append(row)
        for index, layer in enumerate(self.network.layers):
            rows, delta, at = [row[index] for row in heard], deltas[index], 0
            for number, weight in enumerate(self.sums[index].weights):
                part = [row[:, at : at + weight.shape[1]] for row in rows]
                name = f"{layer.name}: weight" + (f" {number}" if number else "")
                found.append(_slope(name, weight, generator.standard_normal(tuple(weight.shape)), partial(_weight_terms, part, delta)))
                at += weight.shape[1]
            found.append(_slope(f"{layer.name}: bias", self.sums[index].bias, generator.standard_normal(layer.n_post), partial(np.multiply, delta)))
        return found, []


def _slope(name: str, parameter: Tensor, direction: Floats, terms: Callable[[Floats], Floats]) -> Slope:
    def along(direction: Floats) -> Along:
        added = terms(direction)
        return float(added.sum()), 0.0, float(np.linalg.norm(added))

    return Slope(name, parameter, direction, along, along(direction))


def _weight_terms(heard: Sequence[Floats], delta: Floats, direction: Floats) -> Floats:
    return np.array([delta[step] * (x @ direction.T) for step, x in enumerate(heard)])
