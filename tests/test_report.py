"""Reports: the sentence says what is true, the JSON has its schema, the page stands alone."""

import collections
import dataclasses
import itertools
import json
import re

import numpy as np
import pytest
from conftest import small_network

import refsim
from refsim import Brian2, Discrete, Drive, RefsimError, SpikeTrains, Torch
from refsim.cases.case import standard_claims
from refsim.cases.findings import Findings
from refsim.cases.network import Plan, validate_network
from refsim.core.claims import Claim, Verdict, judge, overall
from refsim.report import Report
from refsim.report.pictures import bands, pictures

TOP = [
    "schema_version",
    "verdict",
    "sentence",
    "title",
    "network",
    "decision",
    "data",
    "runs",
    "claims",
    "causes",
    "not_finite",
    "id",
]
CLAIM = {"question", "measure", "value", "limit", "unit", "because", "margin", "status"}


@pytest.fixture
def pair(rng):
    network, drive = small_network(rng, "srif"), Drive.bernoulli(rng.random((6, 12)), 20, "1 ms", 0)
    return Discrete().run(network, drive), Torch(dtype="float64").run(network, drive)


def moved(recording, layer=1):
    """The same recording with one spike a step later."""
    dense = recording.spikes[layer].dense()
    sample, step, neuron = next(
        at for at in np.argwhere(dense[:, :-1]) if not dense[at[0], at[1] + 1, at[2]]
    )
    dense[sample, step : step + 2, neuron] = [False, True]
    spikes = list(recording.spikes)
    spikes[layer] = SpikeTrains.from_dense(dense, 1e-3)
    return dataclasses.replace(recording, spikes=tuple(spikes)), (sample, step, neuron)


def test_pass(pair):
    report = refsim.compare(*pair)
    assert report.verdict == "pass"
    assert report.sentence.startswith("The same network: PyTorch float64 fires exactly the")
    assert f"{sum(map(len, pair[0].spikes)):,} spikes" in report.sentence


def test_fail_names_the_first_divergence(pair):
    trial, (sample, step, neuron) = moved(pair[1])
    report = refsim.compare(pair[0], trial)
    assert report.verdict == "fail"
    assert (
        f"first at layer 1, sample {sample}, neuron {neuron}, step {step}, where only Discrete "
        "float64 fires"
    ) in report.sentence
    row = report.as_dict()["claims"][0]
    assert (row["value"], row["status"], row["samples_parted"]) == (2, "fail", 1)
    assert {key: row["first_divergence"][key] for key in ("layer", "sample", "neuron", "step")} == {
        "layer": 1,
        "sample": sample,
        "neuron": neuron,
        "step": step,
    }


@pytest.mark.parametrize("record", [(), ("before_reset",)], ids=["unrecorded", "recorded"])
def test_a_network_that_ends_in_a_readout_gets_its_verdict(record, rng, tmp_path):
    """The decisions are those of its membranes.

    Where nobody recorded them, spikes that differ are a fail all the same.
    """
    first, last = rng.normal(0, 0.5, (20, 12)), rng.normal(0, 0.3, (3, 20))
    network = refsim.Network.dense(
        [(first, None, refsim.load("srif")), (last, None, refsim.load("li"))], "1 ms"
    )
    drive = Drive.bernoulli(rng.random((6, 12)), 20, "1 ms", 0)
    run = Discrete().run(network, drive, record)
    verdicts = {}
    for name, trial in (("same", run), ("moved", moved(run, layer=0)[0])):
        report = refsim.compare(run, trial)
        verdicts[name] = [verdict.status for verdict in report.findings.verdicts]
        assert (
            "Decisions" in (report.save(tmp_path) / "report.html").read_text("utf-8") or not record
        )
    assert verdicts == {
        "same": ["pass", "pass"] if record else ["inconclusive", "skipped"],
        "moved": ["fail", "pass"] if record else ["fail", "skipped"],
    }


@pytest.mark.parametrize("classes", [3, 30])
def test_the_decisions_that_changed_most_often_are_named(classes, rng):
    """Above 20 classes the cells of a table are too small for numbers."""
    card = refsim.load("srif")
    network, other = (
        refsim.Network.dense(
            [(np.random.default_rng(1).normal(0.1, 0.5, (classes, 12)) + change, None, card)],
            "1 ms",
        )
        for change in (0, np.eye(classes, 12))
    )
    drive = Drive.bernoulli(rng.random((60, 12)), 20, "1 ms", 0)
    run, trial = (
        Discrete().run(network, drive),
        dataclasses.replace(Discrete().run(other, drive), network=network),
    )
    pairs = collections.Counter(
        (int(a), int(b)) for a, b in zip(run.decisions(), trial.decisions(), strict=True) if a != b
    )
    picture = next(
        picture
        for picture in pictures(refsim.compare(run, trial).findings)
        if picture.title == "Decisions"
    )
    told = [
        (int(a), int(b), int(n))
        for a, b, n in re.findall(r"(\d+) became (\d+) \((\d+)\)", picture.words)
    ]
    assert len(told) == min(3, len(pairs)) > 0
    assert all(pairs[a, b] == n for a, b, n in told)
    assert sorted(pairs.values())[-len(told) :] == sorted(n for *_, n in told)


def test_both_membranes_are_shown_where_they_part(rng):
    network, drive = small_network(rng, "srif"), Drive.bernoulli(rng.random((6, 12)), 20, "1 ms", 0)
    other = refsim.Network.dense(
        [(layer.weight * 1.01, layer.bias, layer.model) for layer in network.layers], "1 ms"
    )

    @dataclasses.dataclass(frozen=True)
    class WrongWeights:
        """An engine that runs another network than it is given."""

        def run(self, _network, drive, record=()):
            return dataclasses.replace(
                Torch(dtype="float64").run(other, drive, record), network=network
            )

    findings = validate_network(
        network, drive, Plan((Torch(dtype="float64"), WrongWeights())), standard_claims()
    )
    assert [len(found.parted) > 0 for found in findings.comparisons] == [False, True]
    first = Report(findings).as_dict()["claims"][1]["first_divergence"]
    assert first["reference_membrane"] != first["trial_membrane"]
    assert abs(first["reference_membrane"] - 0.5) == pytest.approx(
        first["distance_to_threshold"]
        if first["distance_to_threshold"] > 0
        else -first["distance_to_threshold"],
        abs=1e-12,
    )
    assert (first["reference_membrane"] >= 0.5) != (first["trial_membrane"] >= 0.5)


def test_json_has_its_schema(pair, tmp_path):
    folder = refsim.compare(*pair).save(tmp_path / "new" / "report")
    found = json.loads(
        (folder / "report.json").read_text(),
        parse_constant=lambda name: pytest.fail(f"{name} is no JSON"),
    )
    assert list(found) == TOP
    assert all(set(row) >= CLAIM for row in found["claims"])
    assert {run["label"] for run in found["runs"]} == {"Discrete float64", "PyTorch float64"}
    assert all({"versions", "dt", "dtype", "cards", "drive"} <= set(run) for run in found["runs"])


def test_the_page_stands_alone(pair, tmp_path):
    page = (refsim.compare(pair[0], moved(pair[1])[0]).save(tmp_path) / "report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert page.count('src="data:image/png;base64,') == 2  # raster and decisions
    assert 'name="viewport"' in page
    assert "@media print" in page
    assert "$" not in re.sub(r"<pre>.*</pre>", "", page, flags=re.S)


def test_the_page_of_a_validation_has_all_pictures(rng, tmp_path):
    network, drive = (
        small_network(rng, "lif"),
        Drive.current(rng.random((4, 12)), "1 ms", n_steps=10),
    )
    findings = validate_network(
        network,
        drive,
        Plan((Torch(),), fine=(2, 4, 8)),
        standard_claims(),
        labels=np.zeros(4, int),
        title="a <b> & $c",
    )
    page = (Report(findings).save(tmp_path) / "report.html").read_text()
    assert page.count("<figure>") == 4
    assert "a &lt;b&gt; &amp; $c" in page


def test_text_fits_eighty_columns(pair):
    for report in (refsim.compare(*pair), refsim.compare(pair[0], moved(pair[1])[0])):
        assert max(map(len, report.text().splitlines())) <= 80
        assert str(report) == report.text()


def test_runs_that_cannot_be_compared_are_refused(pair, rng):
    network = pair[0].network
    other = Discrete().run(network, Drive.bernoulli(rng.random((6, 12)), 20, "1 ms", 1))
    with pytest.raises(RefsimError, match="they had different input"):
        refsim.compare(pair[0], other)
    fine = Brian2(mode="fine", refine=2, target="numpy").run(network, pair[0].drive)
    with pytest.raises(RefsimError, match="cannot be compared"):
        refsim.compare(pair[0], fine)


def test_a_folder_that_cannot_be_written_is_named(pair, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RefsimError, match="cannot be written to .*file"):
        refsim.compare(*pair).save(tmp_path / "file" / "report")


CLAIM_ROW = Claim("code", "x", 1.0, "spikes", "a reason of three words")


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        (["pass"], "pass"),
        (["pass", "fail", "inconclusive"], "fail"),
        (["pass", "inconclusive"], "inconclusive"),
        (["pass", "skipped", "reported"], "pass"),
        (["skipped"], "inconclusive"),
        ([], "inconclusive"),
    ],
)
def test_nothing_judged_is_never_a_pass(statuses, verdict):
    assert overall([Verdict(CLAIM_ROW, 0.0, status) for status in statuses]) == verdict


def test_a_value_that_is_no_number_fails():
    assert judge(CLAIM_ROW, float("nan")).status == "fail"
    assert judge(CLAIM_ROW, float("inf")).status == "fail"
    assert judge(CLAIM_ROW, None).status == "skipped"
    assert judge(dataclasses.replace(CLAIM_ROW, sense="at least"), 0.5).status == "fail"


def test_a_limit_needs_its_because():
    with pytest.raises(RefsimError, match='needs because = "..."'):
        Claim("code", "x", 1.0, "spikes", "")


def test_silence_is_no_pass(rng):
    weights = [np.full((1, 3), 0.001), np.full((1, 3), -0.9)]
    network, wrong = (
        refsim.Network.dense([(weight, None, refsim.load("lif"))], "1 ms") for weight in weights
    )
    drive = Drive.bernoulli(rng.random((4, 3)), 20, "1 ms", 0)
    trial = dataclasses.replace(Torch().run(wrong, drive), network=network)
    report = refsim.compare(Discrete().run(network, drive), trial)
    assert report.verdict == "inconclusive"
    assert "layer 0 never fires, and silence agrees with any weights" in report.sentence


def test_two_networks_are_not_compared(pair):
    network = pair[0].network
    slower = refsim.Network.dense(
        [(layer.weight, layer.bias, layer.model) for layer in network.layers], "2 ms"
    )
    other = refsim.Network.dense(
        [(layer.weight * 2, layer.bias, layer.model) for layer in network.layers], "1 ms"
    )
    for wrong in (slower, other):
        with pytest.raises(RefsimError, match="they are of two networks"):
            refsim.compare(pair[0], dataclasses.replace(pair[1], network=wrong))
    equal = refsim.Network.dense(
        [(layer.weight, layer.bias, layer.model) for layer in network.layers], "1 ms"
    )
    assert refsim.compare(pair[0], dataclasses.replace(pair[1], network=equal)).verdict == "pass"


def test_a_delay_is_called_a_delay(pair):
    dense = [
        np.roll(train.dense(), layer + 1, axis=1) for layer, train in enumerate(pair[1].spikes)
    ]
    for layer, spikes in enumerate(dense):
        spikes[:, : layer + 1] = False
    late = dataclasses.replace(
        pair[1], spikes=tuple(SpikeTrains.from_dense(spikes, 1e-3) for spikes in dense)
    )
    report = refsim.compare(pair[0], late)
    assert report.verdict == "fail"
    row = report.as_dict()["claims"][0]
    assert row["delay_per_layer"] == [1, 2]
    assert "the trial is the reference delayed by 1, 2 steps (layer by layer)" in row["detail"]


def test_the_membranes_shown_are_those_of_the_run(rng):
    # a matrix product may add in another order for one sample than for many: then the block is run
    # again
    network, drive = small_network(rng, "srif"), Drive.bernoulli(rng.random((6, 12)), 20, "1 ms", 0)
    other = refsim.Network.dense(
        [(layer.weight * 1.01, layer.bias, layer.model) for layer in network.layers], "1 ms"
    )

    class SensitiveToBatch:
        def run(self, _network, drive, record=()):
            return dataclasses.replace(
                Torch(dtype="float64").run(
                    network if drive.n_samples == 1 else other, drive, record
                ),
                network=network,
            )

    findings = validate_network(network, drive, Plan((SensitiveToBatch(),)), standard_claims())
    first = findings.comparisons[0].first
    assert (first.seen >= 0.5) != (first.trial_seen >= 0.5)


def test_a_claim_that_no_run_answers_names_no_run(tmp_path):
    claim = standard_claims()[0]
    page = (
        Report(Findings("", (Verdict(claim, None, "skipped", detail="no labels"),))).save(tmp_path)
        / "report.html"
    ).read_text("utf-8")
    # It would stand there as a word of its own on a narrow screen.
    assert 'data-name="run"' not in page
    assert '<td><span class="because">no labels</span></td>' in page


def test_no_layer_is_drawn_too_low_for_its_name():
    """Ten neurons above four thousand have a band of their own.

    Layers of one size are as they were.
    """
    sizes = [4096, 4096, 512, 256, 10]
    rows = bands(sizes, 0.15)
    ends = [(row(0), row(size - 1)) for row, size in zip(rows, sizes, strict=True)]
    whole = rows[-1](9) * 24 / 23  # to within what stays empty
    assert all(below[1] < above[0] for below, above in itertools.pairwise(ends))
    middles = [(low + high) / 2 for low, high in ends]
    assert min(np.diff(middles)) > 0.14 * whole
    assert np.allclose(np.diff([row(0) for row in bands([20, 20, 20], 0.1)]), 20)
