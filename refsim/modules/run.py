"""One run of a module on zeros, which shows how it works: the dry run.

`dry_run` finds how the module takes its input, in which order its layers of neurons run, and what
they return. `state_fault` then asks whether the module hands each layer the state that it had: a
layer that starts elsewhere, or is set back in each step, is another neuron than its card says.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import RefsimError, first_line, option
from .call import (
    LAYOUTS,
    Answer,
    Feeding,
    answer_of,
    first_argument,
    in_time,
    needed_states,
    states_taken,
    ways_to_carry,
)
from .find import POOLING, NeuronLayer, attribute, framework_of
from .frameworks.framework import first
from .frameworks.refsim import REFSIM
from .states import (
    evaluation_copy,
    expect,
    forget,
    parts_inside,
    shown_states,
    tensor_identities,
    tensors_in,
    zeros_for,
)

_NOT_CONTINUED = (
    "does not go on from the state that it had: it starts from another, is set back or changed "
    "between steps, or its state is not handed back; "
    "keep it in the module, or let forward(x, a=None, b=None) return (output, a, b)"
)
# Three steps show the start, the first state that is handed on, and one handed on before.
_STEPS_WATCHED = 3


class StateFault(str):
    """Why a layer is no neuron of its card, whatever layout its input has."""

    __slots__ = ()


def state_fault(
    module: nn.Module, parts: tuple[NeuronLayer, ...], feeding: Feeding, n_samples: int
) -> str:
    """Return the first layer that does not go on from its own state, in words; empty for none.

    A layer whose parameters change while it runs is reported too. Each layer is given random
    numbers in place of its input, and must answer in each step as a copy of it that runs by itself.
    Layers of refsim are left out, since they keep their states themselves and may draw random
    numbers; pools are left out, since they have no states.

    Parameters
    ----------
    module : nn.Module
    parts : tuple of NeuronLayer
    feeding : Feeding
        How the module is run.
    n_samples : int
    """
    copied, found = evaluation_copy(module), list[str]()
    # Each layer is replaced by one that compares it with copies of itself.
    inside = dict(copied.named_modules())
    for part in parts:
        if part.framework not in (REFSIM, POOLING):
            inside[part.name].forward = _watched(inside[part.name], part, n_samples, found)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        feeding.run(
            copied,
            [zeros_for(copied, n_samples, feeding.width)] * _STEPS_WATCHED,
        )
    return StateFault(found[0]) if found else ""


def _watched(
    inner: nn.Module, part: NeuronLayer, n_samples: int, found: list[str]
) -> Callable[..., object]:
    """Return a forward that runs a layer as it is called, and two copies from their own states.

    Where the layer differs from a copy, and the copies agree, the fault is added to `found`.
    """
    called = inner.forward
    copies = [_SteppedApart(inner, part, n_samples) for _ in range(2)]
    # The same random numbers for the layer and its copies, the same in each run.
    random, numbers = torch.Generator().manual_seed(0), _numbers(inner, part)

    def forward(x: Tensor, *states: object, **more: object) -> object:
        drawn = 3 * torch.randn(x.shape, generator=random, dtype=torch.float64).to(x)
        given = _in_order(called, drawn, states, more)
        output = called(drawn, *states, **more)
        own, again = (copy.step(drawn, given) for copy in copies)
        # Copies that differ draw random numbers, which is reported elsewhere.
        if not _same(output, own) and _same(own, again):
            found.append(f"'{part.name}' {_moved(inner, part, numbers) or _NOT_CONTINUED}")
        return output

    return forward


def _numbers(inner: nn.Module, part: NeuronLayer) -> dict[str, object]:
    """Return the attributes of a layer that its card reads, with their present values."""
    now, said = replace(part, module=inner), part.layer
    paths = (
        {path.removesuffix("?"): attribute(now, path) for path in said.attributes.values()}
        if said
        else {}
    )
    return {
        path: value.detach().clone() if isinstance(value, Tensor) else value
        for path, value in paths.items()
    }


def _moved(inner: nn.Module, part: NeuronLayer, numbers: dict[str, object]) -> str:
    """Return in words which parameters changed since the start; empty where none did."""
    now = _numbers(inner, part)
    moved = [
        path
        for path, value in numbers.items()
        if value is not None and not _alike(value, now[path])
    ]
    if not moved:
        return ""
    return (
        f"has another {' and another '.join(moved)} in a later step than at the start; the "
        "parameters of a card stay as they are, so that no card says it"
    )


def _alike(start: object, now: object) -> bool:
    """Return whether two values of a parameter are equal."""
    ours, theirs = (torch.as_tensor(each, dtype=torch.float64) for each in (start, now))
    return ours.shape == theirs.shape and torch.equal(ours, theirs)


class _SteppedApart:
    """A copy of a layer that runs by itself, and goes on from its own state."""

    def __init__(self, inner: nn.Module, part: NeuronLayer, n_samples: int) -> None:
        self.inner, self.handed_on = evaluation_copy(inner), part.framework.handed_on
        self.last: tuple[object, ...] = ()  # the states of its last step
        self.n_given = 0  # how many states it could not run without
        forget(self.inner)
        expect(self.inner, n_samples)

    def step(self, x: Tensor, given: tuple[object, ...]) -> Any:
        """Return the output of one step.

        A layer that cannot run without states, such as snnTorch's RSynaptic that resets at once,
        starts from those that it is `given`, if they are all 0. Its own states are then the last
        things that it returns.
        """
        try:
            output = self.inner.forward(x, *self.last)
        except Exception:  # a framework's layer raises anything
            if self.last or not given or any(state.any() for state in tensors_in(given)):
                raise
            self.n_given = len(given)
            # It could not run without states, and is given those of the first step.
            output = self.inner.forward(x, *given)
        if self.handed_on:
            self.last = (output[1],)
        elif self.n_given:
            self.last = output[-self.n_given :]
        return output


def _in_order(
    called: Callable[..., object], x: Tensor, states: tuple[object, ...], more: dict[str, object]
) -> tuple[object, ...]:
    """Return the states of a call in the order of the arguments of the layer."""
    return (
        tuple(inspect.signature(called).bind(x, *states, **more).arguments.values())[1:]
        if more
        else states
    )


def _same(output: object, own: object) -> bool:
    """Return whether two answers hold the same numbers, to within the rounding of one step."""
    pairs = zip(tensors_in((first(output), output)), tensors_in((first(own), own)), strict=False)
    return all(
        a.shape == b.shape
        and torch.allclose(a, b, rtol=64 * torch.finfo(b.dtype).eps, atol=1e-6, equal_nan=True)
        for a, b in pairs
        if b.is_floating_point()
    )


BATCH, _STEPS = 3, 2  # two different numbers, so that no axis is taken for the other
_SHAPE = option("input_shape", (2, 34, 34))  # an example


@dataclass(frozen=True)
class DryRun:
    """What a run on zeros showed.

    Attributes
    ----------
    feeding : Feeding
        How the module takes its input.
    parts : tuple of NeuronLayer
        Its layers of neurons, in the order in which a step runs them.
    shapes, outputs, states : tuple
        The shape of each layer without batch and time, its first output, and its states by place.
    answer : Answer or None
        How what the module returns lies in time; None where it is no batch of numbers.
    """

    feeding: Feeding
    parts: tuple[NeuronLayer, ...]
    shapes: tuple[tuple[int, ...], ...]
    outputs: tuple[object, ...]
    states: tuple[Mapping[tuple[str, str], Tensor], ...]
    answer: Answer | None = None


def dry_run(
    module: nn.Module,
    parts: Sequence[NeuronLayer],
    shape: tuple[int, ...] | None,
    layout: str | None,
) -> DryRun:
    """Run a copy of a module on zeros.

    Parameters
    ----------
    module : nn.Module
    parts : sequence of NeuronLayer
        Its layers of neurons.
    shape : tuple of int or None
        The shape of one sample in one step; None: as wide as one of its Linear layers.
    layout : str or None
        One of ``LAYOUTS``; None: the first that fits.

    Raises
    ------
    RefsimError
        Where the module runs in no layout; the message says what was tried, and what to give.
    """
    if any(each.is_meta for each in (*nn.Module.parameters(module), *nn.Module.buffers(module))):
        raise RefsimError(
            "module: lies on the meta device, which holds no numbers; load its weights first."
        )
    if not parts:
        raise RefsimError(
            "module: has no layer of neurons that refsim knows; it reads its own layers and "
            "those of the frameworks that README.md names."
        )
    if layout is not None and layout not in LAYOUTS:
        raise RefsimError(
            f"module: layout must be one of {', '.join(map(repr, LAYOUTS))}, but is {layout!r}."
        )
    # Without a shape, the widths of the Linear layers are tried.
    shapes = [tuple(shape)] if shape is not None else widths(module)
    if not shapes:
        raise RefsimError(f"module: does not say how wide its input is; give it, as in {_SHAPE}.")
    # Every width and layout is tried, the likeliest first, until one fits.
    tried: dict[str, list[str]] = {}  # reasons, and the layouts that failed for them
    for each in shapes:
        for name in [layout] if layout else likely(parts):
            found: DryRun | str = ""
            for carries in ways_to_carry(module) if name == "step" else ("",):
                found = _try(module, parts, Feeding(name, each, carries=carries))
                if isinstance(found, DryRun):
                    return _with_states(module, parts, found)
            assert isinstance(found, str)
            # Another layout would not help a layer that loses its state.
            if isinstance(found, StateFault):
                raise RefsimError(f"module: {found}.")
            if each == shapes[0]:
                tried.setdefault(found, []).append(repr(name))
    if mixed := _mixed(parts):
        raise RefsimError(f"module: {mixed}")
    reasons = "; ".join(
        f"in layout {', '.join(names)}: {reason.rstrip('.')}" for reason, names in tried.items()
    )
    raise RefsimError(
        f"module: cannot be run on zeros of shape {shapes[0]} {reasons}. Give {_SHAPE}, and "
        f"{option('layout', LAYOUTS[1])}, one of {', '.join(LAYOUTS)}."
    )


def _mixed(parts: Sequence[NeuronLayer]) -> str:
    """Return that some layers take one step a call and others all steps at once.

    No input fits both. The answer is empty where the layers agree.
    """
    single, whole = (
        [part.name for part in parts if part.axes in axes]
        for axes in (("step",), ("time first", "batch first", "batch and time"))
    )
    if not single or not whole:
        return ""
    return (
        f"some layers take one step a call ({', '.join(map(repr, single))}), others all steps at "
        f"once ({', '.join(map(repr, whole))}), and no input fits both; "
        'set one mode for all, such as functional.set_step_mode(net, "m") of SpikingJelly.'
    )


def _with_states(module: nn.Module, parts: Sequence[NeuronLayer], found: DryRun) -> DryRun:
    """Return a run with states handed back, where the module seems to want that, else the same run.

    It does where it returns as many things beside its output as it can take beside its input.
    """
    feeding, taken = found.feeding, states_taken(module)
    if (
        feeding.layout != "step"
        or feeding.carries
        or not taken
        or feeding.given_back(evaluation_copy(module), BATCH) != taken
    ):
        return found
    again = _try(module, parts, replace(feeding, carries="rest"))
    return again if isinstance(again, DryRun) else found


def widths(module: nn.Module) -> list[tuple[int, ...]]:
    """Return the widths of the input that its linear maps, or its layers, ask for."""
    found: list[int | None] = []
    for part in parts_inside(module):
        framework = framework_of(part)
        found += (
            [part.in_features]
            if isinstance(part, nn.Linear)
            else [framework.width(part)]
            if framework
            else []
        )
    return list(dict.fromkeys((each,) for each in found if each))


def likely(parts: Sequence[NeuronLayer]) -> tuple[str, ...]:
    """Return the layouts that fit the layers, the likeliest first."""
    axes = {part.axes for part in parts}
    if "batch and time" in axes:
        return ("batch and time", "batch first", "time first", "held")
    if "batch first" in axes:
        return ("batch first", "time first", "held")
    return ("time first", "batch first", "held") if "time first" in axes else LAYOUTS


def _try(module: nn.Module, parts: Sequence[NeuronLayer], feeding: Feeding) -> DryRun | str:
    """Return what a run in one layout showed, or why the layout does not fit."""
    layout, copied = feeding.layout, evaluation_copy(module)
    inside = dict(copied.named_modules())
    calls: dict[str, list[tuple[Tensor, object]]] = {}
    forget(copied)
    # Hooks note what each layer is given and returns.
    before = {part.name: tensor_identities(inside[part.name]) for part in parts}
    for part in parts:
        inside[part.name].register_forward_hook(
            lambda _part, given, output, name=part.name: calls.setdefault(name, []).append(
                (first_argument(given), output)
            )
        )
    zeros = zeros_for(copied, BATCH, feeding.width)
    try:
        with torch.no_grad():
            gave = feeding.run(copied, [zeros] * _STEPS)
    except Exception as error:
        needed = needed_states(copied)
        return (
            (
                f"its forward needs {', '.join(needed)} besides its input, and does not take None "
                f"({first_line(error)})"
            )
            if needed
            else first_line(error)
        )
    # All layers must run, each as often as there are steps, on a batch of the right size.
    if missing := [part.name for part in parts if part.name not in calls]:
        return f"never runs '{missing[0]}'"
    named = {
        part.name: replace(part, axes=part.axes or _shown(calls[part.name][0][0], layout))
        for part in parts
    }
    # Every layer must have run the same number of steps, which its calls show together.
    steps, shapes = set(), []
    for name, each in calls.items():
        part = named[name]
        try:
            times = [
                part.framework.arriving(part.module, in_time(x, part.axes, BATCH)) for x, _ in each
            ]
        except RuntimeError as error:
            return first_line(error)
        if any(x.ndim < 3 or x.shape[1] != BATCH for x in times):
            return f"'{name}' gets {tuple(each[0][0].shape)}, which is no batch of {BATCH}"
        steps.add(sum(len(x) for x in times))
        shapes.append(tuple(times[0].shape[2:]))
    if len(steps) > 1 or (layout != "held" and steps != {_STEPS}):
        return (
            f"its layers of neurons run {' and '.join(map(str, sorted(steps)))} steps for "
            f"{1 if layout == 'held' else _STEPS}"
        )
    own = steps.pop() if layout == "held" else 0
    fed, ran = replace(feeding, own_steps=own), tuple(named[name] for name in calls)
    if reason := state_fault(module, ran, fed, BATCH):
        return reason
    # Layers of refsim also keep the spikes that they sent, which a module may read there.
    states = tuple(
        {} if named[name].framework is REFSIM else shown_states(inside[name], before[name])
        for name in calls
    )
    outputs = tuple(each[0][1] for each in calls.values())
    return DryRun(
        fed, ran, tuple(shapes), outputs, states, answer_of(gave, layout, own or _STEPS, BATCH)
    )


def _shown(given: Tensor, layout: str) -> str:
    """Return how a part that takes any layout takes time: as its input in the run shows."""
    if len(given) == BATCH:
        return "step"
    return "batch and time" if layout.startswith("batch") else "time and batch"
