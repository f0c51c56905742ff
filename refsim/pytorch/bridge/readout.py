"""What stands behind the last neurons of a module: a map whose outputs some rule over the steps puts together, measured as all maps are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...arrays import Floats
from ...errors import RefsimError, listed
from ...model.naming import OVER_STEPS
from ...model.over_steps import so_far
from .affine import agree, check_room, random_inputs, unit_answers
from .reach import reach
from .trying import Tried
from .wiring import INPUT, Bench, drawn, sizes_of, usual_suspects

# Steps of a module that gives one answer for all of them: the sum and mean of two equal numbers are exact; more show that no step is left out.
_STEPS, _MORE_STEPS = 2, 5


@dataclass(frozen=True)
class Behind:
    """A read-out.

    Attributes
    ----------
    rule : {"mean", "sum", "last", "max"}
        Over the steps; the mean where a module gives a value a step and leaves it to its caller what becomes of them.
    weights : dict of (source, delay) to (n_out, n_source)
    bias : (n_out,)
    """

    rule: str
    weights: dict[tuple[int, int], Floats]
    bias: Floats


class _Unread(Exception):
    """Why what a module gives is not read."""


def read_out(module: nn.Module, tried: Tried, heard: Sequence[bool], kinds: Sequence[str]) -> Behind | str | None:
    """Return the read-out of a module; None where its last neurons are what decides, and in words why nobody can say.

    Parameters
    ----------
    heard : sequence of bool, one a layer
        Whether other layers can hear it: of a readout they hear nothing.
    kinds : sequence of str, one a layer
        "spikes", "membrane" of a readout, or what a readout makes of the steps: by which rule its own output decides.
    """
    parts = reach(module, tried).behind
    if tried.answer is None:
        return f"{_named(parts)} its last neurons, and the module gives no batch of numbers that could be read" if parts else None
    try:
        found = _measured(module, tried)
        if _is_last_layer(found, tried, kinds, whole=tried.answer.whole):
            return None
        _check_sources(found, tried, heard)
    except (_Unread, RefsimError) as reason:
        return f"{_named(parts)} its last neurons{_joined(parts)}{_said(reason)}"
    return found


def _named(parts: Sequence[str]) -> str:
    if not parts:
        return "the module gives something made of"
    return f"{listed([repr(part) for part in parts])} {'stand' if len(parts) > 1 else 'stands'} behind"


def _joined(parts: Sequence[str]) -> str:
    return ", and what comes of it " if parts else ", which "


def _said(reason: Exception) -> str:
    return str(reason).removeprefix("module: ").rstrip(".")


def _measured(module: nn.Module, tried: Tried) -> Behind:
    """Measure what a module gives.

    Raises
    ------
    _Unread, RefsimError
        Where it is no map of spikes and input, or no rule over the steps makes it.
    """
    bench = Bench(module, tried)
    if _answer(bench).whole:
        bench.steps = tried.feeding.own_steps or _STEPS
    with torch.no_grad():
        bias = _bias(bench)
        found = _whole(bench, bias) if _answer(bench).whole else _step_by_step(bench, bias)
    return found


def _answer(bench: Bench) -> Any:
    assert bench.tried.answer is not None
    return bench.tried.answer


def _gave(bench: Bench, given: Mapping[int, Sequence[Tensor]], n_samples: int) -> list[Tensor]:
    """Return what the module gives, (n_samples, n) float64 a step or for the whole record, where numbers are put in at sources."""
    bench.answers(given, n_samples)
    try:
        return [each.double() for each in _answer(bench).rows(bench.gave, n_samples)]
    except (ValueError, RuntimeError) as error:
        raise _Unread(str(error)) from None


def _bias(bench: Bench) -> list[Floats]:
    """Return what comes without any input, step by step or once; it must be numbers, the same when it is run again, and no membrane's."""
    silence, again = ([each[0].numpy() for each in _gave(bench, {}, 1)] for _ in range(2))
    bench.mark = float("nan")
    told = _gave(bench, {}, 1)
    bench.mark = 0.0
    if any(each.isnan().any() for each in told) and all(np.isfinite(each).all() for each in silence):
        raise _Unread("hangs on the membrane or current of a layer, not on its spikes alone")
    if not all(np.isfinite(each).all() for each in silence):
        raise _Unread("is NaN or infinite without any input")
    if not all(np.array_equal(one, other) for one, other in zip(silence, again, strict=True)):
        raise _Unread("gives other numbers when it is run again")
    return silence


def _step_by_step(bench: Bench, silence: Sequence[Floats]) -> Behind:
    """Return the map of a module that gives a value a step."""
    bias, weights = silence[0], {}
    if not all(agree(each, bias, np.abs(bias)) for each in silence):
        raise _Unread("gives other numbers from step to step without any input")
    for source, n in _told_by(bench):
        found = unit_answers(lambda x, source=source: _gave(bench, {source: [x]}, len(x)), n)  # type: ignore[misc]
        for delay, answer in enumerate(found[: bench.latest + 1]):
            once = answer - found[delay - 1] if delay and bench.stays(source) else answer
            if once.any():
                weights[source, delay] = np.ascontiguousarray(once.T)
    given = drawn(bench, sizes_of(bench.tried))
    for step, each in enumerate(_gave(bench, given, len(given[INPUT][0]))):
        expected, size = _expected(bench, weights, bias, given, step)
        if not agree(each.numpy(), expected, size):
            raise _Unread(f"is not linear{usual_suspects(bench)}, or remembers earlier steps")
    return Behind("mean", weights, bias)


def _whole(bench: Bench, silence: Sequence[Floats]) -> Behind:
    """Return map and rule of a module that gives one answer for all steps.

    Of a map that hears the same in all steps each rule makes that map, but for the sum, which makes so many of it.
    """
    once: dict[tuple[int, int], Floats] = {}
    for source, n in _told_by(bench):
        held = unit_answers(lambda x, source=source: _gave(bench, {source: [x] * bench.steps}, len(x)), n)[0]  # type: ignore[misc]
        if held.any():
            once[source, 0] = np.ascontiguousarray(held.T)
    fit = [found for rule in OVER_STEPS if _fits(bench, found := _by_rule(rule, once, silence[0], bench.steps))]
    bench.steps = bench.tried.feeding.own_steps or _MORE_STEPS
    for found in fit:
        if _fits(bench, found):
            return found
    raise _Unread(f"is none of {listed(OVER_STEPS)} over the steps of a linear map{usual_suspects(bench)}")


def _by_rule(rule: str, once: Mapping[tuple[int, int], Floats], bias: Floats, n_steps: int) -> Behind:
    share = 1 / n_steps if rule == "sum" else 1.0
    return Behind(rule, {key: weight * share for key, weight in once.items()}, bias * share)


def _fits(bench: Bench, found: Behind) -> bool:
    """Whether a rule over the steps of a map gives what the module gives, for random numbers from all sources in all steps."""
    given = drawn(bench, sizes_of(bench.tried))
    answer = _gave(bench, given, len(given[INPUT][0]))[0].numpy()
    rows = [_expected(bench, found.weights, found.bias, given, step) for step in range(bench.steps)]
    values, size = np.stack([value for value, _ in rows]), np.sum([each for _, each in rows], axis=0)
    return agree(answer, so_far(values, found.rule)[-1], size)


def _told_by(bench: Bench) -> list[tuple[int, int]]:
    """Return the sources that change what the module gives, with their sizes."""
    quiet, found = _gave(bench, {}, len(random_inputs(1))), []
    for source, n in sizes_of(bench.tried).items():
        x = random_inputs(n)
        if any((one != other).any() for one, other in zip(_gave(bench, {source: [x] * bench.steps}, len(x)), quiet, strict=True)):
            check_room(_answer(bench).n, n, "module: what it gives")
            found.append((source, n))
    return found


def _expected(bench: Bench, weights: Mapping[tuple[int, int], Floats], bias: Floats, given: Mapping[int, Sequence[Tensor]], step: int) -> tuple[Floats, Floats]:
    """Return what a map makes of the numbers that were put in, and the size of its terms, (n_samples, n_out)."""
    terms = [(given[source][0 if bench.stays(source) else step - delay].numpy(), weight) for (source, delay), weight in weights.items() if delay <= step]
    n_samples = len(given[INPUT][0])
    value = np.broadcast_to(bias, (n_samples, len(bias))) + sum(x @ weight.T for x, weight in terms)
    return value, np.abs(bias) + np.zeros_like(value) + sum(np.abs(x) @ np.abs(weight).T for x, weight in terms)


def _is_last_layer(found: Behind, tried: Tried, kinds: Sequence[str], *, whole: bool) -> bool:
    """Whether what a module gives decides as the output of its last layer does: that output itself, a multiple of it, or its sum or mean."""
    last = len(tried.parts) - 1
    if set(found.weights) != {(last, 0)} or found.bias.any():
        return False
    weight = found.weights[last, 0]
    factor = weight[0, 0]
    same = weight.shape[0] == weight.shape[1] and factor > 0 and np.array_equal(weight, factor * np.eye(len(weight)))
    if not whole or kinds[last] not in OVER_STEPS:
        return bool(same and found.rule in ("mean", "sum"))
    return bool(same and found.rule == "last")


def _check_sources(found: Behind, tried: Tried, heard: Sequence[bool]) -> None:
    if not found.weights:
        raise _Unread("is the same whatever its neurons fire")
    for source, _delay in found.weights:
        if source != INPUT and not heard[source]:
            raise _Unread(f"is made of '{tried.parts[source].name}', a readout, of which other layers hear nothing")
