"""Checks as public functions: of a step (somebody's neuron), a network's maps, a judge, and a card against its ODE.

Each check looks at one trait and is blind to the others, so that the name of the check that fails is the diagnosis.
"""

from .card import CARD_CHECKS, CardCheck, check_card
from .judges import JUDGE_CHECKS, check_judge
from .maps import MAP_CHECKS, check_module
from .probes import STEP_CHECKS, check_step
from .updater import check_declared_step

__all__ = [
    "CARD_CHECKS",
    "JUDGE_CHECKS",
    "MAP_CHECKS",
    "STEP_CHECKS",
    "CardCheck",
    "check_card",
    "check_declared_step",
    "check_judge",
    "check_module",
    "check_step",
]
