"""SpikingJelly: LIFNode with decay_input=False and v_reset=None.

Its step is `v - v/tau + x`, `>=`, reset by subtraction. Its multi-step mode takes all steps in one
call and so the products of all steps at once. It has kernels for GPUs alone; on a CPU what may be
faster is torch.compile, which is tried on its single step: over a whole sequence it unrolls all
steps of it, and compiles for many minutes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from spikingjelly.activation_based import functional, neuron, surrogate

from ..case import TAU, V_TH, Case
from ..measuring import fastest, serve
from .torch_parts import dense, frames, linears, zeros


def prepare(case: Case, dtype: str) -> Callable[[], Any]:
    """Return the fastest of its modes."""
    real = getattr(torch, dtype)
    layers = linears(case, real)

    def nodes(mode: str) -> list[neuron.LIFNode]:
        return [
            neuron.LIFNode(
                tau=TAU, decay_input=False, v_threshold=V_TH, v_reset=None, step_mode=mode
            ).eval()
            for _ in layers
        ]

    @torch.no_grad()
    def all_steps(lif: list[Callable[[Any], Any]]) -> list[torch.Tensor]:
        x, spikes = frames(case, real), []
        for linear, node in zip(layers, lif, strict=True):
            x = node(linear(x))
            spikes.append(x)
        return spikes

    @torch.no_grad()
    def step_by_step(lif: list[Any], spike: list[Callable[[Any], Any]]) -> list[torch.Tensor]:
        spikes: list[list[torch.Tensor]] = [[] for _ in layers]
        functional.reset_net(torch.nn.ModuleList(lif))
        for x in frames(case, real):
            for index, linear in enumerate(layers):
                x = spike[index](linear(x))
                spikes[index].append(x)
        return [torch.stack(rows) for rows in spikes]

    many, single = nodes("m"), nodes("s")

    def multi_step() -> list[torch.Tensor]:
        functional.reset_net(torch.nn.ModuleList(many))
        return all_steps(many)

    compiled = torch.compile(
        partial(
            functional.lif_step,
            tau=TAU,
            decay_input=False,
            v_threshold=V_TH,
            v_reset=None,
            surrogate_function=surrogate.Sigmoid(),
        ),
        dynamic=False,
    )

    @torch.no_grad()
    def compiled_step() -> list[torch.Tensor]:
        v, spikes = zeros(case, real), [[] for _ in layers]
        for x in layers[0](frames(case, real)):
            for index, linear in enumerate(layers):
                x, v[index] = compiled(linear(x) if index else x, v[index])
                spikes[index].append(x)
        return [torch.stack(rows) for rows in spikes]

    return fastest(
        {
            "single step": lambda: step_by_step(single, single),
            "multi-step": multi_step,
            "single step, torch.compile": compiled_step,
        }
    )


if __name__ == "__main__":
    serve(prepare, dense, "spikingjelly", "torch")
