"""Norse's layers, random, in float64 and in float32.

A third kind has a module in float64 with parameters as Norse makes them itself, in float32.
"""

from collections.abc import Callable
from typing import Any

import norse.torch as norse
import numpy as np
import torch
from norse.torch.functional.reset import reset_subtract, reset_value
from torch import nn

from .kinds import N_INPUTS, N_NEURONS, Kind, Made

Generator = np.random.Generator
Build = Callable[[Generator, torch.dtype], nn.Module]  # of the dtype of the parameters
SINGLE, DOUBLE = torch.float32, torch.float64


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
    value = rng.uniform(low, high, N_NEURONS if own and rng.integers(2) else ())
    # Float32 holds it: some layers round their start to it.
    return torch.tensor(np.float32(value), dtype=dtype)


RANGES = {
    "tau_mem_inv": (30, 800),
    "tau_syn_inv": (50, 900),
    "tau_adapt_inv": (1, 100),
    "tau_ada_inv": (1, 100),
    "v_leak": (-0.3, 0.3),
    "v_th": (0.1, 0.6),
    "v_reset": (-0.4, 0.05),
    "beta": (0.05, 1.0),
    "delta_T": (0.1, 0.6),
    "adaptation_current": (0.0, 3.0),
    "adaptation_spike": (0.0, 0.2),
}
# Where a layer fills its states with one number, these must be one number.
SCALAR = ("v_leak", "v_th")


def parameters(
    rng: Generator, kind: Any, dtype: torch.dtype, uniform: tuple[str, ...] = (), **more: Any
) -> Any:
    """Return random parameters of a layer; those not in `uniform` may have a value a neuron."""
    if "rho_reset" in kind._fields:  # the others are inside
        inside = next(name for name in kind._fields if name != "rho_reset")
        given = parameters(rng, type(kind._field_defaults[inside]), dtype, uniform)
        return kind(
            **{inside: given},
            rho_reset=torch.tensor(float(rng.choice([0, 1, 2.5, 4])), dtype=dtype),
        )
    names = [name for name in kind._fields if name in RANGES]
    return kind(
        **{name: _number(rng, *RANGES[name], dtype, name not in uniform) for name in names}, **more
    )


def behaviour(rng: Generator, dtype: torch.dtype) -> Any:
    """Return an Izhikevich neuron near tonic spiking."""
    numbers = {
        name: float(rng.uniform(*ends))
        for name, ends in (
            ("a", (0.01, 0.1)),
            ("b", (0.1, 0.25)),
            ("c", (-70, -50)),
            ("d", (0.5, 8)),
            ("v_th", (20, 35)),
        )
    }
    p = norse.IzhikevichParameters(tau_inv=float(rng.uniform(100, 400)), **numbers)
    start = float(rng.uniform(-75, -60))
    return norse.IzhikevichSpikingBehavior(
        p,
        norse.IzhikevichState(
            torch.tensor(start, dtype=dtype), torch.tensor(start * p.b, dtype=dtype)
        ),
    )


def _dt(rng: Generator) -> float:
    return float(rng.choice([1e-3, 5e-4, 2e-4]))


def _linear() -> nn.Module:
    return nn.Linear(N_INPUTS, N_NEURONS)


def _stored(rng: Generator, layer: Any) -> Any:
    """Return a recurrent layer whose diagonal is, half the time, not 0.

    As a state_dict may bring it.
    """
    if rng.integers(2):
        with torch.no_grad():
            layer.recurrent_weights.fill_diagonal_(float(rng.normal()))
    return layer


def _cell(layer: Any, kind: Any, uniform: tuple[str, ...] = (), **more: Any) -> Build:
    """Return a cell behind a Linear, one step a call."""
    return lambda rng, dtype: norse.SequentialState(
        _linear(), layer(parameters(rng, kind, dtype, uniform, **more), dt=_dt(rng))
    )


def _over_time(layer: Any, kind: Any, **options: Any) -> Build:
    """Return a layer that runs over time, time first."""
    return lambda rng, dtype: norse.SequentialState(
        norse.Lift(_linear()), layer(parameters(rng, kind, dtype, SCALAR), dt=_dt(rng), **options)
    )


def _recurrent(layer: Any, kind: Any, uniform: tuple[str, ...] = SCALAR, **options: Any) -> Build:
    """Return a layer with input and recurrent weights of its own."""
    return lambda rng, dtype: norse.SequentialState(
        _stored(
            rng,
            layer(
                N_INPUTS, N_NEURONS, parameters(rng, kind, dtype, uniform), dt=_dt(rng), **options
            ),
        )
    )


def _izhikevich(layer: Any, recurrent: bool) -> Build:
    if recurrent:
        return lambda rng, dtype: norse.SequentialState(
            _stored(rng, layer(N_INPUTS, N_NEURONS, behaviour(rng, dtype), dt=1e-3))
        )
    step = _linear if layer is norse.IzhikevichCell else lambda: norse.Lift(_linear())
    return lambda rng, dtype: norse.SequentialState(step(), layer(behaviour(rng, dtype), dt=1e-3))


def _kind(
    name: str,
    build: Build,
    drive: float = 2.0,
    dtype: torch.dtype = DOUBLE,
    of_parameters: torch.dtype | None = None,
) -> Kind:
    dt = "1 ms" if name.startswith("IAF") else None  # the others say their own
    return Kind(
        name,
        lambda rng: Made(
            build(rng, of_parameters or dtype).to(dtype),
            drive=drive,
            input_shape=(N_INPUTS,),
            dt=dt,
        ),
    )


def _in_three(name: str, build: Build) -> list[Kind]:
    """Return a kind in float64, in float64 with Norse's own parameters, and in float32.

    Norse makes its own parameters of plain numbers.
    """
    return [
        _kind(name, build),
        _kind(f"{name}, float32 parameters", build, of_parameters=SINGLE),
        _kind(f"{name}, float32", build, dtype=SINGLE),
    ]


def _mixed(rng: Generator, dtype: torch.dtype) -> nn.Module:
    """Return a network of several layers, over time."""
    lif = [parameters(rng, norse.LIFParameters, dtype, SCALAR) for _ in range(3)]
    conv = nn.Sequential(nn.Unflatten(1, (1, 3, 2)), nn.Conv2d(1, 4, 2, padding=1), nn.Flatten())
    recurrent = _stored(rng, norse.LIFRecurrent(48, N_NEURONS, lif[0]._replace(**_scalars(lif[0]))))
    return norse.SequentialState(
        norse.Lift(conv),
        norse.LIF(lif[1]._replace(**_scalars(lif[1]))),
        recurrent,
        norse.Lift(_linear_on(N_NEURONS)),
        norse.Lift(norse.LIFCell(lif[2])),
        norse.Lift(_linear_on(N_NEURONS)),
        norse.LI(norse.LIParameters()),
    )


def _scalars(p: Any) -> dict[str, Any]:
    return {name: getattr(p, name).reshape(-1)[0] for name in RANGES if hasattr(p, name)}


def _linear_on(n: int) -> nn.Module:
    return nn.Linear(n, N_NEURONS)


def _loop(rng: Generator, dtype: torch.dtype) -> nn.Module:
    """Return a module whose last layer is fed back into its first, one step late."""
    cells = [norse.LIFCell(parameters(rng, norse.LIFParameters, dtype)) for _ in range(2)]
    return norse.RecurrentSequential(
        nn.Linear(N_INPUTS, N_NEURONS),
        cells[0],
        nn.Linear(N_NEURONS, N_INPUTS),
        norse.LIFCell(norse.LIFParameters()),
    )


def kinds() -> list[Kind]:
    """Return all kinds."""
    lif, box, iaf, lsnn, li = (
        norse.LIFParameters,
        norse.LIFBoxParameters,
        norse.IAFParameters,
        norse.LSNNParameters,
        norse.LIParameters,
    )
    refrac, ex, adex, both = (
        norse.LIFRefracParameters,
        norse.LIFExParameters,
        norse.LIFAdExParameters,
        norse.LIFAdExRefracParameters,
    )
    found = _in_three("LIFCell", _cell(norse.LIFCell, lif))
    found += _in_three(
        "LIFBoxCell reset_value", _cell(norse.LIFBoxCell, box, reset_method=reset_value)
    )
    found += _in_three(
        "LIFBoxCell reset_subtract", _cell(norse.LIFBoxCell, box, reset_method=reset_subtract)
    )
    found += _in_three("IAFCell", _cell(norse.IAFCell, iaf))
    found += _in_three("LSNNCell", _cell(norse.LSNNCell, lsnn, ("v_leak",)))
    found += _in_three("LIFRecurrentCell", _recurrent(norse.LIFRecurrentCell, lif))
    single: list[tuple[str, Build]] = [
        ("LIF", _over_time(norse.LIF, lif)),
        ("LIF record_states", _over_time(norse.LIF, lif, record_states=True)),
        ("LIFRecurrent", _recurrent(norse.LIFRecurrent, lif)),
        ("LIFRecurrent autapses", _recurrent(norse.LIFRecurrent, lif, autapses=True)),
        ("IAF", _over_time(norse.IAF, iaf)),
        ("LSNN", _over_time(norse.LSNN, lsnn)),
        (
            "LSNNCell adjoint",
            lambda rng, dtype: norse.SequentialState(
                _linear(), norse.LSNNCell(parameters(rng, lsnn, dtype, SCALAR), adjoint=True)
            ),
        ),
        ("LSNNRecurrentCell", _recurrent(norse.LSNNRecurrentCell, lsnn)),
        ("LSNNRecurrent", _recurrent(norse.LSNNRecurrent, lsnn)),
        ("LICell", _cell(norse.LICell, li)),
        ("LI", _over_time(norse.LI, li)),
        (
            "LILinearCell",
            lambda rng, dtype: norse.LILinearCell(
                N_INPUTS, N_NEURONS, parameters(rng, li, dtype), dt=_dt(rng)
            ),
        ),
        ("LIBoxCell", _cell(norse.LIBoxCell, norse.LIBoxParameters)),
        ("LIFRefracCell", _cell(norse.LIFRefracCell, refrac, SCALAR)),
        ("LIFRefracRecurrentCell", _recurrent(norse.LIFRefracRecurrentCell, refrac, ())),
        ("LIFRefracRecurrent", _recurrent(norse.LIFRefracRecurrent, refrac)),
        ("LIFExCell", _cell(norse.LIFExCell, ex, SCALAR)),
        ("LIFEx", _over_time(norse.LIFEx, ex)),
        ("LIFExRecurrentCell", _recurrent(norse.LIFExRecurrentCell, ex)),
        ("LIFExRecurrent", _recurrent(norse.LIFExRecurrent, ex)),
        ("LIFAdExCell", _cell(norse.LIFAdExCell, adex)),
        ("LIFAdEx", _over_time(norse.LIFAdEx, adex)),
        ("LIFAdExRecurrentCell", _recurrent(norse.LIFAdExRecurrentCell, adex)),
        ("LIFAdExRecurrent", _recurrent(norse.LIFAdExRecurrent, adex)),
        ("LIFAdExRefracCell", _cell(norse.LIFAdExRefracCell, both)),
        ("LIFAdExRefracRecurrentCell", _recurrent(norse.LIFAdExRefracRecurrentCell, both)),
        ("LIFAdExRefracRecurrent", _recurrent(norse.LIFAdExRefracRecurrent, both)),
        (
            "LIFCell, explicit states",
            lambda rng, dtype: Explicit(
                _linear(), norse.LIFCell(parameters(rng, lif, dtype), dt=_dt(rng))
            ),
        ),
        (
            "LIFCell lifted",
            lambda rng, dtype: norse.SequentialState(
                norse.Lift(_linear()), norse.Lift(norse.LIFCell(parameters(rng, lif, dtype)))
            ),
        ),
        ("Conv2d, LIF, LIFRecurrent, LIFCell, LI", _mixed),
        ("RecurrentSequential", _loop),
    ]
    found += [_kind(name, build) for name, build in single]
    more = [
        ("IzhikevichCell", norse.IzhikevichCell, False),
        ("Izhikevich", norse.Izhikevich, False),
    ]
    more += [
        ("IzhikevichRecurrentCell", norse.IzhikevichRecurrentCell, True),
        ("IzhikevichRecurrent", norse.IzhikevichRecurrent, True),
    ]
    return found + [
        _kind(name, _izhikevich(layer, recurrent), drive=20.0) for name, layer, recurrent in more
    ]
