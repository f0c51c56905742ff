"""One runner for all seven checks.

What is skipped, what is left out and why, and what becomes of code that raises.
"""

import numpy as np
import pytest
import torch
from rogues import honest_judge, honest_module
from test_check_card import own
from torch import nn

import refsim
from refsim import RefsimError
from refsim.checks import (
    CARD_CHECKS,
    GRADIENT_CHECKS,
    JUDGE_CHECKS,
    LOSS_CHECKS,
    MAP_CHECKS,
    STEP_CHECKS,
    SURROGATE_CHECKS,
    Check,
)
from refsim.pytorch import LIF, SRIF, losses
from refsim.pytorch.surrogate import spike_function

FEW = {"card": "names", "gradient": "finite"}  # of those that take long, one that does not


def soft(x, v):
    v = x if v is None else v + x
    z = v >= 0.5
    return z, v - z


def raising(*_given):
    raise KeyError("nobody")


class Failing(nn.Module):
    """A Linear that cannot do without the sign of its input."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x):
        if (x > 0).any():
            raising()
        return self.linear(x)


class Torn(torch.autograd.Function):
    """Passes its input on, and no gradient back."""

    @staticmethod
    def forward(_context, x):
        return x.clone()

    @staticmethod
    def backward(_context, _gradient):
        raising()


class Backwards(nn.Module):
    def forward(self, x):
        return Torn.apply(x)


def gradients(first=None, skip=()):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 5), *([first] if first else []), SRIF("arctangent"))
    return refsim.check_gradient(
        module.double(), losses.spikemax, surrogate="arctangent", dt="1 ms", skip=skip
    ).verdicts


def maps(module, skip=()):
    return refsim.check_module(module, refsim.bridge.load(honest_module(), dt="1 ms"), skip=skip)


def through(part):
    return nn.Sequential(part, SRIF(), nn.Linear(6, 6), SRIF(), nn.Linear(6, 6), SRIF())


# The check, its table, a call with what is right, and one with code that raises; a module is read
# before it is checked.
CHECKS = {
    "step": (
        STEP_CHECKS,
        lambda skip: refsim.check_step(soft, refsim.load("srif"), skip=skip),
        lambda: refsim.check_step(raising, refsim.load("srif")),
    ),
    "module": (MAP_CHECKS, lambda skip: maps(honest_module(), skip), None),
    "card": (
        CARD_CHECKS,
        lambda skip: refsim.check_card(own(), skip=skip),
        lambda: refsim.check_card(
            own(), steps={"own": raising}, skip=set(CARD_CHECKS) - {"engines"}
        ),
    ),
    "loss": (
        LOSS_CHECKS,
        lambda skip: refsim.check_loss(losses.spikemax, skip=skip),
        lambda: refsim.check_loss(raising),
    ),
    "surrogate": (
        SURROGATE_CHECKS,
        lambda skip: refsim.check_surrogate(spike_function("sigmoid"), "sigmoid", skip=skip),
        lambda: refsim.check_surrogate(raising, "sigmoid", bias=True),
    ),
    "gradient": (
        GRADIENT_CHECKS,
        lambda skip: gradients(skip=skip),
        lambda: gradients(Backwards()),
    ),
    "judge": (
        JUDGE_CHECKS,
        lambda skip: refsim.check_judge(honest_judge, skip=skip),
        lambda: refsim.check_judge(raising),
    ),
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_is_skipped_in_one_way(name):
    table, call, _ = CHECKS[name]
    assert all(
        isinstance(check, Check) and check.claim.measure == key for key, check in table.items()
    )
    kept = FEW.get(name, next(iter(table)))
    others = [key for key in table if key != kept]
    for skip in (set(others), ",".join(others), (" , ".join(others[1:]), others[0])):
        assert [verdict.claim.measure for verdict in call(skip)] == [kept]
    for skip, says in (
        ("no_such_check", "no_such_check is not a check; known are "),
        ({"no_such_check", kept}, "no_such_check is not a check; known are "),
        (3, "skip must be a name or names of checks, but is 3"),
        ([3], r"skip must be a name or names of checks, but is \[3\]"),
        (None, "skip must be a name or names of checks, but is None"),
        (set(table), "every check is left out"),
    ):
        with pytest.raises(RefsimError, match=f"check_{name}: {says}"):
            call(skip)


@pytest.mark.parametrize("name", [name for name in CHECKS if CHECKS[name][2]])
def test_code_that_raises_fails_and_is_told_once(name):
    verdicts = CHECKS[name][2]()
    told = [verdict for verdict in verdicts if verdict.status == "fail"]
    assert len(told) == 1
    assert "raised KeyError" in told[0].detail
    assert "nobody" in told[0].detail
    # There, what only runs forth is judged.
    assert {verdict.status for verdict in verdicts if name != "gradient"} <= {"fail", "skipped"}
    assert all(verdict.detail for verdict in verdicts if verdict.status != "pass")


def test_a_module_that_cannot_be_read_is_refused_in_words():
    with pytest.raises(RefsimError, match="in float64 with other numbers .*nobody"):
        maps(through(Failing()))


def test_a_loss_that_raises_at_silence_alone_fails_there():
    def fragile(spikes, labels):
        if not bool(spikes.sum((1, 2)).all()):
            raising()
        return losses.spikemax(spikes, labels)

    failed = {
        verdict.claim.measure: verdict
        for verdict in refsim.check_loss(fragile)
        if verdict.status != "pass"
    }
    assert failed["finite"].status == "fail"
    assert {verdict.status for name, verdict in failed.items() if name != "finite"} <= {"skipped"}


def test_what_is_left_out_says_why():
    for verdict in (
        *refsim.check_step(lambda x, s: (x * 0, s), refsim.load("srif")),
        *refsim.check_step(soft, refsim.load("lif")),
    ):
        assert verdict.detail or verdict.status == "pass"


# --- dt ---


def norse(dt):
    """Norse's LIF, from its source, at a dt in seconds."""

    def step(x, state):
        v, i = (np.zeros_like(x), np.zeros_like(x)) if state is None else state
        i = i + x
        v = v + dt * 100 * ((0.0 - v) + i)
        i = i - dt * 200 * i
        z = v > 1.0
        return z, (v * (1 - z), i)

    return step


def failed(verdicts):
    return {verdict.claim.measure for verdict in verdicts if verdict.status == "fail"}


@pytest.mark.parametrize("dt", ["1 ms", "0.5 ms", "2 ms"])
def test_a_step_in_seconds_is_held_against_the_card_at_its_dt(dt):
    card, seconds = refsim.load("norse_lif"), float(dt.removesuffix(" ms")) / 1000
    assert not failed(refsim.check_step(norse(seconds), card, dt=dt))
    other = refsim.check_step(norse(1.5 * seconds), card, dt=dt)
    assert failed(other)
    assert all(
        f"the card was run at dt = {1000 * seconds:g} ms" in verdict.detail
        for verdict in other
        if verdict.status == "fail"
    )


def test_without_a_dt_it_is_a_millisecond_as_in_experiments():
    for name in ("norse_lif", "lif_exp", "nir_lif"):
        model = refsim.load(name)
        step = refsim.Torch().step_of(model)

        def own_step(x, s, model=model, step=step):
            s = (
                {key: torch.full_like(x, state.start) for key, state in model.stepped.items()}
                if s is None
                else s
            )
            z, _, s = step(
                x, s, {**model.constants(1e-3), "step": 1e-3}, lambda d: (d >= 0).to(d.dtype)
            )
            return z, s

        assert not failed(refsim.check_step(own_step, model, as_input=torch.tensor))
    with pytest.raises(RefsimError, match="check_step: dt"):
        refsim.check_step(soft, refsim.load("srif"), dt="1 mV")


# --- naming ---


@pytest.mark.parametrize(
    ("spikes", "words"), [(0.0, "it is silent"), (1.0, "it fires 5 of 5 steps without input")]
)
def test_a_step_that_pulses_cannot_move_is_blamed_for_nothing_else(spikes, words):
    verdicts = refsim.check_step(
        lambda x, s: (x * 0 + spikes, s), refsim.load("lif_decay", decay=0.5)
    )
    assert failed(verdicts) == {"gain"}
    assert all(words in verdict.detail or "left out" in verdict.detail for verdict in verdicts)


def test_a_refractory_step_is_not_blamed_for_its_reset():
    def refractory(x, state):
        v, left = (np.zeros_like(x), np.zeros_like(x)) if state is None else state
        v = 0.5 * v + x
        z = (v >= 0.5) & (left == 0)
        return z, (v * (1 - z), np.where(z, 5, np.maximum(left - 1, 0)))

    verdicts = {
        verdict.claim.measure: verdict
        for verdict in refsim.check_step(refractory, refsim.load("lif_decay", decay=0.5))
    }
    assert failed(verdicts.values()) == {"refractory"}
    assert "it cannot be measured behind another refractory" in verdicts["reset_kind"].detail
    assert verdicts["refractory"].detail == "5 for the declared 0"


def test_what_forgets_all_is_blamed_for_its_decay_alone():
    verdicts = refsim.check_step(
        lambda x, _s: (x >= 0.5, None), refsim.load("lif_decay", decay=0.5)
    )
    assert failed(verdicts) == {"decay"}


def test_a_strict_comparison_is_judged_where_sums_are_exact_alone():
    def lif(x, v, tau=10.0):
        v = np.zeros_like(x) if v is None else v
        v = (1 - 1 / tau) * v + x / tau  # the card says v + (x - v)/tau
        z = v >= 0.5
        return z, v * (1 - z)

    rows = {
        verdict.claim.measure: verdict
        for verdict in refsim.check_step(lif, refsim.load("lif", tau=10.0))
    }
    assert rows["comparison"].status == "pass"  # at 5.0, where both give 0.5
    card = refsim.load("lif_exp")
    rows = {verdict.claim.measure: verdict for verdict in refsim.check_step(soft, card)}
    assert rows["comparison"].status == "skipped"


def test_a_module_with_a_convolution_is_told_its_input():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3), SRIF(), nn.Flatten(), nn.Linear(2 * 3 * 4, 3), LIF()
    ).double()
    network = refsim.bridge.load(module, dt="1 ms", input_shape=(1, 5, 6))
    assert {
        verdict.status for verdict in refsim.check_module(module, network, input_shape=(1, 5, 6))
    } == {"pass"}
    module[0].weight.data[0, 0, 1, 1] *= -1
    assert failed(refsim.check_module(module, network, input_shape=(1, 5, 6))) == {"weights"}
    with pytest.raises(RefsimError, match="input_shape"):
        refsim.check_module(module, network)


def test_a_wrong_weight_is_told_with_its_place():
    network, module = refsim.bridge.load(honest_module(), dt="1 ms"), honest_module()
    module[2].weight.data[1, 3] *= -1
    (row,) = (
        verdict for verdict in refsim.check_module(module, network) if verdict.status == "fail"
    )
    assert row.detail.startswith(
        f"{network.layers[1].name}: 1 of 36, first from input 3 to neuron 1: "
    )
