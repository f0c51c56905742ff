"""Pictures of experiments: one function for each kind of Result, and nothing is computed here.

First comes the phase plane, with nullclines, arrows of the slopes, fixed points and the trajectory;
then `draw`, which takes any Result, and the functions of the other kinds.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.errors import counted
from ..core.style import BLACK, BLUE, GREEN, ORANGE, Drawing, curve, finished, new_figure
from .result import Column, Result, axis, readable, scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_phase(result: Result) -> "Figure":
    """Draw one or two states."""
    names = [name for name in result.tables["flow"] if f"d{name}_dt" in result.tables["flow"]]
    return _line(result, names[0]) if len(names) == 1 else _plane(result, names)


def _line(result: Result, name: str) -> "Figure":
    flow = result.tables["flow"]
    figure, axes = new_figure(3.4)
    (factor, symbol), slope = scale(flow[name].values, flow[name].unit), flow[f"d{name}_dt"]
    axes.plot(
        flow[name].values * factor,
        slope.values * 1e-3 * factor,
        **curve(0, marker="", label=f"d{name}/dt"),
    )
    axes.axhline(0, color="0.5", linewidth=0.8)
    # Fixed points lie where the slope crosses 0.
    _fixed(axes, result, [name], [factor])
    axes.set(xlabel=axis(name, symbol), ylabel=f"d{name}/dt ({symbol or '1'}/ms)")
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return figure


def _plane(result: Result, names: list[str]) -> "Figure":
    flow, path = result.tables["flow"], result.tables["trajectory"]
    figure, axes = new_figure(4.6)
    scales = [scale(flow[name].values, flow[name].unit) for name in names]
    # The table is the flattened grid of the plane.
    side = round(len(flow[names[0]].values) ** 0.5)
    x, y = (
        flow[name].values.reshape(side, side) * factor
        for name, (factor, _) in zip(names, scales, strict=True)
    )
    slopes = [flow[f"d{name}_dt"].values.reshape(side, side) for name in names]
    # A nullcline is where one slope is 0.
    for slope, name, color, line in zip(slopes, names, (BLUE, GREEN), ("--", "-."), strict=True):
        if np.nanmin(slope) < 0 < np.nanmax(slope):
            axes.contour(x, y, slope, levels=[0], colors=color, linestyles=line, linewidths=1.6)
        # The trajectory and its start.
        axes.plot([], [], color=color, linestyle=line, linewidth=1.6, label=f"d{name}/dt = 0")
    # Every twelfth point has an arrow, all of one length.
    thin = (slice(None, None, 12),) * 2
    arrows = [
        slope[thin] * factor / np.ptp(values)
        for slope, values, (factor, _) in zip(slopes, (x, y), scales, strict=True)
    ]
    length = np.hypot(*arrows)
    with np.errstate(all="ignore"):
        axes.quiver(
            x[thin],
            y[thin],
            *(np.where(length > 0, arrow / length, 0) for arrow in arrows),
            color="0.7",
            angles="uv",
            scale=38,
            width=0.0025,
        )
    axes.plot(
        *(path[name].values * factor for name, (factor, _) in zip(names, scales, strict=True)),
        color=BLACK,
        linewidth=1.1,
        label="trajectory",
    )
    axes.plot(
        *([path[name].values[0] * factor] for name, (factor, _) in zip(names, scales, strict=True)),
        "s",
        color=BLACK,
        markersize=5,
        label="start",
    )
    # Fixed points above all else.
    _fixed(axes, result, names, [factor for factor, _ in scales])
    axes.set(xlabel=axis(names[0], scales[0][1]), ylabel=axis(names[1], scales[1][1]))
    axes.set(xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return figure


def _fixed(axes: "Axes", result: Result, names: list[str], factors: list[float]) -> None:
    """Mark fixed points: filled where stable, hollow where not."""
    table = result.tables["fixed_points"]
    at = [table[name].values * factor for name, factor in zip(names, factors, strict=True)]
    # In a plot of one state they lie on the axis.
    at = at if len(at) == 2 else [at[0], np.zeros_like(at[0])]
    stable = table["stable"].values > 0
    for mask, face, word in ((stable, ORANGE, "stable"), (~stable, "white", "unstable")):
        if mask.any():
            axes.scatter(
                at[0][mask],
                at[1][mask],
                s=46,
                facecolors=face,
                edgecolors=ORANGE,
                linewidths=1.4,
                zorder=4,
                label=f"fixed point, {word}",
            )


def draw(result: Result) -> Drawing:
    """Return the picture of an experiment."""
    return finished(_DRAW[result.kind](result))


def readable_numbers(column: Column) -> tuple[NDArray[np.float64], str]:
    """Return numbers in a readable unit, and the unit."""
    factor, symbol = scale(column.values, column.unit)
    return column.values * factor, symbol


def _membrane(result: Result) -> str:
    """Return the membrane of the part that ran."""
    return result.model.membrane_in(fine=result.model.membrane not in result.main)


def _legend(figure: "Figure", columns: int = 4) -> None:
    figure.legend(loc="outside upper center", ncols=columns, frameon=False, fontsize=8)


def _trace(result: Result) -> "Figure":
    """Draw input, membrane with threshold and spikes, and each other state below."""
    table, membrane = result.main, _membrane(result)
    others = [name for name in result.model.state if name in table and name != membrane]
    # The membrane gets most of the height.
    heights = [1, 3, *(1.4 for _ in others)]
    figure, axes = new_figure(
        1.0 + 0.75 * sum(heights), len(heights), sharex=True, squeeze=False, height_ratios=heights
    )
    rows = list(axes[:, 0])
    time, symbol = readable_numbers(table["time"])
    given, unit = readable_numbers(table["input"])
    # The input holds over its step.
    rows[0].step(time, given, where="pre", color="0.35", linewidth=1)
    rows[0].set_ylabel(axis("input", unit, low=True), fontsize=8)
    factor, unit = scale(table[membrane].values, table[membrane].unit)
    # The membrane as it is after the step, and its threshold.
    rows[1].plot(
        time,
        table[membrane].values * factor,
        color=BLUE,
        linewidth=1.4,
        label=f"{membrane} after the step",
    )
    rows[1].plot(
        time,
        table["threshold"].values * factor,
        color="0.4",
        linewidth=0.9,
        linestyle=":",
        label="threshold",
    )
    # A spike is drawn where the threshold saw the membrane.
    fired = table["spike"].values > 0
    # what a runaway membrane overshoots in its last sub-step would press all else flat
    top = np.nanmax([table[membrane].values.max(), *table["threshold"].values])
    rows[1].scatter(
        time[fired],
        np.minimum(table["seen"].values[fired], top) * factor,
        marker="v",
        s=34,
        color=ORANGE,
        zorder=3,
        label="spike",
    )
    rows[1].set_ylabel(axis(membrane, unit))
    # Each other state has a panel of its own.
    for index, (row, name) in enumerate(zip(rows[2:], others, strict=True)):
        values, unit = readable_numbers(table[name])
        row.plot(time, values, **curve(index + 1, marker=""))
        row.set_ylabel(axis(name, unit, low=True), fontsize=8)
    rows[-1].set_xlabel(axis("time", symbol))
    _legend(figure)
    return figure


def _fi(result: Result) -> "Figure":
    """Draw rate over input, a curve for each value of the parameter."""
    table = result.main
    figure, axes = new_figure(3.6)
    current, symbol = readable_numbers(table["current"])
    rate, unit = readable_numbers(table["rate"])
    swept = [name for name in table if name not in ("current", "rate", "onset_rate", "spikes")]
    # One curve has two rates; several have one each.
    if not swept:
        axes.plot(current, rate, **curve(0, label="between first and last spike"))
        axes.plot(
            current,
            table["onset_rate"].values * scale(table["rate"].values, "hertz")[0],
            **curve(1, label="first interval", markerfacecolor="none"),
        )
    else:
        column = table[swept[0]]
        for index, value in enumerate(np.unique(column.values)):
            mine = column.values == value
            axes.plot(
                current[mine],
                rate[mine],
                **curve(index, label=f"{swept[0]} = {readable(float(value), column.unit)}"),
            )
    axes.set(xlabel=axis("input", symbol), ylabel=axis("firing rate", unit))
    _legend(figure)
    return figure


def _psp(result: Result) -> "Figure":
    """Draw the response of each state to one spike, where it has one."""
    # States that do not respond are left out.
    names = [
        name
        for name, column in result.main.items()
        if name != "time" and (column.values.any() or name == _membrane(result))
    ]
    figure, axes = new_figure(1.2 + 2.0 * len(names), len(names), sharex=True, squeeze=False)
    time, symbol = readable_numbers(result.main["time"])
    for index, (row, name) in enumerate(zip(axes[:, 0], names, strict=True)):
        values, unit = readable_numbers(result.main[name])
        row.plot(time, values, **curve(index, marker=""))
        row.axhline(0, color="0.6", linewidth=0.6)
        row.set_ylabel(axis(name, unit))
        # The peak is marked on the membrane.
        if name == _membrane(result):
            factor = scale(result.main[name].values, result.main[name].unit)[0]
            peak, at = result.facts["peak"], result.facts["time_to_peak"]
            row.plot(
                at.value * scale(result.main["time"].values, "second")[0],
                peak.value * factor,
                "o",
                color=ORANGE,
                label=f"peak {readable(peak.value, peak.unit)}",
            )
    axes[0, 0].axvline(0, color="0.4", linewidth=0.9, linestyle=":", label="the spike arrives")
    axes[-1, 0].set_xlabel(axis("time from arrival", symbol))
    _legend(figure)
    return figure


def _threshold(result: Result) -> "Figure":
    """Draw strength over duration, with rheobase and chronaxie."""
    figure, axes = new_figure(3.6)
    duration, symbol = readable_numbers(result.main["duration"])
    strength, unit = readable_numbers(result.main["strength"])
    axes.loglog(duration, strength, **curve(0, label="threshold strength"))
    factor, (rheobase, chronaxie) = (
        scale(result.main["strength"].values, result.main["strength"].unit)[0],
        (result.facts["rheobase"], result.facts["chronaxie"]),
    )
    axes.axhline(
        rheobase.value * factor,
        color=ORANGE,
        linestyle="--",
        linewidth=1,
        label=f"rheobase {readable(rheobase.value, rheobase.unit)}",
    )
    # The chronaxie is at twice the rheobase.
    if np.isfinite(chronaxie.value):
        at = chronaxie.value * scale(result.main["duration"].values, "second")[0]
        axes.plot(
            at,
            2 * rheobase.value * factor,
            marker="s",
            linestyle="",
            color=BLACK,
            label=f"chronaxie {readable(chronaxie.value, 'second')}",
        )
    axes.set(xlabel=axis("duration", symbol), ylabel=axis("strength", unit))
    _legend(figure)
    return figure


def _resets(result: Result) -> "Figure":
    """Draw a panel for each reset, each on its own scale.

    A membrane that is never reset goes far beyond the others.
    """
    name, table = result.model.membrane, result.main
    kinds = [column.removeprefix("spike_") for column in table if column.startswith("spike_")]
    figure, axes = new_figure(5.0, len(kinds), sharex=True, squeeze=False)
    time, symbol = readable_numbers(table["time"])
    for index, (row, kind) in enumerate(zip(axes[:, 0], kinds, strict=True)):
        # A membrane without reset may overflow.
        values, unit = readable_numbers(
            _before_runaway(table[f"{name}_{kind}"], table[f"{name}_hard"])
        )
        row.plot(time, values, **curve(index, markersize=2.5))
        fired = time[table[f"spike_{kind}"].values > 0]
        # Also above what runs away.
        row.plot(
            fired,
            np.full(len(fired), 0.94),
            "|",
            color=BLACK,
            markersize=8,
            transform=row.get_xaxis_transform(),
        )
        row.margins(y=0.15)
        row.set_ylabel(axis(name, unit, low=True), fontsize=8)
        runaway = "" if np.isfinite(values).all() else ", and runs away"
        row.set_title(f"{kind}: {counted(len(fired), 'spike')}{runaway}", loc="left", fontsize=9)
    axes[-1, 0].set_xlabel(axis("time", symbol))
    return figure


def _before_runaway(column: Column, hard: Column) -> Column:
    """Return a membrane that overflows only as far as it can be shown beside a reset one.

    That is a hundred times the range of the reset one. A membrane that stays finite is left as it
    is.
    """
    if np.isfinite(column.values).all():
        return column
    # From the first point that is too far away on, nothing is shown.
    far = np.abs(column.values - hard.values[0]) > 100 * float(np.ptp(hard.values) or 1)
    return replace(
        column,
        values=np.where(
            np.logical_or.accumulate(far | ~np.isfinite(column.values)), np.nan, column.values
        ),
    )


def _dt(result: Result) -> "Figure":
    """Draw the change to the next finer run over the sub-step, with its order.

    Spikes are on the left, the membrane on the right.
    """
    figure, axes = new_figure(3.4, 1, ncols=2, squeeze=False)
    sub_step, symbol = readable_numbers(result.main["sub_step"])
    panels = (("spike", "shift of a spike"), ("membrane", "change of the membrane"))
    for index, (row, (name, what)) in enumerate(zip(axes[0], panels, strict=True)):
        values, unit = readable_numbers(result.main[f"{name}_change"])
        # Logarithms need positive numbers.
        shown = np.isfinite(values) & (values > 0)
        if shown.any():
            row.loglog(sub_step[shown], values[shown], **curve(index))
        else:
            row.set(xscale="log", yticks=[])
            row.text(0.5, 0.5, "no change", transform=row.transAxes, ha="center")
        # The fitted order stands above the panel.
        fact = result.facts[f"{name}_order"].value
        found = (
            f"order {fact:.2f}"
            if np.isfinite(fact)
            else "rounding only"
            if fact == np.inf
            else "no order"
        )
        row.set_title(f"{name}s: {found}" if name == "spike" else f"{name}: {found}", fontsize=9)
        row.set(
            xlabel=axis("sub-step", symbol),
            ylabel=axis(what, unit),
            xlim=(0.7 * sub_step.min(), 1.4 * sub_step.max()),
        )
    return figure


def _sweep(result: Result) -> "Figure":
    """Draw each measure over one number as a curve, over two as a map with a bar."""
    measures = list(result.main)[_swept(result) :]
    figure, axes = new_figure(0.6 + 2.7 * len(measures), len(measures), squeeze=False)
    names = list(result.main)[: _swept(result)]
    for index, (row, name) in enumerate(zip(axes[:, 0], measures, strict=True)):
        values, unit = readable_numbers(result.main[name])
        x, symbol = readable_numbers(result.main[names[0]])
        row.set_xlabel(axis(names[0], symbol))
        # Over one number a curve.
        if len(names) == 1:
            row.plot(x, values, **curve(index))
            row.set_ylabel(axis(name, unit))
            continue
        # Over two numbers a map.
        y, y_symbol = readable_numbers(result.main[names[1]])
        shape = (len(np.unique(x)), len(np.unique(y)))
        # Cividis is even in grey.
        mesh = row.pcolormesh(
            x.reshape(shape),
            y.reshape(shape),
            values.reshape(shape),
            cmap="cividis",
            shading="nearest",
        )
        row.set_ylabel(axis(names[1], y_symbol))
        figure.colorbar(mesh, ax=row, label=axis(name, unit))
    return figure


def _swept(result: Result) -> int:
    return len(str(result.settings["over"]).split(" and "))


_DRAW: dict[str, Callable[[Result], "Figure"]] = {
    "trace": _trace,
    "fi": _fi,
    "psp": _psp,
    "phase": draw_phase,
    "threshold": _threshold,
    "resets": _resets,
    "dt": _dt,
    "sweep": _sweep,
}
