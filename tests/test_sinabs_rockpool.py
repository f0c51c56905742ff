"""Sinabs and Rockpool: hand-computed steps of each card, layers read as their attributes say, and
misread conventions found by name.
"""

from dataclasses import replace

import numpy as np
import pytest
import stand_ins
import torch
from torch import nn

import refsim
from refsim import RefsimError
from refsim.cards import frameworks as framework
from refsim.files.refsim_file import load_network, save_network
from refsim.judge.causes import explaining_traits

HALF = 1e-3 / np.log(2)  # seconds: a time constant that keeps one half of a state in a step of 1 ms

# card, traits and parameters, input a step, and what is sent: by hand from the frameworks' own
# order of operations.
TABLES = {
    "sinabs_lif: 2.5 is two thresholds and a half": (
        "sinabs_lif",
        {"alpha_mem": 0.5},
        [2.5, 0, 1, 0.875],
        [2, 0, 1, 0],
    ),
    "sinabs_lif: at the threshold it fires": (
        "sinabs_lif",
        {"alpha_mem": 0.5, "input": "share"},
        [2, 2],
        [1, 1],
    ),
    "sinabs_lif: the synapse decays its own input": (
        "sinabs_lif",
        {"alpha_mem": 0.5, "alpha_syn": 0.5, "synapse": "jump, decay, use", "input": "share"},
        [4, 0, 2, 0],
        [1, 0, 1, 0],
    ),
    "sinabs_lif: MaxSpike leaves what it does not fire": (
        "sinabs_lif",
        {"alpha_mem": 0.5, "spikes": "many, up to n_max", "n_max": 2},
        [4, 0, 0],
        [2, 1, 0],
    ),
    "sinabs_lif: MembraneReset adds its value in each step": (
        "sinabs_lif",
        {"alpha_mem": 0.5, "reset": "empty, add v_reset", "v_reset": 0.5},
        [1, 0, 0.75, 0.5],
        [1, 0, 1, 0],
    ),
    "sinabs_lif: MembraneSubtract takes a value of its own": (
        "sinabs_lif",
        {"alpha_mem": 0.5, "reset": "subtract v_drop", "v_drop": 0.25},
        [2.5, 0, 0],
        [2, 1, 0],
    ),
    "sinabs_lif: a recurrent bias is missing in the first step": (
        "sinabs_lif",
        {"alpha_mem": 0.5, "bias": "to the input, from the second step on", "own_bias": 0.75},
        [0.5, 0, 0],
        [0, 1, 0],
    ),
    "sinabs_iaf: the membrane is never below min_v_mem": (
        "sinabs_iaf",
        {"floor": "v_min", "v_min": -1.0},
        [-3, 1.5, 0.5],
        [0, 0, 1],
    ),
    "sinabs_alif: a spike raises the threshold": (
        "sinabs_alif",
        {"alpha_mem": 0.5, "alpha_adapt": 0.5, "adapt_scale": 2.0, "spikes": "one"},
        [1, 1.5, 0.75, 1.5],
        [1, 0, 1, 0],
    ),
    "sinabs_alif: with norm_input the scaled current is kept": (
        "sinabs_alif",
        {"alpha_mem": 0.5, "alpha_syn": 0.5, "synapse": "jump, decay, share, use"},
        [4, 0, 2.5],
        [1, 0, 0],
    ),
    "sinabs_exp_leak: min_v_mem holds from the next step on": (
        "sinabs_exp_leak",
        {"alpha_mem": 0.5, "floor": "v_min, once it is read"},
        [-4, 0],
        [-4, -0.5],
    ),
    "rockpool_lif: bias past the synapse, four spikes": (
        "rockpool_lif",
        {"tau_mem": HALF, "tau_syn": HALF, "own_bias": 0.25},
        [8, 0, 0],
        [4, 2, 1],
    ),
    "rockpool_lif: no more than max_spikes_per_dt": (
        "rockpool_lif",
        {"tau_mem": HALF, "tau_syn": HALF, "n_max": 1},
        [4.5, 0, 0, 0],
        [1, 1, 0, 0],
    ),
    "rockpool_lif_neuron: bias in each step": (
        "rockpool_lif_neuron",
        {"tau_mem": HALF, "own_bias": 0.75},
        [0, 0, 2],
        [0, 1, 2],
    ),
    "rockpool_exp_syn: the input decays in its own step": (
        "rockpool_exp_syn",
        {"tau_syn": HALF},
        [4, 0, 2],
        [2, 1, 1.5],
    ),
}


@pytest.mark.parametrize(
    "engine", [refsim.Discrete(), refsim.Torch(dtype="float64")], ids=["text", "PyTorch step"]
)
@pytest.mark.parametrize("name", TABLES)
def test_truth_tables_by_hand(name, engine):
    card, chosen, values, sent = TABLES[name]
    model = refsim.load(card, **chosen)
    network = refsim.Network.dense([(np.eye(1), None, model)], "1 ms")
    drive = refsim.Drive.current(np.array(values, float)[None, :, None], "1 ms")
    output = "payload" if model.discrete.payload else "before_reset"
    ran = refsim.run(network, drive, engine=engine, record=(output,))
    found = (
        ran.spikes[0].dense()[0, :, 0]
        if model.convention["spikes"] == "one"
        else ran.traces[0][output][0, :, 0]
    )
    assert found == pytest.approx(sent, rel=1e-12)


def behind_linear(layer, n_out=8, kind=nn.Linear):
    torch.manual_seed(3)
    return nn.Sequential(kind(5, n_out), layer)


def values(n_samples=3, n_steps=40):
    return (
        np.random.default_rng(5)
        .normal(0.4, 2.0, (n_samples, n_steps, 5))
        .astype(np.float32)
        .astype(float)
    )


def asymmetric(n_post=8, n_pre=8, bias=False):
    torch.manual_seed(4)
    net = nn.Linear(n_pre, n_post, bias=bias)
    nn.init.normal_(net.weight, 0, 0.4)
    return net


def on_trial(module):
    """Return what was read of a module, run by the card, and the module's own run."""
    network = refsim.bridge.load(module, dt="1 ms")
    drive = refsim.Drive.current(values(), "1 ms")
    trial = refsim.run(
        network,
        drive,
        engine=refsim.Torch(module=module),
        record=("payload",) if network.layers[0].model.discrete.payload else (),
    )
    return refsim.run(
        network, drive, engine=refsim.Discrete(), record=tuple(trial.traces[0])
    ), trial


READ = {
    "norm_input": lambda: stand_ins.LIF(),
    "no norm_input": lambda: stand_ins.LIF(norm_input=False),
    "tau_syn": lambda: stand_ins.LIF(tau_syn=3.0),
    "SingleSpike": lambda: stand_ins.LIF(spike_fn=stand_ins.SingleSpike),
    "MembraneReset": lambda: stand_ins.LIF(reset_fn=stand_ins.MembraneReset()),
    "min_v_mem": lambda: stand_ins.LIF(min_v_mem=-0.1),
    "squeezed, made for two samples": lambda: stand_ins.LIFSqueeze(),
    "recurrent": lambda: stand_ins.LIFRecurrent(net=asymmetric()),
    "recurrent with bias": lambda: stand_ins.LIFRecurrent(
        net=asymmetric(bias=True), norm_input=False
    ),
    "LIFTorch": lambda: stand_ins.LIFTorch(8),
    "bias": lambda: stand_ins.LIFTorch(8, bias=0.2),
    "w_rec": lambda: stand_ins.LIFTorch(8, w_rec=asymmetric().weight.detach()),
    "most": lambda: stand_ins.LIFTorch(8, most=2.0),
}


@pytest.mark.parametrize("name", READ)
def test_a_layer_is_read_as_it_runs(name):
    reference, trial = on_trial(behind_linear(READ[name]()))
    assert sum(map(len, trial.spikes)) > 20
    assert refsim.compare(reference, trial).verdict == "pass"


def test_a_module_in_float64_is_judged_by_the_float32_that_its_resets_are_rounded_to():
    module = behind_linear(stand_ins.LIF(norm_input=False, v_th=0.3)).double()
    reference, trial = on_trial(module)
    assert trial.provenance["dtype"] == "float32"
    assert refsim.compare(reference, trial).verdict == "pass"


def test_synapses_of_one_neuron_that_decay_alike_are_one():
    module = behind_linear(
        stand_ins.LIFTorch(8, n_synapses=2, w_rec=asymmetric(16).weight.detach().T), n_out=16
    )
    reference, trial = on_trial(module)
    assert reference.network.layers[0].n_post == 8
    assert refsim.compare(reference, trial).verdict == "pass"


def test_the_bias_of_a_recurrent_connection_is_no_parameter_of_the_neuron():
    """The layer's own threshold is judged by how the layer is read, and the card of the network has
    one parameter more.
    """
    layer = stand_ins.LIFRecurrent(
        net=asymmetric(bias=True), norm_input=False, spike_fn=stand_ins.SingleSpike
    )
    report = refsim.check_gradient(
        behind_linear(layer), lambda s: s.mean(), values(), surrogate="arctangent", dt="1 ms"
    )
    statuses = {verdict.claim.measure: verdict.status for verdict in report.verdicts}
    # The stand-in compares, and has no surrogate.
    assert (statuses["spikes"], statuses["used"]) == ("pass", "fail")


# Planted faults: layers that step in another way than they say, and the trait that explains each.
ROGUES = {
    "fires above": (
        lambda: stand_ins.LIF(norm_input=False, fault="comparison"),
        ("sinabs_lif", "comparison", ">"),
    ),
    "does not scale": (lambda: stand_ins.LIF(fault="input"), ("sinabs_lif", "input", "whole")),
    "empties": (lambda: stand_ins.LIF(fault="reset"), ("sinabs_lif", "reset", "set")),
    "fires once": (lambda: stand_ins.LIF(fault="spikes"), ("sinabs_lif", "spikes", "one")),
    "adds after the decay": (
        lambda: stand_ins.LIF(tau_syn=3.0, fault="synapse"),
        ("sinabs_lif", "synapse", "decay, jump, use"),
    ),
    "falls without end": (
        lambda: stand_ins.LIF(min_v_mem=-0.1, fault="floor"),
        ("sinabs_lif", "floor", "none"),
    ),
    "Rockpool empties": (
        lambda: stand_ins.LIFTorch(8, fault="reset"),
        ("rockpool_lif", "reset", "set"),
    ),
    "Rockpool adds after the decay": (
        lambda: stand_ins.LIFTorch(8, fault="synapse"),
        ("rockpool_lif", "synapse", "decay, jump, use"),
    ),
    "Rockpool has no bias": (
        lambda: stand_ins.LIFTorch(8, bias=0.3, fault="bias"),
        ("rockpool_lif", "bias", "none"),
    ),
    "Rockpool fires once": (
        lambda: stand_ins.LIFTorch(8, fault="spikes"),
        ("rockpool_lif", "spikes", "one"),
    ),
}


@pytest.mark.parametrize("name", ROGUES)
def test_a_misread_convention_is_found_by_name(name):
    make, expected = ROGUES[name]
    module = behind_linear(make())
    with torch.no_grad():  # dyadic weights: the input can meet the threshold
        module[0].weight.copy_(torch.round(module[0].weight * 4) / 4)
        module[0].bias.copy_(torch.full_like(module[0].bias, 0.25))
    reference, trial = on_trial(module)
    if name == "fires above":  # the first step alone, from 0, is exact
        trial = at_threshold(module, reference.network)
    else:
        assert refsim.compare(reference, trial).verdict == "fail"
    named = [(each.card, each.trait, each.found) for each in explaining_traits(trial)]
    assert expected in named
    assert len(named) < 8


def at_threshold(module, network):
    # The first sample is the bias alone.
    drive = refsim.Drive.current(np.array([0.0, 1.0, -4.0])[:, None, None] * np.ones(5), "1 ms")
    return refsim.run(network, drive, engine=refsim.Torch(module=module), record=("payload",))


def test_a_transposed_recurrent_map_is_no_trait_and_fails():
    reference, trial = on_trial(
        behind_linear(stand_ins.LIFTorch(8, w_rec=asymmetric().weight.detach(), fault="w_rec"))
    )
    assert refsim.compare(reference, trial).verdict == "fail"
    assert not explaining_traits(trial)


REFUSED = {
    "a function of your own": (
        lambda: stand_ins.LIF(spike_fn=print),
        "spike_fn = 'print' is not read",
    ),
    "a reset of your own": (
        lambda: stand_ins.LIF(reset_fn=object()),
        "reset_fn = 'object' is not read",
    ),
    "noise": (
        lambda: stand_ins.LIFTorch(8, noise_std=0.1),
        "noise_std = 0.1 is not read: it adds random numbers",
    ),
    "another step": (
        lambda: stand_ins.LIFTorch(8, dt=2e-3),
        "made for steps of 0.002 s, but dt is 0.001 s",
    ),
    "a class that is not read": (
        lambda: stand_ins.named("aLIFTorch", "rockpool.nn", nn.Identity)(),
        "Rockpool's aLIFTorch, which refsim does not read",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_card_cannot_say_is_refused(name):
    make, said = REFUSED[name]
    with pytest.raises(RefsimError, match=said):
        refsim.bridge.load(behind_linear(make()), dt="1 ms")


@pytest.mark.parametrize(
    ("given", "value", "holds"),
    [
        ("MultiSpike", "MultiSpike | MaxSpike", True),
        ("print", "not MultiSpike | MaxSpike", True),
        ("MaxSpike", "not MultiSpike | MaxSpike", False),
        (0, "not 0.0", False),
        (0.0, "not 0.0", False),
        (0.5, "not 0.0", True),
        (None, "None", True),
        (3.0, "not None", True),
        (False, "not False", False),
    ],
)
def test_words_of_a_variant(given, value, holds):
    assert framework.holds({"option": value}, {"option": given}) is holds


def test_synapses_with_time_constants_of_their_own_are_refused():
    layer = stand_ins.LIFTorch(8, n_synapses=2, tau_syn=torch.tensor([[2e-3, 5e-3]]).expand(8, 2))
    with pytest.raises(RefsimError, match="several synapses with time constants of their own"):
        refsim.bridge.load(behind_linear(layer, n_out=16), dt="1 ms")


def test_a_time_constant_has_the_decay_that_the_layer_computes():
    layer = stand_ins.LIFTorch(8, tau_mem=7.3e-3)
    network = refsim.bridge.load(behind_linear(layer))
    assert network.dt == 1e-3  # said by the layer
    assert float(network.layers[0].constants(1e-3)["decay"]) == pytest.approx(
        float(layer.alpha), rel=1e-15
    )


def test_states_come_back_after_a_trial_and_no_random_number_is_drawn():
    module = behind_linear(stand_ins.LIF())
    module(torch.ones(2, 3, 5))
    before, random = module[1].v_mem.clone(), torch.get_rng_state()
    on_trial(module)
    assert torch.equal(module[1].v_mem, before)
    assert torch.equal(torch.get_rng_state(), random)


def test_a_membrane_that_is_passed_on_is_heard_and_its_card_is_kept_in_both_forms(tmp_path):
    leak = {
        "alpha_mem_calculated": 0.5,
        "norm_input": False,
        "min_v_mem": None,
        "record_states": False,
        "forward": _half,
    }
    first, last = (
        stand_ins.named("ExpLeak", "sinabs.layers.exp_leak", nn.Module, **leak)() for _ in range(2)
    )
    module = nn.Sequential(*behind_linear(first), nn.Linear(8, 4), last)
    network = refsim.bridge.load(module, dt="1 ms")
    assert [layer.model.convention["spikes"] for layer in network.layers] == ["none, heard", "none"]
    again = load_network(save_network(network, tmp_path / "net.refsim"))
    assert [layer.model.discrete.texts for layer in again.layers] == [
        layer.model.discrete.texts for layer in network.layers
    ]
    drive = refsim.Drive.current(values(), "1 ms")
    reference = refsim.run(
        network, drive, engine=refsim.Discrete(), record=("payload", "before_reset")
    )
    trial = refsim.run(
        network, drive, engine=refsim.Torch(module=module), record=("payload", "before_reset")
    )
    assert refsim.compare(reference, trial).verdict == "pass"
    wrong = [np.array(trace["before_reset"]) for trace in trial.traces]
    wrong[1][0, 3, 2] += 1e-3
    off = replace(trial, traces=(trial.traces[0], {**trial.traces[1], "before_reset": wrong[1]}))
    assert refsim.compare(reference, off).verdict == "fail"


def _half(_self, x):
    v, out = torch.zeros_like(x[:, 0]), []
    for step in range(x.shape[1]):
        v = 0.5 * v + x[:, step]
        out.append(v)
    return torch.stack(out, 1)
