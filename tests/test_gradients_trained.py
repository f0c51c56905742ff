"""A trained continuous-time network with recorded first-spike times: exact spikes, the grid's error, and the weights it was recorded with."""

import numpy as np
import pytest
from conftest import real_data
from test_gradients import MEMBRANE, membrane

import refsim
from refsim import Discrete, Drive
from refsim.claims import Claim
from refsim.gradients import adjoint, event_driven

FIRST_ORDER = Claim(
    "step", "order at which first spike times on the grid come to the exact ones", 0.7, "1",
    "An arrival and a spike stand at the end of their step, late by a part of it: order one. Over a factor of 25 in the step a quarter of an order is a factor of "
    "2.6, more than the median of some 50 such parts scatters; a method that stood still would have order 0.", "at least",
)  # fmt: skip


RECORDED = Claim(
    "gradient", "share of held-out recorded first-spike times met to 1e-12 s", 0.95, "1",
    "Unless the gradients that led to the weights are exact, Newton's method stops far from 1e-12 s; weights that no sample used moves are left as they were, and a few "
    "held-out times hang on those, or on a peak so near the threshold that the last digits show.", "at least",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained():
    """Return weights, input times (sample, 5) in seconds and recorded first-spike times (sample, 3), NaN for none."""
    folder = real_data("yinyang")
    file, samples = np.load(folder / "yinyang_0.npz"), np.load(folder / "yinyang_test_samples.npy")
    times = np.concatenate([samples * 30e-3, np.zeros((len(samples), 1))], axis=1)
    return [file["w_hidden"].T, file["w_out"].T], times, file["test_first_spike_times_last"]


def run(weights, times):
    return event_driven(refsim.load("lif_exp"), weights, times, np.arange(5), "60 ms")


def twice(found):
    return np.bincount(found.layers[0].neurons).max(initial=0) > 1


def test_spikes_of_the_trained_network_are_at_the_threshold(trained):
    weights, times, _ = trained
    for sample in range(10):
        found = run(weights, times[sample])
        for index, layer in enumerate(found.layers):
            for neuron in np.unique(layer.neurons):
                assert MEMBRANE.holds(np.abs(membrane(found, index, neuron, layer.times[layer.neurons == neuron]) - 1).max())


def test_the_grid_comes_to_the_exact_times_at_first_order(trained):
    weights, times, _ = trained
    few = range(30)
    exact = np.array([run(weights, times[sample]).output.first_times() for sample in few])
    errors = []
    steps = np.array([0.5e-3, 0.1e-3, 0.02e-3])
    for dt in steps:
        shape = (len(few), round(60e-3 / dt), 5)
        drive = Drive.events(np.repeat(few, 5), np.floor(times[few] / dt).astype(int).ravel(), np.tile(np.arange(5), len(few)), shape, dt)
        network = refsim.Network.dense([(weight, None, refsim.load("lif_exp")) for weight in weights], dt)
        fired = Discrete().run(network, drive).spikes[-1]
        first = np.full(exact.shape, np.inf)
        np.minimum.at(first, (fired.sample, fired.neuron), (fired.step + 1) * dt)
        both = np.isfinite(first) & np.isfinite(exact)
        errors.append(np.median(np.abs(first[both] - exact[both])))
    print(f"median error in ms at dt {steps * 1e3} ms: {np.array(errors) * 1e3}")
    assert FIRST_ORDER.holds(np.polyfit(np.log(steps), np.log(errors), 1)[0])


def rows(weights, times, recorded):
    """Return what each recorded time lacks, its derivative by all weights, and how many samples are left out: those with a hidden neuron that fires twice."""
    lacks, slopes, left_out = [], [], 0
    for sample in range(len(times)):
        found = run(weights, times[sample])
        if twice(found):
            left_out += 1
            continue
        for neuron, spike in enumerate(found.output.first()):
            if spike >= 0 and np.isfinite(recorded[sample, neuron]):
                lacks.append(recorded[sample, neuron] - found.output.times[spike])
                slopes.append(np.concatenate([weight.ravel() for weight in adjoint(found, np.arange(len(found.output)) == spike).weights]))
    return np.array(lacks), np.array(slopes), left_out


@pytest.mark.slow
def test_held_out_recorded_times_are_met_by_the_weights_that_the_others_were_recorded_with(trained):
    """The stored weights are not those of the recording: all times differ, by some 1e-6 s.

    So Newton's method goes from the stored weights to those that meet the times of 800 samples, more than four equations a weight; a network that was not this
    neuron's could meet none but by chance, and the 200 others judge.
    """
    weights, times, recorded = trained
    used = slice(0, 800)
    for near in (1e-5, 1e-6, 1e-6, 1e-6):  # farther off: an input that comes before a spike on one side and after it on the other
        lacks, slopes, _ = rows(weights, times[used], recorded[used])
        steepness = np.abs(slopes).max(axis=1)
        keep = (np.abs(lacks) < near) & (steepness < np.quantile(steepness, 0.95))
        move = np.linalg.lstsq(slopes[keep], lacks[keep], rcond=1e-12)[0]
        hidden, out = np.split(move, [weights[0].size])
        weights = [weights[0] + hidden.reshape(weights[0].shape), weights[1] + out.reshape(weights[1].shape)]
    lacks, _, left_out = rows(weights, times[800:], recorded[800:])
    met = np.abs(lacks) < 1e-12
    print(f"{met.sum()} of {len(lacks)} held-out times met to 1e-12 s; {left_out} of 200 samples left out, a hidden neuron fires twice in them")
    assert len(lacks) > 200
    assert RECORDED.holds(met.mean())
