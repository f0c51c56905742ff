"""Draw the phase plane: nullclines, arrows of the flow, fixed points and the trajectory."""

from typing import Any

import numpy as np

from ..style import BLACK, BLUE, GREEN, ORANGE, curve, new_figure
from .quantities import axis, scale
from .result import Result


def draw_phase(result: Result) -> Any:
    """Draw one or two states."""
    names = [name for name in result.tables["flow"] if f"d{name}_dt" in result.tables["flow"]]
    return _line(result, names[0]) if len(names) == 1 else _plane(result, names)


def _line(result: Result, name: str) -> Any:
    flow = result.tables["flow"]
    figure, axes = new_figure(3.4)
    (factor, symbol), slope = scale(flow[name].values, flow[name].unit), flow[f"d{name}_dt"]
    axes.plot(flow[name].values * factor, slope.values * 1e-3 * factor, **curve(0, marker="", label=f"d{name}/dt"))
    axes.axhline(0, color="0.5", linewidth=0.8)
    _fixed(axes, result, [name], [factor])
    axes.set(xlabel=axis(name, symbol), ylabel=f"d{name}/dt ({symbol or '1'}/ms)")
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return figure


def _plane(result: Result, names: list[str]) -> Any:
    flow, path = result.tables["flow"], result.tables["trajectory"]
    figure, axes = new_figure(4.6)
    scales = [scale(flow[name].values, flow[name].unit) for name in names]
    side = round(len(flow[names[0]].values) ** 0.5)
    x, y = (flow[name].values.reshape(side, side) * factor for name, (factor, _) in zip(names, scales, strict=True))
    slopes = [flow[f"d{name}_dt"].values.reshape(side, side) for name in names]
    for slope, name, color, line in zip(slopes, names, (BLUE, GREEN), ("--", "-."), strict=True):
        if np.nanmin(slope) < 0 < np.nanmax(slope):
            axes.contour(x, y, slope, levels=[0], colors=color, linestyles=line, linewidths=1.6)
        axes.plot([], [], color=color, linestyle=line, linewidth=1.6, label=f"d{name}/dt = 0")
    thin = (slice(None, None, 12),) * 2
    arrows = [slope[thin] * factor / np.ptp(values) for slope, values, (factor, _) in zip(slopes, (x, y), scales, strict=True)]
    length = np.hypot(*arrows)
    with np.errstate(all="ignore"):
        axes.quiver(x[thin], y[thin], *(np.where(length > 0, arrow / length, 0) for arrow in arrows), color="0.7", angles="uv", scale=38, width=0.0025)
    axes.plot(*(path[name].values * factor for name, (factor, _) in zip(names, scales, strict=True)), color=BLACK, linewidth=1.1, label="trajectory")
    axes.plot(*([path[name].values[0] * factor] for name, (factor, _) in zip(names, scales, strict=True)), "s", color=BLACK, markersize=5, label="start")
    _fixed(axes, result, names, [factor for factor, _ in scales])
    axes.set(xlabel=axis(names[0], scales[0][1]), ylabel=axis(names[1], scales[1][1]))
    axes.set(xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return figure


def _fixed(axes: Any, result: Result, names: list[str], factors: list[float]) -> None:
    """Mark fixed points: filled where stable, hollow where not."""
    table = result.tables["fixed_points"]
    at = [table[name].values * factor for name, factor in zip(names, factors, strict=True)]
    at = at if len(at) == 2 else [at[0], np.zeros_like(at[0])]
    stable = table["stable"].values > 0
    for mask, face, word in ((stable, ORANGE, "stable"), (~stable, "white", "unstable")):
        if mask.any():
            axes.scatter(at[0][mask], at[1][mask], s=46, facecolors=face, edgecolors=ORANGE, linewidths=1.4, zorder=4, label=f"fixed point, {word}")
