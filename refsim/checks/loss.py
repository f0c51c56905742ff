"""Check somebody's loss: its value, its gradient against central differences, and what it does with silence and with its batch."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..claims import Claim, Verdict
from ..errors import RefsimError, listed
from .loss_forms import LOSS_FORMS
from .loss_points import Probe
from .runner import Answer, Check, names_skipped, run_checks

_DIGITS = 1e-6
_SINGLE = "float32 keeps seven digits; the measurement loses one of them"


def _finite(probe: Probe) -> Answer:
    """Count the extreme outputs at which the value or the gradient is no number."""
    wrong = []
    for name, point in probe.extreme.items():
        gradient = probe.gradient(point.values, *point.target)
        if not np.isfinite(probe.value(point.values, *point.target)) or not (gradient is None or np.isfinite(gradient).all()):
            wrong.append(name)
    return float(len(wrong)), f"NaN or infinite for {', '.join(wrong)}" if wrong else ""


def _connected(probe: Probe) -> Answer:
    """Count the points at which the value changes and autograd sees nothing of it."""
    if not probe.slopes:
        return None, _UNTRUSTED
    return float(sum(bool(not slopes.autograd.any() and slopes.central.any()) for slopes in probe.slopes)), ""


def _label(probe: Probe) -> Answer:
    """Count samples in which another class than the label stands out, where all classes fire alike."""
    if probe.kind != "share":
        return None, "the target is no label"
    wrong = 0
    for point in probe.even:
        gradient = probe.gradient(point.values, *point.target)
        if gradient is None:
            return None, "there is no gradient to tell the classes apart"
        slope = gradient.sum(-1)
        apart = np.abs(slope - np.median(slope, axis=1, keepdims=True))
        wrong += int((apart.argmax(1) != point.target[0]).sum() if apart.any() else len(slope))
    return float(wrong), ""


def _batch(probe: Probe) -> Answer:
    """Hold the loss of a batch against those of its samples alone."""
    errors = []
    for point in probe.graded:
        alone = [probe.value(*_unpacked(point.sample(index))) for index in range(len(point.values))]
        wanted = np.mean(alone) if probe.mean else np.sum(alone)
        errors.append(abs(probe.value(*_unpacked(point)) - wanted) / max(np.abs(alone).max(), 1e-300))
    return float(max(errors)), ""


def _unpacked(point: Any) -> tuple[Any, ...]:
    return (point.values, *point.target)


def _gradient(probe: Probe) -> Answer:
    """Return how far autograd's direction lies from that of central differences, whatever its length."""
    if reason := _no_slopes(probe):
        return None, reason
    return max(float(np.linalg.norm(s.autograd - _length(s) * s.central) / np.linalg.norm(s.autograd)) for s in probe.slopes), ""


def _gradient_scale(probe: Probe) -> Answer:
    if (_gradient(probe)[0] or 0) > _DIGITS:
        return None, "the gradient has another direction"
    if reason := _no_slopes(probe):
        return None, reason
    worst = max((_length(slopes) for slopes in probe.slopes), key=lambda length: abs(length - 1))
    return abs(worst - 1), f"the gradient is {worst:.6g} times the derivative" if abs(worst - 1) > _DIGITS else ""


def _length(slopes: Any) -> float:
    """Return the factor between autograd and central differences, of least squares."""
    return float(slopes.autograd @ slopes.central / (slopes.central @ slopes.central))


_UNTRUSTED = "central differences of two step sizes disagree: the value has corners everywhere, or is not computed in float64"


def _no_slopes(probe: Probe) -> str:
    if probe.form is not None and not probe.form.derivative(probe.options):
        return "the declared gradient is not the derivative, by design; declared_gradient judges it"
    if not probe.slopes:
        return _UNTRUSTED
    if any(not slopes.autograd.any() or not slopes.central.any() for slopes in probe.slopes):
        return "there is no gradient, or nothing to compare it with"
    return ""


def _ratios(probe: Probe) -> Any:
    """Return value over declared value of each sample alone, wherever both are numbers and the declared one is not 0."""
    rows = []
    for point in probe.all_points:
        for sample in (point.sample(index) for index in range(len(point.values))):
            found, declared = probe.value(*_unpacked(sample)), probe.declared(sample)[0]
            if np.isfinite(found) and declared:
                rows.append(found / declared)
    return np.array(rows)


def _scale(probe: Probe) -> Answer:
    """Return the one factor between the values and the declared ones, less 1; None where there is no such factor."""
    if probe.form is None:
        return None, _NO_FORM
    ratios = _ratios(probe)
    if not ratios.size:
        return None, "the declared loss is 0 wherever it is asked; give it options under which it costs something"
    factor = float(np.median(ratios))
    if not factor or np.abs(ratios - factor).max() > _DIGITS * abs(factor):
        return None, "the values differ by more than a factor"
    return abs(factor - 1), f"the loss is {factor:.6g} times the declared one" if abs(factor - 1) > _DIGITS else ""


def _value(probe: Probe) -> Answer:
    if probe.form is None:
        return None, _NO_FORM
    ratios = _ratios(probe)
    return (float(np.abs(ratios - 1).max()), "") if ratios.size else (None, "the declared loss is 0 wherever it is asked")


def _declared_gradient(probe: Probe) -> Answer:
    """Hold autograd against the declared gradient, also where that is not the derivative and where a class is silent."""
    if probe.form is None:
        return None, _NO_FORM
    worst = 0.0
    for point in probe.all_points:
        found, declared = probe.gradient(*_unpacked(point)), probe.declared(point)[1]
        size = np.abs(declared).max()
        if found is None or not np.isfinite(found).all() or not size:
            continue  # connected and finite judge these
        worst = max(worst, float(np.abs(found - declared).max() / size))
    return worst, ""


_NO_FORM = "no declared loss was named; give against=..."


def _check(measure: str, limit: float, unit: str, because: str, how: Callable[[Probe], Answer]) -> Check:
    # the last two find that something differs, not what
    return Check(Claim("gradient", measure, limit, unit, because), how, last=measure in ("value", "declared_gradient"))


LOSS_CHECKS: dict[str, Check] = {
    "finite": _check("finite", 0, "outputs", "a silent or saturated output comes up in training, and one NaN there ends it", _finite),
    "connected": _check("connected", 0, "points", "a loss that changes with the spikes and sends nothing back trains nothing", _connected),
    "label": _check("label", 0, "samples", "where all classes fire alike, the one whose gradient differs is the one that is asked for", _label),
    "batch": _check("batch", _DIGITS, "1", f"samples know nothing of each other, and the batch is their mean, or their sum; {_SINGLE}", _batch),
    "gradient": _check("gradient", _DIGITS, "1", "central differences of order four keep nine digits of a float64 loss; three are left to steep ones", _gradient),
    "gradient_scale": _check("gradient_scale", _DIGITS, "1", "a gradient of the right direction and another length is another learning rate; limit as for gradient", _gradient_scale),
    "scale": _check("scale", _DIGITS, "1", f"another base of a logarithm, or a mean for a sum, is a factor, and shifts the weight of regularisers; {_SINGLE}", _scale),
    "value": _check("value", _DIGITS, "1", f"the closed form, at graded values, spikes, silence and saturation; {_SINGLE}", _value),
    "declared_gradient": _check("declared_gradient", _DIGITS, "1", f"the gradient that is declared, a custom one too, at silence too; {_SINGLE}", _declared_gradient),
}  # fmt: skip


def check_loss(
    loss: Callable[..., Any],
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
        values (batch, class, step) float64; target int64 labels (batch,), or desired trains of the shape of the values.
    against : str, optional
        The declared loss it should be, a function of ``refsim.pytorch.losses``; without it, what is wrong with any loss is asked.
    target : {"share", "trains", "none"}, optional
        What the loss is called with: labels, desired trains, or nothing but the values. By default what `against` takes, or labels.
    reduction : {"mean", "sum"}
        Over the batch.
    skip : name or names of checks to leave out
    **options
        Of the declared loss: ``window=10``. Those without a default are given one, see ``refsim.checks.LOSS_FORMS``.

    Returns
    -------
    list of Verdict, one a check
        value and declared_gradient are run only where none before them fails. Skipped with a reason where a check does not apply.
        A loss that raises fails.

    Raises
    ------
    RefsimError
        For a check, a declared loss or an option that does not exist, or a loss that does not return one number.
    """
    from ..pytorch.probing import loss_gradient, loss_value

    names_skipped(skip, LOSS_CHECKS, "check_loss")
    form = _form(against, options)
    kind = target or (form.target if form else "share")
    if kind not in ("share", "trains", "none") or reduction not in ("mean", "sum"):
        raise RefsimError(f"check_loss: target must be share, trains or none and reduction mean or sum, but are {kind!r} and {reduction!r}.")
    given = {**((form.defaults or {}) if form else {}), **options}
    probe = Probe(partial(loss_value, loss), partial(loss_gradient, loss), form, given, kind, reduction == "mean")
    return run_checks(LOSS_CHECKS, probe, who="check_loss", run=against or "the loss", skip=skip)


def declared_loss(name: str, options: Mapping[str, Any]) -> tuple[Callable[..., Any], str]:
    """Return a declared loss by its name, with its options, and what it is held against: "share" (labels), "trains" or "none".

    Raises
    ------
    RefsimError
        For a loss or an option that is not known.
    """
    from ..pytorch import losses

    form = _form(name, dict(options))
    return partial(getattr(losses, name), **{**(form.defaults or {}), **options}), str(form.target)


def _form(against: str | None, options: dict[str, Any]) -> Any:
    if against is None:
        if options:
            raise RefsimError(f'check_loss: {listed(options)} is an option of a declared loss; name it, against="spikemax".')
        return None
    if against not in LOSS_FORMS:
        raise RefsimError(f"loss: {against!r} is not a declared loss; known are {listed(LOSS_FORMS)}.")
    known = LOSS_FORMS[against].options
    if unknown := set(options) - known:
        raise RefsimError(f"loss: {listed(unknown)} is not an option of {against}; they are {listed(known)}.")
    return LOSS_FORMS[against]
