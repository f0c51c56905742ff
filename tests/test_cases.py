"""Cases: each limit has its because, each file is checked, and a wrong one is explained."""

import tomllib

import pytest
from conftest import CASE

from refsim import RefsimError
from refsim.cases.case import read_case, standard_claims
from refsim.cases.network import MEASURES
from refsim.cases.neuron import CURVE_MEASURES, NEST_MEASURES, NEURON_MEASURES, STEP_MEASURES
from refsim.checks import GRADIENT_CHECKS
from refsim.core.shelf import shelf

# Weights; another simulator's figures.
FILES = [
    path
    for path in sorted(shelf("validation").rglob("*.toml"))
    if path.parent.name not in ("networks", "nest")
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_claim_has_a_known_measure_and_a_reason(path):
    for row in tomllib.loads(path.read_text("utf-8"))["claim"]:
        assert row["measure"] in (
            *MEASURES,
            *NEURON_MEASURES,
            *STEP_MEASURES,
            *CURVE_MEASURES,
            *NEST_MEASURES,
            *GRADIENT_CHECKS,
        )
        assert len(row["because"].split()) >= 8


def test_the_standard_claims_judge_the_code_and_report_the_step():
    claims = {claim.measure: claim for claim in standard_claims()}
    assert claims["mismatched spikes"].limit == claims["changed decisions"].limit == 0
    assert all(claim.limit is None for claim in claims.values() if claim.question == "step")


GOOD = CASE % 1


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            'kind = "neuron"',
            'kind = "nerve"',
            "kind must be one of curve, gradient, nest, network, neuron, step",
        ),
        ('title = "t"', "", "title is missing"),
        ('title = "t"', 'title = "t"\ncolour = 1', "colour is not a known key"),
        ("[[claim]]", "[other]", "other is not a known key"),
        ('because = "it is a test case"', "", "a claim has the keys"),
        ('because = "it is a test case"', 'because = ""', "needs because"),
        ('question = "code"', 'question = "why"', "question must be code, step, gradient or task"),
        ("limit = 0", 'limit = "many"', "limit of wrong spikes: needs a number"),
        (
            "inputs = [0.75]",
            "inputs = [0.75, 0.0]",
            "expected spikes has 1 steps, but the input has 2",
        ),
        ('measure = "wrong spikes"', 'measure = "beauty"', "is not a known measure"),
        ('dt = "1 ms"', 'dt = "1 mV"', "dt: needs"),
        ('title = "t"', 'title = "t', "is not TOML"),
    ],
)
def test_a_wrong_case_is_explained(old, new, says, tmp_path):
    assert old in GOOD
    path = tmp_path / "case.toml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(RefsimError, match=says):
        read_case(path).run()


def test_a_case_without_a_claim_cannot_fail_and_is_refused(tmp_path):
    path = tmp_path / "case.toml"
    path.write_text(GOOD.split("[expected]")[0] + "claim = []\n[expected]\nspikes = [1]\n")
    with pytest.raises(RefsimError, match="claims nothing, and so cannot fail"):
        read_case(path)
