"""Spikes from files: dense arrays, lists of (step, neuron), and SLAYER's lists of (neuron, channel, time)."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import Ints, real_array
from .data import Dataset, read_arrays, read_labels
from .errors import RefsimError
from .spikes import SpikeTrains

_FORMS = "(n_samples, n_steps, n_neurons) or (n_steps, n_neurons) of 0 and 1, rows of (step, neuron), or rows of (neuron, channel, time in steps)"


def read_raster(source: str | Path, shape: tuple[int, int, int], dt: float) -> SpikeTrains:
    """Read spikes for a comparison.

    Parameters
    ----------
    source : path
        ``.npy``, ``.npz`` or ``.csv``: dense, or rows for one sample; or events ``sample, step, neuron, shape``.
    shape : (n_samples, n_steps, n_neurons)
        Of what they are compared with.
    dt : float
        Seconds a step.

    Raises
    ------
    RefsimError
        Where the spikes do not fit the shape.
    """
    where, found = f"spikes {source}", read_arrays(Path(source))
    if {"sample", "step", "neuron", "shape"} <= set(found):
        if tuple(np.ravel(found["shape"]).tolist()) != shape:
            raise RefsimError(f"{where}: are of shape {np.ravel(found['shape']).tolist()}, but the run has (samples, steps, neurons) {shape}.")
        return SpikeTrains.from_events(found["sample"], found["step"], found["neuron"], *shape, dt, where=where)
    if set(found) != {"x"}:
        raise RefsimError(f"{where}: needs one array, {_FORMS}.")
    array = real_array(found["x"], where)
    dense = array[None] if array.shape == shape[1:] else array
    if dense.shape == shape:
        if not np.isin(dense, (0.0, 1.0)).all():
            raise RefsimError(f"{where}: a dense array must hold 0 and 1, but reaches from {dense.min():g} to {dense.max():g}.")
        return SpikeTrains.from_dense(dense > 0, dt)
    if array.ndim != 2 or array.shape[1] not in (2, 3) or shape[0] != 1:
        raise RefsimError(f"{where}: has shape {array.shape}, but the run has (samples, steps, neurons) {shape}; needed are {_FORMS}, rows for one sample.")
    step, neuron = _rows(array, where)
    return SpikeTrains.from_events(np.zeros_like(step), step, neuron, *shape, dt, where=where)


def read_event_rows(source: str | Path, labels: str | Path | None, n_steps: int | None, n_inputs: int) -> Dataset:
    """Read a list of (neuron, channel, time in steps), or (step, neuron), as the input of one sample.

    Times are rounded to the nearest step; what falls into one step of one neuron is one spike.
    """
    where = f"data {source}"
    if n_steps is None:
        raise RefsimError(f"{where}: is a list of spikes, which has no end; say how many steps to run, --steps T.")
    found = read_arrays(Path(source))
    array = real_array(found["x"], where) if set(found) == {"x"} else np.zeros(0)
    if array.ndim != 2 or array.shape[1] not in (2, 3):
        raise RefsimError(f"{where}: --encoder events needs rows of (step, neuron), or of (neuron, channel, time in steps), but has shape {array.shape}.")
    step, neuron = _rows(array, where)
    shape = (1, n_steps, n_inputs)
    SpikeTrains.from_events(np.zeros_like(step), step, neuron, *shape, 1.0, where=where)
    events = {"sample": np.zeros_like(step), "step": step, "neuron": neuron, "shape": shape}
    return Dataset(Path(source).name, None, events, None if labels is None else read_labels(labels, 1))


def _rows(array: NDArray[Any], where: str) -> tuple[Ints, Ints]:
    """Return step and neuron of each spike; two times in one step are one spike."""
    if array.shape[1] == 3 and array[:, 1].any():
        raise RefsimError(f"{where}: has spikes in channel {array[:, 1].max():g}; only one channel, 0, is read. Number the neurons through.")
    step, neuron = (array[:, 0], array[:, 1]) if array.shape[1] == 2 else (np.round(array[:, 2]), array[:, 0])
    for name, column in (("step", step), ("neuron", neuron)):
        if (column != np.rint(column)).any() or (np.abs(column) > 2**53).any():
            raise RefsimError(f"{where}: {name} must be whole numbers.")
    pairs = np.stack([step, neuron], axis=1).astype(np.int64)
    pairs = np.unique(pairs, axis=0) if array.shape[1] == 3 else pairs
    return pairs[:, 0], pairs[:, 1]
