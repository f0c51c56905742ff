"""Thin modules over the steps of spike response neurons and of Loihi's integer neurons."""

from .layers import Neuron


class SRMAlpha(Neuron):
    """Spike response model with alpha functions that never end: card ``srm_alpha``. Give it ``dt``."""

    card = "srm_alpha"


class SRMSlayer(Neuron):
    """Spike response model with SLAYER's kernels, cut as it cuts them: card ``srm_slayer``. Give it ``dt``."""

    card = "srm_slayer"


class CubaLoihi(Neuron):
    """Current-based leaky integrate-and-fire in integers: card ``cuba_loihi``. Run it in float64."""

    card = "cuba_loihi"


class AlifLoihi(Neuron):
    """Adaptive leaky integrate-and-fire in integers: card ``alif_loihi``. Run it in float64."""

    card = "alif_loihi"


class RFLoihi(Neuron):
    """Resonate-and-fire in integers: card ``rf_loihi``. Run it in float64."""

    card = "rf_loihi"


class RFIzLoihi(Neuron):
    """Resonate-and-fire with Izhikevich's reset, in integers: card ``rf_iz_loihi``. Run it in float64."""

    card = "rf_iz_loihi"


class AdRFLoihi(Neuron):
    """Adaptive resonate-and-fire in integers: card ``adrf_loihi``. Run it in float64."""

    card = "adrf_loihi"


class SigmaDelta(Neuron):
    """Sigma-delta neuron; its output is what its spikes carry: card ``sigma_delta``. Run it in float64."""

    card = "sigma_delta"
