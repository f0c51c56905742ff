"""What a script of plain Brian2 cannot say is refused in a sentence, what it must say otherwise is
said so, and no word of a card becomes code.
"""

import ast
import re
from pathlib import Path

import pytest

import refsim
from refsim.__main__ import main
from refsim.cards.language import parse_expression
from refsim.export.script import agrees
from refsim.export.script_neuron import brian2_text, python_text


def test_what_plain_brian2_cannot_say_is_a_sentence(tmp_path, capsys):
    text = (
        (Path(__file__).parent / "cards" / "kernels.toml")
        .read_text("utf-8")
        .replace('name = "kernels"', 'name = "own"')
    )
    alone = re.sub(r"\[continuous\].*?(?=\[discrete\])", "", text, flags=re.S).replace(
        '"kernel"', '"map"'
    )
    alone = re.sub(r"^[xy] = .*continuous.*\n", "", alone, flags=re.M).replace(
        'target = "x"', 'target = "u"'
    )
    (tmp_path / "alone.toml").write_text(alone)
    assert main(["show", str(tmp_path / "alone.toml"), "--brian2"]) == 2
    assert (
        "card 'own': sums kernels (eps, nu) over past steps and has no [continuous] part"
        in capsys.readouterr().err
    )
    taken = refsim.load("srif").text.replace('"srif"', '"own"').replace("spike_value", "duration")
    (tmp_path / "taken.toml").write_text(taken)
    assert main(["show", str(tmp_path / "taken.toml"), "--brian2"]) == 2
    assert (
        "card 'own': duration is a word of the Brian2 script itself; give it another name"
        in capsys.readouterr().err
    )
    state = re.sub(r"\b(d?)v\b", r"\1clock", refsim.load("srif").text.replace('"srif"', '"own"'))
    (tmp_path / "state.toml").write_text(state)
    assert main(["show", str(tmp_path / "state.toml"), "--brian2"]) == 2
    assert "card 'own': clock is a word" in capsys.readouterr().err


def test_functions_that_brian2_lacks_are_made_of_those_it_has():
    texts = {
        text: parse_expression(text, "test")
        for text in ("round(a)*2", "trunc(a - b)", "shr(a + b, 12)", "a <= b")
    }
    in_brian2 = [
        "floor(a + 0.5)*2",
        "sign(a - b)*floor(abs(a - b))",
        "shr(a + b, 12)",
        "int(a <= b)",
    ]
    assert [brian2_text(text, tree) for text, tree in texts.items()] == in_brian2
    assert [python_text(text, tree) for text, tree in texts.items()][:3] == [
        "floor(a + 0.5)*2",
        "trunc(a - b)",
        "trunc((a + b)/2.0**12)",
    ]


def test_a_derived_constant_whose_unit_is_only_said_is_computed_in_numbers(tmp_path):
    text = (
        refsim.load("lif")
        .text.replace('"lif"', '"own"')
        .replace("-step/log(1 - 1/tau)", "round(1e3*step)*0.001*tau")
    )
    (tmp_path / "own.toml").write_text(text)
    model = refsim.load(tmp_path / "own.toml")
    (line,) = [line for line in refsim.to_brian2(model).splitlines() if line.startswith("tau_m = ")]
    assert line.startswith("tau_m = (floor(1000.0*(step/second) + 0.5)*0.001*tau)*second  #")
    assert all(
        "*second  #" not in line for line in refsim.to_brian2(refsim.load("lif")).splitlines()
    )


@pytest.mark.parametrize(
    ("text", "unit", "same"),
    [
        ("step*g/c_m", "1", True),
        ("exp(-step*g/c_m)", "1", True),
        ("exp(-step*g)", "1", False),
        ("c_m/g + step", "second", True),
        ("c_m + step", "second", False),
        ("sqrt(step**2)", "second", True),
        ("clip(step, 0, 1)", "second", False),
        ("2**a", "1", True),
        ("step**a", "second", False),
        ("abs(-step)", "second", True),
    ],
)
def test_dimensions_of_derived_constants(text, unit, same):
    units = {"step": "second", "g": "siemens", "c_m": "farad", "a": "1"}
    assert agrees(parse_expression(text, "test"), unit, units) == same


def test_words_of_a_card_cannot_become_code(tmp_path):
    text = refsim.load("srif").text.replace('"srif"', '"own"', 1)
    text = text.replace('"membrane potential"', '"x\\nimport os"').replace(
        'references = ["', 'references = ["\\"\\"\\"\\nimport os\\n\\\\'
    )
    text = text.replace(
        'threshold = "v >= v_th"', 'threshold = "v >= v_th # \\"+exit()+\\""'
    ).replace('reset     = "v -=', "reset     = \"# ''' \\n v -=")
    (tmp_path / "own.toml").write_text(text)
    script = refsim.to_brian2(refsim.load(tmp_path / "own.toml"))
    body = ast.parse(script).body
    assert [node.names[0].name for node in body if isinstance(node, ast.Import)] == [
        "matplotlib.pyplot"
    ]
    assert "exit" not in script
