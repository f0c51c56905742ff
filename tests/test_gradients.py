"""Exact spike times and their gradients.

Three ways to one gradient, and every way to be wrong is caught.
"""

import itertools

import numpy as np
import pytest
from rogues_gradients import (
    CHECKS,
    DIFFERENCES,
    ROGUES,
    apart,
    by_adjoint,
    by_implicit_function,
    spikes,
)

import refsim
from refsim.core.claims import Claim
from refsim.gradients import (
    adjoint,
    event_driven,
    finite_differences,
    first_spike_cross_entropy,
    sensitivities,
    soft_window_spikemax,
    spike_time_distance,
)

ROUNDING = Claim(
    "gradient",
    "largest difference of adjoint and implicit function, over the largest entry",
    1e-12,
    "1",
    (
        "Both are the same sums of the same spike times in another order: some hundred terms and "
        "factors of 1e-16, and a few slopes that magnify them tenfold."
    ),
)
MEMBRANE = Claim(
    "gradient",
    "membrane minus threshold at a spike, by the sum over all earlier spikes",
    1e-12,
    "1",
    (
        "The sum has some hundred terms of at most ten thresholds, each to 1e-16, and the time "
        "is to "
        "the last digit."
    ),
)


def random_net(seed, sizes=(4, 5, 4, 3), n_events=14):
    """Return a run of layers that fire several times a neuron, and whose slopes are no smaller than
    a tenth.
    """
    rng = np.random.default_rng(seed)
    while True:
        weights = [
            rng.normal(9.0 / np.sqrt(n), 8.0 / np.sqrt(n), (m, n))
            for n, m in itertools.pairwise(sizes)
        ]
        found = spikes(
            weights, rng.uniform(0, 40e-3, n_events), rng.integers(0, sizes[0], n_events)
        )
        slopes = np.concatenate([layer.slopes for layer in found.layers]) * 20e-3
        if not found.grazes and np.bincount(found.output.neurons).max() >= 3 and slopes.min() > 0.1:
            return found


def membrane(found, layer, neuron, times):
    """Return the membrane just before `times`, by the sum over all earlier spikes.

    Nothing here is refsim's.
    """
    model, weight, heard, fired = (
        found.neurons[layer],
        found.weights[layer],
        found.before(layer),
        found.layers[layer],
    )
    ago = np.subtract.outer(times, heard.times)
    k = model.tau_syn / (model.tau_m - model.tau_syn)
    psp = (
        np.where(
            ago > 0,
            k * (np.exp(-ago.clip(0) / model.tau_m) - np.exp(-ago.clip(0) / model.tau_syn)),
            0,
        )
        @ weight[neuron, heard.neurons]
    )
    own = np.subtract.outer(times, fired.times[fired.neurons == neuron])
    return psp - np.where(own > 0, model.v_th * np.exp(-own.clip(0) / model.tau_m), 0).sum(axis=-1)


def every_spike_is_found(found):
    """Hold each membrane at each of its spikes and everywhere else against the sum."""
    grid = np.linspace(0, found.stop, 3000)
    for index, layer in enumerate(found.layers):
        for neuron in range(layer.n_neurons):
            own = layer.times[layer.neurons == neuron]
            assert MEMBRANE.holds(np.abs(membrane(found, index, neuron, own) - 1).max(initial=0))
            assert membrane(found, index, neuron, grid).max() <= 1 + 1e-12


@pytest.mark.parametrize("seed", range(6))
def test_spikes_are_where_the_membrane_reaches_the_threshold_and_nowhere_else(seed):
    every_spike_is_found(random_net(seed))


@pytest.mark.parametrize("seed", range(12))
def test_the_adjoint_is_the_implicit_function(seed):
    found = random_net(seed)
    share = np.random.default_rng(seed).normal(size=len(found.output))
    left, right = by_adjoint(found, share).flat(), by_implicit_function(found, share).flat()
    assert ROUNDING.holds(np.abs(left - right).max() / np.abs(right).max())


def test_also_where_the_two_time_constants_are_one():
    found = event_driven(
        refsim.load("lif_exp", tau_m="5 ms"),
        [[[3.0, 2.0], [1.0, 3.0]], [[3.0, 2.0]]],
        [0.0, 1e-3, 4e-3],
        [0, 1, 0],
        "40 ms",
    )
    assert len(found.output) > 1
    share = np.ones(len(found.output))
    left, right = by_adjoint(found, share).flat(), by_implicit_function(found, share).flat()
    assert ROUNDING.holds(np.abs(left - right).max() / np.abs(right).max())
    assert DIFFERENCES.holds(apart(found, by_adjoint))


def test_central_differences_agree():
    found = random_net(1, (3, 3, 2), 7)
    assert DIFFERENCES.holds(apart(found, by_adjoint))


LOSSES = {
    "first spike": lambda output: first_spike_cross_entropy(output, 0, "5 ms", "60 ms"),
    "exponential": lambda output: spike_time_distance(output, [11e-3, 23e-3], [0, 1], "10 ms"),
    "alpha": lambda output: spike_time_distance(output, [11e-3, 23e-3], [0, 1], "10 ms", "alpha"),
    "soft window": lambda output: soft_window_spikemax(output, 1, 10e-3, 40e-3, 4e-3, scale=20.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_has_the_gradient_of_its_value(name):
    found, loss = random_net(3, (2, 3, 2), 4), LOSSES[name]
    truth = finite_differences(found, loss).flat()
    assert np.abs(truth).max() > 0
    assert DIFFERENCES.holds(
        np.abs(adjoint(found, loss(found.output).by_time).flat() - truth).max()
        / np.abs(truth).max()
    )


@pytest.mark.parametrize("gradient", [by_adjoint, by_implicit_function])
def test_the_honest_pass_every_check(gradient):
    assert not [name for name, wrong in CHECKS.items() if wrong(gradient)]


@pytest.mark.parametrize("rogue", ROGUES, ids=lambda rogue: rogue.name)
def test_each_rogue_is_caught_by_its_check_alone(rogue):
    gradient = rogue.make()
    assert [name for name, wrong in CHECKS.items() if wrong(gradient)] == [rogue.caught_by]


def test_a_spike_that_vanishes_has_no_difference():
    lone = spikes([[[8.0]]], [0.0], [0])
    # The weight whose peak is the threshold.
    peak = np.float64(1 / np.max(lone.neurons[0].response(np.linspace(0, 30e-3, 300001))))
    found = spikes([[[peak * (1 + 1e-7)]]], [0.0], [0])
    assert len(found.output) == 1
    assert np.isnan(
        finite_differences(
            found, lambda output: first_spike_cross_entropy(output, 0, "5 ms", "60 ms")
        ).weights[0]
    ).all()


def test_wrong_errors_are_refused():
    found = random_net(0)
    for call in (lambda: adjoint(found, [1.0]), lambda: sensitivities(found).gradient([1.0])):
        with pytest.raises(refsim.RefsimError, match="one number for each"):
            call()
    with pytest.raises(refsim.RefsimError, match="hard window"):
        soft_window_spikemax(found.output, 0, 0.0, 0.04, 0.0)
    with pytest.raises(refsim.RefsimError, match="size must be above 0"):
        finite_differences(found, LOSSES["first spike"], 0)
