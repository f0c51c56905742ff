"""Stand-ins for Norse's layers: its attributes, stepping as its source does (facts: Norse 1.1.0).

The probes run the framework itself.
"""

from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import nn


def reset_value(z, v, reset, _th):
    return (1 - z) * v + z * reset


def reset_subtract(z, v, _reset, th):
    return (1 - z) * v + z * (v - th)


NUMBERS = {
    "tau_mem_inv": 256.0,
    "tau_syn_inv": 512.0,
    "tau_adapt_inv": 128.0,
    "v_leak": 0.25,
    "v_th": 1.0,
    "v_reset": -0.5,
    "beta": 0.5,
}
DT = 2.0**-10  # with these numbers first steps are exact: thresholds are met


class State(NamedTuple):
    """The states of a layer, those that it has."""

    v: Any = None
    i: Any = None
    b: Any = None
    z: Any = None


class SNNCell(nn.Module):
    def __init__(self, dt=DT, dtype=torch.float64, **numbers):
        super().__init__()
        tensors = {
            name: torch.as_tensor(value, dtype=dtype)
            for name, value in (NUMBERS | numbers).items()
            if name != "reset_method"
        }
        self.p, self.dt = (
            SimpleNamespace(**tensors, reset_method=numbers.get("reset_method", reset_value)),
            dt,
        )

    def state_fallback(self, x):
        return State(v=self.p.v_leak.clone(), i=torch.zeros_like(x), b=self.p.v_th.clone())

    def forward(self, x, state=None):
        return self.step(x, self.state_fallback(x) if state is None else state)

    def step(self, x, s):
        p, i = self.p, s.i + x
        v = s.v + self.dt * p.tau_mem_inv * ((p.v_leak - s.v) + i)
        z = (v - p.v_th > 0).to(v.dtype)
        return z, State(v=(1 - z) * v + z * p.v_reset, i=i - self.dt * p.tau_syn_inv * i)


class LIFCell(SNNCell):
    pass


class LIFBoxCell(SNNCell):
    def step(self, x, s):
        p = self.p
        v = s.v + self.dt * p.tau_mem_inv * (x + p.v_leak - s.v)
        z = (v - p.v_th > 0).to(v.dtype)
        return z, State(v=p.reset_method(z, v, p.v_reset, p.v_th))


class IAFCell(SNNCell):
    def state_fallback(self, x):
        return State(v=self.p.v_reset)

    def step(self, x, s):
        v = s.v + x
        z = (v - self.p.v_th > 0).to(v.dtype)
        return z, State(v=(1 - z) * v + z * self.p.v_reset)


class LICell(SNNCell):
    def step(self, x, s):
        p, i = self.p, s.i + x
        v = s.v + self.dt * p.tau_mem_inv * ((p.v_leak - s.v) + i)
        return v, State(v=v, i=i - self.dt * p.tau_syn_inv * i)


class LSNNCell(SNNCell):
    def step(self, x, s):
        p = self.p
        v = s.v + self.dt * p.tau_mem_inv * ((p.v_leak - s.v) + s.i)
        i = s.i - self.dt * p.tau_syn_inv * s.i
        b = s.b + self.dt * p.tau_adapt_inv * (p.v_th - s.b)
        z = (v - b > 0).to(v.dtype)
        return z, State(v=(1 - z) * v + z * p.v_reset, i=i + x, b=b + z * p.beta)


class SNNRecurrent(SNNCell):
    """Over time, time first, with weights of its own."""

    def __init__(self, n_inputs, n, **more):
        super().__init__(**more)
        grid = torch.Generator().manual_seed(5)
        self.input_weights = nn.Parameter(torch.randint(-4, 8, (n, n_inputs), generator=grid) / 4)
        self.recurrent_weights = nn.Parameter(torch.randint(-8, 4, (n, n), generator=grid) / 4)

    def state_fallback(self, x):
        quiet = torch.zeros(*x.shape[1:-1], len(self.input_weights), dtype=x.dtype)
        return State(
            v=torch.full(quiet.shape, self.p.v_leak, dtype=torch.float32), i=quiet, z=quiet
        )

    def forward(self, x, state=None):
        s, sent = self.state_fallback(x) if state is None else state, []
        for frame in x:
            z, after = self.step(
                nn.functional.linear(frame, self.input_weights)
                + nn.functional.linear(s.z, self.recurrent_weights),
                s,
            )
            s = State(v=after.v, i=after.i, z=z)
            sent.append(z)
        return torch.stack(sent), s


class LIFRecurrent(SNNRecurrent):
    pass


class CobaLIFCell(SNNCell):
    """One that refsim does not read."""


for _kind in (
    SNNCell,
    LIFCell,
    LIFBoxCell,
    IAFCell,
    LICell,
    LSNNCell,
    SNNRecurrent,
    LIFRecurrent,
    CobaLIFCell,
):
    _kind.__module__ = "norse.torch.module"


class Chain(nn.Module):
    """Linear maps and cells in turn, one step a call, the states handed over."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x, state=None):
        after = []
        for index, part in enumerate(self.parts):
            if isinstance(part, nn.Linear):
                x = part(x)
                after.append(None)
            else:
                x, own = part(x, None if state is None else state[index])
                after.append(own)
        return x, after
