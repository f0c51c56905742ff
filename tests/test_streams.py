"""Event streams beside the spikes.

Recorded by every engine, judged event by event, and a wrong one is no rounding.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import refsim
from refsim import RefsimError
from refsim.judge.streams import MEASURE, compare_streams
from refsim.pytorch import SSNNComposite
from refsim.pytorch.steps import STEPS

STREAMS = ("plus", "minus")


def network(rng, error=0.6):
    model = refsim.load("ssnn_composite", error=error, scale=0.5)
    weights = [rng.normal(0, 0.3, shape) for shape in ((6, 5), (4, 6))]
    return refsim.Network.dense(
        [(weight, np.full(len(weight), 0.4), model) for weight in weights], "1 ms"
    )


@pytest.fixture
def drive(rng):
    return refsim.Drive.bernoulli(rng.random((6, 5)), 30, "1 ms", 0)


def statuses(report):
    return {verdict.claim.measure: verdict.status for verdict in report.findings.verdicts}


def changed(**streams):
    """The PyTorch step of the card, with some of its streams set otherwise, by functions of the
    right ones.
    """

    def step(x, s, p, fire):
        z, seen, after = STEPS["ssnn_composite"](x, s, p, fire)
        return z, seen, after | {name: change(after) for name, change in streams.items()}

    return refsim.Torch(dtype="float64", steps={"ssnn_composite": step})


ENGINES = {
    "Discrete": refsim.Discrete(),
    "Torch float64": refsim.Torch(dtype="float64"),
    "Torch float32": refsim.Torch(dtype="float32"),
    "Brian2 float32": refsim.Brian2(target="numpy", dtype="float32"),
}


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("error", [0.6, -0.6])
def test_every_engine_records_the_declared_streams_unasked(name, error, rng, drive):
    net = network(rng, error)
    reference, trial = (
        refsim.run(net, drive, engine=engine)
        for engine in (refsim.Brian2(target="numpy"), ENGINES[name])
    )
    on = STREAMS[error < 0]
    for a, b in zip(reference.traces, trial.traces, strict=True):
        assert 0 < a[on].mean() < 1
        assert all(np.array_equal(a[stream], b[stream]) for stream in STREAMS)
    assert statuses(refsim.compare(reference, trial)) == {
        "mismatched spikes": "pass",
        "changed decisions": "pass",
        MEASURE: "pass",
    }


def test_the_pytorch_engine_records_states_by_name(rng, drive):
    net = network(rng)
    ours, theirs = (
        refsim.run(net, drive, engine=engine, record=("u", "n"))
        for engine in (refsim.Discrete(), refsim.Torch(dtype="float64"))
    )
    assert all(
        np.allclose(a[name], b[name], rtol=0, atol=1e-12)
        for a, b in zip(ours.traces, theirs.traces, strict=True)
        for name in ("u", "n")
    )
    assert set(theirs.traces[0]) == {"u", "n", *STREAMS}


def test_a_live_module_shows_its_states(rng, drive):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 6), SSNNComposite(error=0.6))
    net = refsim.bridge.load(module, dt="1 ms")
    reference = refsim.run(net, drive, engine=refsim.Discrete())
    assert (
        statuses(
            refsim.compare(reference, refsim.run(net, drive, engine=refsim.Torch(module=module)))
        )[MEASURE]
        == "pass"
    )

    class Deaf(SSNNComposite):
        def forward(self, x):
            z = super().forward(x)
            self.state["plus"] = torch.zeros_like(x)
            return z

    deaf = nn.Sequential(module[0], Deaf(error=0.6))
    assert (
        statuses(
            refsim.compare(reference, refsim.run(net, drive, engine=refsim.Torch(module=deaf)))
        )[MEASURE]
        == "fail"
    )


# Planted faults: no spike of them is another, so that the streams alone tell.
ROGUES = {
    "swapped": {"plus": lambda s: s["minus"], "minus": lambda s: s["plus"]},
    "never and always": {
        "plus": lambda s: torch.zeros_like(s["plus"]),
        "minus": lambda s: torch.ones_like(s["minus"]),
    },
    "not gated": {"plus": lambda s: torch.ones_like(s["plus"])},
    "half an event": {"plus": lambda s: s["plus"] / 2},
}


@pytest.mark.parametrize("name", ROGUES)
def test_a_wrong_stream_is_caught_by_its_events_alone(name, rng, drive):
    net = network(rng)
    reference, trial = (
        refsim.run(net, drive, engine=engine)
        for engine in (refsim.Discrete(), changed(**ROGUES[name]))
    )
    report = refsim.compare(reference, trial)
    assert statuses(report) == {
        "mismatched spikes": "pass",
        "changed decisions": "pass",
        MEASURE: "fail",
    }
    assert report.verdict == "fail"
    verdict = report.findings.verdicts[-1]
    assert "stream 'plus' of layer 0 has" in verdict.detail
    assert verdict.as_dict()["streams"][0]["wrong"] > 0


NEAR = {
    "name": "near",
    "state": {
        "v": {"unit": "1", "start": 0.0, "meaning": "membrane"},
        "near": {"unit": "1", "start": 0.0, "meaning": "event of a membrane near threshold"},
    },
    "input": {"kind": "impulse", "target": "v"},
    "discrete": {
        "solution": "map",
        "integrate": "v = v + I; near = v >= 0.3",
        "fire": "z = v >= 1",
        "reset": "v = v*(1 - z)",
        "streams": ["near"],
    },
}


def near(*events):
    """One neuron with weights 0.1, 0.2 and 0.5, its recording, and one with some events turned
    over.
    """
    net = refsim.Network.dense(
        [([[0.1, 0.2, 0.5]], None, refsim.NeuronModel.from_table(NEAR))], "1 ms"
    )
    drive = refsim.Drive.events([0, 0, 0, 0], [0, 1, 2, 3], [0, 1, 2, 2], (1, 5, 3), "1 ms")
    reference = refsim.run(net, drive, engine=refsim.Discrete())
    flipped = reference.traces[0]["near"].copy()
    for step in events:
        flipped[0, step, 0] = 1 - flipped[0, step, 0]
    return reference, replace(reference, traces=({"near": flipped},))


def test_an_event_within_rounding_is_a_tie_and_hides_no_fault():
    reference, _ = near()
    # 0.1 + 0.2 rounds to a little more than 0.3.
    assert reference.traces[0]["near"][0, :, 0].tolist() == [0, 1, 1, 1, 0]
    assert [refsim.compare(*near(*events)).verdict for events in ((), (1,), (2,), (1, 2))] == [
        "pass",
        "inconclusive",
        "fail",
        "fail",
    ]
    (tie,), (fault,) = compare_streams(*near(1)), compare_streams(*near(1, 2))
    assert (tie.wrong, tie.within, tie.first) == (0, 1, (0, 1, 0))
    assert (fault.wrong, fault.within, fault.first) == (1, 1, (0, 2, 0))


def test_a_stream_that_nobody_recorded_is_not_decided():
    reference, trial = near()
    report = refsim.compare(reference, replace(trial, traces=({},)))
    assert report.verdict == "inconclusive"
    assert (
        "stream 'near' of layer 0 was not recorded in both runs"
        in report.findings.verdicts[-1].detail
    )


def test_a_network_without_streams_has_no_such_claim(rng):
    net = refsim.Network.dense([(rng.normal(0, 1, (4, 5)), None, refsim.load("srif"))], "1 ms")
    drive = refsim.Drive.bernoulli(rng.random((3, 5)), 20, "1 ms", 0)
    run = refsim.run(net, drive, engine=refsim.Discrete())
    assert MEASURE not in statuses(refsim.compare(run, run))
    assert compare_streams(run, run) == ()


@pytest.mark.parametrize(
    ("discrete", "says"),
    [
        (
            {"streams": "near"},
            (
                r'streams: must be a list of states, such as streams = \["near"\], each one of '
                r"near, "
                r"v, but is \'near\'"
            ),
        ),
        ({"streams": ["far"]}, "each one of near, v, but is"),
        ({"streams": ["near", "near"]}, "must be a list of states"),
        (
            {"streams": ["v"]},
            "v must be 0 or 1 in every step; let it start at 0, and set it by a comparison",
        ),
    ],
)
def test_a_stream_that_is_none_is_explained(discrete, says):
    with pytest.raises(RefsimError, match=says):
        refsim.NeuronModel.from_table(NEAR | {"discrete": NEAR["discrete"] | discrete})


def test_a_card_keeps_its_streams(tmp_path):
    model = refsim.NeuronModel.from_table(NEAR)
    assert refsim.load(model.save(tmp_path / "near.toml")).discrete.streams == ("near",)
    words = {
        "state": {"v": 0.0, "near": 0.0},
        "discrete": {key: value for key, value in NEAR["discrete"].items() if key != "solution"},
    }
    assert refsim.NeuronModel("mine", **words).discrete.streams == ("near",)
