"""Run a module once on zeros to see how it takes its input, in which order its layers of neurons run, and what they give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import RefsimError, first_line, option
from .answer import Answer, answer_of
from .carrying import Astray, astray
from .feeding import LAYOUTS, Feeding, heard, in_time, needed_states, states_taken, ways_to_carry
from .own import OWN
from .parts import Part, framework_of
from .states import forget, parts_inside, places, shown_states, twin

BATCH, _STEPS = 3, 2  # two numbers that cannot be taken for one another
_SHAPE = option("input_shape", (2, 34, 34))  # an example


@dataclass(frozen=True)
class Tried:
    """What a run showed: how the module is fed; of each layer of neurons, in the order in which a step runs them, shape, output and states by place; what it gives."""

    feeding: Feeding
    parts: tuple[Part, ...]
    shapes: tuple[tuple[int, ...], ...]
    outputs: tuple[Any, ...]
    states: tuple[Mapping[tuple[str, str], Tensor], ...]
    answer: Answer | None = None


def try_out(module: nn.Module, parts: Sequence[Part], shape: tuple[int, ...] | None, layout: str | None) -> Tried:
    """Run a copy of a module on zeros.

    Parameters
    ----------
    parts : sequence of Part
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
        raise RefsimError("module: lies on the meta device, which holds no numbers; load its weights first.")
    if not parts:
        raise RefsimError("module: has no layer of neurons that refsim knows; it reads its own layers and those of the frameworks that README.md names.")
    if layout is not None and layout not in LAYOUTS:
        raise RefsimError(f"module: layout must be one of {', '.join(map(repr, LAYOUTS))}, but is {layout!r}.")
    shapes = [tuple(shape)] if shape is not None else widths(module)
    if not shapes:
        raise RefsimError(f"module: does not say how wide its input is; give it, as in {_SHAPE}.")
    tried: dict[str, list[str]] = {}  # why, and in which layouts
    for each in shapes:
        for name in [layout] if layout else likely(parts):
            found: Tried | str = ""
            for carries in ways_to_carry(module) if name == "step" else ("",):
                found = _try(module, parts, Feeding(name, each, carries=carries))
                if isinstance(found, Tried):
                    return _with_states(module, parts, found)
            assert isinstance(found, str)
            if isinstance(found, Astray):
                raise RefsimError(f"module: {found}.")
            if each == shapes[0]:
                tried.setdefault(found, []).append(repr(name))
    if mixed := _mixed(parts):
        raise RefsimError(f"module: {mixed}")
    reasons = "; ".join(f"in layout {', '.join(names)}: {reason.rstrip('.')}" for reason, names in tried.items())
    raise RefsimError(
        f"module: cannot be run on zeros of shape {shapes[0]} {reasons}. Give {_SHAPE}, and {option('layout', LAYOUTS[1])}, one of {', '.join(LAYOUTS)}."
    )


def _mixed(parts: Sequence[Part]) -> str:
    """Return that some layers take one step a call and others all steps at once, which nothing can feed; nothing where they agree."""
    single, whole = ([part.name for part in parts if part.axes in axes] for axes in (("step",), ("time first", "batch first", "batch and time")))
    if not single or not whole:
        return ""
    return (
        f"some layers take one step a call ({', '.join(map(repr, single))}), others all steps at once ({', '.join(map(repr, whole))}), and no input fits both; "
        'set one mode for all, such as functional.set_step_mode(net, "m") of SpikingJelly.'
    )


def _with_states(module: nn.Module, parts: Sequence[Part], found: Tried) -> Tried:
    """Return a run with states handed back, where one without them went well, but the module gives as many beside its output as it can take beside its input."""
    feeding, taken = found.feeding, states_taken(module)
    if feeding.layout != "step" or feeding.carries or not taken or feeding.given_back(twin(module), BATCH) != taken:
        return found
    again = _try(module, parts, replace(feeding, carries="rest"))
    return again if isinstance(again, Tried) else found


def widths(module: nn.Module) -> list[tuple[int, ...]]:
    """Return the widths that its linear maps, or layers that say theirs, take."""
    found: list[int | None] = []
    for part in parts_inside(module):
        framework = framework_of(part)
        found += [part.in_features] if isinstance(part, nn.Linear) else [framework.width(part)] if framework else []
    return list(dict.fromkeys((each,) for each in found if each))


def likely(parts: Sequence[Part]) -> tuple[str, ...]:
    """Return the layouts that the layers can be fed in, the likeliest first."""
    axes = {part.axes for part in parts}
    if "batch and time" in axes:
        return ("batch and time", "batch first", "time first", "held")
    if "batch first" in axes:
        return ("batch first", "time first", "held")
    return ("time first", "batch first", "held") if "time first" in axes else LAYOUTS


def _try(module: nn.Module, parts: Sequence[Part], feeding: Feeding) -> Tried | str:
    """Return what a run showed, or why the layout does not fit."""
    layout, copied = feeding.layout, twin(module)
    inside = dict(copied.named_modules())
    calls: dict[str, list[tuple[Tensor, Any]]] = {}
    forget(copied)
    before = {part.name: places(inside[part.name]) for part in parts}
    for part in parts:
        inside[part.name].register_forward_hook(lambda _part, given, output, name=part.name: calls.setdefault(name, []).append((heard(given), output)))
    like = next((each for each in nn.Module.parameters(copied) if each.is_floating_point()), torch.zeros(1))
    zeros = torch.zeros(BATCH, feeding.width, dtype=like.dtype, device=like.device)
    try:
        with torch.no_grad():
            gave = feeding.run(copied, [zeros] * _STEPS)
    except Exception as error:
        needed = needed_states(copied)
        return f"its forward needs {', '.join(needed)} besides its input, and does not take None ({first_line(error)})" if needed else first_line(error)
    if missing := [part.name for part in parts if part.name not in calls]:
        return f"never runs '{missing[0]}'"
    named = {part.name: replace(part, axes=part.axes or _shown(calls[part.name][0][0], layout)) for part in parts}
    steps, shapes = set(), []
    for name, each in calls.items():
        part = named[name]
        try:
            times = [part.framework.arriving(part.module, in_time(x, part.axes, BATCH)) for x, _ in each]
        except RuntimeError as error:
            return first_line(error)
        if any(x.ndim < 3 or x.shape[1] != BATCH for x in times):
            return f"'{name}' gets {tuple(each[0][0].shape)}, which is no batch of {BATCH}"
        steps.add(sum(len(x) for x in times))
        shapes.append(tuple(times[0].shape[2:]))
    if len(steps) > 1 or (layout != "held" and steps != {_STEPS}):
        return f"its layers of neurons run {' and '.join(map(str, sorted(steps)))} steps for {1 if layout == 'held' else _STEPS}"
    own = steps.pop() if layout == "held" else 0
    fed, ran = replace(feeding, own_steps=own), tuple(named[name] for name in calls)
    if reason := astray(module, ran, fed, BATCH):
        return reason
<<<<<<< HEAD
    states = tuple(shown_states(inside[name], before[name]) for name in calls)
    outputs = tuple(each[0][1] for each in calls.values())
    return Tried(fed, ran, tuple(shapes), outputs, states, answer_of(gave, layout, own or _STEPS, BATCH))
=======
    # refsim's own layers also keep the spikes that they sent, which a module may take by that name
    states = tuple({} if named[name].framework is OWN else shown_states(inside[name], before[name]) for name in calls)
    return Tried(fed, ran, tuple(shapes), tuple(each[0][1] for each in calls.values()), states)
>>>>>>> modules


def _shown(given: Tensor, layout: str) -> str:
    """Return how a part that does not care takes time: one step a call, or many, in the order in which the module is fed."""
    if len(given) == BATCH:
        return "step"
    return "batch and time" if layout.startswith("batch") else "time and batch"
