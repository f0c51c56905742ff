"""Run a network of which some spikes are known.

They are taken as they are, and what nobody recorded runs freely.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import Ints
from ..networks.drive import Drive
from ..networks.network import Network
from .arrivals import Hearing
from .discrete import LayerState, signed_sums


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of one layer.

    Attributes
    ----------
    fired : (n_samples, n_steps, n_neurons) bool
    seen : (n_steps, n_neurons) bool, or None
        Where it was recorded; None: everywhere.
    carried : (n_samples, n_steps, n_neurons), or None
        What its spikes carry.
    """

    fired: NDArray[np.bool_]
    seen: NDArray[np.bool_] | None = None
    carried: NDArray[Any] | None = None


Flip = tuple[int, int, int, int]  # row, layer, step, neuron: a decision that is taken the other way
Rasters = list[NDArray[np.bool_]]  # (n_rows, n_steps, n_neurons), one a layer


def follow(
    network: Network,
    drive: Drive,
    known: Mapping[int, Known],
    rows: Ints | None = None,
    flips: Sequence[Flip] = (),
) -> Rasters:
    """Run the declared step in float64 around what is known; return what fires.

    Parameters
    ----------
    network : Network
    drive : Drive
    known : dict of int to Known
        By layer; the others run freely, on what the known ones sent. Its rows are the run's.
    rows : (n,) int64, optional
        Samples of the drive to run, each as often as it is named; by default all.
    flips : list of (row, layer, step, neuron)
        Decisions of free layers that are taken the other way.
    """
    return _follow(
        network,
        drive,
        known,
        rows,
        flips,
        {index for index in range(len(network.layers)) if _runs(network, index, known)},
    )[0]


def replay(
    network: Network,
    drive: Drive,
    known: Mapping[int, Known],
    rows: Ints | None = None,
    flips: Sequence[Flip] = (),
) -> tuple[Rasters, Rasters]:
    """Do the same, and return beside what fires what each layer decides by declaration where it
    follows those spikes.
    """
    return _follow(network, drive, known, rows, flips, set(range(len(network.layers))))


def membranes(
    network: Network, drive: Drive, known: Mapping[int, Known], layer: int
) -> NDArray[np.float64]:
    """Return what the threshold of one layer saw, (n_samples, n_steps, n_neurons), where all layers
    follow what is known.
    """
    seen: list[NDArray[Any]] = []
    _follow(
        network,
        drive,
        known,
        None,
        (),
        set(range(len(network.layers))),
        lambda index, tested: seen.append(tested) if index == layer else None,
    )
    return np.stack(
        [np.broadcast_to(each, (drive.n_samples, network.layers[layer].n_post)) for each in seen],
        axis=1,
    )


def _follow(
    network: Network,
    drive: Drive,
    known: Mapping[int, Known],
    rows: Ints | None,
    flips: Sequence[Flip],
    stepped: set[int],
    tell: Callable[[int, Any], None] | None = None,
) -> tuple[Rasters, Rasters]:
    rows = np.arange(drive.n_samples) if rows is None else rows
    samples, where = np.unique(rows, return_inverse=True)
    part = drive.take(samples)
    hear = Hearing(network, len(rows))
    fired, decided = (
        [np.zeros((len(rows), drive.n_steps, layer.n_post), bool) for layer in network.layers]
        for _ in range(2)
    )
    states = {index: _start(network, index, part, where) for index in stepped}
    turned = _by_step(flips)
    for step, frame in enumerate(part.frames()):
        for index, layer in enumerate(network.layers):
            given = known.get(index)
            if index in states:
                decide = _Decision(given, step, turned.get((index, step), []))
                fired[index][:, step], tested = states[index].step(
                    signed_sums(layer, hear(index, frame[where])), fired=decide
                )
                if tell is not None:
                    tell(index, tested[0][0])
                decided[index][:, step] = decide.own
                hear.spikes[index] = states[index].output(fired[index][:, step])
            elif given is not None:
                fired[index][:, step] = given.fired[:, step]
                hear.spikes[index] = given.fired[:, step].astype(np.float64)
            if given is not None and given.carried is not None:
                hear.spikes[index] = _carried(given, step, hear.spikes[index])
    return fired, decided


def _carried(given: Known, step: int, made: NDArray[Any]) -> NDArray[Any]:
    """Return what other layers hear of one whose spikes carry what was recorded."""
    assert given.carried is not None
    carried = given.carried[:, step].astype(np.float64)
    return carried if given.seen is None else np.where(given.seen[step], carried, made)


def _runs(network: Network, index: int, known: Mapping[int, Known]) -> bool:
    """Return whether a layer must be stepped.

    Where a spike of it, or what its spikes carry, is not known.
    """
    given = known.get(index)
    carries = bool(network.layers[index].model.discrete.payload)
    return given is None or given.seen is not None or (carries and given.carried is None)


def _start(network: Network, index: int, part: Drive, where: Ints) -> LayerState:
    layer = network.layers[index]
    drawn = part.draws(index, layer.n_post)

    def draw(step: int, name: str) -> Any:
        return drawn(step, name)[where]

    return LayerState.start(layer, network.dt, len(where), draw)


def _by_step(flips: Sequence[Flip]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for row, layer, step, neuron in flips:
        found.setdefault((layer, step), []).append((row, neuron))
    return found


@dataclass
class _Decision:
    """What is done with a layer's own decision in a step; `own` keeps it."""

    given: Known | None
    step: int
    turned: list[tuple[int, int]]
    own: Any = False

    def __call__(self, own: Any) -> Any:
        """Return what fires."""
        self.own = own
        decided = np.array(own, bool)
        for row, neuron in self.turned:
            decided[row, neuron] ^= True
        if self.given is None:
            return decided
        fired = self.given.fired[:, self.step]
        return (
            fired
            if self.given.seen is None
            else np.where(self.given.seen[self.step], fired, decided)
        )
