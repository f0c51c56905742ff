"""InfLoR-SNN: the paper's worked example, conservation, the rectifier, and recorded traces."""

import json

import numpy as np
import pytest
import torch
from conftest import real_data
from hypothesis import given, settings
from hypothesis import strategies as st

import refsim
from refsim import Brian2, Discrete, Drive, Torch
from refsim.cases.neuron import network_of_one
from refsim.pytorch.leaky import mpr

SOFT = "examples/lif_soft.toml"


def soft_step(x, s, p, fire):
    """PyTorch step of the soft-reset leaky card that the recorded traces need."""
    v = p["decay"] * s["v"] + x
    z = fire(v - p["v_th"])
    return z, v, {"v": v - z * p["amount"]}


ENGINES = {
    "brian2-numpy": Brian2(target="numpy"),
    "brian2-cpp": Brian2(target="cpp"),
    "discrete": Discrete(),
    "torch": Torch(dtype="float64", steps={"lif_soft": soft_step}),
}


def run(model, inputs, engine):
    drive = Drive.current(np.reshape(inputs, (1, -1, 1)), "1 ms")
    return engine.run(network_of_one(model, "1 ms"), drive, ("before_reset", "after_reset"))


@pytest.mark.parametrize(
    ("name", "fires"),
    [("srif", [1, 0, 1, 1, 0]), ("srif_mpr", [1, 0, 1, 1, 0]), ("if", [1, 1, 1, 0, 1])],
)
@pytest.mark.parametrize("engine", ["brian2-numpy", "discrete", "torch"])
def test_the_papers_example(name, fires, engine):
    found = run(refsim.load(name), 0.5 * np.array([1.5, 1.2, 1.5, 0.9, 1.4]), ENGINES[engine])
    assert found.spikes[0].dense()[0, :, 0].astype(int).tolist() == fires


TRACES = {
    "IF_hard": lambda: refsim.load("if"),
    "SRIF": lambda: refsim.load("srif"),
    "LIF_B_.5_hard": lambda: refsim.load("lif_decay", decay=0.5),
    "LIF_A_2_hard": lambda: refsim.load("lif", tau=2.0),
    "LIF_B_.25_hard": lambda: refsim.load("lif_decay", decay=0.25),
    "softLIF_B_.5_sub1": lambda: refsim.load(SOFT, decay=0.5),
    "softLIF_B_.5_subVth": lambda: refsim.load(SOFT, decay=0.5, amount=0.5),
}


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param(engine, id=name, marks=pytest.mark.slow if name == "brian2-cpp" else ())
        for name, engine in ENGINES.items()
    ],
)
@pytest.mark.parametrize("name", TRACES)
def test_recorded_traces_are_reproduced(name, engine):
    oracle = json.loads(real_data("oracles/srif_mpr.json").read_text())
    assert set(oracle["traces"]) == set(TRACES)
    found, trace = run(TRACES[name](), oracle["X"], engine), oracle["traces"][name]
    assert found.traces[0]["before_reset"][0, :, 0].tolist() == trace["H"]  # dyadic input: exact
    assert found.spikes[0].dense()[0, :, 0].astype(int).tolist() == trace["O"]
    assert found.traces[0]["after_reset"][0, :, 0].tolist() == trace["U"]


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**16), min_size=1, max_size=60))
def test_srif_counts_the_rounded_sum_of_its_input(numbers):
    # 0 <= X <= 1 and a start of 0: N = round(sum X). Multiples of 2^-16 add without rounding.
    inputs = np.array(numbers) / 2**16
    total, spikes = inputs.sum(), len(run(refsim.load("srif"), inputs, Discrete()).spikes[0])
    if (total * 2) % 2 == 1:  # exactly between two integers: >= rounds up
        assert spikes == int(total + 0.5)
    else:
        assert spikes == round(total)


@settings(deadline=None)
@given(st.lists(st.integers(-(2**18), 2**18), min_size=1, max_size=40))
def test_srif_conserves_its_input(numbers):
    inputs = np.array(numbers) / 2**16
    found = run(refsim.load("srif"), inputs, Discrete())
    assert inputs.sum() == len(found.spikes[0]) + found.traces[0]["after_reset"][0, -1, 0]


def test_rounding_holds_in_all_engines_at_once(rng):
    inputs = rng.integers(0, 2**12, (50, 30)) / 2**12
    network = refsim.Network.dense([([[1.0]], None, refsim.load("srif"))], "1 ms")
    drive = Drive.current(inputs[:, :, None], "1 ms")
    for engine in ENGINES.values():
        counts = engine.run(network, drive).spikes[0].counts()[:, 0]
        assert np.array_equal(counts, np.floor(inputs.sum(axis=1) + 0.5))


def test_the_rectifier_and_its_slope_are_those_recorded():
    oracle = json.loads(real_data("oracles/srif_mpr.json").read_text())
    u, phi, slope = np.array(oracle["phi"]).T
    x = torch.tensor(u, requires_grad=True)
    mpr(x).sum().backward()
    assert np.allclose(mpr(x).detach(), phi, rtol=0, atol=1e-15)
    inside = ~np.isin(u, [0.0, 1.0])  # the two joints have one slope from either side
    assert np.allclose(x.grad[inside], slope[inside], rtol=0, atol=1e-14)


def test_the_rectifier_never_changes_a_spike(rng):
    near = np.float32(0.5) + np.arange(-50_000, 50_001, dtype=np.float32) * np.float32(2**-24)
    for dtype in (torch.float32, torch.float64):
        u = torch.tensor(np.concatenate([near, rng.normal(0.5, 2, 10_000).astype(np.float32)])).to(
            dtype
        )
        assert torch.equal(mpr(u) >= 0.5, u >= 0.5)
