"""check_gradient: sound modules pass, and each planted fault is named."""

import pytest
from rogues_backward import ROGUES, SOUND

import refsim


def checked(made):
    module, declared = made()
    return refsim.check_gradient(
        module, declared.loss, surrogate="arctangent", slope=2.0, dt="1 ms", **declared.options
    )


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_backward_pass_passes(name):
    report = checked(SOUND[name])
    assert report.status == "pass", report.text()
    assert {verdict.status for verdict in report.verdicts} <= {"pass", "skipped"}


@pytest.mark.parametrize("rogue", ROGUES, ids=lambda rogue: rogue.name)
def test_each_fault_is_caught_by_its_check_alone(rogue):
    report = checked(rogue.make)
    assert [verdict.claim.measure for verdict in report.verdicts if verdict.status == "fail"] == [
        rogue.caught_by
    ], report.text()


def test_a_neurons_own_parameters_are_judged_and_frozen_ones_named():
    module, declared = SOUND["learnt decay"]()
    module.first.bias.requires_grad_(False)
    report = refsim.check_gradient(
        module, declared.loss, surrogate="arctangent", slope=2.0, dt="1 ms"
    )
    assert report.unjudged == ("first.bias",)
    assert "Not judged" in report.text()


def test_a_module_is_left_as_it_was():
    module, declared = SOUND["plain"]()
    module.train()
    module.first.weight.grad = None
    before = {name: value.clone() for name, value in module.state_dict().items()}
    refsim.check_gradient(module, declared.loss, surrogate="arctangent", slope=2.0, dt="1 ms")
    assert all((value == before[name]).all() for name, value in module.state_dict().items())
    assert module.training
    assert module.hidden.training
    assert module.hidden.state is None
    assert all(parameter.grad is None for parameter in module.parameters())
    assert not module.hidden._forward_hooks
    assert not module.hidden._forward_pre_hooks
