"""Norse's layers, random: parameters in float64, and as it makes them itself, in float32 though the module is float64; and all in float32."""

from collections.abc import Callable
from typing import Any

import norse.torch as norse
import numpy as np
import torch
from norse.torch.functional.reset import reset_subtract, reset_value
from torch import nn

from .kinds import N_INPUTS, N_NEURONS, Kind, Made

Generator = np.random.Generator
DT = 1e-3


class Explicit(nn.Module):
    """Cells whose states the module hands over itself, over all steps: time first."""

    def __init__(self, linear: nn.Module, cell: Any) -> None:
        super().__init__()
        self.linear, self.cell = linear, cell

    def forward(self, x: Any) -> Any:
        """Run over time."""
        state, sent = None, []
        for frame in x:
            z, state = self.cell(self.linear(frame), state)
            sent.append(z)
        return torch.stack(sent)


def _number(rng: Generator, low: float, high: float, dtype: torch.dtype, own: bool) -> torch.Tensor:
    """Return a value of the layer, or where `own` and chance say so of each neuron."""
    return torch.tensor(rng.uniform(low, high, N_NEURONS if own and rng.integers(2) else ()), dtype=dtype)


RANGES = {
    "tau_mem_inv": (30, 800), "tau_syn_inv": (50, 900), "tau_adapt_inv": (1, 100), "v_leak": (-0.3, 0.3), "v_th": (0.1, 0.6),
    "v_reset": (-0.4, 0.05), "beta": (0.05, 1.0),
}  # fmt: skip


def parameters(rng: Generator, kind: Any, dtype: torch.dtype, uniform: tuple[str, ...] = (), **more: Any) -> Any:
    """Return random parameters of a layer, those not named in `uniform` perhaps a value a neuron."""
    names = [name for name in kind._fields if name in RANGES]
    return kind(**{name: _number(rng, *RANGES[name], dtype, name not in uniform) for name in names}, **more)


def _linear() -> nn.Module:
    return nn.Linear(N_INPUTS, N_NEURONS)


Build = Callable[[Generator, torch.dtype], nn.Module]


def _kind(name: str, build: Build, drive: float = 2.0, dtype: torch.dtype = torch.float64, of_parameters: torch.dtype | None = None) -> Kind:
    def make(rng: Generator) -> Made:
        return Made(build(rng, of_parameters or dtype).to(dtype), drive=drive, input_shape=(N_INPUTS,), dt=None if "IAF" not in name else "1 ms")

    return Kind(name, make)


def _cell(layer: Any, kind: Any, uniform: tuple[str, ...] = (), **more: Any) -> Build:
    """Return a cell behind a Linear, one step a call."""
    return lambda rng, dtype: norse.SequentialState(_linear(), layer(parameters(rng, kind, dtype, uniform, **more), dt=_dt(rng)))


def _over_time(layer: Any, kind: Any) -> Build:
    """Return a layer that runs over time behind a Linear, time first; its states start from a number, so that v_leak is one."""
    return lambda rng, dtype: norse.SequentialState(norse.Lift(_linear()), layer(parameters(rng, kind, torch.float32, ("v_leak", "v_th")), dt=_dt(rng)))


def _dt(rng: Generator) -> float:
    return float(rng.choice([1e-3, 5e-4, 1e-4 * rng.integers(1, 11)]))


def _recurrent(layer: Any, kind: Any, autapses: bool = False, lifted: bool = False) -> Build:
    """Return a layer with input and recurrent weights of its own; the diagonal is as stored."""

    def build(rng: Generator, dtype: torch.dtype) -> nn.Module:
        made = layer(N_INPUTS, N_NEURONS, parameters(rng, kind, torch.float32, ("v_leak", "v_th")), autapses=autapses, dt=_dt(rng))
        if rng.integers(2):  # as a state_dict may bring it
            with torch.no_grad():
                made.recurrent_weights.fill_diagonal_(float(rng.normal()))
        return norse.SequentialState(norse.Lift(made) if lifted else made)

    return build


def kinds() -> list[Kind]:
    """Return all kinds."""
    lif, box, iaf, lsnn = norse.LIFParameters, norse.LIFBoxParameters, norse.IAFParameters, norse.LSNNParameters
    found = []
    single, double = torch.float32, torch.float64
    cells = [("LIFCell", norse.LIFCell, lif, {}), ("LIFBoxCell reset_value", norse.LIFBoxCell, box, {"reset_method": reset_value})]
    cells += [("LIFBoxCell reset_subtract", norse.LIFBoxCell, box, {"reset_method": reset_subtract}), ("IAFCell", norse.IAFCell, iaf, {})]
    for name, layer, kind, more in cells:
        found += [
            _kind(name, _cell(layer, kind, **more)),
            _kind(f"{name}, float32 parameters", _cell(layer, kind, **more), of_parameters=single),
            _kind(f"{name}, float32", _cell(layer, kind, **more), dtype=single),
        ]
    return found
