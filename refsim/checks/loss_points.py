"""Where a loss is asked: inputs at which each trait shows by itself, and central differences that say when they are none."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Floats
from ..gradients import central_difference
from .loss_forms import LossForm

BATCH, CLASSES, STEPS = 3, 4, 12
_POINTS, _WAYS, _STEP = 6, 8, 1e-3
_TRUSTED = 1e-8  # two step sizes agree to this; else a corner lies between them, or the loss is not computed in float64


@dataclass(frozen=True, eq=False)
class Point:
    """One input: values (batch, class, step), and the target where the loss takes one."""

    values: Floats
    target: tuple[NDArray[Any], ...]

    def sample(self, index: int) -> "Point":
        """Return one sample as a batch of its own."""
        return Point(self.values[index : index + 1], tuple(entry[index : index + 1] for entry in self.target))


@dataclass(frozen=True, eq=False)
class Slopes:
    """Slopes along random ways at one point: by autograd and by central differences that can be trusted."""

    autograd: Floats
    central: Floats


@dataclass(frozen=True, eq=False)
class Probe:
    """Somebody's loss behind a door.

    Attributes
    ----------
    value : function of (values, target) to float
    gradient : function of the same to an array or None
    form : LossForm or None
        What it is held against.
    kind : {"share", "trains", "none"}
        What its target is.
    mean : bool
        Whether it is a mean over the batch, and not a sum.
    """

    value: Callable[..., float]
    gradient: Callable[..., Floats | None]
    form: LossForm | None
    options: Mapping[str, Any]
    kind: str
    mean: bool
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(11))

    def target(self, shape: tuple[int, ...], labels: list[int] | None = None) -> tuple[NDArray[Any], ...]:
        """Draw a target for values of a shape: labels, or trains."""
        if self.kind == "share":
            return (np.array(self.rng.integers(0, shape[1], shape[0]) if labels is None else labels),)
        return ((self.rng.random(shape) < 0.3).astype(float),) if self.kind == "trains" else ()

    @cached_property
    def graded(self) -> list[Point]:
        """Points at which most losses are smooth: numbers between 0 and 1, or membranes of both signs."""
        shape, membranes = (BATCH, CLASSES, STEPS), self.form is not None and self.form.of == "membranes"
        return [Point(self.rng.normal(0, 2, shape) if membranes else self.rng.random(shape), self.target(shape)) for _ in range(_POINTS)]

    @property
    def all_points(self) -> list[Point]:
        """Graded points, spike trains and extreme output; of membranes the graded ones alone."""
        return self.graded if self.form is not None and self.form.of == "membranes" else [*self.graded, *self.binary, *self.extreme.values()]

    @cached_property
    def binary(self) -> list[Point]:
        """Spike trains in which every class fires twice or more."""
        shape, points = (BATCH, CLASSES, STEPS), []
        for _ in range(_POINTS):
            values = (self.rng.random(shape) < 0.3).astype(float)
            values[..., :2] = 1
            points.append(Point(self.rng.permuted(values, axis=-1), self.target(shape)))
        return points

    @cached_property
    def extreme(self) -> dict[str, Point]:
        """Output that a training meets and a formula may not."""
        shape = (BATCH, CLASSES, STEPS)
        silent_class = (self.rng.random(shape) < 0.4).astype(float)
        silent_class[:, 0] = 0
        one = (self.rng.random((BATCH, CLASSES, 1)) < 0.5).astype(float)
        target = self.target(shape, [0, 1, 2])
        return {
            "a silent class": Point(silent_class, target),
            "no spike at all": Point(np.zeros(shape), target),
            "a spike in every step": Point(np.ones(shape), target),
            "one step": Point(one, self.target(one.shape, [0, 1, 2])),
        }

    @cached_property
    def even(self) -> list[Point]:
        """Trains that are the same for all classes, so that the target alone tells them apart; each class is the label once."""
        points = []
        for first in range(CLASSES):
            train = (self.rng.random((BATCH, 1, STEPS)) < 0.4).astype(float)
            train[..., :2] = 1
            points.append(Point(np.repeat(train, CLASSES, 1), self.target((BATCH, CLASSES, STEPS), [(first + k) % CLASSES for k in range(BATCH)])))
        return points

    @cached_property
    def slopes(self) -> list[Slopes]:
        """Slopes at the graded points; a way along which central differences cannot be trusted is left out."""
        rows = []
        for point in self.graded:
            gradient = self.gradient(point.values, *point.target)
            ways = self.rng.normal(size=(_WAYS, *point.values.shape)) / np.sqrt(point.values.size)
            central = np.array([[self._central(point, way, step) for step in (_STEP, _STEP / 2)] for way in ways])
            kept = np.abs(central[:, 0] - central[:, 1]) <= _TRUSTED * np.abs(central[:, 1]).max()
            if kept.sum() >= _WAYS // 2:
                autograd = np.zeros(_WAYS) if gradient is None else (gradient * ways).sum((1, 2, 3))
                rows.append(Slopes(autograd[kept], central[kept, 1]))
        return rows

    def _central(self, point: Point, way: Floats, step: float) -> float:
        return central_difference(lambda offset: self.value(point.values + offset * way, *point.target), step)

    def declared(self, point: Point) -> tuple[float, Floats]:
        """Return the loss of a batch and its gradient by the closed form."""
        assert self.form is not None
        target = point.target
        if self.kind == "share":
            target = (np.eye(point.values.shape[1])[point.target[0]],)
        losses, gradient = self.form.answer(point.values, *(target or (None,)), **self.options)
        share = 1 / len(losses) if self.mean else 1.0
        return float(losses.sum() * share), gradient * share
