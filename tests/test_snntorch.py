"""snnTorch's layers, read and run on trial.

Stand-ins with its attributes step as its source does (facts: snnTorch 1.0.0).
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import refsim
from refsim import RefsimError
from refsim.cards.read import switched
from refsim.judge.causes import explaining_traits

RESETS = ("subtract", "zero", "none")


class StandIn(nn.Module):
    """What all of snnTorch's layers have; a real one needs the framework, which the probes run."""

    def __init__(
        self, reset_mechanism="subtract", reset_delay=True, beta=0.75, threshold=1.0, **more
    ):
        super().__init__()
        self.reset_mechanism, self.reset_delay = reset_mechanism, reset_delay
        self.inhibition = self.state_quant = False
        for name, value in {
            "beta": beta,
            "threshold": threshold,
            "graded_spikes_factor": 1.0,
            "mem": torch.zeros(0),
            **more,
        }.items():
            self.register_buffer(name, torch.as_tensor(value))

    def forward(self, x):
        self.mem = torch.zeros_like(x) if self.mem.shape != x.shape else self.mem
        over = (self.mem - self.threshold > 0).to(x.dtype)
        self.mem = self.advance(x, over)
        spikes = (self.mem - self.threshold > 0).to(x.dtype)
        if not self.reset_delay:
            left = spikes - over
            self.mem = (
                self.mem
                - left
                * {"subtract": self.threshold, "zero": self.mem, "none": 0.0}[self.reset_mechanism]
            )
        return spikes

    def late(self, v, over):
        return v - over * {"subtract": self.threshold, "zero": v, "none": 0.0}[self.reset_mechanism]


class Leaky(StandIn):
    def advance(self, x, over):
        if self.reset_mechanism == "zero":
            return self.beta * (1 - over) * self.mem + x
        return self.late(self.beta * self.mem + x, over)


class Synaptic(StandIn):
    def advance(self, x, over):
        self.syn = self.alpha * (self.syn if self.syn.shape == x.shape else torch.zeros_like(x)) + x
        return self.late(self.beta * self.mem + self.syn, over)


class RLeaky(StandIn):
    def __init__(self, **options):
        super().__init__(spk=torch.zeros(0), **options)
        self.recurrent = nn.Linear(9, 9)

    def forward(self, x):
        last = self.spk if self.spk.shape == x.shape else torch.zeros_like(x)
        self.spk = super().forward(x + self.recurrent(last))
        return self.spk

    def advance(self, x, over):
        return self.late(self.beta * self.mem + x, over)


class Lapicque(StandIn):
    def advance(self, x, over):
        v = (
            x * self.R * (1 / (self.R * self.C)) * self.time_step
            + (1 - self.time_step / (self.R * self.C)) * self.mem
        )
        return self.late(v, over)


class Alpha(StandIn):
    """One that refsim does not read."""


for kind in (Leaky, Synaptic, RLeaky, Lapicque, Alpha):
    kind.__module__ = "snntorch._neurons"

MAKERS = {
    "Leaky": lambda **options: Leaky(**options),
    "Synaptic": lambda **options: Synaptic(alpha=0.5, syn=torch.zeros(0), **options),
    "RLeaky": lambda **options: RLeaky(**options),
    "Lapicque": lambda **options: Lapicque(R=1.0, C=4.0, time_step=1.0, **options),
}
CASES = [
    (name, reset, delay)
    for name in MAKERS
    for reset in RESETS
    for delay in (True, False)
    if name != "Lapicque" or delay
]


def behind_linear(neurons):
    torch.manual_seed(2)
    return nn.Sequential(
        nn.Linear(6, 9), neurons, nn.Linear(9, 5), Leaky(beta=torch.linspace(0.25, 1.0, 5))
    ).double()


@pytest.fixture
def drive(rng):
    return refsim.Drive.current(rng.normal(0.3, 4, (3, 200, 6)), "1 ms")


@pytest.mark.parametrize(("name", "reset", "delay"), CASES)
def test_a_layer_is_what_its_source_says(name, reset, delay, drive):
    module = behind_linear(MAKERS[name](reset_mechanism=reset, reset_delay=delay))
    network = refsim.bridge.load(module, dt="1 ms")
    ours, theirs = (
        refsim.run(network, drive, engine=engine)
        for engine in (refsim.Discrete(), refsim.Torch(module=module))
    )
    assert all(len(train) for train in ours.spikes)
    assert all(
        np.array_equal(a.code, b.code) for a, b in zip(ours.spikes, theirs.spikes, strict=True)
    )


@pytest.mark.parametrize(
    ("name", "reset"), [(name, reset) for name in MAKERS for reset in ("subtract", "zero")]
)
def test_a_threshold_below_zero_owes_a_reset_before_the_first_step(name, reset, drive):
    """Each late reset is one of the membrane as the step finds it, and 0 lies above such a
    threshold.
    """
    module = behind_linear(
        MAKERS[name](reset_mechanism=reset, threshold=torch.linspace(-0.5, 1.0, 9))
    )
    network = refsim.bridge.load(module, dt="1 ms")
    assert network.layers[0].starts(network.layers[0].model.stepped)["owed"].tolist() == [
        1,
        1,
        1,
        *[0] * 6,
    ]
    engines = (
        refsim.Torch(module=module),
        refsim.Torch(dtype="float64"),
        refsim.Brian2(target="numpy"),
    )
    ours, *others = (
        refsim.run(network, drive, engine=engine) for engine in (refsim.Discrete(), *engines)
    )
    assert all(
        np.array_equal(a.code, b.code)
        for other in others
        for a, b in zip(ours.spikes, other.spikes, strict=True)
    )
    # Planted: as cards started before.
    unowed = replace(network.layers[0].model.state["owed"], start=0.0, at="")
    first = replace(
        network.layers[0],
        model=replace(
            network.layers[0].model, state={**network.layers[0].model.state, "owed": unowed}
        ),
    )
    rogue = refsim.run(
        replace(network, layers=(first, network.layers[1])), drive, engine=refsim.Discrete()
    )
    # What sets to 0, before anything arrived.
    harmless = network.layers[0].model.convention["moment"].endswith("before the decay")
    assert np.array_equal(rogue.spikes[0].code, ours.spikes[0].code) is harmless


class Given(RLeaky):
    """As snnTorch's recurrent layers that reset at once.

    Without the spikes of the step before they raise.
    """

    def forward(self, x, spk=None, mem=None):
        self.spk, self.mem = spk / 1.0, mem
        return super().forward(x), self.mem


Given.__module__, Given.__name__ = "snntorch._neurons", "RLeaky"


class Handing(nn.Module):
    """Hands a layer its states over, over all steps, and may keep less of the membrane than there
    is.
    """

    def __init__(self, keep=1.0):
        super().__init__()
        torch.manual_seed(2)
        self.linear, self.neuron, self.keep = nn.Linear(6, 9), Given(), keep
        self.double()

    def forward(self, x):
        spk, mem, sent = x.new_zeros(x.shape[1], 9), x.new_zeros(x.shape[1], 9), []
        for frame in x:
            spk, mem = self.neuron(self.linear(frame), spk, mem=self.keep * mem)
            sent.append(spk)
        return torch.stack(sent)


def test_a_layer_that_cannot_do_without_states_is_read_where_it_is_handed_its_own(drive):
    module = Handing()
    network = refsim.bridge.load(module, dt="1 ms", input_shape=(6,))
    ours, theirs = (
        refsim.run(network, drive, engine=engine)
        for engine in (refsim.Discrete(), refsim.Torch(module=module, input_shape=(6,)))
    )
    assert len(ours.spikes[0]) > 100
    assert np.array_equal(ours.spikes[0].code, theirs.spikes[0].code)
    with pytest.raises(RefsimError, match="neuron"):
        refsim.bridge.load(Handing(keep=0.5), dt="1 ms", input_shape=(6,))


# Planted faults: a convention that a reader could misread, by the trait that tells it.
MISREAD = {
    "comparison": ("Leaky", {}, {"comparison": ">="}),
    "moment": ("Leaky", {}, {"moment": "now"}),
    "reset": ("Leaky", {"reset_mechanism": "zero"}, {"reset": "subtract"}),
    "synapse": ("Synaptic", {}, {"synapse": "jump, decay, use"}),
}


@pytest.mark.parametrize("trait", MISREAD)
def test_a_misread_convention_is_named(trait, rng):
    name, options, wrong = MISREAD[trait]
    module = behind_linear(MAKERS[name](**options))
    for part in (module[0], module[2]):  # dyadic numbers: the threshold is met exactly
        part.weight.data, part.bias.data = (
            each.mul(8).round().div(2) for each in (part.weight.data, part.bias.data)
        )
    network = refsim.bridge.load(module, dt="1 ms")
    drive = refsim.Drive.bernoulli(rng.random((3, 6)), 100, "1 ms", 0)
    trial = refsim.run(network, drive, engine=refsim.Torch(module=module))
    assert explaining_traits(trial) == []
    first, second = network.layers
    misread = replace(
        network, layers=(replace(first, model=switched(first.model, **wrong)), second)
    )
    assert trait in {each.trait for each in explaining_traits(replace(trial, network=misread))}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: Alpha(),
            "is snnTorch's Alpha, which refsim does not read; of snnTorch it reads Lapicque, Leaky",
        ),
        (
            lambda: with_attribute("inhibition", True),
            "inhibition = True is not read: with inhibition only the largest membrane",
        ),
        (lambda: with_attribute("state_quant", object()), "is not read: its states are rounded"),
        (
            lambda: with_attribute("graded_spikes_factor", torch.tensor(2.0)),
            "graded_spikes_factor = 2.0 is not read",
        ),
        (
            lambda: with_attribute("threshold", torch.ones(3, 9)),
            r"v_th: has shape \(3, 9\), which does not fit its neurons, \(9,\)",
        ),
        (
            lambda: with_attribute("beta", torch.tensor(float("nan"))),
            "beta: holds a value that is NaN or infinite",
        ),
        (lambda: without("state_quant"), "this release of snnTorch has no attribute 'state_quant'"),
    ],
)
def test_what_cannot_be_said_is_refused(make, says):
    with pytest.raises(RefsimError, match=says):
        refsim.bridge.load(nn.Sequential(nn.Linear(6, 9), make()), dt="1 ms")


def with_attribute(name, value):
    layer = Leaky()
    delattr(layer, name)
    setattr(layer, name, value)
    return layer


def without(name):
    layer = Leaky()
    delattr(layer, name)
    return layer


def test_a_trial_leaves_the_module_as_it_was(drive):
    module = behind_linear(Leaky(beta=0.5))
    module(torch.ones(2, 6).double())
    kept, training = module[1].mem.clone(), module.training
    refsim.run(refsim.bridge.load(module, dt="1 ms"), drive, engine=refsim.Torch(module=module))
    assert torch.equal(module[1].mem, kept)
    assert module.training is training
