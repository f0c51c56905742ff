"""The hand-written kernel of kernel.cpp.

Compiled for this network and dtype with the best of several sets of flags.
"""

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..case import DECAY, Case
from ..measuring import fastest, serve

SOURCE = Path(__file__).with_suffix(".cpp")
BASE = ("-O3", "-march=native", "-shared", "-fPIC", "-w", "-std=c++17")
# Bytes of a vector, and flags. Contraction stays off: it is no faster here, and its other rounding
# fires other spikes.
FLAGS = {
    "plain": (64, ()),
    "exact, 512 bits": (64, ("-ffp-contract=off", "-mprefer-vector-width=512")),
    "exact, 256 bits": (32, ("-ffp-contract=off", "-mprefer-vector-width=256")),
    "fast-math, 512 bits": (64, ("-ffp-contract=off", "-ffast-math", "-mprefer-vector-width=512")),
    "fast-math, 256 bits": (32, ("-ffp-contract=off", "-ffast-math", "-mprefer-vector-width=256")),
}


class Spikes(ctypes.Structure):
    """Where the kernel puts the spikes of one layer."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in ("sample", "step", "neuron"))


def library(case: Case, dtype: str, vector: int, flags: tuple[str, ...]) -> Any:
    """Compile the kernel; it is loaded before its folder goes."""
    pre, hidden, out = case.sizes
    sizes = {
        "REAL": {"float32": "float", "float64": "double"}[dtype],
        "VECTOR": vector,
        "PRE": pre,
        "HIDDEN": hidden,
        "OUT": out,
        "STEPS": case.dense.shape[1],
    }
    with tempfile.TemporaryDirectory(prefix="refsim-kernel-") as folder:
        made = Path(folder) / "kernel.so"
        defined = [f"-D{name}={value}" for name, value in sizes.items()]
        subprocess.run(
            [os.environ.get("CXX", "g++"), *BASE, *flags, *defined, str(SOURCE), "-o", str(made)],
            check=True,
            capture_output=True,
        )
        return ctypes.CDLL(str(made))


def aligned(weight: Any, dtype: str, vector: int) -> Any:
    """Return a weight matrix as (n_pre, n_post), each row filled up to whole vectors.

    It begins at an address that vectors may load from.
    """
    lanes = vector // np.dtype(dtype).itemsize
    shape = (weight.shape[1], -(-len(weight) // lanes) * lanes)
    raw = np.zeros(shape[0] * shape[1] * np.dtype(dtype).itemsize + 64, np.uint8)
    first = -raw.ctypes.data % 64
    rows = raw[first : len(raw) - 64 + first].view(dtype).reshape(shape)
    rows[:, : len(weight)] = weight.T
    return rows


def prepare(case: Case, dtype: str) -> Callable[[], Any]:
    """Compile with each set of flags and keep the fastest."""
    n_samples, n_steps, _ = case.dense.shape

    def runner(vector: int, flags: tuple[str, ...]) -> Callable[[], Any]:
        kernel = library(case, dtype, vector, flags)

        def run() -> list[tuple[Any, ...]]:
            weights = [aligned(weight, dtype, vector) for weight in case.weights]
            # Every neuron may spike; untouched pages cost nothing.
            room = [n_samples * n_steps * len(weight) for weight in case.weights]
            columns = [[np.empty(size, np.int32) for _ in range(3)] for size in room]
            to = (Spikes * 2)(
                *[Spikes(*[column.ctypes.data for column in layer]) for layer in columns]
            )
            found = (ctypes.c_int64 * 2)()
            pointers = [ctypes.c_void_p(array.ctypes.data) for array in (case.dense, *weights)]
            kernel.run(pointers[0], n_samples, *pointers[1:], ctypes.c_double(DECAY), to, found)
            return [
                tuple(column[:count] for column in layer)
                for layer, count in zip(columns, found, strict=True)
            ]

        return run

    return fastest({name: runner(vector, flags) for name, (vector, flags) in FLAGS.items()})


def dense(outcome: Any, case: Case) -> list[Any]:
    """Return the spikes as arrays."""
    arrays = [np.zeros((*case.dense.shape[:2], size), bool) for size in case.sizes[1:]]
    for array, (sample, step, neuron) in zip(arrays, outcome, strict=True):
        array[sample, step, neuron] = True
    return arrays


if __name__ == "__main__":
    serve(prepare, dense, "numpy")
