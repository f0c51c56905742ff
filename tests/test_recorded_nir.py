"""NIRData, as nir 1.0.8 writes it, held against a network without nir."""

import numpy as np
import pytest
from nir_files import affine, chain, neurons, write
from recordings import held, run_of_two_layers, saved
from rogues_recorded import dropped

import refsim
from refsim import RefsimError
from refsim.files.hdf5 import write_tree
from refsim.files.nir.recorded import read_nir_data
from refsim.judge.recorded import by_layer


@pytest.fixture
def here(rng, tmp_path, monkeypatch):
    """The run, with its network and input as files in the working folder."""
    monkeypatch.chdir(tmp_path)
    found = run_of_two_layers(rng)
    saved(found.network, found.drive)
    return found


def nir_data(path, nodes):
    """Write NIRData as nir 1.0.8 does: groups, with kinds and numbers as their attributes."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.attrs["__type__"] = "NIRGraphData"
        for name, observables in nodes.items():
            node = file.create_group(f"nodes/{name}")
            node.attrs["__type__"] = "NIRNodeData"
            for observable, (kind, data, beside) in observables.items():
                group = node.create_group(f"observables/{observable}")
                group.attrs["__type__"] = kind
                for key, value in beside.items():
                    group.attrs[key] = value
                for key, value in data.items():
                    group.create_dataset(key, data=value, compression="gzip")
    return path


def gridded(spikes, dt=1e-3):
    return "TimeGriddedData", {"data": spikes}, {"dt": dt}


def events(spikes, dt=1e-3, shift=0.0, **more):
    """Return padded lists: an index of -1 is no event."""
    count = int(spikes.sum(axis=(1, 2)).max()) + 2
    index, time = np.full((len(spikes), count), -1), np.full((len(spikes), count), np.inf)
    for sample, each in enumerate(spikes):
        step, neuron = np.nonzero(each)
        index[sample, : len(step)], time[sample, : len(step)] = neuron, step * dt + shift
    beside = {"n_neurons": spikes.shape[2], "t_max": spikes.shape[1] * dt}
    return (
        ("ValuedEventData" if more else "EventData"),
        {"idx": index, "time": time, **{key: make(index) for key, make in more.items()}},
        beside,
    )


@pytest.mark.parametrize(
    "kind", ["gridded", "events", "events within their steps", "events of value 1"]
)
def test_nir_data_is_read_without_nir(kind, here, capsys):
    make = {
        "gridded": gridded,
        "events": events,
        "events within their steps": lambda s: events(s, shift=0.4e-3),
        "events of value 1": lambda s: events(s, value=lambda index: np.ones(index.shape)),
    }[kind]
    hidden, output = (train.dense() for train in here.spikes)
    nodes = {
        "0": {"spikes": make(hidden), "v": gridded(hidden * 0.5)},
        "1": {"spikes": make(output)},
        "input": {"spikes": make(hidden)},
    }
    nir_data("s.nir", nodes)
    code, text = held(capsys, "s.nir")
    assert code == 0
    assert "node input is no layer of neurons and is left aside" in text
    nodes["1"]["spikes"] = make(dropped(output))
    nir_data("s.h5", nodes)  # known by what is in it
    code, text = held(capsys, "s.h5")
    assert code == 1
    assert "first at layer 1" in text


@pytest.mark.parametrize("dt", [1e-3, 0.1e-3, 0.1, 1 / 3])
def test_times_of_events_are_of_the_step_they_were_made_from(dt, rng, tmp_path):
    spikes = rng.random((2, 300, 3)) < 0.2
    nir_data(tmp_path / "s.nir", {"a": {"spikes": events(spikes, dt)}})
    found = read_nir_data(tmp_path / "s.nir", dt)["a"]
    assert found["shape"] == spikes.shape
    again = np.zeros_like(spikes)
    again[found["sample"], found["step"], found["neuron"]] = True
    assert np.array_equal(again, spikes)


def test_the_nodes_of_a_nir_graph_are_its_layers(rng, tmp_path):
    path = write(
        tmp_path / "net.nir",
        *chain(
            affine(rng, 4, 6),
            neurons(rng, "LIF", (6,)),
            affine(rng, 6, 3),
            neurons(rng, "LIF", (3,)),
            shown=(3,),
        ),
    )
    network = refsim.bridge.load(path, dt="1 ms", integration="euler", reset="to v_reset")
    names = [layer.name.strip("'") for layer in network.layers]
    assert by_layer(dict(zip(names, "ab", strict=True)), network, "") == {0: "a", 1: "b"}


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        (
            {"1": {"v": ("TimeGriddedData", {"data": np.zeros((3, 40, 5))}, {"dt": 1e-3})}},
            "has 1 node and no 'spikes' of any; what was recorded is v",
        ),
        (
            {"1": {"spikes": ("TimeGriddedData", {"data": np.zeros((3, 40, 5))}, {"dt": 1e-4})}},
            "has steps of 0.0001 s, but the network's are 0.001 s",
        ),
        (
            {"1": {"spikes": ("TimeGriddedData", {"data": np.zeros((3, 40))}, {"dt": 1e-3})}},
            "must be .n_samples, n_time_steps, n_neurons.",
        ),
        (
            {"1": {"spikes": ("TimeGriddedData", {"data": np.zeros((3, 40, 5))}, {})}},
            "say no dt above 0",
        ),
        ({"1": {"spikes": ("TimeGriddedData", {}, {"dt": 1e-3})}}, "have no numbers 'data'"),
        ({"1": {"spikes": ("Waves", {}, {})}}, "are of kind 'Waves'"),
        (
            {
                "1": {
                    "spikes": (
                        "EventData",
                        {"idx": np.zeros((3, 2), int), "time": np.full((3, 2), np.inf)},
                        {"n_neurons": 5, "t_max": 0.04},
                    )
                }
            },
            "an event of a neuron has no time",
        ),
        (
            {
                "1": {
                    "spikes": (
                        "EventData",
                        {"idx": np.zeros((3, 2), int), "time": np.zeros((3, 1))},
                        {"n_neurons": 5, "t_max": 0.04},
                    )
                }
            },
            "as many times",
        ),
        (
            {
                "1": {
                    "spikes": (
                        "ValuedEventData",
                        {
                            "idx": np.zeros((3, 1), int),
                            "time": np.zeros((3, 1)),
                            "value": np.full((3, 1), 2.0),
                        },
                        {"n_neurons": 5, "t_max": 0.04},
                    )
                }
            },
            "values other than 1",
        ),
    ],
)
def test_nir_data_that_is_no_recording_of_spikes_is_refused(nodes, says, here, capsys):
    code, text = held(capsys, str(nir_data("s.nir", nodes)))
    assert code == 2
    with pytest.raises(RefsimError, match=says):
        raise RefsimError(text)


def test_a_graph_of_nir_is_no_recording(here, capsys):
    write_tree("s.nir", {"node": {"type": "NIRGraph"}}, "NIR file")
    code, text = held(capsys, "s.nir")
    assert code == 2
    assert "It is a graph of NIR, a network, and holds no recording" in text
