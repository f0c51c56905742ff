"""Landscape: a loss along one weight or one direction, and slopes at a point of it.

The slopes are what is taken for the derivative there: exact, surrogate, and finite difference.
First comes `Landscape`, which prints, draws and saves itself; then the two functions that measure
one, of a stochastic network and of a trained module.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from .._version import VERSION
from ..core.arrays import Floats, real_array
from ..core.errors import RefsimError, listed
from ..core.style import BLACK, BLUE, CURVES, FORMATS, ORANGE, Drawing, finished, new_figure
from ..core.whole_files import whole
from ..gradients.bias import expected_surrogate
from ..gradients.escape import EscapeNetwork
from ..gradients.expectation import MOST, expected_gradient, expected_loss, slope_along
from ..gradients.given_spikes import choose_at_threshold, play
from ..gradients.losses import SpikeLoss
from .result import span

if TYPE_CHECKING:
    from torch import nn

_REACH = 0.22  # of the width of the picture, to either side of the point
# Of the tangents: slopes that agree lie on one another, and the broad one is seen behind.
_WIDTHS = (4.5, 1.8, 1.8)


@dataclass(frozen=True, eq=False)
class Landscape:
    """A loss along a line, and slopes at a point of it.

    Attributes
    ----------
    along : str
        What moves.
    offsets : (n,)
        How far it is from the network's own weights.
    curves : dict of str to (n,)
        The first is the loss that the slopes are of.
    at, height : float
        The point, and the loss there.
    slopes : dict of str to float
    """

    along: str
    offsets: Floats
    curves: Mapping[str, Floats]
    at: float
    height: float
    slopes: Mapping[str, float]

    def text(self) -> str:
        """Return the slopes and the range of each curve."""
        lines = [
            (
                f"landscape along {self.along}, {len(self.offsets)} points; at {self.at:g} the "
                f"loss is {self.height:.6g}"
            ),
            "",
        ]
        lines += [f"  {name:<32} slope {slope:.6g}" for name, slope in self.slopes.items()]
        lines += [
            f"  {name:<32} from {values.min():.6g} to {values.max():.6g}"
            for name, values in self.curves.items()
        ]
        return "\n".join(lines)

    def plot(self) -> Drawing:
        """Return the picture; ``.figure`` is matplotlib's, for a notebook."""
        figure, axes = new_figure(4.0)
        looks: tuple[dict[str, Any], ...] = (
            {"color": BLUE, "linewidth": 1.6},
            {"color": "0.55", "linewidth": 1.0, "drawstyle": "steps-mid"},
        )
        for look, (name, values) in zip(looks, self.curves.items(), strict=False):
            axes.plot(self.offsets, values, label=name, **look)
        # A tangent is drawn to both sides of the point, over a part of the picture.
        half = _REACH * float(np.ptp(self.offsets))
        ends = np.array([self.at - half, self.at + half])
        # Slopes that agree lie on one another, the broad one behind.
        for index, (name, slope) in enumerate(self.slopes.items()):
            style: dict[str, Any] = {
                "color": ("0.75", ORANGE, BLACK)[index],
                "linestyle": ("-", "--", ":")[index],
                "linewidth": _WIDTHS[index],
            }
            # A trained module has no exact slope; its two slopes have colours of their own.
            if "exact" not in self.slopes:
                style = {key: CURVES[index + 1][key] for key in ("color", "linestyle")} | {
                    "linewidth": _WIDTHS[1]
                }
            axes.plot(
                ends,
                self.height + slope * (ends - self.at),
                label=f"slope, {name}: {slope:.4g}",
                zorder=1 + index,
                **style,
            )
        axes.plot([self.at], [self.height], "o", color=BLACK, markersize=6, zorder=6)
        every = np.concatenate([*self.curves.values(), [self.height]])
        # The tangents must not decide how high the picture is.
        room = 0.12 * (float(np.ptp(every)) or 1.0)
        axes.set(
            xlabel=f"{self.along}, from the network's own weights",
            ylabel="loss",
            ylim=(every.min() - room, every.max() + room),
        )
        figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8)
        return finished(figure)

    def save(self, path: str | Path) -> Path:
        """Write the picture (.png, .svg, .pdf) or the numbers, as the ending of the name says.

        A .csv file holds the curves, a .npz file everything.
        """
        target = Path(path)
        writers = {".csv": self._csv, ".npz": self._npz}
        if target.suffix not in (*FORMATS, *writers):
            raise RefsimError(f"{target}: the name must end in {', '.join((*FORMATS, *writers))}.")
        if target.suffix in FORMATS:
            return self.plot().save(target)
        try:
            with whole(target) as made:
                writers[target.suffix](made)
        except OSError as error:
            raise RefsimError(f"{target}: cannot be written ({error.strerror}).") from None
        return target

    def _csv(self, path: Path) -> None:
        """Write offset and curves, and each tangent as a column.

        So a plain plot of the file is the picture.
        """
        lines = {
            name: self.height + slope * (self.offsets - self.at)
            for name, slope in self.slopes.items()
        }
        columns = {
            "offset": self.offsets,
            **self.curves,
            **{f"tangent {name}": values for name, values in lines.items()},
        }
        header = ",".join(name.replace(",", "").replace(" ", "_") for name in columns)
        np.savetxt(
            path, np.stack(list(columns.values()), 1), "%.17g", ",", header=header, comments=""
        )

    def _npz(self, path: Path) -> None:
        about = {
            "refsim": VERSION,
            "along": self.along,
            "at": self.at,
            "height": self.height,
            "slopes": dict(self.slopes),
        }
        arrays: dict[str, Any] = {"offset": self.offsets, **self.curves}
        np.savez(path, about=json.dumps(about), **arrays)


Direction = Mapping[str, ArrayLike]
_QUOTIENT = "finite difference, exact loss"


def landscape(
    network: EscapeNetwork,
    inputs: object,
    loss: SpikeLoss,
    along: str | Direction = "W1[0,0]",
    over: str | ArrayLike = "-2:2:81",
    *,
    at: float = 0.0,
    surrogate: Callable[[Floats], Floats] | None = None,
    detach_reset: bool = False,
    step: float = 1e-3,
    most: int = MOST,
) -> Landscape:
    """Measure a stochastic network's expected loss along a line, and three slopes at a point.

    The line goes through the weights of the network.

    Parameters
    ----------
    network, inputs, loss
        As of `refsim.gradients.expected_gradient`.
    along : str or dict of str to array
        One weight, ``"W1[0,2]"`` (post, pre) or ``"b2[1]"``; or a direction, an array for each
        parameter that moves.
    over : str or (n,)
        How far from the network's own weights, in units of the weight or of the direction:
        ``"-2:2:81"``.
    at : float
        Where the slopes are taken, also counted from the network's own weights.
    surrogate, detach_reset
        As of `refsim.gradients.expected_surrogate`.
    step : float
        Of the central difference of order two of the exact expected loss.

    Returns
    -------
    Landscape
        Curves: the exact expected loss, and the loss of the same network without noise, which fires
        at or above threshold. Slopes: of the exact expected loss, of the surrogate, and the finite
        difference.
    """
    # The line, as a direction in the parameters.
    way, name = (
        direction(network.parameters, along),
        along if isinstance(along, str) else "direction",
    )
    offsets = np.unique(span(over, "1", "over"))
    if not (np.isfinite(at) and 0 < step < np.inf):
        raise RefsimError(
            f"landscape: at must be a number and step a positive one, but are {at!r} and {step!r}."
        )

    def moved(by: float) -> EscapeNetwork:
        return network.having(
            {key: network.parameters[key] + by * values for key, values in way.items()}
        )

    # The three slopes are taken at the same point.
    there = moved(at)
    exact = expected_gradient(there, inputs, loss, most=most)
    back = expected_surrogate(
        there, inputs, loss, surrogate=surrogate, detach_reset=detach_reset, most=most
    )
    ahead, behind = (
        expected_loss(moved(at + sign * step), inputs, loss, most=most) for sign in (1, -1)
    )
    curves = {
        "expected loss": np.array(
            [expected_loss(moved(by), inputs, loss, most=most) for by in offsets]
        ),
        "loss without noise": np.array([certain_loss(moved(by), inputs, loss) for by in offsets]),
    }
    slopes = {
        "exact": slope_along(exact.gradient, way),
        "surrogate": slope_along(back, way),
        _QUOTIENT: (ahead - behind) / (2 * step),
    }
    return Landscape(name, offsets, curves, at, exact.loss, slopes)


def module_landscape(
    module: "nn.Module",
    loss: Callable[["nn.Module"], object],
    along: str,
    over: str | ArrayLike = "-1:1:201",
    *,
    at: float = 0.0,
    step: float = 0.1,
) -> Landscape:
    """Measure a trained module's loss along one weight, and the slope that autograd gives.

    Autograd takes the module's own surrogate.

    Parameters
    ----------
    module : torch.nn.Module
        Its weights are what they were afterwards.
    loss : function ``(module) -> Tensor``, one number
        Resets the module, runs it on data of your choice and returns the loss.
    along : str
        ``"0.weight[3,1]"``: the name of a parameter and the place in it.
    over, at : as of `landscape`
    step : float
        Of the central difference. The loss of hard spikes is a staircase, flat almost everywhere: a
        small step measures 0, and a wide one how the stairs rise on the whole.
    """
    from ..modules.functions import line_of_losses

    name, place = _place(along)
    offsets = np.unique(span(over, "1", "over"))
    if not (np.isfinite(at) and 0 < step < np.inf):
        raise RefsimError(
            f"landscape: at must be a number and step a positive one, but are {at!r} and {step!r}."
        )
    values, slope = line_of_losses(
        module, loss, name, place, np.concatenate([offsets, [at, at + step, at - step]]), at
    )
    here, ahead, behind = values[-3:]
    slopes = {
        "surrogate": slope,
        f"finite difference, step {step:g}": (ahead - behind) / (2 * step),
    }
    return Landscape(along, offsets, {"loss": values[:-3]}, at, float(here), slopes)


def certain_loss(network: EscapeNetwork, inputs: object, loss: SpikeLoss) -> float:
    """Return the loss of the network without noise, the mean over samples."""
    samples = network.checked_inputs(inputs)
    return float(
        np.mean(
            [
                loss.value(play(network, sample, 1, choose_at_threshold).output, number)[0]
                for number, sample in enumerate(samples)
            ]
        )
    )


def direction(parameters: Mapping[str, Floats], along: str | Direction) -> dict[str, Floats]:
    """Return a direction as an array for each parameter that moves.

    A direction along one weight is 1 at its place and 0 elsewhere.
    """
    if not isinstance(along, str):
        way = {key: real_array(values, f"along: {key}") for key, values in along.items()}
        if wrong := [
            key
            for key, values in way.items()
            if key not in parameters or parameters[key].shape != values.shape
        ]:
            shapes = ", ".join(f"{key} {values.shape}" for key, values in parameters.items())
            raise RefsimError(
                f"along: {listed(wrong)} is no parameter of the network, or of another shape; "
                f"the network has {shapes}."
            )
        if not any(values.any() for values in way.values()):
            raise RefsimError(
                "along: the direction is 0 everywhere; give one that moves at least one weight."
            )
        return way
    name, place = _place(along)
    if name not in parameters:
        raise RefsimError(
            f"along: {along!r}: the network has no {name}; it has {listed(parameters)}."
        )
    way = {name: np.zeros(parameters[name].shape)}
    if len(place) != way[name].ndim or any(
        index >= size for index, size in zip(place, way[name].shape, strict=True)
    ):
        raise RefsimError(
            f"along: {along!r}: {name} has shape {way[name].shape}, and places count from 0."
        )
    way[name][place] = 1.0
    return way


def _place(along: str) -> tuple[str, tuple[int, ...]]:
    match = re.fullmatch(r"([\w.]+)\[(\d+(?:\s*,\s*\d+)*)\]", along.strip())
    if not match:
        raise RefsimError(
            f"along: one weight is written NAME[POST,PRE], such as W1[0,2], but {along!r} was "
            "given."
        )
    return match[1], tuple(int(part) for part in match[2].split(","))
