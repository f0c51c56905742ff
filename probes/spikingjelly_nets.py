"""SpikingJelly's containers and wrappers around its neurons, random.

Recurrence, delays, convolutions, whole sequences at once.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from .kinds import N_INPUTS, N_NEURONS, Kind, Made


def _lif(rng: np.random.Generator, **options: Any) -> Any:
    """Return a LIF or IF layer of random options."""
    from spikingjelly.activation_based import neuron

    common = {
        "v_threshold": float(rng.uniform(0.3, 1.0)),
        "v_reset": None if rng.integers(2) else float(rng.uniform(-0.3, 0.1)),
        **options,
    }
    if rng.integers(3) == 0:
        return neuron.IFNode(**common)
    return neuron.LIFNode(
        tau=float(rng.uniform(1.2, 6.0)), decay_input=bool(rng.integers(2)), **common
    )


def _in_mode(module: nn.Module, mode: str, **more: Any) -> Made:
    return Made(module.double(), drive=1.5, layout="step" if mode == "s" else "time first", **more)


def _linear_recurrent(rng: np.random.Generator) -> Made:
    from spikingjelly.activation_based import layer

    mode, size = "sm"[rng.integers(2)], 10
    inside = (
        nn.Sequential(_lif(rng), layer.Linear(size, N_NEURONS), _lif(rng))
        if rng.integers(2)
        else _lif(rng)
    )
    width = N_NEURONS if isinstance(inside, nn.Sequential) else size
    loop = layer.LinearRecurrentContainer(
        inside, size, width, bias=bool(rng.integers(2)), step_mode=mode
    )
    return _in_mode(nn.Sequential(layer.Linear(N_INPUTS, size, step_mode=mode), loop), mode)


def _element_wise(rng: np.random.Generator) -> Made:
    from spikingjelly.activation_based import layer

    mode, sign = "sm"[rng.integers(2)], float(rng.choice([-0.7, 0.2, 1.0]))
    loop = layer.ElementWiseRecurrentContainer(_lif(rng), lambda y, x: sign * y + x, step_mode=mode)
    return _in_mode(nn.Sequential(layer.Linear(N_INPUTS, N_NEURONS, step_mode=mode), loop), mode)


def _delayed(rng: np.random.Generator) -> Made:
    from spikingjelly.activation_based import functional, layer

    mode, first, second = "sm"[rng.integers(2)], int(rng.integers(4)), int(rng.integers(1, 7))
    module = nn.Sequential(
        layer.Delay(first),
        layer.Linear(N_INPUTS, N_NEURONS),
        _lif(rng),
        layer.Delay(second),
        layer.Linear(N_NEURONS, N_NEURONS),
        _lif(rng),
    )
    functional.set_step_mode(module, mode)
    return _in_mode(module, mode)


def _sequences(rng: np.random.Generator) -> Made:
    """Return stateless parts in one container and neurons of one step a call in another."""
    from spikingjelly.activation_based import layer

    front = layer.SeqToANNContainer(nn.Linear(N_INPUTS, 12), nn.BatchNorm1d(12))
    _randomise(front, rng)
    return _in_mode(
        nn.Sequential(
            front,
            _lif(rng, step_mode="m"),
            layer.MultiStepContainer(nn.Linear(12, N_NEURONS), _lif(rng)),
        ),
        "m",
    )


def _filtered(rng: np.random.Generator) -> Made:
    """Return filters of the input and of spikes, one of them with a decay that is learned."""
    from spikingjelly.activation_based import functional, layer

    mode = "sm"[rng.integers(2)]
    first, second = (
        layer.SynapseFilter(tau=float(rng.uniform(2.0, 20.0)), learnable=bool(learned))
        for learned in rng.permutation(2)
    )
    module = nn.Sequential(
        layer.Linear(N_INPUTS, 12), _lif(rng), first, layer.Linear(12, N_NEURONS), _lif(rng), second
    )
    functional.set_step_mode(module, mode)
    return _in_mode(module, mode)


def _max_pooled(rng: np.random.Generator) -> Made:
    """Return convolutions with max pools over their spikes.

    The pools are in wrappers that know of time, or in one container for all steps.
    """
    from spikingjelly.activation_based import functional, layer

    geometry = [
        {},
        {"stride": 1},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": 3, "ceil_mode": True},
        {"dilation": 2, "stride": 1},
    ]
    options = {"kernel_size": 2, **geometry[rng.integers(len(geometry))]}
    size = nn.MaxPool2d(**options)(torch.zeros(1, 1, 8, 8)).shape[-1]
    mode = "sm"[rng.integers(2)]
    contained = mode == "m" and bool(rng.integers(2))
    pool: Any = (
        layer.SeqToANNContainer(nn.MaxPool2d(**options))
        if contained
        else layer.MaxPool2d(**options)
    )
    front = [layer.Conv2d(2, 4, 3, padding=1, bias=False), layer.BatchNorm2d(4), _lif(rng), pool]
    back = [
        layer.Conv2d(4, 3, 3, padding=1),
        layer.BatchNorm2d(3),
        _lif(rng),
        layer.AvgPool2d(size),
        layer.Flatten(),
        layer.Linear(3, 5),
        _lif(rng),
    ]
    module = nn.Sequential(*front, *back)
    functional.set_step_mode(module, mode)
    _randomise(module, rng)
    return _in_mode(module.eval(), mode, input_shape=(2, 8, 8))


def _convolutional(rng: np.random.Generator) -> Made:
    from spikingjelly.activation_based import functional, layer

    mode = "sm"[rng.integers(2)]
    module = nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1, bias=bool(rng.integers(2))),
        layer.BatchNorm2d(4),
        _lif(rng),
        layer.AvgPool2d(2),
        layer.Conv2d(4, 3, 3, stride=2, padding=1),
        layer.BatchNorm2d(3),
        _lif(rng),
        layer.Dropout(0.5),
        layer.Flatten(),
        layer.Linear(3 * 2 * 2, 5),
        _lif(rng),
    )
    functional.set_step_mode(module, mode)
    _randomise(module, rng)
    return _in_mode(module.eval(), mode, input_shape=(2, 8, 8))


def _randomise(module: nn.Module, rng: np.random.Generator) -> None:
    """Give batch norms the statistics of a training, and weights that make spikes pass."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            n = part.num_features
            with torch.no_grad():
                part.running_mean[:], part.running_var[:] = (
                    torch.tensor(rng.normal(0, 0.3, n)),
                    torch.tensor(rng.uniform(0.1, 0.5, n)),
                )
                part.weight[:], part.bias[:] = (
                    torch.tensor(rng.uniform(0.5, 1.5, n)),
                    torch.tensor(rng.normal(0.2, 0.2, n)),
                )


_MAKERS: dict[str, Callable[[np.random.Generator], Made]] = {
    "LinearRecurrentContainer": _linear_recurrent,
    "ElementWiseRecurrentContainer": _element_wise,
    "Delay": _delayed,
    "SeqToANNContainer MultiStepContainer": _sequences,
    "SynapseFilter": _filtered,
    "Conv2d BatchNorm2d AvgPool2d Flatten": _convolutional,
    "Conv2d BatchNorm2d MaxPool2d Flatten": _max_pooled,
}


def kinds() -> list[Kind]:
    """Return all kinds."""
    return [Kind(name, make) for name, make in _MAKERS.items()]
