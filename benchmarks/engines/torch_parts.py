"""What the PyTorch engines share: input, linear layers, spikes as arrays.

Each brings its own neurons and its own loop.
"""

from typing import Any

import torch

from ..case import Case


def frames(case: Case, real: torch.dtype) -> torch.Tensor:
    """Return the dense input in the dtype of the run, (n_steps, n_samples, n_inputs).

    A step's rows stand together.
    """
    return (
        torch.from_numpy(case.dense).transpose(0, 1).to(real, memory_format=torch.contiguous_format)
    )


def linears(case: Case, real: torch.dtype) -> list[torch.nn.Linear]:
    """Return a Linear a layer with the weights of the case."""
    torch.set_num_threads(1)
    made = [
        torch.nn.Linear(weight.shape[1], len(weight), bias=False, dtype=real)
        for weight in case.weights
    ]
    for linear, weight in zip(made, case.weights, strict=True):
        linear.weight.data = torch.as_tensor(weight).to(real)
    return made


def zeros(case: Case, real: torch.dtype) -> list[torch.Tensor]:
    """Return the membranes of each layer at the start."""
    return [torch.zeros(len(case.dense), len(weight), dtype=real) for weight in case.weights]


def dense(outcome: Any, case: Case) -> list[Any]:
    """Return spikes (n_steps, n_samples, n_neurons) of each layer as bool arrays, samples first."""
    return [layer.transpose(0, 1).bool().numpy() for layer in outcome]
