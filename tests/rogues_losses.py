"""Planted faults in losses and surrogates.

Each is caught by one named check, and by no other: without that check it would pass.

(`value`, `declared_gradient` and `shape` find that something differs, not what; they run only where
the named checks pass, and are left out with the check under test.) Each rogue stands beside the
declared loss or surrogate it pretends to be.
"""

import math

import torch
from rogues import Rogue
from torch import Tensor
from torch.nn import functional as F

from refsim.pytorch import losses
from refsim.pytorch.surrogate import heaviside, spike_function


def _counts(spikes: Tensor, window: int | None = None) -> Tensor:
    """Return counts over the record, or over a causal window at each step."""
    if window is None:
        return spikes.sum(-1, keepdim=True)
    return F.pad(spikes, (window - 1, 0)).unfold(-1, window, 1).sum(-1)


def _entropy(shares: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of shares (batch, class, step), summed over the steps."""
    return -torch.gather(
        shares.log(), 1, labels[:, None, None].expand(-1, 1, shares.shape[-1])
    ).sum() / len(labels)


def _spikemax(
    spikes,
    labels,
    floor=lambda counts: counts.clamp(min=1),
    total=lambda heard: heard.sum(1, keepdim=True),
    window=None,
    slope=lambda heard: heard,
):
    heard = slope(floor(_counts(spikes, window)))
    return _entropy(heard / total(heard), labels)


def _passed(counts: Tensor) -> Tensor:
    """max(1, c) with the slope of c: what the declared loss does over the whole record."""
    return counts.clamp(min=1).detach() + (counts - counts.detach())


def _rates_without_a_floor(spikes, labels):
    rates = spikes.mean(-1, keepdim=True)
    return _entropy(rates / (rates.sum(1, keepdim=True) + 1e-6), labels)


def _logistic_by_its_logarithm(spikes, labels):
    p, y = torch.sigmoid((spikes.mean(-1) - 0.2) / 0.02), F.one_hot(labels, spikes.shape[1])
    return -(y * p.log() + (1 - y) * (1 - p).log()).sum() / len(labels)


def _over_the_batch(spikes, labels):
    """Softmax of counts along the wrong axis."""
    return -torch.gather(F.log_softmax(spikes.sum(-1), dim=0), 1, labels[:, None]).mean()


def _softmax_of(counts: Tensor, labels: Tensor) -> Tensor:
    return -torch.gather(F.log_softmax(counts, dim=1), 1, labels[:, None]).mean()


def _rate_square(spikes, labels, wanted=lambda y: 0.2 * y + 0.03 * (1 - y), window=None):
    y = F.one_hot(labels, spikes.shape[1])[..., None]
    rates = _counts(spikes, window) / (window or spikes.shape[-1])
    return (rates - wanted(y)).square().sum() / len(labels)


def _lacks_the_window(spikes, labels):
    """Sliding rates whose backward forgets to divide by the window."""
    counts = _counts(spikes, 4)
    rates = (counts / 4).detach() + (counts - counts.detach())
    y = F.one_hot(labels, spikes.shape[1])[..., None]
    return (rates - (0.2 * y + 0.03 * (1 - y))).square().sum() / len(labels)


def _looks_ahead(spikes, labels):
    """A sliding window that ends where it should begin."""
    return losses.spikemax(spikes.flip(-1), labels, window=4)


def _count_not_detached(spikes, labels):
    """SLAYER's spike numbers, without what it detaches.

    The derivative of the value, which is not the declared gradient.
    """
    steps = spikes.shape[-1]
    inside = ((torch.arange(steps) >= 2) & (torch.arange(steps) < 9)).double()
    wanted = 2.0 + 5.0 * F.one_hot(labels, spikes.shape[1])
    error = ((spikes * inside).sum(-1) - wanted)[..., None] / 7 * inside
    k = torch.arange(steps).double() / 10
    # Row t: the response to a spike at t.
    response = torch.stack([F.pad(k * torch.exp(1 - k), (t, 0))[:steps] for t in range(steps)])
    return ((spikes * (1 - inside)) @ response + error).square().sum() / 2 / len(labels)


# (declared loss, its options, rogue)
LOSS_ROGUES = [
    (
        "spikemax",
        {"of": "rates"},
        Rogue("NaN as soon as a class is silent", "finite", lambda: _rates_without_a_floor),
    ),
    (
        "spike_moid",
        {"theta": 0.2, "alpha": 0.02},
        Rogue("infinite when saturated", "finite", lambda: _logistic_by_its_logarithm),
    ),
    (
        "spikemax",
        {},
        Rogue(
            "spikes detached on the way in",
            "connected",
            lambda: lambda s, y: losses.spikemax(s.detach(), y),
        ),
    ),
    (
        "spikemax",
        {},
        Rogue(
            "label off by one",
            "label",
            lambda: lambda s, y: losses.spikemax(s, (y + 1) % s.shape[1]),
        ),
    ),
    (
        "tet",
        {"lam": 0.05, "constant": 1.0},
        Rogue(
            "labels counted from one",
            "label",
            lambda: lambda o, y: losses.tet(o, (y - 1) % o.shape[1], lam=0.05, constant=1.0),
        ),
    ),
    (
        "spikemax",
        {"reading": "softmax"},
        Rogue("softmax over the batch", "batch", lambda: _over_the_batch),
    ),
    (
        "spikemax",
        {"reading": "softmax"},
        Rogue(
            "sum over the batch for its mean",
            "batch",
            lambda: lambda s, y: losses.spikemax(s, y, reading="softmax", reduction="sum"),
        ),
    ),
    (
        "spikemax",
        {"window": 4},
        Rogue(
            "the authors' sliding window",
            "gradient",
            lambda: lambda s, y: losses.spikemax(s, y, window=4, gradient="authors"),
        ),
    ),
    (
        "spikemax",
        {},
        Rogue(
            "sum of the spikes detached",
            "gradient",
            lambda: (
                lambda s, y: _spikemax(
                    s, y, _passed, lambda heard: heard.sum(1, keepdim=True).detach()
                )
            ),
        ),
    ),
    (
        "ttfs_cross_entropy",
        {},
        Rogue(
            "gradient at the first spike alone",
            "gradient",
            lambda: lambda s, y: _first_step_alone(s, y),
        ),
    ),
    (
        "spike_rate",
        {"window": 4},
        Rogue("backward lacks 1/window", "gradient_scale", lambda: _lacks_the_window),
    ),
    (
        "spikemax",
        {},
        Rogue(
            "backward doubled",
            "gradient_scale",
            lambda: lambda s, y: losses.spikemax(2 * s - s.detach(), y),
        ),
    ),
    (
        "spike_rate",
        {},
        Rogue(
            "mean over the classes for their sum",
            "scale",
            lambda: lambda s, y: _rate_square(s, y) / s.shape[1],
        ),
    ),
    (
        "spikemax",
        {},
        Rogue(
            "logarithm to base two",
            "scale",
            lambda: lambda s, y: losses.spikemax(s, y) / math.log(2),
        ),
    ),
    ("spikemax", {"window": 4}, Rogue("window that looks ahead", "value", lambda: _looks_ahead)),
    (
        "spikemax",
        {},
        Rogue(
            "one added for the floor",
            "value",
            lambda: lambda s, y: _spikemax(s, y, lambda counts: counts + 1),
        ),
    ),
    (
        "spike_rate",
        {},
        Rogue(
            "rates of class and others swapped",
            "value",
            lambda: lambda s, y: _rate_square(s, y, lambda y: 0.03 * y + 0.2 * (1 - y)),
        ),
    ),
    (
        "spikemax",
        {"window": 4, "gradient": "authors"},
        Rogue(
            "derivative where the authors' is declared",
            "declared_gradient",
            lambda: lambda s, y: losses.spikemax(s, y, window=4),
        ),
    ),
    ("spikemax", {}, Rogue("silent classes do not learn", "declared_gradient", lambda: _spikemax)),
    (
        "num_spikes",
        {},
        Rogue("count not detached", "declared_gradient", lambda: _count_not_detached),
    ),
]


def _first_step_alone(spikes, labels):
    """The first spike's time, and a slope of -1 at its step: what a released surrogate does."""
    silent = torch.cumprod(1 - spikes, -1)
    first = silent.sum(-1).detach() - (
        (spikes - spikes.detach())
        * (spikes > 0).double()
        * torch.cat([torch.ones_like(silent[..., :1]), silent[..., :-1]], -1)
    ).sum(-1)
    return _softmax_of(-first, labels)


# --- surrogates ---


class _Custom(torch.autograd.Function):
    """A step forward, and any function of (x, gradient) backward."""

    @staticmethod
    def forward(ctx, x, back, strict):
        ctx.save_for_backward(x)
        ctx.back = back
        return (x > 0 if strict else x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return ctx.back(ctx.saved_tensors[0], gradient), None, None


def _custom(back, strict=False):
    return lambda x: _Custom.apply(x, back, strict)


def _logistic(x, slope=4.0):
    return torch.sigmoid(slope * x) * torch.sigmoid(-slope * x)


SURROGATE_ROGUES = [
    (
        "sigmoid",
        Rogue(
            "the smooth function forward too",
            "forward",
            lambda: lambda x: torch.sigmoid(4 * x) + (x == 0) / 2,
        ),
    ),
    (
        "sigmoid",
        Rogue(
            "> for >=",
            "comparison",
            lambda: _custom(lambda x, g: 4 * _logistic(x) * g, strict=True),
        ),
    ),
    ("sigmoid", Rogue("surrogate not used", "used", lambda: heaviside)),
    ("sigmoid", Rogue("surrogate multiplied by zero", "used", lambda: _custom(lambda x, g: 0 * x))),
    (
        "sigmoid",
        Rogue(
            "gradient that arrives is ignored",
            "chain",
            lambda: _custom(lambda x, g: 4 * _logistic(x)),
        ),
    ),
    (
        "sigmoid",
        Rogue(
            "only its sign is used",
            "chain",
            lambda: _custom(lambda x, g: 4 * _logistic(x) * g.sign()),
        ),
    ),
    (
        "sigmoid",
        Rogue(
            "centred on rest, not on threshold",
            "centre",
            lambda: _custom(lambda x, g: 4 * _logistic(x + 0.5) * g),
        ),
    ),
    ("sigmoid", Rogue("slope 2 for 4", "width", lambda: spike_function("sigmoid", slope=2.0))),
    (
        "exponential",
        Rogue(
            "width theta for tau_rho*theta",
            "width",
            lambda: spike_function("exponential", width=10.0),
        ),
    ),
    (
        "sigmoid",
        Rogue("slope not multiplied in", "scale", lambda: _custom(lambda x, g: _logistic(x) * g)),
    ),
    (
        "arctangent",
        Rogue(
            "divided by pi",
            "scale",
            lambda: _custom(lambda x, g: g / math.pi / (1 + (math.pi * x) ** 2)),
        ),
    ),
    (
        "exponential",
        Rogue(
            "lava-dl's one half in SLAYER's",
            "scale",
            lambda: spike_function("exponential_lava", width=1.0, scale=1.0),
        ),
    ),
    ("rectangle", Rogue("triangle for rectangle", "shape", lambda: spike_function("triangle"))),
    (
        "superspike",
        Rogue(
            "tails cut off",
            "shape",
            lambda: _custom(lambda x, g: g * (x.abs() < 0.05) / (1 + 100 * x.abs()) ** 2),
        ),
    ),
]
