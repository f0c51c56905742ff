"""What would make recorded spikes that a network does not fire: another reading of it, a delay, another order, another layer."""

from collections.abc import Iterator, Mapping

import numpy as np

from ..arrays import Ints
from ..distances import mismatched
from ..engines.discrete import Discrete
from ..engines.following import Known
from ..errors import RefsimError, counted
from ..network import Network
from ..recording import Recording
from ..spikes import SpikeTrains
from .code import Comparison
from .expected import Again, Expected
from .recorded import unlike
from .taken import Taken, take
from .traits import one_trait_otherwise

_SAMPLES = 4  # enough to tell conventions apart, few enough to try them all
_FARTHEST = 3  # steps
_MOST = 1 << 26  # decisions of a layer, beyond which its order is not looked into


def causes(reference: Recording, raw: Taken, expected: Expected, late: Mapping[int, Ints], readings: Mapping[str, Again]) -> list[str]:
    """Return in words what, taken otherwise, makes the recorded spikes; every one by itself.

    Parameters
    ----------
    reference : Recording
    raw : Taken
        What was recorded, as late as it was.
    expected : Expected
        For its file, which may be read with other axes.
    late : dict of int to (1,) or (n,) int64
        How late each recorded layer is held to be.
    readings : dict of str to function
        The network and how late its output is, with one convention taken otherwise.
    """
    if not any(len(each.train) for each in raw.rasters.values()):
        return []  # silence is fired with anything that is dead
    tried = [_by_readings(reference, raw, late, readings), _by_axes(reference, raw, expected, late), _by_delay(reference, raw, late), _by_order(reference, raw)]
    return [cause for each in tried for cause in each]


def missing_and_surplus(found: Comparison) -> str:
    """Say how many of the spikes of each recorded layer only one of the two fires."""
    rows = []
    for index in found.trial.provenance["recorded_layers"]:
        ours, theirs = found.reference.spikes[index], found.trial.spikes[index]
        if not len(theirs):
            rows.append(f"layer {index} was recorded to be silent, and fires {counted(len(ours), 'spike')}" if len(ours) else "")
        elif len(mismatched(ours, theirs)):
            both = len(np.intersect1d(ours.code, theirs.code, assume_unique=True))
            rows.append(
                f"of layer {index} {len(ours) - both:,} of {counted(len(ours), 'spike')} are missing in the recording, and {len(theirs) - both:,} of its {len(theirs):,} are surplus"
            )
    return ", ".join(row for row in rows if row)


def _by_readings(reference: Recording, raw: Taken, late: Mapping[int, Ints], readings: Mapping[str, Again]) -> Iterator[str]:
    """Yield the conventions of the file, and the traits of the cards, that make what was recorded."""
    rows = _telling(reference, raw, late)
    drive = reference.drive.take(rows)
    last = len(reference.network.layers) - 1
    for name, read in readings.items():
        try:
            network, its_late = read()
            made = Discrete().run(network, drive).spikes
        except RefsimError:
            continue  # not every answer goes with every other: a reading that the file cannot have explains nothing
        if _agrees(raw, {**late, last: its_late}, made, rows):
            yield name
    for name, network in one_trait_otherwise(reference.network):
        try:
            made = Discrete().run(network, drive).spikes
        except RefsimError:
            continue
        if _agrees(raw, late, made, rows):
            yield name


def _telling(reference: Recording, raw: Taken, late: Mapping[int, Ints]) -> Ints:
    """Return a few samples, those that differ first."""
    known = raw.sooner(late).known()
    differs = np.any([unlike(each, reference.spikes[index].dense()).any(axis=(1, 2)) for index, each in known.items()], axis=0)
    order: Ints = np.argsort(~differs, kind="stable")[:_SAMPLES]
    return np.sort(order)


def _agrees(raw: Taken, late: Mapping[int, Ints], made: tuple[SpikeTrains, ...], rows: Ints) -> bool:
    """Return whether a run of some samples fires what was recorded of them."""
    if any(index >= len(made) or made[index].n_neurons != each.train.n_neurons for index, each in raw.rasters.items()):
        return False  # it is another network
    moved = raw.sooner({index: each for index, each in late.items() if index in raw.rasters})
    if moved.early:
        return False
    return not any(unlike(Known(each.fired[rows], each.seen), made[index].dense()).any() for index, each in moved.known().items())


def _by_axes(reference: Recording, raw: Taken, expected: Expected, late: Mapping[int, Ints]) -> Iterator[str]:
    """Yield the other orders of axes in which the file holds the reference's spikes."""
    for other in sorted({other for each in raw.rasters.values() for other in each.others}):
        try:
            read = take(expected.layers(reference.network)[0], reference.network, reference.drive, other, "")
        except RefsimError:
            continue  # what fits one layer need not fit another
        if _agrees(read, late, reference.spikes, np.arange(reference.drive.n_samples)):
            yield f"its axes taken as {other} (--expected-axes '{other}')"


def _by_delay(reference: Recording, raw: Taken, late: Mapping[int, Ints]) -> Iterator[str]:
    """Yield the delays that make what was recorded."""
    everything = np.arange(reference.drive.n_samples)
    for more in (*range(1, _FARTHEST + 1), *range(-_FARTHEST, 0)):
        moved = {index: each + more for index, each in late.items()}
        if any(each.min() < 0 for each in moved.values()):
            continue
        if _agrees(raw, moved, reference.spikes, everything):
            steps = f"{abs(more)} step{'s' if abs(more) > 1 else ''} {'later' if more > 0 else 'earlier'}"
            yield f"an output {steps} ({_option(moved, reference.network)})"


def _option(late: Mapping[int, Ints], network: Network) -> str:
    """Write delays as they are typed."""
    last = len(network.layers) - 1
    return " ".join(f"--expected-delay {'' if index == last else f'{index}='}{int(each.max())}" for index, each in sorted(late.items()))


def _by_order(reference: Recording, raw: Taken) -> Iterator[str]:
    """Yield other layers whose spikes these are, and other orders of neurons or samples."""
    if len(raw.rasters) != 1:
        return
    ((index, each),) = raw.rasters.items()
    ours, theirs = reference.spikes[index], each.train
    for other, train in enumerate(reference.spikes):
        if other != index and train.n_neurons == theirs.n_neurons and len(train) and not len(mismatched(train, theirs)):
            yield f"layer {other} in place of layer {index}, whose spikes they are"
    large = theirs.n_samples * theirs.n_steps * theirs.n_neurons > _MOST
    if large or len(ours) != len(theirs) or not len(mismatched(ours, theirs)):
        return
    for axis, what in ((2, "neurons"), (0, "samples")):
        if _sorted_along(ours, axis) == _sorted_along(theirs, axis):
            yield f"the {what} of layer {index} in another order"


def _sorted_along(train: SpikeTrains, axis: int) -> list[bytes]:
    """Return what each neuron, or each sample, fired, in an order that hangs on nothing else."""
    rows = np.moveaxis(train.dense(), axis, 0).reshape(train.n_neurons if axis == 2 else train.n_samples, -1)
    return sorted(np.packbits(rows, axis=1)[row].tobytes() for row in range(len(rows)))
