"""One neuron object behind several maps of a module: a mistake, or several layers in one object.

A neuron object that keeps its state itself and stands behind two maps is one membrane for both, a
slip. An object that is handed a state for each use is as many layers as it has uses.

`inspected` opens a module for inspection. For as long as it is open, `Turns` replaces such an
object by as many objects as it has uses in a step, each with states of its own, and all with its
parameters. That is the same module only where the object kept nothing itself, which is tried.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..core.errors import RefsimError
from .call import Feeding, ways_to_carry
from .find import NeuronLayer, neurons_of
from .frameworks.framework import first
from .run import BATCH, DryRun, dry_run, likely, widths
from .states import copied, evaluation_copy, parts_inside, zeros_for

# Steps on zeros show the uses, and steps on random numbers show whose states they are.
_STEPS, _TRIED = 2, 4


@dataclass(frozen=True)
class Inspection:
    """What an inspection of a module showed.

    Attributes
    ----------
    parts : list of NeuronLayer
        Its layers of neurons; an object that is used twice counts as two.
    tried : DryRun
    shared : tuple of str
        A sentence for each object that stands behind several maps.
    """

    parts: Sequence[NeuronLayer]
    tried: DryRun
    shared: tuple[str, ...] = ()


class Turns(nn.Module):
    """The replacement of a neuron object: one object for each of its uses in a step, in turn.

    The objects share its parameters and have states of their own.
    """

    def __init__(self, inner: nn.Module, n_uses: int) -> None:
        super().__init__()
        # The dict hides it from PyTorch: its replacements are the parts of the module.
        self.__dict__["inner"], self.turn = inner, 0
        for use in range(n_uses):
            self.add_module(f"use {use + 1}", _with_shared_parameters(inner))

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
def inspected(
    module: nn.Module, shape: tuple[int, ...] | None, layout: str | None
) -> Iterator[Inspection]:
    """Inspect a module, which is left as it was in the end.

    Parameters
    ----------
    module : nn.Module
    shape : tuple of int or None
        The shape of one sample in one step; None: as wide as one of its Linear layers.
    layout : str or None
        One of ``LAYOUTS``; None: the first that fits.

    Yields
    ------
    Inspection
        Valid as long as the context is open.

    Raises
    ------
    RefsimError
        Where the module cannot be run, or where one neuron object stands behind two maps and keeps
        its state itself.
    """
    parts = neurons_of(module)
    # A module with a shared object may fail here, and run once its uses are apart.
    failed: RefsimError | None = None
    tried: DryRun | None = None
    try:
        tried = dry_run(module, parts, shape, layout)
    except RefsimError as error:
        failed = error
    uses = (
        {} if tried is not None and _once_a_step(tried) else _shared(module, parts, shape, layout)
    )
    if not uses:
        if failed is not None:
            raise failed
        assert tried is not None
        yield Inspection(parts, tried)
        return
    # The object is handed a state for each use only if it answers the same with its uses apart.
    names = {part.name: _registered(module, part.module) for part in parts if part.name in uses}
    whole = evaluation_copy(module)
    with _objects_apart(
        module, {part.name: part.module for part in parts if part.name in uses}, uses
    ):
        inside = neurons_of(module)
        tried = dry_run(module, inside, shape, layout)
        for name, maps in uses.items():
            if not _as_before(whole, module, tried, name, len(maps)):
                raise RefsimError(
                    f"module: one neuron object, {_and(names[name])}, stands behind {len(maps)} "
                    f"maps, {_and(maps)}, and keeps its state itself, so that "
                    f"{len(maps)} layers share one membrane. Make a neuron for each "
                    "(copy.deepcopy), or hand each layer its own state."
                )
        yield Inspection(
            inside, tried, tuple(_said_of_shared(names[name], maps) for name, maps in uses.items())
        )


def _once_a_step(tried: DryRun) -> bool:
    """Return whether the run showed that each layer runs once a step.

    In a loop over steps, several uses may look like several steps.
    """
    return tried.feeding.layout == "step" or (
        tried.feeding.layout != "held" and all(part.axes != "step" for part in tried.parts)
    )


def _said_of_shared(names: Sequence[str], maps: Sequence[str]) -> str:
    return (
        f"one neuron object, {_and(names)}, stands behind {_and(maps)} and is handed a state "
        f"for each: judged as {len(maps)} layers"
    )


def _and(names: Sequence[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)


def _registered(module: nn.Module, part: nn.Module) -> list[str]:
    """Return all names under which a module registers an object."""
    return [name for name, each in module.named_modules(remove_duplicate=False) if each is part]


def _with_shared_parameters(inner: nn.Module) -> nn.Module:
    """Return a copy of an object that shares its parameters and has states of its own."""
    return copied(inner, {id(each): each for each in nn.Module.parameters(inner)})


@contextlib.contextmanager
def _objects_apart(
    module: nn.Module, inner: Mapping[str, nn.Module], uses: Mapping[str, Sequence[str]]
) -> Iterator[None]:
    """Replace each object that is used several times in a step by objects that take turns."""
    turns = {id(part): Turns(part, len(uses[name])) for name, part in inner.items()}
    # An object may be registered in several parents, and each is changed.
    places = [
        (parent, key, child)
        for parent in parts_inside(module)
        for key, child in parent._modules.items()
        if id(child) in turns
    ]
    for parent, key, child in places:
        parent._modules[key] = turns[id(child)]
    try:
        yield
    finally:
        for parent, key, child in places:
            parent._modules[key] = child


def _shared(
    module: nn.Module,
    parts: Sequence[NeuronLayer],
    shape: tuple[int, ...] | None,
    layout: str | None,
) -> dict[str, tuple[str, ...]]:
    """Return the neurons that stand behind several maps in one step, each with these maps.

    The dict is empty where no run shows it.
    """
    for each in [shape] if shape is not None else widths(module):
        for name in [layout] if layout else likely(parts):
            for carries in ways_to_carry(module) if name == "step" else ("",):
                if name != "held" and (
                    found := _uses(module, parts, Feeding(name, each, carries=carries))
                ):
                    return found
    return {}


def _uses(
    module: nn.Module, parts: Sequence[NeuronLayer], feeding: Feeding
) -> dict[str, tuple[str, ...]]:
    """Return the map in front of each use of the layers that are used several times in a step."""
    inside, calls = evaluation_copy(module), list[str]()
    # A run on zeros lists the names of all neurons and maps in the order of their calls.
    own = {part.name for part in parts}
    for name, each in inside.named_modules():
        if name in own or not each._modules:
            each.register_forward_hook(lambda _part, _given, _output, name=name: calls.append(name))
    try:
        feeding.run(inside, [zeros_for(inside, BATCH, feeding.width)] * _STEPS)
    except Exception:  # another layout may fit
        return {}
    # The maps since the last layer of neurons are those in front of the next one.
    before: dict[str, list[tuple[str, ...]]] = {}
    maps: list[str] = []
    for name in calls:
        if name in own:
            before.setdefault(name, []).append(tuple(maps))
            maps = []
        elif not any(name.startswith(f"{part}.") for part in own):
            maps.append(name)
    # Uses are counted a step; a fraction means that a layer does not run in each.
    counted = {name: len(found) / _STEPS for name, found in before.items()}
    if set(before) != own or any(count != int(count) for count in counted.values()):
        return {}
    firsts = {name: before[name][: int(count)] for name, count in counted.items() if count > 1}
    # Steps that a module runs by itself pass the same maps again, while each use has its own maps.
    distinct = all(len(set(found)) == len(found) and all(found) for found in firsts.values())
    return (
        {name: tuple(maps[-1] for maps in found) for name, found in firsts.items()}
        if distinct
        else {}
    )


def _as_before(whole: nn.Module, apart: nn.Module, tried: DryRun, name: str, n_uses: int) -> bool:
    """Return whether an object with a state for each use answers as it did with one object."""
    part = next(part for part in tried.parts if part.name.startswith(f"{name}.use "))
    names = [f"{name}.use {use + 1}" for use in range(n_uses)]
    once = _answers(whole, tried, [name], part)
    return _same_object(once, _answers(evaluation_copy(apart), tried, names, part))


def _answers(
    module: nn.Module, tried: DryRun, names: Sequence[str], part: NeuronLayer
) -> list[Tensor]:
    """Return what a layer answers to random input, call after call, with its membranes if shown."""
    copy, gave = evaluation_copy(module), list[Tensor]()

    def keep(called: nn.Module, _given: object, output: object) -> None:
        shown = (first(output), *part.framework.membranes(called, output))
        gave.extend(each.detach().clone() for each in shown if each is not None)

    inside = dict(copy.named_modules())
    for name in names:
        inside[name].register_forward_hook(keep)
    # Large random input makes neurons fire, so that their states matter.
    drawn = 3 * torch.randn(
        _TRIED,
        BATCH,
        tried.feeding.width,
        generator=torch.Generator().manual_seed(0),
        dtype=torch.float64,
    )
    with torch.no_grad():
        tried.feeding.run(copy, list(drawn.to(zeros_for(copy, 1))))
    return gave


def _same_object(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    """Return whether two series of answers agree to within rounding."""
    return len(ours) == len(theirs) and all(
        a.shape == b.shape and torch.allclose(a, b, equal_nan=True)
        for a, b in zip(ours, theirs, strict=True)
    )
