"""Planted faults in Brian2's spikes between the steps, and in the rules by which its finite
differences are accepted, each made in its own source.

The checks come in an order, and a fault is named by the first that finds it. What the times are
held against is a closed form and the event-driven solver; what the acceptance is held against are
networks of which it is known why no difference of them is to be believed.
"""

import contextlib
import dataclasses
import functools
import inspect
import sys

import numpy as np
from rogues import Rogue

import refsim
from refsim.core.claims import Claim
from refsim.engines.brian.exact import closed_form as substep
from refsim.engines.brian.exact import run as copies
from refsim.engines.brian.exact import run as order
from refsim.gradients import TimedLoss, event_driven, substeps
from refsim.gradients.substeps import DifferenceCase

CROSSING = Claim(
    "gradient",
    "spike time between the steps off the exact one",
    1e-13,
    "s",
    "Two thousand steps, each rounded to 1e-16 of a threshold, that all lean one way, where the "
    "membrane rises by a threshold in some milliseconds: 1e-15 s at a "
    "steep slope, a hundred times that at a flat one. A lost term is a thousandth of a step of "
    "2e-5 s and more.",
)
DT, STOP = 2e-5, 40e-3


@contextlib.contextmanager
def planted(module, old, new):
    """Run a module of refsim with another line in place of one, also where others have taken names
    from it.
    """
    text, before = inspect.getsource(module), dict(vars(module))
    assert text.count(old) == 1, old
    taken = []
    exec(compile(text.replace(old, new), module.__file__, "exec"), vars(module))
    for other in [
        other
        for name, other in sys.modules.items()
        if name.startswith("refsim") and other is not module
    ]:
        for name, value in list(vars(other).items()):
            if (
                name in before
                and value is before[name]
                and vars(module)[name] is not value
                and getattr(value, "__module__", "") == module.__name__
            ):
                taken.append((other, name, value))
                setattr(other, name, vars(module)[name])
    try:
        yield
    finally:
        vars(module).update(before)
        for other, name, value in taken:
            setattr(other, name, value)


def card():
    """Return the neuron of which a spike's time has a closed form.

    One time constant is twice the other.
    """
    return refsim.load("lif_exp", tau_m="20 ms", tau_syn="10 ms")


def lone_time(weight):
    """Return when a single spike of a weight makes this neuron fire.

    V = w*(x - x^2) with x = exp(-t/20 ms).
    """
    return -20e-3 * np.log((1 + np.sqrt(1 - 4 / weight)) / 2)


FIRST = 0.321e-3  # when the first input fires: between two steps
CROSS = FIRST + lone_time(4.5)
INSIDE = DT - CROSS % DT  # from the crossing to the end of its step, and
SINCE = CROSS % DT  # from the beginning of the step to the crossing
# An input whose peak lies in the middle of a step.
TOP = np.round((FIRST + 20e-3 * np.log(2)) / DT) * DT + 0.5 * DT - 20e-3 * np.log(2)
# Weights of the two inputs and of the second layer, and the input spikes.
NETS = {
    "time": ((4.5, 0.0, 0.0), [(0, FIRST)]),
    "reset": ((20.0, 0.0, 0.0), [(0, FIRST)]),
    "synapse": ((4.5, 0.0, 12.0), [(0, FIRST)]),
    "arrival first": ((4.5, 9.0, 0.0), [(0, FIRST), (1, CROSS - 0.5 * SINCE)]),
    "crossing first": ((4.5, -9.0, 0.0), [(0, FIRST), (1, CROSS + 0.5 * INSIDE)]),
    "wrong order": (
        (4.5, 1e-4, 0.0),
        [(0, FIRST), (1, CROSS - 0.9 * SINCE), (1, CROSS + 0.2 * INSIDE)],
    ),
    "wrong order, inhibited": (
        (4.5, -1e-4, 0.0),
        [(0, FIRST), (1, CROSS - 0.9 * SINCE), (1, CROSS + 0.2 * INSIDE)],
    ),
    "missed peak": ((4.0 * (1 + 1e-8), 0.0, 0.0), [(0, TOP)]),
}
DOUBTS = {
    "wrong order": copies.SHARED,
    "wrong order, inhibited": copies.SHARED,
    "missed peak": copies.MISSED,
}


class Seen:
    """What Brian2 makes of the networks above, side by side in one run, the exact times, and what
    the acceptance says of the cases below.
    """

    @functools.cached_property
    def both(self):
        weights = (
            np.array([[w[:2]] for w, _ in NETS.values()]),
            np.array([[w[2:]] for w, _ in NETS.values()]),
        )
        events = [
            (k, which, time) for k, (_, given) in enumerate(NETS.values()) for which, time in given
        ]
        copy, which, times = (np.array(column) for column in zip(*events, strict=True))
        network = refsim.Network.dense([(weight[0], None, card()) for weight in weights], "1 ms")
        found = copies.run_networks(
            copies.NetworkCopies(network, weights, copy, which, times, STOP), DT, "numpy"
        )
        return found, [
            event_driven(card(), [w[k] for w in weights], times[copy == k], which[copy == k], STOP)
            for k in range(len(NETS))
        ]

    def off(self, name, layer=0, later=slice(None)):
        """Return how far the spikes of a network's layer are off, infinite where their number is
        wrong or there is none to see.
        """
        found, exact = self.both
        k = list(NETS).index(name)
        ours, theirs = found.layers[layer][k].times, exact[k].layers[layer].times
        return np.abs(ours - theirs)[later].max() if len(ours) == len(theirs) > 0 else np.inf

    def doubt(self, name):
        return self.both[0].doubts[list(NETS).index(name)]

    @functools.cached_property
    def said(self):
        return doubts()


def _off(*where):
    return lambda seen: not CROSSING.holds(seen.off(*where))


def _time(seen):
    ours = seen.both[0].layers[0][0].times
    return len(ours) != 1 or not CROSSING.holds(abs(ours[0] - CROSS))


def _trusted(seen):
    return any(seen.doubt(name) for name in NETS if name not in DOUBTS)


def _doubted(*names):
    return lambda seen: any(seen.doubt(name) != DOUBTS[name] for name in names)


def _share(output):
    """The sum of all spike times: as smooth as they are."""
    return TimedLoss(float(output.times.sum()), np.ones(len(output)))


def case(weights, times):
    return DifferenceCase(
        tuple(np.array(w, float) for w in weights),
        event_driven(card(), weights, times, range(len(times)), STOP).inputs,
        _share,
    )


CASES = {
    "": case([[[9.0, 2.0]], [[12.0]]], [FIRST, 9e-3]),
    "a spike appears or vanishes": case([[[4.0 * (1 + 1e-6), 0.001]], [[12.0]]], [FIRST, 30e-3]),
    "a spike and an arrival exchange places": case(
        [[[4.5, -0.5]], [[12.0]]], [FIRST, CROSS + 1e-9]
    ),
    "a perturbed copy comes so near": case([[[4.0 * (1 + 3e-4), 0.001]], [[12.0]]], [FIRST, 30e-3]),
}


def doubts():
    """Return what the acceptance says of each case."""
    network = refsim.Network.dense([([[1.0, 1.0]], None, card()), ([[1.0]], None, card())], "1 ms")
    return [
        each.doubt
        for each in substeps.differences_of(
            network, list(CASES.values()), STOP, dt=(1e-4, 4e-5), target="numpy"
        )
    ]


def _said(number):
    def wrong(seen):
        wanted = list(CASES)[number]
        return bool(seen.said[number]) if not wanted else not seen.said[number].startswith(wanted)

    return wrong


def _two_steps(_seen):
    """An engine that finds its crossings in one round of Newton's method is wrong by an amount that
    hangs on the step; the acceptance must see it.
    """
    with planted(substep, "ROUNDS = 6", "ROUNDS = 1"):
        return not doubts()[0].startswith("the two steps")


CHECKS = {
    "time": _time,
    "reset": _off("reset", 0, slice(1, None)),
    "synapse": _off("synapse", 1),
    "arrival first": _off("arrival first"),
    "crossing first": _off("crossing first"),
    "trusted": _trusted,
    "wrong order": _doubted("wrong order", "wrong order, inhibited"),
    "missed peak": _doubted("missed peak"),
    "accepted": _said(0),
    "spike vanishes": _said(1),
    "places": _said(2),
    "curved": _said(3),
    "two steps": _two_steps,
}


@dataclasses.dataclass(frozen=True)
class Fault:
    """A line of a module of refsim, and what takes its place."""

    module: object
    old: str
    new: str


def _fault(name, caught_by, module, old, new):
    return Rogue(name, caught_by, lambda: Fault(module, old, new))


ROGUES = [
    _fault("Newton's method stops after one round", "time", substep, "ROUNDS = 6", "ROUNDS = 1"),
    _fault(
        "delta is forgotten in the spike time",
        "time",
        copies,
        'times = (step + 1) * self.dt - np.asarray(getattr(monitor, f"{DELTA}_")[:])',
        "times = (step + 1) * self.dt + np.zeros(len(step))",
    ),
    _fault(
        "no delta in the reset",
        "reset",
        substep,
        "solution.jump(source, DELTA, of=_kick(source))",
        'solution.jump(source, "0*second", of=_kick(source))',
    ),
    _fault(
        "no delta in the synapse",
        "synapse",
        copies,
        'f"{DELTA}_pre" if left is None else "sub_left"',
        '"0*second" if left is None else "sub_left"',
    ),
    _fault(
        "arrivals of the step are never waited for",
        "arrival first",
        substep,
        "{EARLY} = {_COUNT} > 0 and sub_height_at >= sub_none",
        "{EARLY} = {_COUNT} > 0 and sub_height_kept >= sub_none",
    ),
    _fault(
        "arrivals of the step always come first",
        "crossing first",
        substep,
        "{EARLY} = {_COUNT} > 0 and sub_height_at >= sub_none",
        "{EARLY} = {_COUNT} > 0 and sub_height_at > sub_none and False",
    ),
    _fault(
        "every order is kept",
        "wrong order",
        order,
        "kept &= not (linked &",
        "kept |= not (linked &",
    ),
    _fault(
        "no peak is missed",
        "missed peak",
        substep,
        "not {EARLY} and sub_height_end < sub_none",
        "False and sub_height_end < sub_none",
    ),
    _fault(
        "spikes may vanish",
        "spike vanishes",
        substeps,
        "if not all(same_spikes(itself, part.trains(copy)) for copy in range(number)):",
        "if not len(itself):",
    ),
    _fault(
        "spikes and arrivals may change places",
        "places",
        substeps,
        "not np.array_equal(row[part.first], other)",
        "row[part.first].shape != other.shape",
    ),
    _fault(
        "the fourth order is always enough",
        "curved",
        substeps,
        "ROOT, CURVED = 14.0, 1e-7",
        "ROOT, CURVED = 14.0, 1e7",
    ),
    _fault(
        "the second step is not run",
        "two steps",
        substeps,
        "for step in steps]",
        "for step in steps[:1] * 2]",
    ),
]
