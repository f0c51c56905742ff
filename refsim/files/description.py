"""The description beside a file of weights: which neuron follows which tensors, and what a step is.

`read_description` reads it from TOML or from a dict, and checks every key. The result is a
`Description` with one `LayerDescription` a layer; `described` turns it into a Network.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..cards.neuron import NeuronModel
from ..cards.questions import written_parameters
from ..cards.read import load, switched
from ..core.errors import RefsimError, listed
from ..core.tables import read_toml
from ..networks.network import positive_time
from .linear_maps import MapDescription, read_map

_TOP = {"dt", "weights", "key", "layer", "ignore", "title", "input_shape", "output_delay"}
_LAYER = {"linear", "maps", "neuron", "parameters", "tensors", "convention", "recurrent", "delay"}
_RECURRENT = {"linear", "transposed", "delay"}
# Other forms of a description, each with the keys that it has besides; a form reads its own layers.
FORMS = {"lava-dl": {"format", "convention"}}


@dataclass(frozen=True)
class LayerDescription:
    """One layer of a description: what leads to it, and its neuron.

    Attributes
    ----------
    maps : tuple of MapDescription
        The maps from the layer below to the neurons, in their order.
    model : NeuronModel
    tensors : dict of str to str
        The tensor of each parameter that is trained per neuron, by the name of the parameter.
    recurrent : MapDescription or None
        The map from the neurons to themselves.
    recurrent_delay : int
        Steps from a spike to its arrival at the layer itself.
    delay : int or str
        Steps from the layer below: a number, or the name of a tensor that holds them.
    """

    maps: tuple[MapDescription, ...]
    model: NeuronModel
    tensors: Mapping[str, str] = field(default_factory=dict)
    recurrent: MapDescription | None = None
    recurrent_delay: int = 1
    delay: int | str = 0


@dataclass(frozen=True)
class Description:
    """All that a file of weights does not say.

    Attributes
    ----------
    dt : float or None
        Seconds a step; None only where the form of the description does not need it.
    layers : tuple of LayerDescription
    weights : Path or None
        The file of weights, where the description names one.
    key : str or None
        Name of the state_dict inside a larger checkpoint.
    ignore : tuple of str
        Tensors that the user declares to be of no account.
    input_shape : tuple of int
        The shape of one sample in one step; empty where it is not said.
    output_delay : int or None
        Steps by which the framework returns the spikes of the last layer after they are fired; None
        where it is not said.
    form : str
        One of ``FORMS``, or empty. A form keeps its layers in `rows` as they were written, and in
        `convention` what it says of all layers.
    """

    dt: float | None
    layers: tuple[LayerDescription, ...]
    weights: Path | None = None
    key: str | None = None
    ignore: tuple[str, ...] = ()
    title: str = ""
    input_shape: tuple[int, ...] = ()
    form: str = ""
    rows: tuple[Mapping[str, object], ...] = ()
    convention: Mapping[str, str] = field(default_factory=dict)
    output_delay: int | None = None


def read_description(source: str | Path | Mapping[str, object]) -> Description:
    """Read a description from a TOML file, or from a dict of the same form.

    Parameters
    ----------
    source : path or dict

    Returns
    -------
    Description

    Raises
    ------
    RefsimError
        Where a key is missing, unknown or of a wrong type; the message names the file and the key.
    """
    if isinstance(source, Mapping):
        return _description(source, "description", Path())
    path = Path(source)
    table, _ = read_toml(
        path,
        f"description {path}",
        hint=(
            " It is a TOML file that names dt and the neuron behind each Linear; README.md "
            "shows one."
        ),
    )
    return _description(table, f"description {path}", path.parent)


def _description(table: Mapping[str, object], where: str, folder: Path) -> Description:
    """Check a whole description; paths in it are relative to `folder`."""
    form = table.get("format", "")
    if form and (not isinstance(form, str) or form not in FORMS):
        raise RefsimError(
            f"{where}: format must be one of {listed(FORMS)}, or be left out, but is {form!r}."
        )
    # Keys come first: a misspelled key explains the missing one.
    known = _TOP | (FORMS[str(form)] if form else set())
    if surplus := set(table) - known:
        hint = (
            ' Is it a case? Then kind is missing, such as kind = "network".'
            if "claim" in surplus
            else ""
        )
        raise RefsimError(
            f"{where}: {listed(surplus)} is not a known key; known are {listed(known)}.{hint}"
        )
    if "dt" not in table and not form:
        raise RefsimError(
            f'{where}: dt is missing; a step has no duration of its own. Write dt = "1 ms", or '
            "what was meant in training."
        )
    rows = table.get("layer")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, Mapping) for row in rows):
        raise RefsimError(
            f"{where}: needs one [[layer]] for each Linear, with linear = ... and neuron = ..."
        )
    # Then what holds for the whole file.
    ignore = table.get("ignore", [])
    # A single name would be read as a list of letters.
    if not isinstance(ignore, list) or not all(isinstance(name, str) for name in ignore):
        raise RefsimError(f"{where}: ignore must be a list of tensor names, but is {ignore!r}.")
    weights, key = (_text(table, name, where) for name in ("weights", "key"))
    shape = table.get("input_shape", [])
    if not isinstance(shape, list) or not all(
        isinstance(size, int) and not isinstance(size, bool) and 0 < size <= 1 << 24
        for size in shape
    ):
        raise RefsimError(
            f"{where}: input_shape must be whole numbers above 0, such as [2, 34, 34], but is "
            f"{shape!r}."
        )
    # The layers last, each with its own place in a message.
    layers = (
        ()
        if form
        else tuple(_layer(row, f"{where}, layer {index}", folder) for index, row in enumerate(rows))
    )
    dt = positive_time(table["dt"], f"{where}: dt", written=True) if "dt" in table else None
    convention = _texts(table, "convention", where, '{ comparison = ">=" }')
    late = (
        _delay(table["output_delay"], f"{where}: output_delay", 0)
        if "output_delay" in table
        else None
    )
    assert not isinstance(late, str)
    return Description(
        dt,
        layers,
        folder / weights if weights else None,
        key,
        tuple(ignore),
        str(table.get("title", "")),
        tuple(shape),
        str(form),
        tuple(rows),
        convention,
        late,
    )


def _text(table: Mapping[str, object], key: str, where: str) -> str | None:
    """Return a value that must be text where it is there."""
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise RefsimError(f"{where}: {key} must be text, but is {value!r}.")
    return value


def _layer(row: Mapping[str, object], where: str, folder: Path) -> LayerDescription:
    """Check a [[layer]]."""
    if surplus := set(row) - _LAYER:
        raise RefsimError(
            f"{where}: {listed(surplus)} is not a known key; known are {listed(_LAYER)}."
        )
    neuron = row.get("neuron")
    maps = _read_maps(row, where)
    if not isinstance(neuron, str):
        raise RefsimError(
            f'{where}: needs neuron = "...", a card such as "srif", or the path of your own.'
        )
    parameters, tensors = row.get("parameters", {}), row.get("tensors", {})
    if (
        not isinstance(parameters, Mapping)
        or not isinstance(tensors, Mapping)
        or not all(isinstance(name, str) for name in tensors.values())
    ):
        raise RefsimError(
            f"{where}: parameters and tensors must be tables, such as parameters = {{ v_th = 0.5 "
            f"}}."
        )
    convention = _texts(row, "convention", where, '{ reset = "set" }')
    # A card that ends in .toml is the user's own, and lies beside the description.
    try:
        model = _model(
            folder / neuron if neuron.endswith(".toml") else neuron, convention, parameters
        )
    except RefsimError as error:
        raise RefsimError(f"{where}: {error}") from None
    # Every trained parameter must be one of the card, and must have one source only.
    for name in tensors:
        model.parameter(name)
    if both := set(tensors) & set(parameters):
        raise RefsimError(
            f"{where}: {listed(both)} is given twice, as one value under parameters and per "
            "neuron under tensors."
        )
    # Connections come last: delays may name tensors too.
    recurrent, recurrent_delay = _recurrent(row.get("recurrent"), f"{where}: recurrent")
    return LayerDescription(
        maps,
        model,
        dict(tensors),
        recurrent,
        recurrent_delay,
        _delay(row.get("delay", 0), f"{where}: delay", 0, name=True),
    )


def _model(
    name: str | Path, convention: Mapping[str, str], parameters: Mapping[str, object]
) -> NeuronModel:
    """Return a card in the convention and with the parameters that a layer gives."""
    model = load(name)
    model = switched(model, **convention) if convention else model
    return model.with_parameters(**written_parameters(model, parameters, ""))


def _read_maps(row: Mapping[str, object], where: str) -> tuple[MapDescription, ...]:
    """Return the maps in front of a layer: those of ``maps``, or the one of ``linear``."""
    linear, maps = row.get("linear"), row.get("maps")
    if maps is not None:
        if linear is not None or not isinstance(maps, list) or not maps:
            raise RefsimError(
                f'{where}: maps must be a list of maps, such as [{{ conv2d = "0" }}, {{ '
                f'batch_norm = "1" }}], in place of linear.'
            )
        return tuple(read_map(each, where) for each in maps)
    if linear is None or isinstance(linear, bool) or not isinstance(linear, str | int | Mapping):
        raise RefsimError(
            f'{where}: needs linear = "...", the prefix of its tensors, such as "0" for 0.weight.'
        )
    if not isinstance(linear, Mapping):
        return (read_map({"linear": linear}, where),)
    # In a table, transposed is an option of the map, and the other keys name its tensors.
    options = {key: linear[key] for key in linear if key == "transposed"}
    named = {key: linear[key] for key in linear if key not in options}
    return (read_map({"linear": named, **options}, where),)


def _recurrent(given: object, where: str) -> tuple[MapDescription | None, int]:
    """Return a recurrent map and its delay in steps.

    It is written as ``"rec"``, or as ``{ linear = "rec", transposed = true, delay = 2 }``.
    """
    if given is None:
        return None, 1
    table = given if isinstance(given, Mapping) else {"linear": given}
    if surplus := set(table) - _RECURRENT:
        raise RefsimError(
            f"{where}: {listed(surplus)} is not a known key; known are {listed(_RECURRENT)}."
        )
    delay = _delay(table.get("delay", 1), f"{where}: delay", 1)
    assert isinstance(delay, int)
    return read_map({key: table[key] for key in table if key != "delay"}, where), delay


def _delay(value: object, where: str, least: int, *, name: bool = False) -> int | str:
    """Return whole steps from `least` on, or the name of a tensor where that is allowed."""
    if name and isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise RefsimError(
            f"{where} must be whole steps from {least} "
            f"on{', or the name of a tensor' if name else ''}, but is {value!r}."
        )
    return value


def _texts(table: Mapping[str, object], key: str, where: str, example: str) -> dict[str, str]:
    """Return a table of texts; empty where the key is missing."""
    found = table.get(key, {})
    if not isinstance(found, Mapping) or not all(
        isinstance(value, str) for value in found.values()
    ):
        raise RefsimError(f"{where}: {key} must be a table of words, such as {key} = {example}.")
    return dict(found)
