"""Equations as people write them for Brian2.

Read where a card can say them, refused with the cure where not.
"""

import numpy as np
import pytest

import refsim
from refsim import Brian2, Discrete, Drive, Network, NeuronModel, RefsimError

TAU = {"tau": "10 ms"}


def neuron(equations, threshold="v > 1", reset="v = 0", parameters=TAU, **more):
    return NeuronModel(
        "mine", equations, threshold=threshold, reset=reset, parameters=parameters, **more
    )


PLAIN = "dv/dt = (I - v)/tau : 1"
VOLTS = {"El": "-65 mV", "tau": "10 ms", "C": "200 pF"}
AT_REST = {"v": "-65 mV"}
# What is written in Brian2's words, and the same in those of a card.
PAIRS = {
    "a literal": (
        lambda: neuron("dv/dt = (I - v)/(10*ms) : 1", parameters={}),
        lambda: neuron(PLAIN),
    ),
    "literals in threshold and reset": (
        lambda: neuron(
            "dv/dt = (El - v)/tau + I/C : volt",
            "v > -50*mV",
            "v = -65*mV",
            VOLTS,
            input="amp",
            state=AT_REST,
        ),
        lambda: neuron(
            "dv/dt = (El - v)/tau + I/C : volt",
            "v > th",
            "v = El",
            VOLTS | {"th": "-50 mV"},
            input="amp",
            state=AT_REST,
        ),
    ),
    "a compound literal": (
        lambda: neuron(
            "dv/dt = 0.5*nS/mV*(v - El)*(v - El)/C + I/C : volt",
            "v > th",
            "v = El",
            VOLTS | {"th": "-50 mV"},
            input="amp",
            state=AT_REST,
        ),
        lambda: neuron(
            "dv/dt = k*(v - El)*(v - El)/C + I/C : volt",
            "v > th",
            "v = El",
            VOLTS | {"th": "-50 mV", "k": "0.5 nS/mV"},
            input="amp",
            state=AT_REST,
        ),
    ),
    "declared parameters and input": (
        lambda: neuron(
            "dv/dt = (El - v)/tau + I/C : volt\nI : amp\ntau : second (constant, shared)",
            "v > th",
            "v = El",
            VOLTS | {"th": "-50 mV"},
            state=AT_REST,
        ),
        lambda: neuron(
            "dv/dt = (El - v)/tau + I/C : volt",
            "v > th",
            "v = El",
            VOLTS | {"th": "-50 mV"},
            input="amp",
            state=AT_REST,
        ),
    ),
    "constant over dt": (
        lambda: neuron("dv/dt = (J - v)/tau : 1\nJ = I + 0.1 : 1 (constant over dt)"),
        lambda: neuron("dv/dt = (J - v)/tau : 1\nJ = I + 0.1 : 1"),
    ),
}


def spikes(model, level, engine=None):
    network = Network.dense([([[1.0]], None, model)], "1 ms")
    drive = Drive.constant(level, 80, "1 ms", seed=3)
    return refsim.run(network, drive, engine or Discrete()).spikes[0].step.tolist()


@pytest.mark.parametrize("name", PAIRS)
def test_brians_words_are_the_cards(name):
    ours, theirs = (make() for make in PAIRS[name])
    level = 1.5 if ours.input_unit == "1" else 0.4e-9
    fired = spikes(ours, level)
    assert len(fired) > 2
    assert fired == spikes(theirs, level) == spikes(ours, level, Brian2(target="numpy"))
    fine = Brian2(mode="fine", refine=4, target="numpy")
    assert spikes(ours, level, fine) == spikes(theirs, level, fine)
    assert refsim.check_declared_step(ours).status == "pass"


def test_a_card_with_literals_is_saved_as_it_was_given(tmp_path):
    model = PAIRS["literals in threshold and reset"][0]()
    again = refsim.load(model.save(tmp_path / "mine.toml"))
    assert again.discrete.texts == model.discrete.texts
    assert "-50*mV" in (tmp_path / "mine.toml").read_text("utf-8")


def test_a_comparison_counts_as_one_or_zero():
    model = neuron("dv/dt = (I + g*int(v > 0.5) - v)/tau : 1", parameters=TAU | {"g": 0.5})
    v, fired = 0.0, []
    for step in range(80):  # forward Euler, written out
        v += 1e-3 * (1.5 + 0.5 * (v > 0.5) - v) / 0.01
        if v > 1:
            fired, v = [*fired, step], 0.0
    assert len(fired) > 2
    for engine in (Discrete(), Brian2(target="numpy"), Brian2(mode="fine", target="numpy")):
        assert spikes(model, 1.5, engine) == fired
    assert refsim.check_declared_step(model).status == "pass"


def test_time_and_the_last_spike_are_states_as_the_refusals_say():
    clock = neuron(
        "dv/dt = (I + sin(w*elapsed) - v)/tau : 1\ndelapsed/dt = 1 : second",
        parameters=TAU | {"w": "60 Hz"},
        method="euler",
    )
    v, fired = 0.0, []
    for step in range(80):
        v += 1e-3 * (1.5 + np.sin(60 * step * 1e-3) - v) / 0.01
        if v > 1:
            fired, v = [*fired, step], 0.0
    assert spikes(clock, 1.5) == spikes(clock, 1.5, Brian2(target="numpy")) == fired
    since = neuron(
        "dv/dt = (I - v)/tau : 1\ndsince/dt = 1 : second",
        "v > 1 + tau/(since + tau)",
        "v = 0; since = 0*second",
        state={"since": "1 s"},
    )
    assert 0 < len(spikes(since, 2.5)) < len(spikes(neuron(PLAIN), 2.5))


NOISY = "dv/dt = -v/tau + I/tau + sigma*xi*sqrt(2/tau) : 1"


def noisy(**more):
    return neuron(NOISY, "v > 100", parameters=TAU | {"sigma": 0.2}, **more)


def test_noise_has_the_variance_of_its_equation():
    model = noisy()
    assert "stochastic" in model.traits
    network = Network.dense([(np.ones((400, 1)), None, model)], "0.5 ms")
    drive = Drive.constant(0.0, 400, "0.5 ms", seed=1)
    fine = Brian2(mode="fine", refine=2, target="numpy", margin=False)
    for engine, step in ((Discrete(), 0.5), (fine, 0.25)):
        run = refsim.run(network, drive, engine, record=("after_reset",))
        settled = run.traces[0]["after_reset"][0, -100:]
        # of forward Euler: sigma^2/(1 - dt/(2 tau)); 400 neurons and some independent times
        expected = 0.04 / (1 - step / 20)
        assert settled.var() == pytest.approx(expected, rel=0.1)
        assert abs(settled.mean()) < 0.02


def test_noise_is_the_same_in_every_engine():
    network = Network.dense([(np.ones((3, 1)), None, noisy())], "1 ms")
    drive = Drive.constant(0.5, 30, "1 ms", seed=7)
    engines = (Discrete(), Brian2(target="numpy"), Brian2(mode="fine", target="numpy"))
    traces = [
        refsim.run(network, drive, engine, record=("after_reset",)).traces[0]["after_reset"]
        for engine in engines
    ]
    assert np.ptp(traces[0][0, -1]) > 0.01  # neurons differ
    for trace in traces[1:]:
        np.testing.assert_allclose(trace, traces[0], rtol=0, atol=1e-12)


def test_a_threshold_reads_a_subexpression_at_the_new_states():
    """A step that kept the old value would fire late, as the free run and the check both show."""
    equations = "dv/dt = (I - v)/tau : 1\nth = 0.4 + 0.5*v : 1"
    model = neuron(equations, "v > th")
    fine = Brian2(mode="fine", target="numpy")
    assert spikes(model, 1.5) == spikes(model, 1.5, fine)
    stale = {
        "solution": "exponential_euler",
        "integrate": "from continuous",
        "fire": "z = v > th",
        "reset": "v = v*(1 - z)",
    }
    rogue = neuron(equations, "v > th", discrete=stale)
    assert spikes(rogue, 1.5) != spikes(rogue, 1.5, fine)
    assert refsim.check_declared_step(model).status == "pass"
    assert refsim.check_declared_step(rogue).status == "fail"


REFUSED = {
    "time": (lambda: neuron("dv/dt = (I + sin(w*t) - v)/tau : 1"), "'delapsed/dt = 1 : second'"),
    "last spike": (
        lambda: neuron(PLAIN, "v > 1 + tau/(t - lastspike)"),
        "'dsince/dt = 1 : second'",
    ),
    "random": (lambda: neuron("dv/dt = (rand() - v)/tau : 1"), "uniform"),
    "int in a threshold": (lambda: neuron(PLAIN, "v > 1 + int(v > 2)"), "'above = int"),
    "a unit of one letter": (
        lambda: neuron("dv/dt = (I - v)/(1*s) : 1"),
        "the unit is written second",
    ),
    "no value": (lambda: neuron(PLAIN + "\nC : farad"), "nothing gives its value"),
    "another unit": (lambda: neuron(PLAIN + "\ntau : volt"), "is in second"),
    "a flag": (lambda: neuron("dv/dt = (I - v)/tau : 1 (event-driven)"), "the flag event-driven"),
    "held state": (
        lambda: neuron("dv/dt = (J - v)/tau : 1\nJ = I + v : 1 (constant over dt)"),
        "leave the flag out",
    ),
    "noise times a state": (
        lambda: neuron("dv/dt = v*xi*tau**-0.5 + I/tau : 1"),
        "multiplied by the state v",
    ),
    "noise by another method": (lambda: noisy(method="rk4"), "method euler"),
    "a whole period": (
        lambda: neuron(PLAIN + " (unless refractory)", refractory="5 ms"),
        "as a count of steps",
    ),
    "mixed units": (
        lambda: refsim.check_declared_step(neuron("dv/dt = (I - v)/(10*mV) : 1", parameters={})),
        "nit",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_said_is_refused_with_its_cure(name):
    make, says = REFUSED[name]
    with pytest.raises(RefsimError) as caught:
        make()
    assert says in str(caught.value)
