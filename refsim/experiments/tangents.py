"""Landscape: curves over one number and the slopes claimed at a point of it; it prints, draws and saves itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._version import VERSION
from ..arrays import Floats
from ..errors import RefsimError
from ..style import BLACK, BLUE, CURVES, FORMATS, ORANGE, Drawing, finished, new_figure
from ..whole import whole

_REACH = 0.22  # of the width of the picture, to either side of the point
_WIDTHS = (4.5, 1.8, 1.8)  # of the tangents: slopes that agree lie on one another, and the broad one is seen behind


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
        lines = [f"landscape along {self.along}, {len(self.offsets)} points; at {self.at:g} the loss is {self.height:.6g}", ""]
        lines += [f"  {name:<32} slope {slope:.6g}" for name, slope in self.slopes.items()]
        lines += [f"  {name:<32} from {values.min():.6g} to {values.max():.6g}" for name, values in self.curves.items()]
        return "\n".join(lines)

    def plot(self) -> Drawing:
        """Return the picture; ``.figure`` is matplotlib's, for a notebook."""
        figure, axes = new_figure(4.0)
        looks: tuple[dict[str, Any], ...] = ({"color": BLUE, "linewidth": 1.6}, {"color": "0.55", "linewidth": 1.0, "drawstyle": "steps-mid"})
        for look, (name, values) in zip(looks, self.curves.items(), strict=False):
            axes.plot(self.offsets, values, label=name, **look)
        half = _REACH * float(np.ptp(self.offsets))
        ends = np.array([self.at - half, self.at + half])
        for index, (name, slope) in enumerate(self.slopes.items()):
            style: dict[str, Any] = {"color": ("0.75", ORANGE, BLACK)[index], "linestyle": ("-", "--", ":")[index], "linewidth": _WIDTHS[index]}
            if "exact" not in self.slopes:
                style = {key: CURVES[index + 1][key] for key in ("color", "linestyle")} | {"linewidth": _WIDTHS[1]}
            axes.plot(ends, self.height + slope * (ends - self.at), label=f"slope, {name}: {slope:.4g}", zorder=1 + index, **style)
        axes.plot([self.at], [self.height], "o", color=BLACK, markersize=6, zorder=6)
        every = np.concatenate([*self.curves.values(), [self.height]])
        room = 0.12 * (float(np.ptp(every)) or 1.0)
        axes.set(xlabel=f"{self.along}, from the network's own weights", ylabel="loss", ylim=(every.min() - room, every.max() + room))
        figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8)
        return finished(figure)

    def save(self, path: str | Path) -> Path:
        """Write picture (.png, .svg, .pdf) or numbers (.csv the curves; .npz all), as the name's ending says."""
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
        """Write offset and curves, and each tangent as a column, so that a plain plot of the file is the picture."""
        lines = {name: self.height + slope * (self.offsets - self.at) for name, slope in self.slopes.items()}
        columns = {"offset": self.offsets, **self.curves, **{f"tangent {name}": values for name, values in lines.items()}}
        header = ",".join(name.replace(",", "").replace(" ", "_") for name in columns)
        np.savetxt(path, np.stack(list(columns.values()), 1), "%.17g", ",", header=header, comments="")

    def _npz(self, path: Path) -> None:
        about = {"refsim": VERSION, "along": self.along, "at": self.at, "height": self.height, "slopes": dict(self.slopes)}
        arrays: dict[str, Any] = {"offset": self.offsets, **self.curves}
        np.savez(path, about=json.dumps(about), **arrays)
