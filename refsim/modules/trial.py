"""What a module on trial gives, held as the read-out of its network.

Step by step by the declared rule, or once, as its own forward makes it.

The user's own module on trial: run as it is, recorded by hooks, its states put aside before and put
back after.
"""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..core.errors import RefsimError, listed
from ..networks.network import Layer, Network
from ..pytorch.layers import Neuron
from .as_called import Calls, Inspection, called_twice, inspected
from .call import Answer, in_time
from .find import neurons_of, user_classes
from .frameworks.framework import first
from .measure import Unjudged, find_unjudged
from .run import DryRun, dry_run
from .states import otherwise_in_training, put_aside


@dataclass
class RunningReadOut:
    """The read-out of one run, fed with what the calls of a module give.

    Attributes
    ----------
    answer : Answer
        How that lies in time.
    rule : {"mean", "sum", "last", "max"}
        Declared; a module that gives a value a step leaves it to its caller.
    """

    answer: Answer
    rule: str
    n_samples: int
    so_far: Tensor | None = None
    count: int = field(default=0)

    def values(self, outputs: Sequence[Any], n_steps: int) -> Iterator[Tensor]:
        """Return the read-out after each of so many steps, (n_samples, n).

        NaN where a module gives it after the last step alone.

        Raises
        ------
        RefsimError
            Where a module gives other numbers of steps than its neurons run.
        """
        try:
            rows = self.answer.rows(outputs, self.n_samples)
        except (ValueError, RuntimeError) as error:
            raise RefsimError(f"Torch: the module {error}.") from None
        if self.answer.whole:
            yield from [torch.full_like(rows[0], torch.nan)] * (n_steps - 1)
            yield rows[0]
            return
        if len(rows) != n_steps:
            raise RefsimError(
                f"Torch: the module gives {len(rows)} steps, but its neurons run {n_steps}."
            )
        yield from map(self._next, rows)

    def _next(self, row: Tensor) -> Tensor:
        """Return what the rule makes of the steps so far."""
        self.count += 1
        before = self.so_far
        if before is None or self.rule == "last":
            self.so_far = row
        else:
            self.so_far = torch.maximum(before, row) if self.rule == "max" else before + row
        return self.so_far / self.count if self.rule == "mean" else self.so_far


FEW = 16  # samples that are run again: what is left of one batch shows in some of them
Draws = Sequence[Callable[[], dict[str, Tensor]]]


class LayerStep(NamedTuple):
    """One step of a layer: spikes, what the threshold saw, the membrane after the step (NaN where a
    module hides them), what the spikes carry, and states by name.
    """

    fired: Tensor
    seen: Tensor
    after: Tensor
    payload: Tensor | None
    states: Mapping[str, Tensor] | None = None


@dataclass(frozen=True)
class Trial:
    """A module, what a run on zeros showed of it, and the network that it is held to be."""

    module: nn.Module
    tried: DryRun
    network: Network

    shared: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, module: nn.Module, network: Network, shape: Sequence[int] | None, layout: str | None
    ) -> "Trial":
        """Look into a module, and refuse one that cannot be the network."""
        parts = neurons_of(module)
        return cls._checked(
            module,
            network,
            Inspection(
                parts, dry_run(module, parts, None if shape is None else tuple(shape), layout)
            ),
        )

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, module: nn.Module, network: Network, shape: Sequence[int] | None, layout: str | None
    ) -> Iterator["Trial"]:
        """Look into a module for as long as it is on trial.

        One neuron object that is handed several states is several layers there.
        """
        with inspected(module, None if shape is None else tuple(shape), layout) as looked:
            yield cls._checked(module, network, looked)

    @classmethod
    def _checked(cls, module: nn.Module, network: Network, looked: Inspection) -> "Trial":
        tried, last = looked.tried, network.layers[-1].model
        reads = bool(last.discrete.over_steps) and len(looked.parts) == len(network.layers) - 1
        if len(looked.parts) != len(network.layers) - reads:
            raise RefsimError(
                f"Torch: the module has {len(looked.parts)} layers of neurons, but the network "
                f"has {len(network.layers)}."
            )
        if reads and tried.answer is None:
            raise RefsimError(
                f"Torch: the network ends in a read-out, '{last.name}', but the module gives no "
                "batch of numbers."
            )
        found, needed = (
            [torch.Size(each).numel() for each in tried.shapes],
            [layer.n_post for layer in network.layers],
        )
        found += [tried.answer.n] if reads and tried.answer else []
        if found != needed:
            raise RefsimError(
                f"Torch: the module's layers have {found} neurons, but the network's have {needed}."
            )
        if tried.feeding.width != network.n_inputs:
            raise RefsimError(
                f"Torch: the module takes {tried.feeding.width} inputs, but the network has "
                f"{network.n_inputs}; give Torch(input_shape=...)."
            )
        return cls(module, tried, network, looked.shared)

    @property
    def single(self) -> bool:
        """Whether a layer rounds to float32 whatever the module's dtype is."""
        return any(part.framework.single for part in self.tried.parts)

    @property
    def reads_out(self) -> bool:
        """Whether what the module gives is the last layer of the network, a read-out behind its
        neurons.
        """
        return len(self.network.layers) > len(self.tried.parts)

    @property
    def last_step_alone(self) -> bool:
        """Whether it shows its read-out after the last step alone."""
        return self.reads_out and self.tried.answer is not None and self.tried.answer.whole

    @functools.cached_property
    def unjudged(self) -> Unjudged:
        """What stands behind its neurons, or leads nowhere."""
        return find_unjudged(self.module, self.tried)

    @functools.cached_property
    def undecided(self) -> str:
        """Why nothing can be said of its classes.

        Something stands behind its last neurons that the network does not have.
        """
        found = () if self.reads_out else self.unjudged.behind
        return (
            (
                f"{listed(found)} of the module {'stand' if len(found) > 1 else 'stands'} behind "
                "its "
                "last neurons, and the network does not have it"
            )
            if found
            else ""
        )

    @property
    def described(self) -> str:
        """The module in a report, with what must be said of it."""
        return "; ".join(["the module itself", *self.remarks])

    @functools.cached_property
    def remarks(self) -> tuple[str, ...]:
        """What must be said of the module.

        What in it is not judged, or judged as it is not set, what decides, and what it is read
        from.
        """
        idle = (
            self.unjudged.nowhere
            if self.reads_out
            else (*self.unjudged.behind, *self.unjudged.nowhere)
        )
        nowhere = (
            "neither to its neurons nor to what it gives"
            if self.reads_out
            else "to none of its neurons"
        )
        training = otherwise_in_training(self.module, [part.name for part in self.tried.parts])
        rule = self.network.layers[-1].model.discrete.over_steps
        return (
            *([f"{listed(idle)} leads {nowhere} and is not judged"] if idle else []),
            *(
                [f"it gives values in each step, and their {rule} over the steps decides"]
                if self.reads_out and not self.last_step_alone
                else []
            ),
            *(
                [f"set to train, it is judged as eval() would have it, {', '.join(training)}"]
                if training
                else []
            ),
            *user_classes(self.tried.parts),
            *self.shared,
        )

    def facts(self, frames: Sequence[Tensor]) -> dict[str, Any]:
        """Return for the provenance of a run what must be said of the module, and how it answers
        the first samples when it is called again.

        A module that draws random numbers answers otherwise by right.
        """
        drawn = any(layer.model.draws for layer in self.network.layers)
        calls = Calls() if drawn else called_twice(self.module, self.tried, frames)
        noted = [*self.remarks, *([calls.said] if calls.said else [])]
        return {
            "module": "; ".join(["the module itself", *noted]),
            "noted": noted,
            "calls": calls.as_dict(),
        }

    def check_steps(self, n_steps: int, held: bool) -> None:
        """Refuse a drive that a module which runs its own steps cannot be given."""
        own = self.tried.feeding.own_steps
        if own and not (held and n_steps == own):
            raise RefsimError(
                f"Torch: the module runs {own} steps by itself on a constant input; give it a "
                f"constant drive of {own} steps."
            )

    def results(
        self, frames: Iterable[Tensor], n_samples: int, draws: Draws
    ) -> Iterator[list[LayerStep]]:
        """Run a batch from the module's start, frame by frame, each (n_samples, n_inputs).

        Yield the results of all layers a step.
        """
        record = _Record(self, n_samples)
        with (
            put_aside(self.module),
            record.hooked(),
            _drawing(self.module, self.tried, draws[: len(self.tried.parts)]),
        ):
            self.module.eval()
            for output in self.tried.feeding.stream(self.module, frames):
                yield from record.taken(output)


@dataclass
class _Record:
    """What the layers of neurons gave since the last look, a list of steps each."""

    trial: Trial
    n_samples: int
    kept: list[list[LayerStep]] = field(default_factory=list)
    answering: RunningReadOut | None = None

    def __post_init__(self) -> None:
        answer, last = self.trial.tried.answer, self.trial.network.layers[-1]
        if self.trial.reads_out and answer is not None:
            self.answering = RunningReadOut(answer, last.model.discrete.over_steps, self.n_samples)

    @contextlib.contextmanager
    def hooked(self) -> Iterator[None]:
        """Listen to the layers while the module runs."""
        inside = dict(self.trial.module.named_modules())
        self.kept = [[] for _ in self.trial.tried.parts]
        hooks = [
            inside[part.name].register_forward_hook(self._hook(index))
            for index, part in enumerate(self.trial.tried.parts)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hook(self, index: int) -> Callable[..., None]:
        part, layer = self.trial.tried.parts[index], self.trial.network.layers[index]

        def keep(module: nn.Module, _inputs: object, output: Any) -> None:
            sent = first(output)
            seen, after = part.framework.membranes(module, output)
            rows = [
                None if each is None else in_time(each, part.axes, self.n_samples).flatten(2)
                for each in (sent, seen, after)
            ]
            assert rows[0] is not None
            hidden = torch.full_like(rows[0], torch.nan)
            shown = {
                name: in_time(state, part.axes, self.n_samples).flatten(2)
                for name, state in part.framework.states(module).items()
                if state.shape == sent.shape
            }
            for step, each in enumerate(
                zip(rows[0], *(hidden if row is None else row for row in rows[1:]), strict=True)
            ):
                self.kept[index].append(
                    _result(layer, *each)._replace(
                        states={name: state[step] for name, state in shown.items()}
                    )
                )

        return keep

    def taken(self, output: Any) -> Iterator[list[LayerStep]]:
        """Return what came, and what the module gave at last, step by step, and keep it no longer."""
        lengths = [len(each) for each in self.kept]
        if len(set(lengths)) != 1:
            raise RefsimError(
                f"Torch: the module's layers ran {', '.join(map(str, lengths))} steps; each must "
                "run as many as the others."
            )
        read = (
            []
            if self.answering is None
            else [
                [
                    LayerStep(torch.zeros_like(v), v, v, None)
                    for v in self.answering.values([output], lengths[0])
                ]
            ]
        )
        rows = list(zip(*self.kept, *read, strict=True))
        for each in self.kept:
            each.clear()
        yield from map(list, rows)


def _result(layer: Layer, sent: Tensor, seen: Tensor, after: Tensor) -> LayerStep:
    discrete = layer.model.discrete
    if discrete.readout:
        return LayerStep(torch.zeros_like(sent), sent, sent, None)
    if discrete.payload:
        return LayerStep((sent != 0).to(sent.dtype), seen, after, sent)
    return LayerStep(sent, seen, after, None)


@contextlib.contextmanager
def _drawing(module: nn.Module, tried: DryRun, draws: Draws) -> Iterator[None]:
    """Give refsim's own stochastic layers the random numbers of the run."""
    inside = dict(module.named_modules())
    drawn = [
        (each, draw)
        for part, draw in zip(tried.parts, draws, strict=True)
        if isinstance(each := inside[part.name], Neuron)
    ]
    for neuron, draw in drawn:
        neuron.draw = draw
    try:
        yield
    finally:
        for neuron, _ in drawn:
            neuron.draw = None
