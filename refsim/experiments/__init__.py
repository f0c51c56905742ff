"""Experiments on one neuron: functions from a model to a Result.

A Result saves itself and can be drawn::

    import refsim
    from refsim import experiments

    curve = experiments.fi(refsim.load("lif", tau=20), currents="0:2:41")
    curve.save_csv("fi.csv")
    experiments.draw(curve).save("fi.png")
"""

from .convergence import dt
from .inputs import Stimulus, constant, noise, step, train
from .landscape import Landscape, landscape, module_landscape
from .one_neuron import Setting
from .phase import phase
from .plots import draw
from .responses import psp, resets, trace
from .result import Column, Result
from .sweep import fi, sweep, threshold

__all__ = [
    "Column",
    "Landscape",
    "Result",
    "Setting",
    "Stimulus",
    "constant",
    "draw",
    "dt",
    "fi",
    "landscape",
    "module_landscape",
    "noise",
    "phase",
    "psp",
    "resets",
    "step",
    "sweep",
    "threshold",
    "trace",
    "train",
]
