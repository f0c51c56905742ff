"""The bridge: a trained network, as a file or as a live module, becomes a Network; or the bridge says why not."""

from .description import Description, LayerDescription, read_description
from .formats import otherwise, read_file
from .load import load, load_described
from .module import from_module
from .native import load_network, save_network
from .nir_export import save_nir
from .reading import Asked, Reading

__all__ = [
    "Asked", "Description", "LayerDescription", "Reading", "from_module", "load", "load_described", "load_network", "otherwise", "read_description",
    "read_file", "save_network", "save_nir",
]  # fmt: skip
