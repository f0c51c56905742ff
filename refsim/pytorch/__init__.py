"""The PyTorch side: steps written by hand, thin modules, surrogate gradients, the engine on trial, and the bridge."""

from .engine import Torch
from .layers import IF, LIF, SRIF, SRIFMPR, LIFDecay, reset

__all__ = ["IF", "LIF", "SRIF", "SRIFMPR", "LIFDecay", "Torch", "reset"]
