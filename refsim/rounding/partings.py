"""Where two runs part, and whether rounding explains it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..distances import Divergence
from ..recording import Recording
from .thresholds import distances_to_threshold


@dataclass(frozen=True)
class Parting:
    """The first place where a sample parts, with both membranes there.

    Attributes
    ----------
    where : Divergence
    left_seen, right_seen : float or None
        What the threshold saw in either run; None where a run cannot be looked into again.
    distance : float
        ``seen - threshold`` in the reference.
    bound : float
        How far rounding can have moved it, in both runs together.
    """

    where: Divergence
    distance: float
    bound: float
    left_seen: float | None = None
    right_seen: float | None = None

    @property
    def excess(self) -> float:
        """By how much the membrane lies farther from threshold than rounding reaches; a distance of 0 in exact sums counts as more."""
        if self.unknown:
            return -math.inf
        return abs(self.distance) - self.bound if self.bound > 0 else abs(self.distance) + 1e-300

    @property
    def tie(self) -> bool:
        """True where rounding alone can have tipped the spike; where sums are exact, the bound is 0 and nothing is a tie."""
        return not self.unknown and 0 < self.bound >= abs(self.distance)

    @property
    def unknown(self) -> bool:
        """True where no bound on rounding is known, as after some steps of a neuron that blows up every difference; no tie is claimed there."""
        return not math.isfinite(self.bound)


def worst_partings(reference: Recording, divergences: Sequence[Divergence], dtypes: tuple[str, ...]) -> list[Parting]:
    """Return, of each sample, the first divergence that rounding explains least.

    Parameters
    ----------
    reference : Recording
        Of which network, drive and spikes are looked at.
    divergences : list of Divergence
        The first ones of each sample.
    dtypes : tuple of str
        Of both runs.
    """
    if not divergences:
        return []
    samples = np.unique([divergence.sample for divergence in divergences])
    layers = distances_to_threshold(reference, samples, dtypes)
    worst: dict[int, Parting] = {}
    for where in divergences:
        at = (int(np.searchsorted(samples, where.sample)), where.step, where.neuron)
        found = Parting(where, float(layers[where.layer].distance[at]), float(layers[where.layer].bound[at]))
        if where.sample not in worst or found.excess > worst[where.sample].excess:
            worst[where.sample] = found
    return list(worst.values())
