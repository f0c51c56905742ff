"""Run a small network with Brian2's NumPy target, which needs no compiler and starts at once.

First the layer product, the same sums as in C++, called once a (sub-)step; then the run.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from ...core.progress import advance
from ...core.spikes import SpikeTrains
from ...networks.connection import DRIVE
from ...networks.drive import Drive
from ...networks.network import Layer, Network
from ..arrivals import Array, DelayLine, lag
from ..discrete import parts_by_input, weighted_sum
from .functions import brian_function, calls, numpy_function
from .network import (
    Structure,
    build_network,
    card_names,
    check_units,
    explained,
    group_name,
    start_values,
)
from .outcome import Portion, code_type, nearest_of, shaped_traces, to_approach
from .product import product_of
from .session import BrianObject, Package, recorded_traces, session
from .text import jump_of

# (source, step) to a frame: that of the drive at a step, or a layer's latest spikes.
Read = Callable[[int, int], Array]


class NumpyProduct:
    """The layer product in NumPy: it sets a layer's input current, and the jump of an impulse.

    Parameters
    ----------
    given : str
        The input that it sums for.
    mode : {"grid", "pulse", "impulse", "early_impulse"}
    analog : bool
        Whether the drive is made of currents.
    read : function (source, step) -> (n_samples, n_pre)
    write : function (name, values)
        Sets a variable of the layer's group.
    """

    def __init__(
        self,
        index: int,
        layer: Layer,
        given: str,
        mode: str,
        refine: int,
        analog: bool,
        analog_impulse: bool,
        n_samples: int,
        read: Read,
        write: Callable[[str, Array], None],
    ) -> None:
        self.current, self.jump = given, jump_of(given)
        self.layer, self.mode, self.refine, self.read, self.write = layer, mode, refine, read, write
        self.analog, self.analog_impulse = analog, analog_impulse
        waits = [
            source.delay
            if source.layer == DRIVE
            else lag(source.layer, index, source.delay * refine)
            for source in layer.sources
        ]
        self.lines = [DelayLine(wait, n_samples) for wait in waits]
        self.windows: list[deque[Array]] = [deque(maxlen=refine) for _ in layer.sources]
        self.frames: list[Array] = [
            np.zeros((n_samples, source.width), layer.weight.dtype) for source in layer.sources
        ]

    def __call__(self, now: ArrayLike) -> float:
        """Set what arrives in this (sub-)step."""
        step, sub = divmod(int(np.asarray(now).flat[0]), self.refine)
        getattr(self, f"_{self.mode}")(step, sub)
        return 0.0

    def _grid(self, step: int, _sub: int) -> None:
        self._sum(self.current, [self._receive(k, step) for k in range(len(self.lines))])

    def _pulse(self, step: int, sub: int) -> None:
        for k, source in enumerate(self.layer.sources):
            if source.layer == DRIVE:
                self.frames[k] = self._receive(k, step) if sub == 0 else self.frames[k]
            else:
                self.windows[k].append(self._receive(k, step))
                self.frames[k] = np.sum(self.windows[k], axis=0)
        self._sum(self.current, self.frames)

    def _early_impulse(self, step: int, sub: int) -> None:
        self._impulse(step, sub, arrival=0)

    def _impulse(self, step: int, sub: int, arrival: int = -1) -> None:
        arrival %= self.refine
        # Of each source: what is spread over the step, and what jumps now.
        currents, jumps = [], []
        for k, source in enumerate(self.layer.sources):
            silence = np.zeros_like(self.frames[k])
            if source.layer != DRIVE:
                received = self._receive(k, step)
            elif sub == (0 if self.analog and not self.analog_impulse else arrival):
                self.frames[k] = received = self._receive(k, step)
            else:
                received = silence
            spread = self.analog and not self.analog_impulse and source.layer == DRIVE
            currents.append(self.frames[k] if spread else silence)
            jumps.append(silence if spread else received)
        self._sum(self.current, currents, bias=not self.analog_impulse)
        self._sum(self.jump, jumps, bias=self.analog_impulse and sub == arrival)

    def _receive(self, k: int, step: int) -> Array:
        return self.lines[k](self.read(self.layer.sources[k].layer, step))

    def _sum(self, name: str, received: list[Array], *, bias: bool = True) -> None:
        layer = self.layer if bias else replace(self.layer, bias=np.zeros_like(self.layer.bias))
        self.write(name, weighted_sum(layer, np.concatenate(received, axis=1)))


def frame_reader(drive: Drive, dtype: str) -> Callable[[int], Array]:
    """Return a function that gives the input of a step.

    It is called with steps in ascending order, with each as often as wanted.
    """
    frames = enumerate(drive.frames())
    latest: list[tuple[int, Array]] = []

    def read(step: int) -> Array:
        while not latest or latest[0][0] < step:
            now, frame = next(frames)
            latest[:] = [(now, frame.astype(dtype))]
        return latest[0][1]

    return read


def run_numpy(
    structure: Structure, drive: Drive, refine: int, analog_impulse: bool, wanted: tuple[str, ...]
) -> Portion:
    """Run all samples as one batch.

    Parameters
    ----------
    structure : Structure
        Its ``batch`` must be the number of samples.
    drive : Drive
    refine : int
        Sub-steps a step.
    analog_impulse : bool
        Whether analog input jumps at the end of a step.
    wanted : tuple of str
        Traces to keep.
    """
    network = structure.network
    groups: list[BrianObject] = []
    others = {
        call.unit: (index, call)
        for index, layer in enumerate(network.layers)
        for call in calls(layer, group_name(index), fine=structure.fine)
    }

    # How the functions below reach into the groups of Brian2, which are built last.
    def array(index: int, name: str) -> Array:
        values: Array = groups[index].variables[name].get_value()
        return values

    def spikes_of(index: int) -> Array:
        if payload := network.layers[index].model.discrete.payload:
            return array(index, payload).reshape(structure.batch, -1).copy()
        space = array(index, "_spikespace")
        dense = np.zeros(structure.batch * network.layers[index].n_post, structure.dtype)
        dense[space[: space[-1]]] = 1
        return dense.reshape(structure.batch, -1)

    def write(index: int, name: str, values: Array) -> None:
        array(index, name).reshape(structure.batch, -1)[:] = values

    frame = frame_reader(drive, structure.dtype)
    fired: list[list[tuple[int, Array]]] = [[] for _ in network.layers]

    def record(index: int, now: ArrayLike) -> float:
        space = array(index, "_spikespace")
        fired[index].append((int(np.asarray(now).flat[0]), space[: space[-1]].copy()))
        return 0.0

    def read(source: int, step: int) -> Array:
        return frame(step) if source == DRIVE else spikes_of(source)

    # The function that Brian2 calls by a name, as `build_network` asks for it.
    def function(name: str) -> BrianObject:
        if name in ("begin", "end"):
            return _as_function(brian2, lambda now: 0.0)
        if name in others:
            index, call = others[name]
            return brian_function(
                brian2,
                call,
                numpy_function(network.layers[index], index, call, drive, structure.dtype),
                None,
                [],
            )
        number, kind = name.removeprefix("L").split("_", 1)
        if kind == "threshold":
            return None
        index = int(number)
        if kind == "record":
            return _as_function(brian2, partial(record, index))
        layer, analog = cast(network, index, structure.dtype), structure.source == "current"
        given = next(given for given in layer.model.inputs if product_of(given) == kind)
        part, mode = parts_by_input(layer)[given], structure.mode(layer)
        return _as_function(
            brian2,
            NumpyProduct(
                index,
                part,
                given,
                mode,
                refine,
                analog,
                analog_impulse,
                structure.batch,
                read,
                partial(write, index),
            ),
        )

    with (
        session(
            "numpy", structure.dtype, network.dt / refine, literal=not structure.fine
        ) as brian2,
        np.errstate(all="ignore"),
    ):
        for layer in network.layers:
            check_units(brian2, layer.model)
        brian_network, built, traces = build_network(structure, brian2, function)
        groups.extend(built)
        for index, row in enumerate(start_values(structure)):
            for name, value in row:
                target = array(index, name)
                target[:] = np.tile(value, structure.batch) if np.ndim(value) else value
        with explained(card_names(network)):
            brian_network.run(drive.n_steps * refine * brian2.defaultclock.dt, namespace={})
        # Everything is copied before the session ends, and Brian2's memory with it.
        kept = [{} if monitor is None else recorded_traces(monitor) for monitor in traces]
        gaps = (
            [
                nearest_of(array(index, "gap").reshape(structure.batch, -1))
                for index in range(len(groups))
            ]
            if structure.gap
            else []
        )
    advance(drive.n_samples)
    size = (drive.n_samples, drive.n_steps * refine)
    trains = [
        _spikes(rows, layer.n_post, drive, refine)
        for rows, layer in zip(fired, network.layers, strict=True)
    ]
    codes = [train.code.astype(code_type(*size, train.n_neurons)) for train in trains]
    shaped = [
        shaped_traces(raw, structure, index, *size, wanted) for index, raw in enumerate(kept)
    ] or [{} for _ in trains]
    return Portion(drive.n_samples, codes, tuple(shaped), to_approach(gaps, drive.n_samples))


def _spikes(rows: list[tuple[int, Array]], n_post: int, drive: Drive, refine: int) -> SpikeTrains:
    """Join the indices that fired in each (sub-)step."""
    step = np.repeat([now for now, _ in rows], [len(index) for _, index in rows])
    sample, neuron = np.divmod(
        np.concatenate([index for _, index in rows]).astype(np.int64), n_post
    )
    return SpikeTrains.from_events(
        sample, step, neuron, drive.n_samples, drive.n_steps * refine, n_post, drive.dt / refine
    )


def _as_function(brian2: Package, function: Callable[[ArrayLike], float]) -> BrianObject:
    """Return a function of the time in steps for Brian2."""

    def called(now: ArrayLike) -> float:
        return float(function(now))

    return brian2.Function(called, arg_units=[1], return_unit=1, stateless=False)


def cast(network: Network, index: int, dtype: str) -> Layer:
    """Return a layer with its weights rounded to the dtype of the run."""
    layer = network.layers[index]
    return replace(layer, weight=layer.weight.astype(dtype), bias=layer.bias.astype(dtype))
