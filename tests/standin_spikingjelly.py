"""SpikingJelly's layers as far as the bridge looks at them, written from the facts, for a machine
that has no SpikingJelly.
"""

import math
from types import SimpleNamespace

import torch
from torch import nn

PACKAGE = "spikingjelly.activation_based"


class MemoryModule(nn.Module):
    """States by name, each with the value that `reset` puts it back to."""

    def __init__(self, step_mode="s", **states):
        super().__init__()
        self.step_mode, self._start, self.held = step_mode, states, dict(states)

    def named_memories(self):
        return self.held.items()

    def get_reset_value(self, name):
        return self._start[name]

    def reset(self):
        self.held = dict(self._start)

    def forward(self, x):
        return (
            self.step(x)
            if self.step_mode == "s"
            else torch.stack([self.step(frame) for frame in x])
        )


class Node(MemoryModule):
    """Charge, fire, reset; each can be overridden by a rogue."""

    def __init__(self, v_threshold=1.0, v_reset=0.0, step_mode="s", store_v_seq=False, **states):
        super().__init__(step_mode, v=0.0 if v_reset is None else v_reset, **states)
        self.v_threshold, self.v_reset = v_threshold, v_reset
        self.surrogate_function, self._neuron_precision = SimpleNamespace(spiking=True), None
        self.store_v_seq, self.v_seq = store_v_seq, None

    @property
    def v(self):
        return self.held["v"]

    def fires(self, h):
        return (h >= self.v_threshold).to(h.dtype)

    def after(self, h, z):
        return h - z * self.v_threshold if self.v_reset is None else z * self.v_reset + (1 - z) * h

    def step(self, x):
        h = self.charge(x, self.held["v"] + torch.zeros_like(x))
        z = self.fires(h)
        self.held["v"] = self.after(h, z)
        return z

    def forward(self, x):
        if self.step_mode == "s":
            return self.step(x)
        pairs = [(self.step(frame), self.v) for frame in x]
        self.v_seq = torch.stack([v for _, v in pairs]) if self.store_v_seq else None
        return torch.stack([z for z, _ in pairs])


class IFNode(Node):
    def charge(self, x, v):
        return v + x


class LIFNode(Node):
    def __init__(self, tau=2.0, decay_input=True, **more):
        super().__init__(**more)
        self.tau, self.decay_input = tau, decay_input

    def charge(self, x, v):
        lost = v - (self.v_reset or 0.0)
        return v + (x - lost) / self.tau if self.decay_input else v - lost / self.tau + x


class ParametricLIFNode(Node):
    def __init__(self, w=0.0, decay_input=True, **more):
        super().__init__(**more)
        self.w, self.decay_input = nn.Parameter(torch.tensor(w)), decay_input

    def charge(self, x, v):
        lost, rate = v - (self.v_reset or 0.0), self.w.sigmoid()
        return v + (x - lost) * rate if self.decay_input else v - lost * rate + x


class CUBALIFNode(Node):
    def __init__(self, c_decay=0.5, v_decay=0.75, v_threshold=0.5, **more):
        super().__init__(v_threshold=v_threshold, c=0.0, **more)
        self.c_decay, self.v_decay = c_decay, v_decay

    def charge(self, x, v):
        self.held["c"] = self.c_decay * self.held["c"] + x
        return self.v_decay * v + self.held["c"]


class QIFNode(Node):
    def __init__(self, tau=2.0, a0=1.0, v_c=0.8, v_rest=0.0, v_reset=-0.1, **more):
        super().__init__(v_reset=v_reset, **more)
        self.tau, self.a0, self.v_c, self.v_rest = tau, a0, v_c, v_rest

    def charge(self, x, v):
        return v + (x + self.a0 * (v - self.v_rest) * (v - self.v_c)) / self.tau


class EIFNode(Node):
    def __init__(self, tau=2.0, delta_T=1.0, theta_rh=0.8, v_rest=0.0, v_reset=-0.1, **more):
        super().__init__(v_reset=v_reset, **more)
        self.tau, self.delta_T, self.theta_rh, self.v_rest = tau, delta_T, theta_rh, v_rest

    def charge(self, x, v):
        return (
            v
            + (x + self.v_rest - v + self.delta_T * torch.exp((v - self.theta_rh) / self.delta_T))
            / self.tau
        )


class IzhikevichNode(Node):
    def __init__(
        self, tau=2.0, a0=1.0, v_c=0.8, v_rest=-0.1, w_rest=0.0, tau_w=2.0, a=0.0, b=0.0, **more
    ):
        super().__init__(w=w_rest, **more)
        self.tau, self.a0, self.v_c, self.v_rest, self.tau_w, self.a, self.b = (
            tau,
            a0,
            v_c,
            v_rest,
            tau_w,
            a,
            b,
        )

    def charge(self, x, v):
        return v + (x + self.a0 * (v - self.v_rest) * (v - self.v_c) - self.held["w"]) / self.tau

    def after(self, h, z):
        w = self.held["w"]
        self.held["w"] = w + (self.a * (h - self.v_rest) - w) / self.tau_w + self.b * z
        return super().after(h, z)


class Delay(MemoryModule):
    def __init__(self, delay_steps, step_mode="s"):
        super().__init__(step_mode, queue=())
        self.delay_steps = delay_steps

    def step(self, x):
        *rest, now = (
            (x, *self.held["queue"])
            if len(self.held["queue"]) == self.delay_steps
            else (x, *self.held["queue"], torch.zeros_like(x))
        )
        self.held["queue"] = tuple(rest)
        return now


class LinearRecurrentContainer(MemoryModule):
    def __init__(self, sub_module, in_features, out_features, step_mode="s"):
        super().__init__(step_mode, y=None)
        self.rc, self.sub_module, self.width = (
            nn.Linear(in_features + out_features, in_features),
            sub_module,
            out_features,
        )

    def step(self, x):
        y = x.new_zeros(len(x), self.width) if self.held["y"] is None else self.held["y"]
        self.held["y"] = self.sub_module(self.rc(torch.cat((x, y), dim=-1)))
        return self.held["y"]


class SynapseFilter(MemoryModule):
    def __init__(self, tau=100.0, learnable=False, step_mode="s"):
        super().__init__(step_mode, out_i=0.0)
        self.learnable = learnable
        if learnable:
            self.w = nn.Parameter(torch.tensor(-math.log(tau - 1)))
        else:
            self.tau = tau

    def step(self, x):
        kept = self.held["out_i"]
        self.held["out_i"] = (
            kept - (1.0 - x) * kept * (self.w.sigmoid() if self.learnable else 1.0 / self.tau) + x
        )
        return self.held["out_i"]


class PSN(nn.Module):
    pass


for _kind in (
    MemoryModule,
    IFNode,
    LIFNode,
    ParametricLIFNode,
    CUBALIFNode,
    QIFNode,
    EIFNode,
    IzhikevichNode,
    Delay,
    LinearRecurrentContainer,
    SynapseFilter,
    PSN,
):
    _kind.__module__ = PACKAGE
