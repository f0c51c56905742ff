"""EventProp: the gradient of a loss over exact spike times, by one pass back in time through each layer."""

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import Floats, real_array
from ..errors import RefsimError
from ..spike_times import EventTrain
from .events import EventDriven, Gradient
from .neuron import ExactNeuron


def adjoint(found: EventDriven, dloss_dt: ArrayLike) -> Gradient:
    """Return the derivative of a loss by all weights and by the times of the input spikes.

    Backwards in time ``tau_m lv' = -lv`` and ``tau_syn li' = -li + lv``, and at a spike k of a neuron the jump

        ``lv <- lv + (v_th*lv + dL/dt_k)/(tau_m*slope_k)``,

    where dL/dt_k is the loss's own and what the layer above hands down, ``W^T (lv - li)``. Then ``dL/dw_ji = -tau_syn`` times the sum of li_j
    over the spikes of i (Wunderlich and Pehle 2021, Scientific Reports 11, Eq. 5 to 8 and Table 2, for a reset that subtracts or sets:
    at the spike the membrane is v_th, so that both are one).

    Parameters
    ----------
    found : EventDriven
    dloss_dt : (n_spikes,) in 1/s
        Derivative of the loss by each spike time of the last layer, as the losses here give it: ``.by_time``.

    Returns
    -------
    Gradient

    Raises
    ------
    RefsimError
        Where a spike's slope is 0: its membrane only touches the threshold, and its time has no derivative.
    """
    error = checked_errors(found, dloss_dt)
    gradients: list[Floats] = []
    for layer in reversed(range(len(found.layers))):
        by_weight, error = _through(found.neurons[layer], found.weights[layer], found.before(layer), found.layers[layer], error)
        gradients.append(by_weight)
    return Gradient(tuple(reversed(gradients)), error)


def _through(neuron: ExactNeuron, weight: Floats, heard: EventTrain, fired: EventTrain, error: Floats) -> tuple[Floats, Floats]:
    """Go back through one layer: from dL/dt of its spikes to dL/dw and dL/dt of the spikes it heard.

    Of a spike and an arrival at the same time the spike is the earlier, so that on the way back the arrival comes first.
    """
    times = np.concatenate([heard.times, fired.times])
    is_fired = np.arange(len(times)) >= len(heard)
    lv, li = np.zeros(len(weight)), np.zeros(len(weight))
    by_weight, by_time = np.zeros_like(weight), np.zeros(len(heard))
    now = times.max(initial=0.0)
    for event in np.lexsort((is_fired, -times)):
        lv, li, now = *_back(neuron, lv, li, now - times[event]), times[event]
        if is_fired[event]:
            k = event - len(heard)
            n = fired.neurons[k]
            lv[n] += (neuron.v_th * lv[n] + error[k]) / (neuron.tau_m * fired.slopes[k])
        else:
            sender = heard.neurons[event]
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
        raise RefsimError(f"a gradient needs what refsim.gradients.event_driven returns, but {type(found).__name__} was given.")
    error = real_array(dloss_dt, "dloss_dt", cure="Where the loss is not differentiable there is no gradient to check.")
    if error.shape != (len(found.output),):
        raise RefsimError(f"dloss_dt: needs one number for each of the {len(found.output)} spikes of the last layer, but has shape {error.shape}.")
    for index, train in enumerate(found.layers):
        flat = np.flatnonzero(~(train.slopes > 0))
        if flat.size:
            neuron, time = train.neurons[flat[0]], train.times[flat[0]]
            raise RefsimError(
                f"layer {index}, neuron {neuron}: its membrane only touches the threshold at {time:.9g} s, and such a time has no derivative. Change a weight a little."
            )
    return error
