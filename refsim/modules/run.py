"""Whether a module hands its layers of neurons the states that they had.

A layer that starts elsewhere, or is set back each step, is another neuron.

Run a module once on zeros to see how it takes its input, in which order its layers of neurons run,
and what they give.
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
)

_NONE: tuple[Any, ...] = ()
_NOT_CONTINUED = (
    "does not go on from the state that it had: it starts from another, is set back or changed "
    "between steps, or its state is not handed back; "
    "keep it in the module, or let forward(x, a=None, b=None) return (output, a, b)"
)
# The start, the first state that is handed on, and one that was handed on before.
_STEPS_WATCHED = 3


class StateFault(str):
    """Why a layer is no neuron of its card, whatever its input is like."""

    __slots__ = ()


def state_fault(
    module: nn.Module, parts: tuple[NeuronLayer, ...], feeding: Feeding, n_samples: int
) -> str:
    """Return the first layer whose states are not those that it had, or whose parameters change
    while it runs, and what to do; or nothing.

    Each layer is given random numbers in place of its input, and must answer in each step as a copy
    of it that is stepped by itself. refsim's own layers keep their states themselves and may draw
    random numbers; they are not asked, nor are pools, which have none.

    Parameters
    ----------
    parts : tuple of NeuronLayer
    feeding : Feeding
        How the module is run.
    n_samples : int
    """
    copied, found = evaluation_copy(module), list[str]()
    inside = dict(copied.named_modules())
    for part in parts:
        if part.framework not in (REFSIM, POOLING):
            inside[part.name].forward = _beside(inside[part.name], part, n_samples, found)
    like = next(
        (each for each in nn.Module.parameters(copied) if each.is_floating_point()), torch.zeros(1)
    )
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        feeding.run(
            copied,
            [torch.zeros(n_samples, feeding.width, dtype=like.dtype, device=like.device)]
            * _STEPS_WATCHED,
        )
    return StateFault(found[0]) if found else ""


def _beside(
    inner: nn.Module, part: NeuronLayer, n_samples: int, found: list[str]
) -> Callable[..., Any]:
    """Return a forward that steps a layer as it is called, and beside it copies that go on from
    their own last state.
    """
    called = inner.forward
    copies = [_SteppedApart(inner, part, n_samples) for _ in range(2)]
    random, numbers = torch.Generator().manual_seed(0), _numbers(inner, part)

    def forward(x: Tensor, *states: Any, **more: Any) -> Any:
        drawn = 3 * torch.randn(x.shape, generator=random, dtype=torch.float64).to(x)
        given = _in_order(called, drawn, states, more)
        output = called(drawn, *states, **more)
        own, again = (copy.step(drawn, given) for copy in copies)
        # A layer that draws random numbers is refused, or told, for that.
        if not _same(output, own) and _same(own, again):
            found.append(f"'{part.name}' {_moved(inner, part, numbers) or _NOT_CONTINUED}")
        return output

    return forward


def _numbers(inner: nn.Module, part: NeuronLayer) -> dict[str, Any]:
    """Return the attributes of a layer that its card reads, as they are now."""
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


def _moved(inner: nn.Module, part: NeuronLayer, numbers: dict[str, Any]) -> str:
    """Return that a parameter is not what it was at the start, which a card cannot say.

    Nothing where none moved.
    """
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


def _alike(start: Any, now: Any) -> bool:
    ours, theirs = (torch.as_tensor(each, dtype=torch.float64) for each in (start, now))
    return ours.shape == theirs.shape and torch.equal(ours, theirs)


class _SteppedApart:
    """A copy of a layer, stepped by itself."""

    def __init__(self, inner: nn.Module, part: NeuronLayer, n_samples: int) -> None:
        self.inner, self.handed_on, self.last, self.n_given = (
            evaluation_copy(inner),
            part.framework.handed_on,
            _NONE,
            0,
        )
        forget(self.inner)
        expect(self.inner, n_samples)

    def step(self, x: Tensor, given: tuple[Any, ...]) -> Any:
        """Return its output.

        A layer that cannot do without states (snnTorch's RSynaptic that resets at once) starts from
        those that it is `given`, if they are all 0, and goes on from its own, the last of what it
        returns.
        """
        try:
            output = self.inner.forward(x, *self.last)
        except Exception:  # a framework's layer raises anything
            if self.last or not given or any(state.any() for state in tensors_in(given)):
                raise
            self.n_given = len(given)
            output = self.inner.forward(x, *given)
        if self.handed_on:
            self.last = (output[1],)
        elif self.n_given:
            self.last = output[-self.n_given :]
        return output


def _in_order(
    called: Callable[..., Any], x: Tensor, states: tuple[Any, ...], more: dict[str, Any]
) -> tuple[Any, ...]:
    """Return the states of a call in the order of the layer's own arguments."""
    return (
        tuple(inspect.signature(called).bind(x, *states, **more).arguments.values())[1:]
        if more
        else states
    )


def _same(output: Any, own: Any) -> bool:
    """Whether two answers hold the same numbers, to within the rounding of one step."""
    pairs = zip(tensors_in((first(output), output)), tensors_in((first(own), own)), strict=False)
    return all(
        a.shape == b.shape
        and torch.allclose(a, b, rtol=64 * torch.finfo(b.dtype).eps, atol=1e-6, equal_nan=True)
        for a, b in pairs
        if b.is_floating_point()
    )


BATCH, _STEPS = 3, 2  # two numbers that cannot be taken for one another
_SHAPE = option("input_shape", (2, 34, 34))  # an example


@dataclass(frozen=True)
class DryRun:
    """What a run showed: how the module is fed.

    Of each layer of neurons, in the order in which a step runs them, shape, output and states by
    place; what it gives.
    """

    feeding: Feeding
    parts: tuple[NeuronLayer, ...]
    shapes: tuple[tuple[int, ...], ...]
    outputs: tuple[Any, ...]
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
    parts : sequence of NeuronLayer
    shape : tuple of int or None
        Of one sample in one step; None: as wide as one of its Linear layers.
    layout : str or None
        One of ``LAYOUTS``; None: the first that fits.

    Raises
    ------
    RefsimError
        With what was tried, and the option to give.
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
    shapes = [tuple(shape)] if shape is not None else widths(module)
    if not shapes:
        raise RefsimError(f"module: does not say how wide its input is; give it, as in {_SHAPE}.")
    tried: dict[str, list[str]] = {}  # why, and in which layouts
    for each in shapes:
        for name in [layout] if layout else likely(parts):
            found: DryRun | str = ""
            for carries in ways_to_carry(module) if name == "step" else ("",):
                found = _try(module, parts, Feeding(name, each, carries=carries))
                if isinstance(found, DryRun):
                    return _with_states(module, parts, found)
            assert isinstance(found, str)
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
    """Return that some layers take one step a call and others all steps at once, which nothing can
    feed; nothing where they agree.
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
    """Return a run with states handed back, where one without them went well, but the module gives
    as many beside its output as it can take beside its input.
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
    """Return the widths that its linear maps, or layers that say theirs, take."""
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
    """Return the layouts that the layers can be fed in, the likeliest first."""
    axes = {part.axes for part in parts}
    if "batch and time" in axes:
        return ("batch and time", "batch first", "time first", "held")
    if "batch first" in axes:
        return ("batch first", "time first", "held")
    return ("time first", "batch first", "held") if "time first" in axes else LAYOUTS


def _try(module: nn.Module, parts: Sequence[NeuronLayer], feeding: Feeding) -> DryRun | str:
    """Return what a run showed, or why the layout does not fit."""
    layout, copied = feeding.layout, evaluation_copy(module)
    inside = dict(copied.named_modules())
    calls: dict[str, list[tuple[Tensor, Any]]] = {}
    forget(copied)
    before = {part.name: tensor_identities(inside[part.name]) for part in parts}
    for part in parts:
        inside[part.name].register_forward_hook(
            lambda _part, given, output, name=part.name: calls.setdefault(name, []).append(
                (first_argument(given), output)
            )
        )
    like = next(
        (each for each in nn.Module.parameters(copied) if each.is_floating_point()), torch.zeros(1)
    )
    zeros = torch.zeros(BATCH, feeding.width, dtype=like.dtype, device=like.device)
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
    if missing := [part.name for part in parts if part.name not in calls]:
        return f"never runs '{missing[0]}'"
    named = {
        part.name: replace(part, axes=part.axes or _shown(calls[part.name][0][0], layout))
        for part in parts
    }
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
    # refsim's own layers also keep the spikes that they sent, which a module may take by that name
    states = tuple(
        {} if named[name].framework is REFSIM else shown_states(inside[name], before[name])
        for name in calls
    )
    outputs = tuple(each[0][1] for each in calls.values())
    return DryRun(
        fed, ran, tuple(shapes), outputs, states, answer_of(gave, layout, own or _STEPS, BATCH)
    )


def _shown(given: Tensor, layout: str) -> str:
    """Return how a part that does not care takes time.

    One step a call, or many, in the order in which the module is fed.
    """
    if len(given) == BATCH:
        return "step"
    return "batch and time" if layout.startswith("batch") else "time and batch"
