"""The files of one run: what a compiled program reads at its start, and what it leaves behind."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...drive import Drive
from ..convolution import layer_kernels
from .objects import Structure, group_name, start_values
from .outcome import Outcome

BYTES_A_SAMPLE = 16  # of the file of nearest approaches: distance and neuron, as doubles


def write_constants(run: Path, structure: Structure, refine: int) -> None:
    """Write what is the same for all samples: weights, constants and the length of a (sub-)step."""
    dtype, network = structure.dtype, structure.network
    for index, layer in enumerate(network.layers):
        with open(run / f"{group_name(index)}_product.bin", "wb") as file:
            np.ascontiguousarray(layer.weight.T, dtype).tofile(file)  # (n_pre, n_post): a row a spike
            layer.bias.astype(dtype).tofile(file)
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
    np.array([chunks, drive.n_steps, refine, frames, analog_impulse], np.int64).tofile(run / "run.bin")
    numbers = np.zeros(1 + chunks * structure.batch, np.int64)
    numbers[0], numbers[1 : 1 + drive.n_samples] = np.uint64(drive.seed).astype(np.int64), drive.sample_numbers
    numbers.tofile(run / "samples.bin")
    if drive.values is None:
        _write_events(run / "input.bin", drive, chunks, structure.batch)
    else:
        _write_currents(run / "input.bin", drive.values, chunks, structure)
    return chunks


def _write_events(path: Path, drive: Drive, chunks: int, batch: int) -> None:
    """Write offsets of each (chunk, step), then the events: place in the batch times n_inputs plus input, ascending."""
    assert drive.spikes is not None
    bits = batch.bit_length() - 1  # a batch is a power of two, and shifts are many times faster than divisions
    sample, step, neuron = (column.astype(np.int32) for column in (drive.spikes.sample, drive.spikes.step, drive.spikes.neuron))
    slot = (sample >> bits) * drive.n_steps + step
    # Spikes are sorted by sample and input already. NumPy sorts 16-bit numbers by their digits, in linear time.
    order = np.argsort(slot.astype(np.uint16) if chunks * drive.n_steps <= 1 << 16 else slot, kind="stable")
    event = ((sample & (batch - 1)) * drive.n_inputs + neuron)[order]
    offsets = np.zeros(chunks * drive.n_steps + 1, np.int64)
    np.cumsum(np.bincount(slot, minlength=len(offsets) - 1), out=offsets[1:])
    with open(path, "wb") as file:
        offsets.tofile(file)
        event.tofile(file)


def _write_currents(path: Path, values: NDArray[np.float64], chunks: int, structure: Structure) -> None:
    """Write currents as (chunk, frame, place in the batch, input); the last chunk is filled up with zeros."""
    n_samples, frames, n_inputs = values.shape
    with open(path, "wb") as file:
        for chunk in range(chunks):
            part = values[chunk * structure.batch : (chunk + 1) * structure.batch]
            block = np.zeros((frames, structure.batch, n_inputs), structure.dtype)
            block[:, : len(part)] = part.swapaxes(0, 1)
            block.tofile(file)
    assert n_samples <= chunks * structure.batch


def read_outcome(run: Path, names: list[dict[str, str]], structure: Structure, drive: Drive, chunks: int) -> Outcome:
    """Read spikes, traces and nearest approaches."""
    results, spikes, traces, gaps = run / "results", [], [], []
    for index, row in enumerate(names):
        spikes.append((np.fromfile(results / row["t"], np.float64), np.fromfile(results / row["i"], np.int32)))
        width = structure.batch * structure.network.layers[index].n_post
        traces.append({key: _trace(results / row[key], structure, width) for key in row if key not in ("t", "i")})
        if structure.gap:
            gaps.append(np.fromfile(run / f"{group_name(index)}_gap.bin").reshape(chunks * structure.batch, 2))
    return Outcome(spikes, traces, gaps)


def _trace(path: Path, structure: Structure, width: int) -> Any:
    return np.fromfile(path, structure.dtype).reshape(-1, width)
