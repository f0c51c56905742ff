"""A Recording of one's own spikes: of one, some or all layers. What nobody recorded runs freely."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..axes import USUAL, Axes
from ..connection import DRIVE
from ..drive import Drive
from ..engines.following import Known, follow
from ..errors import RefsimError, counted, listed
from ..network import Network
from ..recording import Recording, check_run, make_provenance, output_trace
from ..rounding.bounded import UNIT_ROUNDOFF
from ..spikes import SpikeTrains
from .taken import Taken, by_layer, known_from, take

_WHERE = "recorded"


def known_of(trial: Recording) -> dict[int, Known]:
    """Return what is known of each layer of a run that `as_recording` made; of any other run all is."""
    layers = trial.provenance.get("recorded_layers", range(len(trial.network.layers)))
    late = {int(index): np.asarray(each, np.int64) for index, each in trial.provenance.get("delay", {}).items()}
    names = {index: output_trace(trial.network.layers[index]) for index in layers}
    return {index: known_from(trial.spikes[index], trial.traces[index].get(names[index]), late.get(index)) for index in layers}


def recorded(
    network: Network,
    drive: Drive,
    spikes: Any,
    *,
    traces: Any = None,
    axes: str | None = USUAL,
    dtype: str = "float32",
    label: str = "recorded",
) -> Recording:
    """Make a recording of spikes of one's own, to be held against a run: ``compare(reference, recorded(...))``.

    Parameters
    ----------
    network : Network
    drive : Drive
        What the network was given when it was recorded.
    spikes : list with an entry a layer, dict by a layer's name or number, or one array of the last layer
        Each entry a dense array (n_samples, n_steps, n_neurons) of 0 and 1, rows of (sample, step, neuron), a dict of
        arrays sample, step and neuron, or None for a layer that was not recorded. Of a layer whose output is its
        membrane, or what its spikes carry, the numbers themselves.
    traces : the same, of dicts of (n_samples, n_steps, n_neurons), optional
        ``"before_reset"``, what the threshold saw, and ``"after_reset"``.
    axes : str or None
        What the axes of dense arrays are, or the columns of rows: ``"step, sample, neuron"`` where time comes first.
        Axes of channels, rows and columns together are the neurons. None: whatever fits.
    dtype : {"float32", "float64", "float16", "bfloat16"}
        In which the recorded network computed; its rounding is allowed for.
    label : str
        The run's name in a report.

    Returns
    -------
    Recording
        ``provenance["recorded_layers"]`` names the layers that were recorded; the others hold what they fire on what the
        recorded ones sent.

    Raises
    ------
    RefsimError
        Where spikes do not fit the network, or nothing was recorded.
    """
    if not isinstance(network, Network) or not isinstance(drive, Drive):
        raise RefsimError(f"{_WHERE}: needs a network and the drive that it was given, then its spikes.")
    check_run(network, drive, ())
    taken = take(by_layer(spikes, network, _WHERE), network, drive, axes, _WHERE)
    own = {} if traces is None else by_layer(traces, network, f"{_WHERE}: traces")
    made = as_recording(taken, network, drive, dtype, label)
    kept = tuple({**each, **_traces(own.get(index), taken, index, axes, made)} for index, each in enumerate(made.traces))
    return replace(made, traces=kept)


def as_recording(taken: Taken, network: Network, drive: Drive, dtype: str, label: str, reference: Recording | None = None) -> Recording:
    """Return what was recorded as a run, and fill what was not.

    Parameters
    ----------
    reference : Recording, optional
        A run of the same network and drive, which fills the samples of which all that was recorded is its own.
    """
    if dtype not in UNIT_ROUNDOFF:
        raise RefsimError(f"{_WHERE}: dtype must be one of {listed(UNIT_ROUNDOFF)}, but is {dtype!r}.")
    known = taken.known()
    fired = fill(known, network, drive, reference)
    trains = tuple(SpikeTrains.from_dense(each, network.dt) for each in fired)
    traces = tuple(_output(taken, index, network, reference) for index in range(len(network.layers)))
    facts = {
        "engine": "recorded", "mode": "grid", "dtype": dtype, "recorded_layers": taken.layers,
        "axes": {str(index): each.axes for index, each in sorted(taken.rasters.items())},
        "delay": {str(index): np.unique(each).tolist() if len(np.unique(each)) == 1 else each.tolist() for index, each in sorted(taken.late.items())},
        "module": _told(taken, len(network.layers)),
    }  # fmt: skip
    return Recording(network, drive, trains, traces, (), make_provenance(label, network, drive, **facts))


def fill(known: Mapping[int, Known], network: Network, drive: Drive, reference: Recording | None) -> list[NDArray[np.bool_]]:
    """Return the spikes of all layers: those that are known, and those that the others fire on what the known ones sent."""
    if len(known) == len(network.layers) and all(each.seen is None for each in known.values()):
        return [known[index].fired for index in range(len(network.layers))]
    if reference is None:
        return follow(network, drive, known)
    fired = [train.dense() for train in reference.spikes]
    if not _hear_of_known(network, known):
        for index, each in known.items():
            fired[index] = each.fired
        return fired
    differ = np.flatnonzero([any(unlike(each, fired[index])[sample].any() for index, each in known.items()) for sample in range(drive.n_samples)])
    if len(differ):
        part = {index: Known(each.fired[differ], each.seen, None if each.carried is None else each.carried[differ]) for index, each in known.items()}
        for index, again in enumerate(follow(network, drive, part, differ)):
            fired[index][differ] = again
    return fired


def unlike(known: Known, fired: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where a run fires otherwise than was recorded, (n_samples, n_steps, n_neurons)."""
    differs: NDArray[np.bool_] = known.fired != fired
    return differs if known.seen is None else differs & known.seen


def _hear_of_known(network: Network, known: Mapping[int, Known]) -> bool:
    """Return whether what is not known hangs on what is."""
    if any(each.seen is not None for each in known.values()):
        return True
    heard = {index: upstream(network, index) for index in range(len(network.layers)) if index not in known}
    return any(sources & set(known) for sources in heard.values())


def upstream(network: Network, layer: int) -> set[int]:
    """Return the layers that a layer hears of, directly or by way of others; itself where it is in a loop."""
    found: set[int] = set()
    ahead = [layer]
    while ahead:
        for source in network.layers[ahead.pop()].sources:
            if source.layer != DRIVE and source.layer not in found:
                found.add(source.layer)
                ahead.append(source.layer)
    return found


def _output(taken: Taken, index: int, network: Network, reference: Recording | None) -> dict[str, NDArray[Any]]:
    """Return the trace that is a layer's output, where it has one."""
    wanted = output_trace(network.layers[index])
    if not wanted:
        return {}
    if index in taken.rasters:
        values = taken.rasters[index].values
        return {} if values is None else {wanted: values}
    return {} if reference is None or wanted not in reference.traces[index] else {wanted: reference.traces[index][wanted]}


def _told(taken: Taken, count: int) -> str:
    """Say what was recorded, for people."""
    spikes = ", ".join(f"{counted(len(each.train), 'spike')} in layer {index}" for index, each in sorted(taken.rasters.items()))
    free = [index for index in range(count) if index not in taken.rasters]
    if not free:
        return spikes
    which, many = f"layer{'s' * (len(free) > 1)} {listed(free)}", len(free) > 1
    return f"{spikes}; {which} {'were' if many else 'was'} not recorded, and {'run' if many else 'runs'} freely"


def _traces(given: Any, taken: Taken, index: int, axes: str | None, made: Recording) -> dict[str, NDArray[Any]]:
    """Return the traces that were given of one layer."""
    if given is None:
        return {}
    where = f"{_WHERE}: traces, layer {index}"
    if not isinstance(given, Mapping) or set(given) - {"before_reset", "after_reset", "payload"}:
        raise RefsimError(f"{where}: must be a dict of before_reset or after_reset, each {USUAL}.")
    said = taken.rasters[index].axes if index in taken.rasters else axes or USUAL
    order = Axes.of(said if axes is None and "," in said else axes or USUAL, where)
    shape = made.spikes[index].n_samples, made.spikes[index].n_steps, made.spikes[index].n_neurons
    found = {}
    for name, values in given.items():
        array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
        if array.dtype.kind not in "fiub" or not order.fits(array.shape, shape):
            raise RefsimError(
                f"{where}: {name} must be numbers of {order.text}, (samples, steps, neurons) {shape}, but has dtype {array.dtype} and shape {array.shape}."
            )
        found[name] = order.dense(array, shape).astype(np.float64)
    return found
