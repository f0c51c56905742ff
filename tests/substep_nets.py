"""Random networks of two layers, their losses, and how far Brian2's finite differences lie from the
adjoint of the event-driven solver.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

import refsim
from refsim.core.claims import Claim
from refsim.gradients import adjoint, event_driven, first_spike_cross_entropy, spike_time_distance
from refsim.gradients.substeps import DifferenceCase, differences_of

STOP = 40e-3
RIGHT = Claim(
    "gradient",
    "accepted finite differences in Brian2 off the adjoint, over the largest entry of a layer",
    1e-6,
    "1",
    "The acceptance bounds the error of the fourth order by 1e-7 of the largest entry of all "
    "layers and that of a step by 1e-9; a layer's largest is within a "
    "tenth of it. A spike taken wrongly is off by a thousandth.",
)
ACCEPTED = Claim(
    "gradient",
    "share of random networks of two layers that are accepted",
    0.9,
    "1",
    (
        "The share that is asked of it. Undecided may stay networks in which a spike is about to "
        "vanish, or to change places with an arrival, within a move of a weight."
    ),
    "at least",
)


def random_case(seed):
    """Return a network of 4 inputs that fire once, 5 hidden neurons and 3 outputs, as the
    event-driven solver sees it and as a case; some output fires.
    """
    rng = np.random.default_rng(seed)
    found = None
    while found is None or not len(found.output):
        weights = (rng.normal(3, 3, (5, 4)), rng.normal(3, 3, (3, 5)))
        found = event_driven(
            refsim.load("lif_exp"), weights, rng.uniform(0, 20e-3, 4), np.arange(4), STOP
        )
    return found, DifferenceCase(weights, found.inputs, _first_spike if seed % 2 else _alpha)


def _first_spike(output):
    return first_spike_cross_entropy(output, 0, "5 ms", STOP)


def _alpha(output):
    return spike_time_distance(output, [11e-3, 23e-3], [0, 1], "10 ms", "alpha")


@dataclass(frozen=True)
class Outcome:
    """Of one network: why it is in doubt, how far it is off, and whether each neuron fires as often
    as it should.
    """

    doubt: str
    off: float
    same: bool


def outcomes(seeds, dt, target="numpy"):
    """Run random networks together and hold each against its adjoint."""
    pairs = [random_case(seed) for seed in seeds]
    network = refsim.Network.dense(
        [(weight, None, refsim.load("lif_exp")) for weight in pairs[0][1].weights], "1 ms"
    )
    judged = differences_of(network, [case for _, case in pairs], STOP, dt=dt, target=target)
    return [
        _outcome(found, case, result) for (found, case), result in zip(pairs, judged, strict=True)
    ]


def _outcome(found, case, result):
    truth = adjoint(found, case.loss(found.output).by_time)
    reach = [
        np.abs(a).max() * np.abs(w).max() for a, w in zip(truth.weights, case.weights, strict=True)
    ]
    off = [
        np.abs(a - b).max() / (np.abs(b).max() or 1.0)
        for a, b in zip(result.gradient.weights, truth.weights, strict=True)
    ]
    off.append(
        np.abs(result.gradient.inputs - truth.inputs).max()
        * found.neurons[0].tau_syn
        / (max(reach) or 1.0)
    )
    same = all(
        np.array_equal(np.bincount(a.neurons), np.bincount(b.neurons))
        for a, b in zip(result.layers, found.layers, strict=True)
    )
    return Outcome(result.doubt, float(max(off)), same)


def summary(found, seconds):
    """Return a table's row: how many were accepted, how many not and why, and how far the farthest
    and the middle of the accepted are off.
    """
    accepted = [each.off for each in found if not each.doubt]
    why = Counter(each.doubt.split(" 0.")[0][:60] for each in found if each.doubt)
    return (
        f"accepted {len(accepted)} of {len(found)}; farthest {max(accepted):.2e}, median "
        f"{np.median(accepted):.1e}; {seconds:.0f} s; {dict(why)}"
    )
