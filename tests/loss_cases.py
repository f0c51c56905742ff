"""Every loss with every option that changes its formula, and how it is called in tests."""

import numpy as np
import pytest
import torch

from refsim.checks.loss_forms import LOSS_FORMS
from refsim.pytorch import losses

CLASSES, STEPS = 4, 12
CASES = [
    ("spikemax", {}),
    ("spikemax", {"gradient": "exact"}),
    ("spikemax", {"window": 4}),
    ("spikemax", {"window": 4, "gradient": "authors"}),
    ("spikemax", {"of": "rates"}),
    ("spikemax", {"of": "rates", "window": 4}),
    ("spikemax", {"reading": "softmax", "scale": 4.0}),
    ("spikemax", {"reading": "softmax", "of": "rates"}),
    ("spikemax", {"reading": "softmax", "of": "rates", "window": 4}),
    ("spike_rate", {}),
    ("spike_rate", {"window": 4}),
    ("spike_time", {}),
    ("spike_time", {"order": 3, "tau": 3.0, "length": 9}),
    ("spike_time", {"kernel": "alpha", "tau": 2.0, "dt": 0.5}),
    ("num_spikes", {"true_count": 7, "false_count": 2, "region": (2, 9), "tau": 2.0}),
    ("spike_moid", {"alpha": 0.1, "theta": 0.2}),
    ("spike_moid", {"alpha": 0.1, "theta": 0.2, "window": 4}),
    ("spike_count_mse", {"true_count": 7, "false_count": 2}),
    ("ttfs_cross_entropy", {"tau": 2.0}),
    ("max_membrane_cross_entropy", {}),
    ("tet", {"lam": 0.05, "constant": 1.0}),
    ("membrane_regulariser", {"low": 0.3, "high": 0.6}),
    ("rate_regulariser", {"low": 0.45, "high": 0.55}),
]
NAMES = [
    f"{name}-{'-'.join(f'{key}={value}' for key, value in options.items())}"
    for name, options in CASES
]
every_case = pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)


def loss_of(name, options, target, **more):
    def loss(values, **extra):
        return getattr(losses, name)(values, *target, **options, **more, **extra)

    return loss


def target_of(name, rng, shape):
    """Return the target of a loss, as NumPy: shares, trains or nothing."""
    batch, classes, _ = shape
    kind = LOSS_FORMS[name].target
    return {
        "share": (rng.dirichlet(np.ones(classes), batch),),
        "trains": ((rng.random(shape) < 0.3) * 1.0,),
        "none": (),
    }[kind]


def gradient_of(loss, values):
    values = values.clone().requires_grad_()
    return torch.autograd.grad(loss(values).sum(), values)[0]


def tensors(arrays):
    return tuple(torch.tensor(array) for array in arrays)
