"""Under autocast weights are short and membranes are not."""

import numpy as np
import pytest
import torch
from torch import nn

import refsim
from refsim.pytorch import IF, LI, SRIF, LIFDecay, SRMSlayer, over_steps, reset

NEURONS = {
    "SRIF": lambda: SRIF(),
    "IF": lambda: IF(),
    "LIFDecay": lambda: LIFDecay(decay=0.9),
    "a readout": lambda: LI(),
    "SRMSlayer": lambda: SRMSlayer(dt="1 ms", theta=0.3, tau_s="2 ms", detach_reset=True),
}


def stepped(module, x):
    reset(module)
    return torch.stack([module(x[..., step]) for step in range(x.shape[-1])], -1)


@pytest.mark.parametrize("name", NEURONS)
def test_neurons_fire_under_autocast_as_they_do_on_the_same_input_in_float32(name):
    torch.manual_seed(0)
    x, module = torch.rand(4, 20, 40), nn.Sequential(nn.Linear(20, 30), NEURONS[name]())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        arrived = torch.stack([module[0](x[..., step]) for step in range(40)], -1)
        found, states = stepped(module, x), dict(module[1].state)
        whole, _ = over_steps(module, x)
    assert arrived.dtype == torch.bfloat16
    assert {state.dtype for state in states.values()} == {torch.float32}
    expected = stepped(module[1], arrived.float())
    assert torch.equal(found, expected)
    assert torch.allclose(whole, expected, atol=1e-5)
    assert torch.unique(expected).numel() > 1


def test_a_membrane_of_eight_bits_would_fire_other_spikes():
    torch.manual_seed(0)
    arrived, neurons = torch.rand(4, 30, 40).sub(0.4).bfloat16(), SRIF()
    expected, short = stepped(neurons, arrived.float()), stepped(neurons, arrived)
    assert not torch.equal(short.float(), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(stepped(neurons, arrived), expected)


def test_gradients_go_back_through_it():
    torch.manual_seed(0)
    x, module = torch.rand(4, 20, 12), nn.Sequential(nn.Linear(20, 30), SRIF())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        stepped(module, x).sum().backward()
    short = module[0].weight.grad.clone()
    module.zero_grad()
    stepped(module, x).sum().backward()
    assert (
        torch.nn.functional.cosine_similarity(
            short.flatten(), module[0].weight.grad.flatten(), dim=0
        )
        > 0.99
    )


def test_a_run_of_refsim_is_its_own_dtype_whatever_is_around_it(rng):
    net = refsim.Network.dense([(rng.normal(0, 0.4, (9, 12)), None, refsim.load("srif"))], "1 ms")
    drive = refsim.Drive.bernoulli(rng.random((3, 12)), 50, "1 ms", 0)
    alone = refsim.run(net, drive, engine=refsim.Torch(), record=("after_reset",))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = refsim.run(net, drive, engine=refsim.Torch(), record=("after_reset",))
    assert np.array_equal(alone.traces[0]["after_reset"], inside.traces[0]["after_reset"])
    assert inside.provenance["dtype"] == "float32"


def test_a_module_under_autocast_is_judged_by_the_rounding_of_its_weights(rng):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(12, 9), SRIF())
    net = refsim.bridge.load(module, dt="1 ms")
    drive = refsim.Drive.bernoulli(rng.random((3, 12)), 50, "1 ms", 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        run = refsim.run(net, drive, engine=refsim.Torch(module=module))
    assert run.provenance["dtype"] == "bfloat16"
    assert (
        refsim.run(net, drive, engine=refsim.Torch(module=module)).provenance["dtype"] == "float32"
    )
