"""``refsim run``: run one neuron on one input, with a table, a plot, CSV or npz as the result."""

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cards.read import load
from ..core.columns import table as lined_up
from ..core.errors import RefsimError, counted
from ..core.units import numbers_in_si, quotient, to_si
from ..core.whole_files import whole
from .options import assignments, out_argument, set_argument
from .terminal import say

if TYPE_CHECKING:
    from ..cards.neuron import NeuronModel
    from ..core.arrays import AnyArray, Floats
    from ..networks.drive import Drive
    from ..networks.recording import Engine, Recording

_SPACED = re.compile(r"(\d\.?)\s+([A-Za-z\u00b5\u03bc\u03a9/])")  # "0.2 nA" is one number
_ROWS = 40  # of the table in the terminal; a file holds them all
_MOST = 10_000_000  # steps of one run


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="name of a card, or path of your own")
    set_argument(add, ", such as v_th=0.4 or tau_m='20 ms'")
    # Exactly one input is needed, which _drive checks.
    drive = parser.add_argument_group("input, one of").add_mutually_exclusive_group()
    drive.add_argument(
        "--values",
        metavar="A,B,...",
        help="input of each step; write --values=-1,2 where it begins with a minus",
    )
    drive.add_argument(
        "--constant", metavar="A", help="the same input at every step, such as 0.3 or 0.2nA"
    )
    drive.add_argument("--noise", metavar="MEAN,STD", help="Gaussian input, drawn at every step")
    drive.add_argument(
        "--bernoulli", metavar="P,WEIGHT", help="a spike of WEIGHT with probability P at every step"
    )
    # How the input is scaled, and how long it lasts.
    add("--times", metavar="NAME", help="multiply the input by a parameter, such as v_th")
    add(
        "--steps",
        metavar="T",
        type=int,
        default=None,
        help="steps to run (default 50, or as many as values)",
    )
    add("--dt", metavar="TIME", default="1 ms", help="duration of a step (default '1 ms')")
    add("--seed", metavar="SEED", type=int, default=0)
    # What runs it, and what is written.
    add("--engine", choices=("brian2", "discrete", "torch"), default="brian2")
    add(
        "--fine",
        metavar="K",
        type=int,
        default=None,
        help="Brian2 integrates the ODE at dt/K in place of the declared step",
    )
    out_argument(add, ".csv, .npz or .png")


def execute(options: argparse.Namespace) -> int:
    """Run the neuron, print the table and write the files."""
    model = load(options.model, **assignments(options.set))
    recording = _record(options, model)
    table = _table(recording)
    say(
        f"{model.name}, {recording.label}: {counted(len(recording.spikes[0]), 'spike')} in "
        f"{counted(recording.drive.n_steps, 'step')}{_substeps(recording)}"
    )
    _print(table, recording)
    for name in options.out:
        _write(Path(name), table, recording)
        say(f"wrote {name}")
    return 0


def _record(options: argparse.Namespace, model: "NeuronModel") -> "Recording":
    """Run the neuron alone, and record what its threshold saw and its membrane."""
    from ..cases.neuron import network_of_one
    from ..networks.recording import TRACES, run

    network, drive = network_of_one(model, options.dt), _drive(options, model)
    return run(network, drive, _engine(options), record=TRACES)


def _engine(options: argparse.Namespace) -> "Engine":
    """Return the engine that was asked for."""
    if options.fine is not None and options.engine != "brian2":
        raise RefsimError("--fine integrates the ODE, which only --engine brian2 does.")
    # Each engine is imported only where it is asked for.
    if options.engine == "torch":
        from ..engines.pytorch import Torch

        return Torch(dtype="float64")
    if options.engine == "discrete":
        from ..engines.discrete import Discrete

        return Discrete()
    from ..engines.brian.engine import Brian2

    return (
        Brian2(target="numpy")
        if options.fine is None
        else Brian2(mode="fine", refine=options.fine, target="numpy")
    )


def _drive(options: argparse.Namespace, model: "NeuronModel") -> "Drive":
    """Return the input that was asked for, in the unit of the neuron."""
    import numpy as np

    from ..networks.drive import Drive

    steps, unit = 50 if options.steps is None else options.steps, _unit(options, model)
    if steps > _MOST:
        raise RefsimError(
            f"--steps: {steps:,} steps are more than one table holds; give {_MOST:,} or fewer."
        )
    # One of four inputs gives a value for each step.
    if options.values is not None:
        values = np.array(_numbers(options.values, "--values", unit))
        if options.steps is not None and options.steps != len(values):
            raise RefsimError(
                f"--values gives {len(values)} steps, but --steps is {options.steps}; leave one "
                "out."
            )
    elif options.noise is not None:
        mean, std = _numbers(options.noise, "--noise", unit, 2)
        values = _first(Drive.noise(mean, std, steps, options.dt, options.seed))
    elif options.bernoulli is not None:
        first, second = _parts(options.bernoulli, "--bernoulli", 2)
        probability, weight = to_si(first, "1", "--bernoulli"), to_si(second, unit, "--bernoulli")
        values = weight * _first(Drive.bernoulli([[probability]], steps, options.dt, options.seed))
    elif options.constant is not None:
        values = _first(
            Drive.constant(to_si(options.constant, unit, "--constant"), steps, options.dt)
        )
    else:
        raise RefsimError(
            "say what the neuron gets: --values 1,0,0.5 or --constant 0.3 or --noise 0.2,0.1 or "
            "--bernoulli 0.2,0.5"
        )
    # It may be a multiple of a parameter.
    if options.times is not None:
        values = values * model.parameter(options.times).value
    return Drive.current(values.reshape(1, -1, 1), options.dt, seed=options.seed)


def _first(drive: "Drive") -> "Floats":
    """Return the input of the only neuron at each step, (n_steps,)."""
    import numpy as np

    return np.array([frame[0, 0] for frame in drive.frames()])


def _unit(options: argparse.Namespace, model: "NeuronModel") -> str:
    """Return the unit in which the input is given; with --times, that of a multiple."""
    times = options.times
    return quotient(model.input_unit, model.parameter(times).unit) if times else model.input_unit


def _numbers(text: str, option: str, unit: str, count: int | None = None) -> list[float]:
    """Read numbers with commas or spaces between them, ``1, 2, 0.5nA``.

    The unit of the last holds for those that have none.
    """
    return numbers_in_si(_parts(text, option, count), unit, option)


def _parts(text: str, option: str, count: int | None = None) -> list[str]:
    """Split a text at commas and spaces, and check how many parts it has."""
    parts = _SPACED.sub(r"\1\2", text).replace(",", " ").split()
    if not parts or (count is not None and len(parts) != count):
        needed = (
            "numbers parted by commas" if count is None else f"{count} numbers parted by a comma"
        )
        raise RefsimError(f"{option}: needs {needed}, but {text!r} was given.")
    return parts


def _table(recording: "Recording") -> "Mapping[str, AnyArray]":
    """Return the columns of a run, with a row for each step or sub-step.

    They are time, input, membrane before and after the reset, spike, and what it carries.
    """
    import numpy as np

    refine = recording.refine
    length = recording.drive.n_steps * refine
    # In sub-steps, the input of a step is repeated.
    frames = np.repeat([frame[0, 0] for frame in recording.drive.frames()], refine)
    return {
        "step": np.arange(length),
        "time_s": np.arange(length) * recording.spikes[0].dt,
        "input": frames,
        "before_reset": recording.traces[0]["before_reset"][0, :, 0],
        "spike": recording.spikes[0].dense()[0, :, 0].astype(int),
        **{
            name: recording.traces[0][name][0, :, 0]
            for name in ("after_reset", "payload")
            if name in recording.traces[0]
        },
    }


def _substeps(recording: "Recording") -> str:
    return "" if recording.refine == 1 else f", in sub-steps of dt/{recording.refine}"


def _print(table: "Mapping[str, AnyArray]", recording: "Recording") -> None:
    """Print the first rows of the table."""
    length = len(table["step"])
    columns = [">8", ">12.6g", ">14.6g", ">6", ">14.6g"]
    head = [
        "step" if recording.refine == 1 else "sub-step",
        "input",
        "before reset",
        "spike",
        "after reset",
    ]
    cells: list[Sequence[object] | AnyArray] = [
        range(length),
        table["input"],
        table["before_reset"],
        ["|" if fired else "." for fired in table["spike"][:_ROWS]],
        table["after_reset"],
    ]
    if "payload" in table:
        columns, head, cells = [*columns, ">12.6g"], [*head, "payload"], [*cells, table["payload"]]
    rows = zip(*(cell[:_ROWS] for cell in cells), strict=True)
    say("\n".join(lined_up(columns, head, rows)))
    if length > _ROWS:
        say(f"   ... {length - _ROWS} more; --out FILE.csv writes them all")


def _write(path: Path, table: "Mapping[str, AnyArray]", recording: "Recording") -> None:
    """Write a file whose name says its format."""
    import numpy as np

    if path.suffix not in (".csv", ".npz", ".png"):
        raise RefsimError(f"--out {path}: the name must end in .csv, .npz or .png.")
    try:
        with whole(path) as file:
            if path.suffix == ".csv":
                np.savetxt(
                    file,
                    np.stack(list(table.values()), axis=1),
                    delimiter=",",
                    header=",".join(table),
                    comments="",
                    fmt="%.17g",
                )
            elif path.suffix == ".npz":
                columns: dict[str, Any] = dict(table)  # NumPy's types know no ** of arrays
                np.savez(file, **columns)
            else:
                from ..report.pictures import draw_run

                file.write_bytes(draw_run(table, recording).png)
    except OSError as error:
        raise RefsimError(f"--out {path}: cannot be written ({error.strerror}).") from None
