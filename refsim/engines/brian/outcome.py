"""The results of a run: of one portion of the samples, and put together as one recording.

A portion is small enough to keep and to send: its spikes are one sorted number each.
"""

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...core.arrays import Floats
from ...core.errors import RefsimError
from ...core.spikes import SpikeTrains
from ...networks.drive import Drive
from ...networks.network import Network
from ...networks.recording import Approach
from ..arrivals import Array
from .network import Structure, trace_variables
from .text import FAR

_BLOCK = 1 << 20  # spikes handled at a time
BYTES_A_SPIKE = 28  # of a result in memory at its largest: 4 as a code, and three columns of 8


@dataclass(frozen=True, eq=False)
class Portion:
    """The results of some consecutive samples.

    Attributes
    ----------
    n_samples : int
    codes : list of (n_spikes,) uint32 or uint64, one a layer
        ``(sample*n_steps + step)*n_neurons + neuron``, ascending; steps are sub-steps in fine mode.
    traces : tuple of dict of str to (n_samples, n_steps, n_neurons), one a layer
    approach : tuple of Approach, one a layer, or empty
    """

    n_samples: int
    codes: list[Array]
    traces: tuple[dict[str, Array], ...]
    approach: tuple[Approach, ...]


def code_type(n_samples: int, length: int, n_post: int) -> type[np.unsignedinteger[Any]]:
    """Return the smallest type of whole numbers for every code of such a run."""
    return np.uint32 if n_samples * length * n_post <= 1 << 32 else np.uint64


def check_codes(codes: Array, bins: int) -> Array:
    """Return the codes, and refuse those of a damaged file.

    Such codes are not in order, are there twice, or lie outside the run.
    """
    if codes.size and (int(codes[-1]) >= bins or bool(np.less_equal(codes[1:], codes[:-1]).any())):
        raise RefsimError(
            "the compiled network left spikes that cannot be (out of order, or outside the run). "
            "Run it again; `refsim cache clear` helps."
        )
    return codes


def shaped_traces(
    raw: dict[str, Array],
    structure: Structure,
    layer: int,
    n_samples: int,
    length: int,
    record: Sequence[str],
) -> dict[str, Array]:
    """Give the recorded membranes of a layer their shape (n_samples, n_steps, n_neurons)."""
    n_post, arrays = structure.network.layers[layer].n_post, {}
    names = trace_variables(structure.network.layers[layer].model, record, fine=structure.fine)
    for name in names:
        by_chunk = raw[names[name]].reshape(-1, length, structure.batch, n_post).swapaxes(1, 2)
        arrays[name] = by_chunk.reshape(-1, length, n_post)[:n_samples]
    return arrays


def nearest_of(gap: Array) -> Floats:
    """Return rows of the smallest distance and its neuron from gaps (n_samples, n_neurons)."""
    nearest = gap.argmin(axis=1)
    return np.stack([gap[np.arange(len(gap)), nearest], nearest], axis=1).astype(np.float64)


def to_approach(gaps: Sequence[Array], n_samples: int) -> tuple[Approach, ...]:
    """Return the nearest approach of each sample, one a layer, from rows of (distance, neuron).

    The distance is infinite where there is no threshold.
    """
    return tuple(
        Approach(
            np.where(gap < FAR / 2, gap, np.inf)[:n_samples, 0], gap[:n_samples, 1].astype(np.int64)
        )
        for gap in gaps
    )


@dataclass
class Collector:
    """Puts portions together in the order of their samples, in whatever order they come.

    Parameters
    ----------
    drive : Drive
        Of all samples.
    refine : int
    """

    network: Network
    drive: Drive
    refine: int
    _there: dict[int, Portion] = field(default_factory=dict)
    _traces: list[dict[str, Array]] = field(default_factory=list)
    n_samples: int = 0
    n_spikes: int = 0

    def add(self, first: int, portion: Portion) -> None:
        """Take the results of the samples from `first` on."""
        # The first portion shows which traces there are; room for all samples is made at once.
        if not self._traces:
            self._traces = [
                {
                    name: np.empty((self.drive.n_samples, *part.shape[1:]), part.dtype)
                    for name, part in row.items()
                }
                for row in portion.traces
            ]
        for row, part in zip(self._traces, portion.traces, strict=True):
            for name, values in part.items():
                row[name][first : first + portion.n_samples] = values
        self._there[first] = Portion(portion.n_samples, portion.codes, (), portion.approach)
        self.n_samples += portion.n_samples
        self.n_spikes += sum(map(len, portion.codes))

    def spikes(self, workers: int = 1) -> tuple[SpikeTrains, ...]:
        """Return the trains of all layers, with portions unpacked by so many threads.

        The codes that they are made from are freed on the way.
        """
        assert self.n_samples == self.drive.n_samples
        with ThreadPoolExecutor(workers) as pool:
            return tuple(self._train(layer, pool) for layer in range(len(self.network.layers)))

    def traces(self) -> tuple[dict[str, Array], ...]:
        """Return the traces of all layers."""
        return tuple(self._traces)

    def approach(self) -> tuple[Approach, ...]:
        """Return the nearest approaches of all layers."""
        rows = [self._there[first].approach for first in sorted(self._there)]
        return tuple(
            Approach(
                np.concatenate([row[layer].distance for row in rows]),
                np.concatenate([row[layer].neuron for row in rows]),
            )
            for layer in range(len(rows[0]))
        )

    def _train(self, layer: int, pool: Executor) -> SpikeTrains:
        n_post, length = self.network.layers[layer].n_post, self.drive.n_steps * self.refine
        firsts = sorted(self._there)
        ends = np.cumsum([0, *(len(self._there[first].codes[layer]) for first in firsts)])
        sample, step, neuron = (np.empty(ends[-1], np.int64) for _ in range(3))

        def unpack(first: int, end: int) -> None:
            codes = self._there[first].codes[layer]
            self._there[first].codes[layer] = codes[:0].copy()
            for at in range(0, len(codes), _BLOCK):
                # In the short type of the codes, since a division of 32 bits is faster.
                code = codes[at : at + _BLOCK]
                here = slice(end, end := end + len(code))
                bins = code // n_post
                neuron[here] = code - bins * n_post
                whole = bins // length
                step[here] = bins - whole * length
                sample[here] = whole
                sample[here] += first

        for _ in pool.map(unpack, firsts, ends[:-1].tolist()):
            pass
        return SpikeTrains(
            sample,
            step,
            neuron,
            self.drive.n_samples,
            length,
            n_post,
            self.network.dt / self.refine,
        )
