"""Cards against NEST: the same spikes, and a judge that sees a fault in the step, in the ODE and in
what was given to NEST.
"""

import dataclasses

import numpy as np
import pytest
from oracle_nest import solution
from test_integrators import changed
from test_nest import TIMES, stored

import refsim
from refsim import Discrete, RefsimError
from refsim.cases.case import read_case
from refsim.cases.neuron import read_rival
from refsim.core.shelf import shelf


def case(card):
    return read_case(shelf("validation") / "against_nest" / f"{card}.toml")


def rival(card, model=None):
    """Return a case with its card, or with another in its place."""
    return read_rival(model or refsim.load(card), case(card).table)


# What a slip of the pen makes of a declared step: card, part, text, what stands in its place.
SLIPS = {
    "the threshold jumps before the test": (
        "mat2",
        "integrate",
        "count = count - ",
        "would = v >= omega + th_1 + th_2\nth_1 = th_1 + would*alpha_1\ncount = count - ",
    ),
    "the threshold does not fade": ("mat2", "integrate", "th_1 = keep_1*th_1", "th_1 = th_1"),
    "refractory one step short": ("glif3", "reset", "n_ref*z", "(n_ref - 1)*z"),
    "refractory one step long": ("glif5", "reset", "n_ref*z", "(n_ref + 1)*z"),
    "an after-spike current off by a thousand": ("glif3", "reset", "amp_1", "1000*amp_1"),
    "an input off by a thousand": ("mat2", "integrate", "r_m*I", "r_m*I/1000"),
    "recovery off by a thousand": ("izhikevich", "reset", "z*d", "z*d/1000"),
    "recovery from the new membrane": (
        "izhikevich",
        "integrate",
        "u = u + step*u_slope_",
        "u = u + step*(a*(b*v - u))",
    ),
    "adaptation forgotten": ("adex", "reset", "z*b", "0*b"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_in_the_step_is_caught_by_name(slip):
    card, part, old, new = SLIPS[slip]
    limits = {claim.measure: claim.limit for claim in case(card).claims}
    # Adex claims no step: forward Euler is 15 steps of 0.1 ms late after 140 ms.
    limit = limits.get("steps off NEST", 20.0)
    honest, rogue = rival(card), rival(card, changed(card, part, old, new))
    assert honest.distance(honest.stepped(Discrete(), 0.1), 0.1) <= limit
    assert rogue.distance(rogue.stepped(Discrete(), 0.1), 0.1) > limit


@pytest.mark.parametrize(
    ("card", "parameter", "factor"),
    [
        ("glif3", "t_ref", 0.98),
        ("mat2", "alpha_2", 1.05),
        ("izhikevich", "d", 1.01),
        ("adex", "b", 1.01),
    ],
)
def test_a_fault_in_the_ode_is_caught(card, parameter, factor):
    honest = rival(card)
    value = honest.model.parameters[parameter].value * factor
    rogue = dataclasses.replace(honest, model=honest.model.with_parameters(**{parameter: value}))
    # Runs the program that the case compiled.
    assert rogue.distance(rogue.solved(), 2.0**-12) * 2.0**-12 > 0.01


def test_a_spike_more_or_less_is_not_overlooked():
    honest = rival("mat2")
    run = honest.stepped(Discrete(), 0.1)
    for steps in (honest.figures.spikes[0.1][:-1], honest.figures.spikes[0.1][:0]):
        figures = dataclasses.replace(honest.figures, spikes={0.1: steps})
        assert dataclasses.replace(honest, figures=figures).distance(run, 0.1) == np.inf


def test_forward_euler_of_adex_nears_the_exact_spikes():
    exact = solution(stored("aeif_cond_exp"), TIMES)[0]
    ours, errors = rival("adex"), []
    for resolution in (2.0**-4, 2.0**-5, 2.0**-6, 2.0**-7):
        fired = (ours.stepped(Discrete(), resolution).spikes[0].step + 1) * resolution
        assert len(fired) == len(exact)
        errors.append(np.abs(fired - exact).max())
    # Towards an upswing that takes finite time to infinity Euler is late by dt*log(tau/dt): with
    # tau = c_m/g_l = 9.4 ms that is an order of 0.81 to 0.86 here. A spike lies anywhere in its
    # step, one of the 15 or so that it is late: 0.1 or 0.2 more or less.
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert ((orders > 0.6) & (orders < 1.06)).all(), orders


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("figures", "mat3", "there are no figures of NEST named 'mat3'"),
        ("from_nest", {"tau_m": "tau_x"}, "tau_x is not among NEST's values of mat2_psc_exp"),
        ("start", {"v": "omega"}, "NEST starts at -0.051, where card 'mat2' must start too"),
        ("resolutions", [0.2], "NEST has none at 0.2 ms"),
        ("until", "10 mV", "case: until: needs"),
    ],
)
def test_a_wrong_case_is_explained(key, value, says):
    with pytest.raises(RefsimError, match=says):
        read_rival(refsim.load("mat2"), {**case("mat2").table, key: value})
