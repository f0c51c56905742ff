"""Networks that fire by chance.

The gradient of the expected loss three ways, and how far a surrogate gradient is from it.
"""

import numpy as np
import pytest
from rogues_expected import ROGUES

import refsim
from refsim import RefsimError
from refsim.gradients import (
    difference_quotients,
    expected_gradient,
    expected_surrogate,
    score_function,
)
from refsim.gradients.bias import CASES, bias_table, case_network, distances, five_cases

DRAWS = 4_000


def off(found, true):
    return max(float(np.abs(found[name] - values).max()) for name, values in true.items())


def by_differences():
    """Return how far the enumeration is from central differences of the exact expected loss, over
    both losses, in two layers with a reset.
    """
    return max(
        off(expected_gradient(*made).gradient, difference_quotients(*made))
        for made in (case_network(3), case_network(5, 1))
    )


def by_draws():
    """Return how far the score function is from the enumeration in its own standard errors, as
    lengths over all weights; the worst of three networks.
    """
    ratios = []
    for seed in range(3):
        made = case_network(5, seed)
        found, true = (
            score_function(*made, n_draws=DRAWS, seed=seed),
            expected_gradient(*made).gradient,
        )
        miss, error = (
            np.concatenate([each[name].ravel() for name in true])
            for each in ({name: found.gradient[name] - true[name] for name in true}, found.error)
        )
        ratios.append(np.linalg.norm(miss) / np.linalg.norm(error))
    return float(max(ratios))


def by_identity():
    """Return how far the surrogate gradient is from the true one where they must be one."""
    made = [case_network(1, seed) for seed in range(3)]
    return max(off(expected_surrogate(*one), expected_gradient(*one).gradient) for one in made)


def by_detaching():
    """Return how much nearer a kept reset comes to the truth than a detached one.

    0 where the choice does nothing.
    """
    made = case_network(3, 1)
    true = expected_gradient(*made).gradient
    kept, detached = (
        distances(expected_surrogate(*made, detach_reset=choice), true)["W1"].relative
        for choice in (False, True)
    )
    return detached - kept


# Differences of order four leave some 1e-12, and rounding 1e-13 of a loss of order 1 over a step of
# 1e-3: 1e-9 is far above both, and far below any term. The length of 18 misses over that of their
# standard errors is about 1; weights of a network share their draws, so that it scatters as that of
# a few numbers does, and 3 is a chance of a few in a thousand. One weight alone is not held against
# its own error: a spike too rare to be drawn has none.
CHECKS = {
    "differences": lambda: by_differences() <= 1e-9,
    "score": lambda: by_draws() <= 3,
    "identity": lambda: by_identity() <= 1e-12,
    "detached": lambda: by_detaching() > 0,
}


@pytest.mark.parametrize("check", CHECKS)
def test_the_truth_is_one(check):
    assert CHECKS[check]()


@pytest.mark.parametrize("rogue", ROGUES)
def test_a_planted_fault_is_found(rogue, monkeypatch):
    check, plant = ROGUES[rogue]
    plant(monkeypatch)
    assert not CHECKS[check]()


def test_the_identity_is_judged_and_the_rest_reported():
    assert {verdict.status for verdict in refsim.surrogate_bias(*case_network(1)).verdicts} == {
        "pass"
    }
    assert {
        verdict.status
        for verdict in refsim.surrogate_bias(
            *case_network(1), surrogate="triangle", derivative=True
        ).verdicts
    } == {"fail"}
    for number in (2, 3, 4, 5):
        assert {
            verdict.status for verdict in refsim.surrogate_bias(*case_network(number)).verdicts
        } == {"reported"}


def test_the_five_cases_part_as_the_literature_says():
    rows = five_cases(6)
    found = {
        (row.case.title, row.parameter, row.detached): row.summary("relative")[0] for row in rows
    }
    one, entropy, reset, two, both = (CASES[number].title for number in CASES)
    assert found[one, "W1", False] < 1e-12
    assert found[entropy, "W1", False] > 0
    assert found[reset, "W1", False] < found[reset, "W1", True]
    for title in (two, both):
        assert found[title, "W2", False] < found[title, "W1", False] < found[title, "W1", True]
    assert len(bias_table(rows).splitlines()) == 2 + len(rows)


def test_too_many_patterns_are_refused_with_their_number():
    made = case_network(5)
    with pytest.raises(RefsimError, match=r"can fire 2\^15 patterns, and at most 100 are tried"):
        expected_gradient(*made, most=100)


def test_a_slope_that_is_no_derivative_is_refused():
    with pytest.raises(RefsimError, match="slope is not the derivative of chance"):
        refsim.gradients.Escape("mine", lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(-(x**2)))
