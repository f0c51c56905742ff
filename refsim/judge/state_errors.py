"""How far rounding may have moved the states of a layer, carried by the derivative of the step."""

from collections.abc import Callable, Mapping

import numpy as np

from ..core.arrays import Floats
from .bounded import (
    UNKNOWN,
    Bounded,
    Numbers,
    capped,
    constant,
    last_bits,
    steepest,
)

OWN_ROUNDING = 1 + 2.0**-40  # this bound is computed in float64 itself
# A box that was turned once is a little larger than before, and that is no reason to start anew.
_SMALLER = 4.0
_OWN = 2.0**-49  # by how much, relatively, turning the directions rounds in float64
_MOST, _KEPT = 12, 6  # directions a state, before and after the least are put together
_GROWN = 30.0  # boxes are kept while they stay below so many times what one step adds


class StateErrors:
    """The bound on the error of a layer's states.

    Each step maps the error of the states by the step's derivative and adds what it rounds itself:
    ``e' = |J| e + local``, over all values in reach (docs/decisions/0012). Where two states turn
    into each other, as in an oscillator, a box around the error grows although the error does not.
    There the box turns along: it is kept as a product of an orthogonal frame and a box (Lohner's
    method).

    Parameters
    ----------
    states : dict of str to Bounded
        At the start of a run.
    shape : tuple of int
        The shape of each state: one entry for each cell that is followed.
    """

    def __init__(self, states: Mapping[str, Bounded], shape: tuple[int, ...]) -> None:
        self.names = list(states)
        self.shape = shape
        self.errors = {name: np.broadcast_to(state.error, shape) for name, state in states.items()}
        self.largest_local = {name: np.zeros(shape) for name in states}
        # (..., k, m): the error is a sum of m vectors, each times a number in [-1, 1]
        self.directions: Floats | None = None

    def variables(
        self,
        values: Mapping[str, Floats],
        unit: float,
        spread: Mapping[str, Floats] | None = None,
        quantum: Callable[[str], Floats] | None = None,
    ) -> dict[str, Bounded]:
        """Return the states at the start of a step, each of them its own variable.

        Parameters
        ----------
        values : dict of str to array
        unit : float
            Unit roundoff.
        spread : dict of str to array, optional
            Half-width of the range that each state stands for.
        quantum : function (name) -> array, optional
            The last bits of a state that stands for many.
        """
        found, table = {}, dict(self.errors)
        for name in self.names:
            value = np.broadcast_to(values[name], self.shape)
            bits: float | Floats = 0.0
            # Last bits matter only where a state is exact: other results are rounded anyway.
            if (self.errors[name] == 0).any():
                bits = last_bits(value) if quantum is None else quantum(name)
            wide = 0.0 if spread is None else spread[name]
            found[name] = Bounded(value, 0.0, unit, bits, wide, {name: (1.0, 0.0)}, table)
        return found

    def advance(
        self, after: Mapping[str, Bounded | Floats], unit: float, once: float = 0.0
    ) -> None:
        """Take the states at the end of a step, and carry the errors over it.

        Each state is rounded once more by the unit `once`.
        """
        # A state that the step sets to a constant is a number without error.
        ends = {name: after[name] for name in self.names}
        numbers = {
            name: end if isinstance(end, Bounded) else constant(end, unit)
            for name, end in ends.items()
        }
        local = {
            name: np.broadcast_to(self._fresh(number) + once * np.abs(number.value), self.shape)
            for name, number in numbers.items()
        }
        box: dict[str, Floats] = {}
        with np.errstate(all="ignore"):
            for name, number in numbers.items():
                # What the step added, and what its derivative makes of the errors before it.
                total = local[name] + sum(
                    steepest(slope) * self.errors[source]
                    for source, slope in number.slopes.items()
                    if source in self.errors
                )
                box[name] = np.broadcast_to(capped(total * OWN_ROUNDING), self.shape)
                self.largest_local[name] = np.maximum(self.largest_local[name], local[name])
            # A box is turned from the step on in which it has grown for no reason of its own.
            if len(self.names) > 1 and (self.directions is not None or self._grown(box)):
                box = self._turned(numbers, local, box)
        self.errors = box

    def _fresh(self, number: Bounded) -> Numbers:
        """Return what this step has added to the error of a state.

        Its own operations add to it, and so do those whose results are variables of the step.
        """
        own = [name for name in number.slopes if name not in self.errors]
        return number.local + sum(
            steepest(number.slopes[name]) * number.carried[name] for name in own
        )

    def _grown(self, box: Mapping[str, Floats]) -> bool:
        """Return whether an error is far above what a single step adds."""
        return any(
            bool((box[name] > _GROWN * self.largest_local[name]).any()) for name in self.names
        )

    def _turned(
        self, numbers: Mapping[str, Bounded], local: Mapping[str, Floats], box: dict[str, Floats]
    ) -> dict[str, Floats]:
        """Carry the directions over the step; return the smaller of both bounds, state by state."""
        if self.directions is None:
            # The first directions are the axes of the box.
            self.directions = np.stack([self.errors[name] for name in self.names], axis=-1)[
                ..., None
            ] * np.eye(len(self.names))
        centre, width = self._derivative(numbers)
        fresh = np.stack([local[name] for name in self.names], axis=-1)
        reach = np.abs(self.directions).sum(axis=-1, keepdims=True)
        # The middle of the derivative turns the directions; its width makes them longer.
        moved = centre @ self.directions
        # The width of the derivative, the rounding of this bound itself, and what the step rounds
        # go in all directions.
        added = (width @ reach)[..., 0] + _OWN * (np.abs(centre) @ reach)[..., 0] + fresh
        self.directions = _fewer(
            np.concatenate(
                [
                    np.clip(moved, -UNKNOWN, UNKNOWN),
                    capped(added)[..., None] * np.eye(len(self.names)),
                ],
                axis=-1,
            )
        )
        turned = capped(np.abs(self.directions).sum(axis=-1) * OWN_ROUNDING)
        plain = np.stack([box[name] for name in self.names], axis=-1)
        # Where the box is much smaller, as after a reset, the directions start anew from it.
        better = (_SMALLER * plain <= turned).all(axis=-1)[..., None, None]
        anew = np.zeros_like(self.directions)
        anew[..., : len(self.names)] = plain[..., None] * np.eye(len(self.names))
        self.directions = np.where(better, anew, self.directions)
        least = np.minimum(plain, turned)
        return {name: least[..., place] for place, name in enumerate(self.names)}

    def _derivative(self, numbers: Mapping[str, Bounded]) -> tuple[Floats, Floats]:
        """Return centre and half-width of the derivative of the step, (..., k, k) each."""
        size = len(self.names)
        centre, width = np.zeros((*self.shape, size, size)), np.zeros((*self.shape, size, size))
        for row, name in enumerate(self.names):
            for column, source in enumerate(self.names):
                if source in numbers[name].slopes:
                    centre[..., row, column], width[..., row, column] = numbers[name].slopes[source]
        return centre, width


def _fewer(directions: Floats) -> Floats:
    """Return so few directions that they stay cheap.

    Those with the least share in any state are put into one box.
    """
    size, count = directions.shape[-2:]
    if count <= _MOST * size:
        return directions
    reach = np.abs(directions).sum(axis=-1, keepdims=True)
    # The share of each direction in the state where it counts most.
    share = (np.abs(directions) / np.where(reach > 0, reach, 1.0)).max(axis=-2)
    order = np.argsort(-share, axis=-1)
    kept = np.take_along_axis(directions, order[..., None, : _KEPT * size], axis=-1)
    rest = np.take_along_axis(directions, order[..., None, _KEPT * size :], axis=-1)
    boxed = np.abs(rest).sum(axis=-1) * OWN_ROUNDING
    return np.concatenate([kept, boxed[..., None] * np.eye(size)], axis=-1)
