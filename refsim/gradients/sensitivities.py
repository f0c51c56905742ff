"""The implicit function theorem, spike by spike: how every spike time moves with every weight and every input time.

Slower than the adjoint and of other make: it goes forward in time, keeps all derivatives, and knows no adjoint variable. So the
one checks the other.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats
from .adjoint import checked_errors
from .events import EventDriven, Gradient


@dataclass(frozen=True)
class Sensitivities:
    """Derivatives of spike times.

    Attributes
    ----------
    found : EventDriven
    rows : one (n_spikes, n_parameters) a layer
        Of each spike of the layer by all weights, layer by layer in C order, and then by the input times.
    """

    found: EventDriven
    rows: tuple[Floats, ...]

    def of(self, layer: int, spike: int) -> Gradient:
        """Return the derivative of one spike's time: by weights in seconds, by input times a plain number."""
        return self._parted(self.rows[layer][spike])

    def gradient(self, dloss_dt: ArrayLike) -> Gradient:
        """Return the derivative of a loss from that by the last layer's spike times, (n_spikes,) in 1/s."""
        return self._parted(checked_errors(self.found, dloss_dt) @ self.rows[-1])

    def _parted(self, row: Floats) -> Gradient:
        sizes = np.cumsum([weight.size for weight in self.found.weights])
        *weights, inputs = np.split(row, sizes)
        return Gradient(tuple(part.reshape(weight.shape) for part, weight in zip(weights, self.found.weights, strict=True)), inputs)


def sensitivities(found: EventDriven) -> Sensitivities:
    """Return the derivative of every spike time by every weight and input time.

    With V(t) the sum of ``w*response(t - t_i)`` over arrivals and of ``-v_th*exp(-(t - t_m)/tau_m)`` over the neuron's own earlier spikes,
    ``V(t_k) = v_th`` makes ``dt_k/dp = -(dV/dp)/V'(t_k)``: directly through a weight, and through the times of arrivals and of earlier spikes.

    Raises
    ------
    RefsimError
        Where a membrane only touches the threshold.
    """
    checked_errors(found, np.zeros(len(found.output)))
    n_weights = sum(weight.size for weight in found.weights)
    n_inputs = len(found.inputs)
    rows = [np.concatenate([np.zeros((n_inputs, n_weights)), np.eye(n_inputs)], axis=1)]
    offset = 0
    for layer, weight in enumerate(found.weights):
        rows.append(_layer_rows(found, layer, rows[-1], offset))
        offset += weight.size
    return Sensitivities(found, tuple(rows[1:]))


def _layer_rows(found: EventDriven, layer: int, heard_rows: Floats, offset: int) -> Floats:
    """Return the derivatives of one layer's spike times, from those of the spikes it heard."""
    neuron, weight, heard, fired = found.neurons[layer], found.weights[layer], found.before(layer), found.layers[layer]
    rows = np.zeros((len(fired), heard_rows.shape[1]))
    n_pre = weight.shape[1]
    for k, (time, n) in enumerate(zip(fired.times, fired.neurons, strict=True)):
        past = np.flatnonzero(heard.times < time)
        senders, ago = heard.neurons[past], time - heard.times[past]
        moved = rows[k]
        moved[offset + n * n_pre : offset + (n + 1) * n_pre] += np.bincount(senders, neuron.response(ago), n_pre)
        moved -= (weight[n, senders] * neuron.response_slope(ago)) @ heard_rows[past]
        own = np.flatnonzero(fired.neurons[:k] == n)
        moved -= neuron.v_th / neuron.tau_m * np.exp(-(time - fired.times[own]) / neuron.tau_m) @ rows[own]
        moved /= -fired.slopes[k]
    return rows
