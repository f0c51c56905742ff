"""The pictures of a report.

Shapes and line styles differ as well as colours, so that they print in grey. `pictures` draws all
that the findings hold; `draw_run` draws a run of one neuron.
"""

import base64
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..cases.findings import Closeup, Findings, Ladder, threshold_of
from ..core.arrays import Ints
from ..core.spikes import SpikeTrains
from ..core.style import BLACK, BLUE, ORANGE, finished, new_figure
from ..networks.recording import Recording

_MOST_NAMED = 3  # changed decisions that are named below the picture


@dataclass(frozen=True)
class Picture:
    """A picture with its title, its PNG, and what it shows in words."""

    title: str
    words: str
    png: bytes

    @property
    def data_url(self) -> str:
        """The picture as text for a page that stands alone."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


def pictures(findings: Findings) -> list[Picture]:
    """Draw what there is to draw."""
    drawn = []
    # Pictures of two runs show spikes, membranes and decisions.
    if findings.worst is not None:
        drawn.append(_raster(findings))
        if findings.closeup is not None:
            drawn.append(_membrane(findings.closeup, findings))
        if not findings.worst.no_decisions:
            drawn.append(_decisions(findings))
    if findings.ladder is not None:
        drawn.append(_ladder(findings.ladder))
    return drawn


def _finish(figure: Any, title: str, words: str) -> Picture:
    """Return a figure as a picture of a report."""
    return Picture(title, words, finished(figure).bytes())


def _raster(findings: Findings) -> Picture:
    """Draw the spikes of both runs of one sample over each other.

    A ring is a spike of the reference, a dot one of the trial.
    """
    found = findings.worst
    assert found is not None
    # The sample of the first difference, else of the nearest approach, else the first.
    sample = (
        found.first.sample if found.first else findings.closeup.sample if findings.closeup else 0
    )
    # Each layer has a band, in one figure as high as they need.
    sizes = [train.n_neurons for train in found.reference.spikes]
    figure, axes = new_figure(inches := min(max(4.2, 1 + 0.6 * len(sizes)), 24.0))
    # Layers stand from the bottom up, with their names beside them.
    rows, ticks, names = bands(sizes, min(0.5 / (inches - 1), 0.8 / len(sizes))), [], []
    for layer, (left, right) in enumerate(
        zip(found.reference.spikes, found.trial.spikes, strict=True)
    ):
        mine, theirs = (_of_sample(train, sample) for train in (left, right))
        # The legend needs each run once.
        label = {"ring": found.reference.label, "dot": found.trial.label} if layer == 0 else {}
        axes.scatter(
            mine[0],
            rows[layer](mine[1]),
            s=16,
            facecolors="none",
            edgecolors=BLUE,
            linewidths=0.8,
            label=label.get("ring"),
        )
        axes.scatter(theirs[0], rows[layer](theirs[1]), s=3, color=BLACK, label=label.get("dot"))
        ticks.append(rows[layer]((left.n_neurons - 1) / 2))
        names.append(f"layer {layer}\n{left.n_neurons} neurons")
        if layer:
            axes.axhline(
                (rows[layer](0) + rows[layer - 1](sizes[layer - 1] - 1)) / 2,
                color="0.6",
                linewidth=0.6,
            )
    # A square marks the first difference.
    if found.first:
        where = found.first
        axes.scatter(
            [where.step],
            [rows[where.layer](where.neuron)],
            s=160,
            marker="s",
            facecolors="none",
            edgecolors=ORANGE,
            linewidths=1.6,
            label="first difference",
        )
    # Steps are whole numbers.
    axes.set(
        xlabel="step",
        xlim=(-0.7, found.reference.drive.n_steps - 0.3),
        yticks=ticks,
        yticklabels=names,
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    # What the picture shows, for those who do not see it.
    words = (
        f"Sample {sample}: a ring is a spike of {found.reference.label}, a dot one of "
        f"{found.trial.label}; a dot in a ring is agreement."
    )
    if len(found.trial.provenance.get("recorded_layers", sizes)) < len(sizes):
        words += " Layers that were not recorded are shown as they run freely."
    return _finish(figure, "Spikes of both runs", words)


def bands(sizes: Sequence[int], least: float) -> list[Callable[[Any], Any]]:
    """Return for each layer the function from a neuron's number to its height in the picture.

    Layers lie above one another, each as high as it is large, but none too low for its name.

    Parameters
    ----------
    sizes : list of int
        Neurons of each layer.
    least : float
        Share of the whole that a layer's name needs.
    """
    # A layer of few neurons is made as high as its name.
    heights = np.asarray(sizes, float)
    for _ in range(50):  # a band that is made higher makes the whole higher, and so the least too
        heights = np.maximum(sizes, least * heights.sum())
    starts = np.concatenate([[0.0], np.cumsum(heights)[:-1]])
    return [
        functools.partial(_row, start, height, n)
        for start, height, n in zip(starts, heights, sizes, strict=True)
    ]


def _row(start: float, height: float, n: int, neuron: Any) -> Any:
    """Return where neurons lie in the band of a layer of n; a twelfth of it stays empty."""
    return start + height * (1 / 24 + 11 / 12 * (neuron + 0.5) / n)


def draw_run(table: Mapping[str, ArrayLike], recording: Recording) -> Picture:
    """Draw a run of one neuron: input, membrane and spikes."""
    model = recording.network.layers[0].model
    figure, axes = new_figure(3.4)
    # The picture shows input, membrane before and after the reset, spikes and threshold.
    time = np.asarray(table["time_s"]) * 1e3
    axes.step(time, table["input"], where="post", color="0.6", linewidth=1, label="input")
    axes.plot(time, table["before_reset"], color=BLUE, linewidth=1.6, label="membrane before reset")
    axes.plot(
        time,
        table["after_reset"],
        color=BLACK,
        linewidth=1,
        linestyle="--",
        marker=".",
        markersize=3,
        label="after reset",
    )
    fired = np.flatnonzero(table["spike"])
    axes.scatter(
        time[fired],
        np.asarray(table["before_reset"])[fired],
        marker="v",
        s=36,
        color=ORANGE,
        zorder=3,
        label="spike",
    )
    # Only a constant threshold is a line.
    threshold = threshold_of(recording.network, 0, 0)
    if np.isfinite(threshold):
        axes.axhline(threshold, color="0.4", linewidth=0.8, linestyle=":", label="threshold")
    axes.set(
        xlabel="time (ms)",
        ylabel="membrane (dimensionless)"
        if (unit := model.state[model.membrane].unit) == "1"
        else f"membrane ({unit})",
    )
    figure.legend(loc="outside upper center", ncols=5, frameon=False, fontsize=7)
    words = f"{model.title}: {len(fired)} spikes in {recording.drive.n_steps} steps."
    return _finish(figure, model.name, words)


def _of_sample(train: SpikeTrains, sample: int) -> tuple[Ints, Ints]:
    """Return steps and neurons of the spikes of one sample."""
    keep = train.sample == sample
    return train.step[keep], train.neuron[keep]


def _membrane(closeup: Closeup, findings: Findings) -> Picture:
    """Draw what the threshold saw in one neuron, in both runs."""
    # Each run is one line, beside the threshold and the place of the difference.
    found = findings.worst
    assert found is not None
    figure, axes = new_figure(3.0)
    steps = np.arange(len(closeup.reference))
    axes.plot(steps, closeup.reference, color=BLUE, linewidth=2.4, label=found.reference.label)
    axes.plot(
        steps,
        closeup.trial,
        color=BLACK,
        linestyle="--",
        marker=".",
        markersize=4,
        linewidth=1,
        label=found.trial.label,
    )
    if np.isfinite(closeup.threshold):
        axes.axhline(
            closeup.threshold, color="0.4", linewidth=0.8, linestyle=":", label="threshold"
        )
    if closeup.step is not None:
        axes.axvline(closeup.step, color=ORANGE, linewidth=1.2, label="they part here")
    axes.set(xlabel="step", ylabel="membrane before reset")
    axes.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    what = (
        "the first to part"
        if closeup.step is not None
        else "the one that came nearest to threshold"
    )
    words = f"Layer {closeup.layer}, neuron {closeup.neuron}, sample {closeup.sample}: {what}."
    if "recorded_layers" in found.trial.provenance:
        words += (
            f" The membrane of {found.trial.label} is not known; shown is the declared step "
            "that follows its spikes."
        )
    return _finish(figure, "Membrane of one neuron", words)


def _decisions(findings: Findings) -> Picture:
    """Draw how often each class of the reference became each class of the trial."""
    found = findings.worst
    assert found is not None
    classes = found.reference.spikes[-1].n_neurons
    # The table counts the samples that have each pair of classes.
    table = np.zeros((classes, classes), int)
    np.add.at(table, (found.reference.decisions(), found.trial.decisions()), 1)
    figure, axes = new_figure(4.0)
    changed = [pair for pair in np.argwhere(table) if pair[0] != pair[1]]
    # A few classes make a table with numbers.
    if classes <= 20:
        axes.imshow(np.log1p(table), cmap="Greys", vmax=1.6 * np.log1p(table.max()))
        for row, column in np.argwhere(table):
            same = row == column
            how = {
                "color": BLACK if same else ORANGE,
                "weight": "normal" if same else "bold",
                "fontsize": 8,
            }
            axes.text(column, row, str(table[row, column]), ha="center", va="center", **how)
        axes.set(xticks=range(classes), yticks=range(classes))
    else:  # cells would be too small for a number, and for the eye
        axes.plot([0, classes - 1], [0, classes - 1], color="0.8", linewidth=0.8, zorder=0)
        diagonal = np.flatnonzero(table.diagonal())
        axes.scatter(diagonal, diagonal, s=6, color=BLACK, label="same decision", clip_on=False)
        # The changed ones are shown by size.
        if changed:
            rows, columns = np.transpose(changed)
            axes.scatter(
                columns,
                rows,
                s=20 * np.sqrt(table[rows, columns]),
                marker="s",
                facecolors="none",
                edgecolors=ORANGE,
                label="changed",
                clip_on=False,
            )
        axes.set(xlim=(-0.5, classes - 0.5), ylim=(classes - 0.5, -0.5), aspect="equal")
        figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8)
    axes.set(xlabel=f"class in {found.trial.label}", ylabel=f"class in {found.reference.label}")
    # The words name the classes that changed most often.
    words = (
        "Samples by class in either run; off the diagonal the decision changed "
        f"({found.changed_decisions} of {len(found.reference.decisions())})."
    )
    if changed:
        most = sorted(changed, key=lambda pair: -table[tuple(pair)])[:_MOST_NAMED]
        told = ", ".join(f"{row} became {column} ({table[row, column]})" for row, column in most)
        words += f" {'Most often' if len(changed) > len(most) else 'Class'} {told}."
    return _finish(figure, "Decisions", words)


def _ladder(ladder: Ladder) -> Picture:
    """Draw the displacement of spikes against the sub-step."""
    figure, axes = new_figure(3.2)
    # One line shows what the step costs, the other the order at which that shrinks.
    fractions = [1 / rung.refine for rung in ladder.rungs]
    axes.loglog(
        fractions,
        [rung.from_grid.mean_steps for rung in ladder.rungs],
        color=BLUE,
        marker="o",
        label="from the declared step",
    )
    # Where no spike differs there is nothing to draw on a logarithmic axis.
    pairs = [
        (1 / rung.refine, rung.to_next.mean_steps)
        for rung in ladder.rungs
        if rung.to_next is not None and rung.to_next.mean_steps > 0
    ]
    if pairs:
        axes.loglog(
            *zip(*pairs, strict=True),
            color=BLACK,
            linestyle="--",
            marker="s",
            label="from the next finer run",
        )
    axes.set(xlabel="sub-step in units of dt", ylabel="mean spike displacement (dt)")
    axes.set_xticks(fractions, [f"1/{rung.refine}" for rung in ladder.rungs])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8)
    order = (
        f"fitted order {ladder.order:.2f}"
        if np.isfinite(ladder.order)
        else "no order can be fitted"
    )
    return _finish(
        figure,
        "The step against its ODE",
        f"How far spikes lie from each other as the sub-step shrinks; {order}.",
    )
