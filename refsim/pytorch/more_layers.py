"""Thin modules over the steps of adaptive and resonating neurons.

Thin modules of the biophysical neurons; input in amperes, dt needed: ``HH(dt="0.05 ms")``.

Thin modules over the steps of read-outs: put one behind the last Linear, and its output after the
last step decides.

Thin modules over the steps of spike response neurons and of Loihi's integer neurons.
"""

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


class HH(Neuron):
    """Hodgkin-Huxley: card ``hh``."""

    card = "hh"


class HHTraub(Neuron):
    """Hodgkin-Huxley after Traub and Miles: card ``hh_traub``."""

    card = "hh_traub"


class WangBuzsaki(Neuron):
    """Wang-Buzsaki interneuron: card ``wang_buzsaki``."""

    card = "wang_buzsaki"


class MorrisLecar(Neuron):
    """Morris-Lecar: card ``morris_lecar``."""

    card = "morris_lecar"


class FitzHughNagumo(Neuron):
    """FitzHugh-Nagumo, input without a unit: card ``fitzhugh_nagumo``."""

    card = "fitzhugh_nagumo"


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


class SRMAlpha(Neuron):
    """Spike response model with alpha functions that never end: card ``srm_alpha``.

    Give it ``dt``.
    """

    card = "srm_alpha"


class SRMSlayer(Neuron):
    """Spike response model with SLAYER's kernels, cut as it cuts them: card ``srm_slayer``.

    Give it ``dt``.
    """

    card = "srm_slayer"


class CubaLoihi(Neuron):
    """Current-based leaky integrate-and-fire in integers: card ``cuba_loihi``.

    Run it in float64.
    """

    card = "cuba_loihi"


class AlifLoihi(Neuron):
    """Adaptive leaky integrate-and-fire in integers: card ``alif_loihi``. Run it in float64."""

    card = "alif_loihi"


class RFLoihi(Neuron):
    """Resonate-and-fire in integers: card ``rf_loihi``. Run it in float64."""

    card = "rf_loihi"


class RFIzLoihi(Neuron):
    """Resonate-and-fire with Izhikevich's reset, in integers: card ``rf_iz_loihi``.

    Run it in float64.
    """

    card = "rf_iz_loihi"


class AdRFLoihi(Neuron):
    """Adaptive resonate-and-fire in integers: card ``adrf_loihi``. Run it in float64."""

    card = "adrf_loihi"


class SigmaDelta(Neuron):
    """Sigma-delta neuron; its output is what its spikes carry: card ``sigma_delta``.

    Run it in float64.
    """

    card = "sigma_delta"
