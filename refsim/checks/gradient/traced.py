"""Traced: a run whose graph is kept, so that gradients can be sent back through it.

They go from what a layer gave to what arrived at any layer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...core.arrays import Floats
from ...core.errors import crash
from ...modules.call import in_time
from ...modules.functions import call_loss
from .loss import UserLoss


@dataclass(frozen=True, eq=False)
class Traced:
    """What arrived at each layer of neurons and what each gave, with the graph between them.

    Attributes
    ----------
    arrived : per layer, the tensors of its calls in order
    axes : per layer, how these lie in time, one of ``refsim.modules.frameworks.framework.AXES``
    gave : per layer, (n_steps, n_samples, n_neurons): spikes, or the membrane of a readout
    decided : per layer, what each comparison gave, one after the other, where that is known
    parameters : per layer, the card's parameters by name, (n_samples, n_neurons), where they have
    gradients
    whose : whose code it is that runs backwards, for the error where that raises; "" for refsim's
    own
    """

    arrived: Sequence[Sequence[Tensor]]
    axes: Sequence[str]
    gave: Sequence[Tensor]
    decided: Sequence[list[Tensor]] = ()
    parameters: Sequence[Mapping[str, Tensor]] = ()
    whose: str = ""

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """(n_steps, n_samples, n_neurons) of each layer."""
        return [tuple(each.shape) for each in self.gave]

    def output(self, layer: int) -> Floats:
        """Return what a layer gave as an array (n_steps, n_samples, n_neurons)."""
        return np.asarray(self.gave[layer].detach().cpu().double().numpy())

    def back(self, layer: int, upstream: Floats | Tensor) -> list[Floats]:
        """Send gradients of what a layer gave back to what arrived at each layer.

        Both have the shape (n_steps, n_samples, n_neurons) of their layer; 0 stands where none
        comes.
        """
        gave = self.gave[layer]
        if not gave.requires_grad:
            return [np.zeros(shape) for shape in self.shapes]
        sources = [tensor for each in self.arrived for tensor in each]
        # All layers in one pass back.
        found = self._sent_back(gave, sources, torch.as_tensor(upstream).to(gave))
        # No gradient is a gradient of 0.
        whole = iter(
            [
                torch.zeros_like(tensor) if gradient is None else gradient
                for tensor, gradient in zip(sources, found, strict=True)
            ]
        )
        return [
            self._in_steps(index, [next(whole) for _ in each])
            for index, each in enumerate(self.arrived)
        ]

    def back_from_loss(
        self, loss: UserLoss, target: Sequence[Any]
    ) -> tuple[float, list[Floats], Tensor]:
        """Return a loss of the last layer, its gradients by what arrived, and its tensor."""
        value = loss_of(loss, self.gave[-1], target)
        # Nothing leads back from the loss.
        if not value.requires_grad or not self.gave[-1].requires_grad:
            return float(value.detach()), [np.zeros(shape) for shape in self.shapes], value
        (upstream,) = self._sent_back(value, [self.gave[-1]])
        return (
            float(value.detach()),
            self.back(-1, torch.zeros_like(self.gave[-1]) if upstream is None else upstream),
            value,
        )

    def by_card(self, loss: UserLoss, target: Sequence[Any]) -> list[dict[str, Floats]]:
        """Return the gradients of a loss by the cards' parameters, by name for each layer.

        Each is (n_samples, n_neurons).
        """
        value = loss_of(loss, self.gave[-1], target)
        found = []
        for each in self.parameters:
            gradients = self.by_parameter(value, list(each.values()))
            found.append(
                {
                    name: np.zeros(each[name].shape) if one is None else one
                    for name, one in zip(each, gradients, strict=True)
                }
            )
        return found

    def through_network(
        self, loss: UserLoss, target: Sequence[Any], parameters: Sequence[Tensor]
    ) -> list[Floats | None]:
        """Return the gradient of a loss by each parameter through what the last layer gave.

        What a loss, such as weight decay, takes of a parameter directly is left out.
        """
        # Once through the network, and once with its outputs cut off.
        whole, beside = (
            self.by_parameter(loss_of(loss, gave, target), parameters)
            for gave in (self.gave[-1], self.gave[-1].detach())
        )
        return [
            each if each is None or other is None else each - other
            for each, other in zip(whole, beside, strict=True)
        ]

    def by_parameter(self, value: Tensor, parameters: Sequence[Tensor]) -> list[Floats | None]:
        """Return the gradient of a loss by each parameter; None where it does not depend on one."""
        if not value.requires_grad or not parameters:
            return [None] * len(parameters)
        found = self._sent_back(value, list(parameters))
        return [
            None if each is None else np.asarray(each.detach().cpu().double().numpy())
            for each in found
        ]

    def _sent_back(
        self, output: Tensor, to: Sequence[Tensor], upstream: Tensor | None = None
    ) -> Sequence[Tensor | None]:
        try:
            return torch.autograd.grad(output, to, upstream, retain_graph=True, allow_unused=True)
        except Exception as error:  # a user's backward pass can raise anything
            if not self.whose:
                raise
            raise crash(f"check_gradient: {self.whose}", error, "on its way back") from error

    def _in_steps(self, layer: int, calls: Sequence[Tensor]) -> Floats:
        n_samples = self.gave[layer].shape[1]
        steps = torch.cat([in_time(each, self.axes[layer], n_samples).flatten(2) for each in calls])
        return np.asarray(steps.detach().cpu().double().numpy())


def loss_of(loss: UserLoss, gave: Tensor, target: Sequence[Any]) -> Tensor:
    """Return a loss of what the last layer gave, (n_steps, n_samples, n_classes).

    The loss is given (n_samples, n_classes, n_steps).
    """
    return call_loss(loss, gave.permute(1, 2, 0), target, "check_gradient")


def tapped(x: Tensor) -> Tensor:
    """Return a tensor of the same values at which a gradient can be read by itself."""
    return x.clone() if x.requires_grad else x.detach().clone().requires_grad_()
