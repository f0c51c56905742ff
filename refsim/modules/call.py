"""How a module takes its input.

One step a call, or all steps at once with time or the batch in front.

What a module gives its caller: how it lies in time, found in a run on zeros, and how a run's share
of it is taken.
"""

import inspect
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .states import expect, forget

# "held": it runs so many steps by itself, on one constant input. "batch and time": one axis for
# both, sample after sample.
LAYOUTS = ("step", "time first", "batch first", "batch and time", "held")


@dataclass(frozen=True)
class Feeding:
    """How a module is given its input.

    Attributes
    ----------
    layout : str
        One of ``LAYOUTS``.
    shape : tuple of int
        Of one sample in one step.
    own_steps : int
        Steps that a module of layout "held" runs by itself, else 0.
    carries : {"", "rest", "last"}
        What of its output a module of layout "step" is handed back with the next step: nothing, all
        behind the first, or the last.
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
    ) -> Iterator[Any]:
        """Put a module back to its start, if it is to run afresh, and run it over frames, each
        (n_samples, width); yield what each call gives.

        A module of layout "step" is called a frame, any other once; "held" takes the first frame
        alone.
        """
        if afresh:
            forget(module)
        shaped = (frame.reshape(-1, *self.shape) for frame in frames)
        if self.layout == "step":
            yield from self._step_by_step(module, shaped)
        elif self.layout == "held":
            yield module(next(shaped), *_none_of(module))
        else:
            whole = torch.stack(list(shaped), dim=0 if self.layout == "time first" else 1)
            expect(module, whole.shape[1 if self.layout == "time first" else 0])
            yield module(
                whole.flatten(0, 1) if self.layout == "batch and time" else whole, *_none_of(module)
            )

    def _step_by_step(self, module: nn.Module, frames: Iterable[Tensor]) -> Iterator[Any]:
        """Call a module step by step, and hand back the states that it gives."""
        states: Sequence[Any] = _none_of(module)
        for frame in frames:
            output = module(frame, *states)
            if self.carries and isinstance(output, tuple | list):
                states = output[1:] if self.carries == "rest" else output[-1:]
            yield output

    def given_back(self, module: nn.Module, n_samples: int) -> int:
        """Return how many things a module gives beside its output, called once on zeros."""
        like = next(
            (each for each in nn.Module.parameters(module) if each.is_floating_point()),
            torch.zeros(1),
        )
        forget(module)
        with torch.no_grad():
            output = module(
                torch.zeros(n_samples, *self.shape, dtype=like.dtype, device=like.device),
                *_none_of(module),
            )
        return len(output) - 1 if isinstance(output, tuple | list) else 0

    def run(self, module: nn.Module, frames: Iterable[Tensor]) -> list[Any]:
        """Run a module to the end; return what each call gave."""
        return list(self.stream(module, frames))


def states_taken(module: nn.Module) -> int:
    """Return how many arguments a module takes by their place beside its input."""
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return (
        sum(each.kind in places for each in inspect.signature(module.forward).parameters.values())
        - 1
    )


def needed_states(module: nn.Module) -> list[str]:
    """Return the arguments beside its input that a module cannot be called without.

    Their first value is None, as its owner gives it.
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
    """Return how a module that is called step by step may ask for its states, the likeliest first."""
    names = list(inspect.signature(module.forward).parameters)
    if len(names) < 2:
        return ("",)
    if needed_states(module):
        return ("rest", "last")
    return ("last", "rest", "") if "state" in names[1] else ("", "rest", "last")


def in_time(x: Tensor, axes: str, n_samples: int) -> Tensor:
    """Return what a part was given or gave as (time, batch, ...)."""
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
    """Return an answer (time, batch, ...) as a part would give it."""
    if axes == "step":
        return answer[0]
    if axes == "time first":
        return answer
    if axes == "time and batch":
        return answer.flatten(0, 1)
    swapped = answer.transpose(0, 1)
    return swapped.flatten(0, 1) if axes == "batch and time" else swapped


def first_argument(arguments: tuple[Any, ...]) -> Tensor:
    """Return the input among the arguments of a part: the first."""
    tensor: Tensor = arguments[0]
    return tensor


WHOLE = "whole"  # one answer for all steps together


@dataclass(frozen=True)
class Answer:
    """The first tensor that a module gives.

    Attributes
    ----------
    axes : str
        One of `refsim.modules.frameworks.framework.AXES`, or ``WHOLE``.
    n : int
        Numbers a sample, in a step or for the whole record.
    """

    axes: str
    n: int

    @property
    def whole(self) -> bool:
        """Whether it comes once, for all steps together."""
        return self.axes == WHOLE

    def rows(self, outputs: Sequence[Any], n_samples: int) -> list[Tensor]:
        """Return what calls gave, (n_samples, n) a step, or the one of a whole record.

        Raises
        ------
        ValueError
            Where an output is not laid out as that of the run on zeros was.
        """
        found: list[Tensor] = []
        for output in outputs:
            tensor = tensor_in(output)
            if tensor is None:
                raise ValueError("gives no tensor")
            found += [tensor] if self.whole else list(in_time(tensor, self.axes, n_samples))
        rows = [each.reshape(len(each), -1) for each in found]
        if any(each.shape != (n_samples, self.n) for each in rows):
            raise ValueError(
                f"gives numbers of shape {tuple(rows[0].shape)} for {n_samples} samples, where "
                f"it gave {self.n} a sample before"
            )
        return rows


def tensor_in(output: Any) -> Tensor | None:
    """Return the first tensor of an output, None where what comes first is something else."""
    first = output[0] if isinstance(output, tuple | list) and output else output
    return first if isinstance(first, Tensor) else None


def answer_of(outputs: Sequence[Any], layout: str, n_steps: int, n_samples: int) -> Answer | None:
    """Return how the outputs of a run on zeros lie; None where they are no batch of numbers.

    Parameters
    ----------
    outputs : sequence
        What each call gave.
    layout : str
        How the module was fed.
    """
    tensor = tensor_in(outputs[0]) if outputs else None
    if tensor is None or tensor.ndim == 0 or tensor.is_complex():
        return None
    shape = tuple(tensor.shape)
    axes = _axes(shape, layout, n_steps, n_samples)
    lead = 2 if axes in ("time first", "batch first") else 1
    return Answer(axes, math.prod(shape[lead:])) if axes else None


def _axes(shape: tuple[int, ...], layout: str, n_steps: int, n_samples: int) -> str:
    if layout == "step":
        return "step" if shape[0] == n_samples else ""
    if shape[:2] == (n_steps, n_samples):
        return "time first"
    if shape[:2] == (n_samples, n_steps) and len(shape) > 2:
        return "batch first"
    if n_steps > 1 and shape[0] == n_steps * n_samples:
        return "batch and time" if layout.startswith("batch") else "time and batch"
    return WHOLE if shape[0] == n_samples else ""
