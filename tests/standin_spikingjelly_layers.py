"""SpikingJelly's wrappers around PyTorch's layers and its containers, as far as the bridge looks at
them, written from the facts.
"""

import torch
from standin_spikingjelly import PACKAGE
from torch import nn


def frame_by_frame_at_once(x, forward):
    """Run a stateless layer over all steps of all samples in one call."""
    return forward(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def wrapper(kind):
    """Return a layer of PyTorch's that knows of time."""

    def init(self, *args, step_mode="s", **more):
        kind.__init__(self, *args, **more)
        self.step_mode = step_mode

    def forward(self, x):
        def single(frames):
            return kind.forward(self, frames)

        return single(x) if self.step_mode == "s" else frame_by_frame_at_once(x, single)

    return type(
        kind.__name__, (kind,), {"__init__": init, "forward": forward, "__module__": PACKAGE}
    )


Conv2d, BatchNorm2d, AvgPool2d, MaxPool2d, Linear, Dropout = map(
    wrapper, (nn.Conv2d, nn.BatchNorm2d, nn.AvgPool2d, nn.MaxPool2d, nn.Linear, nn.Dropout)
)
Flatten = wrapper(nn.Flatten)


class VoltageScaler(nn.Module):
    """What ann2snn puts in front of and behind each neuron."""

    def __init__(self, scale, step_mode="s"):
        super().__init__()
        self.register_buffer("scale", torch.tensor(scale))
        self.step_mode = step_mode

    def forward(self, x):
        return x * self.scale


class NonSpikingIFNode(nn.Module):
    """A readout: all steps at once whatever the others do, from 0 in each call, and a list of its
    membranes.
    """

    def __init__(self, decode=None):
        super().__init__()
        self.decode = decode

    def charge(self, x, v):
        return v + x

    def forward(self, x_seq):
        self.v, seen = torch.zeros_like(x_seq[0]), []
        for x in x_seq:
            self.v = self.charge(x, self.v)
            seen.append(self.v)
        return seen if self.decode is None else torch.stack(seen).max(0).values


class NonSpikingLIFNode(NonSpikingIFNode):
    def __init__(self, tau=2.0, decode=None):
        super().__init__(decode)
        self.tau = tau

    def charge(self, x, v):
        return v + (x - v) / self.tau


class SeqToANNContainer(nn.Sequential):
    def forward(self, x):
        return frame_by_frame_at_once(x, super().forward)


class MultiStepContainer(nn.Sequential):
    def forward(self, x):
        return torch.stack([super(MultiStepContainer, self).forward(frame) for frame in x])


for _kind in (
    SeqToANNContainer,
    MultiStepContainer,
    VoltageScaler,
    NonSpikingIFNode,
    NonSpikingLIFNode,
):
    _kind.__module__ = PACKAGE


def set_step_mode(module, mode):
    for part in module.modules():
        if hasattr(part, "step_mode"):
            part.step_mode = mode
