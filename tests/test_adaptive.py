"""Adaptive and resonating neurons.

Equal in every engine, true to their ODE, and, without what sets them apart, a LIF.
"""

import dataclasses

import numpy as np
import pytest
import torch
from conftest import every_engine_agrees
from scipy.integrate import solve_ivp
from test_integrators import changed

import refsim
from refsim import Brian2, Discrete, Drive, RefsimError
from refsim.cards.language import evaluate
from refsim.cards.ode import read_odes
from refsim.cases.neuron import network_of_one
from refsim.engines.discrete import FUNCTIONS, LayerState

# Card -> duration of a step, and an input of mixed size for it.
CARDS = {
    "alif": ("1 ms", lambda x: 4 * x),
    "adlif": ("1 ms", lambda x: 4 * x),
    "adex": ("0.1 ms", lambda x: 8e-9 * x),
    "izhikevich": ("0.25 ms", lambda x: 0.1 * x),
    "mat2": ("0.25 ms", lambda x: 4e-9 * x),
    "glif3": ("0.25 ms", lambda x: 3e-9 * x),
    "glif5": ("0.25 ms", lambda x: 3e-9 * x),
    "rf": ("1 ms", lambda x: 3 * x - 1.2),
    "rf_iz": ("1 ms", lambda x: 3 * x - 1.2),
    "adrf": ("1 ms", lambda x: 8 * x - 3.2),
}


@pytest.mark.parametrize("card", CARDS)
def test_every_engine_agrees_on_it(card, rng):
    dt, scaled = CARDS[card]
    network = refsim.Network.dense([(np.eye(4), None, refsim.load(card))], dt)
    drive = Drive.current(scaled(np.abs(rng.normal(0.4, 0.5, (5, 100, 4)))), dt)
    found = every_engine_agrees(network, drive)
    # Every sample feels what its spikes leave behind.
    assert np.bincount(found.spikes[0].sample, minlength=5).min() >= 8


@pytest.mark.parametrize("card", CARDS)
def test_its_step_is_what_it_says(card):
    assert refsim.check_declared_step(refsim.load(card)).status == "pass"


# What a slip of the pen makes of a declared step: card, part, text, what stands in its place, and
# the term that is named.
SLIPS = {
    "adaptation before the test": (
        "alif",
        "integrate",
        "b = rho*b",
        "b = rho*b\nwould = v > b0 + beta*b\nb = b + would*jump_b",
        "b: differs",
    ),
    "adaptation forgotten": ("adlif", "reset", "z*b", "0*z*b", "reset of w|w: differs"),
    "jump off by a thousand": ("adex", "reset", "z*b", "1000*z*b", "w: differs"),
    "a turn the other way": (
        "rf",
        "integrate",
        "rot_c*x_old - rot_s*y_old",
        "rot_c*x_old + rot_s*y_old",
        "x: differs",
    ),
    "turned from the new part": (
        "adrf",
        "integrate",
        "rot_s*x_old + rot_c*y_old",
        "rot_s*x + rot_c*y_old",
        "y: differs",
    ),
    "refractory part from the raised threshold": (
        "adrf",
        "reset",
        "2*(v_th + th)",
        "2*(v_th + th + th_step)",
        "r: differs",
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_held_against_the_ode(slip):
    card, part, old, new, says = SLIPS[slip]
    verdict = refsim.check_declared_step(changed(card, part, old, new))
    assert verdict.status == "fail"
    assert any(word in verdict.detail for word in says.split("|"))


def test_a_coupled_ode_that_is_not_linear_has_no_exact_step():
    # Brian2's updater for independent equations would take w for a constant and find an exact
    # solution that is none
    model = refsim.load("adrf")
    equations = model.continuous.equations.replace("dy/dt = omega*x", "dy/dt = omega*x*y")
    rogue = dataclasses.replace(
        model, continuous=dataclasses.replace(model.continuous, equations=equations)
    )
    with pytest.raises(RefsimError, match="its ODE is not linear in its states"):
        refsim.check_declared_step(rogue)


# --- what a threshold that only `fire` sees does to a module ---


@pytest.mark.parametrize("name", ["ALIF", "GLIF3", "GLIF5"])
def test_a_detached_reset_fires_the_same_spikes(name, rng):
    import refsim.pytorch as layers

    card = name.lower()
    dt, scaled = CARDS[card]
    x = torch.tensor(scaled(np.abs(rng.normal(0.4, 0.5, (80, 1, 6)))))
    plain, detached = (
        getattr(layers, name)(dt=dt, detach_reset=detach) for detach in (False, True)
    )
    spikes = [torch.stack([module(step) for step in x]) for module in (plain, detached)]
    assert spikes[0].sum() > 10
    assert torch.equal(*spikes)


def test_a_membrane_at_its_threshold_does_not_fire_where_the_card_says_above():
    model = refsim.load("alif", alpha=0.5, b0=0.5)
    for value, fired in ((1.0, 0), (1.0 + 2.0**-40, 1)):
        found = every_engine_agrees(
            network_of_one(model, "1 ms"), Drive.current([[[value]]], "1 ms")
        )
        assert len(found.spikes[0]) == fired


# --- limits ---


def test_adex_without_adaptation_is_eif(rng):
    adex = refsim.load("adex", a=0.0, b=0.0, v_peak="-30 mV")
    p = adex.constants(1.0)
    eif = refsim.load(
        "eif",
        tau_m=p["c_m"] / p["g_l"],
        r_m=1 / p["g_l"],
        v_rest=p["e_l"],
        v_t=p["v_t"],
        delta_t=p["delta_t"],
        v_reset=p["v_reset"],
    )
    # both cards start at rest, which is another potential: start the one where the other does
    eif = dataclasses.replace(
        eif, state={"v": dataclasses.replace(eif.state["v"], start=adex.state["v"].start)}
    )
    drive = Drive.current(4e-9 * rng.random((1, 2000, 1)), "0.1 ms")
    a, b = (
        Discrete().run(network_of_one(model, "0.1 ms"), drive).spikes[0].step
        for model in (adex, eif)
    )
    assert len(a) > 10
    assert np.array_equal(a, b)


def test_adlif_without_adaptation_is_a_lif_up_to_its_spikes():
    adlif, lif = (
        refsim.load("adlif", a=0.0, b=0.0, alpha=0.875),
        refsim.load("lif", tau=8.0, v_th=1.0),
    )
    drive = Drive.constant(1.5, 60, "1 ms")
    a, b = (
        Discrete().run(network_of_one(model, "1 ms"), drive, ("before_reset",))
        for model in (adlif, lif)
    )
    first = int(b.spikes[0].step[0])
    assert int(a.spikes[0].step[0]) == first
    # one leaves what passed the threshold and the other does not: equal to the spike, apart after
    # it
    assert (
        np.abs(a.traces[0]["before_reset"] - b.traces[0]["before_reset"])[0, : first + 1].max()
        < 1e-15
    )
    assert np.abs(a.traces[0]["before_reset"] - b.traces[0]["before_reset"])[0, first + 1] > 1e-3


def settled(model, value, dt, n_steps):
    """Run one neuron on a constant input; return its states after each step, and its spikes."""
    network = network_of_one(model, dt)
    state = LayerState.start(network.layers[0], network.dt, 1)
    rows, fired = [], []
    for _ in range(n_steps):
        fired.append(bool(state.step(np.array([[value]]))[0][0, 0]))
        rows.append({name: float(array[0, 0]) for name, array in state.state.items()})
    return rows, np.flatnonzero(fired)


def test_the_threshold_of_alif_settles_where_its_jumps_fade():
    model = refsim.load("alif", alpha=0.5, rho=0.9, b0=0.25)
    p = model.constants(1e-3)
    rows, fired = settled(model, 1.6, "1 ms", 2000)
    assert len(set(np.diff(fired[-8:]))) == 1
    n = int(fired[-1] - fired[-2])
    # a spike every n steps: b = (b + jump) fading for n steps; 0.9^2000 is nothing
    assert rows[int(fired[-1])]["b"] == pytest.approx(p["jump_b"] / (1 - p["rho"] ** n), rel=1e-12)


def test_the_current_of_adlif_settles_below_threshold():
    model = refsim.load("adlif", a=0.5)
    rows, fired = settled(model, 1.0, "1 ms", 3000)
    assert not len(fired)
    assert rows[-1]["v"] == pytest.approx(1.0 / 1.5, rel=1e-12)  # v = I - w and w = a*v
    assert rows[-1]["w"] == pytest.approx(0.5 * 1.0 / 1.5, rel=1e-12)


def test_izhikevich_rests_where_its_nullclines_cross():
    rows, fired = settled(refsim.load("izhikevich"), 0.0, "0.25 ms", 8000)
    assert not len(fired)
    # 0.04 v^2 + 5 v + 140 - 0.2 v = 0 at v = -70 and v = -50 mV, the lower of them stable
    assert rows[-1]["v"] == pytest.approx(-0.070, abs=1e-9)
    assert rows[-1]["u"] == pytest.approx(-0.014, abs=1e-9)


# --- resonance ---


@pytest.mark.parametrize("card", ["rf", "rf_iz", "adrf"])
def test_two_pulses_fire_it_where_they_come_a_period_apart(card):
    model = refsim.load(card)
    for gap, fires in ((8, False), (16, True), (24, False), (32, False)):
        current = np.zeros((1, 60, 1))
        # Alone 0.37 at most, below 0.5; 0.45*0.95^16 = 0.2 is left after a period.
        current[0, [0, gap], 0] = 0.45
        assert (
            bool(
                len(
                    Discrete()
                    .run(network_of_one(model, "1 ms"), Drive.current(current, "1 ms"))
                    .spikes[0]
                )
            )
            == fires
        )


def test_rf_resonates_at_its_frequency():
    model = refsim.load("rf", v_th=1e9, decay=0.98)
    turn, decay, k = 2 * np.pi / 16, 0.98, np.arange(1600)
    found = []
    frequencies = turn * np.linspace(0.5, 1.5, 21)
    for omega in frequencies:
        run = Discrete().run(
            network_of_one(model, "1 ms"),
            Drive.current(np.cos(omega * k).reshape(1, -1, 1), "1 ms"),
            ("before_reset",),
        )
        found.append(
            2
            * abs(
                np.mean(run.traces[0]["before_reset"][0, -800:, 0] * np.exp(-1j * omega * k[-800:]))
            )
        )
    # y is the response decay^k*sin(turn*k) to each input: its transfer function is a sum of two
    # poles
    shift = np.exp(-1j * frequencies)
    exact = np.abs(
        decay * np.sin(turn) * shift / (1 - 2 * decay * np.cos(turn) * shift + decay**2 * shift**2)
    )
    # the mean over 800 steps holds the other frequency too, at most 2*exact/(800*|sin omega|), 1 %;
    # the transient is 1e-7
    assert np.abs(np.array(found) / exact - 1).max() < 0.015
    assert frequencies[np.argmax(found)] == pytest.approx(turn)


# --- order of the declared methods ---

# Card -> input below threshold, step, and the order of the method that fine mode uses; None for the
# exact solution.
ORDERS = {
    "adex": (500e-12, 0.002, 1),
    "izhikevich": (0.001, 0.001, 1),
    "adlif": (0.8, 0.004, 1),
    "adrf": (0.0, 0.004, 4),
    "alif": (0.45, 0.004, None),
    "mat2": (300e-12, 0.002, None),
    "glif5": (200e-12, 0.002, None),
    "rf": (0.0, 0.004, None),
}


def continuous(model, value, dt, end):
    """Solve the ODE of a card by SciPy for a constant input; return the membrane at the end."""
    odes = read_odes(model.continuous.equations, model.name)
    known, names = {**model.constants(dt), "step": dt, "I": value}, list(odes.slopes)

    def slope(_, y):
        scope = {**known, **dict(zip(names, y, strict=True))}
        for name, tree in odes.subexpressions.items():
            scope[name] = evaluate(tree, scope, FUNCTIONS)
        return [evaluate(tree, scope, FUNCTIONS) for tree in odes.slopes.values()]

    start = [model.state[name].start for name in names]
    found = solve_ivp(slope, (0, end), start, method="DOP853", rtol=1e-13, atol=1e-18)
    return found.y[names.index(model.membrane), -1]


@pytest.mark.parametrize("card", ORDERS)
def test_fine_mode_has_the_order_of_its_method(card):
    value, dt, order = ORDERS[card]
    model, n_steps = refsim.load(card), 8
    value = value or 0.1  # an impulse, spread over its step
    network, drive = network_of_one(model, dt), Drive.constant(value, n_steps, dt)
    truth, errors = continuous(model, value, dt, n_steps * dt), []
    for refine in (4, 8, 16):
        run = Brian2(mode="fine", refine=refine, target="numpy").run(
            network, drive, ("before_reset",)
        )
        assert not len(run.spikes[0])
        errors.append(abs(run.traces[0]["before_reset"][0, -1, 0] - truth))
    if order is None:
        assert max(errors) < 1e-11 * abs(truth)  # SciPy's 1e-13 at each of its steps, and rounding
    else:
        # Nearer to it with each halving.
        assert np.abs(np.log2(np.array(errors[:-1]) / errors[1:]) - order).max() < 0.15 * order
