"""A recording of spikes that somebody else fired: of one, some or all layers of a network.

`RecordedLayers` holds what was read, layer by layer, with the delay at which it was recorded;
`read_layers` and `by_layer` find out which array is of which layer; `recorded` and `as_recording`
make a `Recording` of it. Layers that nobody recorded run freely, on what the recorded ones sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import USUAL, Axes, Floats, Ints
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
# A dict with these keys is one list of events and no dict by layer.
_EVENTS = {"sample", "step", "neuron"}
_WHERE = "recorded"


@dataclass(frozen=True, eq=False)
class RecordedLayers:
    """What was recorded, layer by layer.

    Attributes
    ----------
    rasters : dict of int to Raster
        What was recorded, by the number of the layer.
    late : dict of int to (1,) or (n,) int64
        Steps by which a layer's spikes were recorded later than they are fired. In the rasters they
        are put where they are fired, so of the last steps, as many, nothing is known.
    early : dict of int to int
        Number of spikes that were recorded before the first can have come; they are in no raster.
    """

    rasters: Mapping[int, Raster]
    late: Mapping[int, Ints] = field(default_factory=dict)
    early: Mapping[int, int] = field(default_factory=dict)

    @property
    def layers(self) -> list[int]:
        """The numbers of the layers that were recorded."""
        return sorted(self.rasters)

    def known(self) -> dict[int, Known]:
        """Return what is known of each layer, and where it was seen."""
        return {
            index: known_from(each.train, each.values, self.late.get(index))
            for index, each in self.rasters.items()
        }

    def sooner(self, late: Mapping[int, Ints]) -> "RecordedLayers":
        """Return the same with the spikes of late layers put to where they are fired.

        Parameters
        ----------
        late : dict of int to (1,) or (n,) int64
            By layer, the steps by which it was recorded late.
        """
        # Only recorded layers that are late at all are moved.
        moved = {
            index: _sooner(each, late[index])
            for index, each in self.rasters.items()
            if index in late and late[index].any()
        }
        rasters = {
            index: moved[index][0] if index in moved else each
            for index, each in self.rasters.items()
        }
        return RecordedLayers(
            rasters,
            {index: late[index] for index in moved},
            {index: each[1] for index, each in moved.items() if each[1]},
        )


def read_layers(
    given: Mapping[int, object], network: Network, drive: Drive, axes: str | None, where: str
) -> RecordedLayers:
    """Read what was recorded of each layer, as rasters of the network's shape."""
    rasters = {}
    for index, each in sorted(given.items()):
        layer = network.layers[index]
        shape = (drive.n_samples, drive.n_steps, layer.n_post)
        rasters[index] = raster(each, layer, shape, network.dt, axes, f"{where}, layer {index}")
    return RecordedLayers(rasters)


def by_layer(given: object, network: Network, where: str) -> dict[int, object]:
    """Return what was given, by the number of its layer.

    Parameters
    ----------
    given : dict by layer, list with an entry a layer, or what is of the last layer
    network : Network
    where : str
        The words that messages begin with.

    Raises
    ------
    RefsimError
        Where a name is none of the network's, or nothing was given.
    """
    # A dict has the name or number of each layer.
    if isinstance(given, Mapping) and not _EVENTS.issubset(given):
        named: dict[int, object] = {}
        for name, each in given.items():
            index = layer_named(name, network, where, whole=len(given) == len(network.layers))
            if index in named:
                raise RefsimError(
                    f"{where}: layer {index} is given twice, the second time as {name!r}."
                )
            named[index] = each
    elif isinstance(given, list | tuple):
        # A list has an entry for each layer.
        if len(given) != len(network.layers):
            raise RefsimError(
                f"{where}: needs a list with an entry for each of the "
                f"{counted(len(network.layers), 'layer')}, None where it was not recorded, but "
                f"has {len(given)}; "
                "one array by itself, or a dict by layer, may be given too."
            )
        named = dict(enumerate(given))
    else:
        # Anything else is of the last layer.
        named = {len(network.layers) - 1: given}
    # None stands for a layer that was not recorded.
    found = {index: each for index, each in named.items() if each is not None}
    if not found:
        raise RefsimError(f"{where}: no layer was recorded; give the spikes of one at least.")
    return found


def layer_named(name: object, network: Network, where: str, *, whole: bool = False) -> int:
    """Return the number of a layer from its name or number; ``x`` is the last layer.

    Parameters
    ----------
    whole : bool
        Whether all layers are named. Then ``arr_0``, NumPy's name for an array without one, counts
        layers.

    Raises
    ------
    RefsimError
        Where no layer has that name, with the names that there are.
    """
    # A layer's own name goes before every other reading.
    count, text = len(network.layers), str(name).strip()
    for index, layer in enumerate(network.layers):
        if text and text in (layer.name, layer.name.strip("'\"")):
            return index
    if text == UNNAMED:
        return count - 1
    # Then a number, however it is written.
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


def assumed_axes(taken: RecordedLayers, name: str) -> list[str]:
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


def recorded(
    network: Network,
    drive: Drive,
    spikes: object,
    *,
    traces: object = None,
    axes: str | None = USUAL,
    dtype: str = "float32",
    label: str = "recorded",
) -> Recording:
    """Make a recording of your own spikes, to be compared with a run.

    The comparison is ``compare(reference, recorded(...))``.

    Parameters
    ----------
    network : Network
    drive : Drive
        What the network was given when it was recorded.
    spikes : list, dict or array
        A list with an entry for each layer, a dict by the name or number of a layer, or one array,
        which is of the last layer. Each entry is a dense array (n_samples, n_steps, n_neurons) of 0
        and 1, rows of (sample, step, neuron), a dict of arrays sample, step and neuron, or None for
        a layer that was not recorded. Where a layer's output is its membrane, or what its spikes
        carry, give the numbers themselves.
    traces : the same, of dicts of (n_samples, n_steps, n_neurons), optional
        ``"before_reset"``, what the threshold saw, and ``"after_reset"``.
    axes : str or None
        The axes of dense arrays, or the columns of rows: ``"step, sample, neuron"`` where time is
        first. Axes of channels, rows and columns together are the neurons. With None, whatever fits
        is taken.
    dtype : {"float32", "float64", "float16", "bfloat16"}
        In which the recorded network computed. Its rounding is allowed for.
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
    # Spikes first; traces are read with the axes that fit the spikes.
    taken = read_layers(by_layer(spikes, network, _WHERE), network, drive, axes, _WHERE)
    own = {} if traces is None else by_layer(traces, network, f"{_WHERE}: traces")
    made = as_recording(taken, network, drive, dtype, label)
    kept = tuple(
        {**each, **_traces(own.get(index), taken, index, axes, made)}
        for index, each in enumerate(made.traces)
    )
    return replace(made, traces=kept)


def as_recording(
    taken: RecordedLayers,
    network: Network,
    drive: Drive,
    dtype: str,
    label: str,
    reference: Recording | None = None,
) -> Recording:
    """Return what was recorded as a run in which the layers that nobody recorded are filled in.

    Parameters
    ----------
    reference : Recording, optional
        A run of the same network and drive. Where a sample's recorded spikes are those of this run,
        the run fills its other layers.
    """
    if dtype not in UNIT_ROUNDOFF:
        raise RefsimError(
            f"{_WHERE}: dtype must be one of {listed(UNIT_ROUNDOFF)}, but is {dtype!r}."
        )
    known = taken.known()
    # What nobody recorded is run, so that the recording has every layer.
    fired = with_free_layers(known, network, drive, reference)
    trains = tuple(SpikeTrains.from_dense(each, network.dt) for each in fired)
    traces = tuple(
        _output(taken, index, network, reference) for index in range(len(network.layers))
    )
    # Provenance says which layers are the user's, and how they were read.
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
        "module": _summary(taken, len(network.layers)),
    }
    return Recording(
        network, drive, trains, traces, (), make_provenance(label, network, drive, **facts)
    )


def with_free_layers(
    known: Mapping[int, Known], network: Network, drive: Drive, reference: Recording | None
) -> list[NDArray[np.bool_]]:
    """Return the spikes of all layers: those that are known, and those that the others fire.

    Layers that nobody recorded run on what the recorded ones sent.
    """
    # Everything is known: nothing is to be run.
    if len(known) == len(network.layers) and all(each.seen is None for each in known.values()):
        return [known[index].fired for index in range(len(network.layers))]
    # Without a run of the same network, all samples are run.
    if reference is None:
        return follow(network, drive, known)
    # The free layers of the reference serve where they depend on nothing that was recorded.
    fired = [train.dense() for train in reference.spikes]
    if not _depend_on_known(network, known):
        for index, each in known.items():
            fired[index] = each.fired
        return fired
    # Elsewhere only the samples whose recorded spikes are other than the reference's are run.
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


def known_of(trial: Recording) -> dict[int, Known]:
    """Return what is known of each layer of a run that `as_recording` made.

    Of any other run, everything is known.
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


def known_from(train: SpikeTrains, values: Floats | None, late: Ints | None) -> Known:
    """Return what is known of a layer that was recorded `late` steps after it fired.

    Of its last steps, as many, nothing is known.
    """
    if late is None or not late.any():
        return Known(train.dense(), None, values)
    steps = np.arange(train.n_steps)[:, None]
    return Known(
        train.dense(), steps < train.n_steps - np.broadcast_to(late, train.n_neurons), values
    )


def _sooner(each: Raster, late: Ints) -> tuple[Raster, int]:
    """Return a raster moved to earlier steps, and how many spikes then lie before the first."""
    # Each neuron has its own delay.
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


def _values_sooner(values: Floats, by: Ints) -> Floats:
    """Return the values of a raster moved to earlier steps, neuron by neuron."""
    moved = np.zeros_like(values)
    for neuron, lag in enumerate(by):
        moved[:, : values.shape[1] - lag, neuron] = values[:, lag:, neuron]
    return moved


def unlike(known: Known, fired: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where a run fires otherwise than was recorded, (n_samples, n_steps, n_neurons)."""
    differs: NDArray[np.bool_] = known.fired != fired
    return differs if known.seen is None else differs & known.seen


def _depend_on_known(network: Network, known: Mapping[int, Known]) -> bool:
    """Return whether an unknown layer depends on a known one."""
    if any(each.seen is not None for each in known.values()):
        return True
    heard = {
        index: upstream(network, index)
        for index in range(len(network.layers))
        if index not in known
    }
    return any(sources & set(known) for sources in heard.values())


def upstream(network: Network, layer: int) -> set[int]:
    """Return the layers that a layer receives input from, directly or by way of others.

    A layer in a loop is upstream of itself.
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
    taken: RecordedLayers, index: int, network: Network, reference: Recording | None
) -> dict[str, Floats]:
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


def _summary(taken: RecordedLayers, count: int) -> str:
    """Say in words what was recorded, and which layers were not."""
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
    given: object, taken: RecordedLayers, index: int, axes: str | None, made: Recording
) -> dict[str, Floats]:
    """Return the traces that were given of one layer.

    Raises
    ------
    RefsimError
        Where a trace has another name, dtype or shape than is needed.
    """
    if given is None:
        return {}
    where = f"{_WHERE}: traces, layer {index}"
    if not isinstance(given, Mapping) or set(given) - {"before_reset", "after_reset", "payload"}:
        raise RefsimError(f"{where}: must be a dict of before_reset or after_reset, each {USUAL}.")
    # Traces have the axes of the layer's spikes unless the user names others.
    said = taken.rasters[index].axes if index in taken.rasters else axes or USUAL
    order = Axes.of(said if axes is None and "," in said else axes or USUAL, where)
    shape = made.spikes[index].n_samples, made.spikes[index].n_steps, made.spikes[index].n_neurons
    found = {}
    for name, values in given.items():
        # A tensor may be on another device and may carry a gradient.
        array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
        if array.dtype.kind not in "fiub" or not order.fits(array.shape, shape):
            raise RefsimError(
                f"{where}: {name} must be numbers of {order.text}, (samples, steps, neurons) "
                f"{shape}, but has dtype {array.dtype} and shape {array.shape}."
            )
        found[name] = order.dense(array, shape).astype(np.float64)
    return found
