"""Experiments on one neuron: each a function from a model to a Result, which saves itself and can be drawn.

import refsim
from refsim import experiments

curve = experiments.fi(refsim.load("lif", tau=20), currents="0:2:41")
curve.save_csv("fi.csv")
experiments.draw(curve).save("fi.png")
"""

from .dt import dt
from .fi import fi
from .inputs import Stimulus, constant, noise, step, train
from .landscape import landscape, module_landscape
from .phase import phase
from .plots import draw
from .psp import psp
from .resets import resets
from .result import Column, Result
from .solo import Setting
from .sweep import sweep
from .tangents import Landscape
from .threshold import threshold
from .trace import trace

__all__ = [
    "Column", "Landscape", "Result", "Setting", "Stimulus", "constant", "draw", "dt", "fi", "landscape", "module_landscape", "noise", "phase", "psp", "resets",
    "step", "sweep", "threshold", "trace", "train",
]  # fmt: skip
