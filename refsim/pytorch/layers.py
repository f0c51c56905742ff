"""Thin modules over the steps: put them behind a Linear, train, and hand the module to refsim."""

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import RefsimError
from ..model import load
from .steps import STEPS
from .surrogate import spike_function


class Neuron(nn.Module):
    """Neurons of one card, one step a call, with their membrane kept between calls.

    Parameters
    ----------
    surrogate : str or None
        Name of the surrogate gradient; None for none.
    detach_reset : bool
        Keep the gradient out of the reset.
    **parameters
        Values in place of the card's.

    Attributes
    ----------
    v, seen : Tensor or None
        Membrane after the last step, and what the threshold saw in it.
    """

    card = ""

    def __init__(self, surrogate: str | None = "rectangle", *, detach_reset: bool = False, **parameters: Any) -> None:
        super().__init__()
        self.model = load(self.card, **parameters)
        self.constants = self.model.constants(step=1.0)  # no constant of a declared step depends on its duration
        self.fire = spike_function(surrogate)
        self.detach_reset = detach_reset
        self.v: Tensor | None = None
        self.seen: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Advance by one step: input (batch, neurons) to spikes (batch, neurons)."""
        v = torch.full_like(x, self.model.state[self.model.membrane].start) if self.v is None else self.v
        if v.shape != x.shape:
            raise RefsimError(
                f"{type(self).__name__}: holds the membranes of {tuple(v.shape)}, but its input is {tuple(x.shape)}; call refsim.reset(module) between batches."
            )
        step = STEPS[self.card]
        spikes, self.seen, self.v = step(x, v, self.constants, self.fire)
        if self.detach_reset:
            held = spikes.detach()
            _, _, self.v = step(x, v, self.constants, lambda _distance: held)
        return spikes

    def extra_repr(self) -> str:
        """Show the parameters."""
        return ", ".join(f"{name}={parameter.value:g}" for name, parameter in self.model.parameters.items())


class IF(Neuron):
    """Integrate-and-fire, hard reset: card ``if``."""

    card = "if"


class LIF(Neuron):
    """Leaky integrate-and-fire, form A: card ``lif``."""

    card = "lif"


class LIFDecay(Neuron):
    """Leaky integrate-and-fire, form B: card ``lif_decay``."""

    card = "lif_decay"


class SRIF(Neuron):
    """Soft-reset integrate-and-fire: card ``srif``."""

    card = "srif"


class SRIFMPR(Neuron):
    """SRIF behind the membrane potential rectifier: card ``srif_mpr``."""

    card = "srif_mpr"


def reset(module: nn.Module) -> None:
    """Put all neurons of a module back to their start."""
    for part in module.modules():
        if isinstance(part, Neuron):
            part.v = part.seen = None
