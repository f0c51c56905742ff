"""Recordings of NIR (NIRData, as nir 1.0.8 writes it), read without the nir package."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.errors import RefsimError, counted, listed
from ..hdf5 import Tree, read_tree

_WHAT = "spikes"
_OBSERVABLE = "spikes"
_FARTHEST = 2**53  # steps
_OFF = 1e-6  # of a step: how much before its step a time in float64 may lie


def read_nir_data(path: str | Path, dt: float) -> dict[str, object]:
    """Return the recorded spikes of a NIRData file by the name of the node.

    Parameters
    ----------
    path : path
        A file of ``nir.write_data``, a NIRGraphData of nodes; of each node the observable
        ``spikes`` is read.
    dt : float
        Seconds a step of the network that they are compared with.

    Returns
    -------
    dict of str to array or dict
        Dense (n_samples, n_steps, n_neurons), or a dict of arrays sample, step and neuron with
        their shape. A node inside another is named ``outer.inner``.

    Raises
    ------
    RefsimError
        Where h5py is not installed, the file is damaged or no NIRData, it has no spikes, or its
        steps are not the network's.
    """
    where = f"{_WHAT} {path}"
    tree = read_tree(path, _WHAT, attributes=True)
    # A graph without a recording is the likeliest mistake, and gets a hint.
    if tree.get("@__type__") != "NIRGraphData":
        graph = (
            " It is a graph of NIR, a network, and holds no recording." if "node" in tree else ""
        )
        raise RefsimError(f"{where}: is HDF5 without NIRData, which nir.write_data writes.{graph}")
    # Only the spikes are read; other observables are named where there are none.
    nodes = dict(_nodes(tree, where, ""))
    found = {
        name: _spikes(seen[_OBSERVABLE], dt, f"{where}, node '{name}'")
        for name, seen in nodes.items()
        if _OBSERVABLE in seen
    }
    if not found:
        others = listed({key for seen in nodes.values() for key in seen if not key.startswith("@")})
        raise RefsimError(
            f"{where}: has {counted(len(nodes), 'node')} and no '{_OBSERVABLE}' of any; what was "
            f"recorded is {others}."
        )
    return found


def _nodes(tree: Tree, where: str, outer: str) -> Iterator[tuple[str, Tree]]:
    """Yield the name of each node, and what was recorded of it."""
    nodes = tree.get("nodes")
    if not isinstance(nodes, dict):
        raise RefsimError(f"{where}: '{outer or '/'}' is a NIRGraphData without nodes.")
    for name, node in nodes.items():
        if name.startswith("@") or not isinstance(node, dict):
            continue
        if node.get("@__type__") == "NIRGraphData":
            yield from _nodes(node, where, f"{outer}{name}.")
            continue
        seen = node.get("observables")
        if not isinstance(seen, dict):
            raise RefsimError(f"{where}: node '{outer}{name}' has no observables.")
        yield f"{outer}{name}", seen


def _spikes(seen: object, dt: float, where: str) -> object:
    """Return the spikes of a node, whichever way they were recorded."""
    kind = seen.get("@__type__") if isinstance(seen, dict) else None
    if isinstance(seen, dict) and kind == "TimeGriddedData":
        return _gridded(seen, dt, where)
    if isinstance(seen, dict) and kind in ("EventData", "ValuedEventData"):
        return _events(seen, dt, where)
    raise RefsimError(
        f"{where}: its spikes are of kind {kind!r}; read are TimeGriddedData, EventData and "
        "ValuedEventData."
    )


def _gridded(seen: Tree, dt: float, where: str) -> NDArray[np.generic]:
    """Return spikes on the grid of steps, which must be that of the network."""
    data, own = _array(seen, "data", where), _number(seen, "dt", where)
    if data.ndim != 3:
        raise RefsimError(
            f"{where}: its data must be (n_samples, n_time_steps, n_neurons), but have shape "
            f"{data.shape}."
        )
    if not np.isclose(own, dt, rtol=1e-6, atol=0):
        raise RefsimError(
            f"{where}: has steps of {own:g} s, but the network's are {dt:g} s; one of the two is "
            "meant otherwise."
        )
    return data


def _events(seen: Tree, dt: float, where: str) -> dict[str, object]:
    """Return padded lists of events as columns; an index of -1 stands for no event."""
    index, time = _array(seen, "idx", where), _array(seen, "time", where)
    n_neurons, length = _number(seen, "n_neurons", where), _number(seen, "t_max", where)
    if index.ndim != 2 or index.shape != time.shape or index.dtype.kind not in "iu":
        raise RefsimError(
            f"{where}: idx must be whole numbers (n_samples, n_events), and time as many times, "
            f"but they have shapes {index.shape} and {time.shape}."
        )
    # Times become steps only once all of them are known to be finite.
    sample, place = np.nonzero(index != -1)
    when = time[sample, place].astype(np.float64) / dt
    if not (np.abs(when) < _FARTHEST).all() or not length / dt < _FARTHEST:
        raise RefsimError(
            f"{where}: an event of a neuron has no time, or t_max is none that can be; of what "
            "is no event the index is -1."
        )
    if "value" in seen and (_array(seen, "value", where)[sample, place] != 1).any():
        raise RefsimError(
            f"{where}: its events have values other than 1; spikes are told by their times alone "
            "here."
        )
    steps = np.floor(when + _OFF).astype(np.int64)
    shape = (len(index), int(np.rint(length / dt)), int(n_neurons))
    return {
        "sample": sample.astype(np.int64),
        "step": steps,
        "neuron": index[sample, place].astype(np.int64),
        "shape": shape,
    }


def _array(seen: Tree, name: str, where: str) -> NDArray[np.generic]:
    found = seen.get(name)
    if not isinstance(found, np.ndarray):
        raise RefsimError(f"{where}: its spikes have no numbers '{name}'.")
    return found


def _number(seen: Tree, name: str, where: str) -> float:
    found = seen.get(f"@{name}")
    value = float(found) if isinstance(found, np.ndarray) else 0.0
    if not np.isfinite(value) or value <= 0:
        raise RefsimError(f"{where}: its spikes say no {name} above 0.")
    return value
