"""snnTorch's layers, random. Its spikes are float32 whatever the module is, so that the probes are."""

from typing import Any

import numpy as np
import torch
from torch import nn

from .kinds import N_INPUTS, N_NEURONS, Kind, Made


def _behind_linear(neuron: Any) -> nn.Module:
    return nn.Sequential(nn.Linear(N_INPUTS, N_NEURONS), neuron)


def _common(rng: np.random.Generator) -> dict[str, Any]:
    """Return threshold and decay, of a layer or of each neuron."""
    own = bool(rng.integers(2))
    beta = torch.tensor(rng.uniform(0.3, 1.0, N_NEURONS), dtype=torch.float32) if own else float(rng.uniform(0.3, 1.0))
    return {"beta": beta, "threshold": float(rng.uniform(0.3, 2.0)), "init_hidden": True}


def _leaky(**options: Any) -> Kind:
    import snntorch

    return Kind(f"Leaky {_said(options)}", lambda rng: Made(_behind_linear(snntorch.Leaky(**_common(rng), **options)), drive=2.0))


def _said(options: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in options.items())


def kinds() -> list[Kind]:
    """Return all kinds."""
    resets = ("subtract", "zero", "none")
    return [_leaky(reset_mechanism=reset, reset_delay=delay) for reset in resets for delay in (True, False)]
