"""Networks that end in a read-out, modules that are them, and rogues.

What stands behind the last neurons is another.
"""

import numpy as np
import torch
from torch import nn

import refsim
from refsim.pytorch import SRIF

DT = "1 ms"
CARDS = {"mean": "readout_mean", "sum": "readout_sum", "last": "readout_last", "max": "readout_max"}
N_IN, HIDDEN, CLASSES, STEPS = 12, 20, 4, 9
OUTPUT = ("output",)


def weights():
    rng = np.random.default_rng(3)
    return (
        rng.normal(0, 0.4, (HIDDEN, N_IN)),
        rng.normal(0.1, 0.1, HIDDEN),
        rng.normal(0, 0.4, (CLASSES, HIDDEN)),
        rng.normal(0, 0.4, CLASSES),
    )


def declared(rule="mean", **changed):
    first, bias, last, offset = weights()
    return refsim.Network.dense(
        [
            (first, bias, refsim.load("srif")),
            (
                changed.get("weight", last),
                changed.get("bias", offset),
                refsim.load(CARDS[changed.get("rule", rule)]),
            ),
        ],
        DT,
    )


def drive(samples=24, seed=0):
    rng = np.random.default_rng(seed)
    return refsim.Drive.bernoulli(rng.random((samples, N_IN)), n_steps=STEPS, dt=DT, seed=seed)


class Whole(nn.Module):
    """Takes a record, time first, and gives what a function makes of the values of all steps (time,
    batch, classes).
    """

    def __init__(self, finish, weight=None, bias=None):
        super().__init__()
        first, offset, last, shift = weights()
        self.fc, self.neuron, self.head = (
            nn.Linear(N_IN, HIDDEN),
            SRIF(),
            nn.Linear(HIDDEN, CLASSES),
        )
        self.finish = finish
        values = (
            first,
            offset,
            last if weight is None else weight,
            shift if bias is None else bias,
        )
        for parameter, value in zip(
            (self.fc.weight, self.fc.bias, self.head.weight, self.head.bias), values, strict=True
        ):
            parameter.data = torch.tensor(value)

    def forward(self, x):
        return self.finish(torch.stack([self.head(self.neuron(self.fc(frame))) for frame in x]))


# What a forward makes of the values of all steps, by the rule that it is.
FINISH = {
    "mean": lambda o: o.mean(0),
    "sum": lambda o: o.sum(0),
    "last": lambda o: o[-1],
    "max": lambda o: o.max(0).values,
}


def rolled():
    """Every class is another one."""
    _, _, last, offset = weights()
    return Whole(FINISH["mean"], np.roll(last, 1, 0), np.roll(offset, 1))


def without_bias():
    """The read-out has no bias."""
    return Whole(FINISH["mean"], bias=np.zeros(CLASSES))


def one_weight_off():
    """One weight is off by a thousandth."""
    last = weights()[2].copy()
    last[1, 7] += 1e-3
    return Whole(FINISH["mean"], last)


ROGUES = {
    "rows rolled": rolled,
    "bias dropped": without_bias,
    "one weight off": one_weight_off,
    "last in place of the mean": lambda: Whole(FINISH["last"]),
    "sum in place of the mean": lambda: Whole(FINISH["sum"]),
    "maximum in place of the mean": lambda: Whole(FINISH["max"]),
    "first step left out": lambda: Whole(lambda o: o[1:].mean(0)),
    "steps weighted": lambda: Whole(
        lambda o: (o * torch.linspace(0.5, 1.5, len(o), dtype=o.dtype)[:, None, None]).mean(0)
    ),
}
