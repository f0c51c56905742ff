"""The module as its owner calls it: whether it answers an equal call as it did before.

refsim puts all states of a module back before each batch, and its owner may not. The module then
begins where the last batch ended, wholly or in part. Where it puts some states back by itself and
leaves others, equal calls answer differently whatever its owner does. `called_twice` runs a module
three times on one input, and `Calls` says what that showed.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..core.errors import listed
from .call import in_time
from .find import NeuronLayer
from .frameworks.framework import first
from .run import DryRun
from .states import forget, put_aside, tensors_in

# The function by which each framework puts states back; without one, each layer is put back.
_PUT_BACK = {
    "refsim": ("refsim.pytorch.layers", "reset", "refsim.reset"),
    "snntorch": ("snntorch.utils", "reset", "snntorch.utils.reset"),
    "spikingjelly": (
        "spikingjelly.activation_based.functional",
        "reset_net",
        "spikingjelly's functional.reset_net",
    ),
    "sinabs": ("sinabs", "reset_states", "sinabs.reset_states"),
}
# Attributes that are no states: what a layer is made of, and what it shows of its last step.
_NO_STATE = ("_parameters", "_modules", "_buffers", "training", "seen", "fired", "reset", "v_seq")


@dataclass(frozen=True)
class Calls:
    """What two equal calls showed.

    Attributes
    ----------
    differ : int
        How many spikes only one of two equal calls has; where there are none, how many membranes
        differ.
    layers : tuple of str
        Layers whose answers differ.
    kept, put_back : tuple of str
        States, such as ``"lif.mem"``, that the module leaves as the last call left them, and states
        that it puts back by itself.
    left : tuple of str
        States that the function of the framework leaves too.
    helped : bool
        Whether the module answers as at its start after that function has put it back.
    by : str
        The name of that function.
    at_once : bool
        Whether a call runs all steps.
    """

    differ: int = 0
    layers: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    put_back: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    helped: bool = True
    by: str = ""
    at_once: bool = True

    @property
    def status(self) -> str:
        """The verdict on the module as its owner calls it.

        It fails where its owner cannot help it: it puts some states back and the function of its
        framework leaves others, or it remembers something that no layer keeps. It is inconclusive
        where it puts some states back and leaves others to its owner. Elsewhere it passes.
        """
        if not self.differ:
            return "pass"
        if (not self.kept and not self.helped) or (self.put_back and self.left):
            return "fail"
        return "inconclusive" if self.put_back and self.kept else "pass"

    @property
    def said(self) -> str:
        """The finding in words, for the report; empty where there is nothing to say."""
        if not self.differ:
            return ""
        # The worst finding is named alone.
        unequal = f"two equal calls answer differently ({listed(self.layers)})"
        them = "them" if len(self.kept) > 1 else "it"
        if not self.kept and not self.helped:
            return (
                f"{unequal}, and no layer keeps a state: the module remembers or draws "
                "something else"
            )
        if self.put_back and self.kept:
            helped = f", as does {self.by}" if self.left else f"; {self.by} puts all back"
            return (
                f"{unequal}: the module puts back {listed(self.put_back)} by itself, and "
                f"leaves {listed(self.kept)} as the last call left {them}{helped}"
            )
        if self.left:
            return (
                f"between batches {self.by} leaves {listed(self.left)} as the last batch left "
                "it; here each batch starts afresh"
            )
        return (
            (
                f"it keeps {listed(self.kept) if self.kept else 'its states'} from call to call; "
                f"here each batch starts afresh, as after {self.by}"
            )
            if self.at_once
            else ""
        )

    def as_dict(self) -> dict[str, object]:
        """Return the finding for report.json."""
        return {
            "equal": not self.differ,
            "status": self.status,
            "differ": self.differ,
            "layers": list(self.layers),
            "kept": list(self.kept),
            "put_back": list(self.put_back),
            "left": list(self.left),
            "by": self.by,
            "said": self.said,
        }


def called_twice(module: nn.Module, tried: DryRun, frames: Sequence[Tensor]) -> Calls:
    """Run a module three times on one input, without putting its states back between.

    The first run begins at its start, the second where the first one ended, and the third after the
    function of its framework has put it back.

    Parameters
    ----------
    frames : sequence of (n_samples, n_inputs)
        One frame for each step, on the device of the module.
    """
    with put_aside(module), torch.no_grad():
        module.eval()
        runs = [_run(module, tried, frames, before) for before in (forget, _nothing)]
        fresh, again = runs
        layers = tuple(
            part.name
            for part in tried.parts
            if not _same(fresh.gave[part.name], again.gave[part.name])
        )
        if not layers:
            return Calls()
        # Only a module that differs is run a third time.
        by, put_back = _reset_of(tried.parts)
        third = _run(module, tried, frames, put_back)
    # States that changed in a run were then either put back, or kept for the next run.
    moved = [name for name, end in fresh.ended.items() if not _like(end, fresh.began.get(name))]
    apart = tuple(f"{layer}." if layer else "" for layer in layers)
    kept = tuple(
        name
        for name in moved
        if name.startswith(apart) and not _like(again.began.get(name), fresh.began.get(name))
    )
    left = tuple(name for name in kept if not _like(third.began.get(name), fresh.began.get(name)))
    unequal = any(not _same(fresh.gave[part.name], third.gave[part.name]) for part in tried.parts)
    back = tuple(name for name in moved if _like(again.began.get(name), fresh.began.get(name)))
    return Calls(
        _apart(fresh, again, layers),
        layers,
        kept,
        back,
        left if unequal else (),
        not unequal,
        by,
        tried.feeding.layout != "step",
    )


@dataclass
class _Run:
    """What each layer gave step by step, and its states at its first call and at the end."""

    gave: dict[str, list[Tensor]] = field(default_factory=dict)  # spikes and membranes
    sent: dict[str, list[Tensor]] = field(default_factory=dict)  # spikes alone
    began: dict[str, object] = field(default_factory=dict)
    ended: dict[str, object] = field(default_factory=dict)


def _run(
    module: nn.Module, tried: DryRun, frames: Sequence[Tensor], before: Callable[[nn.Module], None]
) -> _Run:
    """Run a module, after `before` has been called on it, and record its layers by hooks."""
    run, inside, hooks = _Run(), dict(module.named_modules()), []
    before(module)
    # The states at the first call count, which a module may set before that.
    for part in tried.parts:
        hooks += [
            inside[part.name].register_forward_pre_hook(_begins(run, part)),
            inside[part.name].register_forward_hook(_gives(run, part, len(frames[0]))),
        ]
    try:
        for _ in tried.feeding.stream(module, frames, afresh=False):
            pass
    finally:
        for hook in hooks:
            hook.remove()
    run.ended = {
        name: value for part in tried.parts for name, value in _states(part.name, inside[part.name])
    }
    return run


def _begins(run: _Run, part: NeuronLayer) -> Callable[[nn.Module, object], None]:
    """Return a hook that records the states of a layer at its first call."""

    def look(module: nn.Module, _inputs: object) -> None:
        if part.name not in run.gave:
            run.gave[part.name] = []
            run.began |= dict(_states(part.name, module))

    return look


def _gives(
    run: _Run, part: NeuronLayer, n_samples: int
) -> Callable[[nn.Module, object, object], None]:
    """Return a hook that records the spikes of a layer, and its membranes where it shows them."""

    def look(module: nn.Module, _inputs: object, output: object) -> None:
        shown = [
            first(output),
            *(each for each in part.framework.membranes(module, output) if each is not None),
        ]
        rows = [in_time(each, part.axes, n_samples).detach().clone() for each in shown]
        run.gave[part.name] += rows
        run.sent.setdefault(part.name, []).append(rows[0])

    return look


def _states(name: str, part: nn.Module) -> Iterator[tuple[str, object]]:
    """Yield the states of a layer by name, copied.

    They are the numbers and tensors among its attributes and buffers, and in dicts of these.
    """
    # SpikingJelly keeps the states of a layer there.
    memories: Callable[[], Iterable[tuple[str, object]]] = getattr(
        part, "named_memories", dict[str, object]().items
    )
    inside = {**vars(part), **part._buffers, **dict(memories())}
    for key, value in inside.items():
        if key in _NO_STATE or "hook" in key:
            continue
        # Some frameworks keep their states in a dict, which has names of its own.
        for inner, each in value.items() if isinstance(value, dict) else [("", value)]:
            if (
                isinstance(each, Tensor)
                or (isinstance(each, int | float) and not isinstance(each, bool))
                or each is None
                or isinstance(each, tuple)
            ):
                label = (
                    inner if key.startswith("_") and inner else f"{key}.{inner}" if inner else key
                )
                yield (
                    f"{name}.{label}" if name else str(label),
                    each.detach().clone() if isinstance(each, Tensor) else each,
                )


def _like(now: object, start: object) -> bool:
    """Return whether a state is as at the start, where it may have had no shape yet.

    A state without a shape is an empty tensor, one number, or nothing.
    """
    ours, theirs = list(_numbers(now)), list(_numbers(start))
    # At the start it had no shape, so that zeros are the same as nothing.
    if not theirs or all(not each.numel() for each in theirs):
        return all(not bool(each.any()) for each in ours)
    if len(ours) != len(theirs):
        return not ours
    return all(
        not a.numel() or ((a.shape == b.shape or b.numel() == 1) and bool((a == b).all()))
        for a, b in zip(ours, theirs, strict=True)
    )


def _numbers(value: object) -> Iterator[Tensor]:
    if isinstance(value, int | float):
        yield torch.tensor(float(value))
    else:
        yield from tensors_in(value)


def _same(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    """Return whether two calls gave exactly the same numbers.

    One module on one device adds in one order, so that no rounding needs to be allowed for.
    """
    return len(ours) == len(theirs) and all(
        torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(ours, theirs, strict=True)
    )


def _apart(fresh: _Run, again: _Run, layers: Sequence[str]) -> int:
    """Return how many spikes differ, or how many membranes where no spike does."""
    for ours, theirs in ((fresh.sent, again.sent), (fresh.gave, again.gave)):
        pairs = [
            (a, b)
            for name in layers
            for a, b in zip(ours[name], theirs[name], strict=False)
            if a.shape == b.shape
        ]
        if found := sum(int((a != b).sum()) for a, b in pairs):
            return found
    return 1


def _nothing(_module: nn.Module) -> None:
    """Leave a module unchanged."""


def _reset_of(parts: Sequence[NeuronLayer]) -> tuple[str, Callable[[nn.Module], None]]:
    """Return how the owner of a module puts its states back, in words and as a function.

    The function is that of its framework, where one framework made all layers and has one.
    """
    names = {part.framework.name for part in parts if part.framework.package != "torch"}
    home, name, shown = (
        _PUT_BACK.get(next(iter(names)), ("", "", "")) if len(names) == 1 else ("", "", "")
    )
    found = getattr(sys.modules.get(home), name, None)
    return (shown, found) if callable(found) else ("putting all states back", forget)
