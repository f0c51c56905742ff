"""Each of the eight experiments has a judge, and a planted fault that turns it red.

A card that is off, or the experiment's own code.
"""

import dataclasses

import numpy as np
import pytest
from test_experiments import (
    FITZHUGH,
    STEP,
    TAU_M,
    first_spike_late,
    forged,
    lapicque_error,
    lif,
    psp_error,
    worst_interval,
)

import refsim
from refsim import experiments
from refsim.cards.language import parse_statements
from refsim.commands.experiment import _KINDS
from refsim.experiments import Setting, constant
from refsim.experiments.one_neuron import RESOLUTION


def module(name):
    """Return the module of an experiment, which its function of the same name hides."""
    import sys

    return sys.modules[f"refsim.experiments.{name}"]


# --- judges: what of an experiment is not as a formula, a loop by hand or a single run has it ---


def wrong_in_trace(model=None):
    late = first_spike_late(model or lif())
    return set() if 0 <= late <= 1 + 1e-9 else {"first spike"}


def wrong_in_fi(model=None):
    low, high = worst_interval(model or lif())
    return set() if low >= -1e-6 and high <= 1 + 1e-6 else {"interval"}


def wrong_in_psp(model=None):
    return (
        {"response"} if psp_error(model or refsim.load("lif_decay", decay=0.8)) > 1e-12 else set()
    )


def wrong_in_threshold(model=None):
    return {"strength"} if lapicque_error(model or lif()) > RESOLUTION + 1e-12 else set()


def wrong_in_dt(model=None):
    order = (
        experiments.dt(model or refsim.load(FITZHUGH), constant(0.5), duration="6 ms", finest=6)
        .facts["membrane_order"]
        .value
    )
    # Rk4; the fit runs over a hundredfold of dt.
    return set() if 3.7 <= order <= 4.3 else {"membrane order"}


def wrong_in_resets(model=None):
    """Hold three resets against a loop by hand: sums of 0.375 and 0.5, exact in binary."""
    dyadic = experiments.train([k * 1e-3 for k in range(12)], 0.375)
    result = experiments.resets(model or refsim.load("if", v_th=0.5), dyadic, duration="12 ms")
    after = {"soft": lambda v: v - 0.5, "hard": lambda v: 0.0, "none": lambda v: v}
    wrong = set()
    for kind, reset in after.items():
        v, membrane, fired = 0.0, [], []
        for _ in range(12):
            v += 0.375
            fired.append(v >= 0.5)
            v = reset(v) if fired[-1] else v
            membrane.append(v)
        wrong |= {f"membrane, {kind}"} if result[f"v_{kind}"].tolist() != membrane else set()
        wrong |= (
            {f"spikes, {kind}"}
            if result[f"spike_{kind}"].tolist() != fired
            or result.facts[f"spikes_{kind}"].value != sum(fired)
            else set()
        )
    return wrong


_MEASURES = ["spike_count", "first_spike", "isi_mean", "v_max"]


def wrong_in_sweep(model=None, **options):
    """Hold every row of a sweep against a run of its own, made by another function."""
    setting, over = Setting(refine=4), [("tau", "4,8,20"), ("I", "0.4:1.2:3")]
    result = experiments.sweep(
        model or refsim.load("lif"), over, _MEASURES, duration="60 ms", setting=setting, **options
    )
    wrong = set()
    for row, (tau, current) in enumerate(
        (tau, current) for tau in (4.0, 8.0, 20.0) for current in (0.4, 0.8, 1.2)
    ):
        single = experiments.trace(
            refsim.load("lif", tau=tau), constant(current), duration="60 ms", setting=setting
        )
        times = single["time"][single["spike"] > 0]
        expected = {
            "tau": tau,
            "I": pytest.approx(current),
            "spike_count": len(times),
            "first_spike": times[0] if len(times) else np.nan,
            "isi_mean": np.diff(times).mean() if len(times) > 1 else np.nan,
            "v_max": single["v"].max(),
        }
        wrong |= {
            name
            for name, value in expected.items()
            if result[name][row] != value and not (value != value and np.isnan(result[name][row]))
        }
    return wrong


def wrong_in_phase(model=None):
    """Hold fixed points against the roots of v - v^3/3 - (v + a)/b + I, their kind against theory,
    and the flow against its formula.
    """
    wrong = set()
    for current, stable in ((0.0, 1), (0.5, 0)):
        result = experiments.phase(
            model or refsim.load(FITZHUGH), current, duration="60 ms", setting=Setting(refine=8)
        )
        (v,) = (
            root.real
            for root in np.roots([-1 / 3, 0, 1 - 1 / 0.8, current - 0.7 / 0.8])
            if abs(root.imag) < 1e-9
        )
        fixed = result.tables["fixed_points"]
        at = (
            len(fixed["v"].values) == 1
            and abs(fixed["v"].values[0] - v) <= 1e-8
            and abs(fixed["w"].values[0] - (v + 0.7) / 0.8) <= 1e-8
        )
        wrong |= set() if at else {"fixed point"}  # Newton's method ends at rounding
        wrong |= set() if fixed["stable"].values.tolist() == [stable] else {"stability"}
    line = experiments.phase(lif(), 0.45, duration="60 ms")
    flow, points = line.tables["flow"], line.tables["fixed_points"]["v"].values
    wrong |= set() if points == pytest.approx([0.45]) else {"fixed point"}
    wrong |= (
        set()
        if np.allclose(flow["dv_dt"].values, (0.45 - flow["v"].values) / TAU_M, rtol=1e-12)
        else {"flow"}
    )
    return wrong


JUDGES = {
    "trace": wrong_in_trace,
    "fi": wrong_in_fi,
    "psp": wrong_in_psp,
    "threshold": wrong_in_threshold,
    "dt": wrong_in_dt,
    "resets": wrong_in_resets,
    "sweep": wrong_in_sweep,
    "phase": wrong_in_phase,
}


# --- rogues: (experiment, what its judge must name, how the fault is planted) ---


def lazy():
    """Return a card that says rk4 and is integrated by Euler."""
    model = refsim.load(FITZHUGH)
    return dataclasses.replace(
        model, continuous=dataclasses.replace(model.continuous, method="euler")
    )


def greedy():
    """Return an integrator whose soft reset takes 1 % too much."""
    model = refsim.load("if", v_th=0.5)
    step = parse_statements("v = v - 1.01*z*v_th", "rogue")
    return dataclasses.replace(
        model,
        continuous=dataclasses.replace(model.continuous, reset="v -= 1.01*v_th"),
        discrete=dataclasses.replace(model.discrete, reset=step),
    )


def _slower_w(patch):
    """Return a card whose second nullcline is off by 1 %."""
    model = refsim.load(FITZHUGH)
    text = model.continuous.equations.replace("(v + a - b*w)", "(v + a - 1.01*b*w)")
    assert text != model.continuous.equations
    return dataclasses.replace(
        model, continuous=dataclasses.replace(model.continuous, equations=text)
    )


def _swapped(patch):
    """Rows are in the order of the second number, values in that of the first."""
    honest = module("sweep")._measure_all
    patch.setattr(
        module("sweep"),
        "_measure_all",
        lambda *given: honest(*given).reshape(3, 3, -1).swapaxes(0, 1).reshape(9, -1),
    )


def _one_parameter_for_all(patch):
    honest = module("sweep")._measure_part

    def part(job):
        model, inputs, parameters, *rest = job
        return honest(
            (
                model,
                inputs,
                {name: np.full_like(values, values[0]) for name, values in parameters.items()},
                *rest,
            )
        )

    patch.setattr(module("sweep"), "_measure_part", part)


def _spikes_late_by_a_sub_step(patch):
    honest = module("sweep").trains
    patch.setattr(
        module("sweep"), "trains", lambda run: [times + run.spikes[0].dt for times in honest(run)]
    )


def _hard_for_soft(patch):
    honest = module("responses").with_reset
    patch.setattr(
        module("responses"),
        "with_reset",
        lambda model, kind: honest(model, "hard" if kind == "soft" else kind),
    )


def _none_that_resets(patch):
    honest = module("responses").with_reset
    patch.setattr(
        module("responses"),
        "with_reset",
        lambda model, kind: honest(model, "hard" if kind == "none" else kind),
    )


def _spikes_of_another_run(patch):
    patch.setattr(module("responses"), "trains", lambda run: [np.arange(3.0)])


def _stability_by_the_wrong_sign(patch):
    honest = module("phase").Plane._stable
    patch.setattr(
        module("phase").Plane,
        "_stable",
        lambda self, point, widths: not honest(self, point, widths),
    )


def _input_forgotten(patch):
    honest = module("phase").Plane.__init__
    patch.setattr(
        module("phase").Plane,
        "__init__",
        lambda self, ode, chosen, current, step: honest(self, ode, chosen, 0.0, step),
    )


def _flow_a_step_in_place_of_a_second(patch):
    honest = module("phase").Plane.slopes
    patch.setattr(
        module("phase").Plane,
        "slopes",
        lambda self, at: [slope * STEP for slope in honest(self, at)],
    )


ROGUES = {
    "a membrane slower by 1 % in trace": ("trace", {"first spike"}, lambda patch: forged()),
    "a membrane slower by 1 % in fi": ("fi", {"interval"}, lambda patch: forged()),
    "a membrane slower by 1 % in psp": (
        "psp",
        {"response"},
        lambda patch: forged(refsim.load("lif_decay", decay=0.8)),
    ),
    "a membrane slower by 1 % in threshold": ("threshold", {"strength"}, lambda patch: forged()),
    "Euler for rk4": ("dt", {"membrane order"}, lambda patch: lazy()),
    "a soft reset that takes 1 % too much": (
        "resets",
        {"membrane, soft", "spikes, soft"},
        lambda patch: greedy(),
    ),
    "hard for soft": ("resets", {"membrane, soft", "spikes, soft"}, _hard_for_soft),
    "no reset that resets": ("resets", {"membrane, none", "spikes, none"}, _none_that_resets),
    "spikes of another run": (
        "resets",
        {"spikes, soft", "spikes, hard", "spikes, none"},
        _spikes_of_another_run,
    ),
    "a membrane slower by 1 % in sweep": (
        "sweep",
        {"first_spike", "isi_mean", "v_max"},
        lambda patch: forged(refsim.load("lif")),
    ),
    "rows in another order": (
        "sweep",
        {"spike_count", "first_spike", "isi_mean", "v_max"},
        _swapped,
    ),
    "one parameter for all rows": (
        "sweep",
        {"spike_count", "first_spike", "isi_mean", "v_max"},
        _one_parameter_for_all,
    ),
    # Intervals by their last digit.
    "a spike late by a sub-step": (
        "sweep",
        {"first_spike", "isi_mean"},
        _spikes_late_by_a_sub_step,
    ),
    "a nullcline off by 1 %": ("phase", {"fixed point"}, _slower_w),
    "stability by the wrong sign": ("phase", {"stability"}, _stability_by_the_wrong_sign),
    "the input forgotten": ("phase", {"fixed point", "stability", "flow"}, _input_forgotten),
    "a flow a step in place of a second": ("phase", {"flow"}, _flow_a_step_in_place_of_a_second),
}


def test_every_experiment_has_a_judge_and_a_rogue():
    assert set(JUDGES) == {kind for kind, *_ in ROGUES.values()} == set(_KINDS)


@pytest.mark.parametrize("kind", JUDGES)
def test_an_honest_experiment_is_right(kind):
    assert JUDGES[kind]() == set()


@pytest.mark.parametrize("rogue", ROGUES)
def test_a_rogue_is_caught_by_name(rogue, monkeypatch):
    kind, named, plant = ROGUES[rogue]
    assert JUDGES[kind](plant(monkeypatch)) == named


def test_a_sweep_does_not_depend_on_how_many_processes_share_it():
    assert wrong_in_sweep(workers=2) == set()
