"""The network and the input that all engines run.

Needs NumPy alone, so that every peer can read it.

784-256-10 neurons, soft-reset leaky integrate-and-fire, T = 100 steps, 5 % of the inputs spike in a
step. The numbers are chosen so that engines which follow the same convention must fire the same
spikes, whatever order they add in:

- weights are multiples of 3/2^14: every sum is exact in float32, in any order; and no sum equals
  the threshold of 1, so
  that `>` and `>=` agree;
- the decay is 0.875 = 1 - 1/8: `decay*v` and `v - v/tau` with tau = 8 round to the same number;
- no membrane reaches twice the threshold, where frameworks part over what one spike takes.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TAU = 8.0  # steps
DECAY, V_TH = 1 - 1 / TAU, 1.0
GRID = 3 / 2**14
SIZES, STEPS, RATE = (784, 256, 10), 100, 0.05
MEAN, SPREAD = (0.003, 0.006), (0.026, 0.05)  # of the weights of each layer


@dataclass(frozen=True)
class Case:
    """A network without biases and its input.

    Attributes
    ----------
    dense : (n_samples, n_steps, n_inputs) bool
    weights : list of (n_post, n_pre) float64
    """

    dense: Any
    weights: list[Any]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Inputs, then the neurons of each layer."""
        return (self.dense.shape[2], *(len(weight) for weight in self.weights))

    def save(self, path: Path) -> None:
        """Write the case for another process."""
        np.savez(
            path,
            dense=self.dense,
            **{f"weight{index}": weight for index, weight in enumerate(self.weights)},
        )

    @classmethod
    def read(cls, path: Path) -> "Case":
        """Read what `save` wrote."""
        with np.load(path) as file:
            return cls(
                file["dense"], [file[f"weight{index}"] for index in range(len(file.files) - 1)]
            )


def make(
    n_samples: int,
    *,
    sizes: tuple[int, ...] = SIZES,
    steps: int = STEPS,
    rate: float = RATE,
    seed: int = 0,
) -> Case:
    """Draw a case; larger layers get weights that keep their neurons firing alike."""
    rng = np.random.default_rng(seed)
    weights = []
    for index, (pre, post) in enumerate(itertools.pairwise(sizes)):
        usual = SIZES[min(index, 1)]
        mean, spread = (
            MEAN[min(index, 1)] * usual / pre,
            SPREAD[min(index, 1)] * (usual / pre) ** 0.5,
        )
        weights.append(np.rint(rng.normal(mean, spread, (post, pre)) / GRID) * GRID)
    dense = np.stack([rng.random((steps, sizes[0]), np.float32) < rate for _ in range(n_samples)])
    return Case(dense, weights)
