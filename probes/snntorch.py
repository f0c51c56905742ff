"""snnTorch's layers, random; its spikes are float32 whatever the module is, and so are these."""

from collections.abc import Callable
from typing import Any

import numpy as np
import snntorch
import torch
from torch import nn

from .kinds import N_INPUTS, N_NEURONS, Kind, Made

RESETS = ("subtract", "zero", "none")
Generator = np.random.Generator


class Explicit(nn.Module):
    """A layer whose states the module hands over itself, over all steps: time first."""

    def __init__(self, neuron: Any) -> None:
        super().__init__()
        self.linear, self.neuron = nn.Linear(N_INPUTS, N_NEURONS), neuron

    def forward(self, x: Any) -> Any:
        """Run over time."""
        n_states = sum(hasattr(self.neuron, name) for name in ("spk", "syn", "mem"))
        states, spikes = (x.new_zeros(x.shape[1], N_NEURONS),) * n_states, []
        for frame in x:
            sent, *rest = self.neuron(self.linear(frame), *states)
            states = (sent, *rest) if hasattr(self.neuron, "spk") else tuple(rest)
            spikes.append(sent)
        return torch.stack(spikes)


def _decay(rng: Generator) -> Any:
    """Return a decay, of the layer or of each neuron."""
    return (
        torch.tensor(rng.uniform(0.3, 1.0, N_NEURONS), dtype=torch.float32)
        if rng.integers(2)
        else float(rng.uniform(0.3, 1.0))
    )


def _leaky(rng: Generator) -> dict[str, Any]:
    return {"beta": _decay(rng), "threshold": float(rng.uniform(0.3, 2.0))}


def _synaptic(rng: Generator) -> dict[str, Any]:
    return {"alpha": _decay(rng), **_leaky(rng)}


def _lapicque(rng: Generator) -> dict[str, Any]:
    return {
        "R": float(rng.uniform(0.5, 3)),
        "C": float(rng.uniform(2, 9)),
        "time_step": float(rng.uniform(0.5, 1.0)),
        "threshold": float(rng.uniform(0.1, 0.5)),
    }


def _dense(rng: Generator) -> dict[str, Any]:
    return {"linear_features": N_NEURONS, **_leaky(rng)}


def _by_element(rng: Generator) -> dict[str, Any]:
    return {
        "all_to_all": False,
        "V": torch.tensor(rng.normal(0, 1, N_NEURONS), dtype=torch.float32),
        **_leaky(rng),
    }


def _kind(
    layer: Any,
    parameters: Callable[[Generator], dict[str, Any]],
    said: str = "",
    explicit: bool = False,
    **options: Any,
) -> Kind:
    """Return a kind; `explicit`: the module hands its states over itself."""
    name = " ".join(
        [
            layer.__name__,
            *([said] if said else []),
            *(f"{key}={value}" for key, value in options.items()),
        ]
    )

    def make(rng: Generator) -> Made:
        neuron = layer(init_hidden=not explicit, **parameters(rng), **options)
        # Strong enough to change spikes, and not symmetric.
        if getattr(neuron, "recurrent", None) is not None:
            for each in neuron.recurrent.parameters():
                each.data = each.data * 3
        return (
            Made(Explicit(neuron), drive=2.0, input_shape=(N_INPUTS,))
            if explicit
            else Made(nn.Sequential(nn.Linear(N_INPUTS, N_NEURONS), neuron), drive=2.0)
        )

    return Kind(name, make)


def _synaptic_dense(rng: Generator) -> dict[str, Any]:
    return {"linear_features": N_NEURONS, **_synaptic(rng)}


def _convolutional(rng: Generator) -> Made:
    """Return convolutions, batch norm and a max pool over spikes."""
    front, back = (
        snntorch.Leaky(
            init_hidden=True, reset_mechanism=str(rng.choice(RESETS)), **_leaky_of_one_decay(rng)
        )
        for _ in range(2)
    )
    norm = nn.BatchNorm2d(4)
    with torch.no_grad():
        norm.running_mean[:], norm.running_var[:] = (
            torch.tensor(rng.normal(0, 0.3, 4)),
            torch.tensor(rng.uniform(0.1, 0.5, 4)),
        )
    layers = [
        nn.Conv2d(2, 4, 3, padding=1),
        norm,
        front,
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Flatten(),
        nn.Linear(4 * 4 * 4, N_NEURONS),
        back,
    ]
    return Made(nn.Sequential(*layers).eval(), drive=1.0, input_shape=(2, 8, 8))


def _leaky_of_one_decay(rng: Generator) -> dict[str, Any]:
    return {"beta": float(rng.uniform(0.3, 1.0)), "threshold": float(rng.uniform(0.3, 1.0))}


def kinds() -> list[Kind]:
    """Return all kinds."""
    delays = [(reset, delay) for reset in RESETS for delay in (True, False)]
    found = [
        _kind(snntorch.Leaky, _leaky, reset_mechanism=reset, reset_delay=delay)
        for reset, delay in delays
    ]
    found += [
        _kind(snntorch.Synaptic, _synaptic, reset_mechanism=reset, reset_delay=delay)
        for reset, delay in delays
    ]
    found += [
        _kind(snntorch.RLeaky, _dense, "dense", reset_mechanism=reset, reset_delay=delay)
        for reset, delay in delays
    ]
    found += [
        _kind(snntorch.RLeaky, _by_element, "by element", reset_mechanism=reset) for reset in RESETS
    ]
    found += [
        _kind(snntorch.RSynaptic, _synaptic_dense, "dense", reset_mechanism=reset)
        for reset in RESETS
    ]
    found += [
        _kind(
            snntorch.RSynaptic,
            _synaptic_dense,
            "dense, explicit states",
            explicit=True,
            reset_mechanism=reset,
            reset_delay=False,
        )
        for reset in RESETS
    ]
    found += [
        _kind(snntorch.Leaky, _leaky, "explicit states", explicit=True, reset_mechanism=reset)
        for reset in RESETS
    ]
    found += [_kind(snntorch.Lapicque, _lapicque, reset_mechanism=reset) for reset in RESETS]
    return [*found, Kind("Conv2d BatchNorm2d MaxPool2d", _convolutional)]
