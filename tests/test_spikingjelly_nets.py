"""SpikingJelly's wrappers and containers.

Convolutions with folded batch norm and pools, delays, filters, in either step mode; 0 mismatches.
"""

import numpy as np
import pytest
import standin_spikingjelly as sj
import standin_spikingjelly_layers as layer
import torch
from test_pooling import randomised
from torch import nn

import refsim
from refsim import RefsimError

SHAPE = (2, 8, 8)


def convolutional(pool):
    return [
        layer.Conv2d(2, 4, 3, padding=1, bias=False),
        layer.BatchNorm2d(4),
        sj.LIFNode(v_threshold=0.5, decay_input=False),
        pool,
        layer.Conv2d(4, 3, 3, stride=2, padding=1),
        layer.BatchNorm2d(3),
        sj.IFNode(v_threshold=0.5, v_reset=None),
        layer.Dropout(0.5),
        layer.AvgPool2d(2),
        layer.Flatten(),
        layer.Linear(3, 5),
        sj.IFNode(v_threshold=0.3),
    ]


def run(module, mode, rng, shape=SHAPE, engine=None, steps=30):
    """Return the recordings of the network that is read and of the module, with what they send."""
    layout = {"s": "step", "m": "time first"}[mode]
    layer.set_step_mode(module, mode)
    randomised(module)
    network = refsim.bridge.load(module, dt="1 ms", input_shape=shape, layout=layout)
    drive = refsim.Drive.current(rng.normal(0.2, 0.8, (2, steps, network.n_inputs)), network.dt)
    record = ("payload",) if any(each.model.discrete.payload for each in network.layers) else ()
    engines = (
        engine or refsim.Discrete(),
        refsim.Torch(module=module, input_shape=shape, layout=layout),
    )
    return [refsim.run(network, drive, engine=each, record=record) for each in engines]


def same(ours, theirs):
    assert all(len(train) for train in ours.spikes)
    return all(
        np.array_equal(a.dense(), b.dense())
        for a, b in zip(ours.spikes, theirs.spikes, strict=True)
    )


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("pool", ["average", "maximum"])
def test_a_convolutional_network(pool, mode, rng):
    torch.manual_seed(2)
    module = nn.Sequential(
        *convolutional({"average": layer.AvgPool2d(2), "maximum": layer.MaxPool2d(2)}[pool])
    )
    assert same(*run(module, mode, rng))


def test_the_same_in_brian2(rng):
    torch.manual_seed(2)
    module = nn.Sequential(*convolutional(layer.MaxPool2d(3, stride=2, padding=1)))
    assert same(*run(module, "m", rng, engine=refsim.Brian2(target="numpy")))


def test_a_pool_in_a_container_that_puts_all_steps_into_one_batch(rng):
    torch.manual_seed(2)
    first, second = sj.IFNode(v_threshold=0.5), sj.LIFNode(v_threshold=0.2, decay_input=False)
    module = nn.Sequential(
        layer.SeqToANNContainer(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)),
        first,
        layer.SeqToANNContainer(nn.MaxPool2d(2), nn.Flatten()),
        layer.MultiStepContainer(nn.Linear(64, 5), second),
    )
    layer.set_step_mode(first, "m")
    randomised(module)
    network = refsim.bridge.load(module, dt="1 ms", input_shape=SHAPE, layout="time first")
    drive = refsim.Drive.current(rng.normal(0.2, 0.8, (2, 30, 128)), network.dt)
    trial = refsim.Torch(module=module, input_shape=SHAPE, layout="time first")
    assert same(
        *(refsim.run(network, drive, engine=engine) for engine in (refsim.Discrete(), trial))
    )


@pytest.mark.parametrize("mode", ["s", "m"])
def test_a_filter_is_a_layer_that_sends_its_current(mode, rng):
    torch.manual_seed(2)
    filters = sj.SynapseFilter(tau=4.0), sj.SynapseFilter(tau=7.0, learnable=True)
    module = nn.Sequential(
        layer.Linear(3, 6),
        sj.IFNode(v_threshold=0.5),
        filters[0],
        layer.Linear(6, 4),
        sj.IFNode(),
        filters[1],
    )
    ours, theirs = run(module, mode, rng, shape=(3,))
    assert same(ours, theirs)
    for index in (1, 3):
        assert np.allclose(
            ours.traces[index]["payload"], theirs.traces[index]["payload"], rtol=1e-12, atol=0
        )
    report = refsim.compare(ours, theirs)
    assert report.verdict == "pass", report.sentence


class Decaying(sj.SynapseFilter):
    """Decays in each step, spike or not."""

    def step(self, x):
        self.held["out_i"] = self.held["out_i"] * (1 - 1 / self.tau) + x
        return self.held["out_i"]


def test_by_hand_and_rogue_a_filter_that_always_decays(rng):
    spikes = np.array([1.0, 0, 1, 0]).reshape(1, 4, 1)
    module = nn.Sequential(nn.Linear(1, 1, bias=False), sj.SynapseFilter(tau=2.0)).double()
    nn.init.ones_(module[0].weight)
    network = refsim.bridge.load(module, dt="1 ms")
    drive = refsim.Drive.current(spikes, network.dt)
    sent = [1.0, 0.5, 1.5, 0.75]  # it keeps 0.5 while a spike arrives
    ours = refsim.run(network, drive, engine=refsim.Discrete(), record=("payload",))
    assert ours.traces[0]["payload"].ravel().tolist() == sent
    for kind, verdict in ((sj.SynapseFilter, "pass"), (Decaying, "fail")):
        trial = refsim.Torch(module=nn.Sequential(module[0], kind(tau=2.0)).double())
        assert (
            refsim.compare(
                ours, refsim.run(network, drive, engine=trial, record=("payload",))
            ).verdict
            == verdict
        )


@pytest.mark.parametrize("mode", ["s", "m"])
def test_a_converted_network_has_plain_factors_between_its_neurons(mode, rng):
    torch.manual_seed(2)
    scaled = [layer.VoltageScaler(0.5), sj.IFNode(v_reset=None), layer.VoltageScaler(3.0)]
    module = nn.Sequential(
        layer.Linear(3, 6),
        *scaled,
        layer.Linear(6, 4),
        layer.VoltageScaler(2.0),
        sj.IFNode(v_reset=None),
    )
    ours, theirs = run(module, mode, rng, shape=(3,))
    assert same(ours, theirs)
    weights = module[0].weight.detach(), module[4].weight.detach()
    assert np.array_equal(ours.network.layers[0].weight, 0.5 * weights[0].double().numpy())
    assert np.allclose(ours.network.layers[1].weight, 6.0 * weights[1].double().numpy(), rtol=1e-15)


@pytest.mark.parametrize("readout", [layer.NonSpikingIFNode(), layer.NonSpikingLIFNode(tau=3.0)])
def test_a_readout_gives_a_list_of_membranes(readout, rng):
    torch.manual_seed(2)
    module = nn.Sequential(
        layer.Linear(3, 6), sj.IFNode(v_threshold=0.5), layer.Linear(6, 4), readout
    ).double()
    layer.set_step_mode(module, "m")
    network = refsim.bridge.load(module, dt="1 ms")
    drive = refsim.Drive.current(rng.normal(0.2, 0.8, (2, 30, 3)), "1 ms")
    engines = refsim.Discrete(), refsim.Torch(module=module)
    ours, theirs = (
        refsim.run(network, drive, engine=engine, record=("before_reset",)) for engine in engines
    )
    assert len(ours.spikes[0])
    assert np.allclose(
        ours.traces[1]["before_reset"], theirs.traces[1]["before_reset"], rtol=1e-12, atol=1e-15
    )
    assert refsim.compare(ours, theirs).verdict == "pass"
    # Planted: every spike stays the same.
    type(readout).charge, kept = (lambda self, x, v: v + 1.01 * x), type(readout).charge
    try:
        rogue = refsim.run(
            network, drive, engine=refsim.Torch(module=module), record=("before_reset",)
        )
    finally:
        type(readout).charge = kept
    assert refsim.compare(ours, rogue).verdict == "fail"


def test_a_readout_that_hides_its_membranes_and_modes_that_do_not_go_together_are_refused():
    module = nn.Sequential(
        layer.Linear(3, 6), sj.IFNode(), layer.Linear(6, 4), layer.NonSpikingIFNode("max-mem")
    )
    with pytest.raises(
        RefsimError,
        match=(
            r"some layers take one step a call \('1'\), others all steps at once \('3'\), and "
            r"no input fits both"
        ),
    ):
        refsim.bridge.load(module, dt="1 ms")
    layer.set_step_mode(module, "m")
    with pytest.raises(
        RefsimError, match="'3': decode = 'max-mem' is not read: it gives one number for all steps"
    ):
        refsim.bridge.load(module, dt="1 ms")
