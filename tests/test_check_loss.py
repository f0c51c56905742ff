"""Checks of losses and surrogates.

Refsim's own pass, each rogue is caught by its check and by no other, and what is asked wrongly is
explained.
"""

import pytest
import torch
from rogues_losses import LOSS_ROGUES, SURROGATE_ROGUES
from test_checks import failed

import refsim
from refsim.checks import LOSS_CHECKS, LOSS_FORMS, SURROGATE_CHECKS
from refsim.pytorch import losses
from refsim.pytorch.surrogate import SURROGATES, spike_function

OWN = [
    *((name, dict(form.defaults or {})) for name, form in LOSS_FORMS.items()),
    ("spikemax", {"gradient": "exact"}),
    ("spikemax", {"window": 4}),
    ("spikemax", {"window": 4, "gradient": "authors"}),
    ("spikemax", {"of": "rates"}),
    ("spikemax", {"of": "rates", "window": 5}),
    ("spikemax", {"reading": "softmax", "scale": 4.0}),
    ("spike_time", {"kernel": "alpha", "tau": 3.0}),
    ("spike_moid", {"theta": 0.2, "alpha": 0.1, "window": 4}),
]
# What cannot be asked of a loss, by its name: everything else must pass.
LEFT_OUT = {
    "spike_time": {"label"},
    "membrane_regulariser": {"label"},
    "rate_regulariser": {"label"},
    "num_spikes": {"gradient", "gradient_scale"},
}
# They take any input, and find most faults without a name for them.
NOT_ALONE = {"value", "declared_gradient", "shape"}


def statuses(verdicts):
    return {verdict.claim.measure: verdict.status for verdict in verdicts}


@pytest.mark.parametrize(
    ("name", "options"),
    OWN,
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_our_own_losses_pass_every_check(name, options):
    found = statuses(
        refsim.check_loss(lambda s, *y: getattr(losses, name)(s, *y, **options), name, **options)
    )
    left_out = (
        {"gradient", "gradient_scale"}
        if options.get("window") and options.get("gradient") == "authors"
        else LEFT_OUT.get(name, set())
    )
    assert found == {check: "skipped" if check in left_out else "pass" for check in LOSS_CHECKS}


def test_a_loss_is_checked_without_a_declared_one():
    found = statuses(refsim.check_loss(losses.spikemax))
    assert found == {
        check: "skipped" if check in ("scale", "value", "declared_gradient") else "pass"
        for check in LOSS_CHECKS
    }
    assert (
        "fail"
        in statuses(
            refsim.check_loss(lambda s, y: losses.spikemax(s, y, window=4, gradient="authors"))
        ).values()
    )


def test_cross_entropy_of_torch_passes():
    assert not failed(
        refsim.check_loss(
            lambda s, y: torch.nn.functional.cross_entropy(s.sum(-1), y),
            "spikemax",
            reading="softmax",
        )
    )


def test_a_loss_in_float32_is_told_apart_from_a_wrong_one():
    found = statuses(refsim.check_loss(lambda s, y: losses.spike_rate(s.float(), y), "spike_rate"))
    assert "fail" not in found.values()
    # Its central differences are noise, and the check says so.
    assert found["gradient"] == "skipped"


@pytest.mark.parametrize(
    ("name", "options", "rogue"), LOSS_ROGUES, ids=[rogue.name for _, _, rogue in LOSS_ROGUES]
)
def test_a_rogue_loss_is_caught_by_its_check_alone(name, options, rogue):
    assert failed(refsim.check_loss(rogue.make(), name, **options)) == {rogue.caught_by}
    assert not failed(
        refsim.check_loss(
            rogue.make(), name, skip={rogue.caught_by, *NOT_ALONE} & set(LOSS_CHECKS), **options
        )
    )


def test_every_loss_check_has_its_rogue():
    assert {rogue.caught_by for _, _, rogue in LOSS_ROGUES} == set(LOSS_CHECKS)


@pytest.mark.parametrize("name", SURROGATES)
def test_our_own_surrogates_pass_every_check(name):
    assert statuses(refsim.check_surrogate(spike_function(name), name)) == dict.fromkeys(
        SURROGATE_CHECKS, "pass"
    )


@pytest.mark.parametrize(
    ("name", "rogue"), SURROGATE_ROGUES, ids=[rogue.name for _, rogue in SURROGATE_ROGUES]
)
def test_a_rogue_surrogate_is_caught_by_its_check_alone(name, rogue):
    assert failed(refsim.check_surrogate(rogue.make(), name)) == {rogue.caught_by}
    assert not failed(refsim.check_surrogate(rogue.make(), name, skip={rogue.caught_by, "shape"}))


def test_every_surrogate_check_has_its_rogue():
    assert {rogue.caught_by for _, rogue in SURROGATE_ROGUES} == set(SURROGATE_CHECKS)


@pytest.mark.parametrize("one", SURROGATES)
def test_no_surrogate_passes_for_another(one):
    twins = ({"mpr", "dspike"}, {"rectangle", "clamp"})  # the same functions at their defaults
    for other in SURROGATES:
        if other != one and {one, other} not in twins:
            assert failed(refsim.check_surrogate(spike_function(one), other)), other


def test_a_verdict_says_by_how_much():
    rows = {
        verdict.claim.measure: verdict
        for verdict in refsim.check_surrogate(spike_function("sigmoid", slope=2.0), "sigmoid")
    }
    assert rows["width"].detail == "2 times as wide as declared"
    rows = {
        verdict.claim.measure: verdict
        for verdict in refsim.check_loss(lambda s, y: 3 * losses.spikemax(s, y), "spikemax")
    }
    assert rows["scale"].detail == "the loss is 3 times the declared one"
    assert rows["value"].status == rows["declared_gradient"].status == "skipped"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: refsim.check_loss(losses.spikemax, "spikemin"),
            "'spikemin' is not a declared loss; known are max_membrane_cross_entropy",
        ),
        (
            lambda: refsim.check_loss(losses.spikemax, "spikemax", windows=3),
            "windows is not an option of spikemax; they are gradient, of",
        ),
        (
            lambda: refsim.check_loss(losses.spikemax, window=3),
            "window is an option of a declared loss; name it",
        ),
        (
            lambda: refsim.check_loss(losses.spikemax, skip={"values"}),
            "values is not a check; known are batch",
        ),
        (
            lambda: refsim.check_loss(losses.spikemax, target="labels"),
            "target must be share, trains or none",
        ),
        (
            lambda: refsim.check_loss(lambda s, y: losses.spikemax(s, y, reduction="none")),
            r"must return one number, a tensor, but returned a tensor \(3,\)",
        ),
        (
            lambda: refsim.check_loss(lambda s, y: 1.0),
            "must return one number, a tensor, but returned float",
        ),
        (
            lambda: refsim.check_surrogate(torch.sigmoid, "logistic"),
            "surrogate 'logistic' is not known",
        ),
        (
            lambda: refsim.check_surrogate(torch.sigmoid, "sigmoid", skip={"shapes"}),
            "shapes is not a check",
        ),
        (
            lambda: refsim.check_surrogate(torch.sum, "sigmoid"),
            "must return as many spikes, but returned a tensor",
        ),
        (
            lambda: refsim.check_surrogate(torch.sigmoid, "sigmoid", width=1.0),
            "width is not one of its parameters; they are slope",
        ),
        (lambda: spike_function("sigmoid", slope=-1.0), "slope=-1 must be a positive number"),
        (lambda: spike_function(None, slope=1.0), "slope belongs to a surrogate with a name"),
    ],
)
def test_what_is_asked_wrongly_is_explained(call, says):
    with pytest.raises(refsim.RefsimError, match=says):
        call()


def test_the_bias_of_a_surrogate_is_reported_where_it_is_asked_for():
    verdicts = refsim.check_surrogate(
        spike_function("sigmoid", slope=3.0), "sigmoid", slope=3.0, bias=True
    )
    reported = {verdict.run: verdict.value for verdict in verdicts if verdict.status == "reported"}
    assert set(reported) == {"W1", "W2"}
    assert all(0 < value < 2 for value in reported.values())  # two layers: never nothing
