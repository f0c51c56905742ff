"""Norse: LIFBox cells with reset by subtraction, in a loop over time.

Its step is `v + (x - v)/tau`: with the input times tau this is the case's equation, but it rounds
elsewhere, so that a membrane within rounding of the threshold may fire in one and not in the other.
Its threshold is `>`.
"""

from collections.abc import Callable
from typing import Any

import torch
from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters
from norse.torch.functional.reset import reset_subtract
from norse.torch.module.lif_box import LIFBoxCell

from ..case import TAU, V_TH, Case
from ..measuring import fastest, serve
from .torch_parts import dense, frames, linears, zeros


def prepare(case: Case, dtype: str) -> Callable[[], Any]:
    """Return the faster of the loop with the first product inside and outside."""
    real = getattr(torch, dtype)
    layers = linears(case, real)
    for linear in layers:
        linear.weight.data *= TAU  # a power of two: exact
    inverse = torch.tensor(1000 / TAU, dtype=real)  # 1/s, for dt = 1 ms
    numbers = {
        "v_leak": torch.tensor(0.0, dtype=real),
        "v_th": torch.tensor(V_TH, dtype=real),
        "v_reset": torch.tensor(0.0, dtype=real),
    }
    cell = LIFBoxCell(
        LIFBoxParameters(tau_mem_inv=inverse, reset_method=reset_subtract, **numbers), dt=0.001
    )

    @torch.no_grad()
    def run(hoisted: bool) -> list[torch.Tensor]:
        state, spikes = [LIFBoxFeedForwardState(v) for v in zeros(case, real)], [[] for _ in layers]
        for x in layers[0](frames(case, real)) if hoisted else frames(case, real):
            for index, linear in enumerate(layers):
                x = x if hoisted and index == 0 else linear(x)
                x, state[index] = cell(x, state[index])
                spikes[index].append(x)
        return [torch.stack(rows) for rows in spikes]

    return fastest(
        {"product in the loop": lambda: run(False), "product out of the loop": lambda: run(True)}
    )


if __name__ == "__main__":
    serve(prepare, dense, "norse", "torch")
