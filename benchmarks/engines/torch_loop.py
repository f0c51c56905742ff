"""A plain PyTorch loop, all samples at once, with the first layer's product before the loop."""

from collections.abc import Callable
from typing import Any

import torch

from ..case import DECAY, V_TH, Case
from ..measuring import serve
from .torch_parts import dense, frames, linears, zeros


def prepare(case: Case, dtype: str) -> Callable[[], Any]:
    """Return the loop."""
    real = getattr(torch, dtype)
    layers = linears(case, real)

    @torch.no_grad()
    def run() -> list[torch.Tensor]:
        v, spikes = zeros(case, real), [[] for _ in layers]
        for x in layers[0](frames(case, real)):
            for index, linear in enumerate(layers):
                x = linear(x) if index else x
                v[index] = DECAY * v[index] + x
                x = (v[index] >= V_TH).to(real)
                v[index] = v[index] - V_TH * x
                spikes[index].append(x)
        return [torch.stack(rows) for rows in spikes]

    return run


if __name__ == "__main__":
    serve(prepare, dense, "torch")
