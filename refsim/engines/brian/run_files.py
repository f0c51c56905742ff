"""The files of one run: what a compiled program reads at its start, and what it leaves behind."""

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ...drive import Drive
from ...spikes import SpikeTrains
from ..convolution import layer_kernels
from ..discrete import parts_by_input
from .objects import Structure, group_name, start_values
from .outcome import Portion, check_codes, code_type, shaped_traces, to_approach
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


def read_portion(run: Path, names: list[dict[str, str]], structure: Structure, drive: Drive, refine: int, record: Sequence[str]) -> Portion:
    """Read spikes, traces and nearest approaches; what a full disk has cut short is an error and no result."""
    length, codes, traces, gaps = drive.n_steps * refine, [], [], []
    chunks = -(-drive.n_samples // structure.batch)
    for index, layer in enumerate(structure.network.layers):
        name, width = group_name(index), structure.batch * layer.n_post
        kind = code_type(drive.n_samples, length, layer.n_post)
        codes.append(check_codes(np.fromfile(run / f"{name}_spikes.bin", kind), drive.n_samples * length * layer.n_post))
        raw = {key: _whole(run / "results" / file, structure.dtype, chunks * length * width) for key, file in (names[index] if names else {}).items()}
        traces.append(shaped_traces(raw, structure, index, drive.n_samples, length, record if raw else ()))
        if structure.gap:
            gaps.append(_whole(run / f"{name}_gap.bin", "float64", 2 * chunks * structure.batch).reshape(-1, 2))
    return Portion(drive.n_samples, codes, tuple(traces), to_approach(gaps, drive.n_samples))


def _whole(path: Path, dtype: str, count: int) -> Any:
    _check_size(path, dtype, count)
    return np.fromfile(path, dtype)


def _check_size(path: Path, dtype: str, count: int) -> None:
    there, needed = path.stat().st_size if path.is_file() else 0, count * np.dtype(dtype).itemsize
    if there != needed:
        raise OSError(errno.ENOSPC, f"{path.name} has {there} of {needed} bytes")
