"""Turn a file or a live module of Linear layers and neurons into a Network, with every tensor accounted for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import nn

from ...errors import RefsimError, listed
from ...network import Network
from .checkpoint import read_checkpoint, tensors_of
from .description import Description, read_description
from .module import from_module
from .native import load_network
from .nir import load_nir


def load(
    source: str | Path | nn.Module | Mapping[str, Any],
    describe: str | Path | Mapping[str, Any] | None = None,
    *,
    dt: object = None,
    input_shape: Sequence[int] | None = None,
    layout: str | None = None,
    reset: str | None = None,
    integration: str | None = None,
    spikes: str | None = None,
    comparison: str | None = None,
) -> Network:
    """Load a trained network.

    Parameters
    ----------
    source : path, nn.Module or state_dict
        A ``.pt``, ``.nir`` or ``.refsim`` file, a live module, or a dict of tensors.
    describe : path or dict, optional
        The description: dt, and the neuron behind each Linear. Beside a file ``net.pt`` it is looked for as
        ``net.toml``. A module built of refsim's own layers, or of a framework's, needs none.
    dt, input_shape, layout
        Of a module without a description; see `refsim.pytorch.bridge.module`.
    dt, reset, integration, spikes, comparison
        What a ``.nir`` file leaves open; see `refsim.pytorch.bridge.nir.load_nir`.

    Raises
    ------
    RefsimError
        Where a tensor is missing, surplus, misshapen or not finite, or the file cannot be read as data.
    """
    open_in_nir = {"reset": reset, "integration": integration, "spikes": spikes, "comparison": comparison}
    if describe is None and isinstance(source, str | Path) and Path(source).suffix == ".nir":
        return load_nir(source, dt, **open_in_nir)
    if said := [name for name, value in open_in_nir.items() if value is not None]:
        raise RefsimError(
            f"load: {listed(said)} is for .nir files, which leave it open; {'a module' if isinstance(source, nn.Module) else 'this'} says it itself."
        )
    if isinstance(source, nn.Module) and describe is None:
        return from_module(source, dt, input_shape, layout)
    if describe is None and isinstance(source, str | Path) and Path(source).suffix == ".refsim":
        return load_network(source)
    if describe is None and isinstance(source, str | Path):
        describe = Path(source).with_suffix(".toml")
    if describe is None:
        raise RefsimError("a dict of tensors does not say which neuron stands behind which Linear; give describe=...")
    description = read_description(describe)
    if isinstance(source, nn.Module):
        return from_tensors(tensors_of(source.state_dict(), "module"), description, "module")
    if isinstance(source, Mapping):
        return from_tensors(tensors_of(source, "state_dict"), description, "state_dict")
    return from_tensors(read_checkpoint(Path(source), description.key), description, f"checkpoint {source}")


def load_described(describe: str | Path) -> Network:
    """Load the network whose weights a description names."""
    description = read_description(describe)
    if description.weights is None:
        raise RefsimError(f'description {describe}: names no weights; write weights = "net.pt", or give the weights beside it.')
    return from_tensors(read_checkpoint(description.weights, description.key), description, f"checkpoint {description.weights}")


def from_tensors(tensors: Mapping[str, NDArray[Any]], description: Description, where: str) -> Network:
    """Build the network and refuse any tensor that nothing accounts for."""
    used: set[str] = set()

    def take(name: str) -> NDArray[Any]:
        if name not in tensors:
            raise RefsimError(
                f"{where}: has no tensor '{name}', which the description asks for; it has {listed(tensors)}. Correct linear = ... in the description."
            )
        used.add(name)
        return tensors[name]

    rows = []
    for layer in description.layers:
        bias = take(f"{layer.linear}.bias") if f"{layer.linear}.bias" in tensors else None
        own = {name: take(tensor) for name, tensor in layer.tensors.items()}
        rows.append((take(f"{layer.linear}.weight"), bias, layer.model, own))
    if missing := set(description.ignore) - set(tensors):
        raise RefsimError(f"{where}: is to ignore {listed(missing)}, but has no such tensor; it has {listed(tensors)}.")
    if both := set(description.ignore) & used:
        raise RefsimError(
            f"{where}: {listed(both)} is to be ignored, but a layer of the description uses it; a bias that is to be left out must leave the file."
        )
    if surplus := set(tensors) - used - set(description.ignore):
        raise RefsimError(
            f"{where}: the description does not account for {listed(surplus)}. Name the layer it belongs to, or put it under ignore = [...] if it means nothing."
        )
    try:
        return Network.dense(rows, description.dt)
    except RefsimError as error:
        raise RefsimError(f"{where}: {error}") from None
