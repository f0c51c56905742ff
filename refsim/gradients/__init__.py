"""What a gradient of a spiking network can be checked against.

There are three kinds of truth: exact spike times and their derivatives, in NumPy and SciPy; the
gradient of the expected loss of networks that fire by chance; and finite differences in Brian2.
"""

from ..core.spikes import EventTrain
from .adjoint import Sensitivities, adjoint, sensitivities
from .bias import expected_surrogate
from .differences import central_difference, finite_differences
from .escape import Escape, EscapeLayer, EscapeNetwork, exponential_escape, sigmoid_escape
from .expectation import (
    Estimate,
    Expected,
    difference_quotients,
    expected_gradient,
    expected_loss,
    score_function,
)
from .losses import (
    SpikeLoss,
    TimedLoss,
    count_cross_entropy,
    first_spike_cross_entropy,
    linear_loss,
    soft_window_spikemax,
    spike_time_distance,
)
from .spike_times import EventDriven, Gradient, Graze, event_driven
from .substeps import BrianGradient, brian_differences

__all__ = [
    "BrianGradient",
    "Escape",
    "EscapeLayer",
    "EscapeNetwork",
    "Estimate",
    "EventDriven",
    "EventTrain",
    "Expected",
    "Gradient",
    "Graze",
    "Sensitivities",
    "SpikeLoss",
    "TimedLoss",
    "adjoint",
    "brian_differences",
    "central_difference",
    "count_cross_entropy",
    "difference_quotients",
    "event_driven",
    "expected_gradient",
    "expected_loss",
    "expected_surrogate",
    "exponential_escape",
    "finite_differences",
    "first_spike_cross_entropy",
    "linear_loss",
    "score_function",
    "sensitivities",
    "sigmoid_escape",
    "soft_window_spikemax",
    "spike_time_distance",
]
