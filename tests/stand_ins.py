"""Layers that look like Sinabs's and Rockpool's, written here from their documents.

What the bridge reads, and a step of their own.

Each can be told to step in another way than its attributes say, as a framework of another release
might.
"""

import torch
from torch import nn


def named(name, package, *bases, **attributes):
    """Return a class that says it comes from a package."""
    return type(name, bases, {"__module__": package, **attributes})


MultiSpike, SingleSpike = (
    named(name, "sinabs.activation", object) for name in ("MultiSpike", "SingleSpike")
)
MembraneSubtract = named("MembraneSubtract", "sinabs.activation", object, subtract_value=None)
MembraneReset = named("MembraneReset", "sinabs.activation", object, reset_value=0.0)


class _Sinabs(nn.Module):
    def __init__(
        self,
        tau_mem=4.0,
        tau_syn=None,
        norm_input=True,
        spike_fn=MultiSpike,
        reset_fn=None,
        min_v_mem=None,
        v_th=0.25,
        net=None,
        fault="",
    ):
        super().__init__()
        self.register_buffer("v_mem", torch.zeros(0))
        if tau_syn is not None:
            self.register_buffer("i_syn", torch.zeros(0))
        self.tau_mem, self.tau_syn = (
            torch.tensor(tau_mem),
            None if tau_syn is None else torch.tensor(tau_syn),
        )
        self.norm_input, self.spike_fn, self.reset_fn, self.min_v_mem = (
            norm_input,
            spike_fn,
            reset_fn or MembraneSubtract(),
            min_v_mem,
        )
        self.spike_threshold, self.record_states, self.fault = (
            nn.Parameter(torch.tensor(v_th)),
            False,
            fault,
        )
        if net is not None:
            self.rec_connect = net

    alpha_mem_calculated = property(lambda self: torch.exp(-1 / self.tau_mem))
    alpha_syn_calculated = property(
        lambda self: None if self.tau_syn is None else torch.exp(-1 / self.tau_syn)
    )

    def __deepcopy__(self, memo):
        raise RuntimeError("as Sinabs's recurrent layers, which cannot be copied by their own code")

    def forward(self, x):
        shape = x[:, 0].shape
        if not self.v_mem.numel():
            self.v_mem = torch.zeros(shape)
        if self.v_mem.shape != shape:
            raise RuntimeError("draws old states at random")
        v, i, heard, sent = self.v_mem, torch.zeros(shape), torch.zeros(shape), []
        a, th = self.alpha_mem_calculated, self.spike_threshold
        for step in range(x.shape[1]):
            i = self._synapse(i, x[:, step] + heard)
            v = a * v + (i if not self.norm_input or self.fault == "input" else (1 - a) * i)
            over = v > th if self.fault == "comparison" else v >= th
            n = over * (
                torch.ones_like(v)
                if self.spike_fn is SingleSpike or self.fault == "spikes"
                else torch.floor(v / th)
            )
            v = (
                v * (n == 0)
                if isinstance(self.reset_fn, MembraneReset) or self.fault == "reset"
                else v - n * th
            )
            v = (
                v
                if self.min_v_mem is None or self.fault == "floor"
                else torch.clamp(v, min=self.min_v_mem)
            )
            sent.append(n)
            heard = self.rec_connect(n) if hasattr(self, "rec_connect") else heard
        self.v_mem = v.detach()
        return torch.stack(sent, 1)

    def _synapse(self, i, x):
        if self.tau_syn is None:
            return x
        keep = self.alpha_syn_calculated
        return keep * i + x if self.fault == "synapse" else keep * (i + x)


LIF = named("LIF", "sinabs.layers.lif", _Sinabs)
LIFRecurrent = named("LIFRecurrent", "sinabs.layers.lif", _Sinabs)


class _Squeezed(_Sinabs):
    batch_size, num_timesteps = 2, -1

    def forward(self, x):
        return (
            super()
            .forward(x.reshape(self.batch_size, self.num_timesteps, *x.shape[1:]))
            .flatten(0, 1)
        )


LIFSqueeze = named(
    "LIFSqueeze",
    "sinabs.layers.lif",
    _Squeezed,
    named("SqueezeMixin", "sinabs.layers.reshape", object),
)


class StepPWL:
    """Named as Rockpool's; its ``apply`` is what a layer keeps."""

    @classmethod
    def apply(cls, v, th, most):
        return torch.clamp((v >= th) * torch.floor(v / th), max=most)


class _Rockpool(nn.Module):
    def __init__(
        self,
        n,
        n_synapses=1,
        tau_mem=4e-3,
        tau_syn=3e-3,
        bias=0.0,
        threshold=1.0,
        w_rec=None,
        dt=1e-3,
        most=2.0**16,
        noise_std=0.0,
        fault="",
    ):
        super().__init__()
        self.n, self.n_synapses, self.size_in, self.dt, self.noise_std, self.fault = (
            n,
            n_synapses,
            n * n_synapses,
            dt,
            noise_std,
            fault,
        )
        self.tau_mem, self.tau_syn = torch.tensor(tau_mem), torch.as_tensor(tau_syn)
        self.bias, self.threshold, self.max_spikes_per_dt = (
            torch.tensor(bias),
            torch.tensor(threshold),
            torch.tensor(most),
        )
        self.w_rec, self.spike_generation_fn = (
            w_rec if w_rec is not None else torch.zeros(n, n * n_synapses),
            StepPWL.apply,
        )
        self.register_buffer("vmem", torch.zeros(n))

    alpha = property(lambda self: torch.exp(-self.dt / self.tau_mem))
    beta = property(lambda self: torch.exp(-self.dt / self.tau_syn))

    def modules(self):
        return {"as": "Rockpool means it"}

    def forward(self, x):
        v, i, sent = (
            self.vmem.expand(len(x), -1),
            torch.zeros(len(x), self.n, self.n_synapses),
            [torch.zeros(len(x), self.n)],
        )
        for step in range(x.shape[1]):
            heard = sent[-1] @ (self.w_rec.T if self.fault == "w_rec" else self.w_rec)
            arrived = (x[:, step] + heard).reshape(i.shape)
            i = self.beta * i + arrived if self.fault == "synapse" else self.beta * (i + arrived)
            v = self.alpha * v + i.sum(2) + (0 if self.fault == "bias" else self.bias)
            n = StepPWL.apply(
                v,
                self.threshold,
                torch.tensor(1.0) if self.fault == "spikes" else self.max_spikes_per_dt,
            )
            v = v * (n == 0) if self.fault == "reset" else v - n * self.threshold
            sent.append(n)
        self.vmem = v[0].detach()
        return torch.stack(sent[1:], 1)


LIFTorch = named("LIFTorch", "rockpool.nn.modules.torch.lif_torch", _Rockpool)
LinearTorch = named("LinearTorch", "rockpool.nn.modules.torch.linear_torch", nn.Linear)
