"""Thin modules of the biophysical neurons; input in amperes, dt needed: ``HH(dt="0.05 ms")``."""

from .layers import Neuron


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
