"""Runs with exact spike times: networks side by side in a Brian2 run, that fire between its steps.

First which arrivals come before which spikes, as they lie in time and as a run in steps has taken
them. Then the run of several copies of one network, which differ in weights and input spikes. Last
a batch, of which each sample is a copy.
"""

import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....core.arrays import Floats, Ints
from ....core.errors import RefsimError
from ....core.spikes import EventTrain, ExactTimes, SpikeTrains
from ....networks.connection import DRIVE
from ....networks.drive import Drive
from ....networks.network import Layer, Network
from ....networks.recording import Recording, check_run, make_provenance
from ..network import (
    Structure,
    card_names,
    checked_group,
    explained,
    group_name,
    layer_constants,
    schedule_of,
    start_values,
)
from ..session import BrianObject, Package, session
from ..text import fine_variables
from .closed_form import (
    DELTA,
    EARLY,
    NEAR,
    SLOPE,
    WHERE,
    Solution,
    after_arrivals,
    arrival,
    before_arrivals,
    check_exact,
    check_finite,
    crossing_text,
    exact_variables,
    solution_of,
    threshold_text,
)


@dataclass(frozen=True, eq=False)
class StepSpikes:
    """Spikes with the steps in which a run saw them.

    Attributes
    ----------
    train : EventTrain
    steps : (n_spikes,) int64
        The step of each; the arrivals of earlier steps were there.
    early : (n_spikes,) bool
        Whether the crossing was looked for without the arrivals of its step.
    """

    train: EventTrain
    steps: Ints
    early: NDArray[np.bool_]


def arrival_places(
    layer: Layer, weight: Floats, fired: StepSpikes, received: Sequence[StepSpikes]
) -> tuple[NDArray[np.int8], bool]:
    """Return which arrivals come before which spikes in one copy, and whether the run agrees.

    Parameters
    ----------
    weight : (n_post, n_pre)
        Of this copy; a weight of 0 is no connection.
    fired : StepSpikes
        The layer's own spikes.
    received : one StepSpikes a source

    Returns
    -------
    places : (n_spikes, n_arrivals) of int8
        1 where the arrival comes before the spike, both by neuron and then by time, so that copies
        can be compared; 0 where there is no connection.
    kept : bool
        False where a crossing was computed without an arrival that comes before it in the same
        step, or with one that comes after it. Then its time is wrong, and a smaller step need not
        show that.
    """
    # The first step whose arrivals the crossing did not take in.
    train, first_without = fired.train, fired.steps + 1 - fired.early
    by_neuron = np.lexsort((train.times, train.neurons))
    before, kept, first = [], True, 0
    for source, sent in zip(layer.sources, received, strict=True):
        arrivals = sent.train
        # Both by neuron and then by time: rows are spikes, columns arrivals.
        by_source = np.lexsort((arrivals.times, arrivals.neurons))
        linked = weight[train.neurons[by_neuron]][:, first + arrivals.neurons[by_source]] != 0
        first += source.width
        ahead = arrivals.times[by_source] - train.times[by_neuron][:, None]
        taken = sent.steps[by_source] < first_without[by_neuron][:, None]
        kept &= not (linked & ((taken & (ahead > 0)) | (~taken & (ahead < 0)))).any()
        before.append(linked & (ahead < 0))
    return np.concatenate(before, axis=1).astype(np.int8), kept


# Neurons x steps below which NumPy is done before a compiler has started and the program has run.
_SMALL = 200_000_000
_SLOTS = ("update", "keep", "arrive", "look", "threshold", "cross", "record")
_MOST = 20_000_000  # synapses; each takes some 50 bytes
SHARED = "an arrival and a crossing share a step, and were taken in the wrong order"
MISSED = (
    "a membrane turns so near below its threshold that it may have crossed it between two steps"
)


@dataclass(frozen=True, eq=False)
class NetworkCopies:
    """Copies of one network: cards, wiring and biases are the same, weights and input differ.

    Attributes
    ----------
    network : Network
    weights : one (n_copies, n_post, n_pre) a layer
    copy, input : (n_events,) int64
        Which copy, and which input, each input spike is of.
    times : (n_events,) in seconds
    stop : float
        End of the run, in seconds.
    """

    network: Network
    weights: tuple[Floats, ...]
    copy: Ints
    input: Ints
    times: Floats
    stop: float

    @property
    def number(self) -> int:
        """How many copies there are."""
        return len(self.weights[0])


@dataclass(frozen=True, eq=False)
class Fired:
    """Spikes of all copies, with what speaks against their times.

    Attributes
    ----------
    layers : one row of EventTrain a layer, one a copy
    places : one row a layer, an array (n_spikes, n_arrivals) of int8 a copy
        Which arrivals come before which spikes; see `refsim.engines.brian.exact.run.places`.
    doubts : (n_copies,) of str
        Why the times of a copy may be wrong; empty where nothing speaks against them.
    """

    layers: tuple[tuple[EventTrain, ...], ...]
    places: tuple[tuple[NDArray[np.int8], ...], ...]
    doubts: tuple[str, ...]


def run_networks(copies: NetworkCopies, dt: float, target: str = "auto") -> Fired:
    """Run all copies in one Brian2 network.

    Parameters
    ----------
    dt : float
        Seconds a step. Spikes are at their true times, to rounding, at any step; the smaller it is,
        the fewer copies are in doubt.
    target : {"auto", "cpp", "numpy"}

    Raises
    ------
    RefsimError
        For a network that has no exact solution between spikes, or too large for one run.
    """
    check_exact(copies.network)
    synapses = len(copies.times) * copies.network.layers[0].n_post + sum(
        weight.size for weight in copies.weights
    )
    if synapses > _MOST:
        raise RefsimError(
            f"{WHERE} stores every synapse of every copy, {synapses:,} here and at most "
            f"{_MOST:,}; give fewer samples, or fewer networks at a time."
        )
    # A crossing after the last arrival of a step is seen in the next step.
    n_steps = steps_of(copies.stop, dt) + 1
    compiled = is_compiled(copies, dt, target)
    structure = Structure(copies.network, True, "events", "float64", copies.number, False, ())
    solutions = [solution_of(layer) for layer in copies.network.layers]
    for solution, layer in zip(solutions, copies.network.layers, strict=True):
        check_finite(solution, layer, copies.network.dt, dt)
    with tempfile.TemporaryDirectory(prefix="refsim-exact-") as folder, np.errstate(all="ignore"):
        project = Path(folder) / "project"
        with session("cpp_standalone" if compiled else "numpy", "float64", dt, project) as brian2:
            built = _Built(structure, copies, solutions, brian2, dt, n_steps)
            with explained(card_names(copies.network)):
                built.network.run(n_steps * brian2.defaultclock.dt, namespace={})
                if compiled:
                    brian2.device.build(directory=str(project))
            return built.fired()


def steps_of(stop: float, dt: float) -> int:
    """Return the number of steps up to the end of a run."""
    return int(np.ceil(stop / dt - 1e-9))


def is_compiled(copies: NetworkCopies, dt: float, target: str) -> bool:
    """Return whether a run is compiled: what ``"auto"`` means for so many neurons and steps."""
    neurons = copies.number * sum(layer.n_post for layer in copies.network.layers)
    return target == "cpp" or (target == "auto" and neurons * steps_of(copies.stop, dt) > _SMALL)


class _Built:
    """The copies as Brian2 objects, layer after layer within a step.

    A spike passes all layers within its step.
    """

    def __init__(
        self,
        structure: Structure,
        copies: NetworkCopies,
        solutions: Sequence[Solution],
        brian2: Package,
        dt: float,
        n_steps: int,
    ) -> None:
        self.structure, self.copies, self.solutions, self.brian2, self.dt, self.n_steps = (
            structure,
            copies,
            solutions,
            brian2,
            dt,
            n_steps,
        )
        self.input, self.steps = self._input()
        self.left = (self.steps + 1) * dt - copies.times
        self.groups = [
            self._neurons(index, layer) for index, layer in enumerate(copies.network.layers)
        ]
        self.monitors = [self._monitor(index) for index in range(len(self.groups))]
        synapses = [each for index in range(len(self.groups)) for each in self._connect(index)]
        self.network = brian2.Network(*self.input, *self.groups, *self.monitors, *synapses)
        slots = [
            f"{group_name(index)}_{slot}" for index in range(len(self.groups)) for slot in _SLOTS
        ]
        self.network.schedule = schedule_of("input", *slots)

    def _monitor(self, index: int) -> BrianObject:
        return self.brian2.SpikeMonitor(
            self.groups[index], variables=[DELTA, SLOPE, EARLY], when=f"{group_name(index)}_record"
        )

    def _input(self) -> tuple[list[BrianObject], Ints]:
        """Return a source for each input spike, if there are any, and the step of each.

        A spike on the border of two steps is the last event of the earlier one.
        """
        steps = np.maximum(np.ceil(self.copies.times / self.dt - 1e-9).astype(np.int64) - 1, 0)
        if not len(steps):
            return [], steps
        return [
            self.brian2.SpikeGeneratorGroup(
                len(steps),
                np.arange(len(steps)),
                steps * self.dt * self.brian2.second,
                when="input",
                name="given",
            )
        ], steps

    def _neurons(self, index: int, layer: Layer) -> BrianObject:
        group = _group(self.brian2, layer, index, self.copies.number, self.solutions[index])
        for variable, value in start_values(self.structure)[index]:
            setattr(
                group,
                f"{variable}_",
                np.tile(value, self.copies.number) if np.ndim(value) else value,
            )
        if layer.bias.any():
            (given,) = layer.model.inputs
            setattr(group, f"{given}_", np.tile(layer.bias, self.copies.number))
        return group

    def _connect(self, index: int) -> list[BrianObject]:
        """Return the synapses into a layer, those of one source after those of another."""
        copies, layer = self.copies, self.copies.network.layers[index]
        found: list[BrianObject] = []
        first = 0
        for source in layer.sources:
            weight = copies.weights[index][:, :, first : first + source.width]
            first += source.width
            if source.layer != DRIVE:
                copy, post, pre = (axis.ravel() for axis in np.indices(weight.shape))
                i, j, size = copy * source.width + pre, copy * layer.n_post + post, weight.ravel()
                found.append(
                    self._synapses(self.groups[source.layer], index, i, j, size, None, len(found))
                )
            elif self.input:
                event, post = (
                    axis.ravel() for axis in np.indices((len(copies.times), layer.n_post))
                )
                size = weight[copies.copy[event], post, copies.input[event]]
                found.append(
                    self._synapses(
                        self.input[0],
                        index,
                        event,
                        copies.copy[event] * layer.n_post + post,
                        size,
                        self.left[event],
                        len(found),
                    )
                )
        return [synapses for synapses in found if synapses is not None]

    def _synapses(
        self,
        before: BrianObject,
        index: int,
        i: Ints,
        j: Ints,
        size: Floats,
        left: Floats | None,
        order: int,
    ) -> BrianObject:
        """Connect neurons one to one, where a weight is not 0.

        Input spikes have the time to the end of their step in their synapses.
        """
        linked = size != 0
        if not linked.any():
            return None
        model = self.copies.network.layers[index].model
        ((_, target),) = model.inputs.items()
        text = arrival(
            self.solutions[index], target, f"{DELTA}_pre" if left is None else "sub_left"
        )
        synapses = self.brian2.Synapses(
            before,
            self.groups[index],
            f"sub_weight : {model.input_unit}" + "\nsub_left : second" * (left is not None),
            on_pre=text,
            namespace={},
        )
        synapses.connect(i=i[linked], j=j[linked])
        synapses.sub_weight_ = size[linked]
        if left is not None:
            synapses.sub_left_ = left[linked]
        synapses.pre.when, synapses.pre.order = f"{group_name(index)}_arrive", order
        return synapses

    def fired(self) -> Fired:
        """Return the spikes after the run, and what speaks against their times."""
        # A copy is in doubt where a peak may have been missed, or where the order was wrong.
        timed = [self._trains(index) for index in range(len(self.groups))]
        given = self._given()
        near = [
            np.asarray(getattr(group, NEAR)[:], bool).reshape(self.copies.number, -1).any(axis=1)
            for group in self.groups
        ]
        doubts, found = [MISSED if one else "" for one in np.any(near, axis=0)], []
        for index, layer in enumerate(self.copies.network.layers):
            row = []
            for copy in range(self.copies.number):
                received = [
                    given[copy] if source.layer == DRIVE else timed[source.layer][copy]
                    for source in layer.sources
                ]
                place, kept = arrival_places(
                    layer, self.copies.weights[index][copy], timed[index][copy], received
                )
                doubts[copy] = doubts[copy] or ("" if kept else SHARED)
                row.append(place)
            found.append(tuple(row))
        return Fired(
            tuple(tuple(taken.train for taken in row) for row in timed), tuple(found), tuple(doubts)
        )

    def _given(self) -> list[StepSpikes]:
        """Return the input spikes by copy."""
        copies, order = self.copies, np.argsort(self.copies.copy, kind="stable")
        still = np.full(len(copies.times), np.inf)
        trains = [
            (
                EventTrain(
                    copies.times[part], copies.input[part], still[part], copies.network.n_inputs
                ),
                part,
            )
            for part in _parted(copies.copy, order, copies.number)
        ]
        return [
            StepSpikes(train, self.steps[part], np.zeros(len(part), bool)) for train, part in trains
        ]

    def _trains(self, index: int) -> list[StepSpikes]:
        """Return a layer's spikes, with the steps in which Brian2 saw them, by copy."""
        monitor, n_post = self.monitors[index], self.copies.network.layers[index].n_post
        step = np.rint(np.asarray(monitor.t_[:]) / self.dt).astype(np.int64)
        times = (step + 1) * self.dt - np.asarray(getattr(monitor, f"{DELTA}_")[:])
        slopes = np.asarray(getattr(monitor, f"{SLOPE}_")[:])
        copy, neuron = np.divmod(np.asarray(monitor.i[:], np.int64), n_post)
        order = np.lexsort((neuron, times, copy))
        order = order[times[order] <= self.copies.stop]
        early = np.asarray(getattr(monitor, EARLY)[:], bool)
        return [
            StepSpikes(
                EventTrain(times[part], neuron[part], slopes[part], n_post), step[part], early[part]
            )
            for part in _parted(copy, order, self.copies.number)
        ]


def _parted(copy: Ints, order: Ints, number: int) -> list[Ints]:
    """Return the rows of each copy, from an order of rows in which the copies are sorted."""
    ends = np.searchsorted(copy[order], np.arange(number + 1))
    return [order[low:high] for low, high in itertools.pairwise(ends)]


def _group(
    brian2: Package, layer: Layer, index: int, n_copies: int, solution: Solution
) -> BrianObject:
    """Make a layer's neurons, of all copies."""
    model = layer.model
    equations = fine_variables(model, frozenset(layer_constants(layer)), gap=False, seen=False)
    group = checked_group(
        brian2,
        model.name,
        n_copies * layer.n_post,
        f"{equations}\n{exact_variables(layer, solution)}",
        name=group_name(index),
        method="exact",
        threshold=threshold_text(layer),
        reset=crossing_text(layer, solution),
    )
    name = group_name(index)
    group.state_updater.when, group.thresholder["spike"].when, group.resetter["spike"].when = (
        f"{name}_update",
        f"{name}_threshold",
        f"{name}_cross",
    )
    group.run_regularly(before_arrivals(solution), when=f"{name}_keep")
    group.run_regularly(after_arrivals(solution), when=f"{name}_look")
    return group


def run_exact(network: Network, drive: Drive, dt: float, target: str) -> Recording:
    """Run all samples at steps of dt, with spikes at their true times.

    A spike of the drive arrives at the end of its step, as in fine mode, or at its beginning where
    the card's input is an early impulse.

    Raises
    ------
    RefsimError
        For currents, for a step that does not divide the network's, and for what `run_networks`
        refuses.
    """
    check_run(network, drive, ())
    if drive.spikes is None:
        raise RefsimError(
            f"{WHERE} takes spikes, whose effect between steps is known, and the drive is made "
            "of currents; give Drive.events or Drive.raster."
        )
    refine = round(network.dt / dt)
    if refine < 1 or abs(refine * dt / network.dt - 1) > 1e-9:
        raise RefsimError(
            f"{WHERE}: dt must divide the network's step of {network.dt:g} s in whole numbers, "
            f"but is {dt:g} s."
        )
    kinds = {layer.model.input_kind for layer in network.layers}
    if len(kinds) > 1:
        raise RefsimError(
            f"{WHERE}: the layers take a spike of the drive at different ends of its step "
            f"({' and '.join(sorted(kinds))}); take cards of one kind."
        )
    late = 0 if kinds == {"early_impulse"} else 1
    spikes, repeated = drive.spikes, (drive.n_samples, 1, 1)
    weights = tuple(np.tile(layer.weight, repeated) for layer in network.layers)
    copies = NetworkCopies(
        network,
        weights,
        spikes.sample,
        spikes.neuron,
        np.asarray((spikes.step + late) * drive.dt, np.float64),
        drive.n_steps * drive.dt,
    )
    found = run_networks(copies, dt, target)
    trains = tuple(_on_the_grid(row, drive.n_steps * refine, dt) for row in found.layers)
    how = "C++ standalone" if is_compiled(copies, dt, target) else "NumPy"
    provenance = make_provenance(
        f"Brian2 exact spike times, dt {dt:g} s",
        network,
        drive,
        engine="Brian2",
        mode="exact",
        refine=refine,
        dtype="float64",
        target=how,
        device="cpu",
    )
    return Recording(
        network,
        drive,
        trains,
        tuple({} for _ in trains),
        (),
        provenance,
        ExactTimes(found.layers, found.doubts),
    )


def _on_the_grid(row: tuple[EventTrain, ...], n_steps: int, dt: float) -> SpikeTrains:
    """Return a layer's spikes by the step at whose end, or within which, they lie."""
    sample = np.repeat(np.arange(len(row)), [len(train) for train in row])
    times, neuron = (
        np.concatenate([getattr(train, name) for train in row]) for name in ("times", "neurons")
    )
    step = np.clip(np.ceil(times / dt - 1e-9).astype(np.int64) - 1, 0, n_steps - 1)
    return SpikeTrains.from_events(
        sample,
        step,
        neuron,
        len(row),
        n_steps,
        row[0].n_neurons,
        dt,
        where=f"{WHERE}: with so long a dt",
    )
