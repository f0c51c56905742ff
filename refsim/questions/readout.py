"""Outputs other than 0 and 1, which must agree to within rounding: the membranes of readouts, and what spikes carry."""

from dataclasses import dataclass

import numpy as np

from ..recording import Recording, output_trace, what_output
from ..rounding import distances_to_threshold


@dataclass(frozen=True)
class Readout:
    """A layer of such an output in two runs with the same spikes.

    Attributes
    ----------
    layer : int
    what, trace : str
        What its output is, and the trace that holds it.
    difference, bound : float or None
        Where the two differ most beyond what rounding explains: by how much, and how far rounding reaches there; None
        where a run did not record it.
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
        return self.difference is not None and self.bound is not None and not self.difference <= self.bound

    def __str__(self) -> str:
        """Say it in words."""
        if self.difference is None:
            return f"layer {self.layer} is {self.what}, which was not recorded in both runs; run them with record=('{self.trace}',)"
        sample, step, neuron = self.where
        return (
            f"output of layer {self.layer} differs by {self.difference:.3g} at sample {sample}, step {step}, neuron {neuron}; rounding reaches {self.bound:.2g}"
        )


def output_layers(recording: Recording) -> list[int]:
    """Return the layers whose output is another than 0 and 1: readouts, and those whose spikes carry a number."""
    return [index for index, layer in enumerate(recording.network.layers) if output_trace(layer)]


def compare_readouts(reference: Recording, trial: Recording) -> tuple[Readout, ...]:
    """Compare the outputs of all such layers of two runs whose spikes are the same."""
    layers = {index: reference.network.layers[index] for index in output_layers(reference)}
    if not layers or any(output_trace(layer) not in run.traces[index] for run in (reference, trial) for index, layer in layers.items()):
        return tuple(Readout(index, what_output(layer), output_trace(layer), None, None) for index, layer in layers.items())
    dtypes = tuple(str(run.provenance["dtype"]) for run in (reference, trial))
    bounds = distances_to_threshold(reference, np.arange(reference.drive.n_samples), dtypes)
    found = []
    for index, layer in layers.items():
        trace, bound = output_trace(layer), bounds[index].output
        difference = np.abs(reference.traces[index][trace].astype(np.float64) - trial.traces[index][trace])
        at = np.unravel_index(int(np.argmax(np.nan_to_num(difference - bound, nan=np.inf))), difference.shape)
        found.append(Readout(index, what_output(layer), trace, float(difference[at]), float(bound[at]), tuple(int(place) for place in at)))
    return tuple(found)
