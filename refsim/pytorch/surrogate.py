"""Surrogate gradients: a hard step forward, and the slope of a smooth function backward.

A surrogate states the derivative of a spike by x, the distance to threshold, and nothing else:
whether a reset passes a gradient on is the neuron's choice (``detach_reset``), and no surrogate
detaches anything by itself. First the table of all surrogates, then the functions that make a
spike with one, last the table in Markdown.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..core.errors import RefsimError, listed

Fire = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Surrogate:
    """One surrogate derivative.

    Attributes
    ----------
    title : str
        Its name in the literature.
    formula : str
        The derivative as an expression in x and the parameters; a test compares it with
        `derivative`.
    parameters : dict of str to float
        Its parameters with their defaults, all positive.
    derivative : function ``(x, **parameters) -> Tensor`` of the shape of x
    normalised : bool
        Whether a change of its width leaves its area as it is.
    source : str
    """

    title: str
    formula: str
    parameters: Mapping[str, float]
    derivative: Callable[..., Tensor]
    normalised: bool
    source: str


def _rectangle(x: Tensor, width: float) -> Tensor:
    return (x.abs() <= width / 2).to(x.dtype) / width


def _clamp(x: Tensor, low: float, high: float) -> Tensor:
    return ((x >= -low) & (x <= high)).to(x.dtype)


def _triangle(x: Tensor, width: float, scale: float) -> Tensor:
    return scale * torch.clamp(width - x.abs(), min=0) / width**2


def _exponential(x: Tensor, width: float, scale: float) -> Tensor:
    return scale / width * torch.exp(-x.abs() / width)


def _exponential_half(x: Tensor, width: float, scale: float) -> Tensor:
    return scale / (2 * width) * torch.exp(-x.abs() / width)


def _sigmoid(x: Tensor, slope: float) -> Tensor:
    return slope * torch.sigmoid(slope * x) * torch.sigmoid(-slope * x)


def _arctangent(x: Tensor, slope: float) -> Tensor:
    return slope / 2 / (1 + (math.pi / 2 * slope * x) ** 2)


def _superspike(x: Tensor, slope: float) -> Tensor:
    return 1 / (1 + slope * x.abs()) ** 2


def _dspike(x: Tensor, slope: float) -> Tensor:
    inside = (x.abs() <= 0.5).to(x.dtype)
    return inside * slope * (1 - torch.tanh(slope * x) ** 2) / (2 * math.tanh(slope / 2))


SURROGATES: dict[str, Surrogate] = {
    "rectangle": Surrogate(
        "rectangle",
        "(abs(x) <= width/2)/width",
        {"width": 1.0},
        _rectangle,
        True,
        "STBP, Wu et al. 2018; STBP-tdBN with width 1",
    ),
    "clamp": Surrogate(
        "clamp, straight through",
        "(-low <= x)*(x <= high)",
        {"low": 0.5, "high": 0.5},
        _clamp,
        False,
        "InfLoR-SNN, Guo et al. 2022: 1 for membranes in [0, 1] at v_th 0.5",
    ),
    "triangle": Surrogate(
        "triangle",
        "scale*maximum(0, width - abs(x))/width**2",
        {"width": 1.0, "scale": 1.0},
        _triangle,
        True,
        "TET, Deng et al. 2022 (width 1); Diet-SNN with scale 0.3",
    ),
    "exponential": Surrogate(
        "exponential of SLAYER",
        "scale/width*exp(-abs(x)/width)",
        {"width": 1.0, "scale": 1.0},
        _exponential,
        True,
        "SLAYER, Shrestha and Orchard 2018: width tau_rho*theta, scale scale_rho",
    ),
    "exponential_lava": Surrogate(
        "exponential of lava-dl",
        "scale/(2*width)*exp(-abs(x)/width)",
        {"width": 100.0, "scale": 0.1},
        _exponential_half,
        True,
        "lava-dl: width 100*tau_grad*theta, scale 0.1*scale_grad",
    ),
    "sigmoid": Surrogate(
        "sigmoid",
        "slope*sigmoid(slope*x)*sigmoid(-slope*x)",
        {"slope": 4.0},
        _sigmoid,
        True,
        "SpikingJelly, alpha 4",
    ),
    "arctangent": Surrogate(
        "arctangent",
        "slope/2/(1 + (pi/2*slope*x)**2)",
        {"slope": 2.0},
        _arctangent,
        True,
        "snnTorch ATan, alpha 2",
    ),
    "superspike": Surrogate(
        "SuperSpike",
        "1/(1 + slope*abs(x))**2",
        {"slope": 100.0},
        _superspike,
        False,
        "Zenke and Ganguli 2018, beta 100",
    ),
    "dspike": Surrogate(
        "tanh, Dspike",
        "(abs(x) <= 0.5)*slope*(1 - tanh(slope*x)**2)/(2*tanh(slope/2))",
        {"slope": 3.0},
        _dspike,
        False,
        "Dspike, Li et al. 2021; IM-Loss, Guo et al. 2022, slope 3",
    ),
    "mpr": Surrogate(
        "MPR before the clamp",
        "(abs(x) <= 0.5)*3*(1 - tanh(3*x)**2)/(2*tanh(1.5))",
        {},
        partial(_dspike, slope=3.0),
        False,
        (
            "InfLoR-SNN, Guo et al. 2022, Eq. 10 at v_th 0.5: the rectifier's slope where the "
            "clamp is 1; equal to dspike with slope 3"
        ),
    ),
}


class _Spike(torch.autograd.Function):
    """1 where x >= 0; backward multiplies by the surrogate's derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, derivative: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.derivative = derivative
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradient * ctx.derivative(x), None


def spike_function(name: str | Fire | None, **parameters: float) -> Fire:
    """Return the function from distance to spike, with the named surrogate gradient.

    Parameters
    ----------
    name : str, function or None
        A key of ``SURROGATES``: rectangle, clamp, triangle, exponential, exponential_lava, sigmoid,
        arctangent, superspike, dspike, mpr; a function of your own, taken as it is; None for no
        gradient.
    **parameters : float, positive
        In place of the surrogate's own: ``spike_function("exponential", width=0.1*10)``.

    Returns
    -------
    function ``x -> spikes``
        x of any shape, v - v_th in the membrane's unit; spikes of the same shape and dtype, 1 where
        x >= 0.

    Raises
    ------
    RefsimError
        For a surrogate or a parameter that is not known, or a parameter that is not positive.
    """
    if name is None or callable(name):
        if parameters:
            raise RefsimError(
                f"surrogate: {listed(parameters)} belongs to a surrogate with a name; known are "
                f"{listed(SURROGATES)}."
            )
        return heaviside if name is None else name
    if name not in SURROGATES:
        raise RefsimError(f"surrogate {name!r} is not known; known are {listed(SURROGATES)}.")
    return partial(spike, derivative=derivative_of(name, **parameters))


_LARGEST = 1e100  # of a parameter: its square is still finite


def derivative_of(name: str, **parameters: float) -> Callable[[Tensor], Tensor]:
    """Return the derivative of a spike by the named surrogate, a function of the distance.

    Parameters
    ----------
    name : str
        A key of ``SURROGATES``.
    **parameters : float, positive
        In place of the surrogate's own.

    Raises
    ------
    RefsimError
        For a parameter that is not known, or not positive.
    """
    known = SURROGATES[name].parameters
    if unknown := set(parameters) - set(known):
        raise RefsimError(
            f"surrogate '{name}': {listed(unknown)} is not one of its parameters; they are "
            f"{listed(known)}."
        )
    if wrong := {
        key: value for key, value in parameters.items() if not 1 / _LARGEST <= value <= _LARGEST
    }:
        given = ", ".join(f"{key}={value:g}" for key, value in wrong.items())
        raise RefsimError(
            f"surrogate '{name}': {given} must be a positive number, from {1 / _LARGEST:g} to "
            f"{_LARGEST:g}."
        )
    return partial(SURROGATES[name].derivative, **{**known, **parameters})


def spike(x: Tensor, derivative: Callable[[Tensor], Tensor]) -> Tensor:
    """Spike where x >= 0; the gradient is the given derivative's."""
    spikes: Tensor = _Spike.apply(x, derivative)  # type: ignore[no-untyped-call]
    return spikes


def heaviside(x: Tensor) -> Tensor:
    """Spike where x >= 0, without a gradient, as for a trained network that is only run."""
    return (x >= 0).to(x.dtype)


def surrogate_table() -> str:
    """Return the table of all surrogates in Markdown, as it stands in ``docs/losses.md``."""
    rows = [
        "| name | derivative of a spike by x = v - v_th | parameters | source |",
        "|---|---|---|---|",
    ]
    for name, known in SURROGATES.items():
        parameters = (
            ", ".join(f"{key} {value:g}" for key, value in known.parameters.items()) or "none"
        )
        rows.append(f"| `{name}` | `{known.formula}` | {parameters} | {known.source} |")
    return "\n".join(rows) + "\n"
