"""LIF on paper: membrane and first spike under a constant current, at steps from 1 ms to 2^-13 ms,
and knife edges in dyadic numbers.
"""

import dataclasses
import math

import numpy as np
import pytest
from conftest import mismatches

import refsim
from refsim import Brian2, Discrete, Drive, Torch
from refsim.cards.language import parse_statements
from refsim.cases.case import read_case
from refsim.cases.neuron import network_of_one
from refsim.core.shelf import shelf

TAU_M, AT, CURRENT = 2.0, 1.0, 1.0  # ms; the spike falls on 1 ms, a grid point of every step
POWERS = range(14)
MEMBRANE = CURRENT * (1 - math.exp(-AT / TAU_M))
# The share of the membrane that a step keeps is rounded by 2^-54 once and used 2^13 times, and each
# step rounds by 2^-54 twice or so: below 1e-12 in the worst case, which is the limit. The
# thresholds are laid just outside of it.
LIMIT = 1e-12
# Threshold a hair below the membrane at 1 ms, and a hair above it.
STEPS_LATE = {-2 * LIMIT: 0, +2 * LIMIT: 1}


def declared(card, step, v_th, **more):
    """Return the card with the membrane time constant of 2 ms at a step (ms), and the input that
    charges it to CURRENT.
    """
    kept = math.exp(-step / TAU_M)
    lost = -math.expm1(-step / TAU_M)
    if card == "lif":
        return refsim.load(card, tau=1 / lost, v_th=v_th), CURRENT
    return refsim.load(card, decay=kept, v_th=v_th, **more), CURRENT * lost


def first_spike_and_membrane(engine, model, step, current, n_steps):
    found = engine.run(
        network_of_one(model, f"{step} ms"),
        Drive.constant(current, n_steps, f"{step} ms"),
        ("before_reset",),
    )
    return found.spikes[0].step, found.traces[0]["before_reset"][0, :, 0]


@pytest.mark.parametrize("hair", STEPS_LATE)
@pytest.mark.parametrize("card", ["lif", "lif_decay", "lif_refractory"])
@pytest.mark.parametrize(
    ("engine", "powers"),
    [
        (Discrete(), POWERS),
        (Brian2(target="numpy"), (0, 4, 9, 13)),
        (Torch(dtype="float64"), (0, 4, 9, 13)),
    ],
)
def test_membrane_and_first_spike_at_every_step_size(engine, powers, card, hair):
    for k in powers:
        step, n_steps = 2.0**-k, 2**k + 2
        model, current = declared(card, step, MEMBRANE + hair)
        spikes, membrane = first_spike_and_membrane(engine, model, step, current, n_steps)
        # Step n ends at (n + 1)*dt: the ceiling of the closed form.
        expected = 2**k - 1 + STEPS_LATE[hair]
        assert spikes[0] == expected
        times = step * np.arange(1, expected + 2)
        assert np.abs(membrane[: expected + 1] + CURRENT * np.expm1(-times / TAU_M)).max() < LIMIT


@pytest.mark.parametrize("hair", STEPS_LATE)
def test_brian2_with_units_solves_the_ode_to_the_same_step(hair):
    # fine mode: tau_m in seconds, Brian2's own exact updater, steps of 1 ms / 2^k; it divides a
    # step by 4096 at most
    for k in POWERS:
        coarse = 0.5 if k == 13 else 1.0
        model, current = declared("lif", coarse, MEMBRANE + hair)
        assert abs(model.constants(1e-3 * coarse)["tau_m"] - 1e-3 * TAU_M) < 1e-17
        engine = Brian2(mode="fine", refine=int(coarse * 2**k), target="numpy")
        found = engine.run(
            network_of_one(model, f"{coarse} ms"),
            Drive.constant(current, 3, f"{coarse} ms"),
            ("before_reset",),
        )
        expected = 2**k - 1 + STEPS_LATE[hair]
        assert found.spikes[0].step[0] == expected
        times = 2.0**-k * np.arange(1, expected + 2)
        assert (
            np.abs(
                found.traces[0]["before_reset"][0, : expected + 1, 0]
                + CURRENT * np.expm1(-times / TAU_M)
            ).max()
            < LIMIT
        )


@pytest.mark.parametrize("n_ref", [0, 1, 3])
def test_the_interval_is_the_charge_and_the_refractory_steps(n_ref):
    for k in (0, 3, 7):
        step = 2.0**-k
        model, current = declared("lif_refractory", step, MEMBRANE - 2 * LIMIT, n_ref=n_ref)
        spikes, _ = first_spike_and_membrane(Discrete(), model, step, current, 6 * 2**k + 6 * n_ref)
        assert np.diff(spikes).tolist() == [2**k + n_ref] * (len(spikes) - 1)
        assert len(spikes) >= 4


def test_forward_euler_called_exact_is_caught():
    # the fault that these limits are for: keep = 1 - dt/tau instead of exp(-dt/tau) fires elsewhere
    # and is off by some dt
    for k in (0, 4, 13):
        step = 2.0**-k
        model = refsim.load("lif", tau=TAU_M / step, v_th=MEMBRANE + 2 * LIMIT)
        spikes, membrane = first_spike_and_membrane(Discrete(), model, step, CURRENT, 2**k + 2)
        assert abs(membrane[2**k - 1] - MEMBRANE) > 1e3 * LIMIT
        assert spikes[0] != 2**k


# --- knife edges ---

ENGINES = (Discrete(), Brian2(target="numpy"), Brian2(target="cpp"), Torch(dtype="float64"))
EDGES = ("knife_edge_at", "hard_reset_order", "refractory_count")


@pytest.mark.parametrize("name", EDGES)
def test_the_written_cases_hold(name):
    verdicts = read_case(shelf("validation") / "code" / f"{name}.toml").run().verdicts
    assert {verdict.status for verdict in verdicts} == {"pass"}
    assert len(verdicts) == 6


SLIPS = {
    "> for >=": ("knife_edge_at", "fire", ">=", ">"),
    "reset before the decay": ("hard_reset_order", "reset", "v_reset*z", "v_reset*z/decay"),
    "the rest is kept": ("hard_reset_order", "reset", "v_reset*z", "(v - v_th)*z"),
    "refractory one step short": ("refractory_count", "reset", "n_ref*z", "(n_ref - 1)*z"),
    "refractory one step long": ("refractory_count", "reset", "n_ref*z", "(n_ref + 1)*z"),
    "the membrane leaks while refractory": (
        "refractory_count",
        "reset",
        "v*(1 - z) + v_reset*z",
        "v*(1 - z) + 0.25*z",
    ),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_breaks_its_case(slip):
    name, part, old, new = SLIPS[slip]
    case = read_case(shelf("validation") / "code" / f"{name}.toml")
    model = refsim.load(case.table["neuron"], **case.table.get("parameters", {}))
    statements = [model.discrete.fire] if part == "fire" else getattr(model.discrete, part)
    text = "\n".join(f"{statement.target} = {statement.text}" for statement in statements)
    assert old in text
    changed = parse_statements(text.replace(old, new), name)
    rogue = dataclasses.replace(
        model,
        discrete=dataclasses.replace(
            model.discrete, **{part: changed[0] if part == "fire" else changed}
        ),
    )
    drive = Drive.current(np.reshape(case.table["inputs"], (1, -1, 1)), "1 ms")
    found = Discrete().run(network_of_one(rogue, "1 ms"), drive, ("after_reset",))
    spikes = found.spikes[0].dense()[0, :, 0].astype(int).tolist()
    assert (
        spikes != case.table["expected"]["spikes"]
        or found.traces[0]["after_reset"][0, :, 0].tolist() != case.table["expected"]["after_reset"]
    )


@pytest.mark.parametrize(
    "engine", ENGINES, ids=lambda engine: f"{type(engine).__name__} {getattr(engine, 'target', '')}"
)
def test_above_and_at_are_two_comparisons(engine):
    # 0.5 meets the threshold; the smallest number above it passes
    def strict(x, s, p, fire):
        v = s["v"] + x
        z = (v > p["v_th"]).to(x.dtype)
        return z, v, {"v": v * (1 - z)}

    engine = (
        dataclasses.replace(engine, steps={"strict": strict})
        if isinstance(engine, Torch)
        else engine
    )
    values = np.array([[0.25, 0.25, 0.0, 2.0**-54, 0.0], [0.25, 0.25, 0.0, 2.0**-53, 0.0]])[
        ..., None
    ]
    drive = Drive.current(values, "1 ms")
    above = (
        engine.run(network_of_one(refsim.load("tests/cards/strict.toml"), "1 ms"), drive)
        .spikes[0]
        .dense()[:, :, 0]
        .astype(int)
    )
    # 0.5 + 2^-53 is a number, 0.5 + 2^-54 is not.
    assert above.tolist() == [[0, 0, 0, 0, 0], [0, 0, 0, 1, 0]]
    at = (
        engine.run(network_of_one(refsim.load("if"), "1 ms"), drive)
        .spikes[0]
        .dense()[:, :, 0]
        .astype(int)
    )
    assert at.tolist() == [[0, 1, 0, 0, 0], [0, 1, 0, 0, 0]]


def test_spikes_of_one_step_are_summed_before_the_threshold_looks():
    # excitation alone would fire, with inhibition in the same step it does not, in whatever order
    # they are listed
    weights = np.array([[0.75, -0.5], [-0.5, 0.75], [0.25, 0.25]])
    network = refsim.Network.dense([(weights, None, refsim.load("if"))], "1 ms")
    drive = Drive.events([0, 0, 0, 0], [1, 1, 3, 4], [0, 1, 0, 1], (1, 6, 2), "1 ms")
    runs = [engine.run(network, drive) for engine in ENGINES]
    expected = np.zeros((6, 3), int)
    expected[1, 2] = 1  # 0.25 + 0.25 meets 0.5
    expected[3, 0] = 1  # 0.25 left from step 1, and 0.75
    expected[4, 1] = 1  # 0.25 - 0.5 + 0.75 meets 0.5
    expected[4, 2] = 1  # 0.25 + 0.25 again, after a reset
    assert runs[0].spikes[0].dense()[0].astype(int).tolist() == expected.tolist()
    assert [mismatches(runs[0], run) for run in runs[1:]] == [[0]] * 3
