"""The neuron of the card lif_exp in closed form: how it moves between spikes, where it turns, what a spike leaves behind.

With V the membrane and I the synaptic current, ``tau_m V' = I - V`` and ``tau_syn I' = -I``. Everything is written so that
nothing cancels where ``tau_m`` is, or is nearly, ``tau_syn``.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import exprel

from ..arrays import Floats
from ..errors import RefsimError
from ..model import NeuronModel, load

CARD = "lif_exp"


@dataclass(frozen=True)
class ExactNeuron:
    """Time constants in seconds and the threshold; a spike takes ``v_th`` off the membrane, which stands at ``v_th`` then."""

    tau_m: float
    tau_syn: float
    v_th: float

    def response(self, s: Floats) -> Floats:
        """Return the membrane a time `s` >= 0 after a spike of weight 1: tau_syn/(tau_m - tau_syn)*(exp(-s/tau_m) - exp(-s/tau_syn))."""
        a, b = s / self.tau_m, s / self.tau_syn
        found: Floats = a * np.exp(-np.minimum(a, b)) * exprel(-np.abs(b - a))
        return found

    def response_slope(self, s: Floats) -> Floats:
        """Return the derivative of the response by `s`, in 1/s."""
        found: Floats = (np.exp(-s / self.tau_syn) - self.response(s)) / self.tau_m
        return found

    def moved(self, v: Floats, i: Floats, d: Floats) -> tuple[Floats, Floats]:
        """Return membrane and current a time `d` later, if nothing happens in between."""
        return v * np.exp(-d / self.tau_m) + i * self.response(d), i * np.exp(-d / self.tau_syn)

    def rise(self, v: Floats, i: Floats) -> Floats:
        """Return for how long a membrane that may yet reach a threshold above 0 rises: up to its one peak.

        0 where it falls or can only come back to 0 from below. At the peak V = I, hence with y = 1 - V/I and q = y*(tau_m - tau_syn)/tau_m
        the time is tau_syn*y*(-log(1 - q)/q), which is tau*y where the two time constants are one.
        """
        rises = (i > 0) & (v < i)
        y = 1 - np.divide(v, i, out=np.ones_like(v), where=rises)
        q = y * (self.tau_m - self.tau_syn) / self.tau_m
        rises &= q < 1
        q = np.where(rises, q, 0.5)
        found: Floats = np.where(rises, self.tau_syn * y * np.divide(-np.log1p(-q), q, out=np.ones_like(q), where=q != 0), 0.0)
        return found


def exact_neuron(model: NeuronModel, where: str) -> ExactNeuron:
    """Return the constants of a model that has the equations of the card lif_exp, under whatever name.

    Raises
    ------
    RefsimError
        Where it has others: closed forms hold for these alone.
    """
    if not isinstance(model, NeuronModel):
        raise RefsimError(f'{where}: needs a neuron, refsim.load("{CARD}"), but {model!r} was given.')
    card = load(CARD)
    if (model.continuous, model.inputs, model.input_kind, model.state, model.derived) != (
        card.continuous,
        card.inputs,
        card.input_kind,
        card.state,
        card.derived,
    ):
        raise RefsimError(
            f"{where}: exact spike times are known here for the equations of card '{CARD}' alone, but '{model.name}' has others. "
            f'Take refsim.load("{CARD}", tau_m=..., tau_syn=..., v_th=...), or the sub-step run of Brian2 for another neuron.'
        )
    return ExactNeuron(*(model.parameters[name].value for name in ("tau_m", "tau_syn", "v_th")))
