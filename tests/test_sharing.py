"""One neuron object behind two maps.

Two layers where it is handed its states, a slip where it keeps one.
"""

import itertools

import numpy as np
import pytest
import torch
from standins_norse import DT, LIFCell
from test_snntorch import Leaky
from torch import nn

import refsim
from refsim import RefsimError


class Handed(nn.Module):
    """Norse's cells keep nothing: one of them is as many layers as it is handed states."""

    def __init__(self, uses=2, wide=5):
        super().__init__()
        torch.manual_seed(3)
        widths = [4, 5, *[wide] * (uses - 1)]
        self.maps, self.cell = (
            nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(widths)),
            LIFCell(),
        )
        for linear in self.maps:
            linear.weight.data = 20 * linear.weight.data.abs()
        self.double()

    def forward(self, x):
        states, sent = [None] * len(self.maps), []
        for z in x:
            for index, linear in enumerate(self.maps):
                z, states[index] = self.cell(linear(z), states[index])
            sent.append(z)
        return torch.stack(sent)


@pytest.mark.parametrize("make", [Handed, lambda: Handed(wide=3), lambda: Handed(uses=3)])
def test_a_cell_that_is_handed_its_states_is_as_many_layers(make, rng):
    module = make()
    kept = dict(module.named_modules())
    report = refsim.validate(module, rng.random((3, 40, 4)), dt=DT)
    assert report.verdict == "pass", report.sentence
    n = len(module.maps)
    assert len(report.findings.network.layers) == n
    assert all(
        map(
            np.array_equal,
            [layer.weight for layer in report.findings.network.layers],
            [linear.weight.detach() for linear in module.maps],
        )
    )
    told = " ".join(report.text().split())
    assert (
        "one neuron object, 'cell', stands behind "
        f"{' and '.join(repr(f'maps.{index}') for index in range(n))}"
    ) in told
    assert f"judged as {n} layers" in told
    assert dict(module.named_modules()) == kept


class Slips(Handed):
    """Hands the second use the state of the first in each step: one cell with one state."""

    def forward(self, x):
        state, sent = None, []
        for z in x:
            for linear in self.maps:
                z, state = self.cell(linear(z), state)
            sent.append(z)
        return torch.stack(sent)


def hidden():
    torch.manual_seed(1)
    lif = Leaky(beta=0.9)
    return nn.Sequential(nn.Linear(4, 5), lif, nn.Linear(5, 5), lif)


def test_a_neuron_that_keeps_one_state_behind_two_maps_is_a_slip():
    with pytest.raises(
        RefsimError,
        match=(
            r"one neuron object, '1' and '3', stands behind 2 maps, '0' and '2', and keeps its "
            r"state itself.*copy.deepcopy"
        ),
    ):
        refsim.bridge.load(hidden(), dt="1 ms")
    module = hidden()
    module[3] = type(module[1])(beta=0.9)  # the cure
    assert len(refsim.bridge.load(module, dt="1 ms").layers) == 2


def test_two_uses_that_are_handed_one_state_are_refused():
    with pytest.raises(RefsimError, match="does not go on from the state that it had"):
        refsim.bridge.load(Slips(), dt=DT)


class Unrolled(nn.Module):
    """Runs its own steps on a constant input: one layer, however often it is called."""

    def __init__(self, hoisted):
        super().__init__()
        torch.manual_seed(1)
        self.linear, self.a, self.hoisted = nn.Linear(4, 5), Leaky(beta=0.9), hoisted

    def forward(self, x):
        current = self.linear(x)
        return torch.stack([self.a(current if self.hoisted else self.linear(x)) for _ in range(3)])


@pytest.mark.parametrize("hoisted", [True, False])
def test_steps_that_a_module_runs_by_itself_are_no_layers(hoisted):
    assert len(refsim.bridge.load(Unrolled(hoisted), dt="1 ms").layers) == 1
