"""NIR on real files: a LIF whose exact trace is known, and a spiking CNN trained on an event
camera's digits.
"""

import numpy as np
import pytest
from conftest import real_data

import refsim

STEP = "0.1 ms"
# Simulator -> how it reads the file, what it takes for an input of 1, and the unit of its membrane:
# its own conventions.
EXACT = ({"reset": "to v_reset", "integration": "exact spike times"}, 1.0, 1.0)
SIMULATORS = {
    "norse": ({"reset": "to v_reset", "integration": "euler"}, 1.0, 1.0),
    # beta = 1 - dt/tau and a threshold divided by dt/tau, which is 1/25
    "snntorch": ({"reset": "to v_reset", "integration": "euler"}, 1.0, 25.0),
    # a spike is an impulse; it is given dt for an input of 1, and the file's column input is what
    # arrives, dt/tau
    "sinabs": (
        {"reset": "by subtraction", "integration": "impulse", "spikes": "many", "comparison": ">="},
        1e-4,
        1.0,
    ),
}
# Sums of some tens of float32 steps, each rounded to 2^-24 of its size, and a file's tau and
# threshold in float32.
FLOAT32 = 40 * 2.0**-24


def traces(simulator, reading, charge, engine):
    """Return spikes and membrane of the file, and those of a simulator."""
    path, table = (
        real_data("nir/lif_norse.nir"),
        np.loadtxt(real_data(f"nir/lif_{simulator}.csv"), delimiter=","),
    )
    x = charge * (np.loadtxt(real_data("nir/lif_exact.csv"), delimiter=",")[:, 0] > 0)
    network = refsim.bridge.load(path, dt=STEP, **reading)
    run = refsim.run(
        network,
        refsim.Drive.current(x.reshape(1, -1, 1), STEP),
        engine=engine,
        record=("after_reset",),
    )
    return (run.spikes[0].dense()[0, :, 0], run.traces[0]["after_reset"][0, :, 0]), (
        table[:, 2] > 0,
        table[:, 1],
    )


@pytest.mark.parametrize(
    "engine",
    [refsim.Discrete(), refsim.Torch(dtype="float64"), refsim.Brian2(target="numpy")],
    ids=["discrete", "torch", "brian2"],
)
def test_exact_spike_times_give_the_exact_trace(engine):
    reading, charge, _ = EXACT
    (spikes, v), (expected, exact) = traces("exact", reading, charge, engine)
    assert np.array_equal(spikes, expected)
    # Tau is 0.0025 to float32 in the file, 2e-8 of it, and moves v by 1e-9.
    assert np.abs(v - exact).max() < 1e-8
    assert spikes.sum() == 4


def test_a_zero_order_hold_is_exact_up_to_the_first_spike_and_resets_late():
    (spikes, v), (expected, exact) = traces(
        "exact", {"reset": "to v_reset", "integration": "zero-order hold"}, 1.0, refsim.Discrete()
    )
    first = np.flatnonzero(spikes)[0]
    assert np.abs(v - exact)[:first].max() < 1e-8
    assert np.array_equal(spikes, expected)
    assert np.abs(v - exact).max() > 1e-3  # the rest of the step after the crossing is lost


def test_fine_mode_comes_nearer_to_the_exact_trace():
    path, table = (
        real_data("nir/lif_norse.nir"),
        np.loadtxt(real_data("nir/lif_exact.csv"), delimiter=","),
    )
    network = refsim.bridge.load(path, dt=STEP, reset="to v_reset", integration="zero-order hold")
    drive = refsim.Drive.current(table[:, 0].reshape(1, -1, 1), STEP)
    away = []
    for refine in (1, 4, 16):
        run = refsim.Brian2(mode="fine", refine=refine, target="numpy").run(
            network, drive, record=("after_reset",)
        )
        away.append(abs(run.traces[0]["after_reset"][0, refine * 461 - 1, 0] - table[460, 1]))
        # The crossing is found within a sub-step, in which v moves dt/tau of its distance to 1.
        assert away[-1] < 0.04 / refine
    assert away[2] < away[0] / 4


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_each_simulator_is_reproduced_under_its_own_convention(simulator):
    reading, charge, unit = SIMULATORS[simulator]
    (spikes, v), (expected, seen) = traces(simulator, reading, charge, refsim.Discrete())
    assert np.array_equal(spikes, expected)
    assert np.abs(v - seen / unit).max() < FLOAT32 * 0.1  # v lies below the threshold, 0.1


@pytest.mark.parametrize(
    ("simulator", "another"),
    [
        ("norse", {"integration": "zero-order hold"}),
        ("snntorch", {"reset": "by subtraction"}),
        ("sinabs", {"reset": "to v_reset"}),
        ("sinabs", {"integration": "euler"}),
    ],
)
def test_another_convention_is_another_trace(simulator, another):
    reading, charge, unit = SIMULATORS[simulator]
    (_, v), (_, seen) = traces(simulator, reading | another, charge, refsim.Discrete())
    assert np.abs(v - seen / unit).max() > 1e-4


# N-MNIST: (polarity, y, x) in bins of 1 ms, 300 of them. Every spike of the file's network is an
# impulse: r is 1, and dt is nowhere in it.
CNN = {"dt": "1 ms", "integration": "impulse"}
MODES = [
    ("by subtraction", "many"),
    ("by subtraction", "one"),
    ("to v_reset", "many"),
    ("to v_reset", "one"),
]


def digits(n_steps=300, microseconds=1000):
    """Return event counts (100, n_steps, 2*34*34) and labels of the test recordings."""
    file = np.load(real_data("nmnist/nmnist_small.npz"))
    first, n_samples = int(file["n_train"]), 100
    polarity = np.unpackbits(file["p"])
    frames = np.zeros((n_samples, n_steps, 2, 34, 34), np.float32)
    for sample in range(n_samples):
        events = slice(*file["offset"][first + sample : first + sample + 2])
        step = np.cumsum(file["dt_us"][events].astype(np.int64)) // microseconds
        kept = step < n_steps
        where = (
            step[kept],
            polarity[events][kept],
            file["y"][events][kept],
            file["x"][events][kept],
        )
        np.add.at(frames[sample], where, 1)
    return frames.reshape(n_samples, n_steps, -1), file["label"][first : first + n_samples]


def accuracy(frames, labels, **options):
    network = refsim.bridge.load(real_data("nir/cnn_sinabs.nir"), **CNN, **options)
    graded = ("payload",) if options.get("spikes") == "many" else ()
    run = refsim.run(
        network,
        refsim.Drive.current(frames, "1 ms"),
        engine=refsim.Torch(dtype="float32"),
        record=graded,
    )
    spikes = run.traces[-1]["payload"] if graded else run.spikes[-1].dense()
    return float((spikes.sum(1).argmax(1) == labels).mean())


def test_the_cnn_is_read_as_it_is():
    network = refsim.bridge.load(
        real_data("nir/cnn_sinabs.nir"), reset="by subtraction", spikes="many", **CNN
    )
    assert [layer.weight.shape for layer in network.layers] == [
        (4096, 2312),
        (4096, 4096),
        (512, 4096),
        (256, 512),
        (10, 256),
    ]
    assert {layer.model.name for layer in network.layers} == {"nir_if_impulse"}


@pytest.mark.slow
@pytest.mark.parametrize(("reset", "spikes"), MODES)
def test_the_cnn_knows_its_digits(reset, spikes):
    assert accuracy(*digits(), reset=reset, spikes=spikes) >= 0.96


@pytest.mark.slow
def test_the_cnn_does_not_know_digits_that_lie_on_their_side():
    frames, labels = digits()
    turned = frames.reshape(100, 300, 2, 34, 34).swapaxes(3, 4).reshape(frames.shape)
    assert accuracy(turned, labels, reset="by subtraction", spikes="many") < 0.5
