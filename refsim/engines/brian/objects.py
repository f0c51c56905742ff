"""A network as Brian2 objects, in slots: within one step a spike passes all layers, as it does in PyTorch."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import RefsimError
from ...model.expressions import comparison, parse_expression
from ...network import Layer, Network
from .product import fill, product_code
from .text import FAR, ThreeAddress, grid_update, variables, watch

_SLOTS = ("sum", "update", "jump", "watch", "threshold", "record", "reset", "trace")
_UNUSED = ("groups", "thresholds", "synapses", "resets")  # Brian2's own slots, which must exist


@dataclass(frozen=True, eq=False)
class Structure:
    """What a compiled program depends on; all else is read when it runs.

    Attributes
    ----------
    network : Network
        Its cards and sizes; weights, parameters and dt are not compiled in.
    fine : bool
    source : {"events", "current"}
    dtype : {"float32", "float64"}
    batch : int
        Samples taken at once.
    gap : bool
        Whether the nearest approach to threshold is kept.
    traces : bool
        Whether membranes are recorded at every step.
    """

    network: Network
    fine: bool
    source: str
    dtype: str
    batch: int
    gap: bool
    traces: bool

    @property
    def real(self) -> str:
        """The C++ type of a state."""
        return {"float32": "float", "float64": "double"}[self.dtype]

    def mode(self, layer: Layer) -> str:
        """How input reaches a layer: ``grid``, or the input kind of its card."""
        return layer.model.input_kind if self.fine else "grid"

    def source_of(self, index: int) -> str:
        """Return what drives a layer: the drive for the first, spikes for the others."""
        return self.source if index == 0 else "spikes"


def group_name(index: int) -> str:
    """Name of a layer's group inside Brian2."""
    return f"L{index}"


def build(structure: Structure, brian2: Any, call: Any) -> tuple[Any, list[Any], list[Any], list[Any]]:
    """Make the Brian2 network.

    Parameters
    ----------
    call : function (name) -> brian2 Function
        Gives the functions that begin, sum and end a step, for the target in use.

    Returns
    -------
    network, groups, spike monitors, state monitors
    """
    schedule, groups, spikes, traces, parts = ["start"], [], [], [], []
    driver = brian2.NeuronGroup(1, "out : 1", name="driver", namespace={})
    parts.append(driver)

    def run_function(name: str, slot: str) -> None:
        driver.namespace[f"{name}_call"] = call(name)
        parts.append(driver.run_regularly(f"out = {name}_call(t_in_timesteps)", when=slot))

    run_function("begin", "start")
    for index, layer in enumerate(structure.network.layers):
        name = group_name(index)
        schedule += [f"{name}_{slot}" for slot in _SLOTS]
        group = _group(structure, layer, name, brian2)
        run_function(f"{name}_product", f"{name}_sum")
        group.thresholder["spike"].when = f"{name}_threshold"
        monitor = brian2.SpikeMonitor(group, name=f"S{index}")
        monitor.when = f"{name}_record"
        groups.append(group)
        spikes.append(monitor)
        if structure.traces:
            traces.append(brian2.StateMonitor(group, ["seen", *layer.model.state], record=True, when=f"{name}_trace", name=f"T{index}"))
    run_function("end", "end")
    network = brian2.Network(*parts, *groups, *spikes, *traces)
    network.schedule = [*schedule, *_UNUSED, "end"]
    return network, groups, spikes, traces


def _group(structure: Structure, layer: Layer, name: str, brian2: Any) -> Any:
    """Make one layer's neurons for a whole batch."""
    model, watched = layer.model, {"gap": structure.gap, "seen": structure.traces}
    equations = variables(model, frozenset(layer_constants(layer)), fine=structure.fine, **watched)
    size = structure.batch * layer.n_post
    if not structure.fine:
        group = checked_group(brian2, model.name, size, equations, threshold="z > 0", name=name)
        group.run_regularly(grid_update(model, structure.dtype, **watched), when=f"{name}_update")
        return group
    continuous = model.continuous
    group = checked_group(brian2, model.name, size, equations, threshold=continuous.threshold, reset=continuous.reset, method=continuous.method, name=name)
    group.state_updater.when = f"{name}_update"
    group.resetter["spike"].when = f"{name}_reset"
    if model.input_kind == "impulse":
        group.run_regularly(f"{model.input_target} = {model.input_target} + jump", when=f"{name}_jump")
    if any(watched.values()):
        group.run_regularly(_watch_text(model.continuous.threshold, structure.dtype, **watched), when=f"{name}_watch")
    return group


def _watch_text(threshold: str, dtype: str, *, gap: bool, seen: bool) -> str:
    sides = comparison(parse_expression(threshold, "threshold"))
    assert sides is not None
    code = ThreeAddress(dtype)
    left, right = code.value(sides[0]), code.value(sides[2])
    return "\n".join(code.lines + watch(left, right, gap=gap, seen=seen))


def checked_group(brian2: Any, card: str, size: int, equations: str, **options: Any) -> Any:
    """Make a group of neurons and let Brian2 check the units of its equations now."""
    with explained(card):
        group = brian2.NeuronGroup(size, equations, namespace={}, **options)
        group.equations.check_units(group, run_namespace={})
        return group


@contextlib.contextmanager
def explained(card: str) -> Iterator[None]:
    """Turn what Brian2 raises about a card's text, of whatever kind, into one sentence."""
    try:
        yield
    except RefsimError:
        raise
    except Exception as error:
        raise RefsimError(f"card '{card}': Brian2 refuses its equations: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    """Return the innermost message of a chain of errors, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())


def layer_constants(layer: Layer) -> list[str]:
    """Names of the constants that differ from neuron to neuron."""
    return [name for name, value in layer.constants(1e-3).items() if np.ndim(value)]


def start_values(structure: Structure) -> list[list[tuple[str, Any]]]:
    """Return, a layer, what each variable holds at the start of a sample: constants in double precision, then states."""
    rows = []
    for layer in structure.network.layers:
        row: list[tuple[str, Any]] = list(layer.constants(structure.network.dt).items())
        if structure.fine:
            row += [("step", structure.network.dt), ("jump", 0.0)]
        row += [(name, state.start) for name, state in layer.model.state.items()]
        row += [("I", 0.0)] + [("gap", FAR)] * structure.gap
        rows.append(row)
    return rows


def cpp_functions(structure: Structure) -> dict[str, str]:
    """Return the C++ text of every function that the network calls."""
    layers, real, batch = structure.network.layers, structure.real, structure.batch
    fills, flushes, count = [], [], 0
    for index, row in enumerate(start_values(structure)):
        name, n_post = group_name(index), layers[index].n_post
        for variable, value in row:
            array, width = f"brian::_array_{name}_{variable}", max(1, np.size(value) if np.ndim(value) else 1)
            size = 1 if _is_shared(variable, layers[index], value) else batch * n_post
            fills.append(f"    for (int64_t i = 0; i < {size}; i++) {array}[i] = next[i % {width}];\n    next += {width};")
            count += width
        if structure.gap:
            flushes.append(_FLUSH.replace("@NAME@", name).replace("@POST@", str(n_post)).replace("@BATCH@", str(batch)))
    texts = {
        "begin": fill("begin.cpp", "begin", real, VALUES=count, CLOCK="brian::_array_defaultclock_dt", FILL="\n".join(fills)),
        "end": fill("end.cpp", "end", real, FLUSH="\n".join(flushes)),
    }
    for index, layer in enumerate(layers):
        name = group_name(index)
        below = group_name(index - 1)
        texts[f"{name}_product"] = product_code(name, real, batch, layer, structure.mode(layer), structure.source_of(index), below)
    return texts


def _is_shared(variable: str, layer: Layer, value: Any) -> bool:
    constants = {*layer.model.parameters, *layer.model.derived, "step"}
    return variable in constants and not np.ndim(value)


_FLUSH = """    {
        static FILE* file = fopen("@NAME@_gap.bin", "wb");
        for (int64_t sample = 0; sample < @BATCH@; sample++) {
            const real* gap = brian::_array_@NAME@_gap + sample*@POST@;
            int64_t nearest = 0;
            for (int64_t m = 1; m < @POST@; m++) if (gap[m] < gap[nearest]) nearest = m;
            const double found[2] = {(double)gap[nearest], (double)nearest};
            fwrite(found, sizeof(double), 2, file);
        }
        if ((now + 1)/length == plan->chunks) fclose(file);
    }"""
