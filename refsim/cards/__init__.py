"""What a neuron is: the text of its equations, read from a card, checked, and kept as data."""

from . import from_python
from .neuron import NeuronModel, register_maker
from .parts import Derived, Parameter, State
from .read import load, load_all

__all__ = ["Derived", "NeuronModel", "Parameter", "State", "load", "load_all"]

register_maker(from_python)
