"""Which reader reads which file: `READERS` chooses by the end of the name, `read_file` reads.

`otherwise` reads a file again with other options, for each trait that the file leaves unsaid.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..core.errors import RefsimError, listed
from ..networks.connection import DRIVE
from .described import read_described
from .description import read_description
from .lava import read_net
from .nir.read import OPTIONS as NIR_OPTIONS
from .nir.read import load_nir
from .reading import Asked, Reading
from .refsim_file import read_native
from .weights import TENSOR_FILES, check_own, read_tensors


def _read_weights(path: Path, asked: Asked) -> Reading:
    """Read weights with the description that was named, or with the one that lies beside them."""
    # A file of another program gets its own sentence before a description is missed.
    check_own(path)
    # By default the description has the name of the weights.
    found = path.with_suffix(".toml") if asked.describe is None else asked.describe
    if asked.describe is None and not Path(str(found)).is_file() and path.is_file():
        raise RefsimError(
            f"{path}: weights do not say which neuron stands behind which Linear, and there is "
            f"no description {found}. Write one (refsim validate --help shows it), or name it "
            "with --describe."
        )
    description = read_description(found)
    return read_described(
        read_tensors(path, description.key), description, asked, f"checkpoint {path}"
    )


def _read_description(path: Path, asked: Asked) -> Reading:
    """Read a description, and the weights that it names."""
    description = read_description(path)
    if description.weights is None:
        raise RefsimError(
            f'description {path}: names no weights; write weights = "net.pt", or give the '
            "weights beside it."
        )
    return read_described(
        read_tensors(description.weights, description.key),
        description,
        asked,
        f"checkpoint {description.weights}",
    )


def _read_nir(path: Path, asked: Asked) -> Reading:
    """Read a NIR graph, and return as traits what it leaves open."""
    if unknown := set(asked.convention) - set(NIR_OPTIONS):
        raise RefsimError(
            f"network {path}: {listed(unknown)} is not left open by NIR; what it leaves open is "
            f"{listed(NIR_OPTIONS)}."
        )
    network = load_nir(path, asked.dt, **asked.convention)
    maps = tuple(
        (
            f"{', '.join(_source(source.layer, source.width) for source in layer.sources)} -> "
            f"{layer.n_post}"
        )
        for layer in network.layers
    )
    # Spikes and comparison have a usual meaning in NIR; reset and integration must be given.
    usual = {
        name: next(iter(options))
        for name, options in NIR_OPTIONS.items()
        if name in ("spikes", "comparison") and name not in asked.convention
    }
    assumed = tuple(
        f"{name} is {option!r}, {NIR_OPTIONS[name][option]}" for name, option in usual.items()
    )
    unsaid = {
        name: tuple(options)
        for name, options in NIR_OPTIONS.items()
        if name in usual or name in asked.convention
    }
    return Reading(network, "NIR", maps, assumed, unsaid=unsaid)


def _source(layer: int, width: int) -> str:
    return f"{'input' if layer == DRIVE else f'layer {layer}'} {width}"


# One line a format. A reader takes the path and what the user says besides.
READERS: Mapping[str, Callable[[Path, Asked], Reading]] = {
    ".net": read_net,
    ".nir": _read_nir,
    ".refsim": read_native,
    ".toml": _read_description,
    **dict.fromkeys(TENSOR_FILES, _read_weights),
}


def read_file(path: str | Path, asked: Asked | None = None) -> Reading:
    """Read a trained network from a file, by the end of its name.

    A name with any other end is read as a file of PyTorch.

    Parameters
    ----------
    path : str or path
    asked : Asked, optional
        A description, the duration of a step, and traits that the file leaves unsaid.

    Returns
    -------
    Reading

    Raises
    ------
    RefsimError
        Where the file cannot be read; the message says what was found and what to do. No code is
        ever run from a file.
    """
    return READERS.get(Path(path).suffix.lower(), _read_weights)(Path(path), asked or Asked())


def otherwise(
    path: str | Path, reading: Reading, asked: Asked
) -> Mapping[str, Callable[[], Reading]]:
    """Return how a file is read with another option, for each trait that it leaves unsaid.

    Returns
    -------
    dict of str to function
        By the trait and its option, such as ``comparison='>='``, a function that reads the file so.
    """
    # The option that was used is no other option.
    meant = {
        trait: asked.convention.get(trait, options[0]) for trait, options in reading.unsaid.items()
    }
    return {
        f"{trait}={option!r}": partial(
            read_file, path, replace(asked, convention={**asked.convention, trait: option})
        )
        for trait, options in reading.unsaid.items()
        for option in options
        if option != meant[trait]
    }
