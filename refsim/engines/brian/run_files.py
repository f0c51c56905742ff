"""The files of one run: what a compiled program reads at its start, and what it leaves behind."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...drive import Drive
from ...spikes import SpikeTrains
from ..convolution import layer_kernels
from ..discrete import parts_by_input
from .objects import Structure, group_name, start_values
from .outcome import Outcome
from .product import product_of

BYTES_A_SAMPLE = 16  # of the file of nearest approaches: distance and neuron, as doubles


def write_constants(run: Path, structure: Structure, refine: int) -> None:
    """Write what is the same for all samples: weights, delays, constants and the length of a (sub-)step."""
    dtype, network = structure.dtype, structure.network
    for index, layer in enumerate(network.layers):
        delay = np.concatenate([source.delay for source in layer.sources])
        for given, part in parts_by_input(layer).items():
            name = f"{group_name(index)}_{product_of(given)}"
            delay.tofile(run / f"{name}_delay.bin")
            with open(run / f"{name}.bin", "wb") as file:
                np.ascontiguousarray(part.weight.T, dtype).tofile(file)  # (n_pre, n_post): a row a spike
                part.bias.astype(dtype).tofile(file)
        for name, kernel in layer_kernels(layer, network.dt).items() if not structure.fine else ():
            with open(run / f"{group_name(index)}_{name}.bin", "wb") as file:
                np.int64(len(kernel)).tofile(file)
                np.array(kernel, dtype).tofile(file)
    values = [np.atleast_1d(value) for row in start_values(structure) for _, value in row]
    np.concatenate(values).astype(dtype).tofile(run / "values.bin")
    np.float64(network.dt / refine).tofile(run / "dt.bin")


def write_input(run: Path, structure: Structure, drive: Drive, refine: int, analog_impulse: bool) -> int:
    """Write the plan of a run and its input; return the number of chunks."""
    chunks = -(-drive.n_samples // structure.batch)
    frames = 1 if drive.values is None else drive.values.shape[1]
    numbers = np.zeros(1 + chunks * structure.batch, np.int64)
    numbers[0], numbers[1 : 1 + drive.n_samples] = np.uint64(drive.seed).astype(np.int64), drive.sample_numbers
    numbers.tofile(run / "samples.bin")
    plan = [chunks, drive.n_steps, refine, frames, analog_impulse, drive.n_samples, drive.bits is not None]
    np.array(plan, np.int64).tofile(run / "run.bin")
    with open(run / "input.bin", "wb") as file:
        if drive.values is not None:
            for first in range(0, drive.n_samples, structure.batch):  # in parts, for the copy in another dtype
                drive.values[first : first + structure.batch].astype(structure.dtype).tofile(file)
        elif drive.bits is not None:
            drive.bits.tofile(file)
            np.zeros(1, np.int64).tofile(file)  # a word may be read anywhere
        else:
            _write_events(file, drive.spikes)
    return chunks


def _write_events(file: BinaryIO, spikes: SpikeTrains | None) -> None:
    """Write where each sample begins, then step and input of each event."""
    assert spikes is not None
    np.searchsorted(spikes.sample, np.arange(spikes.n_samples + 1)).astype(np.int64).tofile(file)
    spikes.step.astype(np.int32).tofile(file)
    spikes.neuron.astype(np.int32).tofile(file)


def read_outcome(run: Path, names: list[dict[str, str]], structure: Structure, drive: Drive, chunks: int, refine: int) -> Outcome:
    """Read spikes, traces and nearest approaches."""
    network, spikes, traces, gaps = structure.network, [], [], []
    for index, layer in enumerate(network.layers):
        name = group_name(index)
        sample, step, neuron = (np.fromfile(run / f"{name}_{column}.bin", np.int32).astype(np.int64) for column in ("sample", "step", "neuron"))
        spikes.append(SpikeTrains(sample, step, neuron, drive.n_samples, drive.n_steps * refine, layer.n_post, network.dt / refine))
        if names:
            traces.append({key: _trace(run / "results" / file, structure, structure.batch * layer.n_post) for key, file in names[index].items()})
        if structure.gap:
            gaps.append(np.fromfile(run / f"{name}_gap.bin").reshape(chunks * structure.batch, 2))
    return Outcome(spikes, traces, gaps)


def _trace(path: Path, structure: Structure, width: int) -> Any:
    return np.fromfile(path, structure.dtype).reshape(-1, width)
