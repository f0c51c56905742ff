"""Read data for a network: images, tables and lists of events, with labels or without.

`read_data` takes a file and `given_data` arrays; `encode` makes a drive of either. Below them are
the readers of the formats and the checks of shapes. Every array is checked at the door.
"""

import gzip
import importlib.util
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..core.arrays import (
    DAMAGED_ARCHIVE,
    AnyArray,
    Floats,
    Ints,
    Shape,
    plain_array,
    real_array,
)
from ..core.errors import RefsimError, first_line, listed
from .drive import Drive

ENCODERS = ("current", "bernoulli", "poisson", "latency", "integrate_and_fire", "events")
_IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_EVENT_KEYS = ("sample", "step", "neuron", "shape")  # of a list of events in an .npz file
_LARGEST = 8 << 30  # bytes of one array


@dataclass(frozen=True, eq=False)
class Dataset:
    """Real input for a network.

    Attributes
    ----------
    name : str
    values : (n_samples, n_inputs) or (n_samples, n_steps, n_inputs) float64, or None
    events : dict of arrays sample, step, neuron and shape, or None
    labels : (n_samples,) int64 or None
    """

    name: str
    values: Floats | None
    events: dict[str, Any] | None
    labels: Ints | None

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return int(self.events["shape"][0]) if self.values is None else len(self.values)  # type: ignore[index]

    def head(self, count: int) -> "Dataset":
        """Return the first samples alone.

        Raises
        ------
        RefsimError
            For a list of events, or more samples than there are.
        """
        if self.values is None:
            raise RefsimError(
                f"data {self.name}: an event list is taken whole; cut it before it is saved."
            )
        if not 1 <= count <= self.n_samples:
            raise RefsimError(
                f"data {self.name}: has {self.n_samples} samples; {count} were asked for."
            )
        return Dataset(
            self.name,
            self.values[:count],
            None,
            None if self.labels is None else self.labels[:count],
        )


def read_data(
    source: str | Path, labels: str | Path | None = None, *, scale: float = 1.0
) -> Dataset:
    """Read a dataset.

    Parameters
    ----------
    source : str or path
        ``digits`` (scikit-learn's handwriting: the test part; ``digits:train``: the rest), or a
        file: ``.npz`` with ``x`` and perhaps ``y``, or with events ``sample, step, neuron, shape``;
        ``.npy``; ``.csv``; idx, perhaps ``.gz``.
    labels : path, optional
        ``.npy``, ``.csv`` or idx with one whole number for each sample.
    scale : float
        Values are divided by it: 255 turns bytes into [0, 1].

    Raises
    ------
    RefsimError
        Where the file is missing, damaged, or of another shape.
    """
    _check_scale(scale)
    if str(source).split(":")[0] == "digits" and not Path(source).exists():
        return digits(str(source).partition(":")[2] or "test")
    path = Path(source)
    found = read_arrays(path)
    # Labels may lie in the file itself; those that are given count before them.
    stored = found.pop("y", None)
    if set(found) == set(_EVENT_KEYS):
        shape = _event_shape(found["shape"], path)
        values, events = None, {**found, "shape": shape}
        n_samples = shape[0]
        if scale != 1:
            raise RefsimError(
                f"data {path}: is a list of events, which --scale cannot change; leave it out."
            )
    else:
        if set(found) != {"x"}:
            raise RefsimError(
                f"data {path}: holds {listed(found)}; needed is x (and y), or the events "
                f"{', '.join(_EVENT_KEYS)}."
            )
        values, events = _shaped(found["x"], path) / scale, None
        n_samples = len(values)
    if labels is not None:
        return Dataset(path.name, values, events, labels_of(labels, n_samples))
    return Dataset(
        path.name, values, events, None if stored is None else _labels(stored, n_samples, path)
    )


def given_data(
    values: ArrayLike, labels: ArrayLike | str | Path | None = None, *, scale: float = 1.0
) -> Dataset:
    """Return arrays that the user has as a dataset; ``labels`` may also be a file.

    Parameters
    ----------
    values : (n_samples, n_inputs) or (n_samples, n_steps, n_inputs)
    labels : (n_samples,) of whole numbers, or path, optional
    scale : float
        Values are divided by it.
    """
    _check_scale(scale)
    array = _shaped(values, Path("given.npy")) / scale
    return Dataset(
        "given values", array, None, None if labels is None else labels_of(labels, len(array))
    )


def labels_of(given: ArrayLike | str | Path, n_samples: int) -> Ints:
    """Return one whole number for each sample, from an array or a file."""
    return (
        read_labels(given, n_samples)
        if isinstance(given, str | Path)
        else _labels(plain_array(given, "labels"), n_samples, "given")
    )


def _check_scale(scale: float) -> None:
    if not (np.isfinite(scale) and scale > 0):
        raise RefsimError(f"--scale must be a number above 0, but is {scale!r}.")


def read_labels(source: str | Path, n_samples: int) -> Ints:
    """Return one whole number for each sample, from a file."""
    return _labels(_only_array(read_arrays(Path(source)), Path(source)), n_samples, source)


def encode(
    data: Dataset, encoder: str | None, steps: int | None, dt: float, *, seed: int = 0
) -> Drive:
    """Turn a dataset into a drive.

    Parameters
    ----------
    encoder : str or None
        One of ``ENCODERS``; ``current`` (also None) holds each value at every step. Data that has
        steps or events of its own is taken as it is.
    steps : int or None
        Steps to run; None for data that has steps of its own.
    dt : float
        Seconds a step.
    seed : int
        For encoders that draw.

    Raises
    ------
    RefsimError
        Where encoder, steps and data do not go together.
    """
    if encoder is not None and encoder not in ENCODERS:
        raise RefsimError(f"--encoder must be one of {', '.join(ENCODERS)}, but is {encoder!r}.")
    # Data with steps of its own needs neither a number of steps nor an encoder.
    own_steps = (
        data.events["shape"][1]
        if data.events is not None
        else data.values.shape[1]
        if data.values is not None and data.values.ndim == 3
        else None
    )
    if own_steps is not None and steps not in (None, own_steps):
        raise RefsimError(
            f"data {data.name}: has {own_steps} steps of its own, but --steps is {steps}."
        )
    if own_steps is not None and encoder not in (None, "current", "events"):
        raise RefsimError(
            f"data {data.name}: has steps of its own and needs no encoder; leave --encoder "
            f"{encoder} out."
        )
    if data.events is not None:
        return Drive.events(
            data.events["sample"],
            data.events["step"],
            data.events["neuron"],
            data.events["shape"],
            dt,
            source=data.name,
        )
    assert data.values is not None
    if data.values.ndim == 3:
        return Drive.current(data.values, dt, source=data.name)
    # Other data is one row of values a sample, which some encoder spreads over the steps.
    if steps is None:
        raise RefsimError(
            f"data {data.name}: has no steps of its own; say how many to run, --steps T."
        )
    if encoder in (None, "current"):
        return Drive.current(data.values, dt, n_steps=steps, source=data.name)
    if encoder == "events":
        raise RefsimError(
            f"data {data.name}: is no list of events; --encoder events reads rows of (step, "
            "neuron) or (neuron, channel, time)."
        )
    if encoder in ("bernoulli", "poisson"):
        return getattr(Drive, encoder)(data.values, steps, dt, seed)  # type: ignore[no-any-return]
    return getattr(Drive, encoder)(data.values, steps, dt)  # type: ignore[no-any-return]


def digits(part: str = "test") -> Dataset:
    """Return scikit-learn's handwritten digits, 8 x 8 pixels in [0, 1].

    Every fifth image is of the test part (360 images), the others are of the part ``train``.
    """
    if part not in ("train", "test"):
        raise RefsimError(f"data digits: the part must be train or test, but is {part!r}.")
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise RefsimError(
            "data digits: these images come with scikit-learn, which is not installed; pip "
            'install "refsim[demo]".'
        )
    # The file is read directly, because the import of scikit-learn takes a second.
    file = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    if not file.is_file():
        raise RefsimError(
            f"data digits: scikit-learn is installed, but without its images, {file}; install it "
            "again."
        )
    rows = np.loadtxt(file, delimiter=",")
    images, labels = rows[:, :-1], rows[:, -1]
    chosen = np.arange(len(labels)) % 5 == 0
    if part == "train":
        chosen = ~chosen
    return Dataset(f"digits:{part}", images[chosen] / 16.0, None, labels[chosen].astype(np.int64))


def read_arrays(path: Path) -> dict[str, AnyArray]:
    """Return the arrays of a file by name; the array of a file that holds one is called x.

    Raises
    ------
    RefsimError
        Where the file is missing, empty, damaged, or of no known format.
    """
    if not path.is_file():
        raise RefsimError(
            f"data {path}: {'is a folder' if path.is_dir() else 'there is no such file'}."
        )
    if path.stat().st_size == 0:
        raise RefsimError(f"data {path}: is empty.")
    kind = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    try:
        if kind == "npz":
            return _read_npz(path)
        if kind == "npy":
            with open(path, "rb") as file:
                return {"x": np.load(file, allow_pickle=False)}
        if kind == "csv":
            return {
                "x": np.loadtxt(
                    path,
                    delimiter=",",
                    ndmin=2,
                    comments="#",
                    encoding="utf-8-sig",
                    skiprows=_header_rows(path),
                )
            }
        return {"x": _read_idx(path)}
    except RefsimError:
        raise
    except (OSError, ValueError, KeyError, struct.error, MemoryError, *DAMAGED_ARCHIVE) as error:
        reason = first_line(error, 120)
        raise RefsimError(
            f"data {path}: cannot be read as {kind if kind in ('npz', 'npy', 'csv') else 'idx'} "
            f"({reason.rstrip('.')})."
        ) from None


def _read_npz(path: Path) -> dict[str, AnyArray]:
    """Read the arrays of an .npz, if they are not too large when they are unpacked."""
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
        size = sum(info.file_size for info in archive.zip.infolist())
        if size > _LARGEST:
            raise RefsimError(
                f"data {path}: unpacks to {size / 2**30:.0f} GiB; at most {_LARGEST >> 30} GiB "
                "are read. Split it."
            )
        return {name: archive[name] for name in archive.files}


def _header_rows(path: Path) -> int:
    """Return 1 where the first line of a CSV holds names, else 0."""
    with open(path, encoding="utf-8-sig") as file:
        first = file.readline().strip()
    if first.startswith("#"):
        return 0
    numbers = [_is_number(cell) for cell in first.split(",")]
    if not any(numbers) and ";" in first:
        raise RefsimError(
            f"data {path}: is parted by ';', but a CSV file here is parted by commas."
        )
    if any(numbers) and not all(numbers):
        raise RefsimError(
            f"data {path}: line 1 mixes numbers and text, {first[:60]!r}; it must be all names "
            "or all numbers."
        )
    return 0 if any(numbers) else 1


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _read_idx(path: Path) -> AnyArray:
    """Read the idx format of MNIST.

    It has two zero bytes, the type, the number of axes, the sizes in big-endian order, and the
    data.
    """
    with gzip.open(path, "rb") if path.name.endswith(".gz") else open(path, "rb") as file:
        magic = file.read(4)
        if (
            len(magic) < 4
            or magic[:2] != b"\0\0"
            or magic[2] not in _IDX_TYPES
            or not 1 <= magic[3] <= 4
        ):
            raise RefsimError(
                f"data {path}: is neither .npz, .npy nor .csv by its name, nor idx by its first "
                "bytes."
            )
        # The sizes are checked before any memory is taken for them.
        shape = struct.unpack(f">{magic[3]}I", file.read(4 * magic[3]))
        dtype = np.dtype(_IDX_TYPES[magic[2]])
        size = int(np.prod([int(axis) for axis in shape], dtype=object)) * dtype.itemsize
        if size > _LARGEST:
            raise RefsimError(
                f"data {path}: claims {size} bytes of data; at most {_LARGEST >> 30} GiB are read."
            )
        # One byte more shows a file that is too long.
        raw = file.read(size + 1)
    if len(raw) != size:
        raise RefsimError(
            f"data {path}: should hold {size} bytes of data, but holds "
            f"{'more' if len(raw) > size else len(raw)}; it is damaged."
        )
    return np.frombuffer(raw, dtype).reshape(shape)


def _shaped(values: ArrayLike, path: Path) -> Floats:
    """Return the values as (n_samples, n_inputs) or (n_samples, n_steps, n_inputs).

    Images of idx are flattened; an array of three axes is (samples, steps, inputs).
    """
    axes = {2: ("sample", "input"), 3: ("sample", "step", "input")}.get(np.ndim(values), ())
    array = real_array(values, f"data {path}", axes=axes)
    if array.ndim == 1 or array.ndim > 4 or 0 in array.shape:
        raise RefsimError(
            f"data {path}: needs shape (n_samples, n_inputs) or (n_samples, n_steps, n_inputs), "
            f"but has {array.shape}."
        )
    is_image = (
        path.name.removesuffix(".gz").rpartition(".")[2] not in ("npz", "npy", "csv")
        or array.ndim == 4
    )
    return array.reshape(len(array), -1) if is_image else array


def _event_shape(shape: ArrayLike, path: Path) -> Shape:
    """Return the shape that goes with a list of events, as Python's integers."""
    array = np.asarray(shape)
    if array.shape != (3,) or array.dtype.kind not in "iu" or (array < 1).any():
        raise RefsimError(
            f"data {path}: shape must be three whole numbers above 0 (n_samples, n_steps, "
            f"n_inputs), but is {array.tolist()}."
        )
    return int(array[0]), int(array[1]), int(array[2])


def _only_array(found: dict[str, AnyArray], path: Path) -> AnyArray:
    for key in ("y", "x"):
        if key in found:
            return found[key]
    raise RefsimError(f"labels {path}: holds {listed(found)}; needed is y.")


def _labels(values: ArrayLike, n_samples: int, source: object) -> Ints:
    """Check labels: one whole number for each sample; a column or row of numbers will do."""
    array = np.asarray(values)
    array = array.ravel() if array.ndim == 2 and 1 in array.shape else array
    whole = array.dtype.kind in "iu" or (
        array.dtype.kind == "f" and np.isfinite(array).all() and (array == np.rint(array)).all()
    )
    if array.ndim != 1 or not whole:
        raise RefsimError(
            f"labels {source}: must be one whole number a sample, but have dtype {array.dtype} "
            f"and shape {array.shape}."
        )
    if len(array) != n_samples:
        raise RefsimError(
            f"labels {source}: are {len(array)}, but the data has {n_samples} samples."
        )
    labels: Ints = array.astype(np.int64)
    return labels
