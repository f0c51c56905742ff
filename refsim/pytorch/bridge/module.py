"""A live module becomes a Network: its neurons are read, its wiring is measured, and nothing of it is guessed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from ...arrays import Floats
from ...connection import Connection
from ...errors import RefsimError, option
from ...model import NeuronModel, load
from ...model.card import switched
from ...network import Network, positive_time
from .parts import Neurons, Part, own_step, read_part, recurrent_matrix
from .pooling import POOLING
from .readout import Behind, read_out
from .sharing import Looked, looked_into
from .wiring import INPUT, Wiring, measure


def from_module(
    module: nn.Module, dt: object = None, input_shape: Sequence[int] | None = None, layout: str | None = None, *, neurons_only: bool = False
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
        For a layer that refsim does not read, an option that no card can say, or what is not linear between layers.
    """
    if hasattr(module, "_orig_mod"):
        raise RefsimError("module: was made by torch.compile, and nobody can look into what it runs; give the module that was compiled.")
    with looked_into(module, None if input_shape is None else tuple(input_shape), layout) as looked:
        return _network(module, looked, dt, neurons_only=neurons_only)


def _network(module: nn.Module, looked: Looked, dt: object, *, neurons_only: bool) -> Network:
    """Measure a module and read its layers."""
    tried, step = looked.tried, _step(looked.parts, dt)
    wiring = measure(module, tried)
    neurons = [read_part(part, shape, step) for part, shape in zip(tried.parts, tried.shapes, strict=True)]
    _check_pooled(tried.parts, neurons, wiring)
    late = {index for index, each in enumerate(neurons) if each.model.convention.get("latency", "none") != "none"}
    behind = None if neurons_only else read_out(module, tried, [_heard(read.model) for read in neurons], [_kind(read.model) for read in neurons])
    sources = {source for _, source, _ in wiring.weights} | ({source for source, _ in behind.weights} if isinstance(behind, Behind) else set())
    rows: list[tuple[object, ...]] = []
    for index, (part, shape, read) in enumerate(zip(tried.parts, tried.shapes, neurons, strict=True)):
        bias, own = wiring.biases[index], dict(read.parameters)
        model = read.model
        if model.convention.get("spikes") == "none" and index in sources:
            model = switched(model, spikes="none, heard")
        found = _connections(_by_source(wiring, index), late)
        if read.recurrent is not None:
            weight, more = recurrent_matrix(read.recurrent, shape, f"{part.where}: its recurrent map")
            if read.recurrent.late and np.any(more):
                model, own = switched(model, bias="to the input, from the second step on"), own | {"own_bias": more}
            else:
                bias = bias + more
            found.append(Connection(weight, source="self", delay=1 + (index in late)))
        if not found:
            raise RefsimError(
                f"{part.where}: nothing leads to it, neither from the input nor from the spikes of another layer; a membrane that is passed on is not read."
            )
        rows.append((found, bias if np.any(bias) else None, model, own))
    if isinstance(behind, Behind):
        by_source: dict[int, dict[int, Floats]] = {}
        for (source, delay), weight in behind.weights.items():
            by_source.setdefault(source, {})[delay] = weight
        rows.append((_connections(by_source, late), behind.bias if np.any(behind.bias) else None, load(f"readout_{behind.rule}")))
    try:
        network = Network.dense(rows, step)
    except RefsimError as error:
        raise RefsimError(f"module: {error}") from None
    return replace(network, undecided=behind) if isinstance(behind, str) else network


def _heard(model: NeuronModel) -> bool:
    """Whether other layers can hear a neuron: of a readout without a convention they hear nothing."""
    return not model.discrete.readout or bool(model.convention)


def _kind(model: NeuronModel) -> str:
    """Return by what the output of a layer decides: its spikes, its membrane, or what it makes of the steps."""
    return model.discrete.over_steps or ("membrane" if model.discrete.readout else "spikes")


def _connections(by_source: Mapping[int, dict[int, Floats]], late: set[int]) -> list[Connection]:
    """Return the connections of a layer from weights by source and delay; layers that are late are heard a step later."""
    return [
        Connection(weight, source="input" if source == INPUT else source, delay=delay + (source in late))
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
    """Return weights with their delays: one weight, and a delay an input, where each input has one delay alone, as behind axonal delays."""
    steps = np.array(list(delays))
    heard = np.array([weight.any(axis=0) for weight in delays.values()])  # (delays, inputs)
    if len(steps) == 1 or (heard.sum(axis=0) > 1).any():
        return [(weight, delay) for delay, weight in delays.items()]
    return [(np.sum(list(delays.values()), axis=0), np.where(heard.any(axis=0), steps[heard.argmax(axis=0)], steps.min()))]


def _check_pooled(parts: Sequence[Part], neurons: Sequence[Neurons], wiring: Wiring) -> None:
    """Refuse a max pool over layers whose spikes may be other numbers than 1."""
    for target, source, _ in wiring.weights:
        if parts[target].framework is POOLING and (neurons[source].model.discrete.payload or neurons[source].model.discrete.readout):
            raise RefsimError(
                f"{parts[target].where}: is a max pool, which is exact on spikes of 0 and 1 alone, but '{parts[source].name}' gives other numbers than that; "
                "the largest of numbers is no linear map. Let it give one spike a step at most, or take an average or a sum pool."
            )


def _step(parts: Sequence[Part], dt: object) -> float:
    """Return the duration of a step, as given or as all layers that know it say."""
    if dt is not None:
        return positive_time(dt, "module: dt")
    said = {own for part in parts if (own := own_step(part)) is not None}
    if len(said) > 1:
        raise RefsimError(f"module: its layers were made for steps of {' and '.join(f'{each:g} s' for each in sorted(said))}; one network has one step.")
    if not said:
        raise RefsimError(f"module: says nothing of the duration of a step; give {option('dt', '1 ms')}, or what was meant in training.")
    return said.pop()
