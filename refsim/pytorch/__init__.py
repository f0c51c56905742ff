"""The PyTorch side: steps written by hand, thin modules, surrogate gradients, the engine on trial, and the bridge."""

from .engine import Torch
from .layers import EIF, IF, LI, LIF, SRIF, SRIFMPR, LIFDecay, LIFRefractory, PoissonEscape, reset

__all__ = ["EIF", "IF", "LI", "LIF", "SRIF", "SRIFMPR", "LIFDecay", "LIFRefractory", "PoissonEscape", "Torch", "reset"]
