"""EscapeNetwork: a feed-forward network in discrete time whose neurons fire by chance.

The chance grows with the membrane. After the network come the readers that make its layers from
cards: they know which cards have the one step it has, u = decay v + I, v = u - reset z.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..cards.read import load
from ..core.arrays import DIVERGED, Floats, real_array
from ..core.errors import RefsimError, listed
from ..networks.connection import DRIVE
from ..networks.network import Layer, Network

# Distances to threshold at which a slope is compared with its function.
_PROBES = np.linspace(-1.5, 1.5, 61)
_STEP, _DIGITS = 1e-4, 1e-6


@dataclass(frozen=True, eq=False)
class Escape:
    """The chance of a spike as a function of x = u - v_th, the membrane's distance to threshold.

    Attributes
    ----------
    name : str
    chance : function of an array x to probabilities of the same shape, between 0 and 1
    slope : function of an array x to the derivative of `chance` there
        It is compared with central differences of `chance` when the pair is made.
    """

    name: str
    chance: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]

    def __post_init__(self) -> None:
        # Both functions are tried over the distances that matter.
        chance, slope = self.chance(_PROBES), self.slope(_PROBES)
        if (
            np.shape(chance) != _PROBES.shape
            or np.shape(slope) != _PROBES.shape
            or not ((chance >= 0) & (chance <= 1)).all()
        ):
            raise RefsimError(
                f"escape '{self.name}': chance and slope must return an array of the shape of x, "
                "and chance numbers between 0 and 1."
            )
        # A wrong derivative would make every gradient here wrong.
        central = (self.chance(_PROBES + _STEP) - self.chance(_PROBES - _STEP)) / (2 * _STEP)
        worst = int(np.abs(central - slope).argmax())
        if (
            not np.abs(central - slope)[worst]
            <= _DIGITS * max(1.0, float(np.abs(central).max())) ** 3
        ):
            raise RefsimError(
                f"escape '{self.name}': slope is not the derivative of chance: at x = "
                f"{_PROBES[worst]:g} it is {slope[worst]:.6g}, "
                f"but central differences of chance give {central[worst]:.6g}. Give the "
                "derivative with respect to x = u - v_th."
            )


def sigmoid_escape(slope: float = 4.0) -> Escape:
    """Return 1/(1 + exp(-slope x)): its derivative is the sigmoid surrogate of the same slope."""
    steep = _positive(slope, "sigmoid_escape: slope")

    def chance(x: Floats) -> Floats:
        return 0.5 + 0.5 * np.tanh(0.5 * steep * x)  # neither side overflows

    return Escape(f"sigmoid, slope {steep:g}", chance, lambda x: steep * chance(x) * chance(-x))


def exponential_escape(rate: float, beta: float) -> Escape:
    """Return 1 - exp(-rate exp(beta x)), rate in spikes a step at threshold.

    This is the escape noise of Gerstner et al. 2014, Sec. 9.1.
    """
    rate, beta = (
        _positive(rate, "exponential_escape: rate"),
        _positive(beta, "exponential_escape: beta"),
    )

    def hazard(x: Floats) -> Floats:
        # Beyond it the chance is 1 to the last bit.
        return np.asarray(rate * np.exp(np.minimum(beta * x, 500.0)))

    return Escape(
        f"exponential, rate {rate:g}, beta {beta:g}",
        lambda x: -np.expm1(-hazard(x)),
        lambda x: beta * hazard(x) * np.exp(-hazard(x)),
    )


@dataclass(frozen=True, eq=False)
class EscapeLayer:
    """u(t) = decay v(t-1) + W s(t) + b; z(t) = 1 with chance escape(u - v_th); v = u - reset z.

    Units of the membrane are 1.

    Attributes
    ----------
    weight : (n_post, n_pre) float64
    bias : (n_post,) float64 or None
    decay : float
        Fraction of the membrane kept in a step, 0 to 1.
    v_th : float
    reset : float
        What a spike takes from the membrane; 0: nothing.
    escape : Escape
    """

    weight: Floats
    bias: Floats | None = None
    decay: float = 0.8
    v_th: float = 1.0
    reset: float = 0.0
    escape: Escape = field(default_factory=sigmoid_escape)

    @property
    def shape(self) -> tuple[int, int]:
        """Neurons, inputs."""
        return (int(self.weight.shape[0]), int(self.weight.shape[1]))


@dataclass(frozen=True, eq=False)
class EscapeNetwork:
    """A chain of layers; spikes pass all of them in one step.

    Attributes
    ----------
    layers : tuple of EscapeLayer
    """

    layers: tuple[EscapeLayer, ...]

    @classmethod
    def of(cls, layers: Sequence[EscapeLayer]) -> "EscapeNetwork":
        """Check layers and chain them."""
        if not layers:
            raise RefsimError("escape network: has no layers; give at least one EscapeLayer.")
        checked = tuple(_checked(layer, index) for index, layer in enumerate(layers, start=1))
        for index, (below, layer) in enumerate(itertools.pairwise(checked), start=2):
            if layer.shape[1] != below.shape[0]:
                raise RefsimError(
                    f"escape network, layer {index}: W{index} {layer.shape} needs "
                    f"{layer.shape[1]} inputs, but the layer below has {below.shape[0]} neurons."
                )
        return cls(checked)

    @classmethod
    def read(cls, network: Network, escape: Escape | None = None) -> "EscapeNetwork":
        """Read a network of cards.

        `poisson_escape` is read as it is; `if`- and `srif`-like cards get the escape function that
        is given.

        Raises
        ------
        RefsimError
            For a card with another step, a connection that is not to the layer below, or a delay.
        """
        return cls.of(
            [escape_layer(network, index, escape) for index in range(len(network.layers))]
        )

    @property
    def parameters(self) -> dict[str, Floats]:
        """Weights and biases by name: W1, b1, W2, ...

        Layers count from 1, and b is there where the layer has a bias.
        """
        found: dict[str, Floats] = {}
        for index, layer in enumerate(self.layers, start=1):
            found[f"W{index}"] = layer.weight
            if layer.bias is not None:
                found[f"b{index}"] = layer.bias
        return found

    def having(self, parameters: Mapping[str, Floats]) -> "EscapeNetwork":
        """Return the network with other weights or biases in place of those named."""
        # A misspelt name would leave the network as it was.
        if unknown := set(parameters) - set(self.parameters):
            raise RefsimError(
                f"escape network: has no parameter {listed(unknown)}; it has "
                f"{listed(self.parameters)}."
            )
        layers = [
            replace(
                layer,
                weight=parameters.get(f"W{index}", layer.weight),
                bias=parameters.get(f"b{index}", layer.bias),
            )
            for index, layer in enumerate(self.layers, start=1)
        ]
        return EscapeNetwork.of(layers)

    def checked_inputs(self, inputs: object) -> Floats:
        """Check inputs, spikes or currents, and return them as (n_samples, n_steps, n_inputs).

        One sample may be given as (n_steps, n_inputs).
        """
        values = real_array(inputs, "inputs")  # type: ignore[arg-type]
        values = values[None] if values.ndim == 2 else values
        if values.ndim != 3 or not values.size or values.shape[2] != self.layers[0].shape[1]:
            raise RefsimError(
                f"inputs: must be (n_samples, n_steps, {self.layers[0].shape[1]}) with at least "
                f"one of each, but have shape {values.shape}."
            )
        return values


def _checked(layer: EscapeLayer, index: int) -> EscapeLayer:
    where = f"escape network, layer {index}"
    # Weights that a training made NaN are refused in words.
    weight = real_array(layer.weight, f"{where}: W{index}", cure=DIVERGED)
    if weight.ndim != 2 or not weight.size:
        raise RefsimError(
            f"{where}: W{index} must be (n_post, n_pre), but has shape {weight.shape}."
        )
    bias = (
        None if layer.bias is None else real_array(layer.bias, f"{where}: b{index}", cure=DIVERGED)
    )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise RefsimError(
            f"{where}: b{index} must be ({weight.shape[0]},), but has shape {bias.shape}."
        )
    # A decay outside of 0 to 1 is no leak.
    if not 0 <= layer.decay <= 1 or not math.isfinite(layer.v_th) or not math.isfinite(layer.reset):
        raise RefsimError(
            f"{where}: decay must lie in 0 to 1, v_th and reset be finite, but are "
            f"{layer.decay:g}, {layer.v_th:g}, {layer.reset:g}."
        )
    return replace(layer, weight=weight, bias=bias)


def _positive(value: float, where: str) -> float:
    if not 0 < value < math.inf:
        raise RefsimError(f"{where} must be a positive number, but is {value!r}.")
    return float(value)


def escape_layer(network: Network, index: int, escape: Escape | None) -> EscapeLayer:
    """Return one layer of a network of cards.

    A card that fires by chance brings its own escape function.
    """
    layer = network.layers[index]
    where = f"layer {index}, card '{layer.model.name}'"
    # A chain of layers is all that this network is.
    _only_below(layer, index, where)
    if layer.parameters:
        raise RefsimError(
            f"{where}: has parameters of its own for each neuron; an escape network has one "
            "value a layer."
        )
    values = layer.model.constants(network.dt)
    bias = layer.bias if layer.bias.any() else None
    # A card that fires by chance brings its own escape function.
    if _steps_like(layer, "poisson_escape"):
        own = exponential_escape(values["rate_th"] * network.dt, values["beta"])
        return EscapeLayer(layer.weight, bias, values["decay"], values["v_th"], 0.0, escape or own)
    if not _steps_like(layer, "srif"):
        raise RefsimError(
            f"{where}: an escape network knows the steps of the cards poisson_escape (fires by "
            "chance, no reset) and srif (soft reset, with an escape "
            "function given); build others from EscapeLayer, whose step is u = decay v + W s + "
            "b, v = u - reset z."
        )
    # A card that fires for certain needs one.
    if escape is None:
        raise RefsimError(
            f"{where}: fires for certain; say with what chance instead, such as "
            "escape=sigmoid_escape(slope=4)."
        )
    return EscapeLayer(layer.weight, bias, 1.0, values["v_th"], values["spike_value"], escape)


def _steps_like(layer: Layer, name: str) -> bool:
    """Return whether a card's declared step is that of a card on the shelf, whatever its name."""
    return layer.model.discrete.texts == load(name).discrete.texts


def _only_below(layer: Layer, index: int, where: str) -> None:
    below = index - 1 if index else DRIVE
    if [source.layer for source in layer.sources] != [below] or any(
        source.delay.any() for source in layer.sources
    ):
        raise RefsimError(
            f"{where}: an escape network is a chain without loops and delays; this layer hears "
            "of something else than the layer below, or later."
        )
