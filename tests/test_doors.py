"""What people give: a number keeps its unit, NaN is named where it stands, a foreign file is told
for what it is.
"""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

import refsim
from refsim import Drive, Network, RefsimError, RefsimWarning
from refsim.__main__ import main
from refsim.files.description import read_description
from refsim.networks.data import read_data

LIF = refsim.load("lif")


def network(weight=((1.0, 1.0),), bias=None, dt="1 ms", **parameters):
    return Network.dense([(np.array(weight), bias, LIF, parameters)], dt)


def described(**head):
    return read_description({"layer": [{"linear": "0", "neuron": "lif_exp"}], **head})


def with_parameter(value):
    layer = {"linear": "0", "neuron": "lif_exp", "parameters": {"tau_m": value}}
    return read_description({"dt": "1 ms", "layer": [layer]})


UNSAID = {
    "a whole number as dt": lambda: network(dt=1),
    "a text as dt": lambda: network(dt="1"),
    "a drive": lambda: Drive.constant(1.0, 3, 1),
    "a module": lambda: refsim.bridge.load(
        torch.nn.Sequential(torch.nn.Linear(2, 2), refsim.pytorch.LIF()), dt="1"
    ),
    "a description's text": lambda: described(dt="1"),
    "a description's number": lambda: described(dt=0.001),
    "a description's parameter": lambda: with_parameter(20.0),
    "a parameter as text": lambda: refsim.load("lif_exp", tau_m="20"),
    "an experiment": lambda: refsim.experiments.fi(LIF, "0:2:5", duration="100"),
    "a setting": lambda: refsim.experiments.Setting(dt="1").step,
    "a script": lambda: refsim.to_brian2(LIF, duration="100"),
}


@pytest.mark.parametrize("name", UNSAID)
def test_a_number_without_its_unit_is_refused(name):
    with pytest.raises(
        RefsimError, match=r"has no unit; write '[\d.]+ ms', or '[\d.]+ s' if that is meant"
    ):
        UNSAID[name]()


COMMANDS = [
    (["run", "adex", "--constant", "0.5"], "'0.5' has no unit; write '0.5 nA'"),
    (["run", "adex", "--values", "0.5,0.7"], "'0.5' has no unit"),
    (["run", "adex", "--bernoulli", "0.2,1"], "'1' has no unit"),
    (["run", "lif", "--constant", "1", "--dt", "1"], "dt: '1' has no unit"),
    (["run", "lif_exp", "--constant", "1", "--set", "tau_m=20"], "'20' has no unit"),
    (["experiment", "fi", "adex", "--currents", "0:2:5"], "has no unit"),
    (["show", "adex", "--brian2", "--constant", "0.5"], "'0.5' has no unit"),
]


@pytest.mark.parametrize(("arguments", "says"), COMMANDS, ids=lambda part: str(part)[:40])
def test_a_command_refuses_it_too(arguments, says, capsys):
    assert main(arguments) == 2
    assert says in capsys.readouterr().err


def test_what_has_its_unit_is_read(capsys):
    assert network(dt=1e-3).dt == network(dt="1 ms").dt == network(dt="1000 µs").dt == 0.001
    assert described(dt="2 ms").dt == 0.002
    assert with_parameter("20 ms").layers[0].model.parameters["tau_m"].value == 0.02
    assert main(["run", "adex", "--values", "0.1, 0.2, 0.5 nA"]) == 0
    assert "5e-10" in capsys.readouterr().out
    assert main(["run", "adex", "--bernoulli", "0.2, 1 nA", "--steps", "3"]) == 0
    assert main(["run", "srif", "--constant", "1.5", "--times", "v_th", "--steps", "3"]) == 0
    assert main(["run", "adex", "--constant", "0", "--steps", "3"]) == 0  # 0 in every unit


BROKEN = np.ones((2, 4, 3))
BROKEN[1, 2, 0] = np.nan
WEIGHT = [[1.0, 1.0], [1.0, np.inf]]
PLACES = {
    "weight": (lambda tmp: network(WEIGHT), "layer 0: weight.*inf at neuron 1, input 1"),
    "bias": (lambda tmp: network(np.ones((2, 2)), [0, np.nan]), "layer 0: bias.*nan at neuron 1"),
    "parameter": (
        lambda tmp: network(np.ones((2, 2)), v_th=[1, np.nan]),
        "parameter v_th.*nan at neuron 1",
    ),
    "current": (lambda tmp: Drive.current(BROKEN, "1 ms"), "nan at sample 1, step 2, input 0"),
    "rates": (lambda tmp: Drive.bernoulli(BROKEN[:, 2], 3, "1 ms", 0), "nan at sample 1, input 0"),
    "raster": (lambda tmp: Drive.raster(BROKEN, "1 ms"), "nan at sample 1, step 2, input 0"),
    "threshold": (
        lambda tmp: Drive.integrate_and_fire(np.ones((1, 2)), 3, "1 ms", threshold=np.inf),
        "inf",
    ),
    "data": (lambda tmp: read_data(_saved(tmp / "x.npy")), "nan at sample 1, step 2, input 0"),
    "start": (
        lambda tmp: refsim.NeuronModel(
            "m", "dv/dt = -v/tau + I/tau : 1", parameters={"tau": "1 ms"}, state={"v": np.nan}
        ),
        "start.*nan",
    ),
    "derived": (
        lambda tmp: refsim.NeuronModel(
            "m",
            discrete={"integrate": "v = v + far*I", "fire": "z = v > 1"},
            state={"v": 0.0},
            parameters={"a": 1e200},
            derived={"far": "a*a : 1"},
        ),
        "derived far.*is inf",
    ),
}


def _saved(path):
    np.save(path, BROKEN)
    return path


@pytest.mark.parametrize("name", PLACES)
def test_a_number_that_is_none_is_named_where_it_stands(name, tmp_path):
    make, says = PLACES[name]
    with pytest.raises(RefsimError, match=says):
        make(tmp_path)


def test_a_modules_number_is_named_too():
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), refsim.pytorch.LIF())
    with torch.no_grad():
        module[0].weight[1, 2] = float("nan")
    with pytest.raises(RefsimError, match=r"0\.weight \(the first is nan at \[1, 2\]\)"):
        refsim.bridge.load(module, dt="1 ms")


def test_a_keras_file_is_told_for_what_it_is(tmp_path, capsys):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "net.h5", "w") as file:
        file["model_weights/dense/kernel:0"] = np.zeros((4, 3))
    (tmp_path / "net.toml").write_text('dt = "1 ms"\n[[layer]]\nlinear = "dense"\nneuron = "lif"\n')
    (tmp_path / "net.keras").write_bytes(b"PK\3\4")
    for name in ("net.h5", "net.keras"):
        assert main(["inspect", str(tmp_path / name)]) == 2
        said = capsys.readouterr().err
        assert "Keras" in said
        assert "numpy.savez" in said
        assert "Python code" not in said


def rectified(v_th, each=None):
    model = refsim.load("srif_mpr", v_th=v_th)
    return Network.dense([(np.eye(2), None, model, {"v_th": each} if each else {})], "1 ms")


@pytest.mark.parametrize("v_th", [0.25, 0.4, 0.75, 1.5, -0.2])
def test_a_rectifier_that_changes_spikes_says_so(v_th):
    with pytest.warns(RefsimWarning, match=f"changes spikes at a threshold of {v_th:g}"):
        net = rectified(v_th)
    drive = Drive.current(np.random.default_rng(0).normal(0.4, 0.6, (20, 40, 2)), "1 ms")
    run = refsim.run(net, drive, refsim.Discrete())
    with pytest.warns(RefsimWarning):
        assert (
            "note      card 'srif_mpr'"
            in refsim.compare(run, refsim.run(rectified(v_th), drive, refsim.Discrete())).text()
        )
    plain = Network.dense([(np.eye(2), None, refsim.load("srif", v_th=v_th))], "1 ms")
    assert len(run.spikes[0]) != len(refsim.run(plain, drive, refsim.Discrete()).spikes[0])


@pytest.mark.parametrize("v_th", [0.0, 0.5, 1.0])
def test_at_its_fixed_points_it_changes_none_and_says_nothing(v_th):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = rectified(v_th)
    drive = Drive.current(np.random.default_rng(0).normal(0.4, 0.6, (20, 40, 2)), "1 ms")
    plain = Network.dense([(np.eye(2), None, refsim.load("srif", v_th=v_th))], "1 ms")
    runs = [refsim.run(each, drive, refsim.Discrete()).spikes[0] for each in (net, plain)]
    assert len(runs[0])
    assert np.array_equal(runs[0].step, runs[1].step)


def test_it_is_seen_per_neuron_in_a_layer_and_on_the_command_line(capsys):
    with pytest.warns(RefsimWarning, match="threshold of 0.6"):
        rectified(0.5, each=[0.5, 0.6])
    with pytest.warns(RefsimWarning):
        refsim.pytorch.SRIFMPR(v_th=0.75)
    assert main(["run", "srif_mpr", "--set", "v_th=0.75", "--constant", "0.3", "--steps", "3"]) == 0
    assert "refsim: note: card 'srif_mpr': the rectifier changes spikes" in capsys.readouterr().err
    assert main(["show", "srif_mpr", "--set", "v_th=0.75"]) == 0
    assert "Notes" in capsys.readouterr().out


def test_packages_are_attributes_and_load_nothing_before_they_are_named():
    code = (
        "import sys, refsim; assert 'refsim.experiments' not in sys.modules; "
        "print(refsim.experiments.fi.__name__, refsim.pytorch.SRIF.__name__, "
        "refsim.gradients.__name__)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["fi", "SRIF", "refsim.gradients"]
