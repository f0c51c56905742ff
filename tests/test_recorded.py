"""Recorded spikes: of some layers or all, in any order of axes, held against the network as any
other run.
"""

import numpy as np
import pytest
import torch
from conftest import small_network
from recordings import SHAPE, run_of_two_layers
from rogues_recorded import dropped, permuted

import refsim
from refsim import Discrete, Drive, RefsimError, Torch
from refsim.cases.against_recorded import compare_recorded
from refsim.cases.case import standard_claims
from refsim.cases.network import judge_code


@pytest.fixture
def ran(rng):
    return run_of_two_layers(rng)


def claim():
    return next(claim for claim in standard_claims() if claim.measure == "mismatched spikes")


# --- a Recording of one's own arrays ---


def test_a_recording_of_right_spikes_passes(ran):
    own = refsim.recorded(ran.network, ran.drive, [train.dense() for train in ran.spikes])
    assert refsim.compare(ran, own).verdict == "pass"
    assert own.provenance["recorded_layers"] == [0, 1]
    assert own.provenance["dtype"] == "float32"


@pytest.mark.parametrize("layer", [0, 1])
def test_what_was_not_recorded_runs_freely_on_what_was(layer, ran):
    """Layer 1 fires on what layer 0 was recorded to fire, be it wrong, and never on the reference's
    own.
    """
    spikes = permuted(ran.spikes[layer].dense())
    own = refsim.recorded(ran.network, ran.drive, {layer: spikes})
    assert np.array_equal(own.spikes[layer].dense(), spikes)
    assert own.provenance["recorded_layers"] == [layer]
    if layer == 1:
        assert np.array_equal(own.spikes[0].code, ran.spikes[0].code)
    else:
        alone = refsim.Network.dense(
            [
                (
                    ran.network.layers[1].weight,
                    ran.network.layers[1].bias,
                    ran.network.layers[1].model,
                )
            ],
            "1 ms",
        )
        behind = refsim.run(alone, Drive.raster(spikes, "1 ms"), engine=Discrete())
        assert np.array_equal(own.spikes[1].code, behind.spikes[0].code)
        assert len(np.setxor1d(own.spikes[1].code, ran.spikes[1].code))
    report = refsim.compare(ran, own)
    assert report.verdict == "fail"
    assert f"first at layer {layer}," in report.sentence


FORMS = {
    "dense bool": (lambda s: s, {}),
    "uint8": (lambda s: s.astype(np.uint8), {}),
    "floats": (lambda s: s.astype(np.float32), {}),
    "a tensor of bfloat16": (lambda s: torch.tensor(s, dtype=torch.bfloat16), {}),
    "nested lists": (lambda s: s.astype(int).tolist(), "list"),
    "time first": (lambda s: s.transpose(1, 0, 2), {"axes": "step, sample, neuron"}),
    "time first, in a framework's words": (
        lambda s: s.transpose(1, 0, 2),
        {"axes": "time, batch, neurons"},
    ),
    "time last": (lambda s: s.transpose(0, 2, 1), {"axes": "sample, neuron, step"}),
    "channels, rows and columns": (lambda s: s.reshape(*s.shape[:2], 5, 1, 1), {}),
    "found by its shape": (lambda s: s.transpose(1, 0, 2), {"axes": None}),
    "rows": (np.argwhere, {}),
    "rows of another order": (
        lambda s: np.argwhere(s)[:, [2, 0, 1]],
        {"axes": "rows of neuron, sample, step"},
    ),
    "events": (lambda s: dict(zip(("sample", "step", "neuron"), np.nonzero(s), strict=True)), {}),
    "spike trains": (lambda s: refsim.SpikeTrains.from_dense(s, 1e-3), {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_spikes_is_the_same_recording(form, ran):
    make, options = FORMS[form]
    given = make(ran.spikes[1].dense())
    given = [None, given] if options == "list" else given
    own = refsim.recorded(ran.network, ran.drive, given, **({} if options == "list" else options))
    assert np.array_equal(own.spikes[1].code, ran.spikes[1].code)


def test_traces_of_a_recording_are_shown_where_two_part(ran):
    again = refsim.run(ran.network, ran.drive, engine=Discrete(), record=("before_reset",))
    seen = [trace["before_reset"] for trace in again.traces]
    spikes = [ran.spikes[0].dense(), dropped(ran.spikes[1].dense())]
    own = refsim.recorded(
        ran.network, ran.drive, spikes, traces=[{"before_reset": each} for each in seen]
    )
    found = compare_recorded(again, own)
    assert found.first.seen > 0
    with pytest.raises(
        RefsimError, match="traces, layer 0: before_reset must be numbers of sample, step, neuron"
    ):
        refsim.recorded(ran.network, ran.drive, spikes, traces=[{"before_reset": seen[1]}, None])
    with pytest.raises(RefsimError, match="must be a dict of before_reset or after_reset"):
        refsim.recorded(ran.network, ran.drive, spikes, traces=[{"voltage": seen[0]}, None])


def test_membranes_of_a_readout_are_its_recording(rng):
    network = small_network(rng, "lif", "li")
    drive = Drive.raster(rng.random((*SHAPE, 12)) < 0.4, "1 ms")
    reference = refsim.run(network, drive, engine=Discrete(), record=("before_reset",))
    seen = reference.traces[1]["before_reset"]
    hidden = reference.spikes[0].dense()
    assert (
        refsim.compare(
            reference, refsim.recorded(network, drive, [hidden, seen.astype(np.float32)])
        ).verdict
        == "pass"
    )
    off = seen.copy()
    off[1, 20, 3] += 0.01
    wrong = refsim.compare(reference, refsim.recorded(network, drive, [hidden, off]))
    assert wrong.verdict == "fail"
    assert "sample 1, step 20, neuron 3" in wrong.sentence


def test_what_spikes_carry_is_the_recording_of_a_graded_layer(rng):
    sent = refsim.load("sigma_delta")
    network = refsim.Network.dense(
        [(rng.normal(0.5, 2, (9, 12)), None, sent), (rng.normal(0.5, 2, (5, 9)), None, sent)],
        "1 ms",
    )
    drive = Drive.raster(rng.random((*SHAPE, 12)) < 0.5, "1 ms")
    reference = refsim.run(network, drive, engine=Discrete(), record=("payload",))
    hidden, output = (trace["payload"] for trace in reference.traces)
    for given in ([hidden, output], [None, output.astype(np.float32)], [hidden, None]):
        assert refsim.compare(reference, refsim.recorded(network, drive, given)).verdict == "pass"
    wrong = output.copy()
    sample, step, neuron = np.argwhere(output)[-1]
    wrong[sample, step, neuron] *= 1.05
    report = refsim.compare(reference, refsim.recorded(network, drive, [None, wrong]))
    assert report.verdict == "fail"
    assert f"sample {sample}, step {step}, neuron {neuron}" in report.sentence
    assert (
        refsim.compare(reference, refsim.recorded(network, drive, [None, output != 0])).verdict
        == "inconclusive"
    )


@pytest.mark.parametrize("kind", ["recurrent and delayed", "by chance"])
def test_a_free_run_around_what_is_known_is_the_run_itself(kind, rng):
    weight, out = rng.normal(0.15, 0.5, (9, 12)), rng.normal(0.15, 0.5, (5, 9))
    own = refsim.Connection(rng.normal(0, 0.2, (9, 9)), source="self", delay=2)
    heard = [refsim.Connection(weight), own] if kind == "recurrent and delayed" else weight
    first = refsim.load("lif" if kind == "recurrent and delayed" else "poisson_escape")
    network = refsim.Network.dense(
        [(heard, None, first), ([refsim.Connection(out, delay=3)], None, refsim.load("srif"))],
        "1 ms",
    )
    reference = refsim.run(
        network, Drive.bernoulli(rng.random((3, 12)), 40, "1 ms", seed=5), engine=Discrete()
    )
    for index in range(2):
        found = refsim.recorded(network, reference.drive, {index: reference.spikes[index].dense()})
        assert all(
            np.array_equal(a.code, b.code)
            for a, b in zip(found.spikes, reference.spikes, strict=True)
        )
        assert len(reference.spikes[index]) > 20


REFUSED = [
    (
        lambda r: [r.spikes[0].dense()],
        {},
        (
            "needs a list with an entry for each of the 2 layers, None where it was not recorded, "
            "but has 1"
        ),
    ),
    (lambda r: [None, None], {}, "no layer was recorded"),
    (lambda r: {}, {}, "no layer was recorded"),
    (
        lambda r: {"lif": r.spikes[0].dense()},
        {},
        "'lif' is no layer of this network; its layers are 0, 1",
    ),
    (lambda r: {2: r.spikes[0].dense()}, {}, "'2' is no layer of this network"),
    (
        lambda r: {"0": r.spikes[0].dense(), "layer 0": r.spikes[0].dense()},
        {},
        "layer 0 is given twice",
    ),
    (lambda r: r.spikes[0].dense(), {}, r"layer 1: has shape \(3, 40, 9\).*is it of another layer"),
    (lambda r: r.spikes[1].dense()[:2], {}, "give the run the 2 samples that were recorded"),
    (
        lambda r: r.spikes[1].dense()[0],
        {},
        "it is one sample of the 3; record all, or give the run the one alone",
    ),
    (lambda r: r.spikes[1].dense()[:, :39], {}, "give the run the 39 steps that were recorded"),
    (
        lambda r: r.spikes[1].dense().transpose(1, 0, 2),
        {},
        "as 'sample, step, neuron' it does not fit, but as 'step, sample, neuron' it would",
    ),
    (lambda r: 2 * r.spikes[1].dense().astype(int), {}, "spikes of size 2; divide by it"),
    (lambda r: r.spikes[1].dense().cumsum(axis=1), {}, "counts of spikes"),
    (lambda r: r.spikes[1].dense() - 0.25, {}, "membranes or rates"),
    (
        lambda r: np.where(np.arange(600).reshape(3, 40, 5) == 217, np.nan, 0),
        {},
        "1 of 600 numbers are NaN or infinite, the first at sample 1, step 3, neuron 2",
    ),
    (lambda r: np.array([["a"]]), {}, "has dtype <U1"),
    (lambda r: [None, [[1, 2], [3]]], {}, "is not an array"),
    (lambda r: np.zeros((3, 40, 5), complex), {}, "has dtype complex128"),
    (lambda r: np.array([[0, 40, 1]]), {}, r"step must lie in 0..39"),
    (lambda r: np.array([[0, 1, 1], [0, 1, 1]]), {}, "1 spikes are given twice"),
    (
        lambda r: np.array([[0, 1.5, 1]]),
        {},
        "step must be whole numbers; times are turned into steps first",
    ),
    (lambda r: np.array([[0, 1]]), {"axes": None}, "rows of .step, neuron. are for one sample"),
    (lambda r: {"sample": [0], "step": [1]}, {}, "'sample' is no layer"),
    (
        lambda r: r.spikes[1].dense(),
        {"axes": "step, step, neuron"},
        "axes must be sample, step and neuron in some order",
    ),
    (
        lambda r: r.spikes[1].dense(),
        {"axes": "rows of sample"},
        "axes must be sample, step and neuron in some order",
    ),
    (
        lambda r: r.spikes[1].dense(),
        {"dtype": "int8"},
        "dtype must be one of bfloat16, float16, float32, float64",
    ),
]


@pytest.mark.parametrize(
    ("make", "options", "says"), REFUSED, ids=[says[:40] for *_, says in REFUSED]
)
def test_what_is_no_recording_of_the_network_is_refused_with_the_cure(make, options, says, ran):
    with pytest.raises(RefsimError, match=says):
        refsim.recorded(ran.network, ran.drive, make(ran), **options)


# --- the same verdict as any other run ---


def tied(seed, layers=1):
    """A network of tenths, whose sums lie on the threshold of 0.7 and are rounded otherwise in
    float32; its runs in float64 and float32.
    """
    rng = np.random.default_rng(seed)
    sizes = [(10, 10), (6, 10)][:layers]
    network = refsim.Network.dense(
        [(rng.integers(-2, 5, size) / 10, None, refsim.load("if", v_th=0.7)) for size in sizes],
        "1 ms",
    )
    drive = Drive.raster(rng.random((10, 20, 10)) < rng.uniform(0.2, 0.6, (10, 1, 10)), "1 ms")
    return refsim.run(network, drive, engine=Discrete()), refsim.run(
        network, drive, engine=Torch(dtype="float32")
    )


def test_rounding_is_allowed_for_as_in_any_comparison():
    reference, single = tied(18)
    report = refsim.compare(reference, single)
    own = refsim.compare(
        reference, refsim.recorded(reference.network, reference.drive, single.spikes[0].dense())
    )
    assert report.verdict == own.verdict == "inconclusive"
    assert own.findings.comparisons[0].mismatched == report.findings.comparisons[0].mismatched
    assert own.findings.comparisons[0].mismatched[0] > 0
    double = refsim.recorded(
        reference.network, reference.drive, single.spikes[0].dense(), dtype="float64"
    )
    assert (
        compare_recorded(reference, double).first.bound
        < compare_recorded(reference, own.findings.comparisons[0].trial).first.bound
    )


@pytest.mark.parametrize("seed", range(6))
def test_a_tie_in_a_layer_that_nobody_recorded_does_not_fail_the_one_that_was(seed):
    reference, single = tied(seed, layers=2)
    assert refsim.compare(reference, single).verdict == "inconclusive"
    own = refsim.recorded(reference.network, reference.drive, {1: single.spikes[1].dense()})
    found = compare_recorded(reference, own)
    assert found.mismatched[1] > 0
    assert judge_code(claim(), found).status == "inconclusive"
    # What was recorded is never changed.
    assert np.array_equal(found.trial.spikes[1].code, single.spikes[1].code)


def test_what_a_run_in_the_same_dtype_fires_stands_in_for_what_nobody_recorded():
    reference, single = tied(0, layers=2)
    own = refsim.recorded(reference.network, reference.drive, {1: single.spikes[1].dense()})
    found = compare_recorded(reference, own, [single])
    parted = found.parted.tolist()
    assert parted
    assert all(
        np.array_equal(
            found.trial.spikes[0].take(np.array([each])).code,
            single.spikes[0].take(np.array([each])).code,
        )
        for each in parted
    )


def test_a_fault_that_no_tie_can_explain_fails_beside_ties():
    """Inputs 5 to 9 make tenths, which tie in the hidden layer.

    Inputs 0 to 4 make eighths, which lie far from 0.7.
    """
    rng = np.random.default_rng(1)
    hidden = np.concatenate(
        [rng.integers(-2, 6, (10, 5)) / 8, rng.integers(-2, 5, (10, 5)) / 10], axis=1
    )
    rows = [
        (weight, None, refsim.load("if", v_th=0.7))
        for weight in (hidden, rng.integers(-1, 4, (6, 10)) / 8)
    ]
    network = refsim.Network.dense(rows, "1 ms")
    x = rng.random((8, 20, 10)) < 0.5
    x[:4, :, :5] = x[4:, :, 5:] = False
    drive = Drive.raster(x, "1 ms")
    reference, single = (
        refsim.run(network, drive, engine=engine) for engine in (Discrete(), Torch(dtype="float32"))
    )
    right = single.spikes[1].dense()
    beside = compare_recorded(reference, refsim.recorded(network, drive, {1: right}))
    assert judge_code(claim(), beside).status == "inconclusive"
    assert beside.mismatched[1] > 0
    wrong = right.copy()
    wrong[tuple(np.argwhere(right)[-1])] = False  # in the last sample
    found = compare_recorded(reference, refsim.recorded(network, drive, {1: wrong}))
    assert judge_code(claim(), found).status == "fail"
    assert found.first.sample == 7
