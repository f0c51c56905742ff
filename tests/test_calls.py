"""The module as its owner calls it.

Equal calls are answered alike, or the report names the state that is left from the last.
"""

import sys
from types import SimpleNamespace

import standin_spikingjelly as sj
import standin_spikingjelly_layers as layer
import torch
from test_snntorch import Leaky
from torch import nn

import refsim
from refsim.cases.network import CALLS


class Net(nn.Module):
    """Two layers over all steps; before each call it puts back those that it is told."""

    def __init__(self, own="ab"):
        super().__init__()
        torch.manual_seed(1)
        self.first, self.a, self.second, self.b, self.own = (
            nn.Linear(4, 8),
            Leaky(beta=0.9),
            nn.Linear(8, 5),
            Leaky(beta=0.8),
            own,
        )
        for linear in (self.first, self.second):
            linear.weight.data *= 4
        self.double()

    def forward(self, x):
        for name in self.own:
            getattr(self, name).mem = torch.zeros(0)
        return torch.stack([self.b(self.second(self.a(self.first(frame)))) for frame in x])


class Remembers(Net):
    """Keeps in no layer, but beside them, what it was last given.

    From its start it is the network that is read.
    """

    last = 0.0

    def forward(self, x):
        more, self.last = self.last, float(x.mean()) if x.dtype == torch.float32 else 0.0
        return super().forward(x + more)


def report_on(module, rng, **more):
    return refsim.validate(module, rng.random((4, 30, 4)) * 2, dt="1 ms", **more)


def told(report):
    return report.findings.comparisons[0].trial.provenance


def row(report):
    return [verdict for verdict in report.findings.verdicts if verdict.claim.measure == CALLS]


def test_a_module_that_puts_all_back_answers_alike(rng):
    report = report_on(Net(), rng)
    assert [verdict.status for verdict in row(report)] == ["pass"]
    assert report.verdict == "pass"
    assert told(report)["noted"] == []
    assert told(report)["trial"] == "own code"


def test_what_is_left_to_the_owner_is_told_and_judged_afresh(rng):
    report = report_on(Net(own=""), rng)
    assert report.verdict == "pass"
    assert not row(report)
    assert (
        "it keeps a.mem, b.mem from call to call; here each batch starts afresh, as after "
        "putting all states back"
    ) in told(report)["noted"][0]
    assert "it keeps a.mem, b.mem" in " ".join(report.text().split())


def test_a_module_that_puts_back_one_layer_alone_is_no_pass(rng):
    """Every spike of the run from the start is right: only a second call shows it."""
    report = report_on(Net(own="a"), rng)
    (verdict,) = row(report)
    assert verdict.status == report.verdict == "inconclusive"
    assert verdict.value > 0
    assert "puts back a.mem by itself, and leaves b.mem as the last call left it" in verdict.detail
    assert report.findings.comparisons[0].mismatched == (0, 0)
    assert report.as_dict()["runs"][1]["calls"]["kept"] == ["b.mem"]


def test_a_framework_whose_own_function_leaves_a_state_is_a_fail(rng, monkeypatch):
    def forgets_one(module):
        module.a.mem = torch.zeros(0)

    monkeypatch.setitem(sys.modules, "snntorch.utils", SimpleNamespace(reset=forgets_one))
    report = report_on(Net(own="a"), rng)
    assert report.verdict == "fail"
    assert (
        "leaves b.mem as the last call left it, as does snntorch.utils.reset"
        in row(report)[0].detail
    )
    outside = report_on(Net(own=""), rng)
    assert outside.verdict == "pass"  # its owner may put it back in another way
    assert (
        "between batches snntorch.utils.reset leaves b.mem as the last batch left it"
        in told(outside)["noted"][0]
    )


def test_a_module_that_remembers_beside_its_layers_is_a_fail(rng):
    report = report_on(Remembers().float(), rng)
    assert report.verdict == "fail"
    assert [
        verdict.status
        for verdict in report.findings.verdicts
        if verdict.claim.measure == "mismatched spikes"
    ] == ["pass"]
    assert (
        "no layer keeps a state: the module remembers or draws something else"
        in row(report)[0].detail
    )


def test_a_module_is_left_as_it_was(rng):
    module = Net(own="")
    module(torch.ones(3, 2, 4).double())
    kept = module.a.mem.clone()
    report_on(module, rng)
    assert torch.equal(module.a.mem, kept)


def test_states_that_a_framework_keeps_in_a_place_of_its_own_are_found(rng):
    module = nn.Sequential(
        layer.Linear(4, 8), sj.IFNode(v_reset=None), layer.Linear(8, 5), sj.IFNode(v_reset=None)
    )
    for linear in (module[0], module[2]):
        linear.weight.data = linear.weight.data.abs()
    layer.set_step_mode(module, "m")
    report = report_on(module, rng)
    assert report.verdict == "pass"
    assert "from call to call; here each batch starts afresh" in told(report)["noted"][0]
    assert not row(report)
