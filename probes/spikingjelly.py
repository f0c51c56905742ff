"""SpikingJelly's layers, random, in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from . import spikingjelly_nets as nets
from .kinds import N_INPUTS, N_NEURONS, Kind, Made

Options = dict[str, Any]


def _number(rng: np.random.Generator, low: float, high: float, own: bool) -> Any:
    """Return a number, or one a neuron."""
    return torch.tensor(rng.uniform(low, high, N_NEURONS)) if own else float(rng.uniform(low, high))


def _neuron(kind: type, options: Options) -> Any:
    """Return a layer; its constructor takes plain numbers alone.

    Values a neuron and a trained w are given to it afterwards.
    """
    plain = {name: value for name, value in options.items() if not isinstance(value, torch.Tensor)}
    layer = kind(**plain)
    for name in options.keys() - plain.keys():
        setattr(layer, name, nn.Parameter(options[name]) if name == "w" else options[name])
    return layer


def _common(rng: np.random.Generator, own: bool) -> Options:
    return {
        "v_threshold": _number(rng, 0.3, 1.5, own),
        "v_reset": float(rng.choice([0.0, rng.uniform(-0.5, 0.2)])),
    }


def _set(module: nn.Module, rng: np.random.Generator) -> Made:
    """Put a module in either mode: one step a call, or all of them; some store their membranes."""
    from spikingjelly.activation_based import base, functional

    mode = "sm"[rng.integers(2)]
    functional.set_step_mode(module, mode)
    for part in module.modules():
        if isinstance(part, base.MemoryModule) and hasattr(part, "store_v_seq"):
            part.store_v_seq = bool(rng.integers(2))
    return Made(module.double(), drive=1.5, layout="step" if mode == "s" else "time first")


def _behind_linear(neuron: Any, rng: np.random.Generator) -> Made:
    from spikingjelly.activation_based import layer

    return _set(nn.Sequential(layer.Linear(N_INPUTS, N_NEURONS), neuron), rng)


def _kind(
    name: str, extra: Callable[[np.random.Generator, bool], Options], soft: bool, **fixed: Any
) -> Kind:
    """Return a kind of layer with hard or soft reset.

    `extra` makes the options that only it has.
    """

    def make(rng: np.random.Generator) -> Made:
        from spikingjelly.activation_based import neuron

        own = bool(rng.integers(2))
        options = _common(rng, own) | extra(rng, own) | fixed
        return _behind_linear(
            _neuron(getattr(neuron, name), options | ({"v_reset": None} if soft else {})), rng
        )

    said = {"v_reset": "None" if soft else "number"} | fixed
    return Kind(f"{name} {' '.join(f'{key}={value}' for key, value in said.items())}", make)


def _detached(rng: np.random.Generator, _own: bool) -> Options:
    return {"detach_reset": bool(rng.integers(2))}


def _lif(rng: np.random.Generator, own: bool) -> Options:
    return {"tau": _number(rng, 1.1, 12.0, own), **_detached(rng, own)}


def _plif(rng: np.random.Generator, own: bool) -> Options:
    return {
        "w": torch.tensor(rng.normal(-1.0, 1.0, N_NEURONS if own else ())),
        **_detached(rng, own),
    }


def _cuba(rng: np.random.Generator, own: bool) -> Options:
    return {"c_decay": _number(rng, 0.1, 0.9, own), "v_decay": _number(rng, 0.2, 1.0, own)}


def _low(rng: np.random.Generator) -> Options:
    """Return a reset below the rest, which some layers ask for at their making."""
    return {"v_reset": float(rng.uniform(-0.5, 0.0))}


def _qif(rng: np.random.Generator, own: bool) -> Options:
    return {
        "tau": _number(rng, 2.0, 10.0, own),
        "a0": _number(rng, 0.2, 1.0, own),
        "v_c": _number(rng, 0.5, 1.2, own),
        "v_rest": _number(rng, 0.0, 0.4, own),
        **_low(rng),
    }


def _eif(rng: np.random.Generator, own: bool) -> Options:
    return {
        "tau": _number(rng, 2.0, 10.0, own),
        "delta_T": _number(rng, 0.3, 1.5, own),
        "theta_rh": _number(rng, 0.5, 1.0, own),
        "v_rest": _number(rng, 0.0, 0.4, own),
        **_low(rng),
    }


def _izhikevich(rng: np.random.Generator, own: bool) -> Options:
    return {
        "tau": _number(rng, 2.0, 10.0, own),
        "a0": _number(rng, 0.2, 1.0, own),
        "v_c": _number(rng, 0.5, 1.2, own),
        "v_rest": float(rng.uniform(-0.2, 0.2)),
        "w_rest": float(rng.uniform(-0.2, 0.2)),
        "tau_w": _number(rng, 2.0, 20.0, own),
        "a": _number(rng, -0.2, 0.5, own),
        "b": _number(rng, 0.0, 0.3, own),
    }


def kinds() -> list[Kind]:
    """Return all kinds."""
    found = []
    for soft in (False, True):
        found += [_kind("IFNode", _detached, soft)]
        for decays in (True, False):
            found += [
                _kind("LIFNode", _lif, soft, decay_input=decays),
                _kind("ParametricLIFNode", _plif, soft, decay_input=decays),
            ]
        found += [
            _kind("CUBALIFNode", _cuba, soft),
            _kind("QIFNode", _qif, soft),
            _kind("EIFNode", _eif, soft),
        ]
        found += [_kind("IzhikevichNode", _izhikevich, soft)]
    return found + nets.kinds()
