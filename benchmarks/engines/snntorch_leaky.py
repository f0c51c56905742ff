"""snnTorch: Leaky layers in its usual loop over time, with reset_delay=False.

So they reset in the step of the spike. Their threshold is `>`; no membrane of the case equals the
threshold. Their spikes are float32 whatever the input, so that in float64 they are converted
between the layers.
"""

from collections.abc import Callable
from typing import Any

import snntorch
import torch

from ..case import DECAY, V_TH, Case
from ..measuring import fastest, serve
from .torch_parts import dense, frames, linears, zeros


def prepare(case: Case, dtype: str) -> Callable[[], Any]:
    """Return the faster of two loops: the first product inside, as users write it, or outside."""
    real = getattr(torch, dtype)
    layers = linears(case, real)
    beta, threshold = torch.tensor(DECAY, dtype=real), torch.tensor(V_TH, dtype=real)
    leaky = [
        snntorch.Leaky(beta=beta, threshold=threshold, reset_delay=False, surrogate_disable=True)
        for _ in layers
    ]

    @torch.no_grad()
    def run(hoisted: bool) -> list[torch.Tensor]:
        v, spikes = zeros(case, real), [[] for _ in layers]
        for x in layers[0](frames(case, real)) if hoisted else frames(case, real):
            for index, linear in enumerate(layers):
                x = x if hoisted and index == 0 else linear(x.to(real))
                x, v[index] = leaky[index](x, v[index])
                spikes[index].append(x)
        return [torch.stack(rows) for rows in spikes]

    return fastest(
        {"product in the loop": lambda: run(False), "product out of the loop": lambda: run(True)}
    )


if __name__ == "__main__":
    serve(prepare, dense, "snntorch", "torch")
