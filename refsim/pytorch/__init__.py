"""The PyTorch side: steps written by hand, thin modules, surrogate gradients, the engine on trial,
and the bridge.
"""

import importlib
from typing import Any

from .delay import AxonalDelay
from .layers import (
    EIF,
    IF,
    LI,
    LIF,
    PLIF,
    QIF,
    SRIF,
    SRIFMPR,
    Bernoulli,
    CubaLIF,
    LIFDecay,
    LIFExp,
    LIFRefractory,
    PoissonEscape,
    SRM0Escape,
    SSNNComposite,
    reset,
)
from .more_layers import (
    ALIF,
    GLIF3,
    GLIF5,
    HH,
    MAT2,
    RF,
    AdEx,
    AdLIF,
    AdRF,
    AdRFLoihi,
    AlifLoihi,
    CubaLoihi,
    FitzHughNagumo,
    HHTraub,
    Izhikevich,
    MorrisLecar,
    ReadoutLast,
    ReadoutMax,
    ReadoutMean,
    ReadoutSum,
    RFIz,
    RFIzLoihi,
    RFLoihi,
    SigmaDelta,
    SRMAlpha,
    SRMSlayer,
    WangBuzsaki,
)
from .quantise import Grid, quantise

# Public names of this room that are made in rooms which need its layers; each is imported when it
# is first used.
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


def __getattr__(name: str) -> Any:
    """Import a name that is made further on."""
    if name not in _ELSEWHERE:
        raise AttributeError(f"module 'refsim.pytorch' has no attribute {name!r}")
    home = importlib.import_module(_ELSEWHERE[name], __name__)
    return home if name == "bridge" else getattr(home, name)
