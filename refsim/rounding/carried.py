"""What rounding may have done to the states of a layer, carried from step to step by the derivative of the step."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .bounded import UNKNOWN, Bounded, capped, constant, last_bits, steepest

_OWN_ROUNDING = 1 + 2.0**-40  # this bound is computed in float64 itself
_SMALLER = 4.0  # a box that is turned once is a little larger than it was, and that is no reason to start anew
_OWN = 2.0**-49
_MOST, _KEPT = 12, 6  # directions a state, before and after the least are put together
_GROWN = 30.0  # boxes are kept while they stay below so many times what one step adds


class Carried:
    """The bound on the states of a layer.

    Each step maps the error of the states by the step's derivative and adds what it rounds itself:
    ``e' = |J| e + local``, over all values in reach (docs/decisions/0046). Where two states turn into each other, as
    in an oscillator, a box around the error grows although the error does not; there the box turns along: it is kept
    as a product of an orthogonal frame and a box (Lohner's method).

    Parameters
    ----------
    states : dict of str to Bounded
        At the start of a run.
    shape : tuple of int
        Of all states, one entry a cell.
    """

    def __init__(self, states: Mapping[str, Bounded], shape: tuple[int, ...]) -> None:
        self.names = list(states)
        self.shape = shape
        self.errors = {name: np.broadcast_to(state.error, shape) for name, state in states.items()}
        self.largest_local = {name: np.zeros(shape) for name in states}
        self.directions: Any = None  # (..., k, m): the error is a sum of m vectors, each times a number in [-1, 1]

    def variables(
        self, values: Mapping[str, Any], unit: float, spread: Mapping[str, Any] | None = None, quantum: Callable[[str], Any] | None = None
    ) -> dict[str, Bounded]:
        """Return the states at the start of a step, each its own variable; `quantum` gives the last bits of one that stands for many."""
        found, table = {}, dict(self.errors)
        for name in self.names:
            value = np.broadcast_to(values[name], self.shape)
            bits = 0.0
            if (self.errors[name] == 0).any():  # elsewhere the result is rounded whatever its last bits are
                bits = last_bits(value) if quantum is None else quantum(name)
            wide = 0.0 if spread is None else spread[name]
            found[name] = Bounded(value, 0.0, unit, bits, wide, {name: (1.0, 0.0)}, table)
        return found

    def advance(self, after: Mapping[str, Any], unit: float, once: float = 0.0) -> None:
        """Take the states at the end of a step and carry the errors over it; each is rounded `once` more, by that unit."""
        numbers = {name: after[name] if isinstance(after[name], Bounded) else constant(after[name], unit) for name in self.names}
        local = {name: np.broadcast_to(self._fresh(number) + once * np.abs(number.value), self.shape) for name, number in numbers.items()}
        box = {}
        with np.errstate(all="ignore"):
            for name, number in numbers.items():
                total = local[name] + sum(steepest(slope) * self.errors[source] for source, slope in number.slopes.items() if source in self.errors)
                box[name] = np.broadcast_to(capped(total * _OWN_ROUNDING), self.shape)
                self.largest_local[name] = np.maximum(self.largest_local[name], local[name])
            if len(self.names) > 1 and (self.directions is not None or self._grown(box)):
                box = self._turned(numbers, local, box)
        self.errors = box

    def _fresh(self, number: Bounded) -> Any:
        """Return what this step has added: by the operations themselves, and by those whose numbers are variables of the step."""
        own = [name for name in number.slopes if name not in self.errors]
        return number.local + sum(steepest(number.slopes[name]) * number.carried[name] for name in own)

    def _grown(self, box: Mapping[str, Any]) -> bool:
        return any(bool((box[name] > _GROWN * self.largest_local[name]).any()) for name in self.names)

    def _turned(self, numbers: Mapping[str, Bounded], local: Mapping[str, Any], box: dict[str, Any]) -> dict[str, Any]:
        """Carry the directions over the step; return the smaller of both bounds, state by state."""
        if self.directions is None:
            self.directions = np.stack([self.errors[name] for name in self.names], axis=-1)[..., None] * np.eye(len(self.names))
        centre, width = self._derivative(numbers)
        fresh = np.stack([local[name] for name in self.names], axis=-1)
        reach = np.abs(self.directions).sum(axis=-1, keepdims=True)
        moved = centre @ self.directions
        # What the derivative is not known to, this bound's own rounding, and what the step rounds, goes in all directions.
        added = (width @ reach)[..., 0] + _OWN * (np.abs(centre) @ reach)[..., 0] + fresh
        self.directions = _fewer(np.concatenate([np.clip(moved, -UNKNOWN, UNKNOWN), capped(added)[..., None] * np.eye(len(self.names))], axis=-1))
        turned = capped(np.abs(self.directions).sum(axis=-1) * _OWN_ROUNDING)
        plain = np.stack([box[name] for name in self.names], axis=-1)
        better = (_SMALLER * plain <= turned).all(axis=-1)[..., None, None]  # there the box starts anew, as after a reset
        anew = np.zeros_like(self.directions)
        anew[..., : len(self.names)] = plain[..., None] * np.eye(len(self.names))
        self.directions = np.where(better, anew, self.directions)
        least = np.minimum(plain, turned)
        return {name: least[..., place] for place, name in enumerate(self.names)}

    def _derivative(self, numbers: Mapping[str, Bounded]) -> tuple[Any, Any]:
        """Return centre and half-width of the derivative of the step, (..., k, k)."""
        size = len(self.names)
        centre, width = np.zeros((*self.shape, size, size)), np.zeros((*self.shape, size, size))
        for row, name in enumerate(self.names):
            for column, source in enumerate(self.names):
                if source in numbers[name].slopes:
                    centre[..., row, column], width[..., row, column] = numbers[name].slopes[source]
        return centre, width


def _fewer(directions: Any) -> Any:
    """Return so few directions that they stay cheap: the least of them, by share, are put into one box."""
    size, count = directions.shape[-2:]
    if count <= _MOST * size:
        return directions
    reach = np.abs(directions).sum(axis=-1, keepdims=True)
    share = (np.abs(directions) / np.where(reach > 0, reach, 1.0)).max(axis=-2)
    order = np.argsort(-share, axis=-1)
    kept = np.take_along_axis(directions, order[..., None, : _KEPT * size], axis=-1)
    rest = np.take_along_axis(directions, order[..., None, _KEPT * size :], axis=-1)
    boxed = np.abs(rest).sum(axis=-1) * _OWN_ROUNDING
    return np.concatenate([kept, boxed[..., None] * np.eye(size)], axis=-1)
