"""Modules that end in a map: it is read with its rule over the steps, put on trial as it is, and
decided on; what cannot be read is named.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from rogues_readouts import (
    DT,
    FINISH,
    HIDDEN,
    N_IN,
    OUTPUT,
    ROGUES,
    STEPS,
    Whole,
    declared,
    drive,
    weights,
)
from torch import nn

import refsim
from refsim.cases.case import standard_claims
from refsim.cases.network import make_plan, validate_network
from refsim.core.claims import Claim
from refsim.core.errors import RefsimError
from refsim.files.refsim_file import load_network, save_network
from refsim.networks.recording import Recording, decision_rule
from refsim.pytorch import LI, LIF, SRIF, AxonalDelay

GRID = refsim.Brian2(target="numpy")


def read(module, layout="time first"):
    return refsim.bridge.load(module, dt=DT, layout=layout)


def run_both(network, module, given=None, layout="time first"):
    engines = (GRID, refsim.Torch(module=module, layout=layout))
    return [refsim.run(network, given or drive(), engine, record=OUTPUT) for engine in engines]


# What is read


@pytest.mark.parametrize("rule", FINISH)
def test_the_rule_over_the_steps_is_measured_and_the_map_comes_out_to_the_last_bit(rule):
    network = read(Whole(FINISH[rule]))
    assert [layer.model.name for layer in network.layers] == ["srif", f"readout_{rule}"]
    assert np.array_equal(network.layers[-1].weight, weights()[2])
    assert np.array_equal(network.layers[-1].bias, weights()[3])
    assert not network.undecided


@pytest.mark.parametrize(
    "finish",
    [lambda o: o, lambda o: o.transpose(0, 1), lambda o: (o, None), lambda o: [o.flatten(0, 1)]],
)
def test_a_value_a_step_is_decided_on_by_the_mean_however_it_lies_in_time(finish):
    module = Whole(finish)
    network = read(module)
    assert network.layers[-1].model.name == "readout_mean"
    assert np.array_equal(network.layers[-1].weight, weights()[2])
    reference, trial = run_both(network, module)
    assert refsim.compare(reference, trial).verdict == "pass"
    assert (
        "it gives values in each step, and their mean over the steps decides"
        in trial.provenance["module"]
    )


class Spikes(nn.Module):
    """Gives what a function makes of the spikes of all steps."""

    def __init__(self, finish):
        super().__init__()
        torch.manual_seed(2)
        self.fc, self.neuron, self.finish = nn.Linear(N_IN, 6), SRIF(), finish

    def forward(self, x):
        return self.finish(torch.stack([self.neuron(self.fc(frame)) for frame in x]))


@pytest.mark.parametrize(
    "finish", [lambda o: o, lambda o: o.sum(0), lambda o: o.mean(0), lambda o: 3 * o]
)
def test_spikes_that_are_only_counted_get_no_layer_of_their_own(finish):
    network = read(Spikes(finish))
    assert [layer.model.name for layer in network.layers] == ["srif"]
    assert decision_rule(network) == "class = most spikes of layer 0"


@pytest.mark.parametrize(
    ("finish", "card", "classes"),
    [
        (lambda o: o[-1], "readout_last", 6),
        (lambda o: o.max(0).values, "readout_max", 6),
        (lambda o: o.reshape(*o.shape[:2], 3, 2).mean(-1), "readout_mean", 3),
        (lambda o: o.flip(-1).sum(0), "readout_sum", 6),
        (lambda o: o.mean(0) - torch.arange(6), "readout_mean", 6),
    ],
    ids=["last", "max", "votes", "other order", "offset"],
)
def test_classes_that_are_no_count_of_the_last_neurons_are_read(finish, card, classes):
    module = Spikes(finish)
    network = read(module)
    assert (network.layers[-1].model.name, network.layers[-1].n_post) == (card, classes)
    reference, trial = run_both(network, module)
    assert refsim.compare(reference, trial).verdict == "pass"
    with torch.no_grad():
        given = torch.as_tensor(np.stack(list(reference.drive.frames())), dtype=torch.float32)
        refsim.pytorch.reset(module)
        own = module(given)
    assert np.array_equal(
        (own.sum(0) if own.ndim == 3 else own).argmax(1).numpy(), reference.decisions()
    )


def test_a_read_out_hears_earlier_layers_the_input_and_through_delays():
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(4)
            self.a, self.b, self.head = nn.Linear(N_IN, 5), nn.Linear(5, 4), nn.Linear(N_IN + 9, 3)
            self.first, self.second, self.late = LIF(), SRIF(), AxonalDelay(4, 3, 2.0)

        def forward(self, x):
            first = self.first(self.a(x))
            return self.head(torch.cat([x, first, self.late(self.second(self.b(first)))], 1))

    module = Wide().double()
    network = read(module, "step")
    last = network.layers[-1]
    assert sorted((source.layer, source.delay.max()) for source in last.sources) == [
        (-1, 0),
        (0, 0),
        (1, 2),
    ]
    reference, trial = run_both(network, module, layout="step")
    assert refsim.compare(reference, trial).verdict == "pass"
    assert trial.traces[-1]["before_reset"].any()


def test_a_chain_of_maps_behind_convolutions_is_one_read_out():
    torch.manual_seed(5)
    module = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        SRIF(),
        nn.AvgPool2d(2),
        nn.Conv2d(3, 2, 2),
        nn.BatchNorm2d(2),
        nn.Flatten(),
        nn.Linear(2, 4),
    ).double()
    network = refsim.bridge.load(module, dt=DT, input_shape=(1, 4, 4))
    assert [layer.model.name for layer in network.layers] == ["srif", "readout_mean"]
    given = refsim.Drive.current(np.random.default_rng(0).random((8, 5, 16)), DT)
    runs = [
        refsim.run(network, given, engine, record=OUTPUT)
        for engine in (GRID, refsim.Torch(module=module, input_shape=(1, 4, 4)))
    ]
    assert refsim.compare(*runs).verdict == "pass"


# What goes on trial


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rule", FINISH)
def test_a_right_module_passes_though_it_shows_its_answer_after_the_last_step_alone(rule, dtype):
    module = getattr(Whole(FINISH[rule]), {"float64": "double", "float32": "float"}[dtype])()
    reference, trial = run_both(read(module), module, drive(64, seed=3))
    assert np.isnan(trial.traces[-1]["before_reset"][:, :-1]).all()
    assert refsim.compare(reference, trial).verdict == "pass"
    assert np.array_equal(reference.decisions(), trial.decisions())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_mean_that_is_taken_before_the_map_is_within_the_bound(dtype):
    class Before(Whole):
        def forward(self, x):
            return self.head(torch.stack([self.neuron(self.fc(frame)) for frame in x]).mean(0))

    module = getattr(Before(None), {"float64": "double", "float32": "float"}[dtype])()
    network = read(module)
    assert network.layers[-1].model.name == "readout_mean"
    for seed in range(4):
        assert refsim.compare(*run_both(network, module, drive(200, seed))).verdict == "pass"


@pytest.mark.parametrize("name", ROGUES)
def test_a_rogue_read_out_fails_by_its_output_alone(name):
    reference, trial = run_both(declared("mean"), ROGUES[name]().double(), drive(64))
    assert [
        len(np.setxor1d(a.code, b.code))
        for a, b in zip(reference.spikes, trial.spikes, strict=True)
    ] == [0, 0]
    report = refsim.compare(reference, trial)
    assert report.verdict == "fail"
    assert report.findings.comparisons[0].replay.culprits == [1]
    assert "the output of layer 1 differs by" in report.sentence
    assert f"step {STEPS - 1}, neuron" in report.sentence


def test_rolled_rows_are_seen_in_the_decisions():
    report = refsim.compare(*run_both(declared("mean"), ROGUES["rows rolled"]()))
    changed = next(
        verdict
        for verdict in report.findings.verdicts
        if verdict.claim.measure == "changed decisions"
    )
    assert (changed.status, changed.value) == ("fail", drive().n_samples)


def test_a_class_that_changes_by_rounding_is_undecided():
    """Two equal rows, and biases that differ by less than a last bit of float32.

    It cannot tell them apart.
    """
    _, _, last, offset = weights()
    last, offset = last.copy(), offset.copy()
    last[1], offset[:] = last[0], [5.0, 5.0 + 2.0**-40, 0, 0]
    network = declared("mean", weight=last, bias=offset)
    runs = [
        refsim.run(network, drive(), engine, record=OUTPUT)
        for engine in (GRID, refsim.Torch(dtype="float32"))
    ]
    assert set(runs[0].decisions()) == {1}
    assert set(runs[1].decisions()) == {0}
    verdicts = {
        verdict.claim.measure: verdict.status for verdict in refsim.compare(*runs).findings.verdicts
    }
    assert verdicts == {"mismatched spikes": "pass", "changed decisions": "inconclusive"}


def test_a_module_that_gives_no_numbers_cannot_be_the_declared_read_out():
    with pytest.raises(
        RefsimError,
        match=(
            "the network ends in a read-out, 'readout_mean', but the module gives no batch of "
            "numbers"
        ),
    ):
        run_both(declared("mean"), Whole(lambda _: None))
    with pytest.raises(
        RefsimError,
        match=r"the module's layers have \[20, 3\] neurons, but the network's have \[20, 4\]",
    ):
        run_both(declared("mean"), Whole(lambda o: o[..., :3]))


# Decisions


def validated(module, labels=None, claims=None, given=None):
    network = read(module)
    plan = replace(make_plan([], []), trials=(refsim.Torch(module=module, layout="time first"),))
    return validate_network(
        network, given or drive(), plan, claims or standard_claims(), labels=labels
    )


def own_classes(module, given):
    with torch.no_grad():
        refsim.pytorch.reset(module)
        return module(torch.as_tensor(np.stack(list(given.frames())))).argmax(1).numpy()


def test_accuracy_is_that_of_the_module_itself_and_not_of_hidden_neurons(monkeypatch):
    module, given = Whole(FINISH["mean"]), drive()
    labels = own_classes(module, given)
    assert (
        next(v.value for v in validated(module, labels).verdicts if v.claim.measure == "accuracy")
        == 1.0
    )
    monkeypatch.setattr(Recording, "answers", lambda run: run.spikes[0].counts())  # the rogue
    assert (
        next(v.value for v in validated(module, labels).verdicts if v.claim.measure == "accuracy")
        < 0.5
    )


UNREAD = {
    "rectified": (
        lambda o: o.relu().mean(0),
        (
            "'head' stands behind its last neurons, and what comes of it is none of last, max, "
            "mean, "
            "sum over the steps"
        ),
    ),
    "leaky": (
        lambda o: (o * 0.5 ** torch.arange(len(o))[:, None, None]).sum(0),
        "is none of last, max, mean, sum over the steps",
    ),
    "two steps": (lambda o: o[-2:].mean(0), "is none of last, max, mean, sum over the steps"),
    "squared a step": (lambda o: o * o, "is not linear"),
    "random": (lambda o: o + torch.rand_like(o), "gives other numbers when it is run again"),
    "nothing": (
        lambda o: None,
        "'head' stands behind its last neurons, and the module gives no batch of numbers",
    ),
    "NaN": (lambda o: o * torch.nan, "is NaN or infinite without any input"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_cannot_be_read_is_named_and_nothing_is_decided(name, tmp_path):
    finish, said = UNREAD[name]
    module = Whole(finish)
    network = read(module)
    assert [layer.model.name for layer in network.layers] == ["srif"]
    assert said in network.undecided
    assert decision_rule(network).startswith("not judged: ")
    assert (
        load_network(save_network(network, tmp_path / "net.refsim")).undecided == network.undecided
    )
    with pytest.raises(RefsimError, match="decisions: "):
        refsim.run(network, drive(2), GRID).decisions()


def test_claims_on_classes_are_left_open_where_nobody_can_say_them():
    wanted = Claim(
        "task",
        "accuracy",
        0.5,
        "share of samples",
        "a limit that hidden neurons must not meet",
        "at least",
    )
    # No hidden neuron has such a number, and none is asked for one.
    labels = np.full(drive().n_samples, HIDDEN + 5)
    findings = validated(Whole(UNREAD["rectified"][0]), labels, [*standard_claims(), wanted])
    found = {(verdict.claim.measure, verdict.claim.limit): verdict for verdict in findings.verdicts}
    assert found["mismatched spikes", 0].status == "pass"
    assert found["changed decisions", 0].status == found["accuracy", None].status == "skipped"
    assert found["accuracy", 0.5].status == findings.verdict == "inconclusive"
    assert all(
        "'head' stands behind its last neurons" in verdict.detail
        for key, verdict in found.items()
        if key[0] != "mismatched spikes" and key[1] is not None and verdict.claim.question != "step"
    )


def test_what_a_declared_network_lacks_behind_its_neurons_decides_nothing_either():
    hidden = read(Spikes(lambda o: o))
    module = nn.Sequential(nn.Linear(N_IN, 6), SRIF(), nn.Linear(6, 3))
    module[0].load_state_dict(Spikes(lambda o: o).fc.state_dict())
    reference, trial = run_both(hidden, module, layout="step")
    verdicts = {
        verdict.claim.measure: verdict
        for verdict in refsim.compare(reference, trial).findings.verdicts
    }
    assert (verdicts["mismatched spikes"].status, verdicts["changed decisions"].status) == (
        "pass",
        "skipped",
    )
    assert (
        "2 of the module stands behind its last neurons, and the network does not have it"
        in verdicts["changed decisions"].detail
    )


def test_a_readout_that_others_cannot_hear_is_not_taken_for_one_that_is_heard():
    module = nn.Sequential(nn.Linear(N_IN, 5), LI(), nn.Linear(5, 3))
    assert (
        "is made of '1', a readout, of which other layers hear nothing"
        in read(module, "step").undecided
    )
    assert not read(module[:2], "step").undecided


def test_fine_runs_measure_spikes_where_nobody_judges_classes():
    module = Whole(UNREAD["rectified"][0])
    network = read(module)
    findings = validate_network(
        network, drive(), make_plan(["discrete float64"], [2, 4]), standard_claims()
    )
    status = {verdict.claim.measure: verdict.status for verdict in findings.verdicts}
    assert (status["displacement of spikes"], status["decisions changed by the step"]) == (
        "reported",
        "skipped",
    )


@pytest.mark.parametrize("rule", ["mean", "max"])
def test_the_rule_is_stated_wherever_a_report_is_read(rule, tmp_path):
    module = Whole(FINISH[rule])
    report = refsim.compare(*run_both(read(module), module))
    words = (
        f"class = largest {'mean' if rule == 'mean' else 'maximum'} over the steps, of layer "
        f"1 (readout_{rule})"
    )
    assert report.as_dict()["decision"] == words
    assert words in " ".join(report.text().split())
    assert words in (report.save(tmp_path) / "report.html").read_text("utf-8")
