"""Learnable axonal delays: what arrives is exact, and the gradient is the declared one."""

import numpy as np
import pytest
import torch
from rogues import Rogue

import refsim
from refsim import RefsimError
from refsim.pytorch import AxonalDelay
from refsim.pytorch.losses import spike_time

STEPS, BATCH, CHANNELS, MAXIMUM = 20, 3, 4, 6


def spikes(channels=CHANNELS, seed=0):
    """(step, batch, channel) float64."""
    return (
        torch.rand(STEPS, BATCH, channels, generator=torch.Generator().manual_seed(seed)) < 0.4
    ).double()


def arriving(x, steps):
    """y(t) = x(t - d), in NumPy, one channel after the other."""
    y = np.zeros_like(x)
    for channel, wait in enumerate(steps):
        y[wait:, :, channel] = x[: len(x) - wait, :, channel]
    return y


def made(kind, delays):
    return kind(CHANNELS, MAXIMUM, torch.tensor(delays)).double()


def run(module, x):
    module.forget()
    return torch.stack([module(frame) for frame in x])


# --- checks: a class of delays against its declaration; each names one thing that can be wrong ---


def _gradients(kind):
    module, x = made(kind, [3.0] * CHANNELS), spikes().requires_grad_()
    upstream = torch.rand(
        STEPS, BATCH, CHANNELS, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    y = run(module, x)
    (y * upstream).sum().backward()
    found = module.delay.grad
    before = np.concatenate([np.zeros((1, BATCH, CHANNELS)), y.detach().numpy()[:-1]])
    declared = -(upstream.numpy() * (y.detach().numpy() - before)).sum(axis=(0, 1))
    return (
        (np.zeros(CHANNELS) if found is None else found.numpy()),
        declared,
        x.grad.numpy(),
        upstream.numpy(),
    )


def check_channel(kind):
    delays = [3.0, 0.0, 1.0, 5.0]
    found, wanted = (
        run(made(kind, delays), spikes()).detach().numpy(),
        arriving(spikes().numpy(), [3, 0, 1, 5]),
    )
    assert np.array_equal(found[MAXIMUM:], wanted[MAXIMUM:])


def check_whole(kind):
    found = run(made(kind, [2.7] * CHANNELS), spikes()).detach().numpy()
    assert np.array_equal(found[3:], arriving(spikes().numpy(), [2] * CHANNELS)[3:])


def check_start(kind):
    assert not run(made(kind, [4.0] * CHANNELS), spikes())[:4].any()


def check_bound(kind):
    module = made(kind, [0.0] * CHANNELS)
    module.delay.data += torch.tensor([-3.0, 100.0, 100.0, -3.0])
    found = run(module, spikes()).detach().numpy()
    assert np.array_equal(
        found[MAXIMUM:], arriving(spikes().numpy(), [0, MAXIMUM, MAXIMUM, 0])[MAXIMUM:]
    )
    assert module.delay.tolist() == [0, MAXIMUM, MAXIMUM, 0]


def check_gradient(kind):
    found, declared, _, _ = _gradients(kind)
    assert found @ declared > (1 - 1e-12) * np.linalg.norm(found) * np.linalg.norm(declared) > 0


def check_gradient_scale(kind):
    found, declared, _, _ = _gradients(kind)
    if np.linalg.norm(found):
        # Sums of 60 terms in float64.
        assert abs(np.linalg.norm(found) / np.linalg.norm(declared) - 1) <= 1e-12


def check_input_gradient(kind):
    _, _, found, upstream = _gradients(kind)
    # What arrived late is blamed early.
    assert np.array_equal(found, arriving(upstream[::-1], [3] * CHANNELS)[::-1])


CHECKS = {
    each.__name__.removeprefix("check_"): each
    for each in (
        check_channel,
        check_whole,
        check_start,
        check_bound,
        check_gradient,
        check_gradient_scale,
        check_input_gradient,
    )
}


class Reversed(AxonalDelay):
    def steps(self):
        return super().steps().flip(0)


class Rounded(AxonalDelay):
    def steps(self):
        return self.delay.detach().clamp(0, self.maximum).round().long()


class Wrapped(AxonalDelay):
    """What torch.roll does: the record is filled with its own end, here with its first frame."""

    def forward(self, x):
        if self.past is None:
            self._put_back()
            self.past, self.before = x.detach().repeat(self.maximum, 1, 1), torch.zeros_like(x)
        return super().forward(x)


class Unbound(AxonalDelay):
    """The bound acts, and the parameter wanders off."""

    def _put_back(self):
        pass


class Declared(AxonalDelay):
    """A delay with another gradient: `factor` times the difference to the step before."""

    factor = 1.0

    def _declared(self, y, before, frame):
        return y - self.factor * (self.delay - self.delay.detach()) * (y.detach() - before)


class Ascending(Declared):
    factor = -1.0


class Doubled(Declared):
    factor = 2.0


class Frozen(Declared):
    factor = 0.0


class Straight(AxonalDelay):
    """The gradient goes to the spikes of the same step."""

    def forward(self, x):
        y = super().forward(x.detach())
        return y + (x - x.detach())


ROGUES = [
    Rogue("delays of the channels reversed", "channel", lambda: Reversed),
    Rogue("rounded, not cut", "whole", lambda: Rounded),
    Rogue("the record wrapped around", "start", lambda: Wrapped),
    Rogue("parameter not put back", "bound", lambda: Unbound),
    Rogue("gradient of the wrong sign", "gradient", lambda: Ascending),
    Rogue("no gradient", "gradient", lambda: Frozen),
    Rogue("gradient doubled", "gradient_scale", lambda: Doubled),
    Rogue("gradient to the spikes of the same step", "input_gradient", lambda: Straight),
]


def faults(kind):
    """Return the names of the checks that a class fails."""
    found = []
    for name, check in CHECKS.items():
        try:
            check(kind)
        except AssertionError:
            found.append(name)
    return found


def test_a_delay_is_what_it_declares():
    assert faults(AxonalDelay) == []


@pytest.mark.parametrize("rogue", ROGUES, ids=lambda rogue: rogue.name)
def test_each_fault_is_caught_by_its_check_alone(rogue):
    assert faults(rogue.make()) == [rogue.caught_by]


def test_every_check_catches_something():
    assert {rogue.caught_by for rogue in ROGUES} == set(CHECKS)


# --- over steps, shapes, learning ---


@pytest.mark.parametrize("shape", [(), (2, 3)], ids=["neurons", "images"])
def test_all_steps_at_once_are_the_steps_one_by_one(shape):
    module = made(AxonalDelay, [0.3, 6.0, 4.0, 2.9])
    x = (
        (torch.rand(STEPS, BATCH, CHANNELS, *shape, dtype=torch.float64) < 0.3)
        .double()
        .requires_grad_()
    )
    upstream = torch.rand_like(x)
    answers = []
    for way in (lambda: run(module, x), lambda: module.over_steps(x)):
        y = way()
        answers.append([y, *torch.autograd.grad((y * upstream).sum(), [x, module.delay])])
    for one, other in zip(*answers, strict=True):
        assert torch.allclose(one, other, rtol=1e-13, atol=1e-13)
    assert torch.equal(answers[0][0], answers[1][0])


def test_without_gradients_the_spikes_are_the_same():
    module = made(AxonalDelay, [1.0, 2.0, 3.0, 4.0])
    with torch.no_grad():
        quiet = run(module, spikes())
    assert torch.equal(quiet, run(module, spikes()))


def test_a_delay_is_learnt_from_when_spikes_should_arrive():
    module, x = (
        made(AxonalDelay, [0.5, 0.5, 5.5, 2.5]),
        torch.zeros(1, CHANNELS, STEPS, dtype=torch.float64),
    )
    x[:, :, 3] = 1
    wanted = torch.tensor(arriving(x.movedim(-1, 0).numpy(), [2, 5, 1, 2])).movedim(0, -1)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.1)
    for _ in range(150):
        loss = spike_time(
            module.over_steps(x.movedim(-1, 0)).movedim(0, -1),
            wanted,
            kernel="alpha",
            tau=5.0,
            dt=1.0,
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert module.steps().tolist() == [2, 5, 1, 2]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: AxonalDelay(0, 3), "channels must be a whole number from 1 on, but is 0"),
        (lambda: AxonalDelay(2, 0), "maximum must be"),
        (lambda: AxonalDelay(2, 3, 4.0), "in 0..3, but is 4.0"),
        (lambda: AxonalDelay(2, 3, torch.zeros(3)), "one number of steps, or 2"),
        (lambda: AxonalDelay(2, 3, float("nan")), "in 0..3, but is nan"),
        (
            lambda: AxonalDelay(2, 3)(torch.zeros(5, 3)),
            r"has 2 channels, but its input is \(5, 3\)",
        ),
        (lambda: two_batches(AxonalDelay(2, 3)), "call refsim.reset"),
        (lambda: diverged(AxonalDelay(2, 3)), "lower its learning rate"),
    ],
)
def test_what_is_wrong_is_said(wrong, said):
    with pytest.raises(RefsimError, match=said):
        wrong()


def two_batches(module):
    module(torch.zeros(5, 2))
    module(torch.zeros(4, 2))


def diverged(module):
    module.delay.data[0] = torch.nan
    module(torch.zeros(5, 2))


def test_reset_empties_a_delay():
    module = torch.nn.Sequential(made(AxonalDelay, [2.0] * CHANNELS))
    module(torch.ones(1, CHANNELS, dtype=torch.float64))
    refsim.reset(module)
    assert not any(module(torch.zeros(1, CHANNELS, dtype=torch.float64)).any() for _ in range(4))
