"""The description beside a file of weights: which neuron stands behind which Linear, and what a step is."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import RefsimError, listed
from ...model import NeuronModel, load
from ...network import positive_time

_TOP = {"dt", "weights", "key", "layer", "ignore", "title"}
_LAYER = {"linear", "neuron", "parameters", "tensors"}


@dataclass(frozen=True)
class LayerDescription:
    """One Linear and the neuron behind it.

    Attributes
    ----------
    linear : str
        Prefix of the tensors: ``"0"`` for ``0.weight`` and ``0.bias``.
    model : NeuronModel
    tensors : dict of str to str
        Parameters that are trained per neuron: name to tensor.
    """

    linear: str
    model: NeuronModel
    tensors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Description:
    """What a file of weights does not say.

    Attributes
    ----------
    dt : float
        Seconds a step.
    layers : tuple of LayerDescription
    weights : Path or None
        The file of weights, where the description names it.
    key : str or None
        Name of the state_dict inside a larger checkpoint.
    ignore : tuple of str
        Tensors that the user declares to be of no account.
    """

    dt: float
    layers: tuple[LayerDescription, ...]
    weights: Path | None = None
    key: str | None = None
    ignore: tuple[str, ...] = ()
    title: str = ""


def read_description(source: str | Path | Mapping[str, Any]) -> Description:
    """Read a description from a TOML file, or from a dict of the same form.

    Raises
    ------
    RefsimError
        With the file, the key and what to write.
    """
    if isinstance(source, Mapping):
        return _description(source, "description", Path())
    path = Path(source)
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise RefsimError(
            f"description {path}: cannot be read ({error.strerror}). It is a TOML file that names dt and the neuron behind each Linear; README.md shows one."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RefsimError(f"description {path}: is not TOML ({error}).") from None
    return _description(table, f"description {path}", path.parent)


def _description(table: Mapping[str, Any], where: str, folder: Path) -> Description:
    if surplus := set(table) - _TOP:
        raise RefsimError(f"{where}: {listed(surplus)} is not a known key; known are {listed(_TOP)}.")
    if "dt" not in table:
        raise RefsimError(f'{where}: dt is missing; a step has no duration of its own. Write dt = "1 ms", or what was meant in training.')
    rows = table.get("layer")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        raise RefsimError(f"{where}: needs one [[layer]] for each Linear, with linear = ... and neuron = ...")
    ignore, weights, key = table.get("ignore", []), table.get("weights"), table.get("key")
    if not isinstance(ignore, list) or not all(isinstance(name, str) for name in ignore):
        raise RefsimError(f"{where}: ignore must be a list of tensor names, but is {ignore!r}.")
    for name, value in (("weights", weights), ("key", key)):
        if value is not None and not isinstance(value, str):
            raise RefsimError(f"{where}: {name} must be text, but is {value!r}.")
    layers = tuple(_layer(row, f"{where}, layer {index}", folder) for index, row in enumerate(rows))
    dt = positive_time(table["dt"], f"{where}: dt")
    return Description(dt, layers, folder / weights if weights else None, key, tuple(ignore), str(table.get("title", "")))


def _layer(row: Mapping[str, Any], where: str, folder: Path) -> LayerDescription:
    if surplus := set(row) - _LAYER:
        raise RefsimError(f"{where}: {listed(surplus)} is not a known key; known are {listed(_LAYER)}.")
    linear, neuron = row.get("linear"), row.get("neuron")
    if not isinstance(linear, str | int) or isinstance(linear, bool):
        raise RefsimError(f'{where}: needs linear = "...", the prefix of its tensors, such as "0" for 0.weight.')
    if not isinstance(neuron, str):
        raise RefsimError(f'{where}: needs neuron = "...", a card such as "srif", or the path of your own.')
    parameters, tensors = row.get("parameters", {}), row.get("tensors", {})
    if not isinstance(parameters, Mapping) or not isinstance(tensors, Mapping) or not all(isinstance(name, str) for name in tensors.values()):
        raise RefsimError(f"{where}: parameters and tensors must be tables, such as parameters = {{ v_th = 0.5 }}.")
    model = load(folder / neuron if neuron.endswith(".toml") else neuron, **parameters)
    for name in tensors:
        model.parameter(name)
    if both := set(tensors) & set(parameters):
        raise RefsimError(f"{where}: {listed(both)} is given twice, as one value under parameters and per neuron under tensors.")
    return LayerDescription(str(linear), model, dict(tensors))
