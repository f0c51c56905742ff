"""What a module on trial gives, held as the read-out of its network: step by step by the declared rule, or once, as its own forward makes it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import RefsimError
from .bridge.answer import Answer


@dataclass
class Answering:
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
        """Return the read-out after each of so many steps, (n_samples, n); NaN where a module gives it after the last step alone.

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
            raise RefsimError(f"Torch: the module gives {len(rows)} steps, but its neurons run {n_steps}.")
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
