"""The PyTorch side: steps written by hand, thin modules, surrogate gradients, the engine on trial, and the bridge."""

from .engine import Torch
from .layers import EIF, IF, LI, LIF, PLIF, QIF, SRIF, SRIFMPR, Bernoulli, CubaLIF, LIFDecay, LIFRefractory, PoissonEscape, SRM0Escape, SSNNComposite, reset
from .layers_adaptive import ALIF, GLIF3, GLIF5, MAT2, RF, AdEx, AdLIF, AdRF, Izhikevich, RFIz

__all__ = [
    "ALIF",
    "EIF",
    "GLIF3",
    "GLIF5",
    "IF",
    "LI",
    "LIF",
    "MAT2",
    "PLIF",
    "QIF",
    "RF",
    "SRIF",
    "SRIFMPR",
    "AdEx",
    "AdLIF",
    "AdRF",
    "Bernoulli",
    "CubaLIF",
    "Izhikevich",
    "LIFDecay",
    "LIFRefractory",
    "PoissonEscape",
    "RFIz",
    "SRM0Escape",
    "SSNNComposite",
    "Torch",
    "reset",
]
