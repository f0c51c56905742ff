"""What refsim's own PyTorch steps decide in a dtype, where each neuron follows the spikes that a
run has fired.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..cards.names import INPUT
from ..core.arrays import Ints
from ..engines.discrete import parts_by_input
from ..engines.pytorch import Torch, WeightedSum, _draws, constants_on, states_like
from ..networks.recording import Recording
from ..pytorch.surrogate import heaviside


def own_decisions(trial: Recording, dtype: str) -> Callable[[Ints], list[NDArray[np.bool_]]]:
    """Return a function of samples that gives the spikes of each layer, (n, n_steps, n_neurons).

    Parameters
    ----------
    trial : Recording
        Its spikes, and what they carry where that was recorded, are what layers hear and what
        neurons follow.
    dtype : {"float16", "bfloat16", "float32", "float64"}
    """

    def decide(samples: Ints) -> list[NDArray[np.bool_]]:
        with torch.no_grad():
            return _decided(trial, samples, getattr(torch, dtype))

    return decide


def _decided(trial: Recording, samples: Ints, dtype: torch.dtype) -> list[NDArray[np.bool_]]:
    network, drive, cpu = trial.network, trial.drive.take(samples), torch.device("cpu")
    fired = [torch.as_tensor(train.take(samples).dense()).to(dtype) for train in trial.spikes]
    carried = [_carried(trial, index, samples, dtype) for index in range(len(fired))]
    outputs = [torch.zeros(len(samples), layer.n_post, dtype=dtype) for layer in network.layers]
    states = [
        states_like(output, layer) for output, layer in zip(outputs, network.layers, strict=True)
    ]
    constants = [constants_on(layer, network.dt, cpu, dtype) for layer in network.layers]
    sums = [
        {
            name: WeightedSum(index, part, len(samples), dtype, cpu, drive.held)
            for name, part in parts_by_input(layer).items()
        }
        for index, layer in enumerate(network.layers)
    ]
    draws = _draws(network, drive, dtype, cpu)
    found = [np.zeros(train.shape, bool) for train in fired]
    for step, frame in enumerate(torch.as_tensor(each).to(dtype) for each in drive.frames()):
        for index, layer in enumerate(network.layers):
            given = {name: total(frame, outputs) for name, total in sums[index].items()}
            current: Any = given[INPUT] if len(given) == 1 else given
            act, p = Torch().step_of(layer.model), constants[index] | draws[index].next()
            spikes, _, _ = act(current, states[index], p, heaviside)
            found[index][:, step] = (
                spikes.numpy(force=True) > 0
                if dtype != torch.bfloat16
                else spikes.float().numpy() > 0
            )
            _, _, states[index] = act(current, states[index], p, _given(fired[index][:, step]))
            payload = layer.model.discrete.payload
            sent = states[index][payload] if payload else fired[index][:, step]
            outputs[index] = sent if carried[index] is None else carried[index][:, step]
    return found


def _given(spikes: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda _distance: spikes


def _carried(trial: Recording, index: int, samples: Ints, dtype: torch.dtype) -> Any:
    if not trial.traces or "payload" not in trial.traces[index]:
        return None
    return torch.as_tensor(trial.traces[index]["payload"][samples]).to(dtype)
