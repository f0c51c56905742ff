"""The bound on rounding against runs in 50 digits.

It holds, it says something, and a bound that is too small is found.

The whole study is `python tests/bound_study.py`; docs/rounding.md has its table.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from bound_page import PAGE, is_exception, page
from bound_study import DATA, DTYPES, EXCEPTIONS, MOST, cards, study

import refsim
from refsim import Discrete, Drive
from refsim.cases.neuron import network_of_one
from refsim.judge import bounded
from refsim.judge import state_errors as carried
from refsim.judge.bounded import Bounded, own_variable
from refsim.judge.rounding import Rounding, distances_to_threshold

# An input at which each fires now and then: to look for its rheobase would take longer than the
# study.
QUICK = {
    "li": 1.0,
    "lif": 1.0,
    "cuba_lif": 0.5,
    "adlif": 1.0,
    "srm_alpha": 1.0,
    "izhikevich": 0.004,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("card", QUICK)
def test_the_bound_holds_and_says_something(card, dtype):
    row = study(card, dtype, n_inputs=10, n_steps=40, scale=QUICK[card])
    assert (row.decisions, row.unknown, row.violations) == (400, 0, 0)
    assert 0 < row.error <= row.bound <= MOST * row.error
    assert row.spikes > 0 or card == "li"


@pytest.mark.slow
@pytest.mark.parametrize("card", cards())
def test_the_bound_of_every_card_holds(card):
    model = refsim.load(card)
    for dtype in DTYPES:
        # It is refused: float32 does not hold them.
        if dtype == "float32" and "integer" in model.traits:
            continue
        row = study(card, dtype, n_inputs=20, n_steps=100)
        assert row.decisions > 0
        assert row.violations == 0
        if (card, dtype) not in EXCEPTIONS:
            assert row.unknown == 0
            assert row.bound <= MOST * row.error


def test_a_number_that_is_read_twice_counts_its_rounding_once():
    unit, kept = 2.0**-24, 0.99
    v, ratio = Bounded(np.array([0.5]), 0.0, unit), Bounded(np.array([0.3]), np.array([1e-3]), unit)
    twice = (v + ratio) * kept - ratio
    once = (v + (own := own_variable(ratio, "ratio", {}))) * kept - own
    off = abs(((0.5 + 0.301) * kept - 0.301) - ((0.5 + 0.3) * kept - 0.3))
    assert off <= once.error < 1.1 * off < twice.error / 100


def test_a_slope_beyond_all_range_is_no_bound_below_zero():
    # a run of Wang and Buzsaki's neuron at 1 ms, which is far too long a step, met this: its bound
    # was -2e294
    _, width = bounded._between(np.array([1e300]), np.array([1e301]))
    assert width >= 0


def test_of_a_number_that_runs_away_nothing_is_proven_from_then_on():
    away = refsim.NeuronModel(
        "away",
        state={"v": 1.0},
        discrete={"integrate": "v = v*v*9 + I", "fire": "z = v < 0", "reset": "v = v"},
    )
    drive = Drive.current(np.ones((1, 12, 1)), "1 ms")
    with np.errstate(all="ignore"):
        run = Discrete().run(network_of_one(away, "1 ms"), drive)
        (found,) = distances_to_threshold(run, np.arange(1), ("float64", "float64"))
    known = np.isfinite(found.bound[0, :, 0])
    assert known[:5].all()
    assert not known[8:].any()


def test_the_largest_of_many_inputs_rounds_once():
    v, x = (
        Bounded(np.array([0.5]), np.array([1e-7]), 2.0**-24),
        Bounded(np.array([0.5]), np.array([1e-7]), 2.0**-24),
    )
    v = own_variable(v, "v", {})
    assert bounded.BOUNDED_FUNCTIONS["clip"](x, v, 10.0).error <= 1.01e-7


def test_the_page_is_what_the_rows_say():
    assert PAGE.read_text("utf-8") == page(json.loads(DATA.read_text("utf-8")))


def test_every_exception_is_in_the_page_and_every_other_row_is_tight():
    rows = json.loads(DATA.read_text("utf-8"))
    assert {
        (row["card"], row["dtype"]) for row in rows if not row["refused"] and is_exception(row)
    } == set(EXCEPTIONS)
    assert not sum(row["violations"] for row in rows)
    assert sum(row["decisions"] for row in rows) >= 10**7


# --- planted faults: each makes the bound too small, and the study finds it ---


@dataclass(frozen=True)
class Rogue:
    """A fault, where it is planted, and a card and its input whose rounding hangs on what it leaves
    out.
    """

    name: str
    where: Any
    attribute: str
    fault: Any
    card: str
    scale: float


def _exact_sum(self, other):
    """Add as ever, and take the result for exact."""
    total = Bounded.__sub__(
        self, -bounded.constant(other, self.unit) if not isinstance(other, Bounded) else -other
    )
    parts = [number.local for number in (self, other) if isinstance(number, Bounded)]
    return replace(total, local=sum(parts))


def _half(slope):
    return 0.5 * bounded.steepest(slope)


def _of_float64(_dtypes, once=False):
    return Rounding(2.0**-52)


ROGUES = [
    Rogue("an addition rounds nothing", Bounded, "__add__", _exact_sum, "srif", 0.005),
    Rogue("half the derivative of a state", carried, "steepest", _half, "srif", 0.005),
    Rogue("half the derivative of a state that forgets", carried, "steepest", _half, "li", 1.0),
    Rogue("the dtype of the trial is not asked", Rounding, "of", _of_float64, "lif", 1.0),
]


@pytest.mark.parametrize("rogue", ROGUES, ids=lambda rogue: rogue.name)
def test_a_bound_that_is_too_small_is_found(rogue, monkeypatch):
    assert study(rogue.card, "float32", 10, 100, scale=rogue.scale).violations == 0
    monkeypatch.setattr(rogue.where, rogue.attribute, rogue.fault)
    assert study(rogue.card, "float32", 10, 100, scale=rogue.scale).violations > 0
