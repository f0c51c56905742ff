"""Rockpool: a layer takes all steps in one call, batch first.

A step has a duration in seconds, and the states stay from call to call.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.arrays import Floats
from ...core.errors import RefsimError
from .framework import Framework, Membranes, Recurrent

_STATES = ("vmem", "isyn", "spikes")


def _forget(part: nn.Module) -> None:
    """Set the states to 0, where they start."""
    for name in _STATES:
        if name in part._buffers:
            part._buffers[name] = torch.zeros_like(getattr(part, name))


def _values(part: Any, values: dict[str, Floats]) -> dict[str, Floats]:
    """Return the time constants that follow from the decays which the layer computes.

    The layer computes a decay in its own precision, or takes it from another parameter.
    """
    decays: dict[str, Tensor | None] = {}
    if "tau_mem" in values:
        # A layer that is trained by its decays or bit shifts has no time constant.
        decays["tau_mem"] = getattr(part, "alpha", None)
    if "tau_syn" in values:
        decays["tau_syn"] = getattr(part, "beta", None)
    taus = {
        name: _tau(
            part.dt,
            decay
            if decay is not None
            else torch.exp(-part.dt / torch.as_tensor(_declared_tau(part, name))),
        )
        for name, decay in decays.items()
    }
    if "tau_syn" in taus and taus["tau_syn"].ndim == 2:
        taus["tau_syn"] = _shared(taus["tau_syn"])
    return {**values, **taus}


def _declared_tau(part: Any, name: str) -> Tensor:
    tensor: Tensor = part.tau_mem if name == "tau_mem" else part.tau
    return tensor.detach()


def _tau(dt: float, decay: Tensor) -> Floats:
    """Return the time constant of a decay in seconds, so that ``exp(-dt/tau)`` is that decay."""
    kept = decay.detach().cpu().double().numpy()
    if (kept < 0).any() or (kept > 1).any():
        raise RefsimError(
            f"keeps {kept.min():g} to {kept.max():g} of a state in one step; a time constant "
            "exists for 0 to 1 alone."
        )
    with np.errstate(divide="ignore"):
        # Beyond these limits the exponential is exactly 1, and exactly 0.
        rate = np.clip(-np.log(kept), 1e-17, 800.0)
    taus: Floats = dt / rate
    return taus


def _shared(taus: Floats) -> Floats:
    """Return the time constant (n_neurons,) that all synapses (n_neurons, n_synapses) share."""
    if (taus != taus[:, :1]).any():
        raise RefsimError(
            "its neurons hear through several synapses with time constants of their own, and a "
            "neuron of refsim has one input; "
            "give each neuron's synapses the same, or put an ExpSynTorch for each in front of a "
            "LIFNeuronTorch."
        )
    return taus[:, 0]


def _step_seconds(part: Any) -> float:
    return float(part.dt)


def _synapses(part: nn.Module) -> int:
    return int(getattr(part, "n_synapses", 1))


def _arriving(part: nn.Module, x: Tensor) -> Tensor:
    """Return the sum over the synapses of each neuron."""
    n = _synapses(part)
    return x if n == 1 else x.reshape(*x.shape[:-1], -1, n).sum(-1)


def _recurrent(part: Any) -> Recurrent | None:
    weight = getattr(part, "w_rec", None)  # (n_neurons, n_synapses of all)
    if weight is None or not weight.any():
        return None
    return Recurrent(_arriving(part, weight.detach().double()).T)


def _membranes(part: Any, _output: object) -> Membranes:
    """Return the membrane after each step, where the layer records it."""
    return Membranes(
        None, part._record_dict.get("vmem") if getattr(part, "_record", False) else None
    )


ROCKPOOL = Framework(
    name="rockpool",
    title="Rockpool",
    package="rockpool",
    axes=lambda _part: "batch first",
    forget=_forget,
    values=_values,
    recurrent=_recurrent,
    membranes=_membranes,
    step_seconds=_step_seconds,
    arriving=_arriving,
    width=lambda part: getattr(part, "size_in", None),
    # Spikes and outputs are float32, and stay so when they are multiplied by a single threshold.
    single=True,
    passive=frozenset(
        {
            "LinearTorch",
            "TorchModule",
            "TorchModulePatch",
            "TorchSequential",
            "TorchFFwdStack",
            "TorchResidual",
        }
    ),
)
