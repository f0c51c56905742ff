"""What the gradient of each parameter of a module must be along one direction.

It comes from differences of what arrives at the neurons, without autograd.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from ...core.arrays import Floats
from ...core.errors import RefsimError
from ...modules.find import read_part
from ...modules.measure import INPUT, Bench
from ...modules.trial import Trial

# Of a parameter's mean size; what arrives is linear in most parameters, and of sixth order the
# difference is right for smooth others.
_STEP = 1e-2
# Of the slope: steps that agree so far show a straight line, and the larger one rounds least.
_LINEAR = 1e-11
# Of the slope by a neuron's own parameter, which may be read through a clamp, or rounded.
_TRUSTED = 1e-7

Along = tuple[float, float, float]  # a slope, its doubt, the size of its terms


@dataclass(frozen=True, eq=False)
class Slope:
    """The slope of a loss along a direction of one parameter.

    Attributes
    ----------
    name : str
    parameter : Tensor
        Of the module itself.
    direction : array of the parameter's shape
    along : function of a direction to
        the slope of the loss along it; its doubt, by how much differences of two steps part; and
        the size of its terms, the root of the sum of squares of what is added up to it, which may
        cancel: the sum rounds as they do.
    here : that of `direction`
    """

    name: str
    parameter: Tensor
    direction: Floats
    along: Callable[[Floats], Along]
    here: Along


def parameter_slopes(
    trial: Trial,
    inputs: Floats,
    gave: Sequence[Floats],
    deltas: Sequence[Floats],
    by_card: Sequence[Mapping[str, Floats]],
    seed: int = 0,
) -> tuple[list[Slope], list[str]]:
    """Return the slope of the loss along a random direction of each parameter that can be judged.

    A weight acts only through what arrives at the neurons. Given their spikes, and the gradient of
    the loss by what arrives, the slope is that gradient times the central difference of what
    arrives, with every neuron held to its spikes. A neuron's own parameter, such as a learnt decay,
    acts through the card's parameters: the slope is the gradient by those times the central
    difference of how the module is read.

    Parameters
    ----------
    trial : Trial
    inputs : (n_samples, n_steps, n_inputs)
    gave, deltas : (n_steps, n_samples, n_neurons) a layer
        What each layer gives, and the gradient of the loss by what arrives at each of its neurons.
    by_card : dict of str to (n_samples, n_neurons) a layer
        Gradients of the loss by the cards' parameters.

    Returns
    -------
    slopes, names
        Not judged are frozen parameters, those that weights are made from, also where a forward
        rounds them (what arrives jumps then, and its slope is 0 wherever it does not), and those of
        a neuron that its card does not have, or that are read too coarsely.
    """
    # Parameters are moved in a copy, and the module stays as it is.
    play = _Playback(trial, inputs, gave, deltas)
    own = dict(play.bench.module.named_parameters())
    generator, found, left = np.random.default_rng(seed), [], []
    for name, parameter in trial.module.named_parameters():
        # A random direction is drawn for each parameter, judged or not.
        direction = generator.standard_normal(tuple(parameter.shape))
        # Frozen parameters, and those that the copy makes from others, are left out.
        way = (
            _way_of(own[name], direction, play, by_card)
            if parameter.requires_grad and name in own
            else None
        )
        if way is None:
            left.append(name)
        else:
            found.append(Slope(name, parameter, direction, *way))
    return found, left


def _way_of(
    parameter: Tensor, direction: Floats, play: "_Playback", by_card: Sequence[Mapping[str, Floats]]
) -> tuple[Callable[[Floats], Along], Along] | None:
    """Return the function from a direction of a parameter to the slope, and its value along one.

    The answer is None where there is no slope to be had.
    """
    weighed, home = partial(_along, parameter, play.terms), play.home_of(parameter)
    # Through what arrives, as weights act.
    here = weighed(direction)
    if any(here):
        return weighed, here
    # Outside of a neuron a parameter that does nothing may be rounded to a grid.
    if home is None:
        return None if _jumps(parameter, play.terms, direction) else (weighed, here)
    # Inside of a neuron it acts through the card's parameters.
    read = partial(_along, parameter, partial(play.read_terms, home, by_card[home]))
    try:
        here = read(direction)
    except RefsimError:  # a step led to a value that the card does not allow
        return None
    return None if here[0] == 0 or here[1] > _TRUSTED * abs(here[0]) else (read, here)


class _Playback:
    """A copy of a module whose neurons give the spikes that they gave."""

    def __init__(
        self, trial: Trial, inputs: Floats, gave: Sequence[Floats], deltas: Sequence[Floats]
    ) -> None:
        self.bench = Bench(trial.module, trial.tried)
        self.bench.steps = inputs.shape[1]
        self.modules: dict[str, nn.Module] = dict(self.bench.module.named_modules())
        # Every layer is given the spikes that the layers before it gave.
        self.given: Mapping[int, Sequence[Tensor]] = {
            INPUT: _steps(inputs.transpose(1, 0, 2)),
            **{index: _steps(each) for index, each in enumerate(gave)},
        }
        self.deltas = [torch.as_tensor(np.ascontiguousarray(delta)) for delta in deltas]
        self.n_samples, self.dt = inputs.shape[0], trial.network.dt
        self.unmoved: list[tuple[Tensor, Tensor]] = []
        # What arrives before any change is what changes are counted from.
        self.terms()

    def home_of(self, parameter: Tensor) -> int | None:
        """Return the number of the layer of neurons that a parameter lies in."""
        return next(
            (
                index
                for index, part in enumerate(self.bench.tried.parts)
                if any(each is parameter for each in self.part(part.name).parameters())
            ),
            None,
        )

    def read_terms(self, index: int, gradients: Mapping[str, Floats]) -> list[Floats]:
        """Return the terms of a layer's own parameters, (n_samples, n_neurons) each.

        A term is a parameter, as it is read now, times the gradient of the loss by it.
        """
        part, shape = self.bench.tried.parts[index], self.bench.tried.shapes[index]
        # The layer is read anew, with its parameters as they are now.
        read = read_part(replace(part, module=self.part(part.name)), shape, self.dt)
        values: dict[str, float | Floats] = {
            name: known.value for name, known in read.model.parameters.items()
        } | dict(read.parameters)
        # What else the network's card has, such as the bias of a recurrent connection, is no
        # parameter of the neuron.
        return [
            np.asarray(values[name] * gradient)
            for name, gradient in gradients.items()
            if name in values
        ]

    def part(self, name: str) -> nn.Module:
        """Return a layer of neurons of the copy."""
        return self.modules[name]

    def terms(self) -> list[Floats]:
        """Return the terms of everything that arrives: its change times the loss's gradient by it.

        The change is counted from when the module was copied: whole sums would round away what a
        weight of small gradient does.
        """
        found = self._arriving()
        self.unmoved = self.unmoved or found
        return [
            np.asarray(((now - before) * delta).numpy())
            for (now, delta), (before, _) in zip(found, self.unmoved, strict=True)
        ]

    def _arriving(self) -> list[tuple[Tensor, Tensor]]:
        """Return all that arrives, each with the gradient of the loss by it."""
        # What arrives from other layers, in each step.
        rows = self.bench.answers(self.given, self.n_samples)
        found = [
            (arrived, delta[step])
            for step, row in enumerate(rows)
            for arrived, delta in zip(row, self.deltas, strict=True)
        ]
        for index, part in enumerate(self.bench.tried.parts):
            # A framework's own recurrent weights act inside of its layer.
            recurrent = part.framework.recurrent(self.part(part.name))
            if recurrent is not None:
                answer, sent = (
                    _map(recurrent.weight, self.bench.tried.shapes[index]),
                    torch.stack(list(self.given[index])),
                )
                # A map that is asked in the first step too receives no spike there.
                first = int(recurrent.late)
                received = torch.cat([torch.zeros_like(sent[:1]), sent[:-1]])[first:]
                found.append(
                    (answer(received.flatten(0, 1)), self.deltas[index][first:].flatten(0, 1))
                )
        return [(arrived.detach().clone(), delta) for arrived, delta in found]


_Terms = Callable[[], Sequence[Floats]]  # what is added up to a loss, but for a constant


def _along(parameter: Tensor, terms: _Terms, direction: Floats) -> Along:
    """Return the central difference of sixth order of a sum along a direction of a parameter.

    Beside it stand by how much the difference of twice the step is another, and the size of the
    terms.
    """
    # A hundredth of the parameter's mean size.
    step = _size(parameter) * _STEP
    second: dict[float, float] = {}
    size = 0.0
    # Four steps, each half of the one before: enough for two extrapolations.
    for times in (2.0, 1.0, 0.5, 0.25):
        pairs = list(
            zip(
                *(_moved(parameter, terms, sign * times * step * direction) for sign in (1, -1)),
                strict=True,
            )
        )
        slopes = [(high - low) / (2 * times * step) for high, low in pairs]
        second[times], size = (
            _sum(slopes),
            math.hypot(*(float(np.linalg.norm(each)) for each in slopes)),
        )
        # Two steps that agree show a straight line; the larger one rounds least.
        if times == 1 and abs(second[1.0] - second[2.0]) <= _LINEAR * abs(second[2.0]):
            return second[2.0], 0.0, size
    # Richardson's extrapolation, twice.
    fourth = {times: (4 * second[times] - second[2 * times]) / 3 for times in (0.25, 0.5, 1.0)}
    finer, coarser = ((16 * fourth[times] - fourth[2 * times]) / 15 for times in (0.25, 0.5))
    return finer, abs(finer - coarser), size


def _jumps(parameter: Tensor, terms: _Terms, direction: Floats) -> bool:
    """Return whether a large change of a parameter acts, where a small one does nothing."""
    return _sum(_moved(parameter, terms, 4 * _size(parameter) * direction)) != _sum(
        _moved(parameter, terms, 0 * direction)
    )


def _moved(parameter: Tensor, terms: _Terms, change: Floats) -> Sequence[Floats]:
    # The parameter is back at its place before anything else runs.
    start = parameter.detach().clone()
    with torch.no_grad():
        parameter.copy_(start + torch.as_tensor(change))
        found = terms()
        parameter.copy_(start)
    return found


def _sum(terms: Sequence[Floats]) -> float:
    return sum(float(each.sum()) for each in terms)


def _size(parameter: Tensor) -> float:
    return (float(parameter.detach().abs().mean()) if parameter.numel() else 0.0) or 1.0


def _steps(values: Floats) -> list[Tensor]:
    return list(torch.as_tensor(np.ascontiguousarray(values)))


def _map(weight: Tensor | nn.Module, shape: tuple[int, ...]) -> Callable[[Tensor], Tensor]:
    """Return the map from spikes (n, n_neurons) to what a layer receives of itself later."""
    if isinstance(weight, Tensor):
        return lambda z: z @ weight.T
    return lambda z: weight(z.reshape(-1, *shape)).flatten(1)
