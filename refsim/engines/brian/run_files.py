"""The files of one run: what a compiled program reads at its start, and what it leaves behind."""

import errno
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...drive import Drive
from .objects import Structure, group_name, start_values
from .outcome import Coder, Portion, blocks, shaped_traces, to_approach

BYTES_A_SAMPLE = 16  # of the file of nearest approaches: distance and neuron, as doubles


def write_constants(run: Path, structure: Structure, refine: int) -> None:
    """Write what is the same for all samples: weights, constants and the length of a (sub-)step."""
    dtype, network = structure.dtype, structure.network
    for index, layer in enumerate(network.layers):
        with open(run / f"{group_name(index)}_product.bin", "wb") as file:
            np.ascontiguousarray(layer.weight.T, dtype).tofile(file)  # (n_pre, n_post): a row a spike
            layer.bias.astype(dtype).tofile(file)
    values = [np.atleast_1d(value) for row in start_values(structure) for _, value in row]
    np.concatenate(values).astype(dtype).tofile(run / "values.bin")
    np.float64(network.dt / refine).tofile(run / "dt.bin")


def write_input(run: Path, structure: Structure, drive: Drive, refine: int, analog_impulse: bool) -> int:
    """Write the plan of a run and its input; return the number of chunks."""
    chunks = -(-drive.n_samples // structure.batch)
    frames = 1 if drive.values is None else drive.values.shape[1]
    np.array([chunks, drive.n_steps, refine, frames, analog_impulse], np.int64).tofile(run / "run.bin")
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


def read_portion(run: Path, names: list[dict[str, str]], structure: Structure, drive: Drive, refine: int, record: Sequence[str]) -> Portion:
    """Read spikes, traces and nearest approaches; what a full disk has cut short is an error and no result."""
    length, codes, traces, gaps = drive.n_steps * refine, [], [], []
    chunks = -(-drive.n_samples // structure.batch)
    for index, row in enumerate(names):
        coder = Coder(structure, index, drive.n_samples, length, structure.network.dt / refine)
        codes.append(coder.codes(_spike_blocks(run / "results", row)))
        width = structure.batch * structure.network.layers[index].n_post
        raw = {key: _whole(run / "results" / row[key], structure.dtype, chunks * length * width) for key in row if key not in ("N", "t", "i")}
        traces.append(shaped_traces(raw, structure, index, drive.n_samples, length, record))
        if structure.gap:
            gaps.append(_whole(run / f"{group_name(index)}_gap.bin", "float64", 2 * chunks * structure.batch).reshape(-1, 2))
    return Portion(drive.n_samples, codes, tuple(traces), to_approach(gaps, drive.n_samples))


def _spike_blocks(results: Path, row: dict[str, str]) -> Iterator[tuple[Any, Any]]:
    count = int(_whole(results / row["N"], "int32", 1)[0])
    time, index = _mapped(results / row["t"], "float64", count), _mapped(results / row["i"], "int32", count)
    return blocks(time, index)  # type: ignore[no-any-return]


def _mapped(path: Path, dtype: str, count: int) -> Any:
    """Return a file's numbers without reading them all at once."""
    _check_size(path, dtype, count)
    return np.memmap(path, dtype, "r", shape=(count,)) if count else np.zeros(0, dtype)


def _whole(path: Path, dtype: str, count: int) -> Any:
    _check_size(path, dtype, count)
    return np.fromfile(path, dtype)


def _check_size(path: Path, dtype: str, count: int) -> None:
    there, needed = path.stat().st_size if path.is_file() else 0, count * np.dtype(dtype).itemsize
    if there != needed:
        raise OSError(errno.ENOSPC, f"{path.name} has {there} of {needed} bytes")
