"""The layer product for Brian2's NumPy target: the same sums, called once a (sub-)step.

Run a small network with Brian2's NumPy target: no compiler, instant.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.progress import advance
from ...core.spikes import SpikeTrains
from ...networks.connection import DRIVE
from ...networks.drive import Drive
from ...networks.network import Layer, Network
from ..arrivals import DelayLine, lag
from ..discrete import parts_by_input, weighted_sum
from .functions import brian_function, calls, numpy_function
from .network import Structure, build_network, check_units, explained, group_name, start_values
from .outcome import Portion, code_type, shaped_traces, to_approach
from .product import product_of
from .session import recorded_traces, session
from .text import jump_of

# (source, step) to a frame: of the drive at a step, or a layer's latest spikes.
Read = Callable[[int, int], NDArray[Any]]


class NumpyProduct:
    """Set the input current, and the jump of an impulse, of one layer.

    Parameters
    ----------
    given : str
        The input that it sums for.
    mode : {"grid", "pulse", "impulse", "early_impulse"}
    analog : bool
        Whether the drive is made of currents.
    write : function (name, values)
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
        write: Callable[[str, Any], None],
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
        self.windows: list[deque[NDArray[Any]]] = [deque(maxlen=refine) for _ in layer.sources]
        self.frames: list[NDArray[Any]] = [
            np.zeros((n_samples, source.width), layer.weight.dtype) for source in layer.sources
        ]

    def __call__(self, now: Any) -> float:
        """Set what arrives in this (sub-)step."""
        step, sub = divmod(int(np.asarray(now).flat[0]), self.refine)
        getattr(self, f"_{self.mode}")(step, sub)
        return 0.0

    def _grid(self, step: int, _sub: int) -> None:
        self._sum(self.current, [self._hear(k, step) for k in range(len(self.lines))])

    def _pulse(self, step: int, sub: int) -> None:
        for k, source in enumerate(self.layer.sources):
            if source.layer == DRIVE:
                self.frames[k] = self._hear(k, step) if sub == 0 else self.frames[k]
            else:
                self.windows[k].append(self._hear(k, step))
                self.frames[k] = np.sum(self.windows[k], axis=0)
        self._sum(self.current, self.frames)

    def _early_impulse(self, step: int, sub: int) -> None:
        self._impulse(step, sub, arrival=0)

    def _impulse(self, step: int, sub: int, arrival: int = -1) -> None:
        arrival %= self.refine
        flows, jumps = [], []
        for k, source in enumerate(self.layer.sources):
            silence = np.zeros_like(self.frames[k])
            if source.layer != DRIVE:
                heard = self._hear(k, step)
            elif sub == (0 if self.analog and not self.analog_impulse else arrival):
                self.frames[k] = heard = self._hear(k, step)
            else:
                heard = silence
            spread = self.analog and not self.analog_impulse and source.layer == DRIVE
            flows.append(self.frames[k] if spread else silence)
            jumps.append(silence if spread else heard)
        self._sum(self.current, flows, bias=not self.analog_impulse)
        self._sum(self.jump, jumps, bias=self.analog_impulse and sub == arrival)

    def _hear(self, k: int, step: int) -> NDArray[Any]:
        return self.lines[k](self.read(self.layer.sources[k].layer, step))

    def _sum(self, name: str, heard: list[NDArray[Any]], *, bias: bool = True) -> None:
        layer = self.layer if bias else replace(self.layer, bias=np.zeros_like(self.layer.bias))
        self.write(name, weighted_sum(layer, np.concatenate(heard, axis=1)))


def frame_reader(drive: Drive, dtype: str) -> Callable[[int], NDArray[Any]]:
    """Return a function that gives the input of a step.

    Steps are asked for in order, each as often as wanted.
    """
    frames: Iterator[NDArray[Any]] = drive.frames()
    kept: dict[str, Any] = {"step": -1, "frame": None}

    def read(step: int) -> NDArray[Any]:
        while kept["step"] < step:
            kept["frame"] = next(frames).astype(dtype)
            kept["step"] += 1
        frame: NDArray[Any] = kept["frame"]
        return frame

    return read


def run_numpy(
    structure: Structure, drive: Drive, refine: int, analog_impulse: bool, wanted: tuple[str, ...]
) -> Portion:
    """Run all samples as one batch; `structure.batch` must be their number."""
    network = structure.network
    groups: list[Any] = []
    others = {
        call.unit: (index, call)
        for index, layer in enumerate(network.layers)
        for call in calls(layer, group_name(index), fine=structure.fine)
    }

    def array(index: int, name: str) -> Any:
        return groups[index].variables[name].get_value()

    def spikes_of(index: int) -> Any:
        if payload := network.layers[index].model.discrete.payload:
            return array(index, payload).reshape(structure.batch, -1).copy()
        space = array(index, "_spikespace")
        dense = np.zeros(structure.batch * network.layers[index].n_post, structure.dtype)
        dense[space[: space[-1]]] = 1
        return dense.reshape(structure.batch, -1)

    def write(index: int, name: str, values: Any) -> None:
        array(index, name).reshape(structure.batch, -1)[:] = values

    frame = frame_reader(drive, structure.dtype)
    fired: list[list[tuple[int, Any]]] = [[] for _ in network.layers]

    def record(index: int, now: Any) -> float:
        space = array(index, "_spikespace")
        fired[index].append((int(np.asarray(now).flat[0]), space[: space[-1]].copy()))
        return 0.0

    def hear(source: int, step: int) -> Any:
        return frame(step) if source == DRIVE else spikes_of(source)

    def function(name: str) -> Any:
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
                hear,
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
        with explained(", ".join(dict.fromkeys(layer.model.name for layer in network.layers))):
            brian_network.run(drive.n_steps * refine * brian2.defaultclock.dt, namespace={})
        kept = [{} if monitor is None else recorded_traces(monitor) for monitor in traces]
        gaps = (
            [_nearest(array(index, "gap"), structure.batch) for index in range(len(groups))]
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


def _spikes(rows: list[tuple[int, Any]], n_post: int, drive: Drive, refine: int) -> SpikeTrains:
    """Join the indices that fired in each (sub-)step."""
    step = np.repeat([now for now, _ in rows], [len(index) for _, index in rows])
    sample, neuron = np.divmod(
        np.concatenate([index for _, index in rows]).astype(np.int64), n_post
    )
    return SpikeTrains.from_events(
        sample, step, neuron, drive.n_samples, drive.n_steps * refine, n_post, drive.dt / refine
    )


def _as_function(brian2: Any, callable_: Any) -> Any:
    def called(now: Any) -> float:
        return float(callable_(now))

    return brian2.Function(called, arg_units=[1], return_unit=1, stateless=False)


def _nearest(gap: Any, batch: int) -> Any:
    table = gap.reshape(batch, -1)
    nearest = table.argmin(axis=1)
    return np.stack([table[np.arange(batch), nearest], nearest], axis=1).astype(np.float64)


def cast(network: Network, index: int, dtype: str) -> Layer:
    """Return a layer with its weights rounded to the dtype of the run."""
    layer = network.layers[index]
    return replace(layer, weight=layer.weight.astype(dtype), bias=layer.bias.astype(dtype))
