"""The check of somebody's loss: its value, its gradient, silence, and its batch.

First comes `LossTrial`, with the inputs at which each trait shows by itself, with central
differences that say when they cannot be trusted; then one measure for each check; then the table of
checks and `check_loss`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import Floats
from ..core.claims import Claim, Verdict
from ..core.errors import RefsimError, listed
from ..gradients.differences import central_difference
from .loss_forms import LOSS_FORMS, LossForm
from .suite import (
    DIFFERENCE_DIGITS,
    DIGITS,
    FLOAT32_DIGITS,
    Answer,
    Check,
    names_skipped,
    run_checks,
)

if TYPE_CHECKING:
    from torch import Tensor

BATCH, CLASSES, STEPS = 3, 4, 12
_POINTS, _WAYS, _STEP = 6, 8, 1e-3
# Two step sizes agree to this; else a corner lies between them, or the loss is not computed in
# float64.
_TRUSTED = 1e-8


@dataclass(frozen=True, eq=False)
class Point:
    """One input: values (batch, class, step), and the target where the loss takes one."""

    values: Floats
    target: tuple[NDArray[Any], ...]

    def sample(self, index: int) -> "Point":
        """Return one sample as a batch of its own."""
        return Point(
            self.values[index : index + 1], tuple(entry[index : index + 1] for entry in self.target)
        )


@dataclass(frozen=True, eq=False)
class Slopes:
    """Slopes along random directions at one point, by autograd and by central differences."""

    autograd: Floats
    central: Floats


@dataclass(frozen=True, eq=False)
class LossTrial:
    """Somebody's loss behind a door.

    Attributes
    ----------
    value : function of (values, target) to float
    gradient : function of the same to an array or None
    form : LossForm or None
        The closed form that it is compared with.
    kind : {"share", "trains", "none"}
        What its target is.
    mean : bool
        Whether it is a mean over the batch, and not a sum.
    """

    value: Callable[..., float]
    gradient: Callable[..., Floats | None]
    form: LossForm | None
    options: Mapping[str, Any]
    kind: str
    mean: bool
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(11))

    def target(
        self, shape: tuple[int, ...], labels: list[int] | None = None
    ) -> tuple[NDArray[Any], ...]:
        """Draw a target for values of a shape: labels, or trains."""
        if self.kind == "share":
            return (
                np.array(self.rng.integers(0, shape[1], shape[0]) if labels is None else labels),
            )
        return ((self.rng.random(shape) < 0.3).astype(float),) if self.kind == "trains" else ()

    @cached_property
    def graded(self) -> list[Point]:
        """Points at which most losses are smooth: numbers in 0 to 1, or membranes of both signs."""
        shape, membranes = (
            (BATCH, CLASSES, STEPS),
            self.form is not None and self.form.of == "membranes",
        )
        # A membrane may be of either sign; a graded spike lies between 0 and 1.
        return [
            Point(
                self.rng.normal(0, 2, shape) if membranes else self.rng.random(shape),
                self.target(shape),
            )
            for _ in range(_POINTS)
        ]

    @property
    def all_points(self) -> list[Point]:
        """Graded points, spike trains and extreme output; of membranes the graded ones alone."""
        return (
            self.graded
            if self.form is not None and self.form.of == "membranes"
            else [*self.graded, *self.binary, *self.extreme.values()]
        )

    @cached_property
    def binary(self) -> list[Point]:
        """Spike trains in which every class fires twice or more."""
        shape, points = (BATCH, CLASSES, STEPS), []
        for _ in range(_POINTS):
            values = (self.rng.random(shape) < 0.3).astype(float)
            # Two spikes at least in every class; then the steps are shuffled.
            values[..., :2] = 1
            points.append(Point(self.rng.permuted(values, axis=-1), self.target(shape)))
        return points

    @cached_property
    def extreme(self) -> dict[str, Point]:
        """Output that a training meets and a formula may not."""
        shape = (BATCH, CLASSES, STEPS)
        silent_class = (self.rng.random(shape) < 0.4).astype(float)
        # Class 0 is silent, and it is the label of the first sample.
        silent_class[:, 0] = 0
        one = (self.rng.random((BATCH, CLASSES, 1)) < 0.5).astype(float)
        target = self.target(shape, [0, 1, 2])
        return {
            "a silent class": Point(silent_class, target),
            "no spike at all": Point(np.zeros(shape), target),
            "a spike in every step": Point(np.ones(shape), target),
            "one step": Point(one, self.target(one.shape, [0, 1, 2])),
        }

    @cached_property
    def even(self) -> list[Point]:
        """Trains that are the same for all classes, so that the target alone tells them apart.

        Each class is the label of one point.
        """
        points = []
        for first in range(CLASSES):
            # One train for all classes of a sample.
            train = (self.rng.random((BATCH, 1, STEPS)) < 0.4).astype(float)
            train[..., :2] = 1
            # The labels go round, so that no class is favoured.
            points.append(
                Point(
                    np.repeat(train, CLASSES, 1),
                    self.target(
                        (BATCH, CLASSES, STEPS), [(first + k) % CLASSES for k in range(BATCH)]
                    ),
                )
            )
        return points

    @cached_property
    def slopes(self) -> list[Slopes]:
        """Slopes at the graded points.

        A direction whose central differences cannot be trusted is left out.
        """
        rows = []
        # Autograd's gradient, and random directions to compare it along.
        for point in self.graded:
            gradient = self.gradient(point.values, *point.target)
            ways = self.rng.normal(size=(_WAYS, *point.values.shape)) / np.sqrt(point.values.size)
            # Two step sizes that disagree show a corner between them.
            central = np.array(
                [[self._central(point, way, step) for step in (_STEP, _STEP / 2)] for way in ways]
            )
            kept = np.abs(central[:, 0] - central[:, 1]) <= _TRUSTED * np.abs(central[:, 1]).max()
            # Of fewer than half the directions nothing is concluded.
            if kept.sum() >= _WAYS // 2:
                autograd = np.zeros(_WAYS) if gradient is None else (gradient * ways).sum((1, 2, 3))
                rows.append(Slopes(autograd[kept], central[kept, 1]))
        return rows

    def _central(self, point: Point, way: Floats, step: float) -> float:
        return central_difference(
            lambda offset: self.value(point.values + offset * way, *point.target), step
        )

    def declared(self, point: Point) -> tuple[float, Floats]:
        """Return the loss of a batch and its gradient by the closed form."""
        assert self.form is not None
        target = point.target
        # The closed forms take shares of the classes, not labels.
        if self.kind == "share":
            target = (np.eye(point.values.shape[1])[point.target[0]],)
        losses, gradient = self.form.answer(point.values, *(target or (None,)), **self.options)
        share = 1 / len(losses) if self.mean else 1.0
        return float(losses.sum() * share), gradient * share


def _finite(trial: LossTrial) -> Answer:
    """Count the extreme outputs at which the value or the gradient is NaN or infinite."""
    wrong = []
    for name, point in trial.extreme.items():
        gradient = trial.gradient(point.values, *point.target)
        if not np.isfinite(trial.value(point.values, *point.target)) or not (
            gradient is None or np.isfinite(gradient).all()
        ):
            wrong.append(name)
    return float(len(wrong)), f"NaN or infinite for {', '.join(wrong)}" if wrong else ""


def _connected(trial: LossTrial) -> Answer:
    """Count the points at which the value changes and autograd sees nothing of it."""
    if not trial.slopes:
        return None, _UNTRUSTED
    return float(
        sum(bool(not slopes.autograd.any() and slopes.central.any()) for slopes in trial.slopes)
    ), ""


def _label(trial: LossTrial) -> Answer:
    """Count samples in which not the label stands out, where all classes fire alike."""
    if trial.kind != "share":
        return None, "the target is no label"
    wrong = 0
    for point in trial.even:
        gradient = trial.gradient(point.values, *point.target)
        if gradient is None:
            return None, "there is no gradient to tell the classes apart"
        # All classes fire alike, so only the label can make one stand out.
        slope = gradient.sum(-1)
        apart = np.abs(slope - np.median(slope, axis=1, keepdims=True))
        wrong += int((apart.argmax(1) != point.target[0]).sum() if apart.any() else len(slope))
    return float(wrong), ""


def _batch(trial: LossTrial) -> Answer:
    """Compare the loss of a batch with the losses of its samples alone."""
    errors = []
    for point in trial.graded:
        # Each sample as a batch of its own.
        alone = [trial.value(*_unpacked(point.sample(index))) for index in range(len(point.values))]
        wanted = np.mean(alone) if trial.mean else np.sum(alone)
        errors.append(
            abs(trial.value(*_unpacked(point)) - wanted) / max(np.abs(alone).max(), 1e-300)
        )
    return float(max(errors)), ""


def _unpacked(point: Point) -> tuple[Any, ...]:
    return (point.values, *point.target)


def _gradient(trial: LossTrial) -> Answer:
    """Return how far autograd's direction lies from that of central differences.

    The length of the gradient is left to `_gradient_scale`.
    """
    if reason := _no_slopes(trial):
        return None, reason
    return max(
        float(np.linalg.norm(s.autograd - _length(s) * s.central) / np.linalg.norm(s.autograd))
        for s in trial.slopes
    ), ""


def _gradient_scale(trial: LossTrial) -> Answer:
    if (_gradient(trial)[0] or 0) > DIGITS:
        return None, "the gradient has another direction"
    if reason := _no_slopes(trial):
        return None, reason
    worst = max((_length(slopes) for slopes in trial.slopes), key=lambda length: abs(length - 1))
    return abs(worst - 1), f"the gradient is {worst:.6g} times the derivative" if abs(
        worst - 1
    ) > DIGITS else ""


def _length(slopes: Slopes) -> float:
    """Return the factor between autograd and central differences, of least squares."""
    return float(slopes.autograd @ slopes.central / (slopes.central @ slopes.central))


_UNTRUSTED = (
    "central differences of two step sizes disagree: the value has corners everywhere, "
    "or is not computed in float64"
)


def _no_slopes(trial: LossTrial) -> str:
    if trial.form is not None and not trial.form.derivative(trial.options):
        return "the declared gradient is not the derivative, by design; declared_gradient judges it"
    if not trial.slopes:
        return _UNTRUSTED
    if any(not slopes.autograd.any() or not slopes.central.any() for slopes in trial.slopes):
        return "there is no gradient, or nothing to compare it with"
    return ""


def _ratios(trial: LossTrial) -> Floats:
    """Return value over declared value of each sample alone.

    A sample is left out where its value is NaN or infinite, or the declared value is 0.
    """
    rows = []
    for point in trial.all_points:
        # A batch would average another factor in each sample away.
        for sample in (point.sample(index) for index in range(len(point.values))):
            found, declared = trial.value(*_unpacked(sample)), trial.declared(sample)[0]
            if np.isfinite(found) and declared:
                rows.append(found / declared)
    return np.array(rows)


def _scale(trial: LossTrial) -> Answer:
    """Return the one factor between the values and the declared ones, less 1.

    The answer is None where no one factor lies between them.
    """
    if trial.form is None:
        return None, _NO_FORM
    ratios = _ratios(trial)
    if not ratios.size:
        return (
            None,
            (
                "the declared loss is 0 wherever it is asked; give it options under which it costs "
                "something"
            ),
        )
    # The median is not moved by one odd sample.
    factor = float(np.median(ratios))
    if not factor or np.abs(ratios - factor).max() > DIGITS * abs(factor):
        return None, "the values differ by more than a factor"
    return abs(factor - 1), f"the loss is {factor:.6g} times the declared one" if abs(
        factor - 1
    ) > DIGITS else ""


def _value(trial: LossTrial) -> Answer:
    if trial.form is None:
        return None, _NO_FORM
    ratios = _ratios(trial)
    return (
        (float(np.abs(ratios - 1).max()), "")
        if ratios.size
        else (None, "the declared loss is 0 wherever it is asked")
    )


def _declared_gradient(trial: LossTrial) -> Answer:
    """Compare autograd with the declared gradient.

    It is asked also where the declared gradient is not the derivative, and where a class is silent.
    """
    if trial.form is None:
        return None, _NO_FORM
    worst = 0.0
    for point in trial.all_points:
        found, declared = trial.gradient(*_unpacked(point)), trial.declared(point)[1]
        size = np.abs(declared).max()
        if found is None or not np.isfinite(found).all() or not size:
            continue  # connected and finite judge these
        worst = max(worst, float(np.abs(found - declared).max() / size))
    return worst, ""


_NO_FORM = "no declared loss was named; give against=..."


def _check(
    measure: str, limit: float, unit: str, because: str, how: Callable[[LossTrial], Answer]
) -> Check:
    # the last two find that something differs, not what
    return Check(
        Claim("gradient", measure, limit, unit, because),
        how,
        last=measure in ("value", "declared_gradient"),
    )


LOSS_CHECKS: dict[str, Check] = {
    "finite": _check(
        "finite",
        0,
        "outputs",
        "a silent or saturated output comes up in training, and one NaN there ends it",
        _finite,
    ),
    "connected": _check(
        "connected",
        0,
        "points",
        "a loss that changes with the spikes and sends nothing back trains nothing",
        _connected,
    ),
    "label": _check(
        "label",
        0,
        "samples",
        "where all classes fire alike, the one whose gradient differs is the one that is asked for",
        _label,
    ),
    "batch": _check(
        "batch",
        DIGITS,
        "1",
        (
            f"samples know nothing of each other, and the batch is their mean, or their sum; "
            f"{FLOAT32_DIGITS}"
        ),
        _batch,
    ),
    "gradient": _check(
        "gradient",
        DIGITS,
        "1",
        DIFFERENCE_DIGITS,
        _gradient,
    ),
    "gradient_scale": _check(
        "gradient_scale",
        DIGITS,
        "1",
        (
            "a gradient of the right direction and another length is another learning rate; "
            "limit as for gradient"
        ),
        _gradient_scale,
    ),
    "scale": _check(
        "scale",
        DIGITS,
        "1",
        (
            "another base of a logarithm, or a mean for a sum, is a factor, and shifts the weight "
            f"of regularisers; {FLOAT32_DIGITS}"
        ),
        _scale,
    ),
    "value": _check(
        "value",
        DIGITS,
        "1",
        f"the closed form, at graded values, spikes, silence and saturation; {FLOAT32_DIGITS}",
        _value,
    ),
    "declared_gradient": _check(
        "declared_gradient",
        DIGITS,
        "1",
        f"the gradient that is declared, a custom one too, at silence too; {FLOAT32_DIGITS}",
        _declared_gradient,
    ),
}


def check_loss(
    loss: Callable[..., "Tensor"],
    against: str | None = None,
    *,
    target: str | None = None,
    reduction: str = "mean",
    skip: Collection[str] | str = (),
    **options: Any,
) -> list[Verdict]:
    """Check somebody's loss and its gradient.

    Parameters
    ----------
    loss : function ``(values, target) -> Tensor``, one number
        values (batch, class, step) float64; target int64 labels (batch,), or desired trains of the
        shape of the values.
    against : str, optional
        The declared loss it should be, a function of ``refsim.pytorch.losses``; without it, what is
        wrong with any loss is asked.
    target : {"share", "trains", "none"}, optional
        What the loss is called with: labels, desired trains, or nothing but the values. By default
        what `against` takes, or labels.
    reduction : {"mean", "sum"}
        Over the batch.
    skip : name or names of checks to leave out
    **options
        Of the declared loss: ``window=10``. Those without a default are given one, see
        ``refsim.checks.LOSS_FORMS``.

    Returns
    -------
    list of Verdict, one a check
        value and declared_gradient are run only where none before them fails. Skipped with a reason
        where a check does not apply. A loss that raises fails.

    Raises
    ------
    RefsimError
        For a check, a declared loss or an option that does not exist, or a loss that does not
        return one number.
    """
    from ..modules.functions import loss_gradient, loss_value

    # Wrong names are refused before anything is run.
    names_skipped(skip, LOSS_CHECKS, "check_loss")
    if against is None and options:
        raise RefsimError(
            f"check_loss: {listed(options)} is an option of a declared loss; name it, "
            'against="spikemax".'
        )
    form = None if against is None else _form(against, options)
    kind = target or (form.target if form else "share")
    if kind not in ("share", "trains", "none") or reduction not in ("mean", "sum"):
        raise RefsimError(
            "check_loss: target must be share, trains or none and reduction mean or sum, but "
            f"are {kind!r} and {reduction!r}."
        )
    # Options without a default on the PyTorch side get one for the check.
    given = {**((form.defaults or {}) if form else {}), **options}
    trial = LossTrial(
        partial(loss_value, loss),
        partial(loss_gradient, loss),
        form,
        given,
        kind,
        reduction == "mean",
    )
    return run_checks(LOSS_CHECKS, trial, who="check_loss", run=against or "the loss", skip=skip)


def declared_loss(name: str, options: Mapping[str, object]) -> tuple[Callable[..., "Tensor"], str]:
    """Return a declared loss by its name, with its options, and what its target is.

    A target is "share" (labels), "trains" or "none".

    Raises
    ------
    RefsimError
        For a loss or an option that is not known.
    """
    from ..pytorch import losses

    form = _form(name, options)
    return partial(getattr(losses, name), **{**(form.defaults or {}), **options}), form.target


def _form(name: str, options: Mapping[str, object]) -> LossForm:
    """Return the closed form of a declared loss, if it has such options."""
    if name not in LOSS_FORMS:
        raise RefsimError(f"loss: {name!r} is not a declared loss; known are {listed(LOSS_FORMS)}.")
    known = LOSS_FORMS[name].options
    # A misspelt option would be ignored by a loss that takes any.
    if unknown := set(options) - known:
        raise RefsimError(
            f"loss: {listed(unknown)} is not an option of {name}; they are {listed(known)}."
        )
    return LOSS_FORMS[name]
