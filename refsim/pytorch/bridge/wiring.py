"""How the neurons of a module are wired: measured, not read.

In place of each layer of neurons a stand-in answers with spikes that we choose. What then arrives at each layer, for one
input or neuron at a time, is the weight of the connection, whatever stands between: convolutions, pooling, batch norm, a
residual sum, plain Python. All of it must be linear, and that is checked.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...arrays import Floats
from ...errors import RefsimError
from .affine import agree, random_inputs, unit_answers
from .feeding import in_time, out_of_time
from .framework import with_first
from .parts import neurons_of
from .states import parts_inside, put_aside, twin
from .trying import Tried

INPUT = -1  # as a source: what the module is given
_STEPS = 3  # what is put in at the first step may arrive in it or in the next, and not later
_SAMPLES = 3  # of the check


@dataclass(frozen=True)
class Wiring:
    """What arrives at each layer of neurons.

    Attributes
    ----------
    weights : dict of (target, source, delay) to (n_target, n_source)
        Delay 0 within a step, 1 from the step before.
    biases : tuple of (n_target,)
    """

    weights: dict[tuple[int, int, int], Floats]
    biases: tuple[Floats, ...]


def measure(module: nn.Module, tried: Tried) -> Wiring:
    """Measure a module.

    Raises
    ------
    RefsimError
        Where what stands between two layers is not linear, or remembers more than one step.
    """
    bench = _Bench(module, tried)
    sizes = {INPUT: tried.feeding.width, **{index: math.prod(shape) for index, shape in enumerate(tried.shapes)}}
    weights: dict[tuple[int, int, int], Floats] = {}
    with torch.no_grad():
        biases = tuple(answer[0].numpy() for answer in bench.answers({}, 1)[0])
        for source, n in sizes.items():
            for number, answer in enumerate(unit_answers(bench.respond(source), n)):
                delay, target = divmod(number, len(tried.parts))
                if delay <= 1 and answer.any():
                    weights[target, source, delay] = np.ascontiguousarray(answer.T)
        _check(bench, weights, biases, sizes)
    return Wiring(weights, biases)


class _Bench:
    """A copy of the module in float64 whose neurons are stand-ins."""

    def __init__(self, module: nn.Module, tried: Tried) -> None:
        self.module, self.tried = twin(module).cpu().double(), tried
        inside = dict(self.module.named_modules())
        for index, part in enumerate(tried.parts):
            inside[part.name].forward = self._stand_in(index)
        self.forced: dict[int, Tensor] = {}
        self.heard: list[list[Tensor]] = []
        self.n_samples = 0

    def _stand_in(self, index: int) -> Callable[..., Any]:
        part, template = self.tried.parts[index], self.tried.outputs[index]
        axes = part.framework.axes(part.module)

        def forward(x: Tensor, *_states: Any, **_more: Any) -> Any:
            frames = part.framework.arriving(part.module, in_time(x, axes, self.n_samples))
            answers = torch.zeros_like(frames)
            if not self.heard[index] and index in self.forced:
                answers[0] = self.forced[index].reshape(frames[0].shape)
            self.heard[index] += [frame.flatten(1) for frame in frames]
            return with_first(template, out_of_time(answers, axes))

        return forward

    def respond(self, source: int) -> Callable[[Tensor], list[Tensor]]:
        """Return what answers to numbers put in at one source in the first step: what arrives, step by step, layer by layer."""
        return lambda x: [arrived for step in self.answers({source: x}, len(x)) for arrived in step]

    def answers(self, given: dict[int, Tensor], n_samples: int) -> list[list[Tensor]]:
        """Return what arrives in each step at each layer, (n_samples, n)."""
        quiet = torch.zeros(n_samples, self.tried.feeding.width, dtype=torch.float64)
        self.forced = {index: x for index, x in given.items() if index != INPUT}
        self.heard, self.n_samples = [[] for _ in self.tried.parts], n_samples
        with put_aside(self.module):
            self.tried.feeding.run(self.module, [given.get(INPUT, quiet), *[quiet] * (_STEPS - 1)])
        steps = 1 if self.tried.feeding.layout == "held" else _STEPS  # its input stays: later steps would tell the same again
        return [[frames[step] for frames in self.heard] for step in range(steps)]


def _check(bench: _Bench, weights: dict[tuple[int, int, int], Floats], biases: Sequence[Floats], sizes: dict[int, int]) -> None:
    """Hold the measured maps against the answers to random numbers from all sources at once."""
    given = {source: random_inputs(n) for source, n in sizes.items()}
    for step, row in enumerate(bench.answers(given, _SAMPLES)):
        for target, found in enumerate(row):
            maps = [(given[source].numpy(), weights[target, source, step].T) for source in sizes if (target, source, step) in weights]
            expected = biases[target] + sum(x @ weight for x, weight in maps)
            size = np.abs(biases[target]) + sum(np.abs(x) @ np.abs(weight) for x, weight in maps)
            if not agree(found.numpy(), np.broadcast_to(expected, found.shape), np.broadcast_to(size, found.shape)):
                what = "is not linear" if step < 2 else "remembers more than one step"
                raise RefsimError(
                    f"{bench.tried.parts[target].where}: what leads to it {what}{_suspects(bench)}; only linear maps can stand between layers of neurons."
                )


_USUAL = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Flatten, nn.Identity, nn.Dropout, nn.AvgPool1d, nn.AvgPool2d, nn.BatchNorm1d, nn.BatchNorm2d)


def _suspects(bench: _Bench) -> str:
    """Name the parts between the neurons that are none of the usual linear ones."""
    inside = {id(each) for part in neurons_of(bench.module) for each in parts_inside(part.module)}
    odd = [
        f"'{name}' is a {type(part).__name__}"
        for name, part in bench.module.named_modules()
        if name and not list(part.children()) and id(part) not in inside and not isinstance(part, _USUAL)
    ]
    return f" ({', '.join(odd[:4])})" if odd else ""
