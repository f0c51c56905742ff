"""A card is data: what it says is refused when it is loaded, or reaches engines and scripts as it
was parsed, under names of its own.
"""

import numpy as np
import pytest

import refsim
from refsim import Brian2, Discrete, Drive, NeuronModel, RefsimError
from refsim.cards.language import parse_expression
from refsim.engines.brian.text import brian_text


def model(**changed):
    """Return a neuron of one's own, some of its words changed."""
    words = {
        "equations": "dv/dt = (I - v)/tau_m : 1",
        "threshold": "v >= v_th",
        "reset": "v = 0",
        "parameters": {"tau_m": "5 ms", "v_th": 0.5, "half": 0.5},
    }
    return NeuronModel("mine", **{**words, **changed})


QUOTED = '""" + __import__("os").system("touch owned") + """'
HIDDEN = "\f" + "__import__('os').system('touch owned')"
TEXTS = {
    "unit": {"equations": f"dv/dt = (I - v)/tau_m : 1 (unless refractory) {QUOTED}"},
    "flag": {"equations": "dv/dt = (I - v)/tau_m : 1 (constant)"},
    "a form feed ends a comment": {"threshold": f"v >= v_th # {HIDDEN}"},
    "in the reset": {"reset": f"v = 0 # {HIDDEN}"},
    "in the equations": {"equations": f"dv/dt = (I - v)/tau_m : 1 # {HIDDEN}"},
    "in a derived constant": {"derived": {"two": f"2*v_th # {HIDDEN} : 1"}},
    "in a title": {"title": "mine\u2028import os"},
    "a turned line": {"title": "mine \u202e"},
    "an escape": {"references": ["\x1b]0;owned\x07"]},
    "another alphabet": {"threshold": "v >= v_th + 0*ｖ"},
    "a backslash": {"threshold": "v \\\n>= v_th"},
    "a quote": {"threshold": "v >= 'v_th'"},
    "twice": {"equations": "dv/dt = (I - v)/tau_m : 1\ndv/dt = I/tau_m : 1"},
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_no_part_of_the_language_is_refused_when_the_card_is_loaded(name):
    with pytest.raises(RefsimError, match="mine"):
        model(**TEXTS[name])


def test_a_comment_may_hold_anything_and_goes_nowhere():
    plain, said = (
        model(),
        model(
            threshold='v >= v_th  # """ ; "quoted"',
            reset="v = 0 # ; v = 7",
            equations='dv/dt = (I - v)/tau_m : 1  # """',
        ),
    )
    assert said.continuous == plain.continuous
    assert said.discrete.texts == plain.discrete.texts
    script = refsim.to_brian2(said)
    assert "quoted" not in script
    assert "7" not in script.split("threshold=")[1].split("method=")[0]


@pytest.mark.parametrize(
    "text",
    [
        "1/0",
        "2*(1/0)",
        "9**9**9",
        "(-8)**0.5",
        "log(0)",
        "log(-1)",
        "1e308*10",
        "9" * 400,
        "shr(1, 5000)",
        "0**-1",
        "exp(1000)",
    ],
)
def test_numbers_that_are_none_are_refused(text):
    with pytest.raises(RefsimError, match="finite number") as caught:
        model(threshold=f"v >= v_th + {text}")
    assert len(str(caught.value)) < 700


# --- names ---


def spikes(neuron, rng, *engines):
    network = refsim.Network.dense([(np.eye(3), None, neuron)], "1 ms")
    drive = Drive.current(rng.random((2, 120, 3)) * 4, "1 ms")
    return [engine.run(network, drive).spikes[0] for engine in engines]


@pytest.mark.parametrize("method", ["euler", "exponential_euler", "rk4"])
@pytest.mark.parametrize(
    "name", ["v_slope", "v_kept", "v_rate", "v_ratio", "v_k1", "v_k1_at", "v_at_k2"]
)
def test_a_state_may_have_a_name_that_a_generated_step_could_give(method, name, rng):
    def neuron(second):
        equations = (
            f"dv/dt = (I - v - 0.5*{second})/tau_m : 1\nd{second}/dt = (v - {second})/tau_m : 1"
        )
        return model(equations=equations, method=method, parameters={"tau_m": "10 ms", "v_th": 0.5})

    state = rng.bit_generator.state
    wanted = spikes(neuron("quiet"), rng, Discrete())[0]
    rng.bit_generator.state = state
    found = spikes(neuron(name), rng, Discrete(), Brian2(target="numpy"))
    assert [each.code.tolist() for each in found] == [wanted.code.tolist()] * 2
    assert len(wanted)


def test_what_was_kept_does_not_take_a_states_name(rng):
    """The old membrane of a neuron that fires at crossings alone."""

    def neuron(second):
        equations = (
            f"dv/dt = (I - v - 0.5*{second})/tau_m : 1\nd{second}/dt = (v - {second})/tau_m : 1"
        )
        return model(equations=equations, refractory="v >= v_th", method="euler")

    state = rng.bit_generator.state
    wanted = spikes(neuron("quiet"), rng, Discrete())[0]
    rng.bit_generator.state = state
    assert spikes(neuron("v_old"), rng, Discrete())[0].code.tolist() == wanted.code.tolist()
    assert len(wanted)


@pytest.mark.parametrize(
    "name",
    [
        "result_4_",
        "distance_",
        "_helper",
        "truth",
        "gap",
        "uniform_call",
        "I_excitatory",
        "jump_inhibitory",
        "sub_delta",
        "L0",
        "double",
        "NULL",
        "v_post",
    ],
)
@pytest.mark.parametrize("place", ["parameter", "state", "helper", "subexpression"])
def test_a_name_of_refsims_own_is_refused_by_name(name, place):
    made = {
        "parameter": lambda: model(parameters={"tau_m": "5 ms", "v_th": 0.5, name: 0.5}),
        "state": lambda: model(
            equations=f"dv/dt = (I - v)/tau_m : 1\nd{name}/dt = -{name}/tau_m : 1"
        ),
        "helper": lambda: NeuronModel(
            "mine",
            discrete={
                "integrate": f"{name} = 0.5*v\nv = {name} + I",
                "fire": "z = v >= 1",
                "reset": "v = v - z",
            },
            state={"v": 0.0},
        ),
        "subexpression": lambda: model(
            equations=f"{name} = 0.5*v : 1\ndv/dt = (I - {name})/tau_m : 1"
        ),
    }
    # An input's name is also read as an input.
    with pytest.raises(RefsimError, match="mine" if name.startswith("I_") else name):
        made[place]()


@pytest.mark.parametrize(
    "names", [("w", "u"), ("left", "w"), ("flow", "held"), ("steady", "elapsed")]
)
def test_plain_synapses_take_no_name_from_a_card(names, rng):
    def run(first, second):
        equations = (
            f"d{first}/dt = ({second} - {first})/tau_m : 1\nd{second}/dt = "
            f"-{second}/tau_s + I/step : 1"
        )
        step = {
            "solution": "exponential_euler",
            "integrate": "from continuous",
            "fire": f"z = {first} >= 0.3",
            "reset": f"{first} = {first}*(1 - z)",
        }
        neuron = model(
            equations=equations,
            threshold=f"{first} >= 0.3",
            reset=f"{first} = 0",
            discrete=step,
            parameters={"tau_m": "5 ms", "tau_s": "3 ms"},
        )
        network = refsim.Network.dense([(2 * np.eye(2), None, neuron)], "1 ms")
        drive = Drive.events([0] * 6, [1, 2, 3, 4, 5, 8], [0, 1, 0, 1, 0, 0], (1, 30, 2), "1 ms")
        engines = (
            Brian2(target="numpy", connections="synapses"),
            Brian2(target="numpy", spike_times="exact", dt="0.1 ms"),
        )
        return [engine.run(network, drive).spikes[0].code.tolist() for engine in engines]

    found = run(*names)
    assert found == run("v", "i_syn")
    assert all(found)


# --- whole numbers ---

HALVES = [
    "2**(-1)",
    "2**-1",
    "1/4**0.5",
    "2**31/2**32",
    "2**63/2**64",
    "1/2",
    "trunc(1.5)/2",
    "round(0.6)/2",
    "shr(8, 3)/2",
    "floor (1.5)/2",
    "sign(5)*2**-1",
]


@pytest.mark.parametrize("text", HALVES)
def test_a_half_is_a_half_in_every_engine(text, rng):
    """In fine mode too, where Brian2 would compute powers of whole numbers as whole numbers."""
    state = rng.bit_generator.state
    engines = (Brian2(mode="fine", refine=2, target="numpy"), Brian2(target="numpy"), Discrete())
    wanted = spikes(model(), rng, *engines)
    rng.bit_generator.state = state
    for place in (
        {"threshold": f"v >= {text}"},
        {"reset": f"v = 0*({text})"},
        {"equations": f"lower = {text} : 1\ndv/dt = (I - v)/tau_m : 1", "threshold": "v >= lower"},
    ):
        if place.get("threshold") == "v >= lower":
            place["discrete"] = {
                "solution": "exponential_euler",
                "integrate": "from continuous",
                "fire": "z = v >= lower",
                "reset": "v = v*(1 - z)",
            }
        rng.bit_generator.state = state
        found = spikes(model(**place), rng, *engines)
        assert [len(each) for each in found] == [len(each) for each in wanted], place
    assert len(wanted[0])


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2**(-1)*v", "0.5*v"),
        ("2**v", "2.0**v"),
        ("v**2", "v**2"),
        ("1/3 + v", "1/3 + v"),
        ("floor(v)/2", "whole_below(v)/2"),
        ("floor (floor(v))", "whole_below(whole_below(v))"),
    ],
)
def test_powers_and_floors_are_spelled_for_brian2(text, written):
    assert brian_text(parse_expression(text, "here")) == written


def test_the_script_computes_the_same_half():
    script = refsim.to_brian2(model(threshold="v >= 2**(-1)", reset="v -= 2*2**-1"))
    assert 'threshold="v >= 0.5"' in script
    assert 'reset="v -= 2*0.5"' in script
