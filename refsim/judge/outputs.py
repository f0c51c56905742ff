"""Outputs other than 0 and 1 of two runs, which must agree to within rounding.

They are the membranes of readouts, and the numbers that spikes carry. `compare_readouts` compares
them in samples whose spikes are the same, `also_replayed` adds what the replay knows of the other
samples, and `classes_moved_by_rounding` says whether rounding explains the classes that differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.arrays import Floats, Ints
from ..networks.network import Layer
from ..networks.recording import LAST_STEP, Recording, output_trace, what_output
from .distances import dtypes_of, mismatched
from .judgement import Replay
from .over_steps import bounded_over_steps, heard_exactly
from .rounding import distances_to_threshold


@dataclass(frozen=True)
class Readout:
    """The output of one layer in two runs, in the samples whose spikes are the same.

    Attributes
    ----------
    layer : int
    what, trace : str
        What the output is, in words, and the name of the trace that holds it.
    difference, bound : float or None
        By how much the two differ, and how far rounding reaches, where the difference exceeds the
        bound by most. None where a run did not record the output.
    where : tuple of int
        Sample, step, neuron.
    """

    layer: int
    what: str
    trace: str
    difference: float | None
    bound: float | None
    where: tuple[int, ...] = ()

    @property
    def recorded(self) -> bool:
        """Whether both runs recorded it."""
        return self.difference is not None

    @property
    def differs(self) -> bool:
        """Whether the two differ by more than rounding explains."""
        return (
            self.difference is not None
            and self.bound is not None
            and not self.difference <= self.bound
        )

    def __str__(self) -> str:
        """Say it in words."""
        if self.difference is None:
            return (
                f"layer {self.layer} is {self.what}, which was not recorded in both runs; run "
                f"them with record=('{self.trace}',)"
            )
        sample, step, neuron = self.where
        return (
            f"output of layer {self.layer} differs by {self.difference:.3g} at sample "
            f"{sample}, step {step}, neuron {neuron}; rounding reaches {self.bound:.2g}"
        )


def output_layers(recording: Recording) -> list[int]:
    """Return the layers whose output is other than 0 and 1.

    They are readouts, and layers whose spikes carry a number.
    """
    return [index for index, layer in enumerate(recording.network.layers) if output_trace(layer)]


def compare_readouts(reference: Recording, trial: Recording) -> tuple[Readout, ...]:
    """Compare the outputs of two runs that are other than 0 and 1, layer by layer.

    Returns
    -------
    tuple of Readout
        In the samples whose spikes are the same; empty where there is no such sample or layer.
    """
    layers = {index: reference.network.layers[index] for index in output_layers(reference)}
    # A trace that one run lacks leaves every readout unread.
    if not layers or any(
        output_trace(layer) not in run.traces[index]
        for run in (reference, trial)
        for index, layer in layers.items()
    ):
        return tuple(
            Readout(index, what_output(layer), output_trace(layer), None, None)
            for index, layer in layers.items()
        )
    samples = same_samples(reference, trial)
    if not samples.size:
        return ()
    bounds = _bounds(reference, trial, layers, samples)
    return tuple(_worst(reference, trial, index, bound, samples) for index, bound in bounds.items())


def also_replayed(
    readouts: Sequence[Readout], trial: Recording, found: Replay
) -> tuple[Readout, ...]:
    """Return readouts with what the replay shows of them in samples whose spikes part.

    So a tie in one layer hides no fault of a readout behind it.
    """
    rows = {readout.layer: readout for readout in readouts}
    for at in found.wrong:
        layer, known = trial.network.layers[at.layer], rows.get(at.layer)
        if at.what == "membrane" and layer.model.discrete.readout and not (known and known.differs):
            rows[at.layer] = Readout(
                at.layer,
                what_output(layer),
                output_trace(layer),
                at.distance,
                at.bound,
                (at.sample, at.step, at.neuron),
            )
    return tuple(rows.values())


def same_samples(reference: Recording, trial: Recording) -> Ints:
    """Return the samples in which every spike is the same."""
    pairs = [
        (a, b)
        for a, b in zip(reference.spikes, trial.spikes, strict=True)
        if not np.array_equal(a.code, b.code)
    ]
    parted = [mismatched(a, b) // (a.n_steps * a.n_neurons) for a, b in pairs]
    return np.setdiff1d(
        np.arange(reference.drive.n_samples), np.concatenate([np.zeros(0, np.int64), *parted])
    ).astype(np.int64)


def _bounds(
    reference: Recording, trial: Recording, layers: Mapping[int, Layer], samples: Ints
) -> dict[int, Floats]:
    """Return how far rounding reaches in each output, (n_samples, n_steps, n_neurons) each.

    Read-outs over the steps that receive nothing but spikes have a bound of their own. For all
    others the whole network is followed.
    """
    dtypes = dtypes_of(reference, trial)
    # The bound of a sum over the steps is finer than that of following the network.
    own = [
        index
        for index, layer in layers.items()
        if layer.model.discrete.over_steps and heard_exactly(reference.network, index)
    ]
    found = {index: bounded_over_steps(reference, index, samples, dtypes) for index in own}
    if set(found) != set(layers):
        whole = distances_to_threshold(reference, samples, dtypes)
        found |= {index: whole[index].output for index in layers if index not in found}
    return {index: found[index] for index in layers}


def _worst(
    reference: Recording, trial: Recording, index: int, bound: Floats, samples: Ints
) -> Readout:
    """Return where an output differs most beyond its bound.

    A module that gives its output after the last step alone is compared in that step alone.
    """
    layer = reference.network.layers[index]
    trace = output_trace(layer)
    ours, theirs = (
        run.traces[index][trace][samples].astype(np.float64) for run in (reference, trial)
    )
    first = ours.shape[1] - 1 if any(_last_alone(run, index) for run in (reference, trial)) else 0
    difference = np.abs(ours - theirs)[:, first:]
    # NaN counts as infinitely far.
    at = np.unravel_index(
        int(np.argmax(np.nan_to_num(difference - bound[:, first:], nan=np.inf))), difference.shape
    )
    where = (int(samples[at[0]]), int(at[1]) + first, int(at[2]))
    return Readout(
        index, what_output(layer), trace, float(difference[at]), float(bound[:, first:][at]), where
    )


def _last_alone(run: Recording, index: int) -> bool:
    """Return whether a run shows the output of its last layer after the last step alone."""
    return index == len(run.network.layers) - 1 and run.provenance.get("output") == LAST_STEP


def classes_moved_by_rounding(
    reference: Recording, trial: Recording, parted_by_rounding: Sequence[int]
) -> bool:
    """Return whether rounding explains every class that differs.

    In a sample whose spikes are the same, the class follows from outputs that agree to within their
    bounds. Two outputs that change places are then nearer to each other than the bounds of both.
    Where outputs are counts of spikes, equal spikes have equal classes.

    Parameters
    ----------
    parted_by_rounding : sequence of int
        Samples whose spikes part by rounding alone, or where nobody knows how far it reaches.
    """
    # Where rounding moved spikes it may have moved the class too.
    changed = np.setdiff1d(
        np.flatnonzero(reference.decisions() != trial.decisions()),
        np.asarray(parted_by_rounding, np.int64),
    )
    if not changed.size:
        return True
    last = [
        readout
        for readout in compare_readouts(reference, trial)
        if readout.layer == len(reference.network.layers) - 1
    ]
    # Elsewhere the outputs themselves must agree to within their bounds.
    return (
        bool(np.isin(changed, same_samples(reference, trial)).all())
        and bool(last)
        and not any(readout.differs for readout in last)
    )
