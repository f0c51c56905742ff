"""The bridge: every tensor accounted for, nothing guessed, no code run.

What is wrong is one sentence and exit code 2.
"""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

import refsim
from refsim import RefsimError
from refsim.__main__ import main
from refsim.pytorch import SRIF

DESCRIBE = {
    "dt": "1 ms",
    "layer": [
        {"linear": "0", "neuron": "srif"},
        {"linear": "2", "neuron": "lif", "parameters": {"tau": 3.0}},
    ],
}
TOML = (
    'dt = "1 ms"\n[[layer]]\nlinear = "0"\nneuron = "srif"\n[[layer]]\nlinear = "2"\nneuron = '
    '"srif"\n'
)


def module():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 3), SRIF(), nn.Linear(3, 2), SRIF())


def test_state_dict_file_and_module_give_the_same_network(tmp_path):
    trained = module()
    torch.save(trained.state_dict(), tmp_path / "net.pt")
    (tmp_path / "net.toml").write_text(TOML)
    networks = [
        refsim.bridge.load(tmp_path / "net.pt"),
        refsim.bridge.load(trained, dt="1 ms"),
        refsim.bridge.load(trained.state_dict(), TOML_TABLE),
    ]
    for network in networks:
        assert [layer.model.name for layer in network.layers] == ["srif", "srif"]
        for layer, linear in zip(network.layers, (trained[0], trained[2]), strict=True):
            assert np.array_equal(layer.weight, linear.weight.detach().double())
            assert np.array_equal(layer.bias, linear.bias.detach().double())


TOML_TABLE = {
    "dt": "1 ms",
    "layer": [{"linear": "0", "neuron": "srif"}, {"linear": "2", "neuron": "srif"}],
}


def test_parameters_of_the_description_and_of_the_file():
    tensors = dict(module().state_dict()) | {"tau": torch.tensor([2.0, 5.0])}
    describe = {
        "dt": "1 ms",
        "layer": [
            {"linear": "0", "neuron": "srif"},
            {
                "linear": "2",
                "neuron": "lif",
                "tensors": {"tau": "tau"},
                "parameters": {"v_th": 1.0},
            },
        ],
    }
    layer = refsim.bridge.load(tensors, describe).layers[1]
    assert layer.parameters["tau"].tolist() == [2.0, 5.0]
    assert layer.model.parameters["v_th"].value == 1.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_every_float_becomes_float64_without_loss(dtype):
    tensors = {name: tensor.to(dtype) for name, tensor in module().state_dict().items()}
    network = refsim.bridge.load(tensors, TOML_TABLE)
    assert torch.equal(torch.tensor(network.layers[0].weight).to(dtype), tensors["0.weight"])


def test_a_nested_checkpoint_is_read_by_its_key(tmp_path):
    torch.save({"epoch": 3, "model": module().state_dict()}, tmp_path / "net.pt")
    with pytest.raises(RefsimError, match='key = "model"'):
        refsim.bridge.load(tmp_path / "net.pt", TOML_TABLE)
    assert len(refsim.bridge.load(tmp_path / "net.pt", TOML_TABLE | {"key": "model"}).layers) == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.pop("dt"), "dt is missing"),
        (lambda d: d.pop("layer"), r"needs one \[\[layer\]\]"),
        (lambda d: d.update(colour=1), "colour is not a known key"),
        (lambda d: d["layer"][0].pop("linear"), 'needs linear = "..."'),
        (lambda d: d["layer"][0].pop("neuron"), 'needs neuron = "..."'),
        (lambda d: d["layer"][0].update(neuron="nope"), "no card is named 'nope'"),
        (lambda d: d["layer"][0].update(parameters={"vth": 1}), "has no parameter 'vth'"),
        (lambda d: d["layer"][0].update(tensors={"vth": "x"}), "has no parameter 'vth'"),
        (
            lambda d: d["layer"][0].update(linear="7"),
            (
                "has no tensor '7.weight', which the description asks for; it has 0.bias, "
                "0.weight, "
                "2.bias, 2.weight"
            ),
        ),
        (lambda d: d["layer"].pop(), "does not account for 2.bias, 2.weight"),
        (lambda d: d.update(ignore=["9.weight"]), "is to ignore 9.weight, but has no such tensor"),
        (
            lambda d: d.update(ignore=["2.bias"]),
            "2.bias is to be ignored, but a layer of the description uses it",
        ),
        (lambda d: d["layer"][1].update(tensors={"tau": "2.bias"}), "tau is given twice"),
        (lambda d: d["layer"].reverse(), "needs 4 inputs, but the layer before has 2 neurons"),
    ],
)
def test_a_wrong_description_is_explained(change, says):
    describe = {"dt": "1 ms", "layer": [dict(row) for row in DESCRIBE["layer"]]}
    change(describe)
    with pytest.raises(RefsimError, match=says.replace("...", r"\.\.\.")):
        refsim.bridge.load(module().state_dict(), describe)


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch owned",)


def _saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _zip_bomb():
    """A PyTorch archive whose first storage claims to unpack to a thousand times its size."""
    good, buffer = io.BytesIO(_saved(module().state_dict())), io.BytesIO()
    with (
        zipfile.ZipFile(good) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(
                name, bytes(10_000_000) if name.endswith("data/0") else source.read(name)
            )
    return buffer.getvalue()


HOSTILE = {
    "truncated": (lambda: _saved(module().state_dict())[:700], "damaged or cut short"),
    "empty": (lambda: b"", "is empty"),
    "no_pytorch_file": (lambda: b"hello, world" * 100, "is not a PyTorch file|is damaged"),
    "pickled_code": (
        lambda: _saved({"0.weight": Evil()}),
        "holds Python code or objects besides tensors, and refsim runs no code",
    ),
    "legacy_pickled_code": (
        lambda: pickle.dumps(Evil()),
        "holds Python code|is not a PyTorch file|is damaged",
    ),
    "whole_module": (lambda: _saved(module()), "holds Python code or objects besides tensors"),
    "no_dict": (lambda: _saved(torch.ones(3)), "holds a Tensor and no named tensors"),
    "no_tensors": (lambda: _saved({"0.weight": 3}), "entry '0.weight' is a int and no tensor"),
    "wrong_shape": (
        lambda: _saved(module().state_dict() | {"2.weight": torch.ones(2, 5)}),
        "needs 5 inputs, but the layer before has 3",
    ),
    "one_axis": (
        lambda: _saved(module().state_dict() | {"0.weight": torch.ones(12)}),
        r"weight must be \(n_post, n_pre\)",
    ),
    "nan": (
        lambda: _saved(module().state_dict() | {"0.bias": torch.full((3,), float("nan"))}),
        "3 of 3 numbers are NaN or infinite",
    ),
    "wrong_key": (
        lambda: _saved({"fc." + name: tensor for name, tensor in module().state_dict().items()}),
        "has no tensor '0.weight', which the description asks for",
    ),
    "surplus": (
        lambda: _saved(module().state_dict() | {"4.weight": torch.ones(2)}),
        "does not account for 4.weight",
    ),
    "complex": (
        lambda: _saved(
            module().state_dict() | {"0.weight": torch.ones(3, 4, dtype=torch.complex64)}
        ),
        "plain real tensors are needed",
    ),
    "sparse": (
        lambda: _saved(module().state_dict() | {"0.weight": torch.ones(3, 4).to_sparse()}),
        "plain real tensors are needed",
    ),
    "zip_bomb": (_zip_bomb, "may unpack to any size"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_checkpoint_gives_exit_code_2_and_one_sentence(
    name, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    make, says = HOSTILE[name]
    (tmp_path / "net.pt").write_bytes(make())
    (tmp_path / "net.toml").write_text(TOML)
    assert main(["validate", "net.pt", "--data", "digits", "--steps", "2"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    with pytest.raises(RefsimError, match=says):
        raise RefsimError(error)
    assert not (tmp_path / "owned").exists()


# --- live modules ---


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.a, self.second, self.b = nn.Linear(4, 4), SRIF(), nn.Linear(4, 4), SRIF()

    def forward(self, x):
        return self.b(self.second(self.a(self.first(x)) + x))


class Remembering(nn.Module):
    """Adds the input of two steps ago."""

    def __init__(self):
        super().__init__()
        self.linear, self.neurons, self.past = nn.Linear(4, 4), SRIF(), [0, 0]

    def forward(self, x):
        self.past = [*self.past, x][-3:]
        return self.neurons(self.linear(x + self.past[0]))


class Deaf(nn.Module):
    """Passes the membrane on in place of spikes."""

    def __init__(self):
        super().__init__()
        self.linear, self.a, self.b = nn.Linear(4, 4), SRIF(), SRIF()

    def forward(self, x):
        self.a(self.linear(x))
        return self.b(self.linear.weight.new_zeros(len(x), 4))


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.a, self.spare = nn.Linear(4, 4), SRIF(), SRIF()

    def forward(self, x):
        return self.a(self.linear(x))


class Backwards(nn.Module):
    """Registers its layers in another order than it runs them."""

    def __init__(self):
        super().__init__()
        self.last, self.z, self.first, self.y = (
            nn.Linear(3, 2),
            SRIF(v_th=0.75),
            nn.Linear(4, 3),
            SRIF(),
        )

    def forward(self, x):
        return self.z(self.last(self.y(self.first(x))))


def test_a_module_is_read_in_the_order_it_runs():
    network = refsim.bridge.load(Backwards(), dt="1 ms")
    assert [(layer.n_pre, layer.n_post) for layer in network.layers] == [(4, 3), (3, 2)]
    assert network.layers[1].model.parameters["v_th"].value == 0.75


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(), SRIF()),
            r"'2': what leads to it is not linear \('1' is a ReLU\)",
        ),
        (lambda: nn.Sequential(nn.Linear(4, 3)), "has no layer of neurons"),
        (lambda: nn.Sequential(SRIF()), "does not say how wide its input is"),
        (Remembering, "'neurons': what leads to it remembers more than one step"),
        (Deaf, "'b': nothing leads to it"),
        (Unused, "never runs 'spare'"),
    ],
)
def test_a_module_whose_wiring_is_no_linear_map_is_refused(make, says):
    with pytest.raises(RefsimError, match=says):
        refsim.bridge.load(make(), dt="1 ms")


def convolutional():
    torch.manual_seed(4)
    layers = [
        nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(3),
        SRIF(),
        nn.AvgPool2d(2),
        nn.Conv2d(3, 4, 2, groups=1),
        SRIF(),
        nn.Flatten(),
        nn.Linear(16, 5),
        SRIF(),
    ]
    made = nn.Sequential(*layers).double()
    made[1].running_mean, made[1].running_var = torch.rand(3).double(), torch.rand(3).double() + 0.5
    return made


@pytest.mark.parametrize(
    ("make", "shape"),
    [(Residual, (4,)), (convolutional, (2, 12, 12))],
    ids=["residual", "convolutional"],
)
def test_wiring_is_measured_whatever_stands_between(make, shape, rng):
    trained = make().double()
    network = refsim.bridge.load(trained, dt="1 ms", input_shape=shape)
    drive = refsim.Drive.bernoulli(rng.random((3, network.n_inputs)), 30, "1 ms", 0)
    ours, theirs = (
        refsim.run(network, drive, engine=engine)
        for engine in (refsim.Discrete(), refsim.Torch(module=trained, input_shape=shape))
    )
    assert all(len(train) for train in ours.spikes)
    assert [
        np.array_equal(a.dense(), b.dense())
        for a, b in zip(ours.spikes, theirs.spikes, strict=True)
    ] == [True] * len(network.layers)


def test_weights_come_out_to_the_last_bit():
    trained = module()
    assert np.array_equal(
        refsim.bridge.load(trained.double(), dt="1 ms").layers[1].weight,
        trained[2].weight.detach().numpy(),
    )


def test_a_module_says_nothing_of_its_step():
    with pytest.raises(RefsimError, match="give dt='1 ms' .on the command line --dt '1 ms'."):
        refsim.bridge.load(module())
