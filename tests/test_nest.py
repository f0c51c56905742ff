"""NEST's stored figures: each file says where it comes from, and SciPy, knowing neither NEST nor a grid, finds the same spikes."""

import math
import tomllib

import numpy as np
import pytest
from oracle_nest import solution

from benchmarks.nest_cases import CASES, METHODS, RESOLUTIONS
from benchmarks.nest_reference import document
from refsim.shelf import shelf

TIMES = np.arange(1, 401) * 0.5
FINEST = min(RESOLUTIONS)
EXACT_PROPAGATORS = ("iaf_psc_delta", "iaf_psc_exp", "iaf_psc_alpha", "mat2_psc_exp", "glif3", "glif5")


def stored(name):
    return tomllib.loads((shelf("validation") / "nest" / f"{name}.toml").read_text("utf-8"))


def spikes(case, resolution=FINEST):
    (row,) = [row for row in case["spikes"] if row["resolution_ms"] == resolution]
    return np.array(row["steps"]) * resolution


def farthest(case, resolution=FINEST):
    """Return the largest distance (ms) of NEST's spikes from SciPy's, infinite where their number differs."""
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
    assert {key: row["value"] for key, row in case["parameters"].items()} == CASES[name]["parameters"]
    assert all(row["unit"] for table in ("parameters", "start") for row in case[table].values())
    assert [row["resolution_ms"] for row in case["spikes"]] == list(RESOLUTIONS)
    for row in case["spikes"]:
        assert row["steps"] == sorted(set(row["steps"]))
        assert all(isinstance(step, int) and step * row["resolution_ms"] <= 200.0 for step in row["steps"])
    assert all(len(trace["values"]) == len(TIMES) and np.isfinite(trace["values"]).all() for trace in case["trace"])


@pytest.mark.parametrize("name", CASES)
def test_scipy_agrees_with_nest(name):
    # A grid simulator moves a spike and its reset to the end of the step: 17 spikes of two steps of 2^-12 ms
    # are 0.008 ms. Izhikevich's forward Euler is of order 1 too. The issue asks for 0.01 ms after 100 ms.
    assert farthest(stored(name)) < 0.01


@pytest.mark.parametrize("name", EXACT_PROPAGATORS)
def test_membranes_agree_before_the_first_spike(name):
    case = stored(name)
    exact, states = solution(case, TIMES)
    before = exact[0] > TIMES
    assert before.sum() >= 10
    # Both solve a linear ODE exactly; what is left is rounding over 2^12 steps a millisecond, and SciPy's 1e-12 of 80 mV at each of its steps.
    assert np.abs(states[before, 0] - case["trace"][0]["values"][: before.sum()]).max() < 1e-9


def test_the_peaks_of_hodgkin_huxley_never_reset_so_all_membranes_agree():
    for name in ("hh_psc_alpha", "hh_cond_exp_traub"):
        case = stored(name)
        difference = solution(case, TIMES)[1][:, 0] - case["trace"][0]["values"]
        # NEST's Runge-Kutta of order 4(5) in steps of 2^-12 ms has a local error far below rounding on an action potential of 100 mV and 0.1 ms.
        assert np.abs(difference).max() < 1e-6


def test_spikes_on_the_grid_are_the_same_steps_at_every_resolution():
    case = stored("iaf_psc_delta_pulses")
    for resolution in RESOLUTIONS[1:]:
        assert farthest(case, resolution) == 0.0


@pytest.mark.parametrize("name", [name for name in CASES if name != "iaf_psc_delta_pulses"])
def test_the_error_of_nest_shrinks_with_its_step(name):
    errors = [farthest(stored(name), resolution) for resolution in (2.0**-5, 2.0**-9, 2.0**-12)]
    # Order 1 gives factors of 16 and 8; a spike's place inside its step is chance, so a quarter of that is asked for.
    assert errors[0] > 4 * errors[1] > 8 * errors[2]


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
    back = tomllib.loads(document("glif5", case, {0.1: ([3, 5], traces)}, {"command": "make nest", "duration_ms": 1.0}))
    assert back["spikes"] == [{"resolution_ms": 0.1, "steps": [3, 5]}]
    assert back["parameters"]["adapting_threshold"] == {"value": True, "unit": "flag"}
    assert back["trace"][1]["values"] == pytest.approx(traces["threshold"], rel=1e-12)
