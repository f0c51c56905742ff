"""Thin modules over the steps of adaptive and resonating neurons."""

from .layers import Neuron


class ALIF(Neuron):
    """Adaptive leaky integrate-and-fire of LSNNs: card ``alif``."""

    card = "alif"


class AdLIF(Neuron):
    """Leaky integrate-and-fire with an adaptation current: card ``adlif``."""

    card = "adlif"


class AdEx(Neuron):
    """Adaptive exponential integrate-and-fire, in volts and amps: card ``adex``."""

    card = "adex"


class Izhikevich(Neuron):
    """Izhikevich's simple model, in volts: card ``izhikevich``."""

    card = "izhikevich"


class MAT2(Neuron):
    """Multi-timescale adaptive threshold, in volts and amps: card ``mat2``."""

    card = "mat2"


class GLIF3(Neuron):
    """Generalised leaky integrate-and-fire, level 3, in volts and amps: card ``glif3``."""

    card = "glif3"


class GLIF5(Neuron):
    """Generalised leaky integrate-and-fire, level 5, in volts and amps: card ``glif5``."""

    card = "glif5"


class RF(Neuron):
    """Resonate-and-fire without a reset: card ``rf``."""

    card = "rf"


class RFIz(Neuron):
    """Resonate-and-fire with Izhikevich's reset: card ``rf_iz``."""

    card = "rf_iz"


class AdRF(Neuron):
    """Resonate-and-fire under an adaptive threshold: card ``adrf``."""

    card = "adrf"
