"""Neurons written in Python: the neuron of the card they copy, wherever a neuron is taken.

Wrong arguments end in one sentence.
"""

import dataclasses
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import refsim
from refsim import Brian2, Discrete, Drive, NeuronModel, RefsimError, experiments
from refsim.__main__ import main
from refsim.cases.neuron import network_of_one
from refsim.experiments import Setting, constant
from refsim.experiments.responses import with_reset

MILLIVOLTS = {"tau": "10 ms", "E_L": "-65 mV", "R": "100 Mohm", "V_th": "-50 mV", "V_r": "-65 mV"}


def leaky(name="mine", **changes):
    """Return a leaky membrane in volts and amperes, as a person would write it."""
    words = {
        "equations": "dv/dt = (E_L - v + R*I)/tau : volt",
        "threshold": "v > V_th",
        "reset": "v = V_r",
        "parameters": MILLIVOLTS,
        "state": {"v": "-65 mV"},
        "input": "amp",
    }
    return NeuronModel(name, **(words | changes))


def test_units_step_and_method_come_from_the_words():
    model = leaky()
    assert {name: entry.unit for name, entry in model.parameters.items()} == {
        "tau": "second",
        "E_L": "volt",
        "R": "ohm",
        "V_th": "volt",
        "V_r": "volt",
    }
    assert model.parameters["tau"].value == pytest.approx(0.01)
    assert (model.state["v"].unit, model.state["v"].start) == ("volt", -0.065)
    assert (model.input_kind, dict(model.inputs), model.input_unit) == ("pulse", {"I": "v"}, "amp")
    assert (model.continuous.method, model.discrete.solution) == (
        "exponential_euler",
        "exponential_euler",
    )
    assert model.discrete.texts[-2:] == (("z", "v > V_th"), ("v", "v*(1 - z) + V_r*z"))


def test_the_interval_is_that_of_the_closed_form():
    # tau ln(RI/(RI - (V_th - E_L))) from the reset, on a grid of 1/32 ms: late by 0 to 1 sub-step
    run = experiments.trace(leaky(), constant("200 pA"), setting=Setting(refine=32))
    late = (run.facts["first_spike"].value - 0.01 * np.log(20 / 5)) * 32e3
    assert 0 <= late <= 1 + 1e-9


@pytest.mark.parametrize(
    "card", ["eif", "qif", "izhikevich", "hh", "fitzhugh_nagumo", "srif", "coba_lif", "adex"]
)
def test_the_words_of_a_card_make_its_step(card):
    """The same ODE, threshold and reset give the same membranes to the last bit, reset and rising
    threshold included.
    """
    model = refsim.load(card)
    part, step = model.continuous, model.discrete.solution
    mine = NeuronModel(
        "mine",
        part.equations,
        threshold=part.threshold,
        reset=part.reset,
        refractory=part.refractory,
        input=model.input_unit,
        method="euler" if step == "exact" else step,
        state={
            name: {"start": state.start, "unit": state.unit} for name, state in model.state.items()
        },
        parameters={
            name: {"value": entry.value, "unit": entry.unit}
            for name, entry in model.parameters.items()
        },
        derived={name: f"{entry.text} : {entry.unit}" for name, entry in model.derived.items()},
    )
    assert (mine.input_kind, dict(mine.inputs)) == (model.input_kind, dict(model.inputs))
    drive = (
        np.abs(np.random.default_rng(3).normal(0, 1, (1, 400, 1)))
        * {"1": 0.5, "amp": 4e-10, "siemens": 1e-8, "volt": 0.02}[model.input_unit]
    )
    runs = [
        Discrete().run(
            network_of_one(neuron, "0.05 ms"),
            Drive.current(drive, "0.05 ms"),
            ("before_reset", "after_reset"),
        )
        for neuron in (model, mine)
    ]
    for name in ("before_reset", "after_reset"):
        assert np.array_equal(runs[0].traces[0][name], runs[1].traces[0][name])
    assert np.array_equal(runs[0].spikes[0].code, runs[1].spikes[0].code)


def test_it_is_a_neuron_wherever_one_is_taken(tmp_path, capsys):
    model = leaky()
    network = refsim.Network.dense([([[1e-9]], None, model)], "0.5 ms")
    drive = Drive.constant(0.3, 60, "0.5 ms")
    runs = [engine.run(network, drive) for engine in (Discrete(), Brian2(target="numpy"))]
    assert len(runs[0].spikes[0]) > 2
    assert refsim.compare(*runs).verdict == "pass"
    assert experiments.fi(model, "0:300pA:4", duration="50 ms").facts[
        "onset"
    ].value == pytest.approx(200e-12)
    assert not [
        verdict
        for verdict in refsim.check_card(model, skip={"finite", "method_order", "step_order"})
        if verdict.status == "fail"
    ]
    path = model.with_parameters(tau="20 ms").save(tmp_path / "mine.toml")
    assert refsim.load(path).parameters["tau"].value == 0.02
    assert main(["run", str(path), "--constant", "0.3nA", "--steps", "20"]) == 0
    assert main(["show", str(path)]) == 0
    assert "1 spike in 20 steps" in capsys.readouterr().out


def test_a_map_a_readout_and_chance():
    counter = NeuronModel(
        "counter",
        discrete={"integrate": "v = v + I", "fire": "z = v >= v_th", "reset": "v = v - z*v_th"},
        state={"v": 0},
        parameters={"v_th": 2},
    )
    run = Discrete().run(network_of_one(counter, "1 ms"), Drive.constant(1.0, 6, "1 ms"))
    assert run.spikes[0].step.tolist() == [1, 3, 5]
    readout = NeuronModel("readout", "dv/dt = -v/tau + I/step : 1", parameters={"tau": "5 ms"})
    assert (readout.discrete.readout, readout.input_kind) == ("v", "impulse")
    noisy = NeuronModel(
        "noisy",
        "dv/dt = (I - v)/tau : 1",
        threshold="uniform < v*dt/tau",
        reset="v = 0",
        parameters={"tau": "5 ms"},
    )
    assert noisy.traits == ("stochastic",)
    assert noisy.discrete.fire.text == "uniform < v*step/tau"


def test_a_step_of_ones_own_beside_the_equations():
    step = {
        "solution": "exact",
        "integrate": "v = keep*v + (1 - keep)*I",
        "fire": "z = v >= v_th",
        "reset": "v = v*(1 - z)",
    }
    words = {
        "threshold": "v >= v_th",
        "reset": "v = 0",
        "parameters": {"tau": "10 ms", "v_th": {"value": 0.5, "above": 0}},
    }
    model = NeuronModel(
        "mine",
        "dv/dt = (I - v)/tau : 1",
        derived={"keep": "exp(-step/tau)"},
        discrete=step,
        **words,
    )
    assert model.continuous.method == "exact"
    assert refsim.check_declared_step(model).status == "pass"
    rogue = NeuronModel(
        "mine", "dv/dt = (I - v)/tau : 1", derived={"keep": "1 - step/tau"}, discrete=step, **words
    )
    assert refsim.check_declared_step(rogue).status == "fail"


def test_the_examples_of_the_documentation_run():
    root = Path(refsim.__file__).parents[1]
    (block,) = re.findall(
        r"```python\n(.*?)```", (root / "docs" / "cards.md").read_text("utf-8"), re.S
    )
    (line,) = re.findall(r"`(refsim\.NeuronModel\(.*\))`", (root / "README.md").read_text("utf-8"))
    names: dict = {}
    exec(block, names)
    assert names["mine"].discrete.texts == leaky().discrete.texts
    assert eval(line, {"refsim": refsim}).input_unit == "1"


def test_copies_and_pickles_are_the_neuron():
    model = leaky()
    assert dataclasses.replace(model, title="another").title == "another"
    assert dataclasses.replace(model, title="another").discrete is model.discrete
    assert pickle.loads(pickle.dumps(model)).discrete.texts == model.discrete.texts


def test_what_is_saved_is_what_is_read(tmp_path):
    model = leaky(
        title='quotes " and \\n backslashes',
        equations="a = R*I : volt\ndv/dt = (E_L - v + a)/tau : volt  # two lines",
    )
    again = refsim.load(model.save(tmp_path / "mine.toml"))
    assert (again.title, again.continuous, again.discrete.texts, again.state) == (
        model.title,
        model.continuous,
        model.discrete.texts,
        model.state,
    )
    with pytest.raises(RefsimError, match="give yours a name of its own"):
        refsim.load("lif", tau=5).save(tmp_path / "lif.toml")
    with pytest.raises(RefsimError, match="was changed after it was read"):
        with_reset(model, "soft").save(tmp_path / "soft.toml")
    with pytest.raises(RefsimError, match="cannot be written"):
        model.save(tmp_path / "nowhere" / "mine.toml")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": 3}, 'needs a name of letters, digits and "_", such as "mine", but 3 was given'),
        ({"name": "my neuron"}, "needs a name of letters"),
        ({"name": "lif"}, "give yours a name of its own"),
        (
            {"thresold": "v > V_th"},
            "thresold is not an argument; known are name, equations, threshold",
        ),
        ({"continuous": {}}, "continuous is not an argument"),
        ({"equations": ""}, 'needs equations such as "dv/dt'),
        ({"equations": None}, "equations must be text, but None was given"),
        ({"equations": "v = 3"}, "'v = 3' is not an equation; needs 'dv/dt = ... : unit'"),
        ({"equations": "dv/dt = (E_L - v + R*I)/tau : mV"}, "'mV' is not a known unit"),
        (
            {"equations": "dv/dt = (E_L - v + R*J)/tau : volt"},
            "J is not known here; known are E_L, I",
        ),
        ({"equations": "dv/dt = (E_L - v)/tau : volt"}, "never uses the input I"),
        (
            {"equations": "dv/dt = __import__('os')/tau : volt"},
            "'__import__' in \"__import__('os')/tau\" is not a known function",
        ),
        ({"threshold": 1.0}, "threshold must be text, but 1.0 was given"),
        ({"threshold": "V_th"}, "must be one comparison"),
        ({"reset": "v == V_r"}, "is not a statement"),
        ({"reset": "u = V_r"}, "u"),
        ({"method": "heun"}, "method 'heun' makes no step by itself; give the step as discrete"),
        ({"method": "magic"}, "method 'magic' makes no step by itself"),
        ({"refractory": "tau"}, "a refractory period needs the step too"),
        ({"parameters": ["tau"]}, "parameters must be a dict such as"),
        (
            {"parameters": {**MILLIVOLTS, "tau": "10 parsec"}},
            "[parameters] tau: value: 'parsec' is not a known unit",
        ),
        (
            {"parameters": {**MILLIVOLTS, "tau": None}},
            "[parameters] tau: value: needs a number, but None was given",
        ),
        ({"parameters": {**MILLIVOLTS, "tau": float("nan")}}, "needs a finite number"),
        ({"parameters": {**MILLIVOLTS, "tau": {"valeu": 1}}}, "valeu is not a known key"),
        ({"parameters": {3: 4}}, "parameters must be a dict such as"),
        ({"state": {"v": "-65 ms"}}, "[state] v: start: needs '-65 mV' or a like unit"),
        (
            {"state": {}},
            'fires where it starts, at v = 0; say where it starts, such as state={"v": "-65 mV"}',
        ),
        ({"state": "v"}, "state must be a dict such as"),
        ({"derived": {"x": 3}}, "[derived] x: must be a table"),
        ({"derived": {"x": "tau : year"}}, "'year' is not a known unit"),
        ({"input": "mA"}, "'mA' is not a known unit (write 'amp'"),
        ({"input": 3}, "input must be the unit of I"),
        ({"input": {"kind": "drip"}}, "[input] kind must be one of"),
        ({"discrete": "v = v + I"}, "discrete must be a dict such as"),
        ({"discrete": {"integrate": "v = v + I"}}, "[discrete] solution must be one of"),
        ({"kernel": {"k": "exp(-k)"}}, "[kernel] k: must have the keys"),
        ({"traits": ["brave"]}, "traits brave is not known"),
        ({"references": [3]}, "references must be a list of texts"),
    ],
)
def test_a_wrong_argument_is_one_sentence(changes, says):
    with pytest.raises(RefsimError) as caught:
        leaky(**changes)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("table", [3, "lif", ["name"]])
def test_a_table_that_is_none_is_one_sentence(table):
    with pytest.raises(RefsimError, match="needs a dict with the keys of a card"):
        NeuronModel.from_table(table)


@pytest.mark.parametrize("method", ["", "euler", "exponential_euler", "rk4"])
def test_an_equation_of_impulses_alone_is_a_sum(method):
    model = refsim.NeuronModel(
        "mine",
        "dv/dt = I/step : 1",
        threshold="v >= v_th",
        reset="v = 0",
        parameters={"v_th": 1.0},
        method=method,
    )
    assert [statement.text for statement in model.discrete.integrate] == ["v + I"]
    assert refsim.check_declared_step(model).status == "pass"
