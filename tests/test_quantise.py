"""Weights on a grid: where they lie, how they are rounded, what comes back, and that the bridge
reads what is on the grid.
"""

import copy

import numpy as np
import pytest
import torch
from rogues import Rogue
from torch import nn
from torch.nn.utils import parametrize

import refsim
from refsim import RefsimError
from refsim.pytorch import SRIF, Grid, quantise

STEP, LOW, HIGH = 2 / 64, -4.0, 254 / 64


def weights():
    """Numbers in the range, on the grid, halfway, and far beyond."""
    drawn = torch.randn(500, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return torch.cat(
        [
            drawn,
            torch.arange(-8, 9).double() * STEP / 2,
            torch.tensor([-100.0, -4.0, 254 / 64, 4.0, 100.0], dtype=torch.float64),
        ]
    )


def back(grid, weight, upstream):
    given = torch.tensor(weight, dtype=torch.float64, requires_grad=True)
    held = grid(given)
    if not held.requires_grad:
        return np.zeros(len(weight))
    (found,) = torch.autograd.grad(
        (held * torch.tensor(upstream, dtype=torch.float64)).sum(), given, allow_unused=True
    )
    return np.zeros(len(weight)) if found is None else found.numpy()


# --- checks, each of one thing ---


def check_grid(grid):
    number = grid(weights()).detach().numpy() / STEP
    assert np.array_equal(number, np.rint(number))


def check_range(grid):
    held = grid(torch.tensor([-100.0, -4.2, 3.98, 100.0], dtype=torch.float64))
    assert held.min() >= LOW - STEP / 2
    assert held.max() <= HIGH + STEP / 2  # on the grid or not


def check_nearest(grid):
    inside = weights()[:500].clamp(LOW, HIGH)
    assert float((grid(inside) - inside).detach().abs().max()) <= STEP / 2


def check_ties(grid):
    held = grid(torch.tensor([-1.5, -0.5, 0.5, 1.5, 2.5], dtype=torch.float64) * STEP)
    assert (held / STEP).tolist() == [-2, 0, 0, 2, 2]


def check_straight(grid):
    upstream = np.linspace(-1, 1, 41)
    assert np.array_equal(back(grid, np.linspace(-3.9, 3.9, 41), upstream), upstream)


def check_outwards(grid):
    assert not back(grid, [-5.0, 5.0], [1.0, -1.0]).any()  # a descent would go further out


def check_comes_back(grid):
    assert back(grid, [-5.0, 5.0], [-1.0, 1.0]).all()


CHECKS = {
    each.__name__.removeprefix("check_"): each
    for each in (
        check_grid,
        check_range,
        check_nearest,
        check_ties,
        check_straight,
        check_outwards,
        check_comes_back,
    )
}


class _Rogue(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight, forward, backward):
        ctx.save_for_backward(weight)
        ctx.back = backward
        return forward(weight)

    @staticmethod
    def backward(ctx, gradient):
        return ctx.back(ctx.saved_tensors[0], gradient), None, None


def _held(weight):
    return (weight / STEP).round().clamp(LOW / STEP, HIGH / STEP) * STEP


def _through(weight, gradient):
    out = ((weight < LOW) & (gradient > 0)) | ((weight > HIGH) & (gradient < 0))
    return torch.where(out, torch.zeros_like(gradient), gradient)


def rogue(forward=_held, backward=_through):
    return lambda: lambda weight: _Rogue.apply(weight, forward, backward)


def _half_up(weight):
    return ((weight / STEP + 0.5).floor()).clamp(LOW / STEP, HIGH / STEP) * STEP


ROGUES = [
    Rogue(
        "clamped to lava-dl's 255/64, off the grid",
        "grid",
        rogue(lambda w: ((w / STEP).round() * STEP).clamp(LOW, 255 / 64)),
    ),
    Rogue("no clamp", "range", rogue(lambda w: (w / STEP).round() * STEP)),
    Rogue("halves rounded up", "ties", rogue(_half_up)),
    Rogue(
        "scaled by twice the step",
        "nearest",
        rogue(lambda w: (w / (2 * STEP) * (1 + 1e-12)).round().clamp(-64, 63) * 2 * STEP + 0 * w),
    ),
    Rogue(
        "gradient blocked",
        "straight",
        rogue(backward=lambda w, g: torch.where(w.abs() > HIGH, _through(w, g), 0 * g)),
    ),
    Rogue(
        "gradient divided by the step",
        "straight",
        rogue(backward=lambda w, g: _through(w, g) / STEP),
    ),
    Rogue("straight through the clamp as well", "outwards", rogue(backward=lambda w, g: g)),
    Rogue(
        "a clamp that lets nothing back",
        "comes_back",
        rogue(backward=lambda w, g: g * ((w >= LOW) & (w <= HIGH))),
    ),
]


def faults(grid):
    found = []
    for name, check in CHECKS.items():
        try:
            check(grid)
        except AssertionError:
            found.append(name)
    return found


def test_a_grid_is_what_it_declares():
    assert faults(Grid()) == []


@pytest.mark.parametrize("rogue", ROGUES, ids=lambda rogue: rogue.name)
def test_each_fault_is_caught_by_its_check(rogue):
    caught = faults(rogue.make())
    assert caught[0] == rogue.caught_by
    # What is not the nearest is wrong between two as well.
    assert len(caught) == 1 or rogue.caught_by == "nearest"


def test_every_check_catches_something():
    assert {rogue.caught_by for rogue in ROGUES} == set(CHECKS)


# --- in a module, and through the bridge ---


def small(step=2 / 64, low=-4.0, high=254 / 64):
    torch.manual_seed(0)
    return quantise(
        nn.Sequential(nn.Linear(12, 9), SRIF("arctangent"), nn.Linear(9, 4), SRIF("arctangent")),
        step,
        low,
        high,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_bridge_reads_what_is_on_the_grid(rng, dtype):
    # A step that float32 and float64 round to other numbers.
    module = small(0.1, -0.5, 0.5).to(dtype)
    network = refsim.bridge.load(module, dt="1 ms")
    for layer, part in zip(network.layers, (module[0], module[2]), strict=True):
        assert np.array_equal(layer.weight, part.weight.detach().double().numpy())
        assert not np.array_equal(
            layer.weight, part.parametrizations.weight.original.detach().double().numpy()
        )
    drive = refsim.Drive.bernoulli(rng.random((4, 12)), 30, "1 ms", 0)
    runs = [
        refsim.run(network, drive, engine=engine)
        for engine in (refsim.Brian2(target="numpy"), refsim.Torch(module=module))
    ]
    assert refsim.compare(*runs).verdict == "pass"


def test_looking_into_a_module_leaves_its_grid_in_place():
    module = small()
    other, before = copy.deepcopy(module), module[0].weight.detach().clone()
    refsim.bridge.load(module, dt="1 ms")
    assert all(parametrize.is_parametrized(part[0], "weight") for part in (module, other))
    assert torch.equal(module[0].weight, before)
    assert torch.equal(other[0].weight, before)
    refsim.bridge.load(other, dt="1 ms")


def test_a_network_on_a_grid_trains_and_stays_on_it():
    module = small(0.25, -1.0, 1.0)
    x, labels = (
        (torch.rand(20, 12, generator=torch.Generator().manual_seed(1)) < 0.5).float(),
        torch.arange(20) % 2,
    )
    x[:, :6] *= labels[:, None]
    optimiser = torch.optim.Adam(module.parameters(), lr=0.05)
    losses = []
    for _ in range(40):
        refsim.reset(module)
        counts = sum(module(x) for _ in range(8))
        loss = nn.functional.cross_entropy(counts, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2
    held = module[0].weight.detach() / 0.25
    assert torch.equal(held, held.round())
    assert float(held.abs().max()) <= 4


def test_kept_for_good_it_is_a_plain_weight_on_the_grid():
    module = small()
    before = module[0].weight.detach().clone()
    parametrize.remove_parametrizations(module[0], "weight")
    assert torch.equal(module.state_dict()["0.weight"], before)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Grid(0.0), "needs a step above 0"),
        (lambda: Grid(0.1, 1.0, -1.0), "low below high"),
        (lambda: Grid(float("nan")), "needs a step above 0"),
        (lambda: Grid(2 / 64, -4.0, 255 / 64), "must be multiples of the step"),
        (lambda: quantise(SRIF()), "no Linear and no Conv"),
        (lambda: quantise(small()), "parametrised already"),
    ],
)
def test_what_is_wrong_is_said(wrong, said):
    with pytest.raises(RefsimError, match=said):
        wrong()
