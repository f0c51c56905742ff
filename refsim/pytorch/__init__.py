"""The PyTorch side: neurons as steps written by hand, thin layers over them, and their training.

A family of neurons has one file with its steps and its layers. Beside them stand surrogate
gradients, learnt delays, weights on a grid, and the losses. The engine ``Torch``, the bridge to
other frameworks and ``over_steps`` need these layers and are made in other rooms; they are
reachable from here.
"""

import importlib

from .adaptive import ALIF, GLIF3, GLIF5, MAT2, RF, AdEx, AdLIF, AdRF, Izhikevich, RFIz
from .biophysical import HH, FitzHughNagumo, HHTraub, MorrisLecar, WangBuzsaki
from .chance import Bernoulli, PoissonEscape, SRM0Escape, SSNNComposite
from .delay import AxonalDelay
from .layers import reset
from .leaky import (
    EIF,
    IF,
    LI,
    LIF,
    PLIF,
    QIF,
    SRIF,
    SRIFMPR,
    CubaLIF,
    LIFDecay,
    LIFExp,
    LIFRefractory,
)
from .loihi import AdRFLoihi, AlifLoihi, CubaLoihi, RFIzLoihi, RFLoihi, SigmaDelta
from .quantise import Grid, quantise
from .readout import ReadoutLast, ReadoutMax, ReadoutMean, ReadoutSum
from .srm import SRMAlpha, SRMSlayer

# Public names that are made in rooms which need these layers; each is imported at its first use.
_ELSEWHERE = {
    "Torch": "..engines.pytorch",
    "bridge": "..bridge",
    "over_steps": "..modules.sequence",
}

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
    "LIFExp",
    "LIFRefractory",
    "MorrisLecar",
    "PoissonEscape",
    "RFIz",
    "RFIzLoihi",
    "RFLoihi",
    "ReadoutLast",
    "ReadoutMax",
    "ReadoutMean",
    "ReadoutSum",
    "SRM0Escape",
    "SRMAlpha",
    "SRMSlayer",
    "SSNNComposite",
    "SigmaDelta",
    "Torch",
    "WangBuzsaki",
    "bridge",
    "over_steps",
    "quantise",
    "reset",
]


def __getattr__(name: str) -> object:
    """Import a name that is made in another room."""
    if name not in _ELSEWHERE:
        raise AttributeError(f"module 'refsim.pytorch' has no attribute {name!r}")
    home = importlib.import_module(_ELSEWHERE[name], __name__)
    return home if name == "bridge" else getattr(home, name)
