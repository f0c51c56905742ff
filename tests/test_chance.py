"""Stochastic neurons: probabilities against closed forms, at five standard errors.

One false alarm in a million tests.
"""

import dataclasses

import numpy as np
import pytest
from conftest import every_engine_agrees

import refsim
from refsim import Discrete, Drive
from refsim.cards.language import parse_statements
from refsim.engines.discrete import LayerState

N = 4000  # samples, of one neuron each


def fired(model, current, n_steps, seed=1):
    """Return the spikes of N samples of one neuron under a held current, (N, n_steps)."""
    network = refsim.Network.dense([([[1.0]], None, model)], "1 ms")
    return (
        Discrete()
        .run(network, Drive.current(np.full((N, 1), current), "1 ms", n_steps=n_steps, seed=seed))
        .spikes[0]
        .dense()[:, :, 0]
    )


def far(found, chance, n):
    """Return by how many standard errors a share is off its chance."""
    return abs(found - chance) / np.sqrt(chance * (1 - chance) / n)


@pytest.mark.parametrize(("current", "chance"), [(0.3, 0.3), (0.9, 0.9), (-0.5, 0.0), (1.5, 1.0)])
def test_a_bernoulli_neuron_fires_with_its_clipped_input(current, chance):
    spikes = fired(refsim.load("bernoulli"), current, 20)
    if chance in (0.0, 1.0):
        assert (spikes == bool(chance)).all()
    else:
        assert far(spikes.mean(), chance, spikes.size) < 5


def test_poisson_escape_fires_at_its_rate():
    # decay 0.5: a held 0.5 brings the membrane to 1 - 2^-(k+1); the rate at threshold is 100 Hz
    spikes = fired(refsim.load("poisson_escape"), 0.5, 12)
    v = 1 - 0.5 ** np.arange(1, 13)
    chance = 1 - np.exp(-100 * 1e-3 * np.exp(4 * (v - 1)))
    assert (far(spikes.mean(axis=0), chance, N) < 5).all()
    # without memory of its spikes: a spike says nothing of the next step
    after = spikes[:, 11][spikes[:, 10]]
    assert far(after.mean(), chance[11], len(after)) < 5


def waiting(model, current, n_steps):
    """Return the share of samples whose first spike falls in each step."""
    spikes = fired(model, current, n_steps)
    first = np.where(spikes.any(axis=1), spikes.argmax(axis=1), n_steps)
    return np.bincount(first, minlength=n_steps + 1)[:n_steps] / N


def hazards(v, eta):
    return 1 - np.exp(-200 * 1e-3 * np.exp(4 * (v + eta - 1)))


def test_srm0_waits_as_its_hazard_says():
    model = refsim.load("srm0_escape")
    steps = np.arange(1, 16)
    chance = hazards(0.2 * (1 - 0.75**steps) / 0.25, 0.0)
    survival = np.concatenate([[1.0], np.cumprod(1 - chance)[:-1]])
    assert (far(waiting(model, 0.2, 15), chance * survival, N) < 5).all()


def test_srm0_forgets_all_spikes_but_the_last():
    # a neuron that is made to fire in two steps has the refractory response of the second alone
    model = refsim.load("srm0_escape", rate_th=1e9)  # fires whatever it gets
    state = LayerState.start(
        refsim.Network.dense([([[1.0]], None, model)], "1 ms").layers[0],
        1e-3,
        1,
        lambda _step, _name: np.full((1, 1), 0.5),
    )
    for _ in range(2):
        spikes, _ = state.step(np.full((1, 1), 1.0))
        assert spikes.all()
        assert state.state["eta"] == -2.0  # and not -3, the sum


def test_a_refractory_response_that_adds_up_is_another_neuron():
    model = refsim.load("srm0_escape", depth=0.5)
    summed = dataclasses.replace(
        model,
        discrete=dataclasses.replace(
            model.discrete, reset=parse_statements("eta = eta - depth*z", "rogue")
        ),
    )
    assert refsim.check_declared_step(model).status == "pass"
    found = refsim.check_declared_step(summed)
    assert found.status == "fail"
    assert "eta: differs" in found.detail
    # A sample has one rate, and samples are apart.
    rates = [fired(neuron, 0.3, 60).mean(axis=1) for neuron in (model, summed)]
    assert abs(rates[0].mean() - rates[1].mean()) > 5 * np.sqrt(
        (rates[0].var() + rates[1].var()) / N
    )


# --- the composite neuron, a reconstruction ---


def streams(error, current, n_steps):
    """Run the composite neuron and return (spikes, plus, minus), each (n_steps, N)."""
    model = refsim.load("ssnn_composite", error=error)
    network = refsim.Network.dense([(np.ones((N, 1)), None, model)], "1 ms")
    drive = Drive.constant(current, n_steps, "1 ms", seed=4)
    state, rows = LayerState.start(network.layers[0], 1e-3, 1, drive.draws(0, N)), []
    for _ in range(n_steps):
        spikes, _ = state.step(np.full((1, N), current))
        rows.append([spikes[0], state.state["plus"][0], state.state["minus"][0]])
    return np.array(rows, float).swapaxes(0, 1)


@pytest.mark.parametrize("error", [0.6, -0.8])
def test_the_streams_carry_activation_and_signed_error_at_once(error):
    spikes, plus, minus = streams(error, 0.4, 12)
    assert not spikes[0].any()  # the mean over no steps is zero
    assert far(spikes[1:].mean(), 0.4, spikes[1:].size) < 5
    on, off = (plus, minus) if error > 0 else (minus, plus)
    assert not off.any()
    assert far(on[1:].mean(), 0.5 * abs(error), on[1:].size) < 5
    # three draws that know nothing of each other: the product of two streams has the product of
    # their chances
    assert far((spikes[1:] * on[1:]).mean(), 0.4 * 0.5 * abs(error), on[1:].size) < 5


def test_no_gradient_passes_where_the_activation_is_clipped():
    assert not streams(0.6, 1.5, 6)[1:].any()
    assert not streams(0.6, -0.5, 6)[1:].any()


def test_the_composite_neuron_is_called_a_reconstruction():
    model = refsim.load("ssnn_composite")
    assert "reconstruction" in model.traits
    assert "reconstruction" in model.title


def test_layers_of_chance_draw_apart(rng):
    # one neuron behind another with the same chance: had they one number, they would fire together
    network = refsim.Network.dense(
        [([[1.0]], [0.5], refsim.load("bernoulli")), ([[0.0]], [0.5], refsim.load("bernoulli"))],
        "1 ms",
    )
    found = every_engine_agrees(network, Drive.current(np.zeros((300, 20, 1)), "1 ms", seed=9))
    first, second = (train.dense()[:, :, 0] for train in found.spikes)
    assert far((first & second).mean(), 0.25, first.size) < 5
