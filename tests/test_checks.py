"""Each check catches its rogue, no other check does, and without the check the rogue would pass."""

import dataclasses

import pytest
import torch
from rogue_cards import CARD_ROGUES, altered, euler_card
from rogues import DECLARED, JUDGE_ROGUES, MODULE_ROGUES, STEP_ROGUES, honest_judge, honest_module

import refsim
from refsim.cards.read import load_all
from refsim.checks import JUDGE_CHECKS, MAP_CHECKS, STEP_CHECKS
from refsim.pytorch.steps import STEPS
from refsim.pytorch.surrogate import heaviside

STEP_CASES = [
    pytest.param(card, rogue, id=rogue.name)
    for card, rogues in STEP_ROGUES.items()
    for rogue in rogues
]


def failed(verdicts):
    """Names of the checks that did not pass; one that could not measure counts as neither."""
    return {verdict.claim.measure for verdict in verdicts if verdict.status == "fail"}


def hand_written(model):
    """Our own PyTorch step of a card, as check_step takes it."""

    def step(x, s):
        s = (
            {name: torch.full_like(x, state.start) for name, state in model.stepped.items()}
            if s is None
            else s
        )
        z, _, s = STEPS[model.name](x, s, {**model.constants(1.0), "step": 1.0}, heaviside)
        return z, s

    return step


# Neurons that pulses can probe: one dimensionless input, a threshold and a reset, no chance, and
# steps that are the same however long they last.
PROBED = [
    model
    for model in load_all()
    if model.input_unit == "1"
    and not {"stochastic", "readout", "integer", "no_reset"} & set(model.traits)
    and len(model.inputs) == 1
    and not model.timed
]


@pytest.mark.parametrize("model", PROBED, ids=lambda model: model.name)
def test_our_own_steps_pass_every_check(model):
    verdicts = {
        verdict.claim.measure: verdict.status
        for verdict in refsim.check_step(hand_written(model), model, as_input=torch.tensor)
    }
    assert set(verdicts) == set(STEP_CHECKS)
    assert set(verdicts.values()) <= {"pass", "skipped"}
    if len(model.stepped) == 1:  # one state that a pulse reaches at once: nothing is left out
        assert set(verdicts.values()) == {"pass"}


@pytest.mark.parametrize(("card", "rogue"), STEP_CASES)
def test_a_rogue_step_is_caught_by_its_check_alone(card, rogue):
    assert failed(refsim.check_step(rogue.make(), DECLARED[card]())) == {rogue.caught_by}


@pytest.mark.parametrize(("card", "rogue"), STEP_CASES)
def test_without_its_check_a_rogue_step_passes(card, rogue):
    assert not failed(
        refsim.check_step(rogue.make(), DECLARED[card](), skip={rogue.caught_by, "trains"})
    )


def test_every_step_check_has_its_rogue():
    assert {rogue.caught_by for rogues in STEP_ROGUES.values() for rogue in rogues} == set(
        STEP_CHECKS
    )


def test_a_float32_step_is_right_where_precision_is_not_asked():
    model = refsim.load("lif_decay", decay=0.875)
    verdicts = refsim.check_step(
        hand_written(model),
        model,
        as_input=lambda x: torch.tensor(x, dtype=torch.float32),
        skip={"precision"},
    )
    assert {verdict.status for verdict in verdicts} == {"pass"}


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (lambda x, state: None, r"must return \(spikes, state\), but returned NoneType"),
        (lambda x, state: (x[:1] > 0.5, state), r"returned spikes of shape \(1,\)"),
        (lambda x, state: (0.5 * (x > 0.5), state), "returned 0.5 for a spike"),
    ],
)
def test_a_step_that_is_no_step_is_explained(step, says):
    with pytest.raises(refsim.RefsimError, match=says):
        refsim.check_step(step, refsim.load("srif"))


def test_a_neuron_without_a_threshold_to_probe_is_refused():
    with pytest.raises(refsim.RefsimError, match="fires without input"):
        refsim.check_step(lambda x, state: (x > 0, state), refsim.load("srif", v_th=0.0))


def test_a_probe_that_cannot_measure_leaves_the_catch_all_on():
    # a neuron that forgets at once allows no probe of its memory: neither a failure nor an excuse
    model = refsim.load("lif_decay", decay=1e-300)
    verdicts = {
        verdict.claim.measure: verdict.status
        for verdict in refsim.check_step(hand_written(model), model, as_input=torch.tensor)
    }
    assert not failed(refsim.check_step(hand_written(model), model, as_input=torch.tensor))
    assert verdicts["inhibition"] == "skipped"
    assert verdicts["trains"] == "pass"
    ternary = next(
        rogue for rogue in STEP_ROGUES["srif"] if rogue.name == "fires below as well"
    ).make()
    assert "trains" in failed(refsim.check_step(lambda x, v: (ternary(x, None)[0], None), model))


def test_clip_in_a_step_is_understood():
    clipped = altered("v = keep*v + I/tau", "v = clip(keep*v + I/tau, -10, 10)")
    assert refsim.check_declared_step(clipped).status == "fail"


def test_a_deaf_neuron_fails_and_does_not_hang():
    assert "gain" in failed(refsim.check_step(lambda x, state: (x * 0, None), refsim.load("srif")))


# --- modules ---


@pytest.fixture
def network():
    return refsim.bridge.load(honest_module(), dt="1 ms")


def test_an_honest_module_passes(network):
    verdicts = refsim.check_module(honest_module(), network)
    assert {verdict.claim.measure: verdict.status for verdict in verdicts} == dict.fromkeys(
        MAP_CHECKS, "pass"
    )


@pytest.mark.parametrize("rogue", MODULE_ROGUES, ids=lambda rogue: rogue.name)
def test_a_rogue_module_is_caught_by_its_check_alone(rogue, network):
    assert failed(refsim.check_module(rogue.make(), network)) == {rogue.caught_by}
    assert not failed(refsim.check_module(rogue.make(), network, skip={rogue.caught_by, "maps"}))


@pytest.mark.parametrize("rogue", MODULE_ROGUES, ids=lambda rogue: rogue.name)
def test_a_rogue_module_also_fails_the_main_question(rogue, network, rng):
    drive = refsim.Drive.bernoulli(rng.random((20, 6)), 60, "1 ms", 0)
    trial = refsim.run(network, drive, refsim.Torch(module=rogue.make()))
    assert refsim.compare(refsim.run(network, drive, refsim.Discrete()), trial).verdict == "fail"


def test_every_map_check_has_its_rogue():
    assert {rogue.caught_by for rogue in MODULE_ROGUES} == set(MAP_CHECKS)


# --- judges ---


def test_refsim_itself_is_an_honest_judge():
    verdicts = refsim.check_judge(honest_judge)
    assert {verdict.claim.measure: verdict.status for verdict in verdicts} == dict.fromkeys(
        JUDGE_CHECKS, "pass"
    )


@pytest.mark.parametrize("rogue", JUDGE_ROGUES, ids=lambda rogue: rogue.name)
def test_a_rogue_judge_is_caught_by_its_check_alone(rogue):
    assert failed(refsim.check_judge(rogue.make())) == {rogue.caught_by}
    assert not failed(refsim.check_judge(rogue.make(), skip={rogue.caught_by}))


def test_every_judge_check_has_its_rogue():
    assert {rogue.caught_by for rogue in JUDGE_ROGUES} == set(JUDGE_CHECKS)


# --- cards ---


@pytest.mark.parametrize("model", load_all(), ids=lambda model: model.name)
def test_every_declared_step_solves_its_ode(model):
    verdict = refsim.check_declared_step(model)
    claims_none = model.discrete.solution in ("map", "kernel")
    assert verdict.status == ("skipped" if claims_none else "pass"), verdict.detail


@pytest.mark.parametrize("rogue", CARD_ROGUES, ids=lambda rogue: rogue.name)
def test_a_rogue_card_is_refused(rogue):
    verdict = refsim.check_declared_step(rogue.make())
    assert (verdict.status, verdict.claim.measure) == ("fail", rogue.caught_by)
    assert "differ" in verdict.detail


def test_an_euler_step_that_says_so_is_right():
    euler = euler_card()
    honest = dataclasses.replace(
        euler, discrete=dataclasses.replace(euler.discrete, solution="euler")
    )
    assert refsim.check_declared_step(honest).status == "pass"
    assert (
        refsim.check_declared_step(
            dataclasses.replace(refsim.load("lif"), discrete=honest.discrete)
        ).status
        == "fail"
    )


@pytest.mark.parametrize("check", ["check_step", "check_module"])
def test_a_check_that_does_not_exist_cannot_be_skipped(check, network):
    arguments = {
        "check_step": (lambda x, s: (x, s), refsim.load("srif")),
        "check_module": (honest_module(), network),
    }[check]
    with pytest.raises(refsim.RefsimError, match="'?latencies'? is not a check; known are"):
        getattr(refsim, check)(*arguments, skip={"latencies"})
