"""Thin modules over the steps of read-outs: put one behind the last Linear, and its output after the last step decides."""

from .layers import Neuron


class ReadoutMean(Neuron):
    """Mean over the steps so far, without spikes: card ``readout_mean``."""

    card = "readout_mean"


class ReadoutSum(Neuron):
    """Sum over the steps so far, without spikes: card ``readout_sum``."""

    card = "readout_sum"


class ReadoutLast(Neuron):
    """What arrives in the step, without spikes: card ``readout_last``."""

    card = "readout_last"


class ReadoutMax(Neuron):
    """Largest of a step so far, without spikes: card ``readout_max``."""

    card = "readout_max"
