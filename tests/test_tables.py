"""Files that a person wrote: read with whatever mark an editor leaves, or refused in one sentence.

And names that no card can give.
"""

import codecs

import pytest

import refsim
from refsim import RefsimError
from refsim.cases.case import read_case
from refsim.core.shelf import shelf

CARD = (shelf("equations") / "srif.toml").read_text("utf-8").replace('"srif"', '"mine"')
LONG = "9" * 5000
READERS = {"card": refsim.load, "description": refsim.bridge.load, "case": read_case}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (
            f"v = {LONG}".encode(),
            "is not TOML that can be read; it holds a whole number of thousands of digits",
        ),
        ("v = 1".encode("utf-16"), r"is not TOML \(.*\); save it as UTF-8"),
        (b"= 1", r"is not TOML \(Invalid statement"),
        (b"v = " + b"[" * 5000, "is not TOML"),
    ],
    ids=["digits", "utf16", "no_toml", "deep"],
)
def test_what_is_no_table_is_one_sentence(reader, data, says, tmp_path):
    path = tmp_path / "file.toml"
    path.write_bytes(data)
    with pytest.raises(RefsimError, match=f"{reader} .*{says}") as caught:
        READERS[reader](path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reader", READERS)
def test_a_name_with_a_zero_byte_is_one_sentence(reader):
    with pytest.raises(RefsimError, match="its name holds a zero byte"):
        READERS[reader]("a\0.toml")


def test_a_mark_in_front_and_line_ends_of_another_system_are_no_part_of_a_card(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(codecs.BOM_UTF8 + CARD.replace("\n", "\r\n").encode())
    assert refsim.load(path).discrete.texts == refsim.load("srif").discrete.texts


@pytest.mark.parametrize(
    "name", ["self", "abs", "int", "floor", "clip", "exprel", "lambda", "class", "whole_below"]
)
def test_a_parameter_with_the_name_of_something_else_is_refused_at_once(name, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(CARD.replace("v_th ", f"{name} ", 1).replace('v_th"', f'{name}"'))
    with pytest.raises(
        RefsimError,
        match=(
            f"card 'mine': '{name}' (is a function|is a word of Python's|has a meaning of its own)"
        ),
    ):
        refsim.load(path)


def test_a_parameter_may_be_called_name(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        CARD.replace(
            "[parameters]", '[parameters]\nname = { value = 1.0, unit = "1", meaning = "x" }'
        )
    )
    assert refsim.load(path, name=2.0).parameters["name"].value == 2.0
