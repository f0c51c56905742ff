"""The PyTorch side: steps written by hand, thin modules, surrogate gradients, the engine on trial, and the bridge."""

from .engine import Torch
from .layers import EIF, IF, LI, LIF, PLIF, QIF, SRIF, SRIFMPR, Bernoulli, CubaLIF, LIFDecay, LIFRefractory, PoissonEscape, SRM0Escape, SSNNComposite, reset
from .layers_biophysical import HH, FitzHughNagumo, HHTraub, MorrisLecar, WangBuzsaki

__all__ = [
    "EIF",
    "HH",
    "IF",
    "LI",
    "LIF",
    "PLIF",
    "QIF",
    "SRIF",
    "SRIFMPR",
    "Bernoulli",
    "CubaLIF",
    "FitzHughNagumo",
    "HHTraub",
    "LIFDecay",
    "LIFRefractory",
    "MorrisLecar",
    "PoissonEscape",
    "SRM0Escape",
    "SSNNComposite",
    "Torch",
    "WangBuzsaki",
    "reset",
]
