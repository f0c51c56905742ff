"""A batch whose neurons fire between the steps: each sample is a copy of the network."""

import numpy as np

from ...drive import Drive
from ...errors import RefsimError
from ...network import Network
from ...recording import Recording, check_run, make_provenance
from ...spike_times import EventTrain, ExactTimes
from ...spikes import SpikeTrains
from .admitted import WHERE
from .copies import Copies, is_compiled, run_copies


def run_exact(network: Network, drive: Drive, dt: float, target: str) -> Recording:
    """Run all samples at steps of dt, with spikes at their true times.

    A spike of the drive arrives at the end of its step, as in fine mode, or at its beginning where the card's input is an early impulse.

    Raises
    ------
    RefsimError
        For currents, for a step that does not divide the network's, and for what `run_copies` refuses.
    """
    check_run(network, drive, ())
    if drive.spikes is None:
        raise RefsimError(f"{WHERE} takes spikes, whose effect between steps is known, and the drive is made of currents; give Drive.events or Drive.raster.")
    refine = round(network.dt / dt)
    if refine < 1 or abs(refine * dt / network.dt - 1) > 1e-9:
        raise RefsimError(f"{WHERE}: dt must divide the network's step of {network.dt:g} s in whole numbers, but is {dt:g} s.")
    kinds = {layer.model.input_kind for layer in network.layers}
    if len(kinds) > 1:
        raise RefsimError(
            f"{WHERE}: the layers take a spike of the drive at different ends of its step ({' and '.join(sorted(kinds))}); take cards of one kind."
        )
    late = 0 if kinds == {"early_impulse"} else 1
    spikes, repeated = drive.spikes, (drive.n_samples, 1, 1)
    weights = tuple(np.tile(layer.weight, repeated) for layer in network.layers)
    copies = Copies(network, weights, spikes.sample, spikes.neuron, np.asarray((spikes.step + late) * drive.dt, np.float64), drive.n_steps * drive.dt)
    found = run_copies(copies, dt, target)
    trains = tuple(_on_the_grid(row, drive.n_steps * refine, dt) for row in found.layers)
    how = "C++ standalone" if is_compiled(copies, dt, target) else "NumPy"
    provenance = make_provenance(
        f"Brian2 exact spike times, dt {dt:g} s", network, drive, engine="Brian2", mode="exact", refine=refine, dtype="float64", target=how, device="cpu"
    )
    return Recording(network, drive, trains, tuple({} for _ in trains), (), provenance, ExactTimes(found.layers, found.doubts))


def _on_the_grid(row: tuple[EventTrain, ...], n_steps: int, dt: float) -> SpikeTrains:
    """Return a layer's spikes by the step at whose end, or within which, they lie."""
    sample = np.repeat(np.arange(len(row)), [len(train) for train in row])
    times, neuron = (np.concatenate([getattr(train, name) for train in row]) for name in ("times", "neurons"))
    step = np.clip(np.ceil(times / dt - 1e-9).astype(np.int64) - 1, 0, n_steps - 1)
    return SpikeTrains.from_events(sample, step, neuron, len(row), n_steps, row[0].n_neurons, dt, where=f"{WHERE}: with so long a dt")
