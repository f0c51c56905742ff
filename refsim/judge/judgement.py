"""What a replay finds: decisions that are not right, and how all decisions of each layer came out."""

import math
from dataclasses import dataclass, field

import numpy as np

from ..core.arrays import Floats, Ints


@dataclass(frozen=True)
class Decision:
    """One decision that is not right: whether a neuron fires in a step of a sample.

    Attributes
    ----------
    layer, sample, step, neuron : int
    fired : bool
        What the run did.
    distance, bound : float
        ``seen - threshold`` in the replay, and how far rounding may have moved it; infinite where
        nothing is proven.
    seen : float
        What the threshold saw in the replay.
    what : {"spike", "membrane", "payload"}
        What is not as declared: the spike, or only the number beside it; then `distance` is by how
        much it is off.
    trial_seen : float or None
        What it saw in the run, where that is known.
    """

    layer: int
    sample: int
    step: int
    neuron: int
    fired: bool
    distance: float
    bound: float
    seen: float
    what: str = "spike"
    trial_seen: float | None = None

    @property
    def known(self) -> bool:
        """Whether anything is proven about how far rounding reaches here."""
        return math.isfinite(self.bound)


@dataclass
class LayerJudgement:
    """How the decisions of one layer came out.

    Attributes
    ----------
    right, within, wrong, unjudged : int
        Decisions as declared; as rounding allows; neither; and those whose bound is coarser than a
        twentieth of the way from reset to threshold, of which nothing is said unless they are wrong
        beyond that bound.
    membranes, numbers : int
        Known membranes, and numbers that spikes carry, farther from the replay than rounding
        reaches.
    coarsest : float
        The largest bound as a share of the way from reset to threshold.
    judged : bool
        False where the layer was not recorded: it is taken to have fired as the run says, and not
        judged.
    """

    right: int = 0
    within: int = 0
    wrong: int = 0
    unjudged: int = 0
    membranes: int = 0
    numbers: int = 0
    coarsest: float = 0.0
    judged: bool = True

    @property
    def total(self) -> int:
        """All decisions that were looked at."""
        return self.right + self.within + self.wrong + self.unjudged

    @property
    def faults(self) -> int:
        """What rounding does not explain."""
        return self.wrong + self.membranes + self.numbers


@dataclass
class Replay:
    """What a replay found.

    Attributes
    ----------
    layers : list of LayerJudgement
    samples : (n,) int64
        Those that were replayed.
    bounds : dict of (layer, sample) to (distance, bound)
        Both (n_steps, n_neurons), of few samples, whose decisions were bounded one by one.
    wrong, open : list of Decision
        Wrong ones; and those that differ from the declared step within rounding, or where no bound
        is known. By step, then layer, sample and neuron; each layer's first hundred.
    """

    layers: list[LayerJudgement]
    samples: Ints
    wrong: list[Decision] = field(default_factory=list)
    open: list[Decision] = field(default_factory=list)
    wrong_samples: set[int] = field(default_factory=set)
    bounds: dict[tuple[int, int], tuple[Floats, Floats]] = field(default_factory=dict)

    def bound_at(self, layer: int, sample: int, neuron: int) -> float | None:
        """Return how far rounding reaches where a neuron came nearest to threshold.

        None where that was not bounded by itself.
        """
        if (layer, sample) not in self.bounds:
            return None
        distance, bound = self.bounds[layer, sample]
        return float(bound[int(np.argmin(np.abs(distance[:, neuron]))), neuron])

    def count(self, kind: str) -> int:
        """Return how many decisions are of a kind, over all layers."""
        return sum(getattr(layer, kind) for layer in self.layers)

    @property
    def total(self) -> int:
        """All decisions that were looked at."""
        return sum(layer.total for layer in self.layers)

    @property
    def judged_share(self) -> float:
        """The share of decisions that were judged."""
        return 1 - self.count("unjudged") / max(self.total, 1)

    @property
    def coarsest(self) -> float:
        """The largest bound as a share of the way from reset to threshold."""
        return max((layer.coarsest for layer in self.layers if layer.judged), default=0.0)

    @property
    def culprits(self) -> list[int]:
        """Layers that are not the declared ones."""
        return [index for index, layer in enumerate(self.layers) if layer.faults]
