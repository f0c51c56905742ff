"""What a module gives its caller: how it lies in time, found in a run on zeros, and how a run's share of it is taken."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .feeding import in_time

WHOLE = "whole"  # one answer for all steps together


@dataclass(frozen=True)
class Answer:
    """The first tensor that a module gives.

    Attributes
    ----------
    axes : str
        One of `refsim.pytorch.bridge.framework.AXES`, or ``WHOLE``.
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
            raise ValueError(f"gives numbers of shape {tuple(rows[0].shape)} for {n_samples} samples, where it gave {self.n} a sample before")
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
