"""What a gradient of a spiking network can be checked against, in NumPy and SciPy alone: the expected loss of networks that fire by chance."""

from .bias import expected_surrogate
from .enumeration import Expected, difference_quotients, expected_gradient, expected_loss
from .escape import Escape, EscapeLayer, EscapeNetwork, exponential_escape, sigmoid_escape
from .score_function import Estimate, score_function
from .spike_losses import SpikeLoss, count_cross_entropy, linear_loss

__all__ = [
    "Escape", "EscapeLayer", "EscapeNetwork", "Estimate", "Expected", "SpikeLoss", "count_cross_entropy", "difference_quotients", "expected_gradient",
    "expected_loss", "expected_surrogate", "exponential_escape", "linear_loss", "score_function", "sigmoid_escape",
]  # fmt: skip
