"""Recorded spikes: of some layers or all, in any order of axes, held against the network as any other run."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import small_network
from nir_files import affine, chain, neurons, write
from rogues_recorded import RECORDINGS, dropped, late, permuted

import refsim
from refsim import Discrete, Drive, RefsimError, Torch
from refsim.__main__ import main
from refsim.pytorch.bridge import save_network
from refsim.pytorch.bridge.hdf5 import write_tree
from refsim.pytorch.bridge.nir_data import read_nir_data
from refsim.questions.case import standard_claims
from refsim.questions.network import judge_code
from refsim.questions.recorded import by_layer
from refsim.questions.twin import compare_recorded

SHAPE = (3, 40)  # samples and steps


@pytest.fixture
def ran(rng):
    """Two layers, 12-9-5, and what they fire."""
    network = small_network(rng, "lif", "srif")
    drive = Drive.raster(rng.random((*SHAPE, 12)) < 0.4, "1 ms")
    return refsim.run(network, drive, engine=Discrete())


@pytest.fixture
def here(ran, tmp_path, monkeypatch):
    """The same as files in the working folder."""
    monkeypatch.chdir(tmp_path)
    save_network(ran.network, "net.refsim")
    np.savez("x.npz", x=np.stack([frame for frame in ran.drive.frames()], axis=1))
    return ran


def held(capsys, file, *options):
    """Return the exit code of the command line, and what it says on one line."""
    code = main(["validate", "net.refsim", "--data", "x.npz", "--dtype", "float32", "--expected", file, *options])
    done = capsys.readouterr()
    return code, " ".join((done.out + done.err).split())


def claim():
    return next(claim for claim in standard_claims() if claim.measure == "mismatched spikes")


# --- a Recording of one's own arrays ------------------------------------------------------------------------------------


def test_a_recording_of_right_spikes_passes(ran):
    own = refsim.recorded(ran.network, ran.drive, [train.dense() for train in ran.spikes])
    assert refsim.compare(ran, own).verdict == "pass"
    assert own.provenance["recorded_layers"] == [0, 1]
    assert own.provenance["dtype"] == "float32"


@pytest.mark.parametrize("layer", [0, 1])
def test_what_was_not_recorded_runs_freely_on_what_was(layer, ran):
    """Layer 1 fires on what layer 0 was recorded to fire, be it wrong, and never on the reference's own."""
    spikes = permuted(ran.spikes[layer].dense())
    own = refsim.recorded(ran.network, ran.drive, {layer: spikes})
    assert np.array_equal(own.spikes[layer].dense(), spikes)
    assert own.provenance["recorded_layers"] == [layer]
    if layer == 1:
        assert np.array_equal(own.spikes[0].code, ran.spikes[0].code)
    else:
        alone = refsim.Network.dense([(ran.network.layers[1].weight, ran.network.layers[1].bias, ran.network.layers[1].model)], "1 ms")
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
    "time first, in a framework's words": (lambda s: s.transpose(1, 0, 2), {"axes": "time, batch, neurons"}),
    "time last": (lambda s: s.transpose(0, 2, 1), {"axes": "sample, neuron, step"}),
    "channels, rows and columns": (lambda s: s.reshape(*s.shape[:2], 5, 1, 1), {}),
    "found by its shape": (lambda s: s.transpose(1, 0, 2), {"axes": None}),
    "rows": (np.argwhere, {}),
    "rows of another order": (lambda s: np.argwhere(s)[:, [2, 0, 1]], {"axes": "rows of neuron, sample, step"}),
    "events": (lambda s: dict(zip(("sample", "step", "neuron"), np.nonzero(s), strict=True)), {}),
    "spike trains": (lambda s: refsim.SpikeTrains.from_dense(s, 1e-3), {}),
}  # fmt: skip


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
    own = refsim.recorded(ran.network, ran.drive, spikes, traces=[{"before_reset": each} for each in seen])
    found = compare_recorded(again, own)
    assert found.first.left_seen == found.first.right_seen > 0
    with pytest.raises(RefsimError, match="traces, layer 0: before_reset must be numbers of sample, step, neuron"):
        refsim.recorded(ran.network, ran.drive, spikes, traces=[{"before_reset": seen[1]}, None])
    with pytest.raises(RefsimError, match="must be a dict of before_reset or after_reset"):
        refsim.recorded(ran.network, ran.drive, spikes, traces=[{"voltage": seen[0]}, None])


def test_membranes_of_a_readout_are_its_recording(rng):
    network = small_network(rng, "lif", "li")
    drive = Drive.raster(rng.random((*SHAPE, 12)) < 0.4, "1 ms")
    reference = refsim.run(network, drive, engine=Discrete(), record=("before_reset",))
    seen = reference.traces[1]["before_reset"]
    hidden = reference.spikes[0].dense()
    assert refsim.compare(reference, refsim.recorded(network, drive, [hidden, seen.astype(np.float32)])).verdict == "pass"
    off = seen.copy()
    off[1, 20, 3] += 0.01
    wrong = refsim.compare(reference, refsim.recorded(network, drive, [hidden, off]))
    assert wrong.verdict == "fail"
    assert "sample 1, step 20, neuron 3" in wrong.sentence


REFUSED = [
    (lambda r: [r.spikes[0].dense()], {}, "needs a list with an entry for each of the 2 layers, None where it was not recorded, but has 1"),
    (lambda r: [None, None], {}, "no layer was recorded"),
    (lambda r: {}, {}, "no layer was recorded"),
    (lambda r: {"lif": r.spikes[0].dense()}, {}, "'lif' is no layer of this network; its layers are 0, 1"),
    (lambda r: {2: r.spikes[0].dense()}, {}, "'2' is no layer of this network"),
    (lambda r: {"0": r.spikes[0].dense(), "layer 0": r.spikes[0].dense()}, {}, "layer 0 is given twice"),
    (lambda r: r.spikes[0].dense(), {}, r"layer 1: has shape \(3, 40, 9\).*is it of another layer"),
    (lambda r: r.spikes[1].dense()[:2], {}, "give the run the 2 samples that were recorded"),
    (lambda r: r.spikes[1].dense()[:, :39], {}, "give the run the 39 steps that were recorded"),
    (lambda r: r.spikes[1].dense().transpose(1, 0, 2), {}, "as 'sample, step, neuron' it does not fit, but as 'step, sample, neuron' it would"),
    (lambda r: 2 * r.spikes[1].dense().astype(int), {}, "spikes of size 2; divide by it"),
    (lambda r: r.spikes[1].dense().cumsum(axis=1), {}, "counts of spikes"),
    (lambda r: r.spikes[1].dense() - 0.25, {}, "membranes or rates"),
    (lambda r: np.where(np.arange(600).reshape(3, 40, 5) == 217, np.nan, 0), {}, "1 of 600 numbers are NaN or infinite, the first at sample 1, step 3, neuron 2"),
    (lambda r: np.array([["a"]]), {}, "has dtype <U1"),
    (lambda r: [None, [[1, 2], [3]]], {}, "is not an array"),
    (lambda r: np.zeros((3, 40, 5), complex), {}, "has dtype complex128"),
    (lambda r: np.array([[0, 40, 1]]), {}, r"step must lie in 0..39"),
    (lambda r: np.array([[0, 1, 1], [0, 1, 1]]), {}, "1 spikes are given twice"),
    (lambda r: np.array([[0, 1.5, 1]]), {}, "step must be whole numbers; times are turned into steps first"),
    (lambda r: np.array([[0, 1]]), {"axes": None}, "rows of .step, neuron. are for one sample"),
    (lambda r: {"sample": [0], "step": [1]}, {}, "'sample' is no layer"),
    (lambda r: r.spikes[1].dense(), {"axes": "step, step, neuron"}, "axes must be sample, step and neuron in some order"),
    (lambda r: r.spikes[1].dense(), {"axes": "rows of sample"}, "axes must be sample, step and neuron in some order"),
    (lambda r: r.spikes[1].dense(), {"dtype": "int8"}, "dtype must be one of bfloat16, float16, float32, float64"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "options", "says"), REFUSED, ids=[says[:40] for *_, says in REFUSED])
def test_what_is_no_recording_of_the_network_is_refused_with_the_cure(make, options, says, ran):
    with pytest.raises(RefsimError, match=says):
        refsim.recorded(ran.network, ran.drive, make(ran), **options)


# --- the same verdict as any other run ----------------------------------------------------------------------------------


def tied(seed, layers=1):
    """A network of tenths, whose sums lie on the threshold of 0.7 and are rounded otherwise in float32; its runs in float64 and float32."""
    rng = np.random.default_rng(seed)
    sizes = [(10, 10), (6, 10)][:layers]
    network = refsim.Network.dense([(rng.integers(-2, 5, size) / 10, None, refsim.load("if", v_th=0.7)) for size in sizes], "1 ms")
    drive = Drive.raster(rng.random((10, 20, 10)) < rng.uniform(0.2, 0.6, (10, 1, 10)), "1 ms")
    return refsim.run(network, drive, engine=Discrete()), refsim.run(network, drive, engine=Torch(dtype="float32"))


def test_rounding_is_allowed_for_as_in_any_comparison():
    reference, single = tied(18)
    report = refsim.compare(reference, single)
    own = refsim.compare(reference, refsim.recorded(reference.network, reference.drive, single.spikes[0].dense()))
    assert report.verdict == own.verdict == "inconclusive"
    assert own.findings.comparisons[0].mismatched == report.findings.comparisons[0].mismatched
    assert own.findings.comparisons[0].mismatched[0] > 0
    double = refsim.recorded(reference.network, reference.drive, single.spikes[0].dense(), dtype="float64")
    assert compare_recorded(reference, double).first.bound < compare_recorded(reference, own.findings.comparisons[0].trial).first.bound


@pytest.mark.parametrize("seed", range(6))
def test_a_tie_in_a_layer_that_nobody_recorded_does_not_fail_the_one_that_was(seed):
    reference, single = tied(seed, layers=2)
    assert refsim.compare(reference, single).verdict == "inconclusive"
    own = refsim.recorded(reference.network, reference.drive, {1: single.spikes[1].dense()})
    found = compare_recorded(reference, own)
    assert found.mismatched[1] > 0
    assert judge_code(claim(), found).status == "inconclusive"
    assert np.array_equal(found.trial.spikes[1].code, single.spikes[1].code)  # what was recorded is never changed


def test_what_a_run_in_the_same_dtype_fires_stands_in_for_what_nobody_recorded():
    reference, single = tied(0, layers=2)
    own = refsim.recorded(reference.network, reference.drive, {1: single.spikes[1].dense()})
    found = compare_recorded(reference, own, [single])
    parted = [parting.where.sample for parting in found.partings]
    assert parted
    assert all(np.array_equal(found.trial.spikes[0].take(np.array([each])).code, single.spikes[0].take(np.array([each])).code) for each in parted)


def test_a_fault_that_no_tie_can_explain_fails_beside_ties():
    """Inputs 5 to 9 make tenths, which tie in the hidden layer; inputs 0 to 4 make eighths, which lie far from 0.7."""
    rng = np.random.default_rng(1)
    hidden = np.concatenate([rng.integers(-2, 6, (10, 5)) / 8, rng.integers(-2, 5, (10, 5)) / 10], axis=1)
    rows = [(weight, None, refsim.load("if", v_th=0.7)) for weight in (hidden, rng.integers(-1, 4, (6, 10)) / 8)]
    network = refsim.Network.dense(rows, "1 ms")
    x = rng.random((8, 20, 10)) < 0.5
    x[:4, :, :5] = x[4:, :, 5:] = False
    drive = Drive.raster(x, "1 ms")
    reference, single = (refsim.run(network, drive, engine=engine) for engine in (Discrete(), Torch(dtype="float32")))
    right = single.spikes[1].dense()
    beside = compare_recorded(reference, refsim.recorded(network, drive, {1: right}))
    assert judge_code(claim(), beside).status == "inconclusive"
    assert beside.mismatched[1] > 0
    wrong = right.copy()
    wrong[tuple(np.argwhere(right)[-1])] = False  # in the last sample
    found = compare_recorded(reference, refsim.recorded(network, drive, {1: wrong}))
    assert judge_code(claim(), found).status == "fail"
    assert found.first.where.sample == 7


# --- files, on the command line -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rogue", RECORDINGS)
def test_a_rogue_recording_fails_where_it_was_planted_and_says_how(rogue, here, capsys):
    make, says = RECORDINGS[rogue]
    right = here.spikes[1].dense()
    np.save("s.npy", right)
    assert held(capsys, "s.npy")[0] == 0
    np.save("s.npy", make(right))
    code, text = held(capsys, "s.npy", "--report", "out")
    assert code == 1
    assert says in text
    differs = right != make(right)
    sample, neuron, step = map(int, re.search(r"layer 1, sample (\d+), neuron (\d+), step (\d+)", text).groups())
    assert differs[sample, step, neuron]
    assert not differs[:, :step].any()
    assert f"{right.sum():,}" in text
    assert f"{make(right).sum():,} spikes in layer 1; layer 0 was not recorded, and runs freely" in text
    told = json.loads(Path("out/report.json").read_text("utf-8"))
    row = next(each for each in told["claims"] if each["run"].startswith("recorded"))
    assert row["status"] == told["verdict"] == "fail"
    assert row["first_divergence"]["layer"] == 1
    assert row["value"] == (right != make(right)).sum()
    assert [run["spikes_per_layer"][1] for run in told["runs"]][-1] == make(right).sum()
    assert told["data"]["expected"]["layers"] == {"1": int(make(right).sum())}
    page = Path("out/report.html").read_text("utf-8")
    assert "a dot one of recorded s.npy" in page
    assert "shown is the declared step that follows its spikes" in page


def test_the_spikes_of_another_layer_are_known(rng, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    network = small_network(rng, "lif", "srif", sizes=(12, 6, 6))
    drive = Drive.raster(rng.random((*SHAPE, 12)) < 0.4, "1 ms")
    save_network(network, "net.refsim")
    np.savez("x.npz", x=np.stack(list(drive.frames()), axis=1))
    np.save("s.npy", refsim.run(network, drive, engine=Discrete()).spikes[0].dense())
    code, text = held(capsys, "s.npy")
    assert code == 1
    assert "layer 0 in place of layer 1, whose spikes they are" in text


def test_layers_of_a_file_are_named_or_numbered(here, capsys):
    hidden, output = (train.dense() for train in here.spikes)
    for arrays in ({"0": hidden, "1": output}, {"layer 0": hidden}, {"layer_1": output}, {"x": output, "0": hidden}, {"-1": output}):
        np.savez("s.npz", **arrays)
        assert held(capsys, "s.npz")[0] == 0, arrays.keys()
    np.savez("s.npz", hidden, output)
    assert held(capsys, "s.npz")[0] == 0
    np.savez("s.npz", output)
    code, text = held(capsys, "s.npz")
    assert code == 2
    assert "'arr_0' is no layer of this network; its layers are 0, 1. Name each array by its layer" in text
    np.savez("s.npz", **{"0": dropped(hidden), "1": output})
    code, text = held(capsys, "s.npz")
    assert code == 1
    assert "first at layer 0" in text
    assert "of layer 0 1 of " in text
    np.savez("s.npz", **{"0": hidden})
    code, text = held(capsys, "s.npz")
    assert "changed decisions: the last layer was not recorded" in text


@pytest.mark.parametrize("axes", ["step, sample, neuron", "sample, neuron, step"])
def test_an_order_of_axes_that_alone_fits_is_taken_and_told(axes, here, capsys):
    order = [("sample", "step", "neuron").index(name) for name in axes.split(", ")]
    np.save("s.npy", here.spikes[1].dense().transpose(order))
    code, text = held(capsys, "s.npy")
    assert code == 0
    assert f"layer 1: read as {axes}, which is what fits" in text


def test_of_two_orders_that_fit_the_reader_is_told_which_was_taken_and_how_to_say_the_other(rng, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    network = small_network(rng, "lif", "srif")
    drive = Drive.raster(rng.random((20, 20, 12)) < 0.4, "1 ms")
    save_network(network, "net.refsim")
    np.savez("x.npz", x=np.stack(list(drive.frames()), axis=1))
    np.save("s.npy", refsim.run(network, drive, engine=Discrete()).spikes[1].dense().transpose(1, 0, 2))
    code, text = held(capsys, "s.npy")
    assert code == 1
    assert "read as sample, step, neuron; it fits step, sample, neuron too" in text
    assert "fired with its axes taken as step, sample, neuron (--expected-axes 'step, sample, neuron')" in text
    code, text = held(capsys, "s.npy", "--expected-axes", "step, sample, neuron")
    assert code == 0
    assert "assumed" not in text


def test_an_output_that_comes_late_can_be_declared(here, capsys):
    np.save("s.npy", late(here.spikes[1].dense()))
    assert held(capsys, "s.npy")[0] == 1
    assert held(capsys, "s.npy", "--expected-delay", "1")[0] == 0
    code, text = held(capsys, "s.npy", "--expected-delay", "2")
    assert code == 1
    assert "fired with an output 1 step earlier (--expected-delay 1)" in text
    wrong = late(here.spikes[1].dense())
    wrong[2, 0, 4] = True  # before the first can come
    np.save("s.npy", wrong)
    code, text = held(capsys, "s.npy", "--expected-delay", "1")
    assert code == 1
    assert "fail spikes before the first can come 1 <= 0" in text
    hidden = late(here.spikes[0].dense())
    np.savez("s.npz", **{"0": hidden, "1": here.spikes[1].dense()})
    assert held(capsys, "s.npz", "--expected-delay", "0=1")[0] == 0
    assert held(capsys, "s.npz")[0] == 1


def test_what_was_recorded_late_leaves_its_last_steps_open(here):
    """The last step was never seen: it runs freely, on the trial's own spikes."""
    from refsim.questions.recorded import as_recording, take

    given = late(dropped(here.spikes[1].dense()))
    raw = take({1: given}, here.network, here.drive, None, "")
    trial = as_recording(raw.sooner({1: np.array([1])}), here.network, here.drive, "float32", "recorded", here)
    found = trial.spikes[1].dense()
    assert np.array_equal(found[:, :-1], dropped(here.spikes[1].dense())[:, :-1])
    assert found[:, -1].any()


def test_a_description_says_that_its_output_is_late(rng, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save({"0.weight": torch.tensor(rng.normal(0.15, 0.5, (5, 12)))}, "net.pt")
    text = 'dt = "1 ms"\nweights = "net.pt"\n[[layer]]\nlinear = "0"\nneuron = "srif"\n'
    Path("net.toml").write_text(text, "utf-8")
    drive = Drive.raster(rng.random((*SHAPE, 12)) < 0.4, "1 ms")
    np.savez("x.npz", x=np.stack(list(drive.frames()), axis=1))
    np.save("s.npy", late(refsim.run(refsim.bridge.load("net.pt"), drive, engine=Discrete()).spikes[0].dense()))
    arguments = ["validate", "net.pt", "--data", "x.npz", "--expected", "s.npy"]
    assert main(arguments) == 1
    Path("net.toml").write_text("output_delay = 1\n" + text, "utf-8")
    assert main(arguments) == 0
    Path("net.toml").write_text("output_delay = -1\n" + text, "utf-8")
    assert main(arguments) == 2
    assert "output_delay must be whole steps from 0 on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--expected-axes", "a, b"], "axes must be sample, step and neuron"),
        (["--expected-dtype", "int8"], "dtype must be one of"),
        (["--expected-delay", "x"], "--expected-delay: needs whole steps from 0 on, N for the last layer or LAYER=N, but is 'x'"),
        (["--expected-delay", "7=1"], "'7' is no layer"),
        (["--plan"], "leave --expected out"),
    ],
)
def test_wrong_options_of_a_recording_are_told_before_the_run(options, says, here, capsys):
    np.save("s.npy", here.spikes[1].dense())
    code, text = held(capsys, "s.npy", *options)
    assert code == 2
    assert says in text


def test_options_of_a_recording_need_one(here, capsys):
    assert main(["validate", "net.refsim", "--data", "x.npz", "--expected-delay", "1"]) == 2
    assert "--expected-delay is of recorded spikes, and none are given" in capsys.readouterr().err


def test_a_case_that_claims_nothing_about_code_holds_the_recording_against_the_usual(here, capsys):
    from refsim.questions.twin import code_claims

    assert [claim.measure for claim in code_claims([])] == ["mismatched spikes", "changed decisions"]


# --- a reading that a file cannot have ----------------------------------------------------------------------------------


def test_a_reading_that_the_file_cannot_have_is_left_out(rng, tmp_path, monkeypatch, capsys):
    """A LIF of NIR that resets by subtraction has no exact spike times; that reading explains nothing, and is no error."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "net.nir", *chain(affine(rng, 4, 6), neurons(rng, "LIF", (6,)), affine(rng, 6, 3), neurons(rng, "LIF", (3,)), shown=(3,)))
    x = rng.normal(0.0, 2.0, (6, 1, 4)) + rng.normal(1.0, 1.0, (6, 40, 4))
    np.savez("x.npz", x=x)
    options = {"integration": "euler", "reset": "by subtraction"}
    network = refsim.bridge.load("net.nir", dt="1 ms", **{**options, "reset": "to zero"})
    np.save("s.npy", refsim.run(network, Drive.current(x, "1 ms"), engine=Discrete()).spikes[-1].dense())
    said = [word for name, value in options.items() for word in ("--convention", f"{name}={value}")]
    code = main(["validate", "net.nir", "--dt", "1 ms", *said, "--data", "x.npz", "--dtype", "float32", "--expected", "s.npy"])
    text = " ".join(capsys.readouterr().out.split())
    assert code == 1
    assert "the recorded spikes are fired with reset='to zero'" in text


# --- NIRData ------------------------------------------------------------------------------------------------------------


def nir_data(path, nodes):
    """Write NIRData as nir 1.0.8 does: groups, with kinds and numbers as their attributes."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.attrs["__type__"] = "NIRGraphData"
        for name, observables in nodes.items():
            node = file.create_group(f"nodes/{name}")
            node.attrs["__type__"] = "NIRNodeData"
            for observable, (kind, data, beside) in observables.items():
                group = node.create_group(f"observables/{observable}")
                group.attrs["__type__"] = kind
                for key, value in beside.items():
                    group.attrs[key] = value
                for key, value in data.items():
                    group.create_dataset(key, data=value, compression="gzip")
    return path


def gridded(spikes, dt=1e-3):
    return "TimeGriddedData", {"data": spikes}, {"dt": dt}


def events(spikes, dt=1e-3, shift=0.0, **more):
    """Return padded lists: an index of -1 is no event."""
    count = int(spikes.sum(axis=(1, 2)).max()) + 2
    index, time = np.full((len(spikes), count), -1), np.full((len(spikes), count), np.inf)
    for sample, each in enumerate(spikes):
        step, neuron = np.nonzero(each)
        index[sample, : len(step)], time[sample, : len(step)] = neuron, step * dt + shift
    beside = {"n_neurons": spikes.shape[2], "t_max": spikes.shape[1] * dt}
    return ("ValuedEventData" if more else "EventData"), {"idx": index, "time": time, **{key: make(index) for key, make in more.items()}}, beside


@pytest.mark.parametrize("kind", ["gridded", "events", "events within their steps", "events of value 1"])
def test_nir_data_is_read_without_nir(kind, here, capsys):
    make = {
        "gridded": gridded, "events": events, "events within their steps": lambda s: events(s, shift=0.4e-3),
        "events of value 1": lambda s: events(s, value=lambda index: np.ones(index.shape)),
    }[kind]  # fmt: skip
    hidden, output = (train.dense() for train in here.spikes)
    nodes = {"0": {"spikes": make(hidden), "v": gridded(hidden * 0.5)}, "1": {"spikes": make(output)}, "input": {"spikes": make(hidden)}}
    nir_data("s.nir", nodes)
    code, text = held(capsys, "s.nir")
    assert code == 0
    assert "node input is no layer of neurons and is left aside" in text
    nodes["1"]["spikes"] = make(dropped(output))
    nir_data("s.h5", nodes)  # known by what is in it
    code, text = held(capsys, "s.h5")
    assert code == 1
    assert "first at layer 1" in text


@pytest.mark.parametrize("dt", [1e-3, 0.1e-3, 0.1, 1 / 3])
def test_times_of_events_are_of_the_step_they_were_made_from(dt, rng, tmp_path):
    spikes = rng.random((2, 300, 3)) < 0.2
    nir_data(tmp_path / "s.nir", {"a": {"spikes": events(spikes, dt)}})
    found = read_nir_data(tmp_path / "s.nir", dt)["a"]
    assert found["shape"] == spikes.shape
    again = np.zeros_like(spikes)
    again[found["sample"], found["step"], found["neuron"]] = True
    assert np.array_equal(again, spikes)


def test_the_nodes_of_a_nir_graph_are_its_layers(rng, tmp_path):
    path = write(tmp_path / "net.nir", *chain(affine(rng, 4, 6), neurons(rng, "LIF", (6,)), affine(rng, 6, 3), neurons(rng, "LIF", (3,)), shown=(3,)))
    network = refsim.bridge.load(path, dt="1 ms", integration="euler", reset="to v_reset")
    names = [layer.name.strip("'") for layer in network.layers]
    assert by_layer(dict(zip(names, "ab", strict=True)), network, "") == {0: "a", 1: "b"}


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        ({"1": {"v": ("TimeGriddedData", {"data": np.zeros((3, 40, 5))}, {"dt": 1e-3})}}, "has 1 node and no 'spikes' of any; what was recorded is v"),
        ({"1": {"spikes": ("TimeGriddedData", {"data": np.zeros((3, 40, 5))}, {"dt": 1e-4})}}, "has steps of 0.0001 s, but the network's are 0.001 s"),
        ({"1": {"spikes": ("TimeGriddedData", {"data": np.zeros((3, 40))}, {"dt": 1e-3})}}, "must be .n_samples, n_time_steps, n_neurons."),
        ({"1": {"spikes": ("TimeGriddedData", {"data": np.zeros((3, 40, 5))}, {})}}, "say no dt above 0"),
        ({"1": {"spikes": ("TimeGriddedData", {}, {"dt": 1e-3})}}, "have no numbers 'data'"),
        ({"1": {"spikes": ("Waves", {}, {})}}, "are of kind 'Waves'"),
        ({"1": {"spikes": ("EventData", {"idx": np.zeros((3, 2), int), "time": np.full((3, 2), np.inf)}, {"n_neurons": 5, "t_max": 0.04})}}, "an event of a neuron has no time"),
        ({"1": {"spikes": ("EventData", {"idx": np.zeros((3, 2), int), "time": np.zeros((3, 1))}, {"n_neurons": 5, "t_max": 0.04})}}, "as many times"),
        ({"1": {"spikes": ("ValuedEventData", {"idx": np.zeros((3, 1), int), "time": np.zeros((3, 1)), "value": np.full((3, 1), 2.0)}, {"n_neurons": 5, "t_max": 0.04})}}, "values other than 1"),
    ],
)  # fmt: skip
def test_nir_data_that_is_no_recording_of_spikes_is_refused(nodes, says, here, capsys):
    code, text = held(capsys, str(nir_data("s.nir", nodes)))
    assert code == 2
    with pytest.raises(RefsimError, match=says):
        raise RefsimError(text)


def test_a_graph_of_nir_is_no_recording(here, capsys):
    write_tree("s.nir", {"node": {"type": "NIRGraph"}}, "NIR file")
    code, text = held(capsys, "s.nir")
    assert code == 2
    assert "It is a graph of NIR, a network, and holds no recording" in text
