"""At a bound the slope is refsim's own, whatever release of PyTorch is installed.

2.14 changed that of `clamp`.
"""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from loss_cases import CLASSES, STEPS, every_case, gradient_of, loss_of, target_of, tensors
from torch import nn
from torch.overrides import TorchFunctionMode

import refsim
from refsim.checks.gradient import card as card_gradient
from refsim.checks.loss_forms import LOSS_FORMS
from refsim.pytorch import SRIFMPR, losses
from refsim.pytorch.base import above_zero, at_least, at_most, between, piece, size
from refsim.pytorch.surrogate import spike_function

PYTORCH = Path(refsim.__file__).parent / "pytorch"
# What has a corner, and a slope there that is PyTorch's choice.
CORNERED = {
    "clamp",
    "clip",
    "clamp_min",
    "clamp_max",
    "relu",
    "abs",
    "maximum",
    "minimum",
    "max",
    "min",
    "amax",
    "amin",
    "hardtanh",
}


class NoCorner(TorchFunctionMode):
    """Refuses whatever has a corner where a gradient passes through it."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        if name in CORNERED and any(
            isinstance(given, torch.Tensor) and given.requires_grad for given in args
        ):
            raise AssertionError(f"a gradient passes torch.{name}")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("function", "values", "slopes"),
    [
        (lambda x: at_least(x, 0.0), [0, 0, 1, 2], [0, 1, 1, 1]),
        (lambda x: at_most(x, 1.0), [-1, 0, 1, 1], [1, 1, 1, 0]),
        (lambda x: between(x, 0.0, 1.0), [0, 0, 1, 1], [0, 1, 1, 0]),
        (lambda x: piece(x, 0.0, 1.0), [0, 0, 1, 1], [0, 1, 0, 0]),
        (above_zero, [0, 0, 1, 2], [0, 0, 1, 1]),
        (size, [1, 0, 1, 2], [-1, 0, 1, 1]),
        (lambda x: at_least(x, torch.zeros(4, dtype=torch.float64)), [0, 0, 1, 2], [0, 1, 1, 1]),
    ],
    ids=["at_least", "at_most", "between", "piece", "above_zero", "size", "a tensor as bound"],
)
def test_values_and_slopes_at_the_bounds(function, values, slopes):
    x = torch.tensor([-1.0, 0.0, 1.0, 2.0], dtype=torch.float64)
    assert function(x).tolist() == values
    assert gradient_of(function, x).tolist() == slopes
    assert math.isnan(function(torch.full((4,), math.nan, dtype=torch.float64))[0])


def test_bounds_keep_the_dtype_and_the_higher_bound_wins():
    x = torch.tensor([-1.0, 2.0], dtype=torch.float16)
    assert between(x, 0, 1).dtype == piece(x, 0, 1).dtype == torch.float16
    assert piece(x, 3, 1).tolist() == torch.clamp(x, 3, 1).tolist() == [1, 1]


@every_case
def test_no_loss_leaves_a_slope_to_pytorch(name, options, rng):
    # Counts of 0 and 1, and equal maxima, are common.
    values = torch.tensor((rng.random((20, CLASSES, STEPS)) < 0.15) * 1.0)
    target = target_of(name, rng, values.shape)
    loss = loss_of(name, options, tensors(target), reduction="none")
    with NoCorner():
        found = gradient_of(loss, values)
    _, declared = LOSS_FORMS[name].answer(values.numpy(), *(target or (None,)), **options)
    assert np.abs(found.numpy() - declared).max() <= 1e-12 * np.abs(declared).max()


def test_a_loss_that_leaves_it_to_pytorch_is_seen(rng):
    values = torch.tensor((rng.random((4, CLASSES, STEPS)) < 0.15) * 1.0)
    with NoCorner(), pytest.raises(AssertionError, match=r"passes torch\.clamp"):
        gradient_of(lambda spikes: spikes.sum(-1).clamp(min=1).log(), values)


def test_the_first_of_equal_membranes_has_the_gradient():
    membrane = torch.tensor([[[0.5, 0.5, 0.0], [0.25, 0.0, 0.25]]], dtype=torch.float64)
    gradient = gradient_of(
        lambda v: losses.max_membrane_cross_entropy(v, torch.tensor([0])), membrane
    )
    assert (gradient != 0).tolist() == [[[True, False, False], [True, False, False]]]


def test_one_spike_in_a_window_has_the_slope_of_more():
    spikes = torch.zeros(1, 3, 5, dtype=torch.float64)
    spikes[0, 0, 2], spikes[0, 1, :] = 1, 1
    found = gradient_of(lambda s: losses.spikemax(s, torch.tensor([0]), window=10), spikes)
    # class 0 has one spike from step 2 on, class 1 has t + 1 and class 2 counts as one: dL/ds = sum
    # over t of (1/sum - 1/own)
    assert found[0, 0, 2].item() == pytest.approx(sum(1 / (t + 1 + 2) - 1 for t in (2, 3, 4)))
    assert not found[0, 2].any()


@pytest.mark.parametrize(
    "path",
    sorted(
        {*PYTORCH.glob("*.py"), *PYTORCH.glob("losses/*.py"), Path(card_gradient.__file__)}
        # The slopes of these are declared in their own way.
        - {PYTORCH / f"{name}.py" for name in ("surrogate", "delay", "quantise")}
    ),
    ids=lambda path: path.stem,
)
def test_bounds_are_written_with_the_functions_that_say_their_slope(path):
    cornered = re.compile(
        r"torch\.(clamp|clip|relu|maximum|minimum|max|min|amax|amin)\b|"
        r"F\.(relu|hardtanh)\b|\.(clamp|clamp_|relu|amax|amin)\("
    )
    assert not cornered.findall(path.read_text("utf-8"))
    assert cornered.search("torch.clamp(u, min=1)")


class Rectified(nn.Module):
    """Two layers behind the rectifier, with weights of halves, so that membranes are 0 and 1
    exactly, where its pieces meet.
    """

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        fire = spike_function("arctangent", slope=2.0)
        self.first, self.hidden = nn.Linear(4, 5, bias=False), SRIFMPR(fire)
        self.second, self.out = nn.Linear(5, 3, bias=False), SRIFMPR(fire)
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(torch.round(weight * 8) / 2)
        self.double()

    def forward(self, x):
        return self.out(self.second(self.hidden(self.first(x))))


def judged(rng):
    x = (rng.random((3, 12, 4)) < 0.3) * 1.0
    x[:, :3] = 0  # the membrane is 0 exactly
    report = refsim.check_gradient(
        Rectified(),
        losses.spike_rate,
        x,
        np.array([0, 1, 2]),
        surrogate="arctangent",
        slope=2.0,
        dt="1 ms",
    )
    return {verdict.claim.measure for verdict in report.verdicts if verdict.status == "fail"}


def test_pieces_that_meet_are_counted_once(rng, monkeypatch):
    assert judged(rng) == set()
    # PyTorch's own bound, before 2.14 and since: the pieces count twice where they meet, or not at
    # all
    for slope in (
        between,
        lambda x, low, high: torch.where((x > low) & (x < high), x, between(x, low, high).detach()),
    ):
        monkeypatch.setitem(card_gradient.FUNCTIONS, "clip", card_gradient._of_tensors(slope))
        assert judged(rng)
