"""Plain-NumPy referees against real data.

SLAYER's spike response network, and trained networks in Loihi's integers.
"""

import gzip

import numpy as np
import pytest
from conftest import real_data
from oracle_loihi import binned, cuba_layer, integrate_and_fire_encoder, late, read_net, shifted
from oracle_srm import alpha_kernel, filtered, srm_layer

STEP, N_STEPS, THETA = 0.1, 501, 10.0
NO_CUT = 0.0


def table(name):
    return np.loadtxt(real_data(f"srm/{name}.txt"), comments="#", ndmin=2)


def raster(name, n_neurons):
    spikes = np.zeros((n_neurons, N_STEPS))
    time, neuron = table(name).T
    spikes[neuron.astype(int) - 1, np.round(time / STEP).astype(int)] = 1
    return spikes


def srm_network(cut=0.01, refractory_cut=NO_CUT):
    response, refractory = (
        alpha_kernel(1.0, STEP, 1.0, cut, N_STEPS),
        alpha_kernel(1.0, STEP, -2 * THETA, refractory_cut, N_STEPS),
    )
    drives, spikes, membranes = [], [raster("spikeIn", 250)], []
    for name in ("w1learned", "w2learned"):
        drives.append(table(name) @ filtered(spikes[-1], response))
        fired, membrane = srm_layer(drives[-1], refractory, THETA)
        spikes.append(fired)
        membranes.append(membrane)
    return drives, spikes, membranes


def printed(values, digits=6):
    """Return half a unit of the last of six printed digits of each value, and rounding."""
    size = np.floor(np.log10(np.maximum(np.abs(values), 1e-300)))
    return 0.5 * 10.0 ** (size - digits + 1) * (1 + 1e-9)


def test_srm_fires_as_slayer_did():
    _, (_, hidden, output), _ = srm_network()
    assert hidden.sum() == 289
    assert np.array_equal(hidden, raster("spikeHid", 25))
    assert np.flatnonzero(output[0]).tolist() == [203, 355, 447]


@pytest.mark.parametrize(
    ("name", "layer", "neuron"),
    [("spikeFuncHid", 0, 0), ("spikeFuncHid04", 0, 4), ("spikeFuncOut", 1, 0)],
)
def test_srm_membranes_agree_to_the_printed_digits(name, layer, neuron):
    drives, spikes, membranes = srm_network()
    drive, membrane, fired = table(name).T
    assert (np.abs(drives[layer][neuron] - drive) <= printed(drive)).all()
    # The second column is the membrane with its refractory response; at a spike it is printed
    # before the response of that spike, which starts at 0.
    assert (np.abs(membranes[layer][neuron] - membrane) <= printed(membrane)).all()
    assert np.array_equal(fired > 0, spikes[layer + 1][neuron] > 0)


@pytest.mark.parametrize(("cut", "refractory_cut"), [(NO_CUT, NO_CUT), (0.01, 0.01)])
def test_kernels_cut_elsewhere_fire_elsewhere(cut, refractory_cut):
    assert not np.array_equal(srm_network(cut, refractory_cut)[1][1], raster("spikeHid", 25))


def test_a_refractory_kernel_cut_late_shows_in_the_printed_digits():
    _, (_, hidden, _), membranes = srm_network(refractory_cut=1e-4)
    membrane = table("spikeFuncHid")[:, 1]
    assert hidden.sum() == 289
    assert (np.abs(membranes[0][0] - membrane) > printed(membrane)).any()


def test_the_shift_cuts_toward_zero():
    assert shifted(np.array([4095, 4096, -4095, -4096, -8191])).tolist() == [0, 1, 0, -1, -1]


def oxford(strict=False, shift=shifted, gap=2, times=np.round, monkeypatch=None):
    layers, n_steps = read_net(real_data("oxford/network.net")), 1890
    events, wanted = (
        np.load(real_data("oxford/input.npy")),
        binned(np.load(real_data("oxford/ground_truth.npy")), n_steps, 200),
    )
    events[:, 2] = times(events[:, 2])
    if monkeypatch:
        monkeypatch.setattr("oracle_loihi.shifted", shift)
    spikes = binned(events, n_steps, 200)
    for layer in layers:
        spikes = cuba_layer(spikes, layer, weight_bits=6, strict=strict)
    return late(spikes, gap), wanted


def wrong(pair):
    return int((pair[0] != pair[1]).sum())


def test_oxford_has_no_wrong_spike_of_10178():
    pytest.importorskip("h5py")
    given, wanted = oxford()
    assert wanted.sum() == given.sum() == 10178
    assert np.array_equal(given, wanted)


def test_oxford_sees_each_planted_fault(monkeypatch):
    pytest.importorskip("h5py")
    assert wrong(oxford(strict=True)) == 3014  # the figure that came with the data
    assert wrong(oxford(gap=1)) > 0
    assert wrong(oxford(times=np.floor)) > 0
    assert wrong(oxford(shift=lambda x: x >> 12, monkeypatch=monkeypatch)) > 0
    assert (
        wrong(oxford(shift=lambda x: np.rint(x / 4096).astype(np.int64), monkeypatch=monkeypatch))
        > 0
    )


def mnist_decisions(n_samples, strict=True):
    layers = read_net(real_data("lava_mnist/trained_mnist_network.net"))
    with gzip.open(real_data("mnist/t10k-images-idx3-ubyte.gz")) as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)[:n_samples]
    with gzip.open(real_data("mnist/t10k-labels-idx1-ubyte.gz")) as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)[:n_samples]
    decisions = []
    for start in range(0, n_samples, 1000):
        spikes = integrate_and_fire_encoder(images[start : start + 1000].astype(float), 20)
        for layer in layers:
            spikes = cuba_layer(spikes, layer, weight_bits=6, strict=strict)
        decisions.append(spikes.sum(axis=1).argmax(axis=1))
    return np.concatenate(decisions), labels


def test_the_trained_digits_network_is_right_as_often_as_its_authors_say():
    pytest.importorskip("h5py")
    decisions, labels = mnist_decisions(10_000)
    assert f"{(decisions == labels).mean():.1%}" == "95.3%"  # the figure that came with the network
