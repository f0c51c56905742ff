"""What stands behind the last neurons of a module.

A map whose outputs some rule over the steps puts together, measured as all maps are.

A live module becomes a Network: its neurons are read, its wiring is measured, and nothing of it is
guessed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..cards.names import OVER_STEPS
from ..cards.neuron import NeuronModel, so_far
from ..cards.read import load, switched
from ..core.arrays import Floats
from ..core.errors import RefsimError, listed, option
from ..core.memory import check_matrix_room
from ..files.affine import agree, random_inputs, unit_answers
from ..networks.connection import Connection
from ..networks.network import Network, positive_time
from .as_called import Looked, looked_into
from .find import POOLING, Neurons, Part, own_step, read_part, recurrent_matrix
from .measure import INPUT, Bench, Wiring, drawn, measure, reach, sizes_of, usual_suspects
from .run import Tried

# Steps of a module that gives one answer for all of them: the sum and mean of two equal numbers are
# exact; more show that no step is left out.
_STEPS, _MORE_STEPS = 2, 5


@dataclass(frozen=True)
class Behind:
    """A read-out.

    Attributes
    ----------
    rule : {"mean", "sum", "last", "max"}
        Over the steps; the mean where a module gives a value a step and leaves it to its caller
        what becomes of them.
    weights : dict of (source, delay) to (n_out, n_source)
    bias : (n_out,)
    """

    rule: str
    weights: dict[tuple[int, int], Floats]
    bias: Floats


class _Unread(Exception):
    """Why what a module gives is not read."""


def read_out(
    module: nn.Module, tried: Tried, heard: Sequence[bool], kinds: Sequence[str]
) -> Behind | str | None:
    """Return the read-out of a module.

    None where its last neurons are what decides, and in words why nobody can say.

    Parameters
    ----------
    heard : sequence of bool, one a layer
        Whether other layers can hear it: of a readout they hear nothing.
    kinds : sequence of str, one a layer
        "spikes", "membrane" of a readout, or what a readout makes of the steps: by which rule its
        own output decides.
    """
    parts = reach(module, tried).behind
    if tried.answer is None:
        return (
            (
                f"{_named(parts)} its last neurons, and the module gives no batch of numbers that "
                "could be read"
            )
            if parts
            else None
        )
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
    return (
        f"{listed([repr(part) for part in parts])} {'stand' if len(parts) > 1 else 'stands'} behind"
    )


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
    """Return what the module gives, (n_samples, n) float64 a step or for the whole record, where
    numbers are put in at sources.
    """
    bench.answers(given, n_samples)
    try:
        return [each.double() for each in _answer(bench).rows(bench.gave, n_samples)]
    except (ValueError, RuntimeError) as error:
        raise _Unread(str(error)) from None


def _bias(bench: Bench) -> list[Floats]:
    """Return what comes without any input, step by step or once.

    It must be numbers, the same when it is run again, and no membrane's.
    """
    silence, again = ([each[0].numpy() for each in _gave(bench, {}, 1)] for _ in range(2))
    bench.mark = float("nan")
    told = _gave(bench, {}, 1)
    bench.mark = 0.0
    if any(each.isnan().any() for each in told) and all(
        np.isfinite(each).all() for each in silence
    ):
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

    Of a map that hears the same in all steps each rule makes that map, but for the sum, which makes
    so many of it.
    """
    once: dict[tuple[int, int], Floats] = {}
    for source, n in _told_by(bench):

        def answer(x: Tensor, source: int = source) -> list[Tensor]:
            return _gave(bench, {source: [x] * bench.steps}, len(x))

        held = unit_answers(answer, n)[0]
        if held.any():
            once[source, 0] = np.ascontiguousarray(held.T)
    fit = [
        found
        for rule in OVER_STEPS
        if _fits(bench, found := _by_rule(rule, once, silence[0], bench.steps))
    ]
    bench.steps = bench.tried.feeding.own_steps or _MORE_STEPS
    for found in fit:
        if _fits(bench, found):
            return found
    raise _Unread(
        f"is none of {listed(OVER_STEPS)} over the steps of a linear map{usual_suspects(bench)}"
    )


def _by_rule(
    rule: str, once: Mapping[tuple[int, int], Floats], bias: Floats, n_steps: int
) -> Behind:
    share = 1 / n_steps if rule == "sum" else 1.0
    return Behind(rule, {key: weight * share for key, weight in once.items()}, bias * share)


def _fits(bench: Bench, found: Behind) -> bool:
    """Whether a rule over the steps of a map gives what the module gives, for random numbers from
    all sources in all steps.
    """
    given = drawn(bench, sizes_of(bench.tried))
    answer = _gave(bench, given, len(given[INPUT][0]))[0].numpy()
    rows = [_expected(bench, found.weights, found.bias, given, step) for step in range(bench.steps)]
    values, size = (
        np.stack([value for value, _ in rows]),
        np.sum([each for _, each in rows], axis=0),
    )
    return agree(answer, so_far(values, found.rule)[-1], size)


def _told_by(bench: Bench) -> list[tuple[int, int]]:
    """Return the sources that change what the module gives, with their sizes."""
    quiet, found = _gave(bench, {}, len(random_inputs(1))), []
    for source, n in sizes_of(bench.tried).items():
        x = random_inputs(n)
        if any(
            (one != other).any()
            for one, other in zip(
                _gave(bench, {source: [x] * bench.steps}, len(x)), quiet, strict=True
            )
        ):
            check_matrix_room(_answer(bench).n, n, "module: what it gives")
            found.append((source, n))
    return found


def _expected(
    bench: Bench,
    weights: Mapping[tuple[int, int], Floats],
    bias: Floats,
    given: Mapping[int, Sequence[Tensor]],
    step: int,
) -> tuple[Floats, Floats]:
    """Return what a map makes of the numbers that were put in, and the size of its terms,
    (n_samples, n_out).
    """
    terms = [
        (given[source][0 if bench.stays(source) else step - delay].numpy(), weight)
        for (source, delay), weight in weights.items()
        if delay <= step
    ]
    n_samples = len(given[INPUT][0])
    value = np.broadcast_to(bias, (n_samples, len(bias))) + sum(x @ weight.T for x, weight in terms)
    return value, np.abs(bias) + np.zeros_like(value) + sum(
        np.abs(x) @ np.abs(weight).T for x, weight in terms
    )


def _is_last_layer(found: Behind, tried: Tried, kinds: Sequence[str], *, whole: bool) -> bool:
    """Whether what a module gives decides as the output of its last layer does.

    That output itself, a multiple of it, or its sum or mean.
    """
    last = len(tried.parts) - 1
    if set(found.weights) != {(last, 0)} or found.bias.any():
        return False
    weight = found.weights[last, 0]
    factor = weight[0, 0]
    same = (
        weight.shape[0] == weight.shape[1]
        and factor > 0
        and np.array_equal(weight, factor * np.eye(len(weight)))
    )
    if not whole or kinds[last] not in OVER_STEPS:
        return bool(same and found.rule in ("mean", "sum"))
    return bool(same and found.rule == "last")


def _check_sources(found: Behind, tried: Tried, heard: Sequence[bool]) -> None:
    if not found.weights:
        raise _Unread("is the same whatever its neurons fire")
    for source, _delay in found.weights:
        if source != INPUT and not heard[source]:
            raise _Unread(
                f"is made of '{tried.parts[source].name}', a readout, of which other layers hear "
                "nothing"
            )


def from_module(
    module: nn.Module,
    dt: object = None,
    input_shape: Sequence[int] | None = None,
    layout: str | None = None,
    *,
    neurons_only: bool = False,
) -> Network:
    """Read a module of refsim's own layers, or of a framework's.

    Parameters
    ----------
    module : nn.Module
        It is copied, and not changed.
    dt : float or str, optional
        Duration of a step, where no layer says it.
    input_shape : tuple of int, optional
        Of one sample in one step, such as (2, 34, 34); by default as wide as the first Linear.
    layout : {"step", "time first", "batch first", "batch and time", "held"}, optional
        How its forward takes its input; by default the first that it can be run in.
    neurons_only : bool
        Leave out the read-out behind its last neurons.

    Raises
    ------
    RefsimError
        For a layer that refsim does not read, an option that no card can say, or what is not linear
        between layers.
    """
    if hasattr(module, "_orig_mod"):
        raise RefsimError(
            "module: was made by torch.compile, and nobody can look into what it runs; give the "
            "module that was compiled."
        )
    with looked_into(module, None if input_shape is None else tuple(input_shape), layout) as looked:
        return _network(module, looked, dt, neurons_only=neurons_only)


def _network(module: nn.Module, looked: Looked, dt: object, *, neurons_only: bool) -> Network:
    """Measure a module and read its layers."""
    tried, step = looked.tried, _step(looked.parts, dt)
    wiring = measure(module, tried)
    neurons = [
        read_part(part, shape, step) for part, shape in zip(tried.parts, tried.shapes, strict=True)
    ]
    _check_pooled(tried.parts, neurons, wiring)
    late = {
        index
        for index, each in enumerate(neurons)
        if each.model.convention.get("latency", "none") != "none"
    }
    behind = (
        None
        if neurons_only
        else read_out(
            module,
            tried,
            [_heard(read.model) for read in neurons],
            [_kind(read.model) for read in neurons],
        )
    )
    sources = {source for _, source, _ in wiring.weights} | (
        {source for source, _ in behind.weights} if isinstance(behind, Behind) else set()
    )
    rows: list[tuple[object, ...]] = []
    for index, (part, shape, read) in enumerate(
        zip(tried.parts, tried.shapes, neurons, strict=True)
    ):
        bias, own = wiring.biases[index], dict(read.parameters)
        model = read.model
        if model.convention.get("spikes") == "none" and index in sources:
            model = switched(model, spikes="none, heard")
        found = _connections(_by_source(wiring, index), late)
        if read.recurrent is not None:
            weight, more = recurrent_matrix(
                read.recurrent, shape, f"{part.where}: its recurrent map"
            )
            if read.recurrent.late and np.any(more):
                model, own = (
                    switched(model, bias="to the input, from the second step on"),
                    own | {"own_bias": more},
                )
            else:
                bias = bias + more
            found.append(Connection(weight, source="self", delay=1 + (index in late)))
        if not found:
            raise RefsimError(
                f"{part.where}: nothing leads to it, neither from the input nor from the spikes "
                "of another layer; a membrane that is passed on is not read."
            )
        rows.append((found, bias if np.any(bias) else None, model, own))
    if isinstance(behind, Behind):
        by_source: dict[int, dict[int, Floats]] = {}
        for (source, delay), weight in behind.weights.items():
            by_source.setdefault(source, {})[delay] = weight
        rows.append(
            (
                _connections(by_source, late),
                behind.bias if np.any(behind.bias) else None,
                load(f"readout_{behind.rule}"),
            )
        )
    try:
        network = Network.dense(rows, step)
    except RefsimError as error:
        raise RefsimError(f"module: {error}") from None
    return replace(network, undecided=behind) if isinstance(behind, str) else network


def _heard(model: NeuronModel) -> bool:
    """Whether other layers can hear a neuron.

    Of a readout without a convention they hear nothing.
    """
    return not model.discrete.readout or bool(model.convention)


def _kind(model: NeuronModel) -> str:
    """Return by what the output of a layer decides.

    Its spikes, its membrane, or what it makes of the steps.
    """
    return model.discrete.over_steps or ("membrane" if model.discrete.readout else "spikes")


def _connections(by_source: Mapping[int, dict[int, Floats]], late: set[int]) -> list[Connection]:
    """Return the connections of a layer from weights by source and delay.

    Layers that are late are heard a step later.
    """
    return [
        Connection(
            weight, source="input" if source == INPUT else source, delay=delay + (source in late)
        )
        for source, delays in by_source.items()
        for weight, delay in _together(delays)
    ]


def _by_source(wiring: Wiring, index: int) -> dict[int, dict[int, Floats]]:
    """Return what leads to a layer, by source and delay."""
    found: dict[int, dict[int, Floats]] = {}
    for (target, source, delay), weight in wiring.weights.items():
        if target == index:
            found.setdefault(source, {})[delay] = weight
    return found


def _together(delays: dict[int, Floats]) -> list[tuple[Floats, Any]]:
    """Return weights with their delays.

    One weight, and a delay an input, where each input has one delay alone, as behind axonal delays.
    """
    steps = np.array(list(delays))
    heard = np.array([weight.any(axis=0) for weight in delays.values()])  # (delays, inputs)
    if len(steps) == 1 or (heard.sum(axis=0) > 1).any():
        return [(weight, delay) for delay, weight in delays.items()]
    return [
        (
            np.sum(list(delays.values()), axis=0),
            np.where(heard.any(axis=0), steps[heard.argmax(axis=0)], steps.min()),
        )
    ]


def _check_pooled(parts: Sequence[Part], neurons: Sequence[Neurons], wiring: Wiring) -> None:
    """Refuse a max pool over layers whose spikes may be other numbers than 1."""
    for target, source, _ in wiring.weights:
        if parts[target].framework is POOLING and (
            neurons[source].model.discrete.payload or neurons[source].model.discrete.readout
        ):
            raise RefsimError(
                f"{parts[target].where}: is a max pool, which is exact on spikes of 0 and 1 "
                f"alone, but '{parts[source].name}' gives other numbers than that; "
                "the largest of numbers is no linear map. Let it give one spike a step at most, "
                "or take an average or a sum pool."
            )


def _step(parts: Sequence[Part], dt: object) -> float:
    """Return the duration of a step, as given or as all layers that know it say."""
    if dt is not None:
        return positive_time(dt, "module: dt")
    said = {own for part in parts if (own := own_step(part)) is not None}
    if len(said) > 1:
        raise RefsimError(
            "module: its layers were made for steps of "
            f"{' and '.join(f'{each:g} s' for each in sorted(said))}; one network has one step."
        )
    if not said:
        raise RefsimError(
            f"module: says nothing of the duration of a step; give {option('dt', '1 ms')}, or "
            "what was meant in training."
        )
    return said.pop()
