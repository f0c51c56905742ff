"""A network as Brian2 objects, in slots, so that within a step a spike passes all layers.

PyTorch does the same. First the read-outs over the steps in fine mode: they stay on the grid and
take once a step all that arrived in its sub-steps, because their mean, last or maximum is over
steps of dt, as a network is trained, and not over sub-steps, of which a run may have any number.
Then the groups, their units, what each variable holds at the start, and the C++ functions.
"""

import ast
import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...cards.language import Statement, comparisons, parse_expression
from ...cards.names import INPUT, STEP
from ...cards.neuron import NeuronModel
from ...cards.ode import renamed
from ...core.arrays import Floats
from ...core.errors import RefsimError
from ...networks.network import Layer, Network
from ...networks.recording import named_traces
from .functions import calls, cpp_text, number_functions
from .product import connections_of, fill_template, product_code, product_of
from .session import BrianObject, Package
from .text import (
    FAR,
    ThreeAddress,
    condition,
    fine_variables,
    grid_update,
    grid_variables,
    jump_of,
    statements,
    unit_equations,
    watch,
)

ARRIVED = "arrived_so_far"


def kept_variables(model: NeuronModel, per_neuron: frozenset[str], *, gap: bool, seen: bool) -> str:
    """Return the Brian2 equations of a read-out in fine mode, plain numbers as in grid mode."""
    return "\n".join(
        [
            grid_variables(model, per_neuron, gap=gap, seen=seen),
            f"{jump_of(INPUT)} : 1",
            f"{ARRIVED} : 1",
        ]
    )


def kept_update(model: NeuronModel, dtype: str, *, seen: bool) -> str:
    """Return the statements of a sub-step of a read-out, which collects what arrives.

    At the end of a step the declared step is taken, otherwise the states stay as they are.
    """
    code, readout = ThreeAddress(dtype), model.discrete.readout
    # A current, of the bias or of analog input, is spread over the step.
    share = "dt/second/step"
    code.lines += [
        f"{ARRIVED} = {ARRIVED} + {jump_of(INPUT)} + {INPUT}*{share}",
        "sub_steps_ = whole_below(step*second/dt + 0.5)",
        "steps_done_ = (t_in_timesteps + 1)/sub_steps_",
        "ends_ = truth(whole_below(steps_done_) >= steps_done_)",
    ]
    # Each state's new value gets a name of its own, since it may not be used.
    now = {INPUT: ARRIVED}
    for number, statement in enumerate(model.discrete.before_fire):
        new = f"new_{statement.target}_{number}_"
        code.statement(_renamed(statement, new, now))
        now[statement.target] = new
    code.lines += [
        f"{name} = ends_*{now[name]} + (1 - ends_)*{name}" for name in model.stepped if name in now
    ]
    code.lines.append(f"{ARRIVED} = (1 - ends_)*{ARRIVED}")
    return "\n".join([*code.lines, *watch(readout, None, gap=False, seen=seen)])


def _renamed(statement: Statement, target: str, names: dict[str, str]) -> Statement:
    text = renamed(statement.tree, names)
    return Statement(target, text, ast.parse(text, mode="eval").body)


_FUNCTIONS = (
    "exp",
    "log",
    "sqrt",
    "abs",
    "tanh",
    "sin",
    "cos",
    "floor",
    "clip",
    "sign",
    "int",
    "exprel",
)
# By the name that the network calls it by; None where the target has no such function.
Functions = Callable[[str], BrianObject]
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
    traces : tuple of str
        What is recorded at every step: ``"before_reset"``, ``"after_reset"``, names of states.
    """

    network: Network
    fine: bool
    source: str
    dtype: str
    batch: int
    gap: bool
    traces: tuple[str, ...]

    @property
    def real(self) -> str:
        """The C++ type of a state."""
        return {"float32": "float", "float64": "double"}[self.dtype]

    def mode(self, layer: Layer) -> str:
        """How input reaches a layer: ``grid``, or the input kind of its card."""
        return layer.model.input_kind if self.fine else "grid"


def group_name(index: int) -> str:
    """Name of a layer's group inside Brian2."""
    return f"L{index}"


def schedule_of(*slots: str) -> list[str]:
    """Return the schedule of a step in Brian2, with these slots in order."""
    return ["start", *slots, *_UNUSED, "end"]


def card_names(network: Network) -> str:
    """Return the names of a network's cards, each once, for messages."""
    return ", ".join(dict.fromkeys(layer.model.name for layer in network.layers))


def trace_variables(model: NeuronModel, traces: Sequence[str], *, fine: bool) -> dict[str, str]:
    """Return the variable of each trace, by trace; there is none of a trace that a layer lacks."""
    membrane = model.membrane_in(fine=fine)
    known = (
        {"before_reset": "seen", "after_reset": membrane}
        | ({"payload": carried} if (carried := model.discrete.payload) else {})
        | {name: name for name in states_in(model, fine=fine)}
    )
    return {name: known[name] for name in named_traces(model, traces) if name in known}


def states_in(model: NeuronModel, *, fine: bool) -> dict[str, Any]:
    """Return the states of the ODE in fine mode, else those of the declared step.

    Read-outs over the steps have those of the declared step in fine mode too.
    """
    return dict(model.solved if fine and not model.discrete.over_steps else model.stepped)


def build_network(
    structure: Structure, brian2: Package, call: Functions
) -> tuple[BrianObject, list[BrianObject], list[BrianObject]]:
    """Make the Brian2 network.

    Parameters
    ----------
    call : function (name) -> brian2 Function
        Gives, for the target in use, the functions that begin a step, sum and record a layer, and
        end a step. For a layer's threshold it may give one that takes its place, or None.

    Returns
    -------
    network : brian2 Network
    groups : list of brian2 NeuronGroup, one a layer
    monitors : list of brian2 StateMonitor, one a layer
        None for a layer with nothing to record; an empty list without traces.
    """
    slots, groups, traces, parts = [], [], [], []
    # One neuron without a meaning calls the functions, each in its slot.
    driver = brian2.NeuronGroup(1, "out : 1", name="driver", namespace={})
    parts.append(driver)

    def run_function(name: str, slot: str) -> None:
        driver.namespace[f"{name}_call"] = call(name)
        parts.append(driver.run_regularly(f"out = {name}_call(t_in_timesteps)", when=slot))

    run_function("begin", "start")
    for index, layer in enumerate(structure.network.layers):
        name = group_name(index)
        slots += [f"{name}_{slot}" for slot in _SLOTS]
        group = layer_group(structure, layer, name, brian2, call)
        for given in layer.model.inputs:
            run_function(f"{name}_{product_of(given)}", f"{name}_sum")
        if call(f"{name}_threshold") is None:
            group.thresholder["spike"].when = f"{name}_threshold"
        else:
            # It makes the same list of neurons, only faster.
            group.contained_objects.remove(group.thresholder["spike"])
            run_function(f"{name}_threshold", f"{name}_threshold")
        run_function(f"{name}_record", f"{name}_record")
        groups.append(group)
        if structure.traces:
            wanted = list(
                dict.fromkeys(
                    trace_variables(layer.model, structure.traces, fine=structure.fine).values()
                )
            )
            traces.append(
                brian2.StateMonitor(
                    group, wanted, record=True, when=f"{name}_trace", name=f"T{index}"
                )
                if wanted
                else None
            )
    run_function("end", "end")
    network = brian2.Network(*parts, *groups, *(each for each in traces if each is not None))
    network.schedule = schedule_of(*slots)
    return network, groups, traces


def layer_group(
    structure: Structure, layer: Layer, name: str, brian2: Package, call: Functions, more: str = ""
) -> BrianObject:
    """Make one layer's neurons for a whole batch.

    Parameters
    ----------
    name : str
        Of the group.
    call : function (name) -> brian2 Function
    more : str
        Equations of further variables that the connections need.
    """
    model = layer.model
    watched = {
        "gap": structure.gap,
        "seen": "before_reset" in named_traces(model, structure.traces),
    }
    kept = structure.fine and bool(model.discrete.over_steps)
    declare = kept_variables if kept else fine_variables if structure.fine else grid_variables
    equations = declare(model, frozenset(layer_constants(layer)), **watched) + more
    size = structure.batch * layer.n_post
    namespace = {
        each.name: call(each.unit) for each in calls(layer, name, fine=structure.fine)
    } | number_functions(brian2, structure.dtype)
    # Grid mode: statements in place of an ODE.
    if not structure.fine:
        group = checked_group(
            brian2, model.name, size, equations, threshold="z > 0", name=name, namespace=namespace
        )
        group.run_regularly(grid_update(model, structure.dtype, **watched), when=f"{name}_update")
        return group
    # A read-out in fine mode: statements too, and no spikes.
    if kept:
        group = checked_group(
            brian2, model.name, size, equations, threshold="i < 0", name=name, namespace=namespace
        )
        group.run_regularly(
            kept_update(model, structure.dtype, seen=watched["seen"]), when=f"{name}_update"
        )
        return group
    # Fine mode: the ODE with its method, threshold and reset.
    group = checked_group(
        brian2, model.name, size, equations, name=name, namespace=namespace, **fine_options(model)
    )
    group.state_updater.when = f"{name}_update"
    if "spike" in group.resetter:
        group.resetter["spike"].when = f"{name}_reset"
    if drawn := [f"{name} = {name}_call(i, t_in_timesteps)" for name in model.draws]:
        # Before the ODE, whose noise may read them.
        group.run_regularly("\n".join(drawn), when=f"{name}_sum", order=1)
    before = []
    jumps = "\n".join(
        f"{state} = {state} + {jump_of(name)}" for name, state in model.inputs.items()
    )
    if model.input_kind == "early_impulse":
        group.run_regularly(jumps, when=f"{name}_sum", order=1)
    if model.input_kind == "impulse":
        before += [jumps]
    if before:
        group.run_regularly("\n".join(before), when=f"{name}_jump")
    if any(watched.values()):
        group.run_regularly(_watch_text(model, structure.dtype, **watched), when=f"{name}_watch")
    return group


def fine_options(model: NeuronModel) -> dict[str, str]:
    """Return threshold, reset, refractoriness and method of a card's ODE for a NeuronGroup."""
    continuous = model.continuous
    assert continuous is not None
    options = {"threshold": condition(continuous.threshold) or "i < 0", "method": continuous.method}
    options |= {"reset": statements(continuous.reset)} if continuous.reset else {}
    # Brian2 dates a spike at the beginning of its (sub-)step, so that a period of n steps alone
    # would keep the neuron refractory for n - 1.
    period = (
        f"{continuous.refractory} + dt"
        if continuous.refractory in model.constant_units
        else condition(continuous.refractory)
    )
    return options | ({"refractory": period} if period else {})


def _watch_text(model: NeuronModel, dtype: str, *, gap: bool, seen: bool) -> str:
    assert model.continuous is not None
    code = ThreeAddress(dtype)
    if not model.continuous.threshold:
        return "\n".join(watch(model.membrane, None, gap=False, seen=seen))
    left, _, right = comparisons(parse_expression(model.continuous.threshold, "threshold"))[0]
    return "\n".join(code.lines + watch(code.value(left), code.value(right), gap=gap, seen=seen))


def check_units(brian2: Package, model: NeuronModel) -> None:
    """Let Brian2, on its NumPy target, check the units of the declared step.

    The step itself runs on plain numbers.
    """
    from brian2.equations.unitcheck import check_units_statements

    functions = {
        f"{name}_call": brian2.Function(lambda *_: 0.0, arg_units=[1, 1], return_unit=1)
        for name in model.draws
    }
    functions |= {
        f"{name}_call": brian2.Function(
            lambda *_: 0.0, arg_units=[1, 1, None], return_unit=lambda _i, _t, x: x
        )
        for name in model.kernels
    }
    group = checked_group(
        brian2,
        model.name,
        1,
        unit_equations(model),
        namespace=functions | number_functions(brian2, "float64"),
        name="units*",
    )
    # Only the names that the step reads are looked up.
    with explained(model.name):
        code = grid_update(model, "float64", gap=False, seen=False)
        names = set(re.findall(r"[A-Za-z_]\w*", code))
        known = group.resolve_all(
            sorted(names & {*group.variables, *group.namespace, *_FUNCTIONS}), run_namespace={}
        )
        check_units_statements(code, known)


def checked_group(
    brian2: Package, card: str, size: int, equations: str, **options: object
) -> BrianObject:
    """Make a group of neurons, and let Brian2 check the units of its equations now."""
    with explained(card):
        group = brian2.NeuronGroup(size, equations, **{"namespace": {}, **options})
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
        raise RefsimError(
            f"card '{card}': Brian2 refuses its equations: {_reason(error)}"
        ) from None


def _reason(error: BaseException) -> str:
    """Return the innermost message of a chain of errors, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())


def layer_constants(layer: Layer) -> list[str]:
    """Return the names of the constants that differ from neuron to neuron."""
    return [name for name, value in layer.constants(1e-3).items() if np.ndim(value)]


def start_values(structure: Structure) -> list[list[tuple[str, float | Floats]]]:
    """Return the value of each variable at the start of a sample, one list a layer.

    Constants come first, in double precision, and then the states.
    """
    rows = []
    for layer in structure.network.layers:
        model = layer.model
        row: list[tuple[str, float | Floats]] = [
            *layer.constants(structure.network.dt).items(),
            (STEP, structure.network.dt),
        ]
        row += layer.starts(states_in(model, fine=structure.fine)).items()
        row += [(name, 0.0) for name in model.inputs] + [("gap", FAR)] * structure.gap
        # In fine mode an impulse, a read-out and a refractory period have variables of their own.
        if structure.fine:
            row += [(jump_of(name), 0.0) for name in model.inputs] + [(ARRIVED, 0.0)] * bool(
                model.discrete.over_steps
            )
            row += (
                [("lastspike", -1e4), ("not_refractory", 1.0)]
                if model.continuous and model.continuous.refractory
                else []
            )
        rows.append(row)
    return rows


def cpp_functions(structure: Structure) -> dict[str, str]:
    """Return the C++ text of every function that the network calls."""
    layers, real, batch = structure.network.layers, structure.real, structure.batch
    # At the start of a chunk all variables are filled, and at its end the gaps are written.
    fills, flushes, count = [], [], 0
    for index, row in enumerate(start_values(structure)):
        name, n_post = group_name(index), layers[index].n_post
        for variable, value in row:
            array, width = (
                f"brian::_array_{name}_{variable}",
                max(1, np.size(value) if np.ndim(value) else 1),
            )
            size = 1 if _is_shared(variable, layers[index], value) else batch * n_post
            fills.append(
                f"    for (int64_t i = 0; i < {size}; i++) {array}[i] = next[i % {width}];\n    "
                f"next += {width};"
            )
            count += width
        if structure.gap:
            flushes.append(_FLUSH.replace("@NAME@", name).replace("@POST@", str(n_post)))
    texts = {
        "begin": fill_template(
            "begin.cpp",
            "begin",
            real,
            batch,
            VALUES=count,
            CLOCK="brian::_array_defaultclock_dt",
            FILL="\n".join(fills),
        ),
        "end": fill_template(
            "end.cpp",
            "end",
            real,
            batch,
            FLUSH="\n".join(flushes),
            STOP=_STOP if structure.traces else _LEAVE,
        ),
    }
    # Of each layer: its own functions, a product an input, the threshold and the recorder.
    for index, layer in enumerate(layers):
        name = group_name(index)
        texts |= {
            each.unit: cpp_text(layer, index, each, real, batch)
            for each in calls(layer, name, fine=structure.fine)
        }
        parts = connections_of(
            layer, structure.source, [source.model.discrete.payload for source in layers]
        )
        for given in layer.model.inputs:
            texts[f"{name}_{product_of(given)}"] = product_code(
                name, given, real, batch, index, layer, structure.mode(layer), parts
            )
        if not structure.fine:
            texts[f"{name}_threshold"] = fill_template(
                "threshold.cpp",
                f"{name}_threshold",
                real,
                batch,
                POST=layer.n_post,
                FIRED=f"brian::_array_{name}_z",
                SPIKES=f"brian::_array_{name}__spikespace",
            )
        texts[f"{name}_record"] = fill_template(
            "record.cpp",
            f"{name}_record",
            real,
            batch,
            LAYER=name,
            POST=layer.n_post,
            SPIKES=f"brian::_array_{name}__spikespace",
        )
    return texts


def _is_shared(variable: str, layer: Layer, value: float | Floats) -> bool:
    constants = {*layer.model.parameters, *layer.model.derived, STEP}
    return variable in constants and not np.ndim(value)


# Brian2 writes the values of all its variables at the end, one file each. Without traces nobody
# reads them, and the program leaves before that.
_STOP, _LEAVE = "Network::_globally_stopped = true;", "_exit(fflush(NULL) ? 4 : 0);"
_FLUSH = """    {
        static FILE* file = fopen("@NAME@_gap.bin", "wb");
        for (int64_t sample = 0; sample < BATCH; sample++) {
            const real* gap = brian::_array_@NAME@_gap + sample*@POST@;
            int64_t nearest = 0;
            for (int64_t m = 1; m < @POST@; m++) if (gap[m] < gap[nearest]) nearest = m;
            const double found[2] = {(double)gap[nearest], (double)nearest};
            fwrite(found, sizeof(double), 2, file);
        }
        if ((now + 1)/length == plan->chunks) fclose(file);
    }"""
