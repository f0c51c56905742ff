"""Linears whose weights are made anew in each step, from parameters.

Smoothly, on a grid, by sign, or with a slope that is not theirs.
"""

import torch
from torch import nn


class Made(nn.Linear):
    """Its weights are made anew in each step."""

    make = staticmethod(lambda weight: weight)

    def forward(self, x):
        return nn.functional.linear(x, self.make(self.weight), self.bias)


class Bent(Made):
    """By a function that is not linear."""

    make = staticmethod(torch.tanh)


class Rounded(Made):
    """By rounding to eighths, with the gradient straight through.

    Its slope is 0 or has no end, and nobody can say what it must be.
    """

    make = staticmethod(lambda weight: weight + (torch.round(8 * weight) / 8 - weight).detach())


class Signed(Made):
    """By their signs, so that no small change does anything."""

    make = staticmethod(lambda weight: weight + (torch.sign(weight) - weight).detach())


class Unbent(Made):
    """By a function whose slope is taken for 1."""

    make = staticmethod(lambda weight: weight + (torch.tanh(weight) - weight).detach())
