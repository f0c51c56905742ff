"""Experiments on neurons that are not the usual one.

States of one part only, chance, no rest, a membrane that runs away.
"""

import re

import numpy as np
import pytest

import refsim
from refsim import experiments
from refsim.__main__ import main
from refsim.cards.read import load_all
from refsim.experiments import Setting, constant, draw
from refsim.experiments.result import scale
from refsim.export.script import usual_input

COARSE = Setting(refine=2)
PARTED = [
    model for model in load_all() if model.continuous and set(model.solved) != set(model.state)
]
NOISY = refsim.NeuronModel(
    "noisy",
    "dv/dt = (I - v)/tau : 1",
    threshold="v > 1 + 0.3*uniform",
    reset="v = 0",
    parameters={"tau": "10 ms"},
    method="euler",
)
QUADRATIC = refsim.NeuronModel(
    "quadratic",
    "dv/dt = (v*v + I)/tau : 1",
    threshold="v > 10",
    reset="v = -1",
    parameters={"tau": "2 ms"},
    state={"v": -1},
)


def test_there_are_cards_with_states_of_one_part_only():
    assert {"lif_refractory", "srm_slayer"} <= {model.name for model in PARTED}


@pytest.mark.parametrize("model", PARTED, ids=lambda model: model.name)
def test_an_experiment_shows_the_states_of_the_part_that_it_runs(model):
    level = usual_input(model, 1e-3).level
    membrane = model.membrane_in(fine=True)
    traced = experiments.trace(model, constant(level), duration="5 ms", setting=COARSE)
    response = experiments.psp(model, 0.01 * level, duration="5 ms", setting=COARSE)
    flow = experiments.phase(model, level, states=(membrane,), duration="5 ms", setting=COARSE)
    ladder = experiments.dt(model, constant(level), duration="5 ms", finest=3)
    for result in (traced, response, flow):
        assert set(model.state) & set(result.main) == set(model.solved)
    for result in (traced, response, flow, ladder):
        draw(result)
    stepped = experiments.trace(
        model, constant(level), duration="5 ms", setting=Setting(mode="grid")
    )
    assert set(model.state) & set(stepped.main) == set(model.stepped)


def test_a_threshold_drawn_by_chance_has_a_portrait_and_no_order_of_its_spikes():
    draw(experiments.phase(NOISY, 2.0, duration="20 ms", setting=COARSE))
    found = experiments.dt(NOISY, constant(2.0), duration="50 ms", finest=3)
    assert np.isnan(found.facts["spike_order"].value)
    assert "no order" in draw(found).figure.axes[0].get_title()


def test_spikes_that_come_and_go_tell_no_order():
    # 50, 50, 57, 61 and 61 spikes: the only ones that can be compared stayed where they were
    assert np.isnan(
        experiments.dt(refsim.load("lif"), constant(0.75), finest=4).facts["spike_order"].value
    )


def test_a_current_over_a_time_is_a_charge_in_coulombs():
    found = experiments.threshold(refsim.load("qif"), "5 ms, 10 ms", setting=COARSE)
    assert found.main["charge"].unit == "coulomb"
    assert found["charge"] == pytest.approx(found["strength"] * found["duration"])


def test_a_membrane_that_runs_away_keeps_its_spikes_and_its_scale_in_the_picture():
    result = experiments.resets(QUADRATIC, constant(2.0), setting=Setting())
    panel = draw(result).figure.axes[2]
    assert "runs away" in panel.get_title(loc="left")
    assert len(panel.lines[1].get_xdata()) == result["spike_none"].sum() > 0
    assert panel.get_ylim()[1] < 1e5


def test_a_neuron_that_fires_by_itself_gets_no_input_in_its_script(capsys, tmp_path):
    alone = refsim.NeuronModel(
        "alone",
        "dv/dt = (2 + I - v)/tau : 1",
        threshold="v > 1",
        reset="v = 0",
        parameters={"tau": "10 ms"},
    )
    assert usual_input(alone, 1e-3).level == 0
    assert main(["experiment", "trace", str(alone.save(tmp_path / "alone.toml"))]) == 2
    assert "give one, such as --constant 0" in capsys.readouterr().err


def test_three_states_are_not_called_given(capsys):
    assert main(["experiment", "phase", "hh_traub"]) == 2
    assert (
        "two different states, but 'hh_traub' has v, m, h, n; choose two, --states v,m"
        in capsys.readouterr().err
    )


def test_no_heading_and_no_fact_is_cut(capsys):
    assert (
        main(
            ["experiment", "dt", "lif", "--finest", "3", "--duration", "20 ms", "--constant", "0.7"]
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert "  membrane_change" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_values_in_any_order_are_drawn_where_they_lie():
    # a map of 5, 2, 9 drew the column of 2 at 5, and 5 given twice could not be drawn at all
    result = experiments.sweep(
        refsim.load("lif"),
        [("tau", "5,2,9,5"), ("I", "1,0.2")],
        "rate",
        duration="20 ms",
        setting=COARSE,
    )
    assert result["tau"].tolist() == [2, 2, 5, 5, 9, 9]
    (mesh,) = draw(result).figure.axes[0].collections
    # Cells side by side, none over another.
    assert (np.diff(mesh.get_coordinates()[:, 0, 0]) > 0).all()
    factor = scale(result["rate"], "hertz")[0]
    assert np.asarray(mesh.get_array()).ravel().tolist() == pytest.approx(
        (result["rate"] * factor).tolist()
    )
    assert experiments.fi(refsim.load("lif"), "3,1,2,1", duration="20 ms", setting=COARSE)[
        "current"
    ].tolist() == [1, 2, 3]


LIF = refsim.load("lif")


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: experiments.fi(LIF, [1.0], over="tau"), "fi: over needs a name and its values"),
        (lambda: experiments.sweep(LIF, "tau"), "sweep: over needs a name and its values"),
        (
            lambda: experiments.sweep(LIF, [("tau", "2:20:9999"), ("I", "0:2:9999")]),
            "99,980,001 combinations are more than one sweep runs",
        ),
        (lambda: experiments.dt(LIF, finest="x"), "dt: finest must be a whole number"),
        (lambda: experiments.trace(LIF, 3.0), "needs a stimulus"),
        (lambda: refsim.check_declared_step("lif"), "check_declared_step: needs a neuron"),
        (lambda: refsim.to_latex("lif"), "to_latex: needs a neuron"),
        (lambda: refsim.to_markdown("lif"), "to_markdown: needs a neuron"),
        (lambda: refsim.to_brian2("lif"), "to_brian2: needs a neuron"),
        (
            lambda: refsim.to_brian2(LIF, refine="x"),
            "refine: must be a whole number of 1 or more, but is 'x'",
        ),
        (
            lambda: refsim.load("lif", tau=10**400),
            "needs a finite number, but a whole number of more than 308 digits was given",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(ask, says):
    with pytest.raises(refsim.RefsimError, match=re.escape(says)):
        ask()


def test_a_picture_of_numbers_too_large_is_refused_in_a_sentence(tmp_path, capsys):
    assert (
        main(
            [
                "experiment",
                "trace",
                "lif",
                "--constant",
                "1e308",
                "--duration",
                "5 ms",
                "--refine",
                "1",
                "--out",
                str(tmp_path / "x.png"),
            ]
        )
        == 2
    )
    assert "too large to be drawn" in capsys.readouterr().err


def test_a_parameter_set_twice_is_not_half_lost(capsys):
    assert main(["show", "lif", "--set", "tau=2", "--set", "tau=3"]) == 2
    assert "--set: tau is given twice" in capsys.readouterr().err
