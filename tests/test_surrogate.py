"""Surrogates: each is its printed formula, has the area and the limits it should have, compiles,
and trains through half precision.
"""

import numpy as np
import pytest
import torch
from scipy.special import expit

from refsim.pytorch import LIF, SRIF, reset
from refsim.pytorch.leaky import mpr
from refsim.pytorch.surrogate import SURROGATES, derivative_of, spike_function

X = np.linspace(-1.3, 1.3, 2001)  # holds no edge of a rectangle
SCOPE = {
    "abs": np.abs,
    "exp": np.exp,
    "tanh": np.tanh,
    "maximum": np.maximum,
    "sigmoid": expit,
    "pi": np.pi,
    "x": X,
}


def slope(fire, x):
    x = torch.tensor(x, requires_grad=True)
    fire(x).sum().backward()
    return x.grad.numpy()


@pytest.mark.parametrize("factor", [1.0, 0.7])
@pytest.mark.parametrize("name", SURROGATES)
def test_a_surrogate_is_its_printed_formula(name, factor):
    parameters = {key: factor * value for key, value in SURROGATES[name].parameters.items()}
    written = eval(SURROGATES[name].formula, {"__builtins__": {}}, SCOPE | parameters) * 1.0
    assert (
        np.abs(slope(spike_function(name, **parameters), X) - written).max()
        <= 1e-14 * np.abs(written).max() * 100
    )
    assert np.array_equal(
        slope(spike_function(name, **parameters), X),
        derivative_of(name, **parameters)(torch.tensor(X)).numpy(),
    )


AREAS = {
    "rectangle": 1.0,
    "clamp": 1.0,
    "triangle": 1.0,
    "exponential": 2.0,
    "exponential_lava": 0.1,
    "sigmoid": 1.0,
    "arctangent": 1.0,
    "superspike": 0.02,
    "dspike": 1.0,
    "mpr": 1.0,
}


@pytest.mark.parametrize("name", SURROGATES)
def test_the_area_of_a_surrogate(name):
    # the step it stands for is 1 high; where the literature scales otherwise, this says by how much
    u = np.linspace(-0.5, 0.5, 400_002)[1:-1] * np.pi
    width = max(SURROGATES[name].parameters.get("width", 0.1), 0.01)
    found = np.trapezoid(
        derivative_of(name)(torch.tensor(width * np.tan(u))).numpy() * width / np.cos(u) ** 2, u
    )
    # An edge may fall between two of 400,000 points.
    assert found == pytest.approx(AREAS[name], rel=1e-3)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in SURROGATES
        if "width" in SURROGATES[name].parameters or "slope" in SURROGATES[name].parameters
    ],
)
def test_whether_an_area_is_kept(name):
    narrow = {
        key: value / 2 if key == "width" else 2 * value
        for key, value in SURROGATES[name].parameters.items()
        if key in ("width", "slope")
    }
    heights = [
        float(derivative_of(name, **given)(torch.zeros(1, dtype=torch.float64)))
        for given in ({}, narrow)
    ]
    assert (heights[1] == pytest.approx(2 * heights[0], rel=1e-12)) == SURROGATES[name].normalised


def test_the_clamp_behind_the_rectifier_is_dspike_with_slope_three():
    u = torch.tensor(np.linspace(0.001, 0.999, 999), requires_grad=True)
    mpr(u).sum().backward()
    for name in ("mpr", "dspike"):
        assert np.abs(u.grad.numpy() - derivative_of(name)(u.detach() - 0.5).numpy()).max() <= 1e-14


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str
)
@pytest.mark.parametrize("name", SURROGATES)
def test_a_surrogate_keeps_its_precision_and_is_a_number_everywhere(name, dtype):
    x = torch.tensor([-6e4, -1.0, -0.5, 0.0, 0.5, 1.0, 6e4], dtype=dtype, requires_grad=True)
    spikes = spike_function(name)(x)
    spikes.sum().backward()
    assert spikes.dtype == x.grad.dtype == dtype
    assert spikes.tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert torch.isfinite(x.grad).all()


# PyTorch's own, while it traces an autograd.Function.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", SURROGATES)
def test_a_surrogate_compiles_whole(name):
    torch._dynamo.reset()
    fire = spike_function(name)
    assert np.array_equal(
        slope(torch.compile(fire, backend="aot_eager", fullgraph=True), X[::50]),
        slope(fire, X[::50]),
    )


def test_a_layer_takes_a_function_with_its_parameters():
    fire, x = (
        spike_function("triangle", width=2.0, scale=0.3),
        torch.tensor([[0.2, 0.7]], dtype=torch.float64),
    )
    found = []
    for surrogate in (fire, "triangle"):
        given = x.clone().requires_grad_()
        SRIF(surrogate)(given).sum().backward()
        found.append(given.grad.tolist()[0])
    assert found[0] == pytest.approx([0.3 * (2 - 0.3) / 4, 0.3 * (2 - 0.2) / 4])
    assert found[1] == pytest.approx([0.7, 0.8])


def test_what_a_reset_passes_on_is_the_neurons_choice():
    # two steps of a soft reset: v2 = v1 + x2 - z1, so that dv2/dx1 is 1 - g where the reset is
    # kept, and 1 where it is detached
    for detach, expected in ((False, 0.1), (True, 1.0)):
        # 0.9 high at threshold.
        neuron = SRIF(spike_function("triangle", width=1 / 0.9), detach_reset=detach).double()
        x = torch.tensor([[0.5]], dtype=torch.float64, requires_grad=True)
        neuron(x)
        neuron.v.sum().backward()
        assert float(x.grad) == pytest.approx(expected)
    neuron = LIF(None)
    assert not neuron(torch.ones(1, 1, requires_grad=True)).requires_grad
    reset(neuron)
