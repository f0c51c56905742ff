"""What a gradient of a spiking network can be checked against, in NumPy and SciPy, and by finite differences in Brian2.

Exact spike times and their derivatives, and the gradient of the expected loss of networks that fire by chance.
"""

from ..spike_times import EventTrain
from .adjoint import adjoint
from .bias import expected_surrogate
from .differences import central_difference, finite_differences
from .enumeration import Expected, difference_quotients, expected_gradient, expected_loss
from .escape import Escape, EscapeLayer, EscapeNetwork, exponential_escape, sigmoid_escape
from .events import EventDriven, Gradient, Graze
from .losses import TimedLoss, first_spike_cross_entropy, soft_window_spikemax, spike_time_distance
from .score_function import Estimate, score_function
from .sensitivities import Sensitivities, sensitivities
from .solver import event_driven
from .spike_losses import SpikeLoss, count_cross_entropy, linear_loss
from .substeps import BrianGradient, brian_differences

__all__ = [
    "BrianGradient", "Escape", "EscapeLayer", "EscapeNetwork", "Estimate", "EventDriven", "EventTrain", "Expected", "Gradient", "Graze", "Sensitivities", "SpikeLoss",
    "TimedLoss", "adjoint", "brian_differences", "central_difference", "count_cross_entropy", "difference_quotients", "event_driven", "expected_gradient",
    "expected_loss", "expected_surrogate", "exponential_escape", "finite_differences", "first_spike_cross_entropy", "linear_loss", "score_function", "sensitivities",
    "sigmoid_escape", "soft_window_spikemax", "spike_time_distance",
]  # fmt: skip
