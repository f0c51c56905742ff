"""Readouts: neurons that never fire, whose membranes are the output and must agree to within rounding."""

from dataclasses import dataclass

import numpy as np

from ..recording import Recording
from ..rounding import distances_to_threshold


@dataclass(frozen=True)
class Readout:
    """A readout layer of two runs with the same spikes.

    Attributes
    ----------
    layer : int
    difference, bound : float or None
        Where the two differ most beyond what rounding explains: by how much, and how far rounding reaches there; None
        where a run did not record its membranes.
    where : tuple of int
        Sample, step, neuron.
    """

    layer: int
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
            return f"layer {self.layer} is a readout, and its membranes were not recorded in both runs; run them with record=('before_reset',)"
        sample, step, neuron = self.where
        return f"readout of layer {self.layer} differs by {self.difference:.3g} at sample {sample}, step {step}, neuron {neuron}; rounding reaches {self.bound:.2g}"


def readout_layers(recording: Recording) -> list[int]:
    """Return the layers whose neurons never fire by declaration."""
    return [index for index, layer in enumerate(recording.network.layers) if layer.model.discrete.readout]


def compare_readouts(reference: Recording, trial: Recording) -> tuple[Readout, ...]:
    """Compare the membranes of all readout layers of two runs whose spikes are the same."""
    layers = readout_layers(reference)
    if not layers or not all("before_reset" in run.traces[layer] for run in (reference, trial) for layer in layers):
        return tuple(Readout(layer, None, None) for layer in layers)
    dtypes = tuple(str(run.provenance["dtype"]) for run in (reference, trial))
    bounds = distances_to_threshold(reference, np.arange(reference.drive.n_samples), dtypes)
    found = []
    for layer in layers:
        difference = np.abs(reference.traces[layer]["before_reset"].astype(np.float64) - trial.traces[layer]["before_reset"])
        at = np.unravel_index(int(np.argmax(np.nan_to_num(difference - bounds[layer].bound, nan=np.inf))), difference.shape)
        found.append(Readout(layer, float(difference[at]), float(bounds[layer].bound[at]), tuple(int(index) for index in at)))
    return tuple(found)
