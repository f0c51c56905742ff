"""The two runs of a gradient check: the trial with its graph, and the declared steps with theirs.

First comes whether two runs fire alike, and where not, whether rounding at a threshold explains it;
then `GradientRuns`, which runs both on what `inputs.py` gives and measures how far they are apart.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from ...core.arrays import Floats
from ...core.errors import listed
from ...core.spikes import SpikeTrains
from ...engines.discrete import constant_threshold
from ...gradients.bias import distance
from ...judge.distances import mismatched
from ...judge.replay import replay
from ...networks.drive import Drive
from ...networks.network import Network
from ...networks.recording import Recording
from ..suite import Answer
from .inputs import Target, declared_surrogates, inputs_of, target_of
from .layers import ENLARGED, LayerGradient, LayerPassage, apart
from .loss import UserLoss, loss_error

if TYPE_CHECKING:
    from torch import nn

    from ...pytorch.surrogate import Fire
    from .inputs import Surrogate
    from .parameters import Slope
    from .traced import Traced
    from .trial import ModuleTrial, StepsTrial


@dataclass(frozen=True)
class SpikesApart:
    """How two runs part.

    Attributes
    ----------
    count : int
        Spikes that one run has and the other has not.
    tie : bool
        Whether rounding explains where each sample parts.
    words : str
        Where that is, how far from threshold, and how far rounding reaches there; "" where the runs
        are one.
    """

    count: int
    tie: bool = False
    words: str = ""


def spikes_apart(
    network: Network,
    inputs: Floats,
    declared: Sequence[Floats],
    trial: Sequence[Floats],
    dtype: str,
) -> SpikesApart:
    """Compare what the layers of two runs gave, the declared one in float64, the trial in a dtype.

    Parameters
    ----------
    inputs : (n_samples, n_steps, n_inputs)
    declared, trial : (n_steps, n_samples, n_neurons) a layer
    """
    # Both runs as recordings of one network and drive.
    drive = Drive.current(inputs, network.dt)
    left, right = (_recording(network, drive, gave) for gave in (declared, trial))
    count = sum(len(mismatched(a, b)) for a, b in zip(left.spikes, right.spikes, strict=True))
    if not count:
        return SpikesApart(0)
    # Every decision of the trial is computed anew on its own spikes.
    found = replay(right, np.arange(drive.n_samples), ("float64", dtype))
    first = next(iter(found.wrong or found.open), None)
    # Each decision is as the card says, so it is not the module that parts.
    if first is None:
        return SpikesApart(count, True, "no decision of the module is wrong by itself")
    return SpikesApart(
        count,
        not found.wrong,
        f"they part at {network.layers[first.layer].name}, sample {first.sample}, step "
        f"{first.step}, neuron {first.neuron}: "
        f"{abs(first.distance):.2g} from threshold, where rounding reaches {first.bound:.2g}",
    )


def _recording(network: Network, drive: Drive, gave: Sequence[Floats]) -> Recording:
    trains = [
        SpikeTrains.from_dense(
            np.zeros_like(each, bool) if layer.model.discrete.readout else each != 0, network.dt
        )
        for layer, each in (
            (layer, each.transpose(1, 0, 2))
            for layer, each in zip(network.layers, gave, strict=True)
        )
    ]
    return Recording(network, drive, tuple(trains), (), (), {})


_ENDS = 6  # steps whose spikes are asked what comes back from them
_DOUBLE, _SINGLE = 1e-9, 1e-7
_ROUNDINGS, _NOISE = 16, 2.0**-40
# A limit of rounding above it hides what the checks are for: a reset's share of a gradient, the
# second digit of a decay.
BLIND = 1e-2


@dataclass(frozen=True, eq=False)
class GradientRuns:
    """A trial, the network it is held to be, and what is declared of its gradients.

    Runs are made when they are first asked for.
    """

    door: "ModuleTrial | StepsTrial"
    network: Network
    loss: UserLoss
    inputs: Floats
    target: Target
    fires: "Sequence[Fire]"
    derivative: Callable[[Floats], Floats]
    detach_reset: Sequence[bool]
    seed: int

    @classmethod
    def of(
        cls,
        module: "nn.Module | Network",
        loss: UserLoss,
        inputs: ArrayLike | Drive | None,
        target: ArrayLike | None,
        *,
        surrogate: "Surrogate | Sequence[Surrogate]",
        parameters: Mapping[str, float],
        detach_reset: bool | Sequence[bool],
        dt: object,
        input_shape: Sequence[int] | None,
        layout: str | None,
        device: str,
        dtype: str | None,
        seed: int,
    ) -> "GradientRuns":
        """Read a module or take a network, and make up what is not given."""
        from ...modules.functions import fire_slope
        from .card import check_declared
        from .trial import ModuleTrial, StepsTrial

        # A network is run by refsim's own steps, a module as it is.
        door: ModuleTrial | StepsTrial
        if isinstance(module, Network):
            door = StepsTrial.of(module, device, dtype or "float32")
        else:
            door = ModuleTrial.of(module, dt, input_shape, layout)
            door.check_device_and_dtype(device, dtype)
        network = door.network
        check_declared(network)
        # What is not given is made up from the seed.
        fires, detached = declared_surrogates(surrogate, parameters, detach_reset, network)
        values = inputs_of(inputs, network, seed)
        derivative = fire_slope(fires[-1])
        return cls(
            door,
            network,
            loss,
            values,
            target_of(loss, target, network, len(values), seed),
            fires,
            derivative,
            detached,
            seed,
        )

    @property
    def title(self) -> str:
        """Who is on trial."""
        return str(self.door.title)

    @property
    def single(self) -> bool:
        """Whether the trial computes in float32."""
        return bool(self.door.single)

    @property
    def threshold(self) -> float:
        """The threshold of the last layer that fires, where it is one positive number, else 1."""
        # A readout has no threshold, so the last layer that has one counts.
        for layer in reversed(self.network.layers):
            value = constant_threshold(layer, self.network.dt)
            if value.ndim == 0 and 0 < value < np.inf:
                return float(value)
        return 1.0

    @cached_property
    def limit(self) -> float:
        """How far rounding may take a gradient, relative to the largest of a layer."""
        # A base for the sums, and a part for how steep this network is.
        base, unit = (
            (_SINGLE * max(100, self.inputs.shape[1]), 2.0**-24)
            if self.single
            else (_DOUBLE, 2.0**-53)
        )
        return float(base + _ROUNDINGS * unit * self._condition())

    @property
    def rounding(self) -> str:
        """Why the limit is what it is."""
        digits = (
            "float32 keeps seven digits, and each step hands its rounding back"
            if self.single
            else "float64 keeps sixteen digits, and seven are left to sums over steps"
        )
        return (
            f"{digits}; on top of it {_ROUNDINGS} roundings a step, times what a change of "
            "every state and input in each step does to these gradients, measured"
        )

    @property
    def least(self) -> float:
        """The smallest gradient that the trial's dtype can tell from 0 with all its digits."""
        digits = np.finfo(np.float32 if self.single else np.float64)
        return float(digits.tiny / digits.eps)

    def _condition(self) -> float:
        """Return how much gradients change, relative, for a relative change of states and inputs.

        All states and inputs are changed in each step; all decisions stay as they are.
        """
        # All states and inputs are changed by a known amount in each step.
        moved = self._declared("", like=self.declared, noise=_NOISE)
        pairs = list(zip(self._from_loss(moved), self._from_loss(self.declared), strict=True))
        # From the loss, and from the last spikes of each layer.
        for index in range(len(self.network.layers)):
            upstream = np.zeros(self.declared.shapes[index])
            upstream[-1] = 1.0
            pairs.append(
                (moved.back(index, upstream)[index], self.declared.back(index, upstream)[index])
            )
        return (
            max(
                [
                    float(np.abs(one - other).max() / np.abs(other).max())
                    for one, other in pairs
                    if other.any()
                ],
                default=0.0,
            )
            / _NOISE
        )

    @cached_property
    def trial(self) -> "Traced":
        """The trial's run."""
        return self.door.trace(self.inputs, self.fires, self.detach_reset)

    @cached_property
    def declared(self) -> "Traced":
        """The declared run."""
        return self._declared("")

    def _declared(self, reading: str, **how: Any) -> "Traced":
        from .card import Passing, trace_network

        # Another reading of the gradient differs from the declared one in one trait.
        usual = [
            Passing(
                fire,
                detached != (reading == "reset"),
                held=reading != "refractory",
                recurrent=reading != "recurrence",
            )
            for fire, detached in zip(self.fires, self.detach_reset, strict=True)
        ]
        return trace_network(self.network, self.inputs, usual, **how)

    def check_loss(self) -> None:
        """Ask the loss once for its value at the declared outputs.

        The loss is given and not on trial: one that raises there is refused in words.
        """
        from ...modules.functions import loss_value

        loss_value(
            self.loss,
            self.declared.output(-1).transpose(1, 2, 0),
            *self.target,
            where="check_gradient",
        )

    def not_finite(self) -> Answer:
        """Count the NaN or infinite numbers in the trial's gradients from the loss.

        They are the gradients by what arrives at every layer and by every parameter.
        """
        _, found, value = self.trial.back_from_loss(self.loss, self.target)
        learnt = self.door.learnt
        # By what arrives, and by each parameter that learns.
        gradients = dict(
            zip(
                [f"what arrives at {layer.name}" for layer in self.network.layers],
                found,
                strict=True,
            )
        )
        gradients |= {
            name: each
            for name, each in zip(
                learnt, self.trial.by_parameter(value, list(learnt.values())), strict=True
            )
            if each is not None
        }
        wrong = {
            name: count
            for name, each in gradients.items()
            if (count := int((~np.isfinite(each)).sum()))
        }
        return float(sum(wrong.values())), f"NaN or infinite: {listed(wrong)}" if wrong else ""

    @property
    def runs_away(self) -> bool:
        """Whether the declared gradients are NaN or infinite too."""
        return not all(np.isfinite(each).all() for each in self._from_loss(self.declared))

    def other_spikes(self) -> SpikesApart:
        """Return how many spikes differ between the trial and the declared run, and why."""
        declared, trial = (
            [run.output(index) for index in range(len(self.network.layers))]
            for run in (self.declared, self.trial)
        )
        return spikes_apart(
            self.network, self.inputs, declared, trial, "float32" if self.single else "float64"
        )

    def loss_error(self) -> Answer:
        """Return how far autograd's gradient of the loss is from central differences."""
        return loss_error(
            self.loss, self.target, self.declared.output(-1).transpose(1, 2, 0), self.seed
        )

    @cached_property
    def through(self) -> list[LayerPassage]:
        """What comes back through each layer alone."""
        n_steps = self.inputs.shape[1]
        ends = tuple(
            int(end) for end in np.unique(np.linspace(n_steps - 1, n_steps // 3, _ENDS).round())
        )
        return [self._through(index, ends) for index in range(len(self.network.layers))]

    def _through(self, index: int, ends: tuple[int, ...]) -> LayerPassage:
        layer = self.network.layers[index]
        # Random gradients are sent back from the spikes of a few steps, each alone.
        sent = np.random.default_rng(self.seed + index).standard_normal(self.trial.shapes[index])

        def back(traced: "Traced", *, spread: bool) -> Floats:
            rows = []
            for end in ends:
                upstream = np.zeros_like(sent)
                upstream[end] = sent[end]
                rows.append(traced.back(index, upstream)[index])
            return np.asarray(
                self.door.spread(self.trial, index, np.stack(rows)) if spread else np.stack(rows)
            )

        # Only readings that such a card can differ in.
        readings = (
            ["reset"]
            if any("z" in statement.names for statement in layer.model.discrete.reset)
            else []
        )
        readings += ["refractory"] if len(layer.model.discrete.tests) > 1 else []
        readings += ["recurrence"] if any(source.layer >= index for source in layer.sources) else []
        # Each reading is run once, when it is first asked for.
        kept: dict[str, Floats] = {}

        def declared(reading: str) -> Floats:
            if reading not in kept:
                kept[reading] = back(
                    self._declared(reading) if reading else self.declared, spread=True
                )
            return kept[reading]

        # The last step once more, enlarged, for the check of the chain.
        last = np.zeros_like(sent)
        last[ends[-1]] = ENLARGED * sent[ends[-1]]
        return LayerPassage(
            layer.name,
            ends,
            back(self.trial, spread=False),
            self.trial.back(index, last)[index],
            declared,
            tuple(readings),
            self.limit,
            self.least,
        )

    def _from_loss(self, traced: "Traced") -> list[Floats]:
        _, found, _ = traced.back_from_loss(self.loss, self.target)
        return list(found)

    @cached_property
    def _pairs(self) -> list[tuple[Floats, Floats]]:
        declared = [
            self.door.spread(self.trial, index, each)
            for index, each in enumerate(self._from_loss(self.declared))
        ]
        return list(zip(self._from_loss(self.trial), declared, strict=True))

    def layers(self) -> list[LayerGradient]:
        """Compare the gradients from the loss to what arrives at each layer."""
        rows = []
        for layer, (found, true) in zip(self.network.layers, self._pairs, strict=True):
            # The entry that is farthest off.
            at = np.unravel_index(np.abs(found - true).argmax(), true.shape)
            worst = (int(at[0]), int(at[1]), int(at[2]))
            rows.append(
                LayerGradient(
                    layer.name,
                    distance(found, true),
                    worst,
                    float(found[worst]),
                    float(true[worst]),
                )
            )
        return rows

    def connections(self) -> Answer:
        """Return how far gradients from the loss to any layer are off, over its largest entry."""
        worst, words = 0.0, ""
        for layer, (found, true) in zip(self.network.layers, self._pairs, strict=True):
            far = apart(found, true, self.least)
            # NaN is the worst, and stays so.
            if not far <= worst and not np.isnan(worst):  # NaN is the worst
                worst, words = (
                    far,
                    f"what the loss sends to {layer.name} is off" if not far <= self.limit else "",
                )
        return worst, words

    @property
    def sends(self) -> bool:
        """Whether the loss sends any gradient to any layer, in either run.

        Where it sends none, equal gradients say nothing.
        """
        return any(not (np.abs(each) <= self.least).all() for pair in self._pairs for each in pair)

    @cached_property
    def _slopes(self) -> "tuple[list[Slope], list[str]]":
        gave = [self.declared.output(index) for index in range(len(self.network.layers))]
        found, left = self.door.slopes(
            self.inputs,
            gave,
            self._from_loss(self.declared),
            self.declared.by_card(self.loss, self.target),
            self.seed,
        )
        return list(found), list(left)

    @property
    def unjudged(self) -> tuple[str, ...]:
        """Parameters whose gradients are not judged."""
        return (
            *self._slopes[1],
            *(slope.name for slope, gradient in self._learnt if not self._settled(slope, gradient)),
        )

    @cached_property
    def _learnt(self) -> "list[tuple[Slope, Floats | None]]":
        slopes = self._slopes[0]
        return list(
            zip(
                slopes,
                self.trial.through_network(
                    self.loss, self.target, [slope.parameter for slope in slopes]
                ),
                strict=True,
            )
        )

    @property
    def none_judged(self) -> bool:
        """Whether there are parameters that learn, and not one whose gradient can be judged."""
        return bool(self.door.learnt) and not any(
            self._settled(slope, gradient) for slope, gradient in self._learnt
        )

    def _settled(self, slope: "Slope", gradient: Floats | None) -> bool:
        """Return whether a slope can be judged.

        A slope of 0 tells nothing, differences of what is rounded to a grid never agree, and sums
        that cancel may be all rounding.
        """
        should, doubt, terms = slope.here
        size = _size(gradient, should)
        return not (
            size <= self.least or doubt > self.limit * size or self.limit * terms > BLIND * size
        )

    def weights(self) -> Answer:
        """Return how far any parameter's gradient is from its slope along a random direction."""
        # Slopes of 0, and slopes within rounding, judge nothing.
        judged = [
            (slope, gradient) for slope, gradient in self._learnt if self._settled(slope, gradient)
        ]
        if not judged:
            return None, "no parameter is judged"
        worst, words = 0.0, ""
        for slope, gradient in judged:
            far, should = _off(slope, gradient, slope.direction)
            if not far <= worst and not np.isnan(worst):
                worst, words = (
                    far,
                    ""
                    if far <= self.limit
                    else f"{slope.name}: {self._why(slope, gradient, should)}",
                )
        return worst, words

    def _why(self, slope: "Slope", gradient: Floats | None, should: float) -> str:
        if gradient is None:
            return "no gradient reaches it"
        # Right along the entries that are not 0: the others are masked.
        masked = slope.direction * (gradient != 0)
        if (
            gradient.any()
            and (gradient == 0).any()
            and _off(slope, gradient, masked)[0] <= self.limit
        ):
            return (
                f"right but for {int((gradient == 0).sum())} of {gradient.size} entries, "
                "whose gradient is 0: is it masked?"
            )
        return (
            "its gradient along a direction is "
            f"{float((gradient * slope.direction).sum()):.6g}, and should be {should:.6g}"
        )


def _off(slope: "Slope", gradient: Floats | None, direction: Floats) -> tuple[float, float]:
    """Return how far a gradient is from the slope along a direction, relative, and that slope.

    The size is the largest of the two and of the terms that add up to them.
    """
    should, _, terms = slope.here if direction is slope.direction else slope.along(direction)
    along = 0.0 if gradient is None else float((gradient * direction).sum())
    size = max(_size(gradient, should), terms)
    return abs(along - should) / size, should


def _size(gradient: Floats | None, should: float) -> float:
    return max(0.0 if gradient is None else float(np.linalg.norm(gradient)), abs(should))
