"""refsim's own format: one zip file with a TOML that says all, the cards as text, and an .npy for
each array.

    network.toml             format, version, dt, and a [[layer]] each: card, parameters, arrays,
    sources cards/NAME.toml          the card's own text
    0.weight.npy, 0.bias.npy, ...

Any zip program opens it, `numpy.load` reads the arrays; nothing in it can run.
"""

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cards.neuron import NeuronModel
from ..cards.read import SAVED, saved_card
from ..cards.write import card_text, rows_text
from ..core.arrays import DAMAGED_ARCHIVE, DIVERGED, real_array
from ..core.errors import RefsimError, first_line, listed
from ..core.tables import parse_toml
from ..core.whole_files import whole
from ..networks.connection import DRIVE, LONGEST, Source
from ..networks.network import Network, make_layer, positive_time
from .reading import Asked, Reading

FORMAT, VERSION = "refsim network", 1
_HEAD = {"format", "version", "dt", "layer", "undecided"}
_ROW: Mapping[str, type] = {
    "name": str,
    "card": str,
    "parameters": dict,
    "per_neuron": dict,
    "sources": list,
}
_LARGEST = 4 << 30  # bytes of one array: 500 million weights
_RATIO = 1000  # a zip that unpacks to more than this times its size is a bomb


def save_network(network: Network, path: str | Path, reading: Reading | None = None) -> Path:
    """Write a network to one file, from which `load_network` makes the same again, bit for bit.

    And what is known of where it was read.
    """
    target, rows, cards = Path(path), [], _cards(network)
    arrays: dict[str, NDArray[Any]] = {}
    for index, layer in enumerate(network.layers):
        row: dict[str, Any] = {"name": layer.name, "card": cards[layer.model.text]}
        row["parameters"] = {name: entry.value for name, entry in layer.model.parameters.items()}
        row["per_neuron"] = {name: f"{index}.{name}" for name in layer.parameters}
        row["sources"] = [source.layer for source in layer.sources]
        arrays |= {f"{index}.weight": layer.weight, f"{index}.bias": layer.bias}
        arrays |= {
            f"{index}.delay{number}": source.delay for number, source in enumerate(layer.sources)
        }
        arrays |= {f"{index}.{name}": values for name, values in layer.parameters.items()}
        rows.append(row)
    facts = {"format": FORMAT, "version": VERSION, "dt": network.dt} | (
        {"undecided": network.undecided} if network.undecided else {}
    )
    head = f"{card_text(facts)}\n{rows_text('layer', rows)}"
    try:
        with whole(target) as made, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("network.toml", head)
            if reading is not None:
                file.writestr("reading.toml", _notes(reading))
            for text, name in cards.items():
                file.writestr(f"cards/{name}.toml", text)
            for name, values in arrays.items():
                buffer = io.BytesIO()
                np.save(buffer, values, allow_pickle=False)
                file.writestr(f"{name}.npy", buffer.getvalue())
    except OSError as error:
        raise RefsimError(f"{target}: cannot be written ({error.strerror}).") from None
    return target


def _cards(network: Network) -> dict[str, str]:
    """Return each card's text and the name of its file.

    One card in two conventions is two files.
    """
    names: dict[str, str] = {}
    for layer in network.layers:
        name, number = layer.model.name, 2
        while name in names.values() and layer.model.text not in names:
            name, number = f"{layer.model.name}-{number}", number + 1
        names.setdefault(layer.model.text, name)
    return names


def load_network(path: str | Path) -> Network:
    """Read a network that `save_network` wrote.

    Raises
    ------
    RefsimError
        Where the file is missing, damaged, too large, of a later version, or its parts do not fit
        together.
    """
    return _read(path)[0]


def read_native(path: Path, asked: Asked) -> Reading:
    """Read a network with what was noted when it was read from another file."""
    if asked.describe is not None or asked.convention or asked.dt is not None:
        raise RefsimError(
            f"network {path}: says all itself; leave --describe, --convention and --dt out, or "
            "give them to refsim import."
        )
    network, notes = _read(path)
    changed = _changed(network)
    if not notes:
        return Reading(
            network,
            "refsim's own",
            tuple(f"{layer.n_pre} -> {layer.n_post}" for layer in network.layers),
            changed,
        )
    where = f"network {path}, reading.toml"
    maps, assumed, aside = (notes.get(key, []) for key in ("maps", "assumed", "aside"))
    given = notes.get("output_delay", [0])
    late = np.asarray(
        given if isinstance(given, list) and all(isinstance(each, int) for each in given) else ""
    )
    if not all(
        isinstance(part, list) and all(isinstance(line, str) for line in part)
        for part in (maps, assumed, aside)
    ) or len(maps) != len(network.layers):
        raise RefsimError(
            f"{where}: maps, assumed and aside must be lists of words, maps one a layer."
        )
    if (
        late.dtype.kind != "i"
        or late.ndim != 1
        or len(late) not in (1, network.layers[-1].n_post)
        or late.min() < 0
    ):
        raise RefsimError(
            f"{where}: output_delay must be whole steps from 0 on, one or one a neuron."
        )
    return Reading(
        network,
        f"{notes.get('format', 'refsim')}, imported",
        tuple(maps),
        (*assumed, *changed),
        tuple(aside),
        late.astype(np.int64),
    )


def _changed(network: Network) -> tuple[str, ...]:
    """Return in words which cards are not those that refsim has under their names today."""
    names = dict.fromkeys(
        layer.model.name for layer in network.layers if layer.model.name.endswith(SAVED)
    )
    return tuple(
        (
            f"card '{name}': the text in the file, which is another neuron than this refsim's card "
            f"'{name.removesuffix(SAVED)}'"
        )
        for name in names
    )


def _notes(reading: Reading) -> str:
    late = reading.output_delay
    delays = late[:1] if (late == late[0]).all() else late
    return card_text(
        {
            "format": reading.format,
            "maps": list(reading.maps),
            "assumed": list(reading.assumed),
            "aside": list(reading.aside),
            "output_delay": delays.tolist(),
        }
    )


def _read(path: str | Path) -> tuple[Network, Mapping[str, Any]]:
    where = f"network {path}"
    try:
        with zipfile.ZipFile(path) as file:
            _check_entries(file, where)
            head = parse_toml(file.read("network.toml").decode("utf-8"), f"{where}, network.toml")
            if (
                head.get("format") != FORMAT
                or not isinstance(head.get("version"), int)
                or head["version"] > VERSION
            ):
                raise RefsimError(
                    f"{where}: is {head.get('format')!r}, version {head.get('version')!r}; this "
                    f"refsim reads {FORMAT!r} up to version {VERSION}."
                )
            notes = (
                parse_toml(file.read("reading.toml").decode("utf-8"), f"{where}, reading.toml")
                if "reading.toml" in file.namelist()
                else {}
            )
            return _network(head, file, where), notes
    except OSError as error:
        raise RefsimError(
            f"{where}: cannot be read ({error.strerror or 'it is cut short'})."
        ) from None
    except (UnicodeDecodeError, *DAMAGED_ARCHIVE) as error:
        raise RefsimError(
            f"{where}: is damaged, or no network that refsim wrote ({first_line(error)})."
        ) from None
    except KeyError as error:
        raise RefsimError(f"{where}: lacks {str(error).strip(chr(34))[:120]}.") from None


def _check_entries(file: zipfile.ZipFile, where: str) -> None:
    """Refuse entries that unpack to too much, or that share a name."""
    if len(set(file.namelist())) < len(file.namelist()):
        raise RefsimError(
            f"{where}: holds two entries of one name, and nothing says which is meant."
        )
    packed = sum(entry.compress_size for entry in file.infolist())
    for entry in file.infolist():
        if entry.file_size > _LARGEST or entry.file_size > _RATIO * max(packed, 1):
            raise RefsimError(
                f"{where}: '{entry.filename}' unpacks to {entry.file_size:,} bytes; no network "
                "of this size of file does."
            )


def _network(head: Mapping[str, Any], file: zipfile.ZipFile, where: str) -> Network:
    rows = head.get("layer")
    if not isinstance(rows, list) or not rows:
        raise RefsimError(f"{where}: network.toml needs one [[layer]] or more.")
    if surplus := set(head) - _HEAD:
        raise RefsimError(
            f"{where}: network.toml says {listed(surplus)}, which version {VERSION} does not know."
        )
    layers = []
    for index, row in enumerate(rows):
        here = f"{where}, layer {index}"
        _check_row(row, here)
        weight, bias = (_array(file, f"{index}.{name}", here) for name in ("weight", "bias"))
        sources = tuple(
            _source(source, _array(file, f"{index}.delay{number}", here), index, len(rows), here)
            for number, source in enumerate(row["sources"])
        )
        if weight.ndim != 2 or weight.shape[1] != sum(source.width for source in sources):
            raise RefsimError(
                f"{here}: weight must be (n_post, {sum(source.width for source in sources)}), a "
                f"column an input, but has shape {weight.shape}."
            )
        weight = real_array(weight, f"{here}: weight", cure=DIVERGED, axes=("neuron", "input"))
        own = {name: _array(file, entry, here) for name, entry in row["per_neuron"].items()}
        layers.append(
            make_layer(
                (weight, sources),
                bias,
                _model(row, file, here),
                own,
                name=str(row.get("name", f"layer {index}")),
            )
        )
    if surplus := set(file.namelist()) - {"network.toml", "reading.toml", *_entries(rows)}:
        raise RefsimError(
            f"{where}: holds {listed(surplus)}, which no layer of network.toml accounts for."
        )
    if not isinstance(undecided := head.get("undecided", ""), str):
        raise RefsimError(f"{where}: undecided must be words, but is {type(undecided).__name__}.")
    return replace(
        Network.of(layers, positive_time(head.get("dt"), f"{where}: dt")), undecided=undecided
    )


def _check_row(row: object, where: str) -> None:
    """Refuse a layer that lacks a key, has another, or gives one of another kind."""
    if not isinstance(row, Mapping):
        raise RefsimError(
            f"{where}: must be a [[layer]] of network.toml, but is {str(row)[:40]!r}."
        )
    if missing := set(_ROW) - {"name"} - set(row):
        raise RefsimError(f"{where}: {listed(missing)} is missing in network.toml.")
    if surplus := set(row) - set(_ROW):
        raise RefsimError(
            f"{where}: network.toml says {listed(surplus)}, which version {VERSION} does not know."
        )
    if wrong := [name for name, value in row.items() if not isinstance(value, _ROW[name])]:
        raise RefsimError(
            f"{where}: {wrong[0]} of network.toml is {type(row[wrong[0]]).__name__}, where a "
            f"{_ROW[wrong[0]].__name__} is needed."
        )
    if not all(isinstance(entry, str) for entry in row["per_neuron"].values()):
        raise RefsimError(
            f"{where}: per_neuron of network.toml must name an array for each parameter."
        )


def _entries(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the names of all entries that belong to layers."""
    for index, row in enumerate(rows):
        yield f"cards/{row['card']}.toml"
        names = [
            f"{index}.weight",
            f"{index}.bias",
            *(f"{index}.delay{number}" for number in range(len(row["sources"]))),
            *row["per_neuron"].values(),
        ]
        yield from (f"{name}.npy" for name in names)


def _source(source: object, delay: NDArray[Any], index: int, n_layers: int, where: str) -> Source:
    if isinstance(source, bool) or not isinstance(source, int) or not DRIVE <= source < n_layers:
        raise RefsimError(
            f"{where}: sources must be numbers of layers, -1 (the input) to {n_layers - 1}, but "
            f"hold {source!r}."
        )
    least = 1 if source >= index else 0
    if (
        delay.ndim != 1
        or delay.dtype.kind not in "iu"
        or (delay < least).any()
        or (delay > LONGEST).any()
    ):
        raise RefsimError(
            f"{where}: delays must be whole steps from {least} on, to {LONGEST:,} at most, one "
            f"an input; here they are {delay.dtype} of shape {delay.shape}."
        )
    return Source(source, delay.astype(np.int64))


def _model(row: Mapping[str, Any], file: zipfile.ZipFile, where: str) -> NeuronModel:
    text = file.read(f"cards/{row['card']}.toml").decode("utf-8")
    return saved_card(text, f"{where}, its card").with_parameters(**row["parameters"])


def _array(file: zipfile.ZipFile, name: str, where: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(io.BytesIO(file.read(f"{name}.npy")), allow_pickle=False)
    except (ValueError, EOFError, MemoryError) as error:
        raise RefsimError(f"{where}: '{name}.npy' is damaged ({first_line(error)}).") from None
    return array
