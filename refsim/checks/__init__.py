"""The checks, as public functions: each looks at one trait of what is on trial.

On trial may be a step (somebody's neuron), the weights of a module, a loss, a surrogate, a
gradient, a judge, or a card against its ODE. A check is blind to all traits but its own, so that
the name of the check that fails is the diagnosis.
"""

from .bias import SurrogateBias, surrogate_bias
from .card import CARD_CHECKS, check_card
from .declared_step import check_declared_step
from .gradient.check import GRADIENT_CHECKS, GradientReport, check_gradient
from .judges import JUDGE_CHECKS, check_judge
from .loss import LOSS_CHECKS, check_loss
from .loss_forms import LOSS_FORMS
from .step import STEP_CHECKS, check_step
from .suite import Check
from .surrogate import SURROGATE_CHECKS, check_surrogate
from .weights import MAP_CHECKS, check_module

__all__ = [
    "CARD_CHECKS",
    "GRADIENT_CHECKS",
    "JUDGE_CHECKS",
    "LOSS_CHECKS",
    "LOSS_FORMS",
    "MAP_CHECKS",
    "STEP_CHECKS",
    "SURROGATE_CHECKS",
    "Check",
    "GradientReport",
    "SurrogateBias",
    "check_card",
    "check_declared_step",
    "check_gradient",
    "check_judge",
    "check_loss",
    "check_module",
    "check_step",
    "check_surrogate",
    "surrogate_bias",
]
