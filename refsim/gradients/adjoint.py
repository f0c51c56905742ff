"""Derivatives of exact spike times, computed in two ways that share no idea.

`adjoint` is EventProp: the gradient of a loss by one pass back in time through each layer.
`sensitivities` applies the implicit function theorem spike by spike, and says how every spike time
moves with every weight and every input time. It is slower, goes forward in time, keeps all
derivatives, and has no adjoint variable, so that each checks the other.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..core.arrays import Floats, real_array
from ..core.errors import RefsimError
from ..core.spikes import EventTrain
from .spike_times import EventDriven, ExactNeuron, Gradient


def adjoint(found: EventDriven, dloss_dt: ArrayLike) -> Gradient:
    """Return the derivative of a loss by all weights and by the times of the input spikes.

    Backwards in time ``tau_m lv' = -lv`` and ``tau_syn li' = -li + lv``, and at a spike k of a
    neuron the jump

        ``lv <- lv + (v_th*lv + dL/dt_k)/(tau_m*slope_k)``,

    where dL/dt_k is the loss's own and what the layer above hands down, ``W^T (lv - li)``. Then
    ``dL/dw_ji = -tau_syn`` times the sum of li_j over the spikes of i (Wunderlich and Pehle 2021,
    Scientific Reports 11, Eq. 5 to 8 and Table 2, for a reset that subtracts or sets: at the spike
    the membrane is v_th, so that both are one).

    Parameters
    ----------
    found : EventDriven
    dloss_dt : (n_spikes,) in 1/s
        Derivative of the loss by each spike time of the last layer, as the losses here give it:
        ``.by_time``.

    Returns
    -------
    Gradient

    Raises
    ------
    RefsimError
        Where a spike's slope is 0: its membrane only touches the threshold, and its time has no
        derivative.
    """
    error = checked_errors(found, dloss_dt)
    gradients: list[Floats] = []
    # What a layer hands down is the error of the layer below.
    for layer in reversed(range(len(found.layers))):
        by_weight, error = _through(
            found.neurons[layer],
            found.weights[layer],
            found.before(layer),
            found.layers[layer],
            error,
        )
        gradients.append(by_weight)
    return Gradient(tuple(reversed(gradients)), error)


def _through(
    neuron: ExactNeuron, weight: Floats, received: EventTrain, fired: EventTrain, error: Floats
) -> tuple[Floats, Floats]:
    """Go back through one layer: from dL/dt of its spikes to dL/dw and dL/dt of its input spikes.

    Of a spike and an arrival at the same time the spike is the earlier, so that on the way back the
    arrival comes first.
    """
    times = np.concatenate([received.times, fired.times])
    is_fired = np.arange(len(times)) >= len(received)
    lv, li = np.zeros(len(weight)), np.zeros(len(weight))
    by_weight, by_time = np.zeros_like(weight), np.zeros(len(received))
    now = times.max(initial=0.0)
    # Events of both kinds, the latest first.
    for event in np.lexsort((is_fired, -times)):
        lv, li, now = *_back(neuron, lv, li, now - times[event]), times[event]
        if is_fired[event]:
            k = event - len(received)
            n = fired.neurons[k]
            # At a spike the adjoint of the membrane jumps.
            lv[n] += (neuron.v_th * lv[n] + error[k]) / (neuron.tau_m * fired.slopes[k])
        else:
            # At an arrival the adjoints say what a weight and a time are worth.
            sender = received.neurons[event]
            by_weight[:, sender] -= neuron.tau_syn * li
            by_time[event] = weight[:, sender] @ (lv - li)
    return by_weight, by_time


def _back(neuron: ExactNeuron, lv: Floats, li: Floats, d: float) -> tuple[Floats, Floats]:
    """Return both adjoint variables a time `d` earlier."""
    response = neuron.tau_m / neuron.tau_syn * neuron.response(np.asarray(d))
    return lv * np.exp(-d / neuron.tau_m), li * np.exp(-d / neuron.tau_syn) + lv * response


def checked_errors(found: EventDriven, dloss_dt: ArrayLike) -> Floats:
    """Return dL/dt of the last layer's spikes, if it fits and if each spike has a derivative."""
    if not isinstance(found, EventDriven):
        raise RefsimError(
            "a gradient needs what refsim.gradients.event_driven returns, but "
            f"{type(found).__name__} was given."
        )
    error = real_array(
        dloss_dt,
        "dloss_dt",
        cure="Where the loss is not differentiable there is no gradient to check.",
    )
    if error.shape != (len(found.output),):
        raise RefsimError(
            f"dloss_dt: needs one number for each of the {len(found.output)} spikes of the last "
            f"layer, but has shape {error.shape}."
        )
    # Where the slope is 0 the implicit function theorem fails.
    for index, train in enumerate(found.layers):
        flat = np.flatnonzero(~(train.slopes > 0))
        if flat.size:
            neuron, time = train.neurons[flat[0]], train.times[flat[0]]
            raise RefsimError(
                f"layer {index}, neuron {neuron}: its membrane only touches the threshold at "
                f"{time:.9g} s, and such a time has no derivative. Change a weight a little."
            )
    return error


@dataclass(frozen=True)
class Sensitivities:
    """Derivatives of spike times.

    Attributes
    ----------
    found : EventDriven
    rows : one (n_spikes, n_parameters) a layer
        Of each spike of the layer by all weights, layer by layer in C order, and then by the input
        times.
    """

    found: EventDriven
    rows: tuple[Floats, ...]

    def of(self, layer: int, spike: int) -> Gradient:
        """Return the derivative of one spike's time.

        By weights it is in seconds, by input times a plain number.
        """
        return self._parted(self.rows[layer][spike])

    def gradient(self, dloss_dt: ArrayLike) -> Gradient:
        """Return the derivative of a loss from that by the last layer's spike times.

        Given is ``dloss_dt``, (n_spikes,) in 1/s.
        """
        return self._parted(checked_errors(self.found, dloss_dt) @ self.rows[-1])

    def _parted(self, row: Floats) -> Gradient:
        sizes = np.cumsum([weight.size for weight in self.found.weights])
        *weights, inputs = np.split(row, sizes)
        return Gradient(
            tuple(
                part.reshape(weight.shape)
                for part, weight in zip(weights, self.found.weights, strict=True)
            ),
            inputs,
        )


def sensitivities(found: EventDriven) -> Sensitivities:
    """Return the derivative of every spike time by every weight and input time.

    With V(t) the sum of ``w*response(t - t_i)`` over arrivals and of ``-v_th*exp(-(t -
    t_m)/tau_m)`` over the neuron's own earlier spikes,
    ``V(t_k) = v_th`` makes ``dt_k/dp = -(dV/dp)/V'(t_k)``: directly through a weight, and through
    the times of arrivals and of earlier spikes.

    Raises
    ------
    RefsimError
        Where a membrane only touches the threshold.
    """
    checked_errors(found, np.zeros(len(found.output)))
    n_weights = sum(weight.size for weight in found.weights)
    n_inputs = len(found.inputs)
    # Input times move with themselves alone, and with no weight.
    rows = [np.concatenate([np.zeros((n_inputs, n_weights)), np.eye(n_inputs)], axis=1)]
    offset = 0
    for layer, weight in enumerate(found.weights):
        rows.append(_layer_rows(found, layer, rows[-1], offset))
        offset += weight.size
    return Sensitivities(found, tuple(rows[1:]))


def _layer_rows(found: EventDriven, layer: int, received_rows: Floats, offset: int) -> Floats:
    """Return the derivatives of one layer's spike times, from those of its input spikes."""
    neuron, weight, received, fired = (
        found.neurons[layer],
        found.weights[layer],
        found.before(layer),
        found.layers[layer],
    )
    rows = np.zeros((len(fired), received_rows.shape[1]))
    n_pre = weight.shape[1]
    for k, (time, n) in enumerate(zip(fired.times, fired.neurons, strict=True)):
        # Only what arrived before the spike has moved it.
        past = np.flatnonzero(received.times < time)
        senders, ago = received.neurons[past], time - received.times[past]
        moved = rows[k]
        # Directly through the neuron's own weights.
        moved[offset + n * n_pre : offset + (n + 1) * n_pre] += np.bincount(
            senders, neuron.response(ago), n_pre
        )
        # Through the times of what arrived.
        moved -= (weight[n, senders] * neuron.response_slope(ago)) @ received_rows[past]
        # Through the neuron's earlier spikes, which took v_th from the membrane.
        own = np.flatnonzero(fired.neurons[:k] == n)
        faded = np.exp(-(time - fired.times[own]) / neuron.tau_m)
        moved -= neuron.v_th / neuron.tau_m * faded @ rows[own]
        # The threshold stays where it is: dt = -dV/V'.
        moved /= -fired.slopes[k]
    return rows
