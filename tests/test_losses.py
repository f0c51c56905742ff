"""Losses: closed form, autograd and central differences agree on 1,000 random inputs.

Released numbers are reproduced.
"""

import numpy as np
import pytest
import torch
from conftest import real_data
from loss_cases import CLASSES, STEPS, every_case, gradient_of, loss_of, target_of, tensors

from refsim.checks.loss_forms import LOSS_FORMS
from refsim.pytorch import losses

N = 1000


@every_case
@pytest.mark.parametrize("binary", [False, True], ids=["graded", "binary"])
def test_value_and_gradient_are_the_closed_form(name, options, binary, rng):
    # both are float64 and a few dozen operations long; windows of one spike stand on the corner of
    # max(1, c), where both take c's side
    values = (
        (rng.random((N, CLASSES, STEPS)) < 0.15) * 1.0
        if binary
        else rng.random((N, CLASSES, STEPS))
    )
    target = target_of(name, rng, values.shape)
    form_losses, form_gradient = LOSS_FORMS[name].answer(values, *(target or (None,)), **options)
    loss = loss_of(name, options, tensors(target), reduction="none")
    assert (
        np.abs(loss(torch.tensor(values)).numpy() - form_losses).max()
        <= 1e-12 * np.abs(form_losses).max()
    )
    assert (
        np.abs(gradient_of(loss, torch.tensor(values)).numpy() - form_gradient).max()
        <= 1e-12 * np.abs(form_gradient).max()
    )


@every_case
def test_gradient_is_the_central_difference(name, options, rng):
    # along random directions: steps of 1e-3 and 5e-4 at order four leave 1e-11; where they differ a
    # corner lies within the step
    values = torch.tensor(rng.random((N, CLASSES, STEPS)))
    loss = loss_of(name, options, tensors(target_of(name, rng, values.shape)), reduction="none")
    gradient = gradient_of(loss, values)
    found, kept = [], []
    for _ in range(4):
        way = torch.tensor(rng.normal(size=values.shape) / np.sqrt(CLASSES * STEPS))
        coarse, fine = (slope_along(loss, values, way, step) for step in (1e-3, 5e-4))
        size = gradient.flatten(1).norm(dim=1) + 1e-300
        kept.append((coarse - fine).abs() <= 1e-9 * size)
        found.append(((gradient * way).sum((1, 2)) - fine).abs() / size)
    kept, found = torch.stack(kept), torch.stack(found)
    assert kept.double().mean() > 0.75
    if LOSS_FORMS[name].derivative(options):
        assert found[kept].max() <= 1e-9
    else:  # by design, and reproduced exactly by the closed form above
        assert found[kept].median() > 1e-2


def slope_along(loss, values, way, step):
    one, two = (loss(values + k * step * way) - loss(values - k * step * way) for k in (1, 2))
    return (8 * one - two) / (12 * step)


# --- released numbers ---

# Lava-dl computed in float32: half a unit in the last place for each of 600 terms that are summed.
SINGLE = 2.0**-24 * 3 * 5 * 40
RELEASED = {
    "SpikeMax_global_softmax_nosilent": ("spikemax", {"of": "rates", "reading": "softmax"}),
    "SpikeMax_mw10_softmax_nosilent": (
        "spikemax",
        {"of": "rates", "reading": "softmax", "window": 10},
    ),
    "SpikeRate_global": ("spike_rate", {"true_rate": 0.2, "false_rate": 0.02}),
    "SpikeRate_mw10_2d": ("spike_rate", {"true_rate": 0.2, "false_rate": 0.02, "window": 10}),
    "SpikeMoid": ("spike_moid", {"alpha": 0.1, "theta": 0.2}),
    "SpikeMoid_mw10": ("spike_moid", {"alpha": 0.1, "theta": 0.2, "window": 10}),
    "SpikeTime_order1": ("spike_time", {"tau": 5.0, "length": 100}),
    "SpikeTime_order2": ("spike_time", {"tau": 5.0, "length": 100, "order": 2}),
}


@pytest.mark.parametrize("case", RELEASED)
def test_lava_dl_losses_are_reproduced(case):
    data = np.load(real_data("losses/losses.npz"))
    name, options = RELEASED[case]
    target = (
        torch.tensor(data["desired"], dtype=torch.float64)
        if name == "spike_time"
        else torch.tensor(data["labels"])
    )
    values = torch.tensor(data["spikes"], dtype=torch.float64)
    loss = loss_of(name, options, (target,), reduction="sum")
    # the released numbers are single precision, and so is the claim about them; ours are the closed
    # form's to 1e-12 at the same input
    given = data["desired"].astype(float) if name == "spike_time" else np.eye(5)[data["labels"]]
    form_losses, form_gradient = LOSS_FORMS[name].answer(
        data["spikes"].astype(float), given, **options
    )
    assert abs(float(loss(values)) - form_losses.sum()) <= 1e-12 * form_losses.sum()
    assert (
        np.abs(gradient_of(loss, values).numpy() - form_gradient).max()
        <= 1e-12 * np.abs(form_gradient).max()
    )
    assert abs(float(loss(values)) / float(data[f"{case}_loss"]) - 1) <= SINGLE
    gradient = data[f"{case}_grad"]
    assert (
        np.abs(gradient_of(loss, values).numpy() - gradient).max()
        <= SINGLE * np.abs(gradient).max()
    )


def test_the_authors_spikemax_is_reproduced():
    data = np.load(real_data("losses/probspikes.npz"))
    values, labels, window = (
        torch.tensor(data["spikes"], dtype=torch.float64),
        torch.tensor(data["labels"]),
        int(data["window"]),
    )
    assert (data["spikes"].sum(-1) == 0).any()  # a silent class is among them
    for options, value, gradient in (
        ({}, "global_loss", "global_grad"),
        ({"window": window, "gradient": "authors"}, "window_loss", "window_grad_author"),
        ({"window": window}, "window_loss", "window_grad_exact"),
    ):
        loss = loss_of("spikemax", options, (labels,), reduction="sum")
        assert abs(float(loss(values)) - float(data[value])) <= 1e-12 * float(data[value])
        assert (
            np.abs(gradient_of(loss, values).numpy() - data[gradient]).max()
            <= 1e-12 * np.abs(data[gradient]).max()
        )


def test_the_authors_window_gradient_is_far_from_the_exact_one():
    data = np.load(real_data("losses/probspikes.npz"))
    values, labels = torch.tensor(data["spikes"], dtype=torch.float64), torch.tensor(data["labels"])
    ours = [
        gradient_of(
            loss_of("spikemax", {"window": 10, "gradient": which}, (labels,)), values
        ).flatten()
        for which in ("authors", "exact")
    ]
    assert round(float(torch.nn.functional.cosine_similarity(*ours, dim=0)), 2) == 0.71
    assert round(float(ours[0].norm() / ours[1].norm()), 2) == 0.16


def test_a_softmax_of_rates_has_a_floor():
    spikes = torch.zeros(1, 10, 20, dtype=torch.float64)
    spikes[0, 3] = 1  # the class fires in every step and all others never: the best there is
    assert float(
        losses.spikemax(spikes, torch.tensor([3]), of="rates", reading="softmax")
    ) == pytest.approx(np.log(1 + 9 / np.e), abs=1e-12)
    assert round(np.log(1 + 9 / np.e), 3) == 1.461
