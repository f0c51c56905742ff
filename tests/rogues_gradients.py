"""Planted faults in the two exact gradients, made in their own source.

Each is caught by one named check and passes all earlier ones.

A gradient is a function (found, dloss_dt) -> Gradient. A check returns whether it is wrong. What it
is held against is central differences of the event-driven run alone, never the other gradient.
"""

import inspect

import numpy as np
from rogues import Rogue

import refsim
from refsim.core.claims import Claim
from refsim.gradients import TimedLoss, adjoint, event_driven, finite_differences, sensitivities

DIFFERENCES = Claim(
    "gradient",
    "largest difference from central finite differences, over the largest entry",
    1e-6,
    "1",
    "A time of some 1e-2 s is known to 1e-17 s; over twice a step of 1e-6, and where a slope is "
    "a tenth of the threshold a membrane time constant, that is 1e-9 "
    "of a derivative, and the second order term of the step is 1e-12 times its fifth inverse "
    "power of the slope: 1e-7. Any lost term is larger than a thousandth.",
)


def by_adjoint(found, dloss_dt):
    return adjoint(found, dloss_dt)


def by_implicit_function(found, dloss_dt):
    return sensitivities(found).gradient(dloss_dt)


def altered(function, *changes):
    """Return a gradient whose module has other lines; each old one must be there once."""
    module = inspect.getmodule(function)
    text = inspect.getsource(module)
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    names = {"__name__": module.__name__, "__package__": module.__package__}
    exec(compile(text, "<rogue>", "exec"), names)
    made = names[function.__name__]
    return made if function is adjoint else lambda found, dloss_dt: made(found).gradient(dloss_dt)


def spikes(weights, times, inputs, stop="60 ms"):
    return event_driven(refsim.load("lif_exp"), weights, times, inputs, stop)


def apart(found, gradient):
    """Return how far a gradient of a weighted sum of all spike times lies from central differences,
    over the largest entry.
    """
    share = np.cos(np.arange(len(found.output)) + 0.5)
    truth = finite_differences(
        found, lambda output: TimedLoss(float(share @ output.times), share)
    ).flat()
    return np.abs(gradient(found, share).flat() - truth).max() / np.abs(truth).max()


def _sign(gradient):
    """One spike of one input makes one spike.

    A larger weight makes it earlier, a later input later by as much.
    """
    found = spikes([[[8.0]]], [0.0], [0])
    assert len(found.output) == 1
    got = gradient(found, [1.0])
    return not (got.weights[0][0, 0] < 0 and got.inputs[0] > 0)


def _slope(gradient):
    """Two inputs of one neuron, which fires once."""
    found = spikes([[[4.0, 5.0]]], [0.0, 2e-3], [0, 1])
    assert len(found.output) == 1
    return not (_sign(gradient) or DIFFERENCES.holds(np.abs(apart_of_weights(found, gradient))))


def apart_of_weights(found, gradient):
    """Return how far the derivatives by the last layer's weights alone lie off."""
    share = np.ones(len(found.output))
    truth = finite_differences(
        found, lambda output: TimedLoss(float(share @ output.times), share)
    ).weights[-1]
    return np.abs(gradient(found, share).weights[-1] - truth).max() / np.abs(truth).max()


def _reset(gradient):
    """One neuron fires three times, and each spike moves the later ones."""
    found = spikes([[[14.0, 9.0]]], [0.0, 4e-3], [0, 1])
    assert len(found.output) >= 3
    return not (
        _sign(gradient) or _slope(gradient) or DIFFERENCES.holds(apart_of_weights(found, gradient))
    )


def _presynaptic(gradient):
    """Two layers, each neuron of which fires once.

    The first layer's weights act through the times of its spikes alone.
    """
    found = spikes([[[8.0], [9.0]], [[5.0, 4.0]]], [1e-3], [0])
    assert len(found.layers[0]) == 2
    assert len(found.output) == 1
    return not (
        _sign(gradient)
        or _slope(gradient)
        or _reset(gradient)
        or DIFFERENCES.holds(apart(found, gradient))
    )


CHECKS = {"sign": _sign, "slope": _slope, "reset": _reset, "presynaptic time": _presynaptic}
_SIGN, _SLOPE, _RESET, _PRE = CHECKS
_JUMP = "lv[n] += (neuron.v_th * lv[n] + error[k]) / (neuron.tau_m * fired.slopes[k])"
_SENT = "by_time[event] = weight[:, sender] @ (lv - li)"
_OWN = "moved -= neuron.v_th / neuron.tau_m * faded @ rows[own]"
_HEARD = "moved -= (weight[n, senders] * neuron.response_slope(ago)) @ received_rows[past]"
ROGUES = [
    Rogue(
        "adjoint: wrong sign", _SIGN, lambda: altered(adjoint, (_JUMP, _JUMP.replace("+=", "-=")))
    ),
    Rogue(
        "adjoint: no slope",
        _SLOPE,
        lambda: altered(adjoint, (_JUMP, _JUMP.replace(" * fired.slopes[k]", ""))),
    ),
    Rogue(
        "adjoint: no time constant of the synapse",
        _SLOPE,
        lambda: altered(adjoint, ("neuron.tau_syn * li", "neuron.tau_m * li")),
    ),
    Rogue(
        "adjoint: no reset",
        _RESET,
        lambda: altered(
            adjoint, (_JUMP, _JUMP.replace("neuron.v_th * lv[n] + error[k]", "error[k]"))
        ),
    ),
    Rogue(
        "adjoint: reset of the wrong sign",
        _RESET,
        lambda: altered(
            adjoint, (_JUMP, _JUMP.replace("neuron.v_th * lv[n]", "-neuron.v_th * lv[n]"))
        ),
    ),
    Rogue(
        "adjoint: no current in what is handed down",
        _PRE,
        lambda: altered(adjoint, (_SENT, _SENT.replace("(lv - li)", "lv"))),
    ),
    Rogue(
        "adjoint: half of what is handed down",
        _PRE,
        lambda: altered(adjoint, (_SENT, _SENT.replace("(lv - li)", "(lv - li) * 0.5"))),
    ),
    Rogue(
        "implicit function: wrong sign",
        _SIGN,
        lambda: altered(sensitivities, ("moved /= -fired", "moved /= fired")),
    ),
    Rogue(
        "implicit function: no slope",
        _SLOPE,
        lambda: altered(sensitivities, ("moved /= -fired.slopes[k]", "moved /= -1")),
    ),
    Rogue("implicit function: no reset", _RESET, lambda: altered(sensitivities, (_OWN, "pass"))),
    Rogue(
        "implicit function: last own spike alone",
        _RESET,
        lambda: altered(
            sensitivities,
            (
                "own = np.flatnonzero(fired.neurons[:k] == n)",
                "own = np.flatnonzero(fired.neurons[:k] == n)[:1]",
            ),
        ),
    ),
    Rogue(
        "implicit function: arrivals move half as far",
        _PRE,
        lambda: altered(
            sensitivities,
            (
                _HEARD,
                (
                    "moved -= 0.5 * (weight[n, senders] * neuron.response_slope(ago)) @ "
                    "received_rows[past]"
                ),
            ),
        ),
    ),
]
