"""The base of all layers: neurons of one card, one step a call, and their reset.

A layer is a thin module over a hand-written step. Put it behind a Linear, train, and hand the
module to refsim. The layers themselves stand beside their steps, in the file of their family:
``leaky``, ``adaptive``, ``biophysical``, ``srm``, ``loihi``, ``readout`` and ``chance``.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..cards.names import STEP
from ..cards.neuron import NeuronModel
from ..cards.read import load, warn
from ..core.errors import RefsimError
from ..networks.network import positive_time
from .base import Constants, State, Stepped, autocast_in_use, no_autocast, stepped, widened
from .delay import AxonalDelay
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

    Raises
    ------
    RefsimError
        For a parameter that the card does not have or refuses, or where ``dt`` is needed and
        missing.

    Attributes
    ----------
    card : str
        Of the class: the name of its card.
    state : dict of str to Tensor, or None
        States after the last step, by name.
    draw : function or None
        Where a stochastic neuron gets its random numbers; None for PyTorch's own generator.
    v, seen, fired : Tensor or None
        Membrane after the last step, what the threshold saw in it, and the spikes, also where the
        output is what they carry.
    """

    card = ""

    @staticmethod
    def step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
        """Advance by one step; each layer has the hand-written step of its card."""
        raise NotImplementedError

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
        """Advance by one step.

        Parameters
        ----------
        x : Tensor (batch, neurons)
            Input of this step, in the input unit of the card.

        Returns
        -------
        Tensor (batch, neurons)
            Spikes, or what they carry; of a readout its membrane.

        Raises
        ------
        RefsimError
            Where the batch has another shape than the states that are kept.

        Notes
        -----
        Under `torch.autocast` the input comes in its short dtype and all else stays float32, as
        PyTorch does it with what adds up: a membrane of eight bits would forget small inputs, and
        fire other spikes.
        """
        if not autocast_in_use(x.device):
            return self._step(x)
        with no_autocast(x.device):
            return self._step(widened(x))

    def _step(self, x: Tensor) -> Tensor:
        # At the start of a record the states take the shape of the first input.
        state = (
            {name: torch.full_like(x, entry.start) for name, entry in self.model.stepped.items()}
            if self.state is None
            else self.state
        )
        shape = next(iter(state.values())).shape
        if shape != x.shape:
            raise RefsimError(
                f"{type(self).__name__}: holds the membranes of {tuple(shape)}, but its input is "
                f"{tuple(x.shape)}; call refsim.reset(module) between batches."
            )
        # A run on trial brings its own random numbers, so that every engine draws the same.
        drawn = (
            {name: torch.rand_like(x) for name in self.model.draws}
            if self.draw is None
            else self.draw()
        )
        spikes, self.seen, self.state = stepped(
            self.step,
            x,
            state,
            {**self.now(), **drawn},
            self.fire,
            detach_reset=self.detach_reset,
        )
        self.fired = spikes
        # A readout gives a state; so does a neuron whose spikes carry a number.
        output = self.model.discrete.readout or self.model.discrete.payload
        return self.state[output] if output else spikes

    def now(self) -> Constants:
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
    for layer in module.modules():
        if isinstance(layer, AxonalDelay):
            layer.forget()
        if isinstance(layer, Neuron):
            layer.state = layer.seen = layer.fired = None
