"""How a module takes its input, and how its output lies in time.

`Feeding` runs a module: one step a call, or all steps at once with time or the batch in front.
`in_time` and `out_of_time` turn signals of any layout into (time, batch, ...) and back. `Answer`
says how the output lies in time, as a run on zeros showed.
"""

import inspect
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .states import expect, forget, zeros_for

# A module of layout "held" runs several steps by itself on one constant input. "batch and time" has
# one axis for both, sample after sample.
LAYOUTS = ("step", "time first", "batch first", "batch and time", "held")


@dataclass(frozen=True)
class Feeding:
    """How a module is given its input.

    Attributes
    ----------
    layout : str
        One of ``LAYOUTS``.
    shape : tuple of int
        The shape of one sample in one step.
    own_steps : int
        The number of steps that a module of layout "held" runs by itself; 0 for any other.
    carries : {"", "rest", "last"}
        The part of its output that a module of layout "step" is handed back with the next step:
        nothing, all but the first, or the last.
    """

    layout: str
    shape: tuple[int, ...]
    own_steps: int = 0
    carries: str = ""

    @property
    def width(self) -> int:
        """Numbers in one sample of one step."""
        return math.prod(self.shape)

    def stream(
        self, module: nn.Module, frames: Iterable[Tensor], *, afresh: bool = True
    ) -> Iterator[object]:
        """Run a module over frames, and yield what each call returns.

        A module of layout "step" is called once a frame, and any other once in all.

        Parameters
        ----------
        module : nn.Module
        frames : iterable of (n_samples, width)
            One frame a step; layout "held" takes the first one alone.
        afresh : bool
            Whether the states of the module are put back to their start before.
        """
        if afresh:
            forget(module)
        shaped = (frame.reshape(-1, *self.shape) for frame in frames)
        if self.layout == "step":
            yield from self._step_by_step(module, shaped)
        elif self.layout == "held":
            yield module(next(shaped), *_none_of(module))
        else:
            # All steps go into one call, with time where the layout has it.
            whole = torch.stack(list(shaped), dim=0 if self.layout == "time first" else 1)
            expect(module, whole.shape[1 if self.layout == "time first" else 0])
            yield module(
                whole.flatten(0, 1) if self.layout == "batch and time" else whole, *_none_of(module)
            )

    def _step_by_step(self, module: nn.Module, frames: Iterable[Tensor]) -> Iterator[object]:
        """Call a module once a frame, and hand back the states that it returns."""
        states: Sequence[object] = _none_of(module)
        for frame in frames:
            output = module(frame, *states)
            if self.carries and isinstance(output, tuple | list):
                states = output[1:] if self.carries == "rest" else output[-1:]
            yield output

    def given_back(self, module: nn.Module, n_samples: int) -> int:
        """Return how many things a module returns beside its output, when called once on zeros."""
        forget(module)
        with torch.no_grad():
            output = module(zeros_for(module, n_samples, *self.shape), *_none_of(module))
        return len(output) - 1 if isinstance(output, tuple | list) else 0

    def run(self, module: nn.Module, frames: Iterable[Tensor]) -> list[object]:
        """Run a module to the end, and return what each call returned."""
        return list(self.stream(module, frames))


def states_taken(module: nn.Module) -> int:
    """Return how many positional arguments a module takes beside its input."""
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return (
        sum(each.kind in places for each in inspect.signature(module.forward).parameters.values())
        - 1
    )


def needed_states(module: nn.Module) -> list[str]:
    """Return the names of the arguments beside its input that a module must be given.

    In the first step their value is None.
    """
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    given = list(inspect.signature(module.forward).parameters.values())[1:]
    return [
        each.name
        for each in given
        if each.kind in places and each.default is inspect.Parameter.empty
    ]


def _none_of(module: nn.Module) -> tuple[None, ...]:
    return (None,) * len(needed_states(module))


def ways_to_carry(module: nn.Module) -> tuple[str, ...]:
    """Return the ways in which a module may be handed its states back, the likeliest first."""
    names = list(inspect.signature(module.forward).parameters)
    if len(names) < 2:
        return ("",)
    if needed_states(module):
        return ("rest", "last")
    return ("last", "rest", "") if "state" in names[1] else ("", "rest", "last")


def in_time(x: Tensor, axes: str, n_samples: int) -> Tensor:
    """Return an input or output of a part, laid out as `axes` says, as (time, batch, ...)."""
    if axes == "step":
        return x[None]
    if axes == "time first":
        return x
    if axes == "time and batch":
        return x.reshape(-1, n_samples, *x.shape[1:])
    return (x.reshape(n_samples, -1, *x.shape[1:]) if axes == "batch and time" else x).transpose(
        0, 1
    )


def out_of_time(answer: Tensor, axes: str) -> Tensor:
    """Return an answer (time, batch, ...) in the layout of a part; the reverse of `in_time`."""
    if axes == "step":
        return answer[0]
    if axes == "time first":
        return answer
    if axes == "time and batch":
        return answer.flatten(0, 1)
    swapped = answer.transpose(0, 1)
    return swapped.flatten(0, 1) if axes == "batch and time" else swapped


def first_argument(arguments: tuple[Tensor, ...]) -> Tensor:
    """Return the input among the arguments of a part, which is the first."""
    return arguments[0]


WHOLE = "whole"  # one answer for all steps together


@dataclass(frozen=True)
class Answer:
    """How the first tensor that a module returns lies in time.

    Attributes
    ----------
    axes : str
        One of `refsim.modules.frameworks.framework.AXES`, or ``WHOLE``.
    n : int
        How many numbers it holds for each sample, in a step or for the whole record.
    """

    axes: str
    n: int

    @property
    def whole(self) -> bool:
        """Whether the answer comes once, for all steps together."""
        return self.axes == WHOLE

    def rows(self, outputs: Sequence[object], n_samples: int) -> list[Tensor]:
        """Return the outputs of calls as (n_samples, n) a step, or as one for the whole record.

        Raises
        ------
        ValueError
            Where the layout of an output differs from that of the run on zeros.
        """
        found: list[Tensor] = []
        for output in outputs:
            tensor = tensor_in(output)
            if tensor is None:
                raise ValueError("gives no tensor")
            found += [tensor] if self.whole else list(in_time(tensor, self.axes, n_samples))
        # Whatever its shape, a sample is a row of numbers.
        rows = [each.reshape(len(each), -1) for each in found]
        if any(each.shape != (n_samples, self.n) for each in rows):
            raise ValueError(
                f"gives numbers of shape {tuple(rows[0].shape)} for {n_samples} samples, where "
                f"it gave {self.n} a sample before"
            )
        return rows


def tensor_in(output: object) -> Tensor | None:
    """Return the first tensor of an output; None where something else comes first."""
    first = output[0] if isinstance(output, tuple | list) and output else output
    return first if isinstance(first, Tensor) else None


def answer_of(
    outputs: Sequence[object], layout: str, n_steps: int, n_samples: int
) -> Answer | None:
    """Return how the outputs of a run on zeros lie in time; None where they are no batch.

    Parameters
    ----------
    outputs : sequence
        What each call returned.
    layout : str
        How the module was given its input, one of ``LAYOUTS``.
    n_steps, n_samples : int
        Of that run.
    """
    tensor = tensor_in(outputs[0]) if outputs else None
    if tensor is None or tensor.ndim == 0 or tensor.is_complex():
        return None
    shape = tuple(tensor.shape)
    axes = _axes(shape, layout, n_steps, n_samples)
    lead = 2 if axes in ("time first", "batch first") else 1
    return Answer(axes, math.prod(shape[lead:])) if axes else None


def _axes(shape: tuple[int, ...], layout: str, n_steps: int, n_samples: int) -> str:
    """Return the axes of an output, which its shape shows; empty where it fits none."""
    if layout == "step":
        return "step" if shape[0] == n_samples else ""
    if shape[:2] == (n_steps, n_samples):
        return "time first"
    if shape[:2] == (n_samples, n_steps) and len(shape) > 2:
        return "batch first"
    # One axis for both; which one runs first follows from how the input was laid out.
    if n_steps > 1 and shape[0] == n_steps * n_samples:
        return "batch and time" if layout.startswith("batch") else "time and batch"
    return WHOLE if shape[0] == n_samples else ""
