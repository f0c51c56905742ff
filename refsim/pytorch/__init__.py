"""The PyTorch side: steps written by hand, thin modules, surrogate gradients, the engine on trial, and the bridge."""

from .delay import AxonalDelay
from .engine import Torch
from .layers import EIF, IF, LI, LIF, PLIF, QIF, SRIF, SRIFMPR, Bernoulli, CubaLIF, LIFDecay, LIFRefractory, PoissonEscape, SRM0Escape, SSNNComposite, reset
from .layers_adaptive import ALIF, GLIF3, GLIF5, MAT2, RF, AdEx, AdLIF, AdRF, Izhikevich, RFIz
from .layers_biophysical import HH, FitzHughNagumo, HHTraub, MorrisLecar, WangBuzsaki
from .layers_srm import AdRFLoihi, AlifLoihi, CubaLoihi, RFIzLoihi, RFLoihi, SigmaDelta, SRMAlpha, SRMSlayer
from .quantise import Grid, quantise
from .sequence import over_steps

__all__ = [
    "ALIF",
    "EIF",
    "GLIF3",
    "GLIF5",
    "HH",
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
    "AdRFLoihi",
    "AlifLoihi",
    "AxonalDelay",
    "Bernoulli",
    "CubaLIF",
    "CubaLoihi",
    "FitzHughNagumo",
    "Grid",
    "HHTraub",
    "Izhikevich",
    "LIFDecay",
    "LIFRefractory",
    "MorrisLecar",
    "PoissonEscape",
    "RFIz",
    "RFIzLoihi",
    "RFLoihi",
    "SRM0Escape",
    "SRMAlpha",
    "SRMSlayer",
    "SSNNComposite",
    "SigmaDelta",
    "Torch",
    "WangBuzsaki",
    "over_steps",
    "quantise",
    "reset",
]
