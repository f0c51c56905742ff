"""Read recorded spikes from arrays and files: dense arrays, lists of rows, and SLAYER's lists.

`raster` finds out how an array is to be read and checks that it holds spikes. `read_event_rows`
reads a list of spikes as the input of a network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import (
    USUAL,
    AnyArray,
    Axes,
    Ints,
    Shape,
    dense_orders,
    real_array,
    row_orders,
)
from ..core.errors import RefsimError, counted
from ..core.spikes import SpikeTrains
from .data import Dataset, read_arrays, read_labels
from .network import Layer
from .recording import output_trace

_EVENTS = {"sample", "step", "neuron"}
_FORMS = (
    f"a dense array ({USUAL}) in any order of its axes, rows of (sample, step, neuron), of "
    "(step, neuron) for one sample, "
    "or of SLAYER's (neuron, channel, time in steps)"
)


@dataclass(frozen=True, eq=False)
class Raster:
    """What one layer was recorded to do.

    Attributes
    ----------
    train : SpikeTrains
    values : (n_samples, n_steps, n_neurons) or None
        What spikes carry, or the membrane of a readout, in a layer whose output that is.
    axes : str
        How the array was read.
    others : tuple of str
        How else it could have been read, with other spikes as the result.
    """

    train: SpikeTrains
    values: AnyArray | None
    axes: str
    others: tuple[str, ...] = ()


def read_rasters(source: str | Path) -> dict[str, Any]:
    """Return the recorded arrays of ``.npy``, ``.npz`` or ``.csv`` by the name of the layer.

    An array without a name is called x.

    Raises
    ------
    RefsimError
        Where the file is missing, damaged, or holds no array.
    """
    try:
        found = read_arrays(Path(source))
    except RefsimError as error:
        raise RefsimError(f"spikes {str(error).removeprefix('data ')}") from None
    return {"x": found} if set(found) - {"shape"} == _EVENTS else found


def raster(
    given: Any, layer: Layer, shape: Shape, dt: float, axes: str | None, where: str
) -> Raster:
    """Return what a layer was recorded to do.

    Parameters
    ----------
    given : SpikeTrains, array, or dict of arrays sample, step and neuron
        An array is a dense one of 0 and 1, or rows of spikes. Of a layer whose output is another,
        it is dense and holds the numbers themselves.
    layer : Layer
    shape : (n_samples, n_steps, n_neurons)
    dt : float
        Seconds a step.
    axes : str or None
        Names of its axes, or of the columns of its rows. None: what fits, the usual order first.

    Raises
    ------
    RefsimError
        Where the array does not have the shape, or does not hold spikes.
    """
    if isinstance(given, SpikeTrains):
        return Raster(_of_shape(given, shape, where), None, "spike trains")
    if isinstance(given, Mapping):
        return Raster(_events(given, shape, dt, where), None, "events")
    array = _numbers(given, where)
    # A dense reading counts before a list; all others that fit are named beside it.
    dense, rows = _readings(array, shape, axes, where)
    if dense:
        values = dense[0].dense(array, shape)
        others = tuple(axes.text for axes in (*dense[1:], *_possible(array, rows, shape, dt)))
        return _dense(values, layer, dt, dense[0].text, others, where)
    return _list(array, rows, shape, dt, where)


def _of_shape(train: SpikeTrains, shape: Shape, where: str) -> SpikeTrains:
    """Return spike trains, if they are of this shape."""
    if (found := (train.n_samples, train.n_steps, train.n_neurons)) != shape:
        raise RefsimError(
            f"{where}: is of shape {found}, but the run has (samples, steps, neurons) {shape}."
        )
    return train


def _events(given: Mapping[str, Any], shape: Shape, dt: float, where: str) -> SpikeTrains:
    """Return the spikes of arrays sample, step and neuron, and perhaps shape."""
    if missing := _EVENTS - set(given):
        raise RefsimError(
            f"{where}: is a list of spikes without {', '.join(sorted(missing))}; needed are "
            "sample, step and neuron of each."
        )
    if "shape" in given and tuple(np.ravel(given["shape"]).tolist()) != shape:
        raise RefsimError(
            f"{where}: is of shape {np.ravel(given['shape']).tolist()}, but the run has "
            f"(samples, steps, neurons) {shape}."
        )
    return SpikeTrains.from_events(
        given["sample"], given["step"], given["neuron"], *shape, dt, where=where
    )


def _numbers(given: Any, where: str) -> AnyArray:
    """Return an array of any real dtype; NaN and infinity are refused later, with their place."""
    try:
        values = given.detach().cpu() if hasattr(given, "detach") else given
        array = np.asarray(
            values.double() if hasattr(values, "double") and values.is_floating_point() else values
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise RefsimError(f"{where}: is not an array ({error}).") from None
    if array.dtype.kind not in "fiub":
        raise RefsimError(
            f"{where}: must hold 0 and 1, or whole numbers, but has dtype {array.dtype}; needed "
            f"is {_FORMS}."
        )
    return array


def _readings(
    array: AnyArray, shape: Shape, given: str | None, where: str
) -> tuple[list[Axes], list[Axes]]:
    """Return the axes with which an array can be dense, and those with which it can be a list."""
    if given is None:
        dense, rows = dense_orders(array, shape), row_orders(array, shape)
    else:
        axes = Axes.of(given, where)
        list_like = (
            array.ndim == 2
            and array.shape[1] == len(axes.names)
            and {"step", "neuron"} <= set(axes.names)
        )
        dense = [axes] if axes.fits(array.shape, shape) else []
        rows = (
            [axes] if list_like and not dense and (shape[0] == 1 or "sample" in axes.names) else []
        )
    if dense or rows:
        return dense, rows
    raise RefsimError(
        f"{where}: has shape {array.shape}, but the run has (samples, steps, neurons) {shape}; "
        f"{_cure(array, shape, given)}"
    )


def _cure(array: AnyArray, shape: Shape, given: str | None) -> str:
    """Say what would make an array fit.

    Parameters
    ----------
    given : str or None
        The axes that the user named.
    """
    if given is not None and (fit := [*dense_orders(array, shape), *row_orders(array, shape)]):
        return f"as '{given}' it does not fit, but as '{fit[0].text}' it would."
    # Where one size alone is wrong, its axis says what happened.
    if array.ndim == 3:
        off = [index for index in range(3) if array.shape[index] != shape[index]]
        cures = (
            f"give the run the {counted(array.shape[0], 'sample')} that were recorded, or record "
            "all",
            (
                f"give the run the {counted(array.shape[1], 'step')} that were recorded, or cut "
                "off "
                "what was recorded before the first or after the last"
            ),
            (
                "is it of another layer? A file of several layers is an .npz with an array a "
                "layer, "
                "by its name or number"
            ),
        )
        if len(off) == 1:
            return f"{cures[off[0]]}."
    if array.shape in (shape[1:], shape[:0:-1]) and shape[0] > 1:
        return f"it is one sample of the {shape[0]:,}; record all, or give the run the one alone."
    if array.ndim == 2 and array.shape[1] == 2 and shape[0] > 1:
        return (
            "rows of (step, neuron) are for one sample; for several, give rows of (sample, "
            "step, neuron)."
        )
    return f"needed is {_FORMS}."


def _possible(array: AnyArray, rows: list[Axes], shape: Shape, dt: float) -> list[Axes]:
    """Return the axes with which an array can be read as a list of spikes of this shape."""
    return [axes for axes in rows if _try_rows(array, axes, shape, dt) is not None]


def _try_rows(array: AnyArray, axes: Axes, shape: Shape, dt: float) -> SpikeTrains | None:
    """Return the spikes of rows read with these columns; None where they are not such a list."""
    try:
        return _train(array, axes, shape, dt, "rows")
    except RefsimError:
        return None


def _list(array: AnyArray, rows: list[Axes], shape: Shape, dt: float, where: str) -> Raster:
    """Read rows of spikes with the first columns that they can have.

    Where none fits, the error is that of the usual columns.
    """
    found: list[tuple[Axes, SpikeTrains]] = []
    # Columns that give the same spikes are one reading.
    for axes in rows:
        train = _try_rows(array, axes, shape, dt)
        if train is not None and not any(
            np.array_equal(train.code, other.code) for _, other in found
        ):
            found.append((axes, train))
    if not found:
        return Raster(_train(array, rows[0], shape, dt, where), None, rows[0].text)
    (axes, train), others = found[0], found[1:]
    return Raster(train, None, _as_rows(axes), tuple(_as_rows(other) for other, _ in others))


def _as_rows(axes: Axes) -> str:
    return axes.text if axes.rows else f"rows of {axes.text}"


def _train(array: AnyArray, axes: Axes, shape: Shape, dt: float, where: str) -> SpikeTrains:
    """Return the spikes of rows of numbers, whose columns are named by the axes."""
    array = real_array(array, where)
    columns = dict(zip(axes.names, array.T, strict=True))
    # SLAYER's rows have a channel, and times that are rounded to steps.
    slayer = "channel" in columns
    if slayer and columns["channel"].any():
        raise RefsimError(
            f"{where}: has spikes in channel {columns['channel'].max():g}; only one channel, 0, "
            "is read. Number the neurons through."
        )
    if slayer:
        columns["step"] = np.round(columns["step"])
    whole = [
        _whole(columns.get(name, np.zeros(len(array))), name, where)
        for name in ("sample", "step", "neuron")
    ]
    rows = np.stack(whole, axis=1)
    rows = np.unique(rows, axis=0) if slayer else rows  # two times in one step are one spike
    return SpikeTrains.from_events(rows[:, 0], rows[:, 1], rows[:, 2], *shape, dt, where=where)


def _whole(column: AnyArray, name: str, where: str) -> Ints:
    if (column != np.rint(column)).any() or (np.abs(column) > 2**53).any():
        raise RefsimError(
            f"{where}: {name} must be whole numbers; times are turned into steps first."
        )
    return column.astype(np.int64)


def _dense(
    values: AnyArray, layer: Layer, dt: float, axes: str, others: tuple[str, ...], where: str
) -> Raster:
    """Return the spikes of a dense array, and its numbers where those are the layer's output."""
    _check_finite(values, where)
    if layer.model.discrete.readout:
        return Raster(
            SpikeTrains.from_dense(np.zeros(values.shape, bool), dt), values, axes, others
        )
    if not output_trace(layer):
        _check_binary(values, where)
    carried = values if output_trace(layer) and values.dtype != bool else None
    return Raster(SpikeTrains.from_dense(values != 0, dt), carried, axes, others)


def _check_finite(values: AnyArray, where: str) -> None:
    if values.dtype.kind == "f" and (wrong := ~np.isfinite(values)).any():
        raise RefsimError(
            f"{where}: {int(wrong.sum())} of {values.size} numbers are NaN or infinite, the "
            f"first at {_first(wrong)}."
        )


def _check_binary(values: AnyArray, where: str) -> None:
    """Refuse an array that holds more than 0 and 1, and say what it seems to be."""
    wrong = (values != 0) & (values != 1)
    if not wrong.any():
        return
    found, at = np.unique(values[values != 0]), f"{float(values[wrong][0]):g} at {_first(wrong)}"
    if len(found) == 1:
        seems = f"spikes of size {float(found[0]):g}; divide by it"
    elif values.min() >= 0 and (values == np.rint(values)).all():
        seems = (
            "counts of spikes; a neuron of this network fires at most once a step, so record "
            "every step by itself"
        )
    else:
        seems = "membranes or rates; record the spikes themselves"
    raise RefsimError(f"{where}: must hold 0 and 1, but has {at}. These seem to be {seems}.")


def _first(wrong: NDArray[np.bool_]) -> str:
    sample, step, neuron = (int(place) for place in np.argwhere(wrong)[0])
    return f"sample {sample}, step {step}, neuron {neuron}"


def read_event_rows(
    source: str | Path, labels: str | Path | None, n_steps: int | None, n_inputs: int
) -> Dataset:
    """Read a list of (neuron, channel, time in steps) or (step, neuron) as the input of one sample.

    Times are rounded to the nearest step; several spikes of a neuron in one step are one spike.

    Parameters
    ----------
    n_steps : int
        How many steps to run, since a list has no end.
    n_inputs : int
        The inputs of the network.
    """
    where = f"data {source}"
    if n_steps is None:
        raise RefsimError(
            f"{where}: is a list of spikes, which has no end; say how many steps to run, --steps T."
        )
    found = read_arrays(Path(source))
    array = real_array(found["x"], where) if set(found) == {"x"} else np.zeros(0)
    if array.ndim != 2 or array.shape[1] not in (2, 3):
        raise RefsimError(
            f"{where}: --encoder events needs rows of (step, neuron), or of (neuron, channel, "
            f"time in steps), but has shape {array.shape}."
        )
    shape = (1, n_steps, n_inputs)
    train = _train(array, row_orders(array, shape)[0], shape, 1.0, where)
    events = {"sample": train.sample, "step": train.step, "neuron": train.neuron, "shape": shape}
    return Dataset(
        Path(source).name, None, events, None if labels is None else read_labels(labels, 1)
    )
