"""Refusals that say the true reason.

What a module does that no card can say, by the name that its owner knows it by.
"""

import numpy as np
import pytest
import torch
from standin_spikingjelly import IFNode
from standins_norse import DT
from test_handed_on import Net, spikes_of
from test_snntorch import Leaky
from torch import nn

import refsim
from refsim import RefsimError


class Peeks(nn.Module):
    """The second layer is given the membrane of the first, which keeps it.

    Not what it returns, but its attribute.
    """

    def __init__(self, layer):
        super().__init__()
        torch.manual_seed(3)
        self.first, self.a, self.second, self.b = nn.Linear(4, 5), layer(), nn.Linear(5, 3), layer()

    def forward(self, x):
        self.a(self.first(x))
        return self.b(self.second(self.a.v if hasattr(self.a, "v") else self.a.mem))


@pytest.mark.parametrize("layer", [lambda: Leaky(beta=0.9), IFNode])
def test_a_membrane_that_is_taken_by_its_name_is_refused_for_that(layer):
    with pytest.raises(
        RefsimError,
        match="'b': hears the membrane or current of another layer, not its spikes alone",
    ):
        refsim.bridge.load(Peeks(layer), dt=DT)


class Asks(Net):
    """Cannot be called without its states, and takes None for none."""

    def forward(self, x, hidden):
        z, *hidden = self.step(x, *(hidden if hidden is not None else (None, None)))
        return z, tuple(hidden)


class Cannot(Net):
    def forward(self, x, hidden):
        return self.step(x, *hidden)[0]


def test_states_without_a_default_are_none_at_the_start(rng):
    ours, theirs = spikes_of(Asks(), rng)
    assert all(spikes.any() for spikes in ours)
    assert all(map(np.array_equal, ours, theirs))
    with pytest.raises(
        RefsimError, match="its forward needs hidden besides its input, and does not take None"
    ):
        refsim.bridge.load(Cannot(), dt=DT)


class Rises(nn.Module):
    """Moves the threshold, or the decay, from step to step."""

    def __init__(self, name):
        super().__init__()
        self.linear, self.a, self.name = nn.Linear(4, 5), Leaky(beta=0.9), name

    def forward(self, x):
        sent = []
        self.a.mem = torch.zeros(0)
        for step, frame in enumerate(x):
            setattr(self.a, self.name, torch.tensor(0.5 + 0.05 * step))
            sent.append(self.a(self.linear(frame)))
        return torch.stack(sent)


@pytest.mark.parametrize("name", ["threshold", "beta"])
def test_a_parameter_that_moves_while_the_module_runs_is_named(name):
    with pytest.raises(
        RefsimError, match=f"'a' has another {name} in a later step than at the start"
    ):
        refsim.bridge.load(Rises(name), dt=DT)


class Draws(nn.Module):
    """Makes spikes of what it is given itself: silence makes none, and looks the same again."""

    def __init__(self):
        super().__init__()
        self.linear, self.a = nn.Linear(4, 5), Leaky(beta=0.9)

    def forward(self, x):
        return self.a(self.linear(torch.bernoulli(x.clamp(0, 1))))


def test_an_encoder_that_draws_inside_the_module_is_refused_for_that():
    with pytest.raises(
        RefsimError,
        match=(
            "'a': what leads to it gives other numbers when it is run again: the module draws "
            "random numbers of what it is given"
        ),
    ):
        refsim.bridge.load(Draws(), dt=DT)


class Masked(Leaky):
    def forward(self, x):
        return super().forward(x) * (torch.arange(x.shape[1]) % 2 == 0)


class Renamed(Leaky):
    pass


@pytest.mark.parametrize(
    ("kind", "verdict", "says"),
    [(Masked, "fail", ", whose forward it changes"), (Renamed, "pass", "")],
)
def test_a_class_of_ones_own_is_read_as_what_it_is_made_from_and_told_of(kind, verdict, says, rng):
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(4, 8), kind(beta=0.9))
    module[0].weight.data *= 4
    report = refsim.validate(module, rng.random((4, 30, 4)), dt="1 ms")
    assert report.verdict == verdict
    assert (
        f"'1' is a {kind.__name__}, made from snnTorch's Leaky{says}, and is read as one"
        in report.as_dict()["runs"][1]["noted"]
    )
