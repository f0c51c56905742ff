"""One neuron object behind several maps: a slip where it keeps its state itself, and several layers where it is handed a state for each.

For as long as such a module is looked into, what takes turns stands in the place of the object: as many objects with its parameters as it
has uses in a step, each with states of its own. That is the same module only where the object kept nothing itself, which is tried.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import RefsimError
from .feeding import Feeding, ways_to_carry
from .framework import first
from .parts import Part, neurons_of
from .states import copied, parts_inside, twin
from .trying import BATCH, Tried, likely, try_out, widths

_STEPS, _TRIED = 2, 4  # steps on zeros that show the uses, and steps on random numbers that show whose states they are


@dataclass(frozen=True)
class Looked:
    """A module as it was looked into.

    Attributes
    ----------
    parts : list of Part
        Its layers of neurons, an object that is used twice as two.
    tried : Tried
    shared : tuple of str
        What must be said of objects that stand behind several maps.
    """

    parts: Sequence[Part]
    tried: Tried
    shared: tuple[str, ...] = ()


class Turns(nn.Module):
    """In the place of one neuron object, one for each of its uses in a step, in turn; they share its parameters, not its states."""

    def __init__(self, inner: nn.Module, n_uses: int) -> None:
        super().__init__()
        self.__dict__["inner"], self.turn = inner, 0  # no part of the module: the objects in its place are
        for use in range(n_uses):
            self.add_module(f"use {use + 1}", _beside(inner))

    def forward(self, *given: Any, **more: Any) -> Any:
        """Run the object whose turn it is."""
        turn, self.turn = self.turn, (self.turn + 1) % len(self._modules)
        return self._modules[f"use {turn + 1}"](*given, **more)  # type: ignore[misc]

    def __getattr__(self, name: str) -> Any:
        """Return what the object has, such as the function that makes its first state."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.__dict__["inner"], name)


@contextlib.contextmanager
def looked_into(module: nn.Module, shape: tuple[int, ...] | None, layout: str | None) -> Iterator[Looked]:
    """Look into a module, and leave it as it was in the end.

    Raises
    ------
    RefsimError
        Where it cannot be run, or where one neuron object stands behind two maps and keeps its state itself.
    """
    parts = neurons_of(module)
    failed: RefsimError | None = None
    tried: Tried | None = None
    try:
        tried = try_out(module, parts, shape, layout)
    except RefsimError as error:
        failed = error
    uses = {} if tried is not None and _once_a_step(tried) else _shared(module, parts, shape, layout)
    if not uses:
        if failed is not None:
            raise failed
        assert tried is not None
        yield Looked(parts, tried)
        return
    names = {part.name: _registered(module, part.module) for part in parts if part.name in uses}
    whole = twin(module)
    with _apart(module, {part.name: part.module for part in parts if part.name in uses}, uses):
        inside = neurons_of(module)
        tried = try_out(module, inside, shape, layout)
        for name, maps in uses.items():
            if not _as_before(whole, module, tried, name, len(maps)):
                raise RefsimError(
                    f"module: one neuron object, {_and(names[name])}, stands behind {len(maps)} maps, {_and(maps)}, and keeps its state itself, so that "
                    f"{len(maps)} layers share one membrane. Make a neuron for each (copy.deepcopy), or hand each layer its own state."
                )
        yield Looked(inside, tried, tuple(_told(names[name], maps) for name, maps in uses.items()))


def _once_a_step(tried: Tried) -> bool:
    """Whether the run itself showed that each part runs once a step: in a loop over steps, several uses may look like several steps."""
    return tried.feeding.layout == "step" or (tried.feeding.layout != "held" and all(part.axes != "step" for part in tried.parts))


def _told(names: Sequence[str], maps: Sequence[str]) -> str:
    return f"one neuron object, {_and(names)}, stands behind {_and(maps)} and is handed a state for each: judged as {len(maps)} layers"


def _and(names: Sequence[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)


def _registered(module: nn.Module, part: nn.Module) -> list[str]:
    return [name for name, each in module.named_modules(remove_duplicate=False) if each is part]


def _beside(inner: nn.Module) -> nn.Module:
    """Return an object like another, with its parameters and states of its own."""
    return copied(inner, {id(each): each for each in nn.Module.parameters(inner)})


@contextlib.contextmanager
def _apart(module: nn.Module, inner: Mapping[str, nn.Module], uses: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Put what takes turns in the place of objects that are used several times in a step."""
    turns = {id(part): Turns(part, len(uses[name])) for name, part in inner.items()}
    places = [(parent, key, child) for parent in parts_inside(module) for key, child in parent._modules.items() if id(child) in turns]
    for parent, key, child in places:
        parent._modules[key] = turns[id(child)]
    try:
        yield
    finally:
        for parent, key, child in places:
            parent._modules[key] = child


def _shared(module: nn.Module, parts: Sequence[Part], shape: tuple[int, ...] | None, layout: str | None) -> dict[str, tuple[str, ...]]:
    """Return the neurons that stand behind several maps in one step, each with these maps; nothing where a run does not show it."""
    for each in [shape] if shape is not None else widths(module):
        for name in [layout] if layout else likely(parts):
            for carries in ways_to_carry(module) if name == "step" else ("",):
                if name != "held" and (found := _uses(module, parts, Feeding(name, each, carries=carries))):
                    return found
    return {}


def _uses(module: nn.Module, parts: Sequence[Part], feeding: Feeding) -> dict[str, tuple[str, ...]]:
    """Run a copy on zeros and return the maps in front of each use of a part that is used several times a step."""
    inside, calls = twin(module), list[str]()
    own = {part.name for part in parts}
    for name, each in inside.named_modules():
        if name in own or not each._modules:
            each.register_forward_hook(lambda _part, _given, _output, name=name: calls.append(name))
    try:
        feeding.run(inside, [torch.zeros(BATCH, feeding.width, **_like(inside))] * _STEPS)
    except Exception:  # another layout may fit
        return {}
    before: dict[str, list[tuple[str, ...]]] = {}
    maps: list[str] = []
    for name in calls:
        if name in own:
            before.setdefault(name, []).append(tuple(maps))
            maps = []
        elif not any(name.startswith(f"{part}.") for part in own):
            maps.append(name)
    counted = {name: len(found) / _STEPS for name, found in before.items()}
    if set(before) != own or any(count != int(count) for count in counted.values()):
        return {}
    firsts = {name: before[name][: int(count)] for name, count in counted.items() if count > 1}
    # Steps that a module runs by itself pass the same maps again; several uses have maps of their own.
    alone = all(len(set(found)) == len(found) and all(found) for found in firsts.values())
    return {name: tuple(maps[-1] for maps in found) for name, found in firsts.items()} if alone else {}


def _as_before(whole: nn.Module, apart: nn.Module, tried: Tried, name: str, n_uses: int) -> bool:
    """Whether a part answers the same with states of its own for each use as it did alone."""
    part = next(part for part in tried.parts if part.name.startswith(f"{name}.use "))
    names = [f"{name}.use {use + 1}" for use in range(n_uses)]
    once = _answers(whole, tried, [name], part)
    return _same(once, _answers(twin(apart), tried, names, part))


def _answers(module: nn.Module, tried: Tried, names: Sequence[str], part: Part) -> list[Tensor]:
    """Return what a part gives to random input, and its membranes where it shows them, call after call."""
    twinned, gave = twin(module), list[Tensor]()

    def keep(called: nn.Module, _given: object, output: Any) -> None:
        shown = (first(output), *part.framework.membranes(called, output))
        gave.extend(each.detach().clone() for each in shown if each is not None)

    inside = dict(twinned.named_modules())
    for name in names:
        inside[name].register_forward_hook(keep)
    drawn = 3 * torch.randn(_TRIED, BATCH, tried.feeding.width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        tried.feeding.run(twinned, list(drawn.to(**_like(twinned))))
    return gave


def _same(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    return len(ours) == len(theirs) and all(a.shape == b.shape and torch.allclose(a, b, equal_nan=True) for a, b in zip(ours, theirs, strict=True))


def _like(module: nn.Module) -> dict[str, Any]:
    """Return dtype and device of a module's numbers."""
    found = next((each for each in nn.Module.parameters(module) if each.is_floating_point()), torch.zeros(1))
    return {"dtype": found.dtype, "device": found.device}
