"""What an event-driven run found: data without behaviour, all times in seconds."""

from dataclasses import dataclass

import numpy as np

from ..arrays import Floats
from ..spike_times import EventTrain
from .neuron import ExactNeuron


@dataclass(frozen=True)
class Graze:
    """A membrane that ended a rise so near to the threshold that whether, or when, it fires hangs on the last digits.

    Attributes
    ----------
    layer, neuron : int
    time : float
        Of the end of the rise, in seconds.
    above : float
        Membrane minus threshold there; negative where it stayed below.
    at : {"peak", "arrival", "stop"}
        What ended the rise. At an arrival the crossing and the arrival coincide, and the spike time has two one-sided derivatives.
    """

    layer: int
    neuron: int
    time: float
    above: float
    at: str

    def __str__(self) -> str:
        side = "above" if self.above >= 0 else "below"
        return f"layer {self.layer}, neuron {self.neuron}: {abs(self.above):.1e} {side} the threshold at its {self.at}, {self.time:.9g} s"


@dataclass(frozen=True)
class EventDriven:
    """What `event_driven` found.

    Attributes
    ----------
    neurons : one ExactNeuron a layer
    weights : one (n_post, n_pre) a layer
    inputs : EventTrain
    layers : one EventTrain a layer
    stop : float
        End of the run, in seconds.
    grazes : tuple of Graze
        Where a derivative is not to be trusted, since a spike is about to appear, to vanish or to change sides with an arrival.
    """

    neurons: tuple[ExactNeuron, ...]
    weights: tuple[Floats, ...]
    inputs: EventTrain
    layers: tuple[EventTrain, ...]
    stop: float
    grazes: tuple[Graze, ...]

    @property
    def output(self) -> EventTrain:
        """The last layer's spikes."""
        return self.layers[-1]

    def before(self, layer: int) -> EventTrain:
        """Return the spikes that a layer hears."""
        return self.layers[layer - 1] if layer else self.inputs


@dataclass(frozen=True)
class Gradient:
    """Derivative of one loss, or of one spike time.

    Attributes
    ----------
    weights : one (n_post, n_pre) a layer
        By the weights.
    inputs : (n_events,)
        By the times of the input spikes, in the order they were given: of a loss in 1/s, of a spike time a plain number.
    """

    weights: tuple[Floats, ...]
    inputs: Floats

    def flat(self) -> Floats:
        """Return all numbers in one row, layer by layer and the inputs last."""
        return np.concatenate([*(weight.ravel() for weight in self.weights), self.inputs])
