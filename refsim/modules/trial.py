"""The user's own module on trial: run as it is, recorded by hooks, its states restored afterwards.

`Trial` holds a module, what a dry run of it showed, and the network that it is compared with; its
`results` yield what each layer does in each step (`LayerStep`). `RunningReadOut` follows the output
of a module whose network ends in a read-out.
"""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..core.errors import RefsimError, listed
from ..networks.network import Layer, Network
from ..pytorch.layers import Neuron
from .call import Answer, in_time
from .find import neurons_of, user_classes
from .frameworks.framework import first
from .measure import Unjudged, find_unjudged
from .repeated import Calls, called_twice
from .run import DryRun, dry_run
from .shared import Inspection, inspected
from .states import otherwise_in_training, put_aside


@dataclass
class RunningReadOut:
    """The read-out of one run, computed from what the calls of a module return.

    Attributes
    ----------
    answer : Answer
        How the output of the module lies in time.
    rule : {"mean", "sum", "last", "max"}
        The declared rule, by which a module that returns a value a step is read.
    n_samples : int
    so_far : (n_samples, n) or None
        The values joined until now; of a mean, their sum.
    count : int
        How many steps they are of.
    """

    answer: Answer
    rule: str
    n_samples: int
    so_far: Tensor | None = None
    count: int = field(default=0)

    def values(self, outputs: Sequence[object], n_steps: int) -> Iterator[Tensor]:
        """Yield the read-out after each of `n_steps` steps, (n_samples, n).

        It is NaN before the last step, where a module gives it after the last step alone.

        Raises
        ------
        RefsimError
            Where the module returns another number of steps than its neurons run.
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
        """Return the values of all steps so far, joined by the rule."""
        self.count += 1
        before = self.so_far
        if before is None or self.rule == "last":
            self.so_far = row
        else:
            self.so_far = torch.maximum(before, row) if self.rule == "max" else before + row
        return self.so_far / self.count if self.rule == "mean" else self.so_far


FEW = 16  # samples that are run again; a state that is left from a batch shows in some of them
Draws = Sequence[Callable[[], dict[str, Tensor]]]


class LayerStep(NamedTuple):
    """One step of a layer, with arrays of (n_samples, n).

    Attributes
    ----------
    fired : Tensor
        Its spikes.
    seen, after : Tensor
        The membrane that the threshold saw, and the membrane after the step; NaN where a module
        hides them.
    payload : Tensor or None
        The sizes of graded spikes.
    states : dict of str to Tensor or None
        Its other states, by name.
    """

    fired: Tensor
    seen: Tensor
    after: Tensor
    payload: Tensor | None
    states: Mapping[str, Tensor] | None = None


@dataclass(frozen=True)
class Trial:
    """A module, what a run on zeros showed of it, and the network that it is compared with.

    Attributes
    ----------
    module : nn.Module
    tried : DryRun
    network : Network
    shared : tuple of str
        A sentence for each neuron object that stands behind several maps.
    """

    module: nn.Module
    tried: DryRun
    network: Network
    shared: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, module: nn.Module, network: Network, shape: Sequence[int] | None, layout: str | None
    ) -> "Trial":
        """Try a module, and refuse one that cannot be the network.

        Raises
        ------
        RefsimError
            Where the module cannot be run, or its layers or their sizes differ from the network's.
        """
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
        """Open a module for as long as it is on trial, and refuse one that cannot be the network.

        A neuron object that is handed several states is several layers as long as it is open.
        """
        with inspected(module, None if shape is None else tuple(shape), layout) as looked:
            yield cls._checked(module, network, looked)

    @classmethod
    def _checked(cls, module: nn.Module, network: Network, looked: Inspection) -> "Trial":
        """Return the trial, once layers, neurons and inputs are as many as those of the network."""
        tried, last = looked.tried, network.layers[-1].model
        # A read-out is a layer of the network without neurons of the module.
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
        # Sizes are compared layer by layer, the read-out last.
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
        """Whether the output of the module is the last layer of the network, a read-out."""
        return len(self.network.layers) > len(self.tried.parts)

    @property
    def last_step_alone(self) -> bool:
        """Whether the module shows its read-out after the last step alone."""
        return self.reads_out and self.tried.answer is not None and self.tried.answer.whole

    @functools.cached_property
    def unjudged(self) -> Unjudged:
        """The parts of the module that change nothing that arrives at its neurons."""
        return find_unjudged(self.module, self.tried)

    @functools.cached_property
    def undecided(self) -> str:
        """Why nothing can be said of the classes that the module chooses; empty where it can.

        Some part behind its last neurons is missing in the network.
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
        """What a report must say of the module: parts that are not judged, and how it was read."""
        # Without a read-out, what lies behind the last neurons is not judged either.
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

    def facts(self, frames: Sequence[Tensor]) -> dict[str, object]:
        """Return what the provenance of a run says of the module, and how it answers equal calls.

        A module that draws random numbers may answer otherwise, and is not asked.

        Parameters
        ----------
        frames : sequence of (n_samples, n_inputs)
            The first samples, one frame for each step.
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
        """Refuse a drive that a module cannot be given, because it runs its own steps."""
        own = self.tried.feeding.own_steps
        if own and not (held and n_steps == own):
            raise RefsimError(
                f"Torch: the module runs {own} steps by itself on a constant input; give it a "
                f"constant drive of {own} steps."
            )

    def results(
        self, frames: Iterable[Tensor], n_samples: int, draws: Draws
    ) -> Iterator[list[LayerStep]]:
        """Run a batch from the start of the module, and yield the results of all layers a step.

        Parameters
        ----------
        frames : iterable of (n_samples, n_inputs)
            One frame for each step.
        n_samples : int
        draws : sequence of function
            What each stochastic layer draws its random numbers from.
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
    """What the layers of neurons did since the last call of `taken`, as a list of steps each."""

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
        """Record the layers by hooks while the module runs."""
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

    def _hook(self, index: int) -> Callable[[nn.Module, object, object], None]:
        """Return a hook that records the steps of one layer."""
        part, layer = self.trial.tried.parts[index], self.trial.network.layers[index]

        def keep(module: nn.Module, _inputs: object, output: object) -> None:
            sent = first(output)
            seen, after = part.framework.membranes(module, output)
            rows = [
                None if each is None else in_time(each, part.axes, self.n_samples).flatten(2)
                for each in (sent, seen, after)
            ]
            assert rows[0] is not None
            # A membrane that the layer hides is NaN; a state may have another shape than spikes.
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

    def taken(self, output: object) -> Iterator[list[LayerStep]]:
        """Yield the steps since the last call, with the read-out of `output`, and forget them."""
        # A module may run its layers unequally often, and then no step can be put together.
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
    """Return one step: a readout sends its membrane, and a graded spike its payload."""
    discrete = layer.model.discrete
    if discrete.readout:
        return LayerStep(torch.zeros_like(sent), sent, sent, None)
    if discrete.payload:
        return LayerStep((sent != 0).to(sent.dtype), seen, after, sent)
    return LayerStep(sent, seen, after, None)


@contextlib.contextmanager
def _drawing(module: nn.Module, tried: DryRun, draws: Draws) -> Iterator[None]:
    """Let the stochastic layers of refsim draw the random numbers of the run."""
    inside = dict(module.named_modules())
    # Layers of other frameworks draw from PyTorch itself.
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
