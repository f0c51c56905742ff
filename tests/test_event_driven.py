"""The event-driven solver at its edges.

Closed forms, peaks that graze, events that coincide, losses against their integrals, and errors for
people.
"""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import lambertw, log_softmax

import refsim
from refsim import RefsimError
from refsim.core.claims import Claim
from refsim.gradients import (
    EventTrain,
    adjoint,
    event_driven,
    first_spike_cross_entropy,
    sensitivities,
    soft_window_spikemax,
    spike_time_distance,
)
from refsim.gradients import spike_times as solver
from refsim.gradients.spike_times import ExactNeuron

CLOSED = Claim(
    "gradient",
    "spike time off its closed form, over the time",
    1e-14,
    "1",
    "Some ten operations of 1e-16, and a slope that magnifies them a few times.",
)
INTEGRAL = Claim(
    "gradient",
    "distance of two trains off its integral, relative",
    1e-8,
    "1",
    "SciPy's quadrature promises 1.5e-8 absolute on each smooth piece and does better by far.",
)
# tau_m = 4 tau_syn: a single spike of this weight peaks at 1 = w/3*(4**(-1/3) - 4**(-4/3))
PEAK = 4 ** (4 / 3)


def lone(weight, stop="100 ms", **parameters):
    return event_driven(refsim.load("lif_exp", **parameters), [[[weight]]], [0.0], [0], stop)


# --- closed forms ---


@pytest.mark.parametrize("weight", [2.8, 4.0, 50.0])
def test_a_spike_is_where_lambert_says_with_one_time_constant(weight):
    exact = -10e-3 * lambertw(-1 / weight).real
    found = lone(weight, tau_m="10 ms", tau_syn="10 ms").output.times[0]
    assert CLOSED.holds(abs(found / exact - 1))


@pytest.mark.parametrize("weight", [4.5, 6.0, 50.0])
@pytest.mark.parametrize(("tau_m", "tau_syn"), [(20e-3, 10e-3), (10e-3, 20e-3)])
def test_a_spike_is_where_the_quadratic_says_with_twice_the_time_constant(weight, tau_m, tau_syn):
    # V = w (x - x^2) with x = exp(-t/20 ms) for tau_m = 2 tau_syn, and 2 w (x - x^2) the other way
    # round
    w = weight if tau_m > tau_syn else 2 * weight
    exact = -20e-3 * np.log((1 + np.sqrt(1 - 4 / w)) / 2)
    assert CLOSED.holds(abs(lone(weight, tau_m=tau_m, tau_syn=tau_syn).output.times[0] / exact - 1))


def test_nearly_equal_time_constants_cancel_nothing():
    times = [
        lone(4.0, tau_m="10 ms", tau_syn=10e-3 * (1 + off)).output.times[0]
        for off in (-1e-9, 0.0, 1e-9)
    ]
    assert abs(times[0] - times[1]) < 1e-11
    assert abs(times[2] - times[1]) < 1e-11


# --- peaks ---


def brief(neuron_rise):
    """Return the spikes of a neuron that is over the threshold for microseconds alone, long before
    the next event.
    """
    original, ExactNeuron.rise = ExactNeuron.rise, neuron_rise or ExactNeuron.rise
    try:
        return lone(PEAK * (1 + 1e-8)).output
    finally:
        ExactNeuron.rise = original


def test_a_peak_between_events_is_not_missed_and_a_solver_that_looks_at_events_alone_misses_it():
    assert len(brief(None)) == 1
    assert len(brief(lambda _self, v, i: np.where((i > 0) & (v < i), np.inf, 0.0))) == 0


def test_a_spike_just_after_an_arrival_is_found_before_the_inhibition():
    found = event_driven(
        refsim.load("lif_exp"), [[[1.1e5, -2e5]]], [10e-3, 10.001e-3], [0, 1], "60 ms"
    )
    assert len(found.output) == 5  # 1.1e5*1e-6 s/tau_m = 5.5 thresholds in a microsecond
    assert (found.output.times < 10.001e-3).all()


@pytest.mark.parametrize(
    ("off", "spikes", "reported"), [(1e-10, 1, 1), (-1e-10, 0, 1), (1e-6, 1, 0), (-1e-6, 0, 0)]
)
def test_a_peak_at_the_threshold_is_reported(off, spikes, reported):
    found = lone(PEAK * (1 + off))
    assert (len(found.output), len(found.grazes)) == (spikes, reported)
    for graze in found.grazes:
        assert (graze.layer, graze.neuron, graze.at) == (0, 0, "peak")
        assert np.sign(graze.above) == np.sign(off)
        assert "at its peak" in str(graze)


def meeting(weight, off=0.0):
    """Return a run in which the second input arrives when the first one's spike is due."""
    due = lone(8.0).output.times[0]
    return event_driven(
        refsim.load("lif_exp"), [[[8.0, weight]]], [0.0, due * (1 + off)], [0, 1], "60 ms"
    )


@pytest.mark.parametrize("weight", [5.0, -20.0])
def test_a_crossing_that_coincides_with_an_arrival_is_reported_and_counts_as_the_earlier(weight):
    found = meeting(weight)
    assert [graze.at for graze in found.grazes][:1] == ["arrival"]
    # To the last digit.
    same_time = dataclasses.replace(found.inputs, times=np.array([0.0, found.output.times[0]]))
    found, first = dataclasses.replace(found, inputs=same_time), np.zeros(len(found.output))
    first[0] = 1.0
    for gradient in (adjoint(found, first), sensitivities(found).gradient(first)):
        assert gradient.weights[0][0, 1] == 0
        assert gradient.inputs[1] == 0
        assert gradient.weights[0][0, 0] < 0


def test_neither_an_arrival_of_weight_0_nor_one_elsewhere_is_a_meeting():
    assert not meeting(0.0).grazes
    assert not meeting(-20.0, 1e-3).grazes


def test_a_crossing_at_the_end_of_the_run_is_reported():
    due = float(lone(8.0).output.times[0])
    assert [graze.at for graze in lone(8.0, due).grazes] == ["stop"]


# --- events in any order ---


def test_simultaneous_arrivals_are_one_of_their_sum_and_order_is_nothing():
    model = refsim.load("lif_exp")
    one = event_driven(model, [[[7.0]]], [5e-3], [0], "60 ms").output.times
    for inputs in ([0, 1, 2], [2, 0, 1]):
        weights = [[[1.0, 2.0, 4.0]]]
        assert np.array_equal(
            event_driven(model, weights, [5e-3] * 3, inputs, "60 ms").output.times, one
        )
    times, inputs = np.array([8e-3, 1e-3, 4e-3, 1e-3]), np.array([0, 1, 0, 1])
    order = [2, 3, 0, 1]
    a, b = (
        event_driven(model, [[[6.0, 5.0]]], times[o], inputs[o], "60 ms")
        for o in (slice(None), order)
    )
    assert np.array_equal(a.output.times, b.output.times)
    share = np.ones(len(a.output))
    assert np.allclose(
        adjoint(a, share).inputs[order], adjoint(b, share).inputs, rtol=0, atol=1e-15
    )


@pytest.mark.parametrize("times", [[], [1e-3]])
def test_a_silent_network_has_the_gradient_0(times):
    found = event_driven(
        refsim.load("lif_exp"), [[[8.0]], [[1.0]]], times, [0] * len(times), "60 ms"
    )
    loss = first_spike_cross_entropy(found.output, 0, "5 ms", found.stop)
    for gradient in (adjoint(found, loss.by_time), sensitivities(found).gradient(loss.by_time)):
        assert not gradient.flat().any()
        assert [weight.shape for weight in gradient.weights] == [(1, 1), (1, 1)]


def test_layers_may_have_constants_of_their_own():
    slow, fast = refsim.load("lif_exp"), refsim.load("lif_exp", tau_syn="2 ms", v_th=0.5)
    found = event_driven([slow, fast], [[[8.0]], [[6.0]]], [0.0], [0], "60 ms")
    alone = event_driven(
        fast, [[[6.0]]], found.layers[0].times, [0] * len(found.layers[0]), "60 ms"
    )
    assert np.array_equal(found.output.times, alone.output.times)


# --- losses ---

KERNELS = {
    "exponential": lambda t: np.exp(-t / 8e-3),
    "alpha": lambda t: t / 8e-3 * np.exp(1 - t / 8e-3),
}


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_distance_of_two_trains_is_its_integral(kernel):
    fired, wanted = [(5e-3, 0), (9e-3, 0), (12e-3, 1)], [(7e-3, 0), (20e-3, 1), (3e-3, 2)]
    output = EventTrain(
        np.array([t for t, _ in fired]), np.array([n for _, n in fired]), np.ones(3), 3
    )
    edges = sorted({0.0, 0.4, *(t for t, _ in fired + wanted)})
    total = 0.0
    for neuron in range(3):
        terms = [(1, t) for t, n in fired if n == neuron] + [
            (-1, t) for t, n in wanted if n == neuron
        ]

        def squared(x, terms=terms):
            return sum(sign * KERNELS[kernel](x - t) for sign, t in terms if x >= t) ** 2

        total += sum(
            quad(squared, low, high, epsabs=1e-14, limit=200)[0]
            for low, high in itertools.pairwise(edges)
        )
    loss = spike_time_distance(
        output, [t for t, _ in wanted], [n for _, n in wanted], "8 ms", kernel
    )
    assert INTEGRAL.holds(abs(loss.value / (total * (0.5 if kernel == "alpha" else 1)) - 1))


def test_a_narrow_window_counts_and_a_hard_one_is_refused():
    output = EventTrain(
        np.array([1e-3, 12e-3, 15e-3, 18e-3, 50e-3]), np.array([0, 0, 1, 1, 1]), np.ones(5), 3
    )
    assert soft_window_spikemax(output, 1, 10e-3, 40e-3, 1e-5).value == pytest.approx(
        -log_softmax([1.0, 2.0, 0.0])[1], abs=1e-12
    )
    with pytest.raises(RefsimError, match="a count stays what it is when a spike moves a little"):
        soft_window_spikemax(output, 1, 10e-3, 40e-3, 0.0)


# --- errors ---

GOOD = {
    "model": "lif_exp",
    "weights": [[[8.0, 1.0]]],
    "times": [0.0],
    "inputs": [0],
    "stop": "60 ms",
}
WRONG = {
    "another neuron": (
        {"model": "cuba_lif"},
        "equations of card 'lif_exp' alone, but 'cuba_lif' has others",
    ),
    "one matrix": ({"weights": np.ones((1, 2))}, "must be a list of matrices"),
    "transposed": (
        {"weights": [np.ones((3, 2)), np.ones((3, 1))]},
        "layer 1 has weights .3, 1., so hears 1 neurons, but layer 0 has 3",
    ),
    "no matrix": ({"weights": [[1.0, 2.0]]}, "must be a matrix"),
    "diverged": ({"weights": [[[np.nan, 1.0]]]}, "NaN"),
    "milliseconds": ({"times": [12.0]}, "Times are in seconds"),
    "before 0": ({"times": [-1e-3]}, "between 0 and stop"),
    "no such input": ({"inputs": [2]}, "must be 0 to 1"),
    "half an input": ({"inputs": [0.5]}, "whole numbers"),
    "two lengths": ({"inputs": [0, 1]}, "have shapes"),
    "no time": ({"stop": 0.0}, "above zero"),
    "two models for a layer": ({"model": ["lif_exp", "lif_exp"]}, "2 models for 1 layer"),
    "beyond measure": ({"weights": [[[1e9, 0.0]]]}, "fires more than 1,000 spikes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_solved_is_said(case, monkeypatch):
    monkeypatch.setattr(solver, "MOST_SPIKES", 1000)
    changed, message = WRONG[case]
    given = GOOD | changed
    names = given.pop("model")
    given["model"] = (
        [refsim.load(name) for name in names] if isinstance(names, list) else refsim.load(names)
    )
    with pytest.raises(RefsimError, match=message):
        event_driven(**given)


def test_a_membrane_that_only_touches_has_no_derivative():
    found = lone(8.0)
    touching = dataclasses.replace(
        found, layers=(dataclasses.replace(found.output, slopes=np.zeros(len(found.output))),)
    )
    for gradient in (
        lambda: adjoint(touching, np.ones(len(found.output))),
        lambda: sensitivities(touching),
    ):
        with pytest.raises(RefsimError, match="only touches the threshold"):
            gradient()
