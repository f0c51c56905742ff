"""What a gradient of a spiking network can be checked against, in NumPy and SciPy alone: exact spike times and their derivatives."""

from .adjoint import adjoint
from .differences import finite_differences
from .events import EventDriven, EventTrain, Gradient, Graze
from .losses import TimedLoss, first_spike_cross_entropy, soft_window_spikemax, spike_time_distance
from .sensitivities import Sensitivities, sensitivities
from .solver import event_driven

__all__ = [
    "EventDriven", "EventTrain", "Gradient", "Graze", "Sensitivities", "TimedLoss", "adjoint", "event_driven", "finite_differences",
    "first_spike_cross_entropy", "sensitivities", "soft_window_spikemax", "spike_time_distance",
]  # fmt: skip
