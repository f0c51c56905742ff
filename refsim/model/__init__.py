"""What a neuron is: the text of its equations, read from a card, checked, and pure data from then on."""

from .card import load, load_all
from .neuron import NeuronModel
from .parts import Derived, Parameter, State

__all__ = ["Derived", "NeuronModel", "Parameter", "State", "load", "load_all"]
