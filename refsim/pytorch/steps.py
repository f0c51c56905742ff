"""The table of all hand-written steps: one PyTorch function a card, by the card's name.

A step is written by hand and not made from its card: that independence is the check.

Each takes ``(x, s, p, fire)``: the input of this step (batch, neurons), the states before it by
name, the constants by name, and the function from distance to spike. Each returns
``(z, seen, s)``: the spikes, what the threshold saw, and the states after the step. Cards with two
inputs get x as a dict by input. A random number or the duration of the step comes as a constant,
``p["uniform"]`` or ``p["step"]``.
"""

from .adaptive import ADAPTIVE_STEPS
from .base import Step
from .biophysical import BIOPHYSICAL_STEPS
from .chance import CHANCE_STEPS
from .frameworks import NIR_STEPS, NORSE_STEPS
from .leaky import LEAKY_STEPS
from .loihi import LOIHI_STEPS
from .readout import READOUT_STEPS
from .srm import SRM_STEPS

STEPS: dict[str, Step] = {
    **LEAKY_STEPS,
    **CHANCE_STEPS,
    **SRM_STEPS,
    **LOIHI_STEPS,
    **ADAPTIVE_STEPS,
    **BIOPHYSICAL_STEPS,
    **NORSE_STEPS,
    **NIR_STEPS,
    **READOUT_STEPS,
}
