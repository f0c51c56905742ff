"""What was recorded of a network, layer by layer.

Which array is of which layer, and when its spikes were fired.

A Recording of one's own spikes: of one, some or all layers. What nobody recorded runs freely.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import USUAL, Axes, Ints
from ..core.errors import RefsimError, counted, listed, option
from ..core.spikes import SpikeTrains
from ..engines.following import Known, follow
from ..networks.connection import DRIVE
from ..networks.drive import Drive
from ..networks.network import Network
from ..networks.rasters import Raster, raster
from ..networks.recording import Recording, check_run, make_provenance, output_trace
from .bounded import UNIT_ROUNDOFF

UNNAMED = "x"  # an array without a name is of the last layer
_EVENTS = {"sample", "step", "neuron"}


@dataclass(frozen=True, eq=False)
class Taken:
    """What was recorded, layer by layer, as it was read.

    Attributes
    ----------
    rasters : dict of int to Raster
    late : dict of int to (1,) or (n,) int64
        Steps by which a layer's spikes were recorded later than they are fired; in the rasters they
        are where they are fired. Of the last so many steps nothing is known then.
    early : dict of int to int
        Spikes that were recorded before the first can have come; they are in no raster.
    """

    rasters: Mapping[int, Raster]
    late: Mapping[int, Ints] = field(default_factory=dict)
    early: Mapping[int, int] = field(default_factory=dict)

    @property
    def layers(self) -> list[int]:
        """The layers that were recorded."""
        return sorted(self.rasters)

    def known(self) -> dict[int, Known]:
        """Return what is known of each layer, with where it was seen."""
        return {
            index: known_from(each.train, each.values, self.late.get(index))
            for index, each in self.rasters.items()
        }

    def sooner(self, late: Mapping[int, Ints]) -> "Taken":
        """Return the same with layers whose spikes were recorded some steps late put to where they
        are fired.
        """
        moved = {
            index: _sooner(each, late[index])
            for index, each in self.rasters.items()
            if index in late and late[index].any()
        }
        rasters = {
            index: moved[index][0] if index in moved else each
            for index, each in self.rasters.items()
        }
        return Taken(
            rasters,
            {index: late[index] for index in moved},
            {index: each[1] for index, each in moved.items() if each[1]},
        )


def known_from(train: SpikeTrains, values: NDArray[Any] | None, late: Ints | None) -> Known:
    """Return what is known of a layer that was recorded `late` steps after it fired.

    Of so many steps at its end, nothing.
    """
    if late is None or not late.any():
        return Known(train.dense(), None, values)
    steps = np.arange(train.n_steps)[:, None]
    return Known(
        train.dense(), steps < train.n_steps - np.broadcast_to(late, train.n_neurons), values
    )


def _sooner(each: Raster, late: Ints) -> tuple[Raster, int]:
    """Return a raster whose spikes lie `late` steps sooner, and how many of them would lie before
    the first step.
    """
    train, by = each.train, np.broadcast_to(late, each.train.n_neurons)
    step = train.step - by[train.neuron]
    keep = step >= 0
    moved = SpikeTrains.from_events(
        train.sample[keep],
        step[keep],
        train.neuron[keep],
        train.n_samples,
        train.n_steps,
        train.n_neurons,
        train.dt,
    )
    return Raster(
        moved,
        None if each.values is None else _values_sooner(each.values, by),
        each.axes,
        each.others,
    ), int((~keep).sum())


def _values_sooner(values: NDArray[Any], by: Ints) -> NDArray[Any]:
    moved = np.zeros_like(values)
    for neuron, lag in enumerate(by):
        moved[:, : values.shape[1] - lag, neuron] = values[:, lag:, neuron]
    return moved


def take(
    given: Mapping[int, Any], network: Network, drive: Drive, axes: str | None, where: str
) -> Taken:
    """Read what was recorded of each layer."""
    rasters = {}
    for index, each in sorted(given.items()):
        layer = network.layers[index]
        shape = (drive.n_samples, drive.n_steps, layer.n_post)
        rasters[index] = raster(each, layer, shape, network.dt, axes, f"{where}, layer {index}")
    return Taken(rasters)


def by_layer(given: Any, network: Network, where: str) -> dict[int, Any]:
    """Return what was given by the number of its layer.

    Raises
    ------
    RefsimError
        Where a name is none of the network's, or nothing was given.
    """
    if isinstance(given, Mapping) and not _EVENTS.issubset(given):
        named: dict[int, Any] = {}
        for name, each in given.items():
            index = layer_named(name, network, where, whole=len(given) == len(network.layers))
            if index in named:
                raise RefsimError(
                    f"{where}: layer {index} is given twice, the second time as {name!r}."
                )
            named[index] = each
    elif isinstance(given, list | tuple):
        if len(given) != len(network.layers):
            raise RefsimError(
                f"{where}: needs a list with an entry for each of the "
                f"{counted(len(network.layers), 'layer')}, None where it was not recorded, but "
                f"has {len(given)}; "
                "one array by itself, or a dict by layer, may be given too."
            )
        named = dict(enumerate(given))
    else:
        named = {len(network.layers) - 1: given}
    found = {index: each for index, each in named.items() if each is not None}
    if not found:
        raise RefsimError(f"{where}: no layer was recorded; give the spikes of one at least.")
    return found


def layer_named(name: object, network: Network, where: str, *, whole: bool = False) -> int:
    """Return the number of a layer from its name or number; ``x`` is the last.

    Parameters
    ----------
    whole : bool
        Whether all are named; NumPy's names for arrays without any, ``arr_0``, then count the
        layers.
    """
    count, text = len(network.layers), str(name).strip()
    for index, layer in enumerate(network.layers):
        if text and text in (layer.name, layer.name.strip("'\"")):
            return index
    if text == UNNAMED:
        return count - 1
    number = text.removeprefix("arr_") if whole else text
    for prefix in ("layers.", "layer", "_", "."):
        number = number.removeprefix(prefix).strip()
    if (number.isascii() and number.isdigit() and int(number) < count) or number == "-1":
        return int(number) % count
    names = [layer.name.strip("'\"") for layer in network.layers]
    told = (
        "" if names == [f"layer {index}" for index in range(count)] else f", or {', '.join(names)}"
    )
    raise RefsimError(
        f"{where}: {text!r} is no layer of this network; its layers are "
        f"{', '.join(map(str, range(count)))}{told}. "
        "Name each array by its layer, numpy.savez(file, **{'0': ..., '1': ...}); an array x is "
        "of the last one."
    )


def told_axes(taken: Taken, name: str) -> list[str]:
    """Say how arrays were read where that is not the usual way, or not the only one."""
    lines = []
    for index, each in sorted(taken.rasters.items()):
        if each.others:
            other = option("expected_axes", each.others[0])
            lines.append(
                f"{name}, layer {index}: read as {each.axes}; it fits "
                f"{' and '.join(each.others)} too, which {other} would say"
            )
        elif each.axes not in (USUAL, "step, neuron", "spike trains", "events"):
            lines.append(f"{name}, layer {index}: read as {each.axes}, which is what fits")
    return lines


_WHERE = "recorded"


def known_of(trial: Recording) -> dict[int, Known]:
    """Return what is known of each layer of a run that `as_recording` made.

    Of any other run all is.
    """
    layers = trial.provenance.get("recorded_layers", range(len(trial.network.layers)))
    late = {
        int(index): np.asarray(each, np.int64)
        for index, each in trial.provenance.get("delay", {}).items()
    }
    names = {index: output_trace(trial.network.layers[index]) for index in layers}
    return {
        index: known_from(
            trial.spikes[index], trial.traces[index].get(names[index]), late.get(index)
        )
        for index in layers
    }


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
    """Make a recording of spikes of one's own, to be held against a run.

    ``compare(reference, recorded(...))``.

    Parameters
    ----------
    network : Network
    drive : Drive
        What the network was given when it was recorded.
    spikes : list with an entry a layer, dict by a layer's name or number, or one array of the last
    layer
        Each entry a dense array (n_samples, n_steps, n_neurons) of 0 and 1, rows of (sample, step,
        neuron), a dict of arrays sample, step and neuron, or None for a layer that was not
        recorded. Of a layer whose output is its membrane, or what its spikes carry, the numbers
        themselves.
    traces : the same, of dicts of (n_samples, n_steps, n_neurons), optional
        ``"before_reset"``, what the threshold saw, and ``"after_reset"``.
    axes : str or None
        What the axes of dense arrays are, or the columns of rows: ``"step, sample, neuron"`` where
        time comes first. Axes of channels, rows and columns together are the neurons. None:
        whatever fits.
    dtype : {"float32", "float64", "float16", "bfloat16"}
        In which the recorded network computed; its rounding is allowed for.
    label : str
        The run's name in a report.

    Returns
    -------
    Recording
        ``provenance["recorded_layers"]`` names the layers that were recorded; the others hold what
        they fire on what the recorded ones sent.

    Raises
    ------
    RefsimError
        Where spikes do not fit the network, or nothing was recorded.
    """
    if not isinstance(network, Network) or not isinstance(drive, Drive):
        raise RefsimError(
            f"{_WHERE}: needs a network and the drive that it was given, then its spikes."
        )
    check_run(network, drive, ())
    taken = take(by_layer(spikes, network, _WHERE), network, drive, axes, _WHERE)
    own = {} if traces is None else by_layer(traces, network, f"{_WHERE}: traces")
    made = as_recording(taken, network, drive, dtype, label)
    kept = tuple(
        {**each, **_traces(own.get(index), taken, index, axes, made)}
        for index, each in enumerate(made.traces)
    )
    return replace(made, traces=kept)


def as_recording(
    taken: Taken,
    network: Network,
    drive: Drive,
    dtype: str,
    label: str,
    reference: Recording | None = None,
) -> Recording:
    """Return what was recorded as a run, and fill what was not.

    Parameters
    ----------
    reference : Recording, optional
        A run of the same network and drive, which fills the samples of which all that was recorded
        is its own.
    """
    if dtype not in UNIT_ROUNDOFF:
        raise RefsimError(
            f"{_WHERE}: dtype must be one of {listed(UNIT_ROUNDOFF)}, but is {dtype!r}."
        )
    known = taken.known()
    fired = fill(known, network, drive, reference)
    trains = tuple(SpikeTrains.from_dense(each, network.dt) for each in fired)
    traces = tuple(
        _output(taken, index, network, reference) for index in range(len(network.layers))
    )
    facts = {
        "engine": "recorded",
        "mode": "grid",
        "dtype": dtype,
        "recorded_layers": taken.layers,
        "axes": {str(index): each.axes for index, each in sorted(taken.rasters.items())},
        "delay": {
            str(index): np.unique(each).tolist() if len(np.unique(each)) == 1 else each.tolist()
            for index, each in sorted(taken.late.items())
        },
        "module": _told(taken, len(network.layers)),
    }
    return Recording(
        network, drive, trains, traces, (), make_provenance(label, network, drive, **facts)
    )


def fill(
    known: Mapping[int, Known], network: Network, drive: Drive, reference: Recording | None
) -> list[NDArray[np.bool_]]:
    """Return the spikes of all layers.

    Those that are known, and those that the others fire on what the known ones sent.
    """
    if len(known) == len(network.layers) and all(each.seen is None for each in known.values()):
        return [known[index].fired for index in range(len(network.layers))]
    if reference is None:
        return follow(network, drive, known)
    fired = [train.dense() for train in reference.spikes]
    if not _hear_of_known(network, known):
        for index, each in known.items():
            fired[index] = each.fired
        return fired
    differ = np.flatnonzero(
        [
            any(unlike(each, fired[index])[sample].any() for index, each in known.items())
            for sample in range(drive.n_samples)
        ]
    )
    if len(differ):
        part = {
            index: Known(
                each.fired[differ],
                each.seen,
                None if each.carried is None else each.carried[differ],
            )
            for index, each in known.items()
        }
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
    heard = {
        index: upstream(network, index)
        for index in range(len(network.layers))
        if index not in known
    }
    return any(sources & set(known) for sources in heard.values())


def upstream(network: Network, layer: int) -> set[int]:
    """Return the layers that a layer hears of, directly or by way of others.

    Itself where it is in a loop.
    """
    found: set[int] = set()
    ahead = [layer]
    while ahead:
        for source in network.layers[ahead.pop()].sources:
            if source.layer != DRIVE and source.layer not in found:
                found.add(source.layer)
                ahead.append(source.layer)
    return found


def _output(
    taken: Taken, index: int, network: Network, reference: Recording | None
) -> dict[str, NDArray[Any]]:
    """Return the trace that is a layer's output, where it has one."""
    wanted = output_trace(network.layers[index])
    if not wanted:
        return {}
    if index in taken.rasters:
        values = taken.rasters[index].values
        return {} if values is None else {wanted: values}
    return (
        {}
        if reference is None or wanted not in reference.traces[index]
        else {wanted: reference.traces[index][wanted]}
    )


def _told(taken: Taken, count: int) -> str:
    """Say what was recorded, for people."""
    spikes = ", ".join(
        f"{counted(len(each.train), 'spike')} in layer {index}"
        for index, each in sorted(taken.rasters.items())
    )
    free = [index for index in range(count) if index not in taken.rasters]
    if not free:
        return spikes
    which, many = f"layer{'s' * (len(free) > 1)} {listed(free)}", len(free) > 1
    return (
        f"{spikes}; {which} {'were' if many else 'was'} not recorded, and "
        f"{'run' if many else 'runs'} freely"
    )


def _traces(
    given: Any, taken: Taken, index: int, axes: str | None, made: Recording
) -> dict[str, NDArray[Any]]:
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
                f"{where}: {name} must be numbers of {order.text}, (samples, steps, neurons) "
                f"{shape}, but has dtype {array.dtype} and shape {array.shape}."
            )
        found[name] = order.dense(array, shape).astype(np.float64)
    return found
