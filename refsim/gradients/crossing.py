"""When a rising membrane reaches its threshold: Newton's method inside a bracket that never loses the root."""

import numpy as np

from ..arrays import Floats
from .neuron import ExactNeuron


def crossings(neuron: ExactNeuron, v: Floats, i: Floats, span: Floats) -> Floats:
    """Return the times (n,) after which membranes `v` with currents `i` reach the threshold.

    Parameters
    ----------
    v, i : (n,)
        Below the threshold, rising.
    span : (n,) in seconds
        A time up to which the membrane rises and by which it has reached the threshold: at most that of its peak.
    """
    low, high = np.zeros_like(span), span
    d = 0.5 * span
    done = np.zeros(len(d), bool)
    for _ in range(200):  # bisection alone takes 53 and a few to the last digit; Newton's method some five
        height, current = neuron.moved(v, i, d)
        off = height - neuron.v_th
        low, high = np.where(off < 0, d, low), np.where(off < 0, high, d)
        with np.errstate(divide="ignore", invalid="ignore"):  # at the peak itself the slope is 0; then the bracket is halved
            new = d - off * neuron.tau_m / (current - height)
        inside = (new >= low) & (new <= high)
        new = np.where(inside, new, 0.5 * (low + high))
        done |= np.abs(new - d) <= np.spacing(d)
        if done.all():
            return new
        d = np.where(done, d, new)
    return d
