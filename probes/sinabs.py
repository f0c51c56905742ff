"""Sinabs's layers, random: some in float64, where only their own spikes and resets are float32."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from .kinds import N_INPUTS, N_NEURONS, Kind, Made

Rng = np.random.Generator


def _own(rng: Rng, low: float, high: float) -> Any:
    """Return one value, or one a neuron."""
    return torch.tensor(
        rng.uniform(low, high, N_NEURONS if rng.integers(2) else None), dtype=torch.float32
    )


def _common(rng: Rng) -> dict[str, Any]:
    """Return options that all layers that fire have.

    Thresholds, synapses, what a spike does, a lowest membrane.
    """
    from sinabs.activation import MaxSpike, MembraneReset, MembraneSubtract, MultiSpike, SingleSpike

    fires = [MultiSpike, SingleSpike, MaxSpike(), MaxSpike(int(rng.integers(1, 4)))]
    resets = [
        MembraneSubtract(),
        MembraneSubtract(float(rng.uniform(0.2, 1.5))),
        MembraneReset(),
        MembraneReset(float(rng.uniform(-0.3, 0.3))),
    ]
    return {
        "spike_threshold": _own(rng, 0.3, 2.0),
        "tau_syn": _own(rng, 1.0, 20.0) if rng.integers(2) else None,
        "spike_fn": fires[rng.integers(4)],
        "reset_fn": resets[rng.integers(4)],
        "min_v_mem": float(rng.uniform(-2.0, -0.1)) if rng.integers(2) else None,
    }


def _lif(rng: Rng) -> dict[str, Any]:
    return {
        "tau_mem": _own(rng, 1.5, 40.0),
        "train_alphas": bool(rng.integers(2)),
        "norm_input": bool(rng.integers(2)),
    }


def _alif(rng: Rng, own: dict[str, Any]) -> dict[str, Any]:
    """Return ALIF's arguments.

    It takes no synapse of one time constant a neuron, and tells none from 0 by its truth.
    """
    if own["tau_syn"] is not None and own["tau_syn"].ndim:
        own["tau_syn"] = own["tau_syn"][0].clone()
    trained = bool(rng.integers(2)) and own["tau_syn"] is not None
    return {
        **own,
        **_lif(rng),
        "train_alphas": trained,
        "tau_adapt": _own(rng, 5.0, 50.0),
        "adapt_scale": float(rng.uniform(0.0, 3.0)),
    }


def _behind_linear(neuron: Any, double: bool = True) -> nn.Module:
    made = nn.Sequential(nn.Linear(N_INPUTS, N_NEURONS), neuron)
    return made.double() if double else made


def _recurrent(rng: Rng, own: dict[str, Any]) -> dict[str, Any]:
    """Return options with a map that is not symmetric.

    One that inhibits where counts know no end, which would feed themselves beyond 2^31.
    """
    net = nn.Linear(N_NEURONS, N_NEURONS, bias=bool(rng.integers(2)))
    nn.init.normal_(net.weight, 0.0, 0.3)
    if (
        own["spike_fn"].__name__ == "MultiSpike"
        if isinstance(own["spike_fn"], type)
        else own["spike_fn"].max_num_spikes_per_bin is None
    ):
        net.weight.data = -net.weight.data.abs()
    return {**own, "rec_connect": net}


def _kind(name: str, make: Callable[[Any, Rng], nn.Module], drive: float = 2.0) -> Kind:
    import sinabs.layers

    return Kind(name, lambda rng: Made(make(sinabs.layers, rng), drive=drive))


def _deep(layers: Any, rng: Rng) -> nn.Module:
    """Return two layers with a membrane that is passed on between them."""
    first = layers.LIF(**_lif(rng), **_common(rng))
    passed = layers.ExpLeak(tau_mem=_own(rng, 1.5, 20.0), norm_input=bool(rng.integers(2)))
    return nn.Sequential(
        nn.Linear(N_INPUTS, N_NEURONS),
        first,
        nn.Linear(N_NEURONS, N_NEURONS),
        passed,
        nn.Linear(N_NEURONS, N_NEURONS),
        layers.IAF(**_common(rng)),
    )


def _squeezed(layers: Any, rng: Rng) -> nn.Module:
    """Return convolutions between layers that take batch and time in one axis."""
    plain = {
        key: value if key != "spike_threshold" and key != "tau_syn" else _scalar(value)
        for key, value in _common(rng).items()
    }
    leaky = {**plain, **_lif(rng)}
    leaky["tau_mem"] = _scalar(leaky["tau_mem"])
    first = layers.LIFSqueeze(batch_size=int(rng.integers(1, 9)), **leaky)
    second = layers.IAFSqueeze(num_timesteps=int(rng.integers(1, 9)), **plain)
    conv, pool = nn.Conv2d(1, 3, 3, padding=1), layers.SumPool2d(2)
    readout = layers.ExpLeakSqueeze(batch_size=1, tau_mem=_scalar(_own(rng, 2.0, 20.0)))
    return nn.Sequential(
        conv, first, pool, nn.Conv2d(3, 2, 2), second, nn.Flatten(), nn.Linear(2, 5), readout
    )


def _scalar(value: Any) -> Any:
    return value if value is None or not value.ndim else value[0].clone()


def kinds() -> list[Kind]:
    """Return all kinds."""
    return [
        _kind("LIF", lambda layers, rng: _behind_linear(layers.LIF(**_lif(rng), **_common(rng)))),
        _kind("IAF", lambda layers, rng: _behind_linear(layers.IAF(**_common(rng))), drive=0.7),
        _kind("ALIF", lambda layers, rng: _behind_linear(layers.ALIF(**_alif(rng, _common(rng))))),
        _kind(
            "LIFRecurrent",
            lambda layers, rng: _behind_linear(
                layers.LIFRecurrent(**_lif(rng), **_recurrent(rng, _common(rng))), False
            ),
        ),
        _kind(
            "IAFRecurrent",
            lambda layers, rng: _behind_linear(
                layers.IAFRecurrent(**_recurrent(rng, _common(rng))), False
            ),
            drive=0.7,
        ),
        _kind(
            "ALIFRecurrent",
            lambda layers, rng: _behind_linear(
                layers.ALIFRecurrent(**_recurrent(rng, _alif(rng, _common(rng)))), False
            ),
        ),
        _kind("ExpLeak", lambda layers, rng: _behind_linear(_exp_leak(layers, rng))),
        _kind("LIF, ExpLeak, IAF", _deep),
        Kind("LIFSqueeze, IAFSqueeze, ExpLeakSqueeze", _made_squeezed),
    ]


def _exp_leak(layers: Any, rng: Rng) -> nn.Module:
    floor = float(rng.uniform(-0.5, 0.0)) if rng.integers(2) else None
    made: nn.Module = layers.ExpLeak(
        tau_mem=_own(rng, 1.5, 40.0),
        norm_input=bool(rng.integers(2)),
        train_alphas=bool(rng.integers(2)),
        min_v_mem=floor,
    )
    return made


def _made_squeezed(rng: Rng) -> Made:
    import sinabs.layers

    return Made(_squeezed(sinabs.layers, rng), drive=2.0, input_shape=(1, 4, 4))
