"""The bridge: a trained network, as a file, a live module or a dict of tensors, becomes a Network.

`load` is the entry for all of them. The other names come from `refsim.files` and `refsim.modules`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from .core.errors import RefsimError, listed
from .files.described import read_described
from .files.description import Description, LayerDescription, read_description
from .files.formats import otherwise, read_file
from .files.nir.read import OPTIONS as NIR_OPTIONS
from .files.nir.write import save_nir
from .files.reading import Asked, Reading
from .files.refsim_file import load_network, save_network
from .files.weights import tensors_of
from .modules.read import from_module
from .networks.network import Network

__all__ = [
    "Asked",
    "Description",
    "LayerDescription",
    "Reading",
    "from_module",
    "load",
    "load_described",
    "load_network",
    "otherwise",
    "read_description",
    "read_file",
    "save_network",
    "save_nir",
]


def load(
    source: str | Path | nn.Module | Mapping[str, object],
    describe: str | Path | Mapping[str, object] | None = None,
    *,
    dt: object = None,
    input_shape: Sequence[int] | None = None,
    layout: str | None = None,
    reset: str | None = None,
    integration: str | None = None,
    spikes: str | None = None,
    comparison: str | None = None,
    convention: Mapping[str, str] | None = None,
) -> Network:
    """Load a trained network.

    Parameters
    ----------
    source : path, nn.Module or state_dict
        A file (``.pt``, ``.safetensors``, ``.npz`` with a description; ``.net``; ``.nir``;
        ``.refsim``; a description that names its weights), a live module, or a dict of tensors.
    describe : path or dict, optional
        The description: dt, and the neuron behind each Linear. For a file ``net.pt`` it is by
        default ``net.toml`` beside it. A module of layers of refsim or a framework needs none.
    dt : float or str, optional
        Duration of a step, where the source does not say it.
    input_shape, layout
        How a module without a description takes its input; see `refsim.modules.read.from_module`.
    reset, integration, spikes, comparison : str, optional
        What a ``.nir`` file leaves open; see `refsim.files.nir.read.load_nir`.
    convention : dict, optional
        Traits that a file leaves unsaid, such as ``{"comparison": ">="}``; each replaces the one
        that is usually meant.

    Returns
    -------
    Network

    Raises
    ------
    RefsimError
        Where a tensor is missing, surplus, misshapen or not finite, or the file cannot be read as
        data.
    """
    # The options of NIR are traits, and only NIR leaves them open.
    said = {
        name: value
        for name, value in zip(NIR_OPTIONS, (reset, integration, spikes, comparison), strict=True)
        if value is not None
    }
    if said and not (isinstance(source, str | Path) and Path(source).suffix.lower() == ".nir"):
        raise RefsimError(
            f"load: {listed(said)} is for .nir files, which leave it open; "
            f"{'a module' if isinstance(source, nn.Module) else 'this'} says it itself."
        )
    if isinstance(source, nn.Module) and describe is None:
        return from_module(source, dt, input_shape, layout)
    # A file, a module with a description and a dict of tensors share what the user says besides.
    asked = Asked(describe, dt, {**(convention or {}), **said})
    if isinstance(source, str | Path):
        return read_file(source, asked).network
    if describe is None:
        raise RefsimError(
            "a dict of tensors does not say which neuron stands behind which Linear; give "
            "describe=..."
        )
    # A module with a description is only a source of tensors; its code is not run.
    where, tensors = (
        ("module", source.state_dict()) if isinstance(source, nn.Module) else ("state_dict", source)
    )
    return read_described(
        tensors_of(tensors, where), read_description(describe), asked, where
    ).network


def load_described(describe: str | Path) -> Network:
    """Load the network whose weights a description names.

    Raises
    ------
    RefsimError
        Where the description or its weights cannot be read.
    """
    return read_file(describe).network
