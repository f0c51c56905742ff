"""A live module becomes a Network: its neurons are read, its wiring is measured.

`from_module` is the entry. What lies behind the last neurons of a module is its read-out
(`read_out`): a linear map, measured like the others, whose values some rule over the steps joins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from ..cards.names import OVER_STEPS
from ..cards.neuron import NeuronModel, so_far
from ..cards.read import load, switched
from ..core.arrays import Floats
from ..core.errors import RefsimError, listed, option
from ..core.memory import check_matrix_room
from ..files.affine import agree, join_delays, random_inputs, unit_answers
from ..networks.connection import Connection
from ..networks.network import Network, positive_time
from .call import Answer
from .find import POOLING, NeuronLayer, Neurons, declared_step, measured_recurrence, read_part
from .measure import (
    INPUT,
    Bench,
    Wiring,
    find_unjudged,
    measure_wiring,
    random_signals,
    sizes_of,
    usual_suspects,
)
from .run import DryRun
from .shared import Inspection, inspected

# A module that gives one answer for all steps runs two, since the sum and the mean of two equal
# numbers are exact. Then it runs five, which show that it leaves out no step.
_STEPS, _MORE_STEPS = 2, 5


@dataclass(frozen=True)
class ReadOut:
    """The map behind the last neurons, and the rule that joins its values.

    Attributes
    ----------
    rule : {"mean", "sum", "last", "max"}
        How the values of the steps are joined. It is the mean where a module returns a value a step
        and leaves the rule to its caller.
    weights : dict of (source, delay) to (n_out, n_source)
    bias : (n_out,)
    """

    rule: str
    weights: dict[tuple[int, int], Floats]
    bias: Floats


class _Unread(Exception):
    """Why what a module gives is not read."""


def read_out(
    module: nn.Module, tried: DryRun, sends: Sequence[bool], kinds: Sequence[str]
) -> ReadOut | str | None:
    """Return the read-out of a module.

    Parameters
    ----------
    sends : sequence of bool, one a layer
        Whether other layers can receive its output; that of a readout they cannot.
    kinds : sequence of str, one a layer
        What the output of the layer decides by: "spikes", the "membrane" of a readout, or the rule
        of a readout over the steps.

    Returns
    -------
    ReadOut, str or None
        None where the last neurons themselves decide; a sentence where the read-out cannot be read.
    """
    parts = find_unjudged(module, tried).behind
    if tried.answer is None:
        return (
            (
                f"{_named(parts)} its last neurons, and the module gives no batch of numbers that "
                "could be read"
            )
            if parts
            else None
        )
    # What cannot be read is said in words, since the neurons can be judged without it.
    try:
        found = _measured(module, tried)
        if _is_last_layer(found, tried, kinds, whole=tried.answer.whole):
            return None
        _check_sources(found, tried, sends)
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


def _measured(module: nn.Module, tried: DryRun) -> ReadOut:
    """Measure what a module gives.

    Raises
    ------
    _Unread, RefsimError
        Where it is no map of spikes and input, or no rule over the steps explains it.
    """
    bench = Bench(module, tried)
    if _answer(bench).whole:
        bench.steps = tried.feeding.own_steps or _STEPS
    with torch.no_grad():
        bias = _bias(bench)
        found = _whole(bench, bias) if _answer(bench).whole else _step_by_step(bench, bias)
    return found


def _answer(bench: Bench) -> Answer:
    """Return how the output of a module lies in time, which is known here."""
    assert bench.tried.answer is not None
    return bench.tried.answer


def _gave(bench: Bench, given: Mapping[int, Sequence[Tensor]], n_samples: int) -> list[Tensor]:
    """Return what the module returns, where sources send the given numbers.

    It is (n_samples, n) float64 for each step, or once for the whole record.
    """
    bench.answers(given, n_samples)
    try:
        return [each.double() for each in _answer(bench).rows(bench.gave, n_samples)]
    except (ValueError, RuntimeError) as error:
        raise _Unread(str(error)) from None


def _bias(bench: Bench) -> list[Floats]:
    """Return the output without any input, step by step or once.

    It must be finite, the same in another run, and must not depend on the membranes of layers.
    """
    silence, again = ([each[0].numpy() for each in _gave(bench, {}, 1)] for _ in range(2))
    # States of NaN spread to all that depends on them.
    bench.mark = float("nan")
    from_states = _gave(bench, {}, 1)
    bench.mark = 0.0
    if any(each.isnan().any() for each in from_states) and all(
        np.isfinite(each).all() for each in silence
    ):
        raise _Unread("hangs on the membrane or current of a layer, not on its spikes alone")
    if not all(np.isfinite(each).all() for each in silence):
        raise _Unread("is NaN or infinite without any input")
    if not all(np.array_equal(one, other) for one, other in zip(silence, again, strict=True)):
        raise _Unread("gives other numbers when it is run again")
    return silence


def _step_by_step(bench: Bench, silence: Sequence[Floats]) -> ReadOut:
    """Return the read-out of a module that returns a value a step."""
    # A bias that changes from step to step is no bias of a card.
    bias, weights = silence[0], {}
    if not all(agree(each, bias, np.abs(bias)) for each in silence):
        raise _Unread("gives other numbers from step to step without any input")
    # The map is measured on unit inputs, and checked on random numbers in all steps.
    for source, n in _sources_of_output(bench):

        def answer_to(x: Tensor, source: int = source) -> list[Tensor]:
            return _gave(bench, {source: [x]}, len(x))

        found = unit_answers(answer_to, n)
        for delay, answer in enumerate(found[: bench.latest + 1]):
            once = answer - found[delay - 1] if delay and bench.stays(source) else answer
            if once.any():
                weights[source, delay] = np.ascontiguousarray(once.T)
    given = random_signals(bench, sizes_of(bench.tried))
    for step, each in enumerate(_gave(bench, given, len(given[INPUT][0]))):
        expected, size = _expected(bench, weights, bias, given, step)
        if not agree(each.numpy(), expected, size):
            raise _Unread(f"is not linear{usual_suspects(bench)}, or remembers earlier steps")
    return ReadOut("mean", weights, bias)


def _whole(bench: Bench, silence: Sequence[Floats]) -> ReadOut:
    """Return the read-out of a module that gives one answer for all steps.

    Its map is measured with the same input in all steps. Every rule then returns the map itself,
    but for the sum, which returns it times the number of steps.
    """
    once: dict[tuple[int, int], Floats] = {}
    for source, n in _sources_of_output(bench):

        def answer(x: Tensor, source: int = source) -> list[Tensor]:
            return _gave(bench, {source: [x] * bench.steps}, len(x))

        constant = unit_answers(answer, n)[0]
        if constant.any():
            once[source, 0] = np.ascontiguousarray(constant.T)
    # Random numbers that differ from step to step tell the rules apart; more steps confirm it.
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
) -> ReadOut:
    share = 1 / n_steps if rule == "sum" else 1.0
    return ReadOut(rule, {key: weight * share for key, weight in once.items()}, bias * share)


def _fits(bench: Bench, found: ReadOut) -> bool:
    """Return whether a read-out explains the output for random numbers from all sources."""
    given = random_signals(bench, sizes_of(bench.tried))
    answer = _gave(bench, given, len(given[INPUT][0]))[0].numpy()
    rows = [_expected(bench, found.weights, found.bias, given, step) for step in range(bench.steps)]
    values, size = (
        np.stack([value for value, _ in rows]),
        np.sum([each for _, each in rows], axis=0),
    )
    return agree(answer, so_far(values, found.rule)[-1], size)


def _sources_of_output(bench: Bench) -> list[tuple[int, int]]:
    """Return the sources on which the output of a module depends, with their sizes."""
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
    """Return the output of a map, and the size of its terms, each (n_samples, n_out)."""
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


def _is_last_layer(found: ReadOut, tried: DryRun, kinds: Sequence[str], *, whole: bool) -> bool:
    """Return whether the output of a module decides as the output of its last layer does.

    It does where it is that output itself, a positive multiple of it, or its sum or mean.
    """
    # Any other source, or a bias, makes another decision.
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


def _check_sources(found: ReadOut, tried: DryRun, sends: Sequence[bool]) -> None:
    """Refuse a read-out of nothing, or of the membrane of a readout."""
    if not found.weights:
        raise _Unread("is the same whatever its neurons fire")
    for source, _delay in found.weights:
        if source != INPUT and not sends[source]:
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
        A copy of it is run; the module itself does not change.
    dt : float or str, optional
        Duration of a step, where no layer says it.
    input_shape : tuple of int, optional
        The shape of one sample in one step, such as (2, 34, 34); by default as wide as the first
        Linear.
    layout : {"step", "time first", "batch first", "batch and time", "held"}, optional
        How its forward takes its input; by default the first one in which it runs.
    neurons_only : bool
        Whether to leave out the read-out behind its last neurons.

    Returns
    -------
    Network

    Raises
    ------
    RefsimError
        Where refsim does not read a layer, no card can express an option, or a map between layers
        is not linear.
    """
    if hasattr(module, "_orig_mod"):
        raise RefsimError(
            "module: was made by torch.compile, and nobody can look into what it runs; give the "
            "module that was compiled."
        )
    with inspected(module, None if input_shape is None else tuple(input_shape), layout) as looked:
        return _network(module, looked, dt, neurons_only=neurons_only)


def _network(module: nn.Module, looked: Inspection, dt: object, *, neurons_only: bool) -> Network:
    """Measure a module and read its layers."""
    tried, step = looked.tried, _step(looked.parts, dt)
    wiring = measure_wiring(module, tried)
    neurons = [
        read_part(part, shape, step) for part, shape in zip(tried.parts, tried.shapes, strict=True)
    ]
    _check_pooled(tried.parts, neurons, wiring)
    # Spikes of a layer with latency arrive one step later than measured.
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
            [_sends(read.model) for read in neurons],
            [_kind(read.model) for read in neurons],
        )
    )
    # A readout whose membrane other layers receive needs another option of its card.
    sources = {source for _, source, _ in wiring.weights} | (
        {source for source, _ in behind.weights} if isinstance(behind, ReadOut) else set()
    )
    rows: list[tuple[object, ...]] = []
    # Each layer is its connections, its bias, its card and its own parameters.
    for index, (part, shape, read) in enumerate(
        zip(tried.parts, tried.shapes, neurons, strict=True)
    ):
        bias, own = wiring.biases[index], dict(read.parameters)
        model = read.model
        if model.convention.get("spikes") == "none" and index in sources:
            model = switched(model, spikes="none, heard")
        arriving = {
            (source, delay): weight
            for (target, source, delay), weight in wiring.weights.items()
            if target == index
        }
        found = _connections(arriving, late)
        if read.recurrent is not None:
            weight, more = measured_recurrence(
                read.recurrent, shape, f"{part.where}: its recurrent map"
            )
            # Where the map is not asked before the first step, its bias is missing there too.
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
    # A read-out is one layer more, with a card of its own.
    if isinstance(behind, ReadOut):
        rows.append(
            (
                _connections(behind.weights, late),
                behind.bias if np.any(behind.bias) else None,
                load(f"readout_{behind.rule}"),
            )
        )
    try:
        network = Network.dense(rows, step)
    except RefsimError as error:
        raise RefsimError(f"module: {error}") from None
    return replace(network, undecided=behind) if isinstance(behind, str) else network


def _sends(model: NeuronModel) -> bool:
    """Return whether other layers can receive the output of a neuron.

    They cannot receive that of a readout without a convention.
    """
    return not model.discrete.readout or bool(model.convention)


def _kind(model: NeuronModel) -> str:
    """Return what the output of a layer decides by: spikes, its membrane, or a rule over steps."""
    return model.discrete.over_steps or ("membrane" if model.discrete.readout else "spikes")


def _connections(weights: Mapping[tuple[int, int], Floats], late: set[int]) -> list[Connection]:
    """Return the connections of a layer from its weights by (source, delay).

    Spikes of layers with latency, the `late` ones, take one step more.
    """
    by_source: dict[int, dict[int, Floats]] = {}
    for (source, delay), weight in weights.items():
        by_source.setdefault(source, {})[delay] = weight
    return [
        Connection(
            weight, source="input" if source == INPUT else source, delay=delay + (source in late)
        )
        for source, delays in by_source.items()
        for weight, delay in join_delays(delays)
    ]


def _check_pooled(parts: Sequence[NeuronLayer], neurons: Sequence[Neurons], wiring: Wiring) -> None:
    """Refuse a max pool over layers whose output may be other numbers than 0 and 1."""
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


def _step(parts: Sequence[NeuronLayer], dt: object) -> float:
    """Return the duration of a step in seconds, as given or as the layers that know it say."""
    if dt is not None:
        return positive_time(dt, "module: dt")
    # Layers may say it, and all that do must agree.
    said = {own for part in parts if (own := declared_step(part)) is not None}
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
