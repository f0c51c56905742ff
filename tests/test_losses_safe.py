"""Losses in training: silence, saturation and nothing at all; targets, masks and reductions.

Half precision, compilation, modules; errors.
"""

import inspect
from pathlib import Path

import pytest
import torch
from loss_cases import CASES, CLASSES, STEPS, every_case, gradient_of, loss_of, target_of, tensors

import refsim
from refsim.checks.loss_forms import LOSS_FORMS
from refsim.pytorch import losses

# --- silence, saturation, nothing at all ---


@every_case
@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str
)
@pytest.mark.parametrize(
    "kind", ["silent", "true class silent", "saturated", "one step", "no step", "no sample"]
)
def test_no_output_makes_a_loss_or_a_gradient_that_is_no_number(name, options, dtype, kind, rng):
    shape = {
        "one step": (2, CLASSES, 1),
        "no step": (2, CLASSES, 0),
        "no sample": (0, CLASSES, STEPS),
    }.get(kind, (2, CLASSES, STEPS))
    values = torch.tensor(rng.random(shape) < 0.4).to(dtype)
    values = {"silent": values * 0, "saturated": values * 0 + 1}.get(kind, values)
    target = torch.arange(shape[0]) if LOSS_FORMS[name].target == "share" else None
    if kind == "true class silent":
        values[0, 0] = values[1, 1] = 0
    loss = loss_of(
        name,
        options,
        (target,)
        if target is not None
        else (values * 0,)
        if LOSS_FORMS[name].target == "trains"
        else (),
    )
    assert torch.isfinite(loss(values))
    assert torch.isfinite(gradient_of(loss, values)).all()


def test_a_silent_true_class_learns_as_declared():
    silent = torch.zeros(1, 3, 8, dtype=torch.float64)
    silent[0, 1:, ::2] = 1
    slope = {
        which: gradient_of(loss_of("spikemax", {"gradient": which}, (torch.tensor([0]),)), silent)[
            0, 0
        ]
        for which in ("exact", "authors", None)
    }
    assert (slope["exact"] == 0).all()
    assert slope["authors"].tolist() == slope[None].tolist() == pytest.approx([(1 / 9 - 1) / 1] * 8)


# --- targets, masks, reductions ---


@every_case
def test_a_mask_is_a_shorter_record(name, options, rng):
    values = torch.tensor(rng.random((3, CLASSES, STEPS)))
    target = tensors(target_of(name, rng, values.shape))
    mask = torch.arange(STEPS) < torch.tensor([[STEPS], [7], [10]])
    # What stands in the padding is never read.
    padded = torch.where(mask[:, None], values, torch.full_like(values, torch.nan))
    together = gradient_of(loss_of(name, options, target, reduction="sum", mask=mask), padded)
    for sample, length in enumerate((STEPS, 7, 10)):
        short = [
            entry[sample : sample + 1, ..., :length]
            if entry.dim() == 3
            else entry[sample : sample + 1]
            for entry in target
        ]
        alone = gradient_of(
            loss_of(name, options, short, reduction="sum"), values[sample : sample + 1, :, :length]
        )
        assert torch.allclose(
            together[sample : sample + 1, :, :length], alone, rtol=1e-12, atol=1e-14
        )
        assert (together[sample, :, length:] == 0).all()


@every_case
def test_reductions(name, options, rng):
    values = torch.tensor(rng.random((5, CLASSES, STEPS)))
    loss = loss_of(name, options, tensors(target_of(name, rng, values.shape)))
    each = loss(values, reduction="none")
    assert each.shape == (5,)
    assert torch.allclose(loss(values, reduction="sum"), each.sum())
    assert torch.allclose(loss(values), each.mean())


@pytest.mark.parametrize(
    ("name", "options"), [case for case in CASES if LOSS_FORMS[case[0]].target == "share"]
)
def test_a_label_is_a_distribution_with_one_class(name, options, rng):
    values, labels = torch.tensor(rng.random((5, CLASSES, STEPS))), torch.tensor([0, 1, 2, 3, 2])
    one_hot = torch.nn.functional.one_hot(labels, CLASSES)
    found = [
        loss_of(name, options, (target,))(values)
        for target in (labels, labels.int(), one_hot.double(), one_hot.bool())
    ]
    if "window" in options or name == "tet":
        found += [
            loss_of(name, options, (labels[:, None].expand(5, STEPS),))(values),
            loss_of(name, options, (one_hot[..., None].expand(-1, -1, STEPS) * 1.0,))(values),
        ]
    assert len({float(value) for value in found}) == 1


# --- precision, compilation, modules ---


@every_case
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_loses_nothing_but_the_digits_of_its_input(name, options, dtype, rng):
    binary = torch.tensor(rng.random((4, CLASSES, STEPS)) < 0.3)
    target = tensors(target_of(name, rng, binary.shape))
    double = loss_of(name, options, target)(binary.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss_of(name, options, target)(binary.to(dtype))
        slope = gradient_of(loss_of(name, options, target), binary.to(dtype))
    assert found.dtype == torch.float32
    assert slope.dtype == dtype
    # Float32 inside: bfloat16 would be off by 1e-2.
    assert abs(float(found) - float(double)) <= 1e-4 * abs(float(double))


@every_case
def test_a_loss_stays_on_its_device_and_asks_for_no_value(name, options):
    # tensors of the device "meta" have no values, and refuse to meet a tensor of another device:
    # what passes runs on any, without a wait
    values = torch.zeros(2, CLASSES, STEPS, device="meta", requires_grad=True)
    labels = torch.zeros(2, dtype=torch.long, device="meta")
    target = {"share": (labels,), "trains": (values.detach(),), "none": ()}[LOSS_FORMS[name].target]
    loss = loss_of(
        name, options, target, mask=torch.ones(2, STEPS, dtype=torch.bool, device="meta")
    )(values)
    assert loss.device.type == "meta"
    assert torch.autograd.grad(loss, values)[0].shape == values.shape


@every_case
def test_a_loss_compiles_whole(name, options, rng):
    values = torch.tensor(rng.random((4, CLASSES, STEPS)))
    loss = loss_of(name, options, tensors(target_of(name, rng, values.shape)))
    torch._dynamo.reset()
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    assert torch.allclose(compiled(values), loss(values), rtol=1e-12)
    assert torch.allclose(
        gradient_of(compiled, values), gradient_of(loss, values), rtol=1e-12, atol=1e-15
    )


MODULES = {
    name: getattr(losses, name) for name in losses.__all__ if inspect.isclass(getattr(losses, name))
}


def test_every_loss_has_a_module_of_its_name():
    functions = {name for name in losses.__all__ if name not in MODULES}
    assert {module.function.__name__ for module in MODULES.values()} == functions == set(LOSS_FORMS)
    assert all(
        name.lower() == module.function.__name__.replace("_", "")
        for name, module in MODULES.items()
    )


@every_case
def test_a_module_is_its_function(name, options, rng):
    (module,) = (module for module in MODULES.values() if module.function.__name__ == name)
    values = torch.tensor(rng.random((4, CLASSES, STEPS)))
    target, mask = (
        tensors(target_of(name, rng, values.shape)),
        torch.arange(STEPS).expand(4, STEPS) < 9,
    )
    assert torch.equal(
        module(**options)(values, *target, mask=mask),
        loss_of(name, options, target, mask=mask)(values),
    )
    assert all(key in repr(module(**options)) for key in options)


SPIKES, LABELS = torch.zeros(2, 3, 5), torch.tensor([0, 2])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: losses.spikemax(SPIKES[0], LABELS),
            r"spikemax: needs spikes \(batch, class, step\), but was given \(3, 5\)",
        ),
        (
            lambda: losses.spikemax(SPIKES, LABELS[:1]),
            (
                r"target has shape \(1,\); for values \(2, 3, 5\) give labels, whole numbers of "
                r"shape \(2,\)"
            ),
        ),
        (
            lambda: losses.spikemax(SPIKES, torch.tensor([0, 3])),
            "labels must be 0 to 2 for 3 classes, but go from 0 to 3",
        ),
        (
            lambda: losses.spikemax(SPIKES, LABELS, window=0),
            "window must be a whole number of steps, at least 1, but is 0",
        ),
        (
            lambda: losses.spikemax(SPIKES, LABELS, of="count"),
            "of must be one of counts, rates, but is 'count'",
        ),
        (
            lambda: losses.spikemax(SPIKES, LABELS, scale=2.0),
            "a scale changes neither shares nor rates",
        ),
        (
            lambda: losses.spikemax(SPIKES, LABELS, reading="softmax", gradient="authors"),
            "has no gradient of its own for a softmax",
        ),
        (
            lambda: losses.spikemax(SPIKES, LABELS, mask=torch.ones(5)),
            r"mask must be \(batch, step\), here \(2, 5\)",
        ),
        (
            lambda: losses.spike_rate(SPIKES, LABELS, reduction="batch"),
            "reduction must be one of mean, none, sum",
        ),
        (lambda: losses.spike_moid(SPIKES, LABELS, alpha=0.0), "alpha must be a positive number"),
        (
            lambda: losses.spike_time(SPIKES, SPIKES[:1]),
            r"desired must be trains of the shape of the spikes, \(2, 3, 5\)",
        ),
        (
            lambda: losses.spike_time(SPIKES, SPIKES, kernel="alpha", order=2),
            "an order belongs to the exponential kernel",
        ),
        (
            lambda: losses.num_spikes(SPIKES, LABELS, true_count=3, false_count=1, region=(4, 2)),
            r"region must be \(start, stop\)",
        ),
        (lambda: losses.tet(SPIKES, LABELS, lam=2.0, constant=1.0), "lam must be 0 to 1"),
        (lambda: losses.rate_regulariser(SPIKES, low=0.5, high=0.1), "low must not lie above high"),
        (
            lambda: losses.Spikemax(windows=3),
            "Spikemax: windows is not an option; they are gradient, of, reading",
        ),
        (lambda: losses.TET(lam=0.1), "TET: constant must be given"),
    ],
)
def test_what_does_not_fit_is_explained(call, says):
    with pytest.raises(refsim.RefsimError, match=says):
        call()


def test_the_page_has_both_tables():
    from refsim.pytorch.losses.table import loss_table
    from refsim.pytorch.surrogate import surrogate_table

    page = (Path(__file__).resolve().parents[1] / "docs" / "losses.md").read_text("utf-8")
    for table in (loss_table(), surrogate_table()):
        assert table in page, f"docs/losses.md is not up to date; it should hold\n{table}"
    assert all(f"| `{name}` |" in loss_table() for name in LOSS_FORMS)
