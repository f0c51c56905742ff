"""SpikingJelly's layers: truth by hand for each card, the module read and run as it is, and misread
conventions found by name.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import standin_spikingjelly as sj
import torch
from torch import nn

import refsim
from refsim import RefsimError
from refsim.judge.causes import explaining_traits


def module_of(*layers):
    return nn.Sequential(*layers).double()


def through_one(layer):
    """Return a layer of one neuron behind a weight of 1."""
    linear = nn.Linear(1, 1, bias=False)
    nn.init.ones_(linear.weight)
    return module_of(linear, layer)


def run(module, values, read=None):
    """Return the recordings of the network that is read and of the module itself.

    `read` is read in place of the module.
    """
    network = refsim.bridge.load(read or module, dt="1 ms")
    drive = refsim.Drive.current(np.asarray(values, float), network.dt)
    return refsim.run(network, drive, engine=refsim.Discrete()), refsim.run(
        network, drive, engine=refsim.Torch(module=module)
    )


def raster(recording, layer=0):
    return recording.spikes[layer].dense()


# Name: the layer, its input in each step, and its spikes, computed by hand in dyadic numbers (the
# EIF's start at theta_rh, where exp gives 1).
BY_HAND = {
    "IF fires at the threshold": (sj.IFNode(), [0.5, 0.5, 0.25, 1.0], [0, 1, 0, 1]),
    "IF soft keeps the rest": (sj.IFNode(v_reset=None), [0.5, 0.75, 0.75, 1.0], [0, 1, 1, 1]),
    "IF starts at v_reset": (sj.IFNode(v_reset=-0.5), [1.0, 0.5, 1.5], [0, 1, 1]),
    "LIF leaks towards v_reset": (sj.LIFNode(v_reset=-0.5), [3.0, 2.0, 2.0], [1, 0, 1]),
    "LIF whole input": (
        sj.LIFNode(decay_input=False, v_reset=None),
        [0.75, 0.625, 1.5, 0.75],
        [0, 1, 1, 1],
    ),
    "PLIF": (sj.ParametricLIFNode(w=0.0, v_reset=-0.5), [3.0, 2.0, 2.0], [1, 0, 1]),
    "PLIF whole input": (
        sj.ParametricLIFNode(w=0.0, decay_input=False, v_reset=None),
        [0.75, 0.625, 1.5, 0.75],
        [0, 1, 1, 1],
    ),
    "CUBA": (sj.CUBALIFNode(), [0.25, 0.125, 0.0, 0.5, 0.0, 0.5], [0, 0, 0, 1, 0, 1]),
    "CUBA starts at v_reset, leaks towards 0": (
        sj.CUBALIFNode(v_reset=-0.5),
        [0.5, 0.25, 0.5],
        [0, 1, 0],
    ),
    "QIF": (sj.QIFNode(v_c=1.0, v_reset=-0.5), [2.25, 0.25, 1.0, 1.25], [1, 0, 0, 1]),
    # 2, leaves 1; 1 + (1 + 0)/2.
    "QIF soft": (sj.QIFNode(v_c=1.0, v_reset=None), [4.0, 1.0], [1, 1]),
    # 0.5 + (-1.7 + e)/2 = 1.009.
    "EIF fires": (sj.EIFNode(theta_rh=-0.5, v_reset=-0.5), [1.5, 0.5, -1.2], [1, 0, 1]),
    # 0.5 + (-1.75 + e)/2 = 0.984.
    "EIF does not": (sj.EIFNode(theta_rh=-0.5, v_reset=-0.5), [1.5, 0.5, -1.25], [1, 0, 0]),
    "EIF soft": (sj.EIFNode(theta_rh=0.0, v_reset=None), [1.0, 0.0], [1, 0]),  # 1, leaves 0; 1/2
    "Izhikevich adapts by the membrane before its reset": (
        sj.IzhikevichNode(v_c=1.0, v_rest=0.0, w_rest=0.5, a=1.0, b=0.5),
        [2.5, 2.75, 2.0],
        [1, 0, 1],
    ),
    # 1.5, leaves 0.5, w 0.75; 0.5 + (-0.25 - 0.75)/2.
    "Izhikevich soft": (
        sj.IzhikevichNode(v_c=1.0, v_rest=0.0, a=1.0, v_reset=None),
        [3.0, 0.0],
        [1, 0],
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("mode", ["s", "m"])
def test_truth_by_hand(name, mode):
    layer, values, spikes = BY_HAND[name]
    layer.step_mode = mode
    for recording in run(through_one(layer), np.reshape(values, (1, -1, 1))):
        assert raster(recording)[0, :, 0].astype(int).tolist() == spikes


@pytest.mark.parametrize(
    "kind",
    [
        sj.IFNode,
        sj.LIFNode,
        sj.ParametricLIFNode,
        sj.CUBALIFNode,
        sj.QIFNode,
        sj.EIFNode,
        sj.IzhikevichNode,
    ],
)
@pytest.mark.parametrize("v_reset", [-0.25, None])
def test_a_layer_with_values_a_neuron_runs_as_it_is_read(kind, v_reset, rng):
    torch.manual_seed(1)
    # These run away without end.
    strength = (
        1.0 if v_reset is None and kind in (sj.QIFNode, sj.EIFNode, sj.IzhikevichNode) else 3.0
    )
    layer = kind(v_reset=v_reset, store_v_seq=True, step_mode="m")
    layer.v_threshold = torch.tensor(rng.uniform(0.5, 1.0, 7))
    if hasattr(layer, "tau"):
        layer.tau = torch.tensor(rng.uniform(2.0, 6.0, 7))
    ours, theirs = run(module_of(nn.Linear(4, 7), layer), rng.normal(0.5, strength, (3, 80, 4)))
    assert len(ours.spikes[0]) > 20
    assert np.array_equal(raster(ours), raster(theirs))


class Above(sj.IFNode):
    """Fires above the threshold alone."""

    def fires(self, h):
        return (h > self.v_threshold).to(h.dtype)


class Whole(sj.LIFNode):
    """Takes the whole input, whatever decay_input says."""

    def charge(self, x, v):
        return v - (v - self.v_reset) / self.tau + x


class Soft(sj.LIFNode):
    """Subtracts the threshold, whatever v_reset says."""

    def after(self, h, z):
        return h - z * self.v_threshold


class Decayed(sj.CUBALIFNode):
    """Decays what arrives together with the synaptic current."""

    def charge(self, x, v):
        self.held["c"] = self.c_decay * (self.held["c"] + x)
        return self.v_decay * v + self.held["c"]


ROGUES = {
    "comparison": (Above(), ">="),
    "input": (Whole(tau=4.0), "share"),
    "reset": (Soft(decay_input=False), "set"),
    "synapse": (Decayed(c_decay=0.5), "decay, jump, use"),
}


@pytest.mark.parametrize("trait", ROGUES)
def test_a_misread_convention_is_found_by_its_name(trait, rng):
    layer, declared = ROGUES[trait]
    # A quarter at a time: thresholds are met exactly.
    values = np.round(rng.normal(0.4, 1.0, (4, 60, 1)) * 4) / 4
    ours, theirs = run(through_one(layer), values)
    assert not np.array_equal(raster(ours), raster(theirs))
    assert [(each.trait, each.declared) for each in explaining_traits(theirs)] == [
        (trait, declared)
    ]


class Late(sj.IzhikevichNode):
    """Adapts by the membrane after its reset."""

    def after(self, h, z):
        w, v = self.held["w"], sj.Node.after(self, h, z)
        self.held["w"] = w + (self.a * (v - self.v_rest) - w) / self.tau_w + self.b * z
        return v


def test_a_misread_recovery_changes_spikes():
    ours, theirs = run(
        through_one(Late(v_c=1.0, v_rest=0.0, w_rest=0.5, a=1.0, b=0.5)),
        np.reshape([2.5, 2.75, 2.0], (1, -1, 1)),
    )
    assert raster(ours)[0, :, 0].tolist() != raster(theirs)[0, :, 0].tolist()


def test_the_leak_of_a_plif_is_that_of_its_own_precision():
    layer = sj.ParametricLIFNode(w=-1.1)
    network = refsim.bridge.load(nn.Sequential(nn.Linear(2, 3), layer), dt="1 ms")
    rate = network.layers[0].model.parameters["rate"].value
    assert rate == float(layer.w.detach().sigmoid())
    assert rate != 1 / (1 + math.exp(-layer.w.item()))  # float32 rounds it


REFUSED = {
    "smooth": (
        sj.LIFNode,
        {"surrogate_function": SimpleNamespace(spiking=False)},
        "spiking = False is not read: .*smooth number in place of a spike",
    ),
    "chance": (
        sj.IFNode,
        {"surrogate_function": type("PoissonPass", (), {"spiking": True})()},
        "surrogate = 'PoissonPass' is not read: .*random",
    ),
    "precision": (sj.QIFNode, {"_neuron_precision": ("bf16", "fp32", "fp32")}, "another precision"),
    "unknown": (
        sj.PSN,
        {},
        (
            "SpikingJelly's PSN, which refsim does not read; of SpikingJelly it reads CUBALIFNode, "
            ".*LIFNode"
        ),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exact_is_refused(name):
    kind, changes, says = REFUSED[name]
    layer = kind()
    for key, value in changes.items():
        setattr(layer, key, value)
    with pytest.raises(RefsimError, match=says):
        refsim.bridge.load(
            nn.Sequential(nn.Linear(2, 3), layer, nn.Linear(3, 3), sj.LIFNode()), dt="1 ms"
        )
