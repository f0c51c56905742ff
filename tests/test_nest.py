"""NEST's stored figures: each file says where it comes from, and SciPy, knowing neither NEST nor a
grid, finds the same spikes.
"""

import copy
import math
import tomllib

import numpy as np
import pytest
from oracle_nest import solution

from benchmarks.nest_cases import CASES, METHODS, RESOLUTIONS
from benchmarks.nest_reference import document
from refsim.core.shelf import shelf

TIMES = np.arange(1, 401) * 0.5
FINEST = min(RESOLUTIONS)
EXACT_PROPAGATORS = (
    "iaf_psc_delta",
    "iaf_psc_exp",
    "iaf_psc_alpha",
    "mat2_psc_exp",
    "glif3",
    "glif5",
)


def stored(name):
    return tomllib.loads((shelf("validation") / "nest" / f"{name}.toml").read_text("utf-8"))


def spikes(case, resolution=FINEST):
    (row,) = [row for row in case["spikes"] if row["resolution_ms"] == resolution]
    return np.array(row["steps"]) * resolution


def farthest(case, resolution=FINEST):
    """Return the largest distance (ms) of NEST's spikes from SciPy's, infinite where their number
    differs.
    """
    exact, given = solution(case, TIMES)[0], spikes(case, resolution)
    return np.abs(exact - given).max() if len(exact) == len(given) else math.inf


def test_every_case_is_stored_and_nothing_else():
    assert {path.stem for path in (shelf("validation") / "nest").glob("*.toml")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_file_says_what_was_run(name):
    case = stored(name)
    assert case["provenance"]["simulator"].startswith("NEST 3.")
    assert case["provenance"]["command"] == "make nest"
    assert case["provenance"]["method"] == METHODS[case["model"]]
    assert {key: row["value"] for key, row in case["parameters"].items()} == CASES[name][
        "parameters"
    ]
    assert all(row["unit"] for table in ("parameters", "start") for row in case[table].values())
    assert [row["resolution_ms"] for row in case["spikes"]] == list(RESOLUTIONS)
    for row in case["spikes"]:
        assert row["steps"] == sorted(set(row["steps"]))
        assert all(
            isinstance(step, int) and step * row["resolution_ms"] <= 200.0 for step in row["steps"]
        )
    assert all(
        len(trace["values"]) == len(TIMES) and np.isfinite(trace["values"]).all()
        for trace in case["trace"]
    )


@pytest.mark.parametrize("name", CASES)
def test_scipy_agrees_with_nest(name):
    # A grid simulator moves a spike and its reset to the end of the step: 17 spikes of two steps of
    # 2^-12 ms are 0.008 ms. Izhikevich's forward Euler is of order 1 too. The issue asks for 0.01
    # ms after 100 ms.
    assert farthest(stored(name)) < 0.01


ULP = 2.0**-53  # what one operation rounds, relative
KEPT = 13  # significant digits of a stored figure


def last_digit(values):
    """Return half a unit of the last stored digit."""
    return 0.5 * 10.0 ** (math.floor(math.log10(np.abs(values).max())) + 1 - KEPT)


def off_before_the_first_spike(case, truth=None):
    """Return how far (mV) NEST's membrane is from SciPy's before the first spike, and how far two
    exact solutions may be.

    Both solve a linear ODE exactly: NEST by propagators, SciPy by a method of order 8 in steps of
    0.25 ms or less. What an error leaves in the membrane fades with its time constant, so that the
    last tau/step steps are what counts. NEST rounds the deflection four times a step (two products,
    two sums), SciPy the membrane twice; SciPy's own error is the next term of a Taylor series of
    the fastest state.
    """
    states = solution(truth or case, TIMES)[1]
    before = solution(case, TIMES)[0][0] > TIMES
    assert before.sum() >= 10
    values = {key: row["value"] for key, row in case["parameters"].items()}
    tau = values["tau_m"] if "tau_m" in values else values["C_m"] / values["g"]
    fastest, coarse = min(tau, values.get("tau_syn_ex", tau)), 0.25
    given = np.array(case["trace"][0]["values"][: before.sum()])
    depth, size = np.abs(given - values["E_L"]).max() + 1.0, np.abs(given).max()
    nest = tau / FINEST * 4 * ULP * depth
    scipy = (
        tau / coarse * (2 * ULP * size + (coarse / fastest) ** 9 / math.factorial(9) * depth)
        + (coarse / fastest) ** 8 / math.factorial(8) * depth
    )
    return np.abs(states[before, 0] - given).max(), nest + scipy + last_digit(given)


@pytest.mark.parametrize("name", EXACT_PROPAGATORS)
def test_membranes_agree_before_the_first_spike(name):
    case, faulty = stored(name), stored(name)
    found, bound = off_before_the_first_spike(case)
    assert found <= bound
    faulty["parameters"]["C_m"]["value"] *= 1 + 1e-8
    found, bound = off_before_the_first_spike(case, faulty)
    assert found > bound


def off_all_the_way(case, truth=None):
    """Return how far (mV) NEST's membrane is from SciPy's over 200 ms without a reset, and how far
    rounding alone may take them.

    NEST rounds the membrane twice in each step of 2^-12 ms (its Runge-Kutta of order 4(5) errs less
    than that: an action potential of 100 mV and 0.1 ms has 1e7 mV/ms^5, times the step to the fifth
    1e-11, times 1/2080). If all pulled one way they would shift the membrane by the sum; what a
    shift becomes, of the start by 1e-4 mV, is measured: it moves all spikes, and the upstrokes are
    steep. SciPy's own error at a tolerance of 1e-12 is less than what changes from 1e-11 to it.
    """
    times, rounded = solution(truth or case, TIMES), 200.0 / FINEST * 2 * ULP * 100.0
    loose = solution(case, TIMES, tolerance=1e-11)[1][:, 0]
    nudged = copy.deepcopy(case)
    nudged["start"]["V_m"]["value"] += 1e-4
    honest = solution(case, TIMES)[1][:, 0]
    grows = np.abs(solution(nudged, TIMES)[1][:, 0] - honest).max() / 1e-4
    given = np.array(case["trace"][0]["values"])
    return np.abs(times[1][:, 0] - given).max(), grows * rounded + np.abs(
        loose - honest
    ).max() + last_digit(given)


@pytest.mark.parametrize("name", ["hh_psc_alpha", "hh_cond_exp_traub"])
def test_the_peaks_of_hodgkin_huxley_never_reset_so_all_membranes_agree(name):
    case, faulty = stored(name), stored(name)
    found, bound = off_all_the_way(case)
    assert found <= bound
    faulty["parameters"]["g_L"]["value"] *= 1 + 1e-7
    found, bound = off_all_the_way(case, faulty)
    assert found > bound


def test_spikes_on_the_grid_are_the_same_steps_at_every_resolution():
    case = stored("iaf_psc_delta_pulses")
    for resolution in RESOLUTIONS[1:]:
        assert farthest(case, resolution) == 0.0


# Whose spikes fall on the grid.
OF_ORDER_ONE = [name for name in CASES if name != "iaf_psc_delta_pulses"]


def off_order_one(case):
    """Return by how much NEST's error misses order 1 in its step, and by how much chance may make
    it.

    After n spikes the error is a sum of n places inside a step, each anywhere in it: n/2 steps,
    with a spread of 0.29/0.5/sqrt(n) of that. So does each logarithm of a straight line through the
    resolutions spread, and the slope by that over the root of their squared distances.
    """
    # Coarser ones are a tenth of an interval.
    sizes = np.log([resolution for resolution in RESOLUTIONS if resolution <= 2.0**-5])
    errors = np.log(
        [farthest(case, resolution) for resolution in RESOLUTIONS if resolution <= 2.0**-5]
    )
    spread = 0.29 / 0.5 / np.sqrt(len(spikes(case))) / np.sqrt(((sizes - sizes.mean()) ** 2).sum())
    return abs(np.polyfit(sizes, errors, 1)[0] - 1), 3 * spread


@pytest.mark.parametrize("name", OF_ORDER_ONE)
def test_the_error_of_nest_shrinks_with_its_step(name):
    case = stored(name)
    found, bound = off_order_one(case)
    assert found <= bound
    rows = {row["resolution_ms"]: row for row in case["spikes"]}
    # Figures of 2^-7 ms sold as those of 2^-12.
    rows[FINEST]["steps"] = [32 * step for step in rows[2.0**-7]["steps"]]
    found, bound = off_order_one(case)
    assert found > bound


@pytest.mark.parametrize(
    ("name", "parameter", "factor"),
    [
        ("iaf_psc_delta", "t_ref", 0.5),
        ("iaf_psc_exp", "tau_syn_ex", 1.01),
        ("iaf_psc_alpha", "C_m", 1.01),
        ("iaf_cond_exp", "E_ex", 1.0),
        ("aeif_cond_exp", "b", 1.01),
        ("aeif_psc_delta", "Delta_T", 1.01),
        ("mat2_psc_exp", "alpha_2", 1.05),
        ("glif3", "t_ref", 0.99),
        ("glif5", "th_voltage_index", 1.05),
        ("izhikevich", "d", 1.01),
        ("hh_psc_alpha", "g_L", 1.01),
        ("hh_cond_exp_traub", "g_K", 1.01),
    ],
)
def test_a_planted_fault_is_seen(name, parameter, factor):
    case = stored(name)
    row = case["parameters"][parameter]
    row["value"] = row["value"] * factor if row["value"] else -1.0
    assert farthest(case) > 0.01


def test_a_stored_spike_moved_by_more_than_the_limit_is_seen():
    case = stored("glif5")
    case["spikes"][-1]["steps"][3] += 50
    assert farthest(case) > 0.01
    case["spikes"][-1]["steps"].pop()
    assert farthest(case) == math.inf


def test_what_is_written_reads_back():
    case = {"model": "glif_psc", **CASES["glif5"]}
    traces = {"V_m": [-70.0, 0.0], "threshold": [1 / 3, 2e-300]}
    back = tomllib.loads(
        document(
            "glif5", case, {0.1: ([3, 5], traces)}, {"command": "make nest", "duration_ms": 1.0}
        )
    )
    assert back["spikes"] == [{"resolution_ms": 0.1, "steps": [3, 5]}]
    assert back["parameters"]["adapting_threshold"] == {"value": True, "unit": "flag"}
    assert back["trace"][1]["values"] == pytest.approx(traces["threshold"], rel=1e-12)
