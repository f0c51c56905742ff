"""A network that NIR can say comes back from its file as it was; what NIR cannot say is refused."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from nir_files import DT, chain, neurons, random_graph, write

import refsim
from refsim import Connection, RefsimError
from refsim.files.hdf5 import read_tree

OWN = {
    "nir_if": 1,
    "nir_lif": 20,
    "nir_lif_euler": 20,
    "nir_lif_timed": 20,
    "nir_cuba_lif_euler": 40,
    "nir_cuba_lif": 40,
}
ANOTHERS = [
    {},
    {"synapse": "jump, use, decay"},
    {"synapse": "decay, jump, use"},
    {"synapse": "jump, decay, use"},
    {"synapse": "use, decay, jump"},
    {"leak": "tau", "input": "share"},
]


def outputs(network, drive):
    run = refsim.run(network, drive, engine=refsim.Discrete(), record=("after_reset",))
    return [train.dense() for train in run.spikes], [trace["after_reset"] for trace in run.traces]


def comes_back(network, path, rng):
    """Return how many spikes there are, the same in a network and in what its file says."""
    back = refsim.bridge.load(path, **refsim.bridge.save_nir(network, path))
    drive = refsim.Drive.bernoulli(rng.random((3, network.n_inputs)), 60, network.dt, 0)
    (spikes, membranes), (spikes_back, membranes_back) = (
        outputs(network, drive),
        outputs(back, drive),
    )
    assert all(map(np.array_equal, spikes, spikes_back))
    assert all(
        np.allclose(a, b, rtol=1e-9, atol=1e-11)
        for a, b in zip(membranes, membranes_back, strict=True)
    )
    return sum(int(each.sum()) for each in spikes)


@pytest.mark.parametrize("name", OWN)
def test_nirs_own_neurons_with_loops_and_delays(name, tmp_path, rng):
    def weight(*shape):
        return OWN[name] * rng.normal(0.2, 0.8, shape)

    model = refsim.load(name)
    rows = [
        (weight(9, 12), rng.normal(0, 0.2, 9), model),
        (
            [Connection(weight(7, 9)), Connection(weight(7, 7), source="self")],
            None,
            model,
            {"v_th": rng.uniform(0.5, 1, 7)},
        ),
        (
            [
                Connection(weight(5, 7), delay=2),
                Connection(weight(5, 12), source="input", delay=rng.integers(0, 3, 12)),
                Connection(weight(5, 5), source="self", delay=3),
            ],
            None,
            model,
        ),
    ]
    assert comes_back(refsim.Network.dense(rows, "1 ms"), tmp_path / "net.nir", rng) > 200


@pytest.mark.parametrize(
    "traits", ANOTHERS, ids=lambda traits: " ".join(traits.values()) or "factor"
)
def test_a_frameworks_neuron_whose_step_is_eulers(traits, tmp_path, rng):
    model = refsim.load("snntorch_leaky", reset="set", moment="now", **traits)
    network = refsim.Network.dense(
        [(rng.normal(0.2, 0.8, (9, 12)), None, model), (rng.normal(0.2, 0.8, (4, 9)), None, model)],
        "1 ms",
    )
    assert comes_back(network, tmp_path / "net.nir", rng) > 200


def test_readouts_come_back(tmp_path, rng):
    lif, li = refsim.load("nir_lif_euler"), refsim.load("nir_lif_euler", spikes="none")
    for last in (li, refsim.load("nir_output")):
        assert (
            comes_back(
                refsim.Network.dense(
                    [
                        (20 * rng.normal(0.2, 0.8, (9, 12)), None, lif),
                        (rng.normal(0.2, 0.8, (4, 9)), None, last),
                    ],
                    "1 ms",
                ),
                tmp_path / "net.nir",
                rng,
            )
            > 100
        )


@pytest.mark.parametrize(
    "integration", ["euler", "euler, current first", "zero-order hold", "impulse"]
)
@pytest.mark.parametrize("kind", ["IF", "LIF", "CubaLIF"])
def test_a_file_goes_round(kind, integration, tmp_path):
    rng = np.random.default_rng(3)
    path = write(tmp_path / "first.nir", *random_graph(rng, kind, integration))
    assert (
        comes_back(
            refsim.bridge.load(path, dt=DT, reset="to v_reset", integration=integration),
            tmp_path / "second.nir",
            rng,
        )
        > 0
    )


REFUSED = {
    "another neuron": (("srif", {}), "is a 'srif', which NIR cannot say; it has IF, LIF, CubaLIF"),
    "subtraction": (
        ("nir_lif", {"reset": "subtract"}),
        "has reset 'subtract'; NIR writes that a spike sets the membrane to v_reset",
    ),
    "many spikes": (
        ("nir_if", {"spikes": "many"}),
        "has spikes 'many'; NIR writes one spike at a time",
    ),
    "at the threshold": (("nir_lif", {"comparison": ">="}), "fires at its threshold too"),
    "a late reset": (
        ("snntorch_leaky", {"reset": "set"}),
        (
            "has moment 'next step, after the update'; NIR writes that a spike resets the membrane "
            "at once"
        ),
    ),
    "no reset": (("snntorch_leaky", {"reset": "none"}), "has reset 'none'|has no reset"),
    "a floor": (
        ("nir_lif", {"floor": "v_min"}),
        "has floor 'v_min'; NIR has no lowest membrane potential",
    ),
    "no leak": (
        ("snntorch_leaky", {"reset": "set", "moment": "now", "beta": 1.0}),
        "has a leak that takes nothing of some membranes",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_nir_cannot_say(name, tmp_path):
    (card, options), said = REFUSED[name]
    network = refsim.Network.dense([(np.ones((2, 3)), None, refsim.load(card, **options))], "1 ms")
    with pytest.raises(RefsimError, match=said):
        refsim.bridge.save_nir(network, tmp_path / "net.nir")
    assert not (tmp_path / "net.nir").exists()


def test_layers_that_are_stepped_apart(tmp_path):
    rows = [
        (np.ones((2, 3)), None, refsim.load("nir_lif")),
        (np.ones((2, 2)), None, refsim.load("nir_lif_euler")),
    ]
    with pytest.raises(RefsimError, match="stepped in different ways"):
        refsim.bridge.save_nir(refsim.Network.dense(rows, "1 ms"), tmp_path / "net.nir")


def test_a_folder_that_is_not_there(tmp_path):
    network = refsim.Network.dense([(np.ones((2, 3)), None, refsim.load("nir_lif"))], "1 ms")
    with pytest.raises(RefsimError, match="cannot be written"):
        refsim.bridge.save_nir(network, tmp_path / "none" / "net.nir")


_READS = """
import sys, nir
graph = nir.read(sys.argv[1])
print(sorted(type(node).__name__ for node in graph.nodes.values()), len(graph.edges))
nir.write(sys.argv[2], graph)
"""


def test_the_nir_package_reads_what_is_written_and_the_other_way(tmp_path, rng):
    python = Path.home() / ".cache/refsim/peers/norse/bin/python"
    if not python.exists():
        pytest.skip(
            "the nir package is not installed beside refsim; python -m benchmarks.peers norse"
        )
    nodes, edges = chain(
        neurons(rng, "CubaLIF", (4,)),
        {"type": "Delay", "delay": np.arange(4) * DT},
        neurons(rng, "LIF", (4,)),
        shown=(4,),
    )
    path, other = write(tmp_path / "ours.nir", nodes, edges), tmp_path / "theirs.nir"
    done = subprocess.run(
        [python, "-c", _READS, str(path), str(other)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "['CubaLIF', 'Delay', 'Input', 'LIF', 'Output'] 4\n", done.stderr
    network = refsim.bridge.load(other, dt=DT, reset="to v_reset", integration="zero-order hold")
    assert network.layers[1].sources[0].delay.tolist() == [0, 1, 2, 3]
    refsim.bridge.save_nir(network, path)
    done = subprocess.run(
        [python, "-c", _READS, str(path), str(other)], capture_output=True, text=True, check=False
    )
    assert "'Delay', 'Input', 'LIF', 'Linear', 'Linear', 'Output'" in done.stdout, done.stderr
    assert read_tree(other, "NIR file", frozenset({"metadata"})).keys() == {"node", "version"}
