"""The biophysical cards: engines agree, rest is rest, the step has the order it declares, and NEST
and phase planes say the same.
"""

import dataclasses
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import every_engine_agrees
from oracle_biophysical import FLOWS, PATCH, held_at, hopf, jacobian, rest, solved, steady

import refsim
from refsim import Discrete, Drive
from refsim.cards.language import SCALAR_FUNCTIONS
from refsim.cases.neuron import network_of_one
from refsim.core.shelf import shelf
from refsim.pytorch.biophysical import BIOPHYSICAL_STEPS, exprel
from refsim.pytorch.layers import Neuron

# card -> step (ms), a current at which it fires (uA/cm2; FitzHugh-Nagumo without unit), membranes
# around its rest
CARDS = {
    "hh": (0.05, 12.0, (-70, -60)),
    "hh_traub": (0.05, 3.0, (-70, -62)),
    "wang_buzsaki": (0.025, 2.0, (-68, -60)),
    "morris_lecar": (0.25, 120.0, (-70, -50)),
    "fitzhugh_nagumo": (0.125, 0.5, (-2, -1)),
}


def unit(name):
    """Return how many of the oracle's units a volt is."""
    return 1.0 if name == "fitzhugh_nagumo" else 1e3


def membrane(name, dt, currents, model=None):
    """Return spikes (n,) and membranes (n_steps, n) after each step, for currents (n_steps, n) in
    the oracle's unit.
    """
    network = refsim.Network.dense(
        [(np.eye(currents.shape[1]), None, model or refsim.load(name))], f"{dt} ms"
    )
    found = Discrete().run(
        network, Drive.current(PATCH[name] * currents[None], f"{dt} ms"), ("before_reset",)
    )
    return found.spikes[0].counts()[0], unit(name) * found.traces[0]["before_reset"][0]


def started(name, values):
    """Return the card with other states at the start, SI."""
    model = refsim.load(name)
    rows = zip(model.state.items(), values, strict=True)
    return dataclasses.replace(
        model,
        state={key: dataclasses.replace(state, start=float(value)) for (key, state), value in rows},
    )


@pytest.mark.parametrize("name", CARDS)
def test_every_engine_agrees_on_a_noisy_current(name, rng):
    # The noise of an input differs from sample to sample; libraries differ in the last place of
    # exp, and a spike's steep flank multiplies that by some 1e3. No neuron here is chaotic; a long
    # run of one that is would part.
    dt, current, _ = CARDS[name]
    n_steps = int(30 / dt)
    slow = np.repeat(rng.normal(1.0, 0.6, (2, n_steps // 20, 3)), 20, axis=1)
    network = refsim.Network.dense([(np.eye(3), None, refsim.load(name))], f"{dt} ms")
    found = every_engine_agrees(
        network, Drive.current(PATCH[name] * current * slow, f"{dt} ms"), digits=1e-10
    )
    assert len(found.spikes[0]) >= 4


@pytest.mark.parametrize("name", CARDS)
def test_the_card_starts_at_the_rest_that_a_root_solver_finds(name):
    start = np.array([state.start for state in refsim.load(name).state.values()]) * [
        unit(name),
        *[1] * (len(refsim.load(name).state) - 1),
    ]
    # Brentq to 1e-13 mV, and printed digits.
    assert np.abs(start - rest(name, *CARDS[name][2])).max() < 1e-9
    dt = CARDS[name][0]
    fired, v = membrane(name, dt, np.zeros((int(200 / dt), 1)))
    assert not fired.any()
    assert np.abs(v - start[0]).max() < 1e-9  # stable: 200 ms let a growing mode show


@pytest.mark.parametrize("name", CARDS)
def test_strong_drive_of_both_signs_gives_numbers(name):
    # 5 and 20 times the current at which it fires, for 50 ms, and then nothing: all membranes are
    # finite, and come back
    dt, current, _ = CARDS[name]
    n_on, n_off = int(50 / dt), int(200 / dt)
    factors = (
        np.array([-20.0, -5.0, 0.0, 5.0, 20.0])
        if name.startswith("hh")
        else np.array([-5.0, -2.0, 0.0, 2.0, 5.0])
    )
    currents = np.concatenate([np.ones((n_on, 1)) * current * factors, np.zeros((n_off, 5))])
    _, v = membrane(name, dt, currents)
    assert np.isfinite(v).all()
    assert np.abs(v[-1] - v[-1, 2]).max() < 0.05 * (np.ptp(v[:, 2]) + unit(name) / 20)


@pytest.mark.parametrize(
    ("name", "until", "powers", "order"),
    [
        ("hh", 4, (6, 7, 8, 9), 1),
        ("hh_traub", 8, (5, 6, 7, 8), 1),
        ("wang_buzsaki", 8, (6, 7, 8), 4),
        ("morris_lecar", 16, (2, 3, 4, 5), 4),
        ("fitzhugh_nagumo", 4, (2, 3, 4, 5), 4),
    ],
)
def test_the_step_converges_at_the_order_of_its_method(name, until, powers, order):
    model, current = refsim.load(name), CARDS[name][1]
    assert model.discrete.solution == {1: "exponential_euler", 4: "rk4"}[order]
    start = rest(name, *CARDS[name][2])
    exact = solved(name, start, current, np.array([until]))[0, 0]
    assert abs(exact - start[0]) > 1  # something happened
    errors = [
        abs(membrane(name, 2.0**-k, np.full((until * 2**k, 1), current))[1][-1, 0] - exact)
        for k in powers
    ]
    fitted = -np.polyfit(powers, np.log2(errors), 1)[0]
    # To tell 4 from 3 and 1 from 2 is asked; higher terms are left.
    assert abs(fitted - order) < 0.25 if order == 4 else abs(fitted - order) < 0.1


# --- NEST ---

NEST = {"hh": "hh_psc_alpha", "hh_traub": "hh_cond_exp_traub"}


def as_nest_runs_it(name, method, tmp_path):
    """Return the card's ODE text under a method, with NEST's parameters and start, and the stored
    case.
    """
    case = tomllib.loads((shelf("validation") / "nest" / f"{NEST[name]}.toml").read_text("utf-8"))
    given, start = case["parameters"], case["start"]
    text = (
        (shelf("equations") / f"{name}.toml")
        .read_text("utf-8")
        .replace('"exponential_euler"', f'"{method}"')
    )
    (tmp_path / "card.toml").write_text(text.replace(f'name = "{name}"', 'name = "other"'))
    same = {
        "C_m": "c_m",
        "g_Na": "g_na",
        "g_K": "g_k",
        "g_L": "g_l",
        "E_Na": "e_na",
        "E_K": "e_k",
        "E_L": "e_l",
        "V_T": "v_t",
    }
    values = {
        ours: f"{given[theirs]['value']} {given[theirs]['unit']}"
        for theirs, ours in same.items()
        if theirs in given
    }
    model = refsim.load(tmp_path / "card.toml", **values)
    first = {
        "v": 1e-3 * start["V_m"]["value"],
        "m": start["Act_m"]["value"],
        "h": start["Inact_h"]["value"],
        "n": start["Act_n"]["value"],
    }
    return dataclasses.replace(
        model,
        state={
            key: dataclasses.replace(state, start=first[key]) for key, state in model.state.items()
        },
    ), case


def peaks(v, dt, above):
    """Return the times of the maxima of a trace, each the vertex of a parabola through three
    points.
    """
    middle = v[1:-1]
    (at,) = np.nonzero((middle > v[:-2]) & (middle >= v[2:]) & (middle > above))
    left, top, right = v[at], v[at + 1], v[at + 2]
    # V[0] is the membrane after one step.
    return dt * (at + 2 + 0.5 * (left - right) / (left - 2 * top + right))


def run_as_nest(name, method, dt, until, tmp_path):
    """Return our membrane (mV), our maxima and NEST's (ms), and the stored case."""
    model, case = as_nest_runs_it(name, method, tmp_path)
    current = 1e-12 * case["parameters"]["I_e"]["value"]
    network = network_of_one(model, f"{dt} ms")
    v = (
        1e3
        * Discrete()
        .run(network, Drive.constant(current, int(until / dt), f"{dt} ms"), ("before_reset",))
        .traces[0]["before_reset"][0, :, 0]
    )
    row = min(case["spikes"], key=lambda row: row["resolution_ms"])
    theirs = np.array(row["steps"]) * row["resolution_ms"]
    above = 0.0 if name == "hh" else -33.0
    return v, peaks(v, dt, above), theirs[theirs < until - dt], case


@pytest.mark.parametrize("name", NEST)
def test_nest_agrees_with_the_ode_of_the_card(name, tmp_path):
    dt, until = 2.0**-6, 128
    v, ours, theirs, case = run_as_nest(name, "rk4", dt, until, tmp_path)
    assert len(ours) == len(theirs) >= 8
    # The issue asks for 0.01 ms after 100 ms; NEST stamps a maximum up to two of its steps of 2^-12
    # ms late.
    assert np.abs(ours - theirs).max() < 0.01
    trace = np.array(case["trace"][0]["values"][: 2 * until])
    # 0.01 ms of a flank of 400 mV/ms would be 4 mV; the rk4 of 2^-6 ms is far better than that, and
    # 0.1 mV lets no constant be off by 1 %.
    assert np.abs(v[31::32] - trace).max() < 0.1


@pytest.mark.parametrize("name", NEST)
def test_the_declared_step_comes_to_nest_at_order_one(name, tmp_path):
    # Exponential Euler shifts each interval by a share of dt, so at 0.1 ms it cannot be within 0.01
    # ms after 100 ms: it is halved with dt.
    errors = []
    for k in (6, 7, 8):
        _, ours, theirs, _ = run_as_nest(name, "exponential_euler", 2.0**-k, 60, tmp_path)
        assert len(ours) == len(theirs)
        errors.append(np.abs(ours - theirs).max())
    assert errors[0] > 0.01
    assert 1.8 < errors[0] / errors[1] < 2.2
    assert 1.8 < errors[1] / errors[2] < 2.2


# --- phase planes ---


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("hh", -62, -55), ("morris_lecar", -35, -22), ("fitzhugh_nagumo", -1.1, -0.9)],
)
def test_firing_begins_at_the_hopf_bifurcation(name, low, high):
    # Started a little off the fixed point, the oscillation dies below the current of the
    # bifurcation and fires above it.
    current, v = hopf(name, low, high)
    printed, half_a_digit = {
        "hh": (9.78, 5e-3),
        "morris_lecar": (93.86, 5e-3),
        "fitzhugh_nagumo": (0.3313, 5e-5),
    }[name]
    # Rinzel and Ermentrout 1998 print 93.86; the others are the literature's too.
    assert abs(current - printed) < half_a_digit
    # the squid's oscillation grows by 1/(180 ms) only at 3 % above
    dt, lasts, parts = {
        "hh": (0.02, 300, (0.9, 1.2)),
        "morris_lecar": (0.25, 2000, (0.97, 1.03)),
        "fitzhugh_nagumo": (0.125, 1400, (0.97, 1.03)),
    }[name]
    fired = []
    for part in parts:
        at = held_at(name, part * current, v)
        state = steady(name, at)
        assert (np.linalg.eigvals(jacobian(name, state, part * current)).real.max() > 0) == (
            part > 1
        )
        state[0] += 1e-3 * abs(v)
        model = started(name, state / [unit(name), *[1] * (len(state) - 1)])
        fired.append(
            int(membrane(name, dt, np.full((int(lasts / dt), 1), part * current), model)[0][0])
        )
    assert fired[0] == 0
    assert fired[1] > 3


def test_fitzhugh_nagumo_loses_its_rest_where_paper_says():
    # trace of the Jacobian: 1 - v^2 - eps*b = 0, on paper
    v = -np.sqrt(1 - 0.08 * 0.8)
    current, found = hopf("fitzhugh_nagumo", -1.1, -0.9)
    assert abs(found - v) < 1e-8  # central differences
    assert abs(current - ((v + 0.7) / 0.8 - v + v**3 / 3)) < 1e-8


# --- rates ---


@pytest.mark.parametrize("name", FLOWS)
def test_no_rate_has_a_hole_at_its_singular_point(name):
    # x/(exp(x) - 1) is 0/0 where the membrane is exactly at -40 mV and the like
    for at in (-40.0, -55.0, -50.0, -23.0, -48.0, -35.0, -34.0, -2.0, 0.0):
        others = [state.start for state in refsim.load(name).state.values()][1:]
        _, v = membrane(name, 0.001, np.zeros((3, 1)), started(name, [at / unit(name), *others]))
        assert np.isfinite(v).all()


@pytest.mark.parametrize("x", [0.0, 1e-300, -1e-17, 1e-16, 1e-9, -3.0, 2.5, 700.0, -800.0])
def test_exprel_is_one_function_everywhere(x):
    mpmath = pytest.importorskip("mpmath")
    from refsim.engines.discrete import FUNCTIONS

    exact = float(mpmath.expm1(x) / mpmath.mpf(x)) if x else 1.0
    found = (
        SCALAR_FUNCTIONS["exprel"](x),
        float(FUNCTIONS["exprel"](np.array([x]))[0]),
        float(exprel(torch.tensor(x, dtype=torch.float64))),
    )
    # Expm1 to two units in the last place, and a division.
    assert all(abs(value - exact) <= 4 * 2.0**-53 * exact for value in found)


def test_the_gradient_of_a_rate_at_its_singular_point_is_a_number():
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    exprel(x).backward()
    assert x.grad.item() == 0.5


def test_each_card_has_a_layer():
    layers = {layer.card: layer for layer in Neuron.__subclasses__()}
    for name in BIOPHYSICAL_STEPS:
        module = layers[name](dt=f"{CARDS[name][0]} ms")
        assert torch.isfinite(module(torch.zeros(2, 3))).all()
        assert Path(shelf("equations") / f"{name}.toml").is_file()
