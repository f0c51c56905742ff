"""Each rule of the judge and its doors has a rogue that puts the old way back, and a test that
turns red with it.
"""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rogues_rules import RULES
from test_calls import Net

import refsim
import refsim.pytorch
from refsim import Discrete, Drive, Torch
from refsim.judge.comparison import _membranes
from refsim.judge.judgement import Decision, LayerJudgement, Replay

ROOT = Path(__file__).resolve().parents[1]


class Planted:
    """A plugin of pytest that plants a fault around each test, and keeps what became of it."""

    def __init__(self, rule):
        self.rule, self.passed, self.errors = rule, 0, []

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self):
        with pytest.MonkeyPatch.context() as patch:
            self.rule.plant(patch)
            yield

    def pytest_exception_interact(self, call):
        self.errors.append(call.excinfo)

    def pytest_runtest_logreport(self, report):
        self.passed += report.when == "call" and report.passed


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rogue_turns_the_test_of_its_rule_red(rule):
    seen = Planted(rule)
    pytest.main(
        [str(ROOT / "tests" / rule.caught_by), "-q", "-p", "no:cacheprovider", "-p", "no:randomly"],
        plugins=[seen],
    )
    assert seen.errors, f"{rule.caught_by} stays green ({seen.passed} passed)"
    for error in seen.errors:  # by what it says, and not because the planted code cannot run
        assert error.errisinstance(
            (AssertionError, pytest.fail.Exception, refsim.RefsimError, ValueError, *rule.raises)
        ), error.getrepr(style="short")


def test_every_rogue_is_listed():
    listed = subprocess.run(
        [sys.executable, "-m", "tests.rogues", "--list"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert all(rule.name in listed and rule.caught_by in listed for rule in RULES)
    for path in (ROOT / "tests").glob("*.py"):
        planted = "ROGUES = " in path.read_text("utf-8") or path.name.startswith(
            ("rogue_", "rogues_")
        )
        planted = planted and path.name != "rogue_list.py"
        assert not planted or path.name in listed, (
            f"{path.name} holds rogues, and tests/rogue_list.py does not list it"
        )


# --- tests of rules that have no file of their own ---


def forgetful(v_th):
    module = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), refsim.pytorch.PLIF(v_th=v_th))
    module[0].weight.data.fill_(1.0)
    return module


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("late", [20, 100, 400])
def test_a_gross_fault_that_shows_late_is_no_tie(late, dtype):
    """Half the declared threshold, on a membrane that stays below both until `late`."""
    declared = refsim.bridge.load(forgetful(1.0), dt="1 ms")
    x = np.full((1, late + 40, 1), 0.3)
    x[0, late:], x[0, late + 20 :] = 0.8, 3.0
    drive = Drive.current(x, "1 ms")
    trial = Torch(module=forgetful(0.5).to(getattr(torch, dtype))).run(declared, drive)
    report = refsim.compare(Discrete().run(declared, drive), trial)
    assert report.verdict == "fail"
    assert f"the first at layer 0, sample 0, neuron 0, step {late}" in report.sentence


def test_a_readout_that_is_wrong_late_is_no_tie():
    """A weight of 2 where 1 is declared, of an input that is heard from step 250 on."""

    def network(second):
        return refsim.Network.dense([([[1.0, second]], None, refsim.load("norse_li"))], "1 ms")

    x = np.zeros((1, 300, 2))
    x[0, :, 0], x[0, 250:, 1] = 0.3, 0.3
    drive, record = Drive.current(x, "1 ms"), ("before_reset",)
    reference, other = (
        Discrete().run(network(1.0), drive, record),
        Torch(dtype="float32").run(network(2.0), drive, record),
    )
    report = refsim.compare(
        reference,
        refsim.networks.recording.Recording(
            reference.network, drive, other.spikes, other.traces, other.approach, other.provenance
        ),
    )
    assert report.verdict == "fail"
    assert "output of layer 0 differs by" in report.sentence


def test_heading_and_sentence_are_one_verdict(tmp_path, monkeypatch):
    """A case that asks for an accuracy alone, on weights whose sums meet the threshold."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    weight = torch.tensor(np.round(rng.random((5, 20)), 1) * 0.1, dtype=torch.float64)
    torch.save({"0.weight": weight}, "net.pt")
    (tmp_path / "net.toml").write_text(
        'dt = "1 ms"\nweights = "net.pt"\n[[layer]]\nlinear = "0"\nneuron = "srif"\n'
    )
    np.savez("x.npz", x=(rng.random((30, 40, 20)) < 0.3).astype(float), y=np.zeros(30, int))
    (tmp_path / "case.toml").write_text(
        'title = "a task alone"\nkind = "network"\nnetwork = "net.toml"\ntrials = ["torch '
        'float32"]\nfine = []\n'
        '[data]\nsource = "x.npz"\n[[claim]]\nquestion = "task"\nmeasure = "accuracy"\nlimit = '
        '0.0\nsense = "at least"\n'
        'unit = "share of samples"\nbecause = "any accuracy is enough for this case of a report"\n'
    )
    report = refsim.validate("case.toml")
    assert report.sentence.startswith("Not decided: ")
    assert report.verdict == "inconclusive"


def two_layers():
    rng = np.random.default_rng(2)
    rows = [
        (rng.normal(0.3, 0.5, (6, 4)), None, refsim.load("srif")),
        (rng.normal(0.3, 0.5, (3, 6)), None, refsim.load("srif")),
    ]
    network = refsim.Network.dense(rows, "1 ms")
    return network, Drive.raster(rng.random((4, 30, 4)) < 0.4, "1 ms")


def test_a_pass_says_which_layers_were_recorded():
    network, drive = two_layers()
    run = Discrete().run(network, drive)
    whole = refsim.compare(
        run,
        refsim.recorded(
            network, drive, {index: each.dense() for index, each in enumerate(run.spikes)}
        ),
    )
    assert whole.verdict == "pass"
    assert f"exactly the {len(run.spikes[0]) + len(run.spikes[1]):,} spikes" in whole.sentence
    assert "2 layers" in whole.sentence
    last = refsim.compare(run, refsim.recorded(network, drive, run.spikes[1].dense()))
    assert last.verdict == "pass"
    assert (
        f"exactly the {len(run.spikes[1]):,} spikes of Discrete float64, over 4 samples, 1 layer "
        "and 30 steps"
    ) in last.sentence
    assert (
        f"only the {len(run.spikes[1]):,} spikes of layer 1 could be compared; layer 0 was not "
        "recorded."
    ) in last.sentence
    beside = refsim.validate(network, drive, expected=run.spikes[1].dense())
    assert beside.verdict == "pass"
    assert "over 4 samples, 2 layers and 30 steps" in beside.sentence
    assert "layer 0 was not recorded" in beside.sentence
    assert "and recorded spikes fire" not in beside.sentence


def test_a_pass_says_why_nothing_is_said_of_the_classes():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(4, 6), refsim.pytorch.LIFDecay(decay=0.9), torch.nn.Softmax(-1)
    )
    module[0].weight.data = module[0].weight.data.abs()
    report = refsim.validate(module, np.random.default_rng(0).random((3, 20, 4)), dt="1 ms")
    assert report.verdict == "pass"
    assert "Nothing is said of its classes: " in report.sentence
    assert "Softmax" in report.sentence


def test_two_runs_that_are_compared_are_judged_as_their_owner_calls_them(rng):
    module = Net(own="a")
    network = refsim.bridge.load(module, dt="1 ms")
    drive = Drive.current(rng.random((4, 30, 4)) * 2, "1 ms")
    report = refsim.compare(
        Discrete().run(network, drive), Torch(module=module).run(network, drive)
    )
    assert report.verdict == "inconclusive"
    assert "two equal calls answer differently" in report.text().replace("\n", " ").replace(
        "  ", " "
    )


def test_a_drive_says_how_long_its_step_is(rng):
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), refsim.pytorch.SRIF())
    report = refsim.validate(module, Drive.bernoulli(np.full((2, 4), 0.9), 30, "2 ms", 0))
    assert report.findings.network.dt == 0.002
    with pytest.raises(
        refsim.RefsimError, match="has a step of 0.002 s, but the network has 0.001 s"
    ):
        refsim.validate(module, Drive.bernoulli(np.full((2, 4), 0.9), 30, "2 ms", 0), dt="1 ms")
    with pytest.raises(refsim.RefsimError, match="says nothing of the duration of a step"):
        refsim.validate(module, rng.random((2, 30, 4)))


def with_readout():
    rng = np.random.default_rng(3)
    rows = [
        (rng.normal(0.3, 0.5, (6, 4)), None, refsim.load("srif")),
        (rng.normal(0.3, 0.5, (6, 6)), None, refsim.load("li")),
    ]
    return refsim.Network.dense(rows, "1 ms"), Drive.raster(rng.random((4, 30, 4)) < 0.4, "1 ms")


def test_of_a_recorded_readout_its_output_is_compared_and_no_spikes():
    network, drive = with_readout()
    run = Discrete().run(network, drive, ("before_reset",))
    report = refsim.validate(network, drive, expected=run.traces[1]["before_reset"])
    assert report.verdict == "pass"
    assert (
        "only the output of layer 1 could be compared; layer 0 was not recorded" in report.sentence
    )


def test_spikes_that_are_taken_for_a_readouts_output_are_told_for_what_they_are():
    network, drive = with_readout()
    run = Discrete().run(network, drive)
    report = refsim.validate(network, drive, expected=run.spikes[0].dense())
    assert report.verdict == "fail"
    assert (
        "of layer 1, which never fires, holds 0 and 1 alone, as spikes do; is it of another layer?"
        in " ".join(report.text().split())
    )
    assert refsim.validate(network, drive, expected={"0": run.spikes[0].dense()}).verdict == "pass"


def test_a_layer_that_fires_in_every_step_is_no_strong_witness():
    network = refsim.Network.dense([([[1.0]], None, refsim.load("srif"))], "1 ms")
    runs = [
        Discrete().run(network, Drive.current(np.full((1, 9, 1), level), "1 ms"))
        for level in (2.0, 0.4)
    ]
    full, sparse = (refsim.compare(run, run) for run in runs)
    assert full.verdict == sparse.verdict == "pass"
    assert "Layer 0 fires in every step, which agrees with many weights" in full.sentence
    assert "every step" not in sparse.sentence


def test_a_wrong_membrane_is_told_of_the_layer_that_fires_and_not_of_the_readout_behind_it():
    """Where spikes part by a tie both may be off, and the read-out in an earlier step."""
    network, _ = with_readout()
    replay = Replay([LayerJudgement(membranes=2), LayerJudgement(membranes=7)], np.arange(1))
    replay.wrong = [
        Decision(layer, 0, step, neuron, False, 0.01, 1e-9, 0.0, "membrane")
        for layer, step, neuron in ((1, 0, 3), (0, 4, 2), (0, 5, 2))
    ]
    said = _membranes(SimpleNamespace(reference=SimpleNamespace(network=network), replay=replay))
    assert (
        "2 membranes of the trial other than declared, first at layer 0, sample 0, neuron 2, step 4"
        in said
    )
