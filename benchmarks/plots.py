"""Pictures of the results, with units on the axes.

The colour-blind can tell the colours apart, and grey print keeps hatches and marks.
"""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

DARK, LIGHT, WARM = "#0072B2", "#56B4E9", "#E69F00"  # Okabe and Ito; of different lightness
STYLE = {"float32": (LIGHT, ""), "float64": (DARK, "//")}


def throughput(result: dict[str, Any], path: Path) -> None:
    """Draw samples per CPU second of each engine, a bar a dtype, on a logarithmic axis."""
    names = list(dict.fromkeys(row["engine"] for row in result["rows"]))[::-1]
    figure, axes = pyplot.subplots(figsize=(8, 0.55 * len(names) + 1.5), layout="constrained")
    for shift, dtype in ((0.2, "float32"), (-0.2, "float64")):
        rows = [row for row in result["rows"] if row["dtype"] == dtype]
        if not rows:
            continue
        colour, hatch = STYLE[dtype]
        places = [names.index(row["engine"]) + shift for row in rows]
        bars = axes.barh(
            places,
            [row["samples_per_cpu_s"] for row in rows],
            0.38,
            color=colour,
            hatch=hatch,
            edgecolor="black",
            label=dtype,
        )
        axes.bar_label(
            bars, [f"{row['samples_per_cpu_s']:,.0f}" for row in rows], padding=3, fontsize=8
        )
    axes.set(
        xscale="log",
        xlabel="samples per CPU second (logarithmic)",
        yticks=range(len(names)),
        yticklabels=names,
        title=result["machine"]["cpu"],
    )
    axes.margins(x=0.15)
    axes.legend()
    _save(figure, path)


def scaling(result: dict[str, Any], path: Path) -> None:
    """Draw the cost against each size, with the fitted straight line."""
    names = list(dict.fromkeys(row["against"] for row in result["rows"]))
    figure, grid = pyplot.subplots(2, -(-len(names) // 2), figsize=(11, 6.5), layout="constrained")
    for axes, name in zip(grid.flat, names, strict=False):
        for dtype, mark in (("float32", "o"), ("float64", "s")):
            rows = [
                row for row in result["rows"] if row["against"] == name and row["dtype"] == dtype
            ]
            if not rows:
                continue
            axes.plot(
                [row["size"] for row in rows],
                [row["cpu_s"] for row in rows],
                mark + "-",
                color=STYLE[dtype][0],
                markeredgecolor="black",
                label=dtype,
            )
        unit = "" if name not in result["units"] else f" ({result['units'][name]})"
        axes.set(
            xlabel=f"{name}{unit}", ylabel="wall time (s)" if name == "cores" else "CPU time (s)"
        )
        axes.set_ylim(bottom=0)
    for axes in grid.flat[len(names) :]:
        axes.axis("off")
    grid.flat[0].legend()
    _save(figure, path)


def coldstart(result: dict[str, Any], path: Path) -> None:
    """Draw where the seconds of a first and a second verdict go."""
    figure, axes = pyplot.subplots(figsize=(8, 2.8), layout="constrained")
    parts = list(dict.fromkeys(part for row in result["rows"] for part in row["parts"]))
    colours = [DARK, WARM, LIGHT, "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#999999", "#FFFFFF"]
    for place, row in enumerate(result["rows"][::-1]):
        left = 0.0
        for index, part in enumerate(parts):
            seconds = row["parts"].get(part, 0.0)
            hatch = ("", "//", "..", "xx", "--", "\\\\", "oo", "||", "++")[index % 9]
            axes.barh(
                place,
                seconds,
                0.6,
                left,
                color=colours[index % 9],
                hatch=hatch,
                edgecolor="black",
                label=part if place == 0 else None,
            )
            left += seconds
    axes.set(
        xlabel="wall time (s)",
        yticks=range(len(result["rows"])),
        yticklabels=[row["verdict"] for row in result["rows"][::-1]],
    )
    axes.legend(ncols=3, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    _save(figure, path)


def judging(result: dict[str, Any], path: Path) -> None:
    """Draw what comparisons cost now and earlier, on a logarithmic axis."""
    figure, axes = pyplot.subplots(
        figsize=(8, 0.9 * len(result["rows"]) + 1.5), layout="constrained"
    )
    bars = (
        ("passing", "now", LIGHT, ""),
        ("passing", "earlier", DARK, "//"),
        ("failing", "now", WARM, ".."),
        ("failing", "earlier", "#D55E00", "xx"),
    )
    for shift, (job, side, colour, hatch) in zip((0.3, 0.1, -0.1, -0.3), bars, strict=True):
        seconds = [row["seconds"][side][job] for row in result["rows"]]
        axes.barh(
            [place + shift for place in range(len(seconds))],
            seconds,
            0.18,
            color=colour,
            hatch=hatch,
            edgecolor="black",
            label=f"{job}, {side}",
        )
    names = [row["case"] for row in result["rows"]]
    axes.set(
        xscale="log",
        xlabel="CPU time (s, logarithmic)",
        yticks=range(len(names)),
        yticklabels=names,
        title=result["machine"]["cpu"],
    )
    axes.legend(ncols=2, fontsize=8)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
