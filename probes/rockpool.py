"""Rockpool's layers, random: LIFNeuronTorch in float64.

Only its own spikes and resets are float32.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from .kinds import N_INPUTS, N_NEURONS, Kind, Made

Rng = np.random.Generator


def _own(rng: Rng, low: float, high: float, shape: tuple[int, ...] = (N_NEURONS,)) -> Any:
    """Return one value, or one a neuron."""
    return torch.tensor(
        rng.uniform(low, high, shape if rng.integers(2) else ()), dtype=torch.float32
    )


def _common(rng: Rng) -> dict[str, Any]:
    """Return what all layers that fire have; one in two fires no more than a few spikes a step."""
    from rockpool.nn.modules.torch.lif_torch import PeriodicExponential, StepPWL

    return {
        "threshold": _own(rng, 0.3, 2.0),
        "bias": _own(rng, -0.05, 0.1),
        "spike_generation_fn": (StepPWL, PeriodicExponential)[rng.integers(2)],
        "max_spikes_per_dt": torch.tensor(
            float(rng.integers(1, 4)) if rng.integers(2) else 2.0**16
        ),
    }


def _leak(rng: Rng, n_synapses: int) -> dict[str, Any]:
    """Return time constants, decays or bit shifts, and a recurrent map that is not symmetric.

    Synapses of a neuron decay alike.
    """
    mode = ("taus", "decays", "bitshifts")[rng.integers(3)]
    mem, syn, low, high = {
        "taus": ("tau_mem", "tau_syn", 2e-3, 40e-3),
        "decays": ("alpha", "beta", 0.5, 0.99),
        "bitshifts": ("dash_mem", "dash_syn", 1.0, 5.0),
    }[mode]
    shared = _own(rng, low, high, (N_NEURONS, 1))
    made = {
        "leak_mode": mode,
        syn: shared.expand(N_NEURONS, n_synapses).clone() if shared.ndim else shared,
    }
    # The layer asks for its truth, which one a neuron have not.
    made[mem] = torch.tensor(rng.uniform(low, high), dtype=torch.float32)
    if made[syn].ndim:
        made["later"] = {syn: made.pop(syn)}
    if rng.integers(2):
        made |= {
            "has_rec": True,
            "w_rec": torch.tensor(
                rng.normal(0, 0.15, (N_NEURONS, N_NEURONS * n_synapses)), dtype=torch.float32
            ),
        }
    return made


def _linear(rng: Rng, n_in: int, n_out: int) -> Any:
    from rockpool.nn.modules import LinearTorch

    return LinearTorch((n_in, n_out), has_bias=bool(rng.integers(2)))


def _lif(rng: Rng, dt: float, n_synapses: int = 1, kind: str = "LIFTorch") -> Any:
    import rockpool.nn.modules as modules

    given = {**_leak(rng, n_synapses), **_common(rng)}
    later = given.pop("later", {})
    layer = getattr(modules, kind)((N_NEURONS * n_synapses, N_NEURONS), dt=dt, **given)
    for name, values in later.items():
        getattr(layer, name).data = values
    return layer


def _sequential(*parts: Any) -> nn.Module:
    from rockpool.nn.combinators import Sequential

    made: nn.Module = Sequential(*parts)
    return made


def _kind(name: str, make: Callable[[Rng, float], nn.Module], drive: float = 1.0) -> Kind:
    def made(rng: Rng) -> Made:
        return Made(make(rng, 1e-3 * float(rng.integers(1, 4))), drive=drive, dt=None)

    return Kind(name, made)


def _neuron(rng: Rng, dt: float) -> Any:
    from rockpool.nn.modules import LIFNeuronTorch

    given = _common(rng)
    given.pop("spike_generation_fn")
    return LIFNeuronTorch((N_NEURONS,), tau_mem=_own(rng, 2e-3, 40e-3), dt=dt, **given)


def _exp_syn(rng: Rng, dt: float, n: int = N_NEURONS) -> Any:
    from rockpool.nn.modules import ExpSynTorch

    return ExpSynTorch((n,), tau=_own(rng, 2e-3, 40e-3, (n,)), dt=dt)


def _several(rng: Rng, dt: float) -> nn.Module:
    n = int(rng.integers(2, 4))
    return _sequential(_linear(rng, N_INPUTS, N_NEURONS * n), _lif(rng, dt, n))


def _deep(rng: Rng, dt: float) -> nn.Module:
    """Return layers of each kind, a synapse in front of neurons, and one that is read out."""
    first = (_linear(rng, N_INPUTS, N_NEURONS), _lif(rng, dt))
    return _sequential(
        *first,
        _linear(rng, N_NEURONS, N_NEURONS),
        _exp_syn(rng, dt),
        _neuron(rng, dt),
        _linear(rng, N_NEURONS, 5),
        _exp_syn(rng, dt, 5),
    )


def kinds() -> list[Kind]:
    """Return all kinds."""
    return [
        _kind(
            "LIFTorch",
            lambda rng, dt: _sequential(_linear(rng, N_INPUTS, N_NEURONS), _lif(rng, dt)),
        ),
        _kind("LIFTorch, several synapses a neuron", _several),
        _kind(
            "LIFNeuronTorch",
            lambda rng, dt: _sequential(
                _linear(rng, N_INPUTS, N_NEURONS), _neuron(rng, dt)
            ).double(),
        ),
        _kind(
            "ExpSynTorch",
            lambda rng, dt: _sequential(_linear(rng, N_INPUTS, N_NEURONS), _exp_syn(rng, dt)),
        ),
        _kind("LIFTorch, ExpSynTorch, LIFNeuronTorch, ExpSynTorch", _deep),
    ]
