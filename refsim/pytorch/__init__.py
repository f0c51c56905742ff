"""The PyTorch side: steps written by hand, thin modules, surrogate gradients, the engine on trial, and the bridge."""

from .engine import Torch
from .layers import EIF, IF, LI, LIF, PLIF, QIF, SRIF, SRIFMPR, Bernoulli, CubaLIF, LIFDecay, LIFRefractory, PoissonEscape, SRM0Escape, SSNNComposite, reset

__all__ = [
    "EIF",
    "IF",
    "LI",
    "LIF",
    "PLIF",
    "QIF",
    "SRIF",
    "SRIFMPR",
    "Bernoulli",
    "CubaLIF",
    "LIFDecay",
    "LIFRefractory",
    "PoissonEscape",
    "SRM0Escape",
    "SSNNComposite",
    "Torch",
    "reset",
]
