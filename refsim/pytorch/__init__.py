"""The PyTorch side: steps written by hand, thin modules, surrogate gradients, the engine on trial, and the bridge."""

from .engine import Torch
from .layers import EIF, IF, LI, LIF, PLIF, QIF, SRIF, SRIFMPR, Bernoulli, CubaLIF, LIFDecay, LIFRefractory, PoissonEscape, SRM0Escape, SSNNComposite, reset
from .layers_srm import AdRFLoihi, AlifLoihi, CubaLoihi, RFIzLoihi, RFLoihi, SRMAlpha, SRMSlayer

__all__ = [
    "EIF",
    "IF",
    "LI",
    "LIF",
    "PLIF",
    "QIF",
    "SRIF",
    "SRIFMPR",
    "AdRFLoihi",
    "AlifLoihi",
    "Bernoulli",
    "CubaLIF",
    "CubaLoihi",
    "LIFDecay",
    "LIFRefractory",
    "PoissonEscape",
    "RFIzLoihi",
    "RFLoihi",
    "SRM0Escape",
    "SRMAlpha",
    "SRMSlayer",
    "SSNNComposite",
    "Torch",
    "reset",
]
