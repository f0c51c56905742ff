"""What stands between neurons is measured.

Delays, recurrent containers, modules that run their own steps, and what cannot be said.
"""

import numpy as np
import pytest
import standin_spikingjelly as sj
import torch
from torch import nn

import refsim
from refsim import RefsimError
from refsim.pytorch import SRIF


def same(module, rng, n_inputs, steps=200):
    """Whether a module fires as the network that it is read as; and that network."""
    network = refsim.bridge.load(module, dt="1 ms")
    drive = refsim.Drive.current(rng.normal(0.3, 1.0, (2, steps, n_inputs)), network.dt)
    ours, theirs = (
        refsim.run(network, drive, engine=engine)
        for engine in (refsim.Discrete(), refsim.Torch(module=module))
    )
    assert all(len(train) for train in ours.spikes)
    return all(
        np.array_equal(a.dense(), b.dense())
        for a, b in zip(ours.spikes, theirs.spikes, strict=True)
    ), network


@pytest.mark.parametrize("mode", ["s", "m"])
def test_delays_of_input_and_spikes_are_measured(mode, rng):
    torch.manual_seed(1)
    layers = [
        sj.Delay(2, mode),
        nn.Linear(3, 8),
        sj.IFNode(step_mode=mode),
        sj.Delay(5, mode),
        nn.Linear(8, 4),
        sj.IFNode(step_mode=mode),
    ]
    equal, network = same(nn.Sequential(*layers).double(), rng, 3)
    assert equal
    assert [np.unique(layer.sources[0].delay).tolist() for layer in network.layers] == [[2], [5]]


@pytest.mark.parametrize("mode", ["s", "m"])
def test_a_recurrent_container_hears_its_last_spikes_through_asymmetric_weights(mode, rng):
    torch.manual_seed(2)
    loop = sj.LinearRecurrentContainer(
        sj.LIFNode(v_threshold=0.4, decay_input=False), 6, 6, step_mode=mode
    )
    equal, network = same(nn.Sequential(nn.Linear(3, 6), loop).double(), rng, 3)
    assert equal
    (layer,) = network.layers
    own = next(number for number, source in enumerate(layer.sources) if source.layer == 0)
    first = sum(source.width for source in layer.sources[:own])
    # Columns: the input first, then the last spikes.
    assert np.array_equal(layer.weight[:, first : first + 6], loop.rc.weight.detach()[:, 6:])
    assert layer.sources[own].delay.tolist() == [1] * 6


def test_a_bias_behind_a_delay_is_refused():
    module = nn.Sequential(nn.Linear(3, 4), sj.Delay(2), sj.IFNode())
    with pytest.raises(
        RefsimError,
        match=(
            "gives in step 2, without any input, other numbers than at the start .*'1' is a Delay"
        ),
    ):
        refsim.bridge.load(module, dt="1 ms")


class Rounded(nn.Module):
    """A bias that comes out otherwise in the last place for a batch of many samples than for one,
    as a library's sums may.
    """

    def forward(self, x):
        return x + (0.3 if len(x) < 5 else np.nextafter(0.3, 1))


def test_the_rounding_of_a_bias_is_no_weight():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(3, 8, bias=False),
        sj.IFNode(),
        nn.Linear(8, 8, bias=False),
        Rounded(),
        sj.IFNode(),
    ).double()
    layers = refsim.bridge.load(module, dt="1 ms", layout="step").layers
    assert [[source.layer for source in layer.sources] for layer in layers] == [[-1], [0]]


class Gated(sj.LinearRecurrentContainer):
    """Multiplies its input by what it heard last: no step alone shows it."""

    def step(self, x):
        y = x.new_zeros(len(x), self.width) if self.held["y"] is None else self.held["y"]
        self.held["y"] = self.sub_module(x + y + x * y)
        return self.held["y"]


def test_a_product_of_two_steps_is_not_linear():
    module = nn.Sequential(nn.Linear(3, 4), Gated(sj.IFNode(), 4, 4))
    with pytest.raises(RefsimError, match="what leads to it is not linear"):
        refsim.bridge.load(module, dt="1 ms")


class Undeclared(nn.Module):
    """Delays by two steps, and says nothing of it."""

    def __init__(self):
        super().__init__()
        self.kept = None

    def forward(self, x):
        older, last = (
            (torch.zeros_like(x), torch.zeros_like(x))
            if self.kept is None or self.kept[0].shape != x.shape
            else self.kept
        )
        self.kept = (last, x)
        return older


def test_a_delay_that_nobody_declares_is_refused():
    module = nn.Sequential(nn.Linear(3, 4, bias=False), Undeclared(), sj.IFNode())
    with pytest.raises(RefsimError, match="remembers more than one step .*'1' is a Undeclared"):
        refsim.bridge.load(module, dt="1 ms", layout="step")


class OwnSteps(nn.Module):
    """Runs five steps by itself on an input that stays, feeds its spikes back, gives the last."""

    def __init__(self, neuron):
        super().__init__()
        self.fc, self.rec, self.neuron = nn.Linear(4, 3), nn.Linear(3, 3, bias=False), neuron

    def forward(self, x):
        z = torch.zeros(len(x), 3, dtype=x.dtype)
        for _ in range(5):
            z = self.neuron(self.fc(x) + self.rec(z))
        return z


def test_a_module_that_runs_its_own_steps_keeps_its_recurrence():
    module = OwnSteps(SRIF())
    layer, last = refsim.bridge.load(module, dt="1 ms", layout="held").layers
    assert [(source.layer, np.unique(source.delay).tolist()) for source in layer.sources] == [
        (-1, [0]),
        (0, [1]),
    ]
    assert np.array_equal(
        layer.weight, torch.hstack([module.fc.weight, module.rec.weight]).detach()
    )
    assert (last.model.name, last.weight.tolist()) == ("readout_last", np.eye(3).tolist())


class Repeats(nn.Module):
    """Holds its input for four steps, which its neurons take at once."""

    def __init__(self):
        super().__init__()
        self.fc, self.neuron = nn.Linear(3, 5), sj.IFNode(step_mode="m")

    def forward(self, x):
        return self.neuron(self.fc(x.unsqueeze(0).repeat(4, 1, 1))).mean(0)


def test_a_module_that_repeats_its_input_is_found_without_being_told(rng):
    module = Repeats().double()
    network = refsim.bridge.load(module, dt="1 ms")
    drive = refsim.Drive.constant(rng.normal(0.5, 2.0, (6, 3)), 4, network.dt)
    ours, theirs = (
        refsim.run(network, drive, engine=engine)
        for engine in (refsim.Discrete(), refsim.Torch(module=module))
    )
    assert len(ours.spikes[0])
    assert np.array_equal(ours.spikes[0].dense(), theirs.spikes[0].dense())
