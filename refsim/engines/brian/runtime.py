"""Run a small network with Brian2's NumPy target: no compiler, instant."""

from dataclasses import replace
from typing import Any

import numpy as np

from ...drive import Drive
from ...network import Layer, Network
from ...progress import advance
from .objects import Structure, build, explained, start_values
from .outcome import Coder, Portion, blocks, shaped_traces, to_approach
from .product import NumpyProduct, frame_reader
from .session import session


def run_numpy(structure: Structure, drive: Drive, refine: int, analog_impulse: bool, record: tuple[str, ...]) -> Portion:
    """Run all samples as one batch; `structure.batch` must be their number."""
    network = structure.network
    groups: list[Any] = []

    def array(index: int, name: str) -> Any:
        return groups[index].variables[name].get_value()

    def spikes_of(index: int) -> Any:
        space = array(index, "_spikespace")
        dense = np.zeros(structure.batch * network.layers[index].n_post, structure.dtype)
        dense[space[: space[-1]]] = 1
        return dense.reshape(structure.batch, -1)

    def function(name: str) -> Any:
        if name in ("begin", "end"):
            return _as_function(brian2, lambda now: 0.0)
        index = int(name.removeprefix("L").removesuffix("_product"))
        layer = cast(network, index, structure.dtype)
        read = frame_reader(drive, structure.dtype) if index == 0 else lambda _step: spikes_of(index - 1)
        mode, source = structure.mode(layer), structure.source_of(index)
        return _as_function(brian2, NumpyProduct(layer, mode, refine, analog_impulse, lambda key: array(index, key), read, source))

    with session("numpy", structure.dtype, network.dt / refine) as brian2, np.errstate(all="ignore"):
        brian_network, built, spikes, traces = build(structure, brian2, function)
        groups.extend(built)
        for index, row in enumerate(start_values(structure)):
            for name, value in row:
                target = array(index, name)
                target[:] = np.tile(value, structure.batch) if np.ndim(value) else value
        with explained(", ".join(dict.fromkeys(layer.model.name for layer in network.layers))):
            brian_network.run(drive.n_steps * refine * brian2.defaultclock.dt, namespace={})
        found = [(np.asarray(monitor.t_[:]), np.asarray(monitor.i[:])) for monitor in spikes]
        kept = [{key: np.asarray(getattr(monitor, f"{key}_")).T for key in monitor.record_variables} for monitor in traces]
        gaps = [_nearest(array(index, "gap"), structure.batch) for index in range(len(groups))] if structure.gap else []
    advance(drive.n_samples)
    size = (drive.n_samples, drive.n_steps * refine)
    codes = [Coder(structure, index, *size, network.dt / refine).codes(blocks(*pair)) for index, pair in enumerate(found)]
    shaped = [shaped_traces(raw, structure, index, *size, record) for index, raw in enumerate(kept)] or [{} for _ in found]
    return Portion(drive.n_samples, codes, tuple(shaped), to_approach(gaps, drive.n_samples))


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
