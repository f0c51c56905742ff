"""check_gradient on what users bring.

Losses, targets, modules and callers that are not as expected.
"""

import numpy as np
import pytest
import torch
from rogues_backward import FIRE, SOUND, Net, backward
from torch import nn

import refsim
from refsim import RefsimError
from refsim.pytorch import HH, IF, PLIF, SRIF, LIFDecay
from refsim.pytorch.losses import spike_rate


def check(module=None, loss=spike_rate, *given, **more):
    return refsim.check_gradient(
        Net() if module is None else module,
        loss,
        *given,
        **{"surrogate": FIRE, "dt": "1 ms", **more},
    )


def statuses(report):
    return {verdict.claim.measure: verdict.status for verdict in report.verdicts}


@pytest.mark.parametrize(
    "loss",
    [
        lambda s: torch.tensor(1.0),
        lambda s: (s * 0).sum(),
        lambda s: (s > 0).sum(),
        lambda s: (s > 0).any(),
    ],
    ids=["constant", "zero", "count", "any"],
)
def test_a_loss_that_sends_nothing_is_no_pass(loss):
    report = check(loss=loss)
    assert report.status == "inconclusive"
    assert statuses(report)["connections"] == statuses(report)["weights"] == "inconclusive"
    assert "the loss sends no gradient to any layer" in report.verdicts[-1].detail


def cross_entropy(values, target):
    return nn.functional.cross_entropy(values.sum(-1), target)


@pytest.mark.parametrize(
    ("loss", "target", "words"),
    [
        ("spikemax", None, "must be a function or a module, but 'spikemax' was given"),
        (None, None, "must be a function or a module"),
        (
            lambda s: 1 / 0,
            None,
            (
                r"raised ZeroDivisionError when it was called with values \(8, 4, 25\) float64: "
                r"division by zero"
            ),
        ),
        (lambda s: s.sum() * 1j, None, "must return one number"),
        (
            lambda s: (s * torch.rand_like(s)).sum(),
            None,
            "gives another number when it is called again",
        ),
        (
            lambda s, y: nn.functional.cross_entropy(s.sum(-1), y, weight=torch.ones(4)),
            None,
            "tensors of its own must be float64",
        ),
        (
            cross_entropy,
            np.full(8, 9),
            r"raised IndexError .* target \(8,\) int64: Target 9 is out of bounds",
        ),
        (cross_entropy, np.zeros(5, int), r"target \(5,\) int64"),
        (cross_entropy, ["a"] * 8, "target must be one array of numbers"),
        (cross_entropy, (np.zeros(8, int), np.ones(3)), "target: is not an array"),
    ],
)
def test_a_loss_or_a_target_that_cannot_be_is_said(loss, target, words):
    with pytest.raises(RefsimError, match=words):
        check(None, loss, None, target)


def test_labels_of_any_whole_number_are_taken():
    assert {
        check(None, cross_entropy, None, np.arange(8).astype(dtype) % 4).status
        for dtype in (np.int32, np.uint16)
    } == {"pass"}


def test_a_loss_may_change_what_it_is_given():
    def changing(values):
        values.mul_(2)
        return (values.mean(-1) ** 2).sum()

    assert check(loss=changing).status == "pass"


@pytest.mark.parametrize(
    "loss",
    [
        lambda s: (s.half().mean(-1) ** 2).sum(),
        lambda s: (backward(torch.neg)(s.float()).mean(-1) ** 2).sum(),
    ],
    ids=["half", "flipped"],
)
def test_a_loss_that_cannot_be_held_against_differences_is_no_pass(loss):
    report = check(loss=loss)
    assert (report.status, statuses(report)["loss"]) == ("inconclusive", "inconclusive")
    assert check(loss=loss, skip="loss").status == "pass"


def test_a_card_that_runs_away_at_its_step_is_no_fault_of_the_module():
    """A third of an ampere into a cell of Hodgkin and Huxley.

    What PyTorch makes of a Linear that nobody scaled.
    """
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 8), HH("arctangent", dt="1 ms")).double()
    report = check(module, lambda s: s.mean(), surrogate="arctangent")
    assert (report.status, statuses(report)["finite"]) == ("inconclusive", "inconclusive")
    assert "as in the card's own gradient" in report.verdicts[0].detail


def test_what_a_loss_takes_of_the_weights_directly_is_the_users_own():
    net = Net()

    def decaying(s):
        return s.mean(-1).pow(2).sum() + 1e-2 * net.first.weight.pow(2).sum()

    assert check(net, decaying).status == "pass"
    net.second.weight.register_hook(lambda gradient: 1.01 * gradient)
    assert statuses(check(net, decaying))["weights"] == "fail"


def test_a_module_none_of_whose_parameters_can_be_judged_is_no_pass():
    net = Net()
    for linear in (net.first, net.second):
        nn.utils.parametrizations.weight_norm(linear)
        linear.bias = None
    report = check(net)
    assert (report.status, statuses(report)["weights"]) == ("inconclusive", "inconclusive")
    assert "gradients of 4 parameters are not judged" in " ".join(report.text().split())
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    assert check(net).status == "pass"  # nothing of it learns


@pytest.mark.parametrize(("neuron", "v_th", "weight"), [(SRIF, 1.2, 0.4), (IF, 2.1, 0.7)])
def test_a_tie_in_float32_is_no_fault(neuron, v_th, weight):
    """Thrice 0.4 is 1.2 in the one dtype and just below it in the other.

    What comes back through other spikes is another gradient.
    """
    module = nn.Sequential(nn.Linear(1, 1, bias=False), neuron("arctangent", v_th=v_th))
    nn.init.constant_(module[0].weight, weight)
    report = check(module, lambda s: s.mean(), np.ones((1, 25, 1)), surrogate="arctangent")
    assert report.status == "inconclusive"
    assert list(statuses(report)) == ["finite", "spikes", "loss"]
    assert "from threshold, where rounding reaches" in report.verdicts[1].detail


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_knife_edge_in_exact_sums_is_no_tie(dtype):
    """Twice 0.5 is 1 in any dtype.

    One that does not fire there compares by > where >= is declared.
    """
    module = nn.Sequential(nn.Linear(1, 1, bias=False), IF(lambda x: FIRE(x - 1e-30), v_th=1.0)).to(
        dtype
    )
    nn.init.constant_(module[0].weight, 0.5)
    report = check(module, lambda s: s.mean(), np.ones((1, 25, 1)), surrogate=FIRE)
    assert (report.status, statuses(report)["spikes"]) == ("fail", "fail")
    assert "0 from threshold, where rounding reaches 0" in report.verdicts[1].detail


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_spikes_that_rounding_does_not_explain_are_a_fault_in_any_dtype(dtype):
    report = check(Remembering().to(dtype))
    assert (report.status, statuses(report)["spikes"]) == ("fail", "fail")
    assert "layer" not in statuses(report)


class Remembering(Net):
    """A recurrence by hand, through what a layer keeps to itself; nobody reads it as one."""

    def forward(self, x):
        before = self.hidden.fired if self.hidden.state is not None else x.new_zeros(len(x), 9)
        return self.out(self.second(self.hidden(self.first(x) + 0.7 * before)))


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_a_caller_without_gradients_changes_nothing(off):
    module = Net()
    with off():
        assert check(module).status == "pass"
        assert {
            verdict.status for verdict in refsim.check_surrogate(FIRE, "arctangent", slope=2)
        } == {"pass"}
        assert "fail" not in {
            verdict.status for verdict in refsim.check_loss(spike_rate, "spike_rate")
        }


def test_a_module_is_left_as_it_was():
    module = Net()
    module(torch.ones(3, 6, dtype=torch.float64)).sum().backward()
    module.second.weight.requires_grad_(False)
    module.first.eval()

    def seen():
        return [
            *(each.detach().clone() for each in module.parameters()),
            *(each.grad.clone() for each in module.parameters()),
            module.hidden.state["v"].clone(),
            torch.tensor([each.requires_grad for each in module.parameters()]),
            torch.tensor([each.training for each in module.modules()]),
            torch.tensor(
                [
                    len(each._forward_hooks) + len(each._forward_pre_hooks)
                    for each in module.modules()
                ]
            ),
            torch.random.get_rng_state(),
        ]

    before = seen()
    report = check(module)
    assert report.unjudged == ("second.weight",)
    assert all(torch.equal(one, other) for one, other in zip(before, seen(), strict=True))


def test_a_module_without_parameters_is_judged_as_float32():
    assert check(LIFDecay(FIRE), input_shape=(5,)).status == "pass"


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("rounded weights", "second.weight"),
        ("signed weights", "second.weight"),
        ("bent weights", ""),
    ],
)
def test_weights_that_a_forward_rounds_are_named_and_not_judged(name, left):
    assert check(SOUND[name]()[0]).unjudged == ((left,) if left else ())


@pytest.mark.parametrize(
    ("module", "more", "words"),
    [
        (lambda: Net().to(torch.bfloat16), {}, r"the module is torch\.bfloat16"),
        (lambda: Net().float(), {"dtype": "float64"}, "leave device and dtype out"),
        (Net, {"device": "cuda"}, "leave device and dtype out"),
        (Net, {"detach_reset": "yes"}, "must be True or False"),
        (Net, {"slope": 3}, "slope is of a surrogate that is named"),
        (Net, {"surrogate": lambda x: (x >= 0).to(x.dtype)}, "passes no gradient at any distance"),
        (Net, {"seed": -1}, "must be a whole number from 0"),
        (Net, {"seed": "a"}, "must be a whole number from 0"),
        (
            Net,
            {"inputs": refsim.Drive.bernoulli(np.ones((2, 6)), n_steps=3, dt="2 ms", seed=0)},
            r"step of 0\.002 s, but the network has 0\.001 s",
        ),
        (lambda: torch.compile(Net(), backend="eager"), {}, r"made by torch\.compile"),
    ],
)
def test_what_cannot_be_is_said(module, more, words):
    with pytest.raises(RefsimError, match=words):
        check(module(), **more)


def test_a_module_made_without_gradients_is_refused():
    with torch.inference_mode():
        module = Net()
    with pytest.raises(RefsimError, match="made in torch.inference_mode"):
        check(module)


def test_weights_that_are_no_number_are_named():
    module = Net()
    module.first.weight.data[0, 0] = float("nan")
    with pytest.raises(
        RefsimError, match=r"NaN or infinite without any input: look at first\.weight"
    ):
        check(module)


def test_a_check_is_left_out_by_its_name_alone():
    assert "reset" not in statuses(check(skip="reset"))


def test_gradients_below_the_smallest_number_of_float32_are_no_fault():
    far = refsim.Network.dense(
        [([[40.0]], None, refsim.load("srif")), ([[0.3]], None, refsim.load("srif"))], "1 ms"
    )
    for dtype in ("float32", "float64"):
        report = refsim.check_gradient(
            far, spike_rate, np.ones((2, 4, 1)), surrogate="sigmoid", slope=4.0, dtype=dtype
        )
        assert report.status == ("inconclusive" if dtype == "float32" else "pass"), report.text()


def test_a_weight_of_small_gradient_is_not_lost_in_large_sums():
    torch.manual_seed(3)
    module = nn.Sequential(
        nn.Linear(3, 1), LIFDecay(FIRE), nn.Linear(1, 8), LIFDecay(FIRE)
    ).double()
    with torch.no_grad():
        module[2].weight.mul_(1e-9)
    assert check(module).status == "pass"


def nearly_equal(rest):
    """A loss of two samples that spike the same and count against each other but for a rest.

    What the samples add to a weight's gradient cancels.
    """
    return lambda s: s[0].sum() - (1 + rest) * s[1].sum()


@pytest.mark.parametrize(
    ("rest", "factor", "status"),
    [(1e-6, 1.0, "inconclusive"), (1e-3, 1.0, "pass"), (1e-3, 2.0, "fail"), (1e-1, 1.01, "fail")],
)
def test_a_gradient_that_cancels_is_held_against_what_cancels(rest, factor, status):
    """float32 leaves 1e-7 of each term, and so a tenth of a sum that is a millionth of them.

    That is no fault of the module.
    """
    net = Net().float()
    net.second.weight.register_hook(lambda gradient: factor * gradient)
    x = np.repeat((np.random.default_rng(0).random((1, 25, 6)) < 0.3).astype(float), 2, 0)
    report = check(net, nearly_equal(rest), x)
    assert statuses(report)["connections"] == "pass"
    assert statuses(report)["weights"] == status
    assert ("second.weight" in report.unjudged) == (status == "inconclusive")


@pytest.mark.parametrize(("factor", "status"), [(1.0, "pass"), (2.0, "fail")])
def test_so_is_that_of_a_learnt_decay(factor, status):
    net = Net(PLIF, surrogate="arctangent").float()
    net.out.w.register_hook(lambda gradient: factor * gradient)
    x = np.repeat((np.random.default_rng(0).random((1, 25, 6)) < 0.3).astype(float), 2, 0)
    report = check(net, nearly_equal(1e-2), x, surrogate="arctangent")
    assert (statuses(report)["connections"], statuses(report)["weights"]) == ("pass", status)
    assert "out.w" not in report.unjudged


def test_weights_that_hear_nothing_are_not_judged():
    report = check(None, spike_rate, np.zeros((2, 25, 6)))
    assert "first.weight" in report.unjudged
    assert "first.bias" not in report.unjudged
    assert "Not judged" in report.text()
