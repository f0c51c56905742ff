"""Cards: what is right loads, what is wrong is explained in one sentence that names the card, the
key and the cure.
"""

from pathlib import Path

import pytest

import refsim
from refsim.cards.describe import describe, frameworks_table, models_table
from refsim.cards.frameworks import framework_layers
from refsim.cards.read import load_all

INVALID = sorted((Path(__file__).parent / "invalid").glob("*.toml"))


def test_there_are_enough_wrong_cards():
    assert len(INVALID) >= 25


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_a_wrong_card_is_explained(path):
    says = path.read_text("utf-8").splitlines()[0].removeprefix("# error: ")
    with pytest.raises(refsim.RefsimError) as caught:
        # units are Brian2's to check, when it first sees the card
        refsim.check_declared_step(refsim.load(path))
    message = str(caught.value)
    assert says in message
    assert "card" in message
    assert "\n" not in message


@pytest.mark.parametrize("model", load_all(), ids=lambda model: model.name)
def test_a_card_on_the_shelf_is_whole(model):
    assert model.references
    shown = describe(model)
    told = [model.discrete.fire.text] if model.discrete.fire else [model.discrete.readout]
    told += [model.continuous.threshold] if model.continuous else []
    for text in (*model.parameters, *told, *model.references[0].split()[:2]):
        assert text in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_parameters_are_changed_by_name_with_units():
    assert refsim.load("srif", v_th=0.25).parameters["v_th"].value == 0.25
    assert refsim.load("srif").with_parameters(v_th="0.25").parameters["v_th"].value == 0.25
    with pytest.raises(
        refsim.RefsimError, match="has no parameter 'vth'; it has spike_value, v_th"
    ):
        refsim.load("srif", vth=1)
    with pytest.raises(
        refsim.RefsimError, match="card 'lif': parameter tau: must be above 1, but is 1"
    ):
        refsim.load("lif", tau=1)
    with pytest.raises(refsim.RefsimError, match="is in second"):
        refsim.load("lif", tau="2 ms")


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(
        refsim.RefsimError, match="no card is named 'srf'; known are .*lif_decay, .*srif, srif_mpr"
    ):
        refsim.load("srf")
    with pytest.raises(refsim.RefsimError, match="cannot be read"):
        refsim.load(tmp_path / "none.toml")


def test_a_huge_file_is_no_card(tmp_path):
    path = tmp_path / "huge.toml"
    path.write_bytes(b"#" * 200_000)
    with pytest.raises(refsim.RefsimError, match="this is no card"):
        refsim.load(path)


@pytest.mark.parametrize(
    "text",
    [
        "-" * 1900 + "v",
        "(" * 500 + "v" + ")" * 500,
        "v" * 3000,
        "v if v else v",
        "[v]",
        "lambda: v",
        "v and v",
        "1 < v < 2",
        "'v'",
        "1e999",
    ],
)
def test_hostile_expressions_end_in_one_sentence(text):
    from refsim.cards.language import parse_expression

    with pytest.raises(refsim.RefsimError, match="^card: "):
        parse_expression(text, "card")


def test_a_changed_copy_needs_a_name_of_its_own(tmp_path):
    text = refsim.load("srif").text
    (tmp_path / "copy.toml").write_text(text)
    assert refsim.load(tmp_path / "copy.toml").name == "srif"  # an unchanged copy is the card
    (tmp_path / "changed.toml").write_text(text.replace("z = v >= v_th", "z = v > v_th"))
    with pytest.raises(refsim.RefsimError, match="give yours a name of its own"):
        refsim.load(tmp_path / "changed.toml")


def test_a_card_whose_ode_is_deaf_is_refused(tmp_path):
    text = refsim.load("lif_decay").text.replace('"lif_decay"', '"own"').replace(" + I/step", "")
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(refsim.RefsimError, match="never use the input I; write I, or I/step"):
        refsim.load(tmp_path / "own.toml")


def test_the_membrane_is_what_the_threshold_looks_at():
    assert refsim.load("srif_mpr").membrane == "v"  # through the rectifier
    assert refsim.load("tests/cards/two_state.toml").membrane == "v"


def test_the_table_of_all_models_is_current_and_would_notice_a_change():
    page = (Path(__file__).parents[1] / "equations" / "README.md").read_text("utf-8")
    assert page == models_table(load_all()) + "\n", (
        "run: refsim models --markdown > equations/README.md"
    )
    assert page != models_table([refsim.load("srif", v_th=0.25), *load_all()[1:]]) + "\n"
    assert all(f"[`{model.name}`]" in page for model in load_all())


def test_the_table_of_the_frameworks_is_current():
    models, layers = load_all("frameworks"), list(framework_layers().values())
    page = (Path(__file__).parents[1] / "equations" / "frameworks" / "README.md").read_text("utf-8")
    assert page == frameworks_table(models, layers) + "\n", (
        "run: refsim models --frameworks --markdown > equations/frameworks/README.md"
    )
    assert (
        page
        != frameworks_table(
            [
                refsim.load("snntorch_leaky", comparison=">="),
                *(m for m in models if m.name != "snntorch_leaky"),
            ],
            layers,
        )
        + "\n"
    )
