"""check_gradient: sound modules pass, and each planted fault is named."""

import pytest
from rogues_backward import ROGUES, SOUND

import refsim


def checked(made):
    module, declared = made()
    return refsim.check_gradient(module, declared.loss, surrogate="arctangent", slope=2.0, dt="1 ms", **declared.options)


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_backward_pass_passes(name):
    report = checked(SOUND[name])
    assert report.status == "pass", report.text()
    assert {verdict.status for verdict in report.verdicts} <= {"pass", "skipped"}


@pytest.mark.parametrize("rogue", ROGUES, ids=lambda rogue: rogue.name)
def test_each_fault_is_caught_by_its_check_alone(rogue):
    report = checked(rogue.make)
    assert [verdict.claim.measure for verdict in report.verdicts if verdict.status == "fail"] == [rogue.caught_by], report.text()
