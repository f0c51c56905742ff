"""The bridge reads learnt delays as delays of connections, one an input."""

import numpy as np
import pytest
import torch
from conftest import mismatches

import refsim
from refsim import RefsimError
from refsim.pytorch import SRIF, AxonalDelay, SRMSlayer, over_steps

MAXIMUM = 6


def delayed(channels=30):
    torch.manual_seed(0)
    srm = {"detach_reset": True, "dt": "1 ms", "theta": 1.0, "tau_s": "4 ms"}
    late = [
        AxonalDelay(20, 3, torch.arange(20) % 4 * 0.9),
        AxonalDelay(channels, MAXIMUM, torch.rand(channels) * MAXIMUM),
    ]
    module = torch.nn.Sequential(
        late[0],
        torch.nn.Linear(20, 30),
        SRMSlayer("exponential", **srm),
        late[1],
        torch.nn.Linear(30, 5),
        SRIF(),
    )
    module[1].weight.data += 0.1
    module[4].weight.data += 0.05
    return module


def test_the_bridge_reads_a_delay_for_each_input(rng, tmp_path):
    module = delayed().double()
    network = refsim.bridge.load(module, dt="1 ms")
    for layer, part in zip(network.layers, (module[0], module[3]), strict=True):
        assert [source.delay.tolist() for source in layer.sources] == [part.steps().tolist()]
    assert np.array_equal(network.layers[1].weight, module[4].weight.detach().numpy())
    drive = refsim.Drive.raster(rng.random((4, 30, 20)) < 0.2, "1 ms")
    reference = refsim.run(network, drive, engine=refsim.Brian2(target="numpy"))
    assert all(len(each.step) > 30 for each in reference.spikes)
    assert (
        refsim.compare(
            reference, refsim.run(network, drive, engine=refsim.Torch(module=module))
        ).verdict
        == "pass"
    )
    assert mismatches(
        reference, refsim.run(network, drive, engine=refsim.Torch(dtype="float64"))
    ) == [0, 0]
    kept = refsim.bridge.load_network(refsim.bridge.save_network(network, tmp_path / "net.refsim"))
    assert mismatches(reference, refsim.run(kept, drive, engine=refsim.Discrete())) == [0, 0]
    output, (hidden, _) = over_steps(module, torch.tensor(drive_of(drive)).double())
    assert np.array_equal(
        hidden.detach().numpy() > 0, reference.spikes[0].dense().transpose(0, 2, 1)
    )
    assert np.array_equal(
        output.detach().numpy() > 0, reference.spikes[1].dense().transpose(0, 2, 1)
    )


def drive_of(drive):
    return np.stack(list(drive.frames()), -1)


def test_a_delay_that_changed_after_it_was_read_fails(rng):
    module = delayed().double()
    network = refsim.bridge.load(module, dt="1 ms")
    module[3].delay.data[module[3].steps() < MAXIMUM - 1] += 1
    drive = refsim.Drive.raster(rng.random((4, 30, 20)) < 0.2, "1 ms")
    runs = [
        refsim.run(network, drive, engine=engine)
        for engine in (refsim.Brian2(target="numpy"), refsim.Torch(module=module))
    ]
    assert refsim.compare(*runs).verdict == "fail"


def test_neurons_of_a_channel_share_its_delay():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 2),
        SRIF(),
        AxonalDelay(2, 4, torch.tensor([3.0, 1.0])),
        torch.nn.Flatten(),
        torch.nn.Linear(18, 2),
        SRIF(),
    )
    network = refsim.bridge.load(module, dt="1 ms", input_shape=(1, 4, 4))
    assert network.layers[1].sources[0].delay.tolist() == [3] * 9 + [1] * 9


def test_a_bias_that_is_held_back_is_refused():
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), AxonalDelay(4, 4, 2.0), SRIF())
    with pytest.raises(RefsimError, match="Put a delay in front of the Linear"):
        refsim.bridge.load(module, dt="1 ms")
