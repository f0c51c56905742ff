"""The bridge: a trained network, as a file or as a live module, becomes a Network; or the bridge says why not."""

from .description import Description, LayerDescription, read_description
from .load import load, load_described

__all__ = ["Description", "LayerDescription", "load", "load_described", "read_description"]
