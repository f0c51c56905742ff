"""Descriptions: tensors of any framework become the network that its module is, without the
framework.
"""

import numpy as np
import pytest
import torch
from torch import nn

import refsim
from refsim import Discrete, Drive, RefsimError
from refsim.files.formats import read_file
from refsim.files.reading import Asked
from refsim.judge.causes import explaining_traits

LEAKY = {"neuron": "snntorch_leaky"}


def convolutional():
    torch.manual_seed(5)
    made = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 2, groups=2, bias=False),
        nn.Flatten(),
        nn.Linear(6, 3),
    )
    with torch.no_grad():
        made[1].running_mean.normal_()
        made[1].running_var.uniform_(0.5, 2)
        made[1].weight.normal_()
        made[1].bias.normal_()
    return made.double().eval()


MAPS = [
    {"conv2d": "0", "stride": 2, "padding": 1},
    {"batch_norm": "1"},
    {"avg_pool2d": 2},
    {"conv2d": "3", "groups": 2},
    {"flatten": True},
    {"linear": "5"},
]


def agrees(layer, module, x):
    """Whether weight and bias of a layer give what a module gives."""
    return np.allclose(
        x.flatten(1).numpy() @ layer.weight.T + layer.bias,
        module(x).detach().flatten(1).numpy(),
        rtol=0,
        atol=1e-12,
    )


def test_maps_between_layers_are_those_of_pytorch():
    module = convolutional()
    describe = {
        "dt": "1 ms",
        "input_shape": [2, 8, 8],
        "layer": [{"maps": MAPS[:3], **LEAKY}, {"maps": MAPS[3:], **LEAKY}],
    }
    network = refsim.bridge.load(module.state_dict(), describe)
    assert agrees(network.layers[0], module[:3], torch.randn(5, 2, 8, 8, dtype=torch.float64))
    assert agrees(network.layers[1], module[3:], torch.randn(5, 4, 2, 2, dtype=torch.float64))


def test_one_axis_and_a_sum_over_a_window():
    torch.manual_seed(6)
    conv, x = nn.Conv1d(3, 4, 3, dilation=2).double(), torch.randn(2, 3, 9, dtype=torch.float64)
    row = {"maps": [{"conv1d": "c", "dilation": 2}, {"avg_pool1d": 5}], **LEAKY}
    layer = refsim.bridge.load(
        {f"c.{k}": v for k, v in conv.state_dict().items()},
        {"dt": "1 ms", "input_shape": [3, 9], "layer": [row]},
    ).layers[0]
    assert agrees(layer, nn.Sequential(conv, nn.AvgPool1d(5)), x)
    conv, x = nn.Conv2d(1, 2, 1).double(), torch.randn(2, 1, 4, 4, dtype=torch.float64)
    row = {"maps": [{"conv2d": "c"}, {"sum_pool2d": [2, 4]}], **LEAKY}
    layer = refsim.bridge.load(
        {f"c.{k}": v for k, v in conv.state_dict().items()},
        {"dt": "1 ms", "input_shape": [1, 4, 4], "layer": [row]},
    ).layers[0]
    assert agrees(layer, nn.Sequential(conv, nn.AvgPool2d((2, 4), divisor_override=1)), x)


def state(rng, **more):
    made = {
        "a.weight": rng.normal(size=(5, 4)),
        "w2": rng.normal(size=(5, 3)),
        "b2": rng.normal(size=3),
        "rec": rng.normal(size=(3, 3)),
        **more,
    }
    return {name: torch.tensor(value) for name, value in made.items()}


def test_named_transposed_recurrent_and_delayed_tensors_and_values_a_neuron(rng):
    tensors = state(rng, beta=rng.random(3), held=np.array([0.0, 1, 2, 0, 3]))
    second = {
        "linear": {"weight": "w2", "bias": "b2", "transposed": True},
        **LEAKY,
        "convention": {"reset": "set"},
        "tensors": {"beta": "beta"},
        "recurrent": {"linear": {"weight": "rec"}, "transposed": True, "delay": 2},
        "delay": "held",
    }
    network = refsim.bridge.load(
        tensors,
        {"dt": "1 ms", "layer": [{"linear": "a", **LEAKY, "parameters": {"beta": 0.5}}, second]},
    )
    first, layer = network.layers
    assert np.array_equal(layer.weights[0], tensors["w2"].numpy().T)
    assert np.array_equal(layer.weights[1], tensors["rec"].numpy().T)
    assert np.array_equal(layer.bias, tensors["b2"].numpy())
    assert layer.sources[0].delay.tolist() == [0, 1, 2, 0, 3]
    assert (layer.sources[1].layer, layer.sources[1].delay.tolist()) == (1, [2, 2, 2])
    assert layer.parameters["beta"].tolist() == tensors["beta"].tolist()
    assert (layer.model.convention["reset"], first.model.convention["reset"]) == ("set", "subtract")


@pytest.mark.parametrize(
    ("value", "diagonal"), [(np.array([1.0, 2.0, 3.0]), [1, 2, 3]), (np.array(0.5), [0.5] * 3)]
)
def test_a_recurrent_tensor_of_one_number_a_neuron_connects_each_to_itself(value, diagonal, rng):
    rows = [
        {"linear": "a", **LEAKY},
        {
            "linear": {"weight": "w2", "bias": "b2", "transposed": True},
            **LEAKY,
            "recurrent": {"linear": {"weight": "rec"}},
        },
    ]
    layer = refsim.bridge.load(
        state(rng) | {"rec": torch.tensor(value)}, {"dt": "1 ms", "layer": rows}
    ).layers[1]
    assert np.array_equal(layer.weights[1], np.diag(diagonal))


def test_values_a_channel_are_spread_over_its_neurons():
    module = convolutional()
    tensors = dict(module[:1].state_dict()) | {
        "beta": torch.tensor([0.1, 0.2, 0.3, 0.4]).reshape(4, 1, 1)
    }
    describe = {
        "dt": "1 ms",
        "input_shape": [2, 4, 4],
        "layer": [{"maps": MAPS[:1], **LEAKY, "tensors": {"beta": "beta"}}],
    }
    values = refsim.bridge.load(tensors, describe).layers[0].parameters["beta"]
    assert values.reshape(4, -1).T.tolist() == [pytest.approx([0.1, 0.2, 0.3, 0.4])] * 4


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"convention": {"reset": "hard"}}, "reset must be one of"),
        ({"convention": {"resett": "set"}}, "'resett' is not a trait"),
        ({"convention": {"reset": 1}}, "must be a table of words"),
        ({"neuron": "srif", "convention": {"reset": "set"}}, "says its step in statements"),
        ({"maps": [{"max_pool2d": 2}]}, "max_pool2d is not linear"),
        ({"maps": [{"conv3d": "a"}]}, "each of maps is one of"),
        ({"maps": []}, "maps must be a list of maps"),
        ({"maps": [{"linear": "a", "stride": 2}]}, "stride is not an option of linear"),
        ({"maps": [{"conv2d": "a"}]}, "nothing says the shape of what it hears"),
        (
            {"maps": [{"linear": "a"}, {"avg_pool2d": 0}]},
            "must be one or two whole numbers from 1 on",
        ),
        ({"maps": [{"linear": "a"}, {"avg_pool2d": 2}]}, "avg_pool2d does not fit what it hears"),
        ({"linear": {"bias": "b2"}}, "must be the prefix of its tensors"),
        ({"linear": {"weight": "a.weight", "transposed": 1}}, "transposed must be true or false"),
        ({"recurrent": {"linear": "rec", "lag": 1}}, "lag is not a known key"),
        ({"recurrent": {"linear": "rec", "delay": 0}}, "delay must be whole steps from 1 on"),
        (
            {"recurrent": {"linear": {"weight": "rec"}}},
            r"rec must be \(5, 5\), \(5,\) or one number",
        ),
        ({"delay": -1}, "delay must be whole steps from 0 on, or the name of a tensor"),
        ({"delay": "half"}, "delays must be whole steps"),
        ({"delay": "nowhere"}, "has no tensor 'nowhere'"),
        ({"tensors": {"beta": "b2"}}, r"has shape \(3,\), which does not fit its neurons"),
    ],
)
def test_a_wrong_layer_is_explained(change, says, rng):
    row = {
        key: value
        for key, value in ({"linear": "a", **LEAKY} | change).items()
        if not ("maps" in change and key == "linear")
    }
    tensors = state(rng, half=np.full(4, 0.5))
    with pytest.raises(RefsimError, match=says):
        refsim.bridge.load(
            tensors, {"dt": "1 ms", "layer": [row], "ignore": ["w2", "b2", "rec", "half"]}
        )


def test_a_window_that_nothing_could_hold_takes_no_memory(rng):
    row = {"maps": [{"conv2d": "c", "padding": 60000}], **LEAKY}
    with pytest.raises(
        RefsimError, match="as a matrix .* its weights fill .* GiB; at most 4 are read"
    ):
        refsim.bridge.load(
            {"c.weight": torch.ones(8, 1, 3, 3)},
            {"dt": "1 ms", "input_shape": [1, 64, 64], "layer": [row]},
        )


def test_conventions_and_dt_stand_in_the_description(tmp_path, rng):
    torch.save({"a.weight": torch.ones(3, 4)}, tmp_path / "net.pt")
    (tmp_path / "net.toml").write_text(
        'dt = "1 ms"\n[[layer]]\nlinear = "a"\nneuron = "snntorch_leaky"\n'
    )
    for asked, says in (
        (Asked(dt="2 ms"), "says dt already"),
        (Asked(convention={"reset": "set"}), "its conventions stand in its description"),
    ):
        with pytest.raises(RefsimError, match=says):
            read_file(tmp_path / "net.pt", asked)


# Planted faults: a description that misreads the framework, and the trait that explains what its
# own module fired.
MISREAD = {
    "reset": {"reset": "set"},
    "moment": {"moment": "now"},
    "comparison": {"comparison": ">="},
}


@pytest.mark.parametrize("trait", MISREAD)
def test_a_misread_description_is_explained_by_its_trait(trait, rng):
    tensors = {"0.weight": torch.tensor(np.round(rng.normal(0, 0.8, (9, 12)) * 2) / 2)}
    networks = [
        refsim.bridge.load(
            tensors,
            {
                "dt": "1 ms",
                "layer": [
                    {"linear": 0, **LEAKY, "parameters": {"beta": 0.5}, "convention": convention}
                ],
            },
        )
        for convention in ({}, MISREAD[trait])
    ]
    drive = Drive.bernoulli(rng.random((3, 12)), 60, "1 ms", 0)
    right, wrong = (Discrete().run(network, drive) for network in networks)
    assert not np.array_equal(right.spikes[0].dense(), wrong.spikes[0].dense())
    seen = type(right)(
        **{
            **{name: getattr(right, name) for name in right.__dataclass_fields__},
            "network": wrong.network,
        }
    )
    assert [(each.trait, each.found) for each in explaining_traits(seen)] == [
        (trait, networks[0].layers[0].model.convention[trait])
    ]


def test_an_input_shape_that_the_weights_do_not_have_is_refused():
    state = {"0.weight": torch.ones(3, 4)}
    layer = [{"linear": "0", "neuron": "srif"}]
    assert (
        refsim.bridge.load(state, {"dt": "1 ms", "input_shape": [2, 2], "layer": layer}).n_inputs
        == 4
    )
    with pytest.raises(RefsimError, match=r"input_shape = \[5\], but layer 0 takes 4 inputs"):
        refsim.bridge.load(state, {"dt": "1 ms", "input_shape": [5], "layer": layer})


def test_flatten_is_said_or_not():
    with pytest.raises(RefsimError, match="flatten must be true, or be left out, but is False"):
        refsim.bridge.load(
            {}, {"dt": "1 ms", "layer": [{"maps": [{"flatten": False}], "neuron": "srif"}]}
        )
