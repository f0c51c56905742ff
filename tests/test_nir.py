"""NIR: every primitive means what it says, whatever stands between, and what NIR leaves open is
asked for.
"""

import re
import shlex

import numpy as np
import pytest
from nir_files import DT, FIRING, READINGS, affine, chain, neurons, random_graph, write
from oracle_nir import simulate

import refsim
from refsim import RefsimError
from refsim.__main__ import main


def compared(path, nodes, edges, x, **options):
    """Return how many spikes of a file differ from the oracle's, and how many there are."""
    write(path, nodes, edges)
    network = refsim.bridge.load(path, dt=DT, **options)
    run = refsim.run(
        network,
        refsim.Drive.current(x.reshape(*x.shape[:2], -1), DT),
        engine=refsim.Discrete(),
        record=("payload",),
    )
    found = {
        layer.name: trace.get("payload", train.dense())
        for layer, trace, train in zip(network.layers, run.traces, run.spikes, strict=True)
    }
    expected = simulate(nodes, edges, x, DT, **options)
    differing = sum(int((found[f"'{name}'"] != each).sum()) for name, each in expected.items())
    return differing, sum(int(each.sum()) for each in expected.values())


def held_to_oracle(tmp_path, kind, integration, seeds, n_steps):
    total = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        nodes, edges = random_graph(rng, kind, integration)
        options = {
            "integration": integration,
            "reset": str(rng.choice(["to v_reset", "to zero", "by subtraction"])),
        }
        options |= {
            "spikes": "one" if ("back", "a") in edges else str(rng.choice(["one", "many"])),
            "comparison": str(rng.choice([">", ">="])),
        }
        x = rng.normal(0.5, 1.0, (2, n_steps, 4))
        wrong, spikes = compared(tmp_path / "net.nir", nodes, edges, x, **options)
        assert wrong == 0, (kind, seed, options)
        total += spikes
    assert total > 20 * len(seeds)


@pytest.mark.parametrize("integration", READINGS)
@pytest.mark.parametrize("kind", FIRING)
def test_random_graphs_fire_as_the_oracle(kind, integration, tmp_path):
    held_to_oracle(tmp_path, kind, integration, range(4), 60)


@pytest.mark.slow
@pytest.mark.parametrize("integration", READINGS)
@pytest.mark.parametrize("kind", FIRING)
def test_a_hundred_random_graphs_fire_as_the_oracle(kind, integration, tmp_path):
    held_to_oracle(tmp_path, kind, integration, range(100, 200), 300)


def test_threshold_fires_while_its_input_is_above(tmp_path, rng):
    nodes, edges = chain(affine(rng, 4, 3), neurons(rng, "Threshold", (3,)))
    assert compared(tmp_path / "net.nir", nodes, edges, rng.normal(0.5, 1, (2, 50, 4)))[0] == 0
    nodes["1"]["threshold"] = np.full(3, 1.0)
    nodes["0"] = {"type": "Linear", "weight": np.eye(3, 4)}
    exactly = np.ones((1, 3, 4))
    assert [
        compared(tmp_path / "net.nir", nodes, edges, exactly, comparison=each)
        for each in (">", ">=")
    ] == [(0, 0), (0, 9)]


@pytest.mark.parametrize("integration", READINGS)
@pytest.mark.parametrize("kind", ["I", "LI", "CubaLI"])
def test_a_neuron_that_never_fires_shows_its_membrane(kind, integration, tmp_path, rng):
    nodes, edges = chain(affine(rng, 4, 3), neurons(rng, kind, (3,), integration))
    x = rng.normal(0.5, 1, (2, 50, 4))
    network = refsim.bridge.load(
        write(tmp_path / "net.nir", nodes, edges), dt=DT, integration=integration
    )
    run = refsim.run(
        network, refsim.Drive.current(x, DT), engine=refsim.Discrete(), record=("before_reset",)
    )
    assert np.allclose(
        run.traces[0]["before_reset"],
        simulate(nodes, edges, x, DT, integration=integration)["1"],
        rtol=1e-9,
        atol=1e-12,
    )


IMAGE = (2, 7, 6)
CONV = {
    "type": "Conv2d",
    "stride": np.array([2, 1]),
    "padding": np.array([1, 2]),
    "dilation": np.array([1, 2]),
    "groups": np.array(2),
}
BETWEEN = {
    "conv": (CONV, (4, 2, 2), 4),
    "conv same": (
        CONV | {"padding": "same", "stride": np.array(1), "groups": np.array(1)},
        (4, 3, 2),
        4,
    ),
    "conv valid, one number for both": (
        {
            "type": "Conv2d",
            "stride": np.array(1),
            "padding": "valid",
            "dilation": np.array(1),
            "groups": np.array(1),
        },
        (2, 3, 2),
        2,
    ),
    "sum pool": (
        {
            "type": "SumPool2d",
            "kernel_size": np.array([2, 3]),
            "stride": np.array([2, 1]),
            "padding": np.array([1, 0]),
        },
        None,
        None,
    ),
    "average pool": (
        {
            "type": "AvgPool2d",
            "kernel_size": np.array([3, 2]),
            "stride": np.array([2, 2]),
            "padding": np.array([0, 0]),
        },
        None,
        None,
    ),
    "scale": ({"type": "Scale", "scale": np.linspace(0.2, 2, 84).reshape(IMAGE)}, None, None),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_what_stands_between_neurons_is_composed(name, tmp_path, rng):
    node, kernel, n_out = BETWEEN[name]
    node = dict(node)
    if kernel is not None:
        into = IMAGE[0] // int(node["groups"])
        node |= {
            "weight": rng.normal(0.2, 1, (n_out, into, *kernel[1:])),
            "bias": rng.normal(0, 0.1, n_out),
            "input_shape": np.array(IMAGE[1:]),
        }
    from oracle_nir import linear

    shape = linear(node, np.zeros((1, *IMAGE))).shape[1:]
    flat = {
        "type": "Flatten",
        "start_dim": np.array(0),
        "end_dim": np.array(-1),
        "input_type": np.array(shape),
    }
    nodes, edges = chain(
        node,
        neurons(rng, "LIF", shape),
        flat,
        affine(rng, int(np.prod(shape)), 3),
        neurons(rng, "LIF", (3,)),
        shape=IMAGE,
    )
    wrong, spikes = compared(
        tmp_path / "net.nir",
        nodes,
        edges,
        rng.normal(0.5, 1, (2, 40, *IMAGE)),
        reset="to v_reset",
        integration="euler",
    )
    assert (wrong, spikes > 100) == (0, True)


def test_conv1d_and_partial_flatten(tmp_path, rng):
    conv = {
        "type": "Conv1d",
        "weight": rng.normal(0.2, 1, (4, 2, 3)),
        "bias": np.zeros(4),
        "stride": np.array(2),
        "padding": np.array(1),
        "dilation": np.array(1),
        "groups": np.array(1),
    }
    flat = {"type": "Flatten", "start_dim": np.array(0), "end_dim": np.array(1)}
    nodes, edges = chain(
        conv,
        neurons(rng, "LIF", (4, 5)),
        flat,
        neurons(rng, "LIF", (20,)),
        shape=(2, 9),
        shown=(20,),
    )
    assert (
        compared(
            tmp_path / "net.nir",
            nodes,
            edges,
            rng.normal(0.5, 1, (2, 40, 2, 9)),
            reset="to v_reset",
            integration="euler",
        )[0]
        == 0
    )


def test_a_subgraph_is_opened_out(tmp_path, rng):
    nodes, edges = chain(
        affine(rng, 4, 3),
        neurons(rng, "LIF", (3,)),
        {"type": "Linear", "weight": rng.normal(0, 1, (3, 3))},
    )
    edges = [("input", "0"), ("0", "1"), ("1", "2"), ("2", "1"), ("1", "output")]
    flat = refsim.bridge.load(
        write(tmp_path / "flat.nir", nodes, edges), dt=DT, reset="to zero", integration="euler"
    )
    inner = {
        "type": "NIRGraph",
        "edges": [["i", "lif"], ["lif", "w_rec"], ["w_rec", "lif"], ["lif", "o"]],
    }
    inner["nodes"] = {
        "lif": nodes["1"],
        "w_rec": nodes["2"],
        "i": {"type": "Input", "shape": np.array([3])},
        "o": {"type": "Output", "shape": np.array([3])},
    }
    outer = {name: nodes[name] for name in ("input", "0", "output")} | {"rnn": inner}
    path = write(tmp_path / "nested.nir", outer, [("input", "0"), ("0", "rnn"), ("rnn", "output")])
    nested = refsim.bridge.load(path, dt=DT, reset="to zero", integration="euler")
    assert nested.layers[0].name == "'rnn.lif'"
    assert all(
        np.array_equal(a.weight, b.weight)
        and [s.layer for s in a.sources] == [s.layer for s in b.sources]
        for a, b in zip(flat.layers, nested.layers, strict=True)
    )
    assert [(source.layer, source.delay.tolist()) for source in nested.layers[0].sources] == [
        (-1, [0] * 4),
        (0, [1] * 3),
    ]


def test_two_layers_of_one_depth_in_a_loop_hear_of_each_other_one_step_late(tmp_path, rng):
    nodes, _ = chain(affine(rng, 4, 3), neurons(rng, "LIF", (3,)), neurons(rng, "LIF", (3,)))
    edges = [("input", "0"), ("0", "1"), ("0", "2"), ("1", "2"), ("2", "1"), ("1", "output")]
    network = refsim.bridge.load(
        write(tmp_path / "net.nir", nodes, edges), dt=DT, reset="to zero", integration="euler"
    )
    assert [
        [(source.layer, int(source.delay[0])) for source in layer.sources]
        for layer in network.layers[:2]
    ] == [[(-1, 0), (1, 1)], [(-1, 0), (0, 1)]]
    # What the Output shows is not the last layer.
    assert network.layers[2].model.name == "nir_output"


def test_what_a_linear_map_makes_for_the_output_is_shown(tmp_path, rng):
    nodes, edges = chain(affine(rng, 4, 3), neurons(rng, "LIF", (3,)), affine(rng, 3, 3))
    network = refsim.bridge.load(
        write(tmp_path / "net.nir", nodes, edges), dt=DT, reset="to zero", integration="euler"
    )
    x = rng.normal(0.5, 1, (2, 40, 4))
    run = refsim.run(
        network, refsim.Drive.current(x, DT), engine=refsim.Discrete(), record=("before_reset",)
    )
    spikes = run.spikes[0].dense() @ nodes["2"]["weight"].T + nodes["2"]["bias"]
    assert np.allclose(run.traces[1]["before_reset"], spikes, atol=1e-12)
    assert run.spikes[0].dense().any()


LIF = {
    "type": "LIF",
    "tau": np.array([0.02]),
    "r": np.array([2.0]),
    "v_leak": np.array([0.0]),
    "v_threshold": np.array([0.5]),
}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "NIR says no duration of a step; give dt="),
        (
            {"dt": "1 ms"},
            (
                "leaves open how its neurons were stepped. Give one, as in integration='euler' .*: "
                "'euler', forward Euler"
            ),
        ),
        (
            {"dt": "1 ms", "integration": "euler"},
            "how its neurons were reset.*Give one, as in reset='to v_reset'",
        ),
        (
            {"dt": "1 ms", "integration": "Euler"},
            "integration must be one of 'euler', .* but is 'Euler'",
        ),
        ({"dt": "1 ms", "integration": "euler", "reset": "hard"}, "reset must be one of"),
        (
            {"dt": "1 ms", "integration": "euler", "reset": "to zero", "spikes": 3},
            "spikes must be one of 'one', 'many', but is 3",
        ),
        (
            {"dt": "1 ms", "integration": "exact spike times", "reset": "by subtraction"},
            "subtraction is reset = 'to zero'",
        ),
        (
            {
                "dt": "1 ms",
                "integration": "exact spike times",
                "reset": "to zero",
                "spikes": "many",
            },
            "spikes at their own times come one by one",
        ),
        ({"dt": 0, "integration": "euler", "reset": "to zero"}, "dt: must be a time above zero"),
    ],
)
def test_what_nir_leaves_open_is_asked_for(options, said, tmp_path):
    path = write(tmp_path / "net.nir", *chain(LIF, shape=(1,), shown=(1,)))
    with pytest.raises(RefsimError, match=said):
        refsim.bridge.load(path, **options)


def test_what_is_asked_for_can_be_typed_as_it_is_said(tmp_path, capsys):
    """Each answer on the command line is taken from the error before it."""
    path, words = str(write(tmp_path / "net.nir", *chain(LIF, shape=(1,), shown=(1,)))), []
    for name in ("--dt", "integration", "reset"):
        assert main(["inspect", path, *words]) == 2
        said = re.search(r"\(on the command line (.*?)\)", capsys.readouterr().err)
        assert name in said[1]
        words += shlex.split(said[1])
    assert main(["inspect", path, *words]) == 0


def test_options_of_nir_are_for_nir(tmp_path):
    import torch

    with pytest.raises(RefsimError, match="reset is for .nir files"):
        refsim.bridge.load(torch.nn.Linear(2, 2), reset="to zero")


def test_a_delay_that_is_no_whole_step_is_refused(tmp_path):
    nodes, edges = chain(
        LIF, {"type": "Delay", "delay": np.array([2.5e-3])}, LIF, shape=(1,), shown=(1,)
    )
    path = write(tmp_path / "net.nir", nodes, edges)
    with pytest.raises(
        RefsimError,
        match=r"'1' \(Delay\): a delay of 0.0025 s is no whole number of steps of 0.001 s",
    ):
        refsim.bridge.load(path, dt="1 ms", reset="to zero", integration="euler")
    network = refsim.bridge.load(path, dt="0.5 ms", reset="to zero", integration="euler")
    assert network.layers[1].sources[0].delay.tolist() == [5]
