"""Run a network of which some spikes are known.

The known spikes are taken as they are, and the layers of which none were recorded run freely.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import Floats, Ints
from ..networks.drive import Drive
from ..networks.network import Network
from .arrivals import Array, LayerInputs
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
    carried: Array | None = None


Flip = tuple[int, int, int, int]  # row, layer, step, neuron of a decision to take the other way
Rasters = list[NDArray[np.bool_]]  # (n_rows, n_steps, n_neurons), one a layer


def follow(
    network: Network,
    drive: Drive,
    known: Mapping[int, Known],
    rows: Ints | None = None,
    flips: Sequence[Flip] = (),
) -> Rasters:
    """Run the declared step in float64 around what is known, and return the spikes.

    Parameters
    ----------
    network : Network
    drive : Drive
    known : dict of int to Known
        By layer; the others run freely, on what the known ones sent. Its samples are the rows of
        the run.
    rows : (n,) int64, optional
        Samples of the drive to run, each as often as it is named; by default all.
    flips : list of (row, layer, step, neuron)
        Decisions of free layers that are taken the other way.

    Returns
    -------
    list of (n_rows, n_steps, n_neurons) bool, one a layer
    """
    return _follow(
        network,
        drive,
        known,
        rows,
        flips,
        {index for index in range(len(network.layers)) if _runs(network, index, known)},
    )[0]


def follow_and_decide(
    network: Network,
    drive: Drive,
    known: Mapping[int, Known],
    rows: Ints | None = None,
    flips: Sequence[Flip] = (),
) -> tuple[Rasters, Rasters]:
    """Run as `follow` does, and return the spikes and what each layer decides by its card.

    A layer whose spikes are known decides too, from the states in which those spikes leave it.

    Returns
    -------
    fired, decided : list of (n_rows, n_steps, n_neurons) bool, one a layer
    """
    return _follow(network, drive, known, rows, flips, set(range(len(network.layers))))


def membranes(
    network: Network, drive: Drive, known: Mapping[int, Known], layer: int
) -> NDArray[np.float64]:
    """Return what the threshold of one layer saw, where all layers follow what is known.

    Returns
    -------
    (n_samples, n_steps, n_neurons)
    """
    seen: list[Array] = []
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
    tell: Callable[[int, Array], None] | None = None,
) -> tuple[Rasters, Rasters]:
    """Run the layers of `stepped` by their cards; `tell` gets what each threshold compares."""
    # Each sample of the drive is made once, however often it is run.
    rows = np.arange(drive.n_samples) if rows is None else rows
    samples, where = np.unique(rows, return_inverse=True)
    part = drive.take(samples)
    inputs = LayerInputs(network, len(rows))
    fired, decided = (
        [np.zeros((len(rows), drive.n_steps, layer.n_post), bool) for layer in network.layers]
        for _ in range(2)
    )
    states = {index: _start(network, index, part, where) for index in stepped}
    flipped = _by_step(flips)
    for step, frame in enumerate(part.frames()):
        for index, layer in enumerate(network.layers):
            given = known.get(index)
            if index in states:
                decide = _Decision(given, step, flipped.get((index, step), []))
                fired[index][:, step], tested = states[index].step(
                    signed_sums(layer, inputs(index, frame[where])), fired=decide
                )
                if tell is not None:
                    tell(index, tested[0][0])
                decided[index][:, step] = decide.decided
                inputs.spikes[index] = states[index].output(fired[index][:, step])
            elif given is not None:
                fired[index][:, step] = given.fired[:, step]
                inputs.spikes[index] = given.fired[:, step].astype(np.float64)
            if given is not None and given.carried is not None:
                # What was recorded of the numbers that spikes carry takes the place of ours.
                inputs.spikes[index] = _carried(given, step, inputs.spikes[index])
    return fired, decided


def _carried(given: Known, step: int, computed: Array) -> Array:
    """Return what other layers receive of one whose spikes carry what was recorded."""
    assert given.carried is not None
    carried: Array = given.carried[:, step].astype(np.float64)
    return carried if given.seen is None else np.where(given.seen[step], carried, computed)


def _runs(network: Network, index: int, known: Mapping[int, Known]) -> bool:
    """Return whether a layer must run, since not all its spikes, or what they carry, are known."""
    given = known.get(index)
    carries = bool(network.layers[index].model.discrete.payload)
    return given is None or given.seen is not None or (carries and given.carried is None)


def _start(network: Network, index: int, part: Drive, where: Ints) -> LayerState:
    """Return a layer at rest, whose rows draw the random numbers of their samples."""
    layer = network.layers[index]
    drawn = part.draws(index, layer.n_post)

    def draw(step: int, name: str) -> Floats:
        numbers: Floats = drawn(step, name)[where]
        return numbers

    return LayerState.start(layer, network.dt, len(where), draw)


def _by_step(flips: Sequence[Flip]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for row, layer, step, neuron in flips:
        found.setdefault((layer, step), []).append((row, neuron))
    return found


@dataclass
class _Decision:
    """What becomes of a layer's own decision in a step; `decided` keeps that decision."""

    given: Known | None
    step: int
    flipped: list[tuple[int, int]]
    decided: NDArray[np.bool_] | bool = False

    def __call__(self, decided: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the spikes: what is known, else the decision with its flips."""
        self.decided = decided
        fired = np.array(decided, bool)
        for row, neuron in self.flipped:
            fired[row, neuron] ^= True
        if self.given is None:
            return fired
        known = self.given.fired[:, self.step]
        return (
            known if self.given.seen is None else np.where(self.given.seen[self.step], known, fired)
        )
