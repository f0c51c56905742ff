"""lava-dl's files: every neuron to the last bit against plain integers, real networks from the
command line, and misread conventions by name.
"""

import numpy as np
import oracle_loihi
import pytest
import torch
from conftest import mismatches, real_data
from netfiles import NEURONS, dense, neuron, weights, write_net

import refsim
from refsim import Discrete, Drive, RefsimError, Torch
from refsim.__main__ import main
from refsim.files.formats import read_file
from refsim.files.lava_format import lava_format
from refsim.files.reading import Asked

pytest.importorskip("h5py")
OXFORD = [
    "--data",
    "oxford/input.npy",
    "--encoder",
    "events",
    "--steps",
    "1890",
    "--expected",
    "oxford/ground_truth.npy",
]


def drive(rng, n=12, steps=80, samples=4):
    return Drive.raster(rng.random((samples, steps, n)) < 0.3, "1 ms")


def by_hand(spikes, weight, name, entries):
    """Return a layer's spikes (n_samples, n_steps, n) in int64, from the entries of its file."""
    p = {
        key: np.asarray(entries[key], np.int64)
        for key in NEURONS[name]
        if key not in ("gradedSpike", "refDelay")
    }
    th, step = 64 * p["vThMant"], 64 * p.get("vThStep", 0)
    run = {
        "CUBA": lambda x: oracle_loihi.cuba(
            x, p["iDecay"], p["vDecay"], th, 64 * np.asarray(entries.get("bias", 0), np.int64)
        ),
        "ALIF": lambda x: oracle_loihi.alif(
            x, p["iDecay"], p["vDecay"], p["thDecay"], p["refDecay"], th, step
        ),
        "RF_PHASE": lambda x: oracle_loihi.rf(x, p["cosDecay"], p["sinDecay"], th),
        "RF_IZHIKEVICH": lambda x: oracle_loihi.rf_iz(x, p["cosDecay"], p["sinDecay"], th),
        "ADRF_PHASE": lambda x: oracle_loihi.adrf(
            x, p["cosDecay"], p["sinDecay"], p["thDecay"], p["refDecay"], th, step
        ),
    }[name]
    x = np.einsum("sti,ni->tsn", spikes.astype(np.int64), weight.astype(np.int64)) * 64
    return np.stack(
        [np.stack([fired for fired, _ in run(x[:, sample])]) for sample in range(x.shape[1])]
    )


def late(spikes, steps):
    return np.concatenate(
        [np.zeros_like(spikes[:, :steps]), spikes[:, : spikes.shape[1] - steps]], axis=1
    )


@pytest.mark.parametrize("name", [name for name in NEURONS if name != "SDNN"])
def test_every_neuron_fires_as_plain_integers_do(name, rng, tmp_path):
    first, second = weights(rng, 10, 12), weights(rng, 7, 10)
    weight = {"real": first, "imag": np.zeros_like(first)} if "RF" in name else first
    path = write_net(
        tmp_path / "net.net",
        dense(first, neuron(name)) | {"weight": weight},
        dense(second, neuron(name)),
    )
    given = drive(rng)
    network = refsim.bridge.load(path)
    found = [
        engine.run(network, given)
        for engine in (Discrete(), refsim.Brian2(target="numpy"), Torch(dtype="float64"))
    ]
    hidden = by_hand(given.spikes.dense(), first, name, NEURONS[name])
    output = by_hand(late(hidden, 1), second, name, NEURONS[name])
    assert hidden.sum() > 100
    assert output.sum() > 20
    for run in found:
        assert np.array_equal(run.spikes[0].dense(), hidden)
        assert np.array_equal(run.spikes[1].dense(), output)


@pytest.mark.parametrize("seed", range(30))
def test_random_layers_with_values_a_channel_a_bias_and_axonal_delays(seed, tmp_path):
    rng = np.random.default_rng(seed)
    name = ("CUBA", "ALIF", "RF_IZHIKEVICH")[seed % 3]
    first, second = weights(rng, 10, 12), weights(rng, 7, 10)
    own = {
        key: rng.integers(100, 4097, 10)
        for key in NEURONS[name]
        if key.endswith("Decay") and "RF" not in name
    }
    own |= {"vThMant": rng.integers(10, 100, 10)} | (
        {"bias": 2 * rng.integers(-10, 10, 10)} if name == "CUBA" else {}
    )
    more = {"bias": own["bias"]} if name == "CUBA" else {}
    held = rng.random(10) * 5
    entries = neuron(name, **{key: value for key, value in own.items() if key != "bias"})
    path = write_net(
        tmp_path / "net.net",
        dense(first, entries, delay=held.astype(np.float32), **more),
        dense(second, neuron("CUBA")),
    )
    given = drive(rng)
    found = Discrete().run(refsim.bridge.load(path), given)
    hidden = by_hand(given.spikes.dense(), first, name, {**NEURONS[name], **own})
    arrived = np.stack(
        [late(hidden[:, :, [i]], 1 + int(held[i]))[:, :, 0] for i in range(10)], axis=2
    )
    assert np.array_equal(found.spikes[0].dense(), hidden)
    assert np.array_equal(
        found.spikes[1].dense(), by_hand(arrived, second, "CUBA", NEURONS["CUBA"])
    )


def test_sigma_delta_layers_send_what_slayer_sends(rng, tmp_path):
    shapes = ((9, 12), (8, 9), (5, 8))
    maps = [weights(rng, *shape, size=20) for shape in shapes]
    biases = [2 * rng.integers(-20, 20, len(weight)) for weight in maps]
    path = write_net(
        tmp_path / "net.net",
        *(
            dense(weight, neuron("SDNN"), bias=bias)
            for weight, bias in zip(maps, biases, strict=True)
        ),
    )
    reading, given = read_file(path), drive(rng)
    assert any(line.startswith("latency 'none'") for line in reading.assumed)
    found = Discrete().run(reading.network, given, ("payload",))
    x, scale = given.spikes.dense().astype(float), 1.0
    # In lava-dl's own floats, weights and thresholds divided by 64.
    for layer, (weight, bias) in enumerate(zip(maps, biases, strict=True)):
        act = np.maximum(np.cumsum(x @ (weight.astype(float) / 64).T, axis=1) + bias / 64, 0)
        sent, residue, before = (
            np.zeros_like(act),
            np.zeros_like(act[:, 0]),
            np.zeros_like(act[:, 0]),
        )
        for step in range(act.shape[1]):
            change = act[:, step] - before + residue
            sent[:, step] = np.where(np.abs(change) >= 20 / 64, change, 0)
            residue, before = change - sent[:, step], act[:, step]
        x, scale = sent, 64 * scale
        assert np.array_equal(found.traces[layer]["payload"], sent * scale)
    assert (sent != 0).sum() > 50


def test_convolutions_and_pools_are_those_of_pytorch(rng, tmp_path):
    kernel, more, out = (
        weights(rng, 4, 2, 3, 3),
        weights(rng, 4, 2, 2, 2),
        weights(rng, 5, 4 * 3 * 3),
    )
    pool = np.full((1, 1, 2, 2), 64, np.float32)
    layers = [
        {"type": "input", "shape": [2, 8, 8]},
        {
            "type": "conv",
            "shape": [4, 8, 8],
            "weight": kernel,
            "stride": [1, 1],
            "padding": [1, 1],
            "dilation": [1, 1],
            "groups": 1,
            "neuron": neuron("CUBA"),
        },
        {
            "type": "pool",
            "shape": [4, 4, 4],
            "weight": pool,
            "stride": [2, 2],
            "padding": [0, 0],
            "dilation": [1, 1],
            "neuron": neuron("CUBA"),
        },
        {
            "type": "conv",
            "shape": [4, 3, 3],
            "weight": more,
            "stride": [1, 1],
            "padding": [0, 0],
            "dilation": [1, 1],
            "groups": 2,
            "neuron": neuron("CUBA", vThMant=np.array([40, 60, 80, 90])),
        },
        {"type": "flatten", "shape": [36, 1, 1]},
        dense(out, neuron("CUBA")),
    ]
    network = refsim.bridge.load(write_net(tmp_path / "net.net", *layers))
    x = torch.tensor(rng.normal(size=(3, 2, 8, 8)))

    def double(array):
        return torch.tensor(array.astype(np.float64))

    conv = torch.nn.functional.conv2d
    wanted = (
        (conv(x, double(kernel), padding=1), x),
        (
            64
            * 4
            * torch.nn.functional.avg_pool2d(y := torch.tensor(rng.normal(size=(3, 4, 8, 8))), 2),
            y,
        ),
        (conv(z := torch.tensor(rng.normal(size=(3, 4, 4, 4))), double(more), groups=2), z),
    )
    for layer, (answer, asked) in zip(network.layers, wanted, strict=False):
        assert np.allclose(
            asked.flatten(1).numpy() @ layer.weight.T, answer.flatten(1).numpy(), rtol=0, atol=1e-9
        )
        assert (layer.weight == np.rint(layer.weight)).all()
    # The input block's own step, then each block's.
    assert [layer.sources[0].delay[0] for layer in network.layers] == [1, 1, 1, 1]
    assert network.layers[2].parameters["v_th"].tolist() == [
        64.0 * th for th in (40, 60, 80, 90) for _ in range(9)
    ]


def test_conv_without_an_input_block_finds_the_only_shape_that_fits(rng, tmp_path):
    layer = {
        "type": "conv",
        "shape": [3, 4, 5],
        "weight": weights(rng, 3, 2, 3, 3),
        "stride": [1, 1],
        "padding": [1, 1],
        "neuron": neuron("CUBA"),
    }
    assert refsim.bridge.load(write_net(tmp_path / "a.net", layer)).n_inputs == 2 * 4 * 5
    with pytest.raises(RefsimError, match="nothing says the shape of what it hears"):
        refsim.bridge.load(write_net(tmp_path / "b.net", layer | {"stride": [2, 2]}))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"neuron": neuron("CUBA", gradedSpike=True)},
            "gradedSpike = True is not read: its spikes carry the membrane",
        ),
        (
            {"neuron": neuron("CUBA", refDelay=2)},
            "refDelay = 2 is not read: the card has no refractory delay",
        ),
        (
            {"neuron": neuron("SDNN", activation="tanh")},
            "activation = 'tanh' is not read: the card rectifies",
        ),
        (
            {"neuron": neuron("SDNN", sigma_output=True)},
            "sigma_output = True is not read: it sums and never fires",
        ),
        ({"neuron": neuron("CUBA") | {"weight_exp": 2}}, "weight_exp = 2 is not read"),
        (
            {"neuron": neuron("CUBA") | {"type": "ADRF_IZHIKEVICH"}},
            "neurons of type 'ADRF_IZHIKEVICH', which no card says",
        ),
        ({"neuron": neuron("CUBA", vThMant=None)}, "its neuron has no 'vThMant'"),
        (
            {"neuron": neuron("CUBA", iDecay=5000)},
            "i_decay: must be between 0 and 4096|i_decay.*4096",
        ),
        ({"neuron": neuron("CUBA", vThMant=0.5)}, "'vThMant' must be whole numbers"),
        (
            {"neuron": neuron("CUBA", vDecay=np.arange(3))},
            "has 3 values, but its layer has 10 neurons",
        ),
        (
            {"neuron": neuron("ALIF"), "bias": np.ones(10)},
            "has a bias, which card 'alif_loihi' has no place for",
        ),
        ({"neuron": neuron("RF_PHASE", cosDecay=-5)}, "period: must be at least 4"),
        ({"neuron": neuron("RF_PHASE", cosDecay=4097)}, "no turn by a quarter or less"),
        (
            {
                "weight": {"real": np.ones((10, 12)), "imag": np.ones((10, 12))},
                "neuron": neuron("RF_PHASE"),
            },
            "weights on the imaginary part",
        ),
        ({"weight": np.full((10, 12), 0.5)}, "its weights must be whole numbers"),
        (
            {"weight": np.full((10, 12), np.nan)},
            "120 of 120 numbers of 'weight' are NaN or infinite",
        ),
        ({"weight": np.ones((9, 12))}, "is for 9 neurons, but the layer has 10"),
        ({"delay": np.full(10, -1.0)}, "has a delay of -1 steps"),
        ({"delay": np.full(10, 1e9)}, "is a mistake of units"),
        ({"type": "average"}, "is a block of type 'average'"),
        ({"type": "input"}, "is an input block with neurons of its own"),
        ({"shape": [0]}, "shape must be whole numbers above 0"),
    ],
)
def test_what_no_card_can_say_is_refused(change, says, rng, tmp_path):
    layer = dense(weights(rng, 10, 12), neuron("CUBA")) | change
    with pytest.raises(RefsimError, match=says):
        refsim.bridge.load(write_net(tmp_path / "net.net", layer))


def test_a_convention_that_is_not_known_is_refused(rng, tmp_path):
    path = write_net(tmp_path / "net.net", dense(weights(rng, 10, 12), neuron("CUBA")))
    for asked, says in (
        ({"moment": "now"}, "'moment' is nothing that lava-dl leaves unsaid"),
        ({"comparison": "="}, "comparison must be one of '>', '>='"),
    ):
        with pytest.raises(RefsimError, match=says):
            refsim.bridge.load(path, convention=asked)
    with pytest.raises(RefsimError, match="takes no description"):
        refsim.bridge.load(path, describe={})
    assert read_file(path, Asked(dt="0.5 ms")).network.dt == 0.0005


def test_every_kind_of_the_format_is_run_by_a_test():
    assert set(lava_format().kinds) - {"LOIHI"} == set(NEURONS)


# --- a state_dict of slayer ---


def test_the_state_dict_of_the_oxford_network_is_its_net_file_bit_for_bit():
    rows = [{"block": f"blocks.{index}", "neuron": "CUBA", "threshold": 0.1} for index in range(2)]
    ours = refsim.bridge.load(real_data("oxford/network.pt"), {"format": "lava-dl", "layer": rows})
    theirs = refsim.bridge.load(real_data("oxford/network.net"))
    for a, b in zip(ours.layers, theirs.layers, strict=True):
        assert np.array_equal(a.weight, b.weight)
        assert a.model.parameters == b.model.parameters
        assert np.array_equal(a.sources[0].delay, b.sources[0].delay)


@pytest.mark.parametrize(
    "names",
    [
        ("weight_g", "weight_v"),
        ("parametrizations.weight.original0", "parametrizations.weight.original1"),
    ],
)
def test_a_state_dict_with_weight_norm_delays_and_batch_norm(names):
    torch.manual_seed(3)
    conv = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv3d(2, 4, (3, 3, 1), bias=False))
    state = {
        f"b.synapse.{name}": value
        for name, value in zip(names, conv.state_dict().values(), strict=True)
    }
    state |= {
        "b.neuron.current_decay": torch.tensor([1024.4]),
        "b.neuron.voltage_decay": torch.tensor([127.6]),
        "b.delay.delay": torch.tensor([0.9, 1.2, 2.0, 0.0]),
        "b.neuron.norm.running_mean": torch.tensor([0.5, 0.51, -9.0, 0.0]),
    }
    rows = [
        {"kind": "input", "shape": [2, 6, 6]},
        {"kind": "conv", "block": "b", "neuron": "CUBA", "threshold": 1.26},
    ]
    layer = refsim.bridge.load(state, {"format": "lava-dl", "layer": rows}).layers[0]
    values = {name: parameter.value for name, parameter in layer.model.parameters.items()}
    assert (values["i_decay"], values["v_decay"], values["v_th"]) == (1024, 128, 64 * 80)
    assert layer.parameters["bias"].reshape(4, -1)[:, 0].tolist() == [
        -64 * 32,
        -64 * 32,
        64 * 256,
        0,
    ]
    grid = torch.clamp(torch.round(conv.weight.detach() * 32) / 32, -4, 254 / 64) * 64
    x = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    assert np.allclose(
        x.flatten(1).numpy() @ layer.weight.T,
        torch.nn.functional.conv2d(x, grid[..., 0].double()).flatten(1).numpy(),
        rtol=0,
        atol=1e-9,
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"threshold": None}, "needs threshold, as it was given to lava-dl"),
        ({"colour": 1}, "colour is not a known key here"),
        ({"threshold": "1"}, "threshold must be a number"),
        ({"kind": "convT"}, "kind must be one of dense, conv, pool, flatten, input"),
        ({"block": None}, "needs block"),
        ({"neuron": "LIF"}, "neurons of type 'LIF'"),
        ({"block": "c"}, "has no tensor 'c.neuron.current_decay'"),
    ],
)
def test_a_wrong_description_of_blocks_is_explained(change, says):
    state = {
        "b.synapse.weight": torch.ones(3, 4, 1, 1, 1),
        "b.neuron.current_decay": torch.tensor([1.0]),
        "b.neuron.voltage_decay": torch.tensor([1.0]),
    }
    row = {
        key: value
        for key, value in ({"block": "b", "neuron": "CUBA", "threshold": 1.0} | change).items()
        if value is not None
    }
    with pytest.raises(RefsimError, match=says):
        refsim.bridge.load(state, {"format": "lava-dl", "layer": [row]})


# --- from the command line, and misread conventions by name ---


def validated(capsys, *arguments):
    code = main(
        ["validate", *(str(real_data(each)) if "/" in each else each for each in arguments)]
    )
    return code, " ".join(capsys.readouterr().out.split())


def test_oxford_from_the_command_line_has_no_wrong_spike_of_10178(capsys):
    code, text = validated(capsys, "oxford/network.net", *OXFORD, "--convention", "comparison=>=")
    assert code == 0
    assert (
        "Of recorded ground_truth.npy (layer 1 of 2) only the 10,178 spikes of layer 1 could be "
        "compared; layer 0 was not recorded." in text
    )
    assert "pass mismatched spikes 0 <= 0 recorded ground_" in text


# Planted faults: what is misread, how many spikes it costs, and what the report names.
MISREAD = {
    "the threshold": ([], 3014, "comparison='>='"),
    "the latency": (
        ["--convention", "comparison=>=", "--convention", "latency=none"],
        None,
        "latency='one step'",
    ),
}


@pytest.mark.parametrize("name", MISREAD)
def test_a_misread_convention_of_oxford_is_named(name, capsys):
    options, wrong, cause = MISREAD[name]
    code, text = validated(capsys, "oxford/network.net", *OXFORD, *options)
    assert code == 1
    assert text.startswith("FAIL. Not the same network: recorded ground_truth.npy")
    assert f"the recorded spikes are fired with {cause}" in text
    assert wrong is None or f"fail mismatched spikes {wrong:,} <= 0 recorded" in text.replace(
        str(wrong), f"{wrong:,}"
    )


def test_digits_from_the_command_line(capsys):
    data = [
        "--data",
        "mnist/t10k-images-idx3-ubyte.gz",
        "--labels",
        "mnist/t10k-labels-idx1-ubyte.gz",
        "--scale",
        "255",
    ]
    code, text = validated(
        capsys,
        "lava_mnist/trained_mnist_network.net",
        *data,
        "--encoder",
        "integrate_and_fire",
        "--steps",
        "20",
        "--samples",
        "500",
    )
    assert code == 0
    assert text.startswith("PASS. The same network: PyTorch float64 fires exactly")
    assert "reported accuracy 0.9" in text


def test_a_delay_that_is_dropped_changes_spikes(rng, tmp_path):
    layers = [
        dense(weights(rng, 10, 12), neuron("CUBA"), delay=np.full(10, 2.0)),
        dense(weights(rng, 7, 10), neuron("CUBA")),
    ]
    right = refsim.bridge.load(write_net(tmp_path / "a.net", *layers))
    wrong = refsim.bridge.load(
        write_net(
            tmp_path / "b.net",
            {key: value for key, value in layers[0].items() if key != "delay"},
            layers[1],
        )
    )
    given = drive(rng)
    runs = [Discrete().run(network, given) for network in (right, wrong)]
    assert mismatches(*runs)[0] == 0 < mismatches(*runs)[1]
