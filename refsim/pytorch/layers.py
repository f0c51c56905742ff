"""Thin modules over the steps: put them behind a Linear, train, and hand the module to refsim."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..cards.names import STEP
from ..cards.neuron import NeuronModel
from ..cards.read import load, warn
from ..core.errors import RefsimError
from ..networks.network import positive_time
from .base import autocast_in_use, no_autocast, stepped, widened
from .delay import AxonalDelay
from .steps import STEPS
from .surrogate import Fire, spike_function


class Neuron(nn.Module):
    """Neurons of one card, one step a call, with their membrane kept between calls.

    Parameters
    ----------
    surrogate : str, function or None
        Name of the surrogate gradient, or what ``spike_function("exponential", width=0.5)``
        returns; None for none.
    detach_reset : bool
        Keep the gradient out of the reset, and out of the refractory response of a spike response
        neuron.
    dt : float or str, optional
        Duration of a step, for cards whose declared step depends on it.
    **parameters
        Values in place of the card's.

    Attributes
    ----------
    state : dict of str to Tensor, or None
        States after the last step, by name.
    draw : function or None
        Where a stochastic neuron gets its random numbers; None for PyTorch's own generator.
    v, seen, fired : Tensor or None
        Membrane after the last step, what the threshold saw in it, and the spikes, also where the
        output is what they carry.
    """

    card = ""

    def __init__(
        self,
        surrogate: str | Fire | None = "rectangle",
        *,
        detach_reset: bool = False,
        dt: object = None,
        **parameters: Any,
    ) -> None:
        super().__init__()
        self.model = load(self.card, **parameters)
        warn(self.model)
        self.dt = _duration(self.model, dt)
        self.constants = {**self.model.constants(step=self.dt), STEP: self.dt}
        self.fire = spike_function(surrogate)
        self.detach_reset = detach_reset
        self.state: dict[str, Tensor] | None = None
        self.draw: Callable[[], dict[str, Tensor]] | None = None
        self.seen: Tensor | None = None
        self.fired: Tensor | None = None

    @property
    def v(self) -> Tensor | None:
        """The membrane after the last step."""
        return None if self.state is None else self.state[self.model.membrane]

    def forward(self, x: Tensor) -> Tensor:
        """Advance by one step: input (batch, neurons) to spikes (batch, neurons), or to what they
        carry; of a readout to its membrane.

        Under `torch.autocast` the input is taken in its short dtype and all else stays float32, as
        PyTorch does it with what adds up: a membrane of eight bits would forget small inputs, and
        fire other spikes.
        """
        if not autocast_in_use(x.device):
            return self._step(x)
        with no_autocast(x.device):
            return self._step(widened(x))

    def _step(self, x: Tensor) -> Tensor:
        state = (
            {name: torch.full_like(x, entry.start) for name, entry in self.model.stepped.items()}
            if self.state is None
            else self.state
        )
        held = next(iter(state.values())).shape
        if held != x.shape:
            raise RefsimError(
                f"{type(self).__name__}: holds the membranes of {tuple(held)}, but its input is "
                f"{tuple(x.shape)}; call refsim.reset(module) between batches."
            )
        drawn = (
            {name: torch.rand_like(x) for name in self.model.draws}
            if self.draw is None
            else self.draw()
        )
        step, constants = STEPS[self.card], self.now() | drawn
        spikes, self.seen, self.state = stepped(
            step, x, state, constants, self.fire, detach_reset=self.detach_reset
        )
        self.fired = spikes
        output = self.model.discrete.readout or self.model.discrete.payload
        return self.state[output] if output else spikes

    def now(self) -> dict[str, Any]:
        """Return the constants of this step; a neuron that learns some of them gives tensors."""
        return self.constants

    def declared(self) -> NeuronModel:
        """Return the card with the parameters as they are now."""
        return self.model

    def extra_repr(self) -> str:
        """Show the parameters."""
        return ", ".join(
            f"{name}={parameter.value:g}" for name, parameter in self.model.parameters.items()
        )


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


class LIFRefractory(Neuron):
    """Leaky integrate-and-fire with an absolute refractory period: card ``lif_refractory``."""

    card = "lif_refractory"


class LI(Neuron):
    """Leaky integrator, a readout without spikes; its output is its membrane: card ``li``."""

    card = "li"


class EIF(Neuron):
    """Exponential integrate-and-fire, in volts: card ``eif``."""

    card = "eif"


class CubaLIF(Neuron):
    """Leaky integrate-and-fire behind an exponential synapse: card ``cuba_lif``."""

    card = "cuba_lif"


class LIFExp(Neuron):
    """Leaky integrate-and-fire behind an exponential synapse, solved exactly between spikes.

    Card ``lif_exp``. Give it ``dt``.
    """

    card = "lif_exp"


class QIF(Neuron):
    """Quadratic integrate-and-fire, in volts: card ``qif``."""

    card = "qif"


class Bernoulli(Neuron):
    """Memoryless neuron whose clipped input is its chance: card ``bernoulli``."""

    card = "bernoulli"


class SRM0Escape(Neuron):
    """Spike response model with escape noise: card ``srm0_escape``."""

    card = "srm0_escape"


class SSNNComposite(Neuron):
    """Composite stochastic neuron, a reconstruction: card ``ssnn_composite``."""

    card = "ssnn_composite"


class PLIF(Neuron):
    """Leaky integrate-and-fire whose leak is learnt: card ``plif``.

    ``w`` is a parameter of the module, 1/tau = sigmoid(w).
    """

    card = "plif"

    def __init__(
        self, surrogate: str | Fire | None = "rectangle", *, w: float = 0.0, **options: Any
    ) -> None:
        super().__init__(surrogate, w=w, **options)
        self.w = nn.Parameter(torch.tensor(float(w)))

    def now(self) -> dict[str, Any]:
        """Return the constants, with the share of the present w."""
        return self.constants | {"w": self.w, "share": torch.sigmoid(self.w)}

    def declared(self) -> NeuronModel:
        """Return the card with the present w."""
        return self.model.with_parameters(w=float(self.w.detach()))


class PoissonEscape(Neuron):
    """Poisson neuron with an exponential rate: card ``poisson_escape``."""

    card = "poisson_escape"


def _duration(model: NeuronModel, dt: object) -> float:
    if dt is not None:
        return positive_time(dt, f"layer of '{model.name}': dt")
    if model.timed:
        raise RefsimError(
            f"layer of '{model.name}': its step depends on its duration; give it, dt=\"1 ms\"."
        )
    return 1.0


def reset(module: nn.Module) -> None:
    """Put all neurons of a module back to their start, and empty its delays."""
    for part in module.modules():
        if isinstance(part, AxonalDelay):
            part.forget()
        if isinstance(part, Neuron):
            part.state = part.seen = part.fired = None
