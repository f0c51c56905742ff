"""What a gradient of a spiking network can be checked against, in NumPy and SciPy alone: exact spike times and their derivatives."""

from .events import EventDriven, EventTrain, Gradient, Graze
from .solver import event_driven

__all__ = ["EventDriven", "EventTrain", "Gradient", "Graze", "event_driven"]
