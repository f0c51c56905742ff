"""Slips in a biophysical neuron, each caught by name.

The check says which state is wrong, or the main question says fail.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

import refsim
from refsim import Discrete, Drive, Torch
from refsim.cards.language import Statement, parse_expression
from refsim.cases.neuron import network_of_one
from refsim.pytorch.biophysical import BIOPHYSICAL_STEPS, hh_traub_step
from refsim.pytorch.steps import STEPS


def rewritten(card, change: Callable[[list[tuple[str, str]]], list[tuple[str, str]]]):
    """Return a card whose declared step alone is changed, as a list of (target, text)."""
    model = refsim.load(card)
    before = [(statement.target, statement.text) for statement in model.discrete.integrate]
    after = change(before)
    assert after != before
    statements = tuple(
        Statement(target, text, parse_expression(text, card)) for target, text in after
    )
    return dataclasses.replace(
        model, discrete=dataclasses.replace(model.discrete, integrate=statements)
    )


def replaced(old, new, *targets):
    return lambda rows: [
        (target, text.replace(old, new) if not targets or target in targets else text)
        for target, text in rows
    ]


def new_membrane_first(rows):
    """Move the membrane's update before the rates, which then see the new membrane."""
    at = next(index for index, row in enumerate(rows) if row[0] == "x")
    membrane = [row for row in rows if row[0] in ("v_rate_", "v_ratio_", "v_kept_", "v")]
    return [*rows[:at], *membrane, *(row for row in rows[at:] if row not in membrane)]


# slip -> (card, change, the states that the check must name, and no others)
SLIPS = {
    "g_na in mS": ("hh", replaced("g_na", "1000*g_na"), {"v"}),
    "current in nA": ("hh_traub", replaced("+ I", "+ 1000*I"), {"v"}),
    "gates see the new membrane": ("hh", new_membrane_first, {"m", "h", "n"}),
    "gates see the new membrane, Traub": ("hh_traub", new_membrane_first, {"m", "h", "n"}),
    "a lost factor 0.07 in a rate": ("hh", replaced("0.07 * ", "", "alpha_h"), {"h"}),
    "beta_n without its 0.125": ("hh", replaced("0.125 * ", "", "beta_n"), {"n"}),
    "a rate shifted by 1 mV": ("hh_traub", replaced("13 - x", "14 - x"), {"m"}),
    # The stages carry it on.
    "half of phi": (
        "wang_buzsaki",
        replaced("phi * ", "0.5*phi * ", "n_k1_", "n_k2_", "n_k3_", "n_k4_"),
        {"v", "h", "n"},
    ),
    "half the width of potassium": ("morris_lecar", replaced("2 * v_4", "v_4"), {"v", "w"}),
    "the slow variable as fast": ("fitzhugh_nagumo", replaced("eps * ", ""), {"v", "w"}),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_in_the_step_is_caught_by_the_state_it_spoils(slip):
    card, change, states = SLIPS[slip]
    verdict = refsim.check_declared_step(rewritten(card, change))
    assert verdict.status == "fail"
    assert {part.split(":")[0] for part in verdict.detail.split("; ")} & set(
        refsim.load(card).state
    ) == states


def test_a_forgotten_phi_is_a_wrong_unit():
    with pytest.raises(refsim.RefsimError, match="'n' has unit 1; 'result_[0-9]+_' has unit s"):
        refsim.check_declared_step(
            rewritten("wang_buzsaki", replaced("phi * ", "", "n_k1_", "n_k2_", "n_k3_", "n_k4_"))
        )


# --- slips of a PyTorch step ---


def with_parameters(step, **factors):
    """Return a step that multiplies some of its parameters: a unit misread."""
    return lambda x, s, p, fire: step(
        x, s, {**p, **{name: p[name] * factor for name, factor in factors.items()}}, fire
    )


def sees_the_new_membrane(x, s, p, fire):
    """Traub's neuron whose gates are moved with the membrane of the end of the step."""
    z, seen, after = hh_traub_step(x, s, p, fire)
    _, _, late = hh_traub_step(x, {**s, "v": after["v"]}, p, fire)
    return z, seen, {**late, "v": after["v"]}


def fires_while_above(x, s, p, fire):
    """Morris-Lecar that fires in every step above its threshold."""
    _, seen, after = BIOPHYSICAL_STEPS["morris_lecar"](x, s, p, fire)
    return (seen >= p["v_th"]).to(x.dtype), seen, after


# The upstroke of an action potential spreads small differences, and the repolarisation takes them
# back: so does the bound on rounding, and what differs is a fault. Recorded membranes show it even
# where no spike does.
FOREIGN = {
    "g_na in mS": ("hh", with_parameters(STEPS["hh"], g_na=1e-3), 1.2e-9, "0.05 ms", "fail"),
    "phi per ms": ("hh", with_parameters(STEPS["hh"], phi=1e-3), 1.2e-9, "0.05 ms", "fail"),
    "gates see the new membrane": ("hh_traub", sees_the_new_membrane, 0.6e-9, "0.05 ms", "fail"),
    "a spike a step": ("morris_lecar", fires_while_above, 12e-9, "0.25 ms", "fail"),
}


@pytest.mark.parametrize("slip", FOREIGN)
def test_a_slip_in_pytorch_never_passes(slip):
    card, step, current, dt, expected = FOREIGN[slip]
    network, drive = network_of_one(refsim.load(card), dt), Drive.constant(current, 500, dt)
    reference, trial, ours = (
        engine.run(network, drive, ("before_reset",))
        for engine in (
            Discrete(),
            Torch(dtype="float64", steps={card: step}),
            Torch(dtype="float64"),
        )
    )
    assert len(reference.spikes[0]) >= 2
    assert refsim.compare(reference, trial).verdict == expected
    assert refsim.compare(reference, ours).verdict == "pass"
    truth, wrong, right = (run.traces[0]["before_reset"] for run in (reference, trial, ours))
    size = np.abs(truth).max()
    assert np.abs(right - truth).max() < 1e-10 * size  # what the engines are held to
    assert np.abs(wrong - truth).max() > 1e-4 * size or slip == "a spike a step"


def test_an_exponential_that_runs_away_is_named_and_hangs_nothing():
    # Runge-Kutta's stages nest exponentials; where the ODE's explode and the step's do not, the
    # check must end, and not with "pass"
    steep = rewritten(
        "wang_buzsaki",
        lambda rows: [
            (target, text) if not target.startswith("v_k") else (target, "0*v")
            for target, text in rows
        ],
    )
    verdict = refsim.check_declared_step(steep)
    assert verdict.status == "fail"
    assert "v" in {part.split(":")[0] for part in verdict.detail.split("; ")}


def test_a_step_that_falls_silent_is_no_truth():
    # the trap that decided the method: forward steps of order 4 overflow in the upstroke at 0.1 ms,
    # exponential Euler does not
    found = Discrete().run(
        network_of_one(refsim.load("hh"), "0.1 ms"),
        Drive.constant(1.2e-9, 1000, "0.1 ms"),
        ("before_reset",),
    )
    assert len(found.spikes[0]) >= 5
    assert np.isfinite(found.traces[0]["before_reset"]).all()
