"""SLAYER's own gradients: its network at its initial weights, trained by our PyTorch path, its
spikes held against Brian2's.
"""

import numpy as np
import pytest
import torch
from conftest import mismatches
from test_srm import events, table

import refsim
from refsim import Brian2, Discrete, Drive, Torch
from refsim.pytorch import SRMSlayer
from refsim.pytorch.losses import spike_time
from refsim.pytorch.surrogate import spike_function

N_STEPS = 500  # 50 ms; the input files hold one step more, which SLAYER leaves out
THETA, TAU_RHO, TS = 10.0, 0.1, 0.1


def neuron(detach_reset=True, scale=1.0):
    # SLAYER's spikes are 1/Ts high and its surrogate is theirs; ours are 1 high, and so it is Ts
    # times as high
    fire = spike_function("exponential", width=TAU_RHO * THETA, scale=scale * TS)
    return SRMSlayer(
        fire,
        detach_reset=detach_reset,
        dt="0.1 ms",
        tau_s="1 ms",
        tau_ref="1 ms",
        theta=THETA,
        scale_ref=2.0,
    )


def initial(**options):
    module = torch.nn.Sequential(
        torch.nn.Linear(250, 25, bias=False),
        neuron(**options),
        torch.nn.Linear(25, 1, bias=False),
        neuron(**options),
    ).double()
    module[0].weight.data, module[2].weight.data = (
        torch.tensor(table("w1Initial")),
        torch.tensor(table("w2Initial")),
    )
    return module


def raster(name, n):
    """Return (1, n, step) float64."""
    found = torch.zeros(1, n, N_STEPS, dtype=torch.float64)
    step, index = events(name)
    found[0, index[step < N_STEPS], step[step < N_STEPS]] = 1
    return found


def loss_of(output):
    return spike_time(
        output, raster("spikeOut", 1), kernel="alpha", tau=1.0, dt=TS, reduction="sum"
    )


def backward(module):
    """Return the loss and, a layer, the error of the weight gradient relative to SLAYER's."""
    given = raster("spikeIn", 250)
    loss = loss_of(torch.stack([module(given[..., step]) for step in range(N_STEPS)], -1))
    loss.backward()
    errors = []
    for index, name in ((0, "gradW1Initial"), (2, "gradW2Initial")):
        found, wanted = module[index].weight.grad.numpy(), table(name)
        errors.append(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
    return float(loss.detach()), errors


def test_loss_and_gradients_are_slayers():
    loss, errors = backward(initial())
    assert abs(loss - 10.990292) <= 0.5e-6  # the last digit that is known
    assert max(errors) <= 1e-4  # SLAYER computed in float32 and printed five digits


@pytest.mark.parametrize(
    "wrong",
    [{"detach_reset": False}, {"scale": 1.01}],
    ids=["gradient through the refractory response", "surrogate 1 % too high"],
)
def test_a_wrong_choice_is_far_off(wrong):
    loss, errors = backward(initial(**wrong))
    assert abs(loss - 10.990292) <= 0.5e-6
    assert max(errors) > 1e-3


@pytest.mark.parametrize(
    "engine",
    [Discrete(), Brian2(target="numpy"), Brian2(target="cpp")],
    ids=["discrete", "brian2-numpy", "brian2-cpp"],
)
def test_brian2_fires_the_spikes_that_are_differentiated(engine):
    module = initial()
    network = refsim.bridge.load(module, dt="0.1 ms")
    step, index = events("spikeIn")
    step, index = step[step < N_STEPS], index[step < N_STEPS]
    drive = Drive.events(np.zeros_like(step), step, index, (1, N_STEPS, 250), "0.1 ms")
    found = engine.run(network, drive)
    assert len(found.spikes[0]) > 100
    assert mismatches(found, Torch(module=module).run(network, drive)) == [0, 0]
    assert (
        abs(
            float(loss_of(torch.tensor(found.spikes[1].dense().transpose(0, 2, 1)).double()))
            - 10.990292
        )
        <= 0.5e-6
    )
