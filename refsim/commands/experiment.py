"""``refsim experiment KIND CARD``: run experiments on one neuron.

The result is a table in the terminal, and with --out a picture, CSV or npz.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cards.neuron import NeuronModel
from ..cards.read import load
from ..core.errors import RefsimError
from .options import Add, assignments, check_endings, out_argument, set_argument
from .terminal import say

if TYPE_CHECKING:
    from ..experiments.inputs import Stimulus
    from ..experiments.one_neuron import Setting
    from ..experiments.result import Result

_KINDS = {
    "trace": "states, threshold and spikes over time, for one input",
    "fi": "firing rate over input current, perhaps for several values of a parameter",
    "psp": "response to one input spike",
    "phase": "phase plane with nullclines and trajectory; dv/dt over v for one state",
    "threshold": "strength-duration curve, rheobase and chronaxie",
    "resets": "hard, soft and no reset on one input",
    "dt": "spike times and membrane against dt/2^k, with fitted orders",
    "sweep": "any measure over one or two parameters, or the input I",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the kinds, each with its options."""
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    for kind, summary in _KINDS.items():
        add = kinds.add_parser(
            kind, help=summary, description=summary[0].upper() + summary[1:]
        ).add_argument
        add("model", metavar="CARD", help="name of a card, or path of your own")
        set_argument(add, ", such as v_th=0.4 or b=0.1nA")
        if kind in ("trace", "resets", "dt"):
            _stimulus(add)
        _kind_arguments(kind, add)
        # What most kinds share: how long a run is, its steps, and how it is integrated.
        if kind != "threshold":
            add("--duration", metavar="TIME", help="of a run, such as '200 ms'")
        add("--dt", metavar="TIME", default="1 ms", help="the declared step (default '1 ms')")
        if kind != "dt":
            add(
                "--refine",
                metavar="K",
                type=int,
                default=32,
                help="the ODE is integrated at dt/K (default 32)",
            )
        if kind in ("trace", "resets", "sweep"):
            mode: dict[str, Any] = {"dest": "mode", "action": "store_const"}
            add(
                "--grid",
                **mode,
                const="grid",
                help="run the declared step" + (" (default)" if kind == "resets" else ""),
            )
            add(
                "--fine",
                **mode,
                const="fine",
                help="run the ODE" + ("" if kind == "resets" else " (default)"),
            )
        out_argument(add)


def _stimulus(add: Add) -> None:
    """Declare the inputs, of which one may be given."""
    add(
        "--constant",
        metavar="A",
        help="the same input all the time (default: 1.5 times the rheobase)",
    )
    add("--step", metavar="A,FROM,TO", help="an input between two times, such as 0.9,20ms,80ms")
    add("--noise", metavar="MEAN,STD", help="Gaussian input, drawn at every step")
    add(
        "--train",
        metavar="WEIGHT,T1,T2,...",
        help="spikes of one weight at given times, such as 0.3,5ms,9ms",
    )
    add("--seed", metavar="SEED", type=int, default=0, help="of the noise")


def _kind_arguments(kind: str, add: Add) -> None:
    """Declare the options of one kind alone."""
    if kind == "fi":
        add("--currents", metavar="RANGE", help="FROM:TO:HOW_MANY, such as 0:2nA:41, or A,B,C")
        add("--over", metavar="NAME=VALUES", help="one curve a value, such as tau=5,10,20")
    elif kind == "psp":
        add(
            "--weight",
            metavar="A",
            help="of the spike (default: half of what makes the neuron fire)",
        )
    elif kind == "phase":
        add(
            "--constant",
            metavar="A",
            dest="current",
            help="input (default: 1.5 times the rheobase)",
        )
        add("--states", metavar="X,Y", help="which two states; others are held at their start")
    elif kind == "threshold":
        add("--durations", metavar="RANGE", help="of the current, such as 1ms:100ms:50")
        add("--after", metavar="TIME", help="how long a spike may come after it (default '20 ms')")
    elif kind == "dt":
        add("--finest", metavar="K", type=int, help="down to dt/2^K (default 8)")
    elif kind == "sweep":
        add(
            "--over",
            metavar="NAME=VALUES",
            action="append",
            required=True,
            help="a parameter or I, such as tau=2:20:10; once or twice",
        )
        add(
            "--measure",
            metavar="NAME",
            action="append",
            help=(
                "spike_count (default), first_spike, rate, steady_rate, isi_mean, isi_cv, "
                "v_min, v_max, v_mean, v_end"
            ),
        )
        add(
            "--constant",
            metavar="A",
            dest="current",
            help="input where it is not swept (default: 1.5 times the rheobase)",
        )
        add(
            "--workers",
            metavar="N",
            type=int,
            help="processes at once (default: as many as pay, up to one a core)",
        )


def execute(options: argparse.Namespace) -> int:
    """Run the experiment, print its table and write its files."""
    check_endings(options.out)
    from .. import experiments

    model = load(options.model, **assignments(options.set))
    setting = _setting(options, model)
    result = getattr(experiments, options.kind)(model, **_settings(options), setting=setting)
    say(result.text())
    for name in options.out:
        _write(result, Path(name))
    return 0


def _setting(options: argparse.Namespace, model: NeuronModel) -> "Setting":
    """Return how time passes.

    By default it is the ODE where there is one; of resets it is the declared step.
    """
    from ..experiments.one_neuron import Setting

    stepped = options.kind == "resets" or (
        options.kind in ("trace", "sweep") and model.continuous is None
    )
    mode = getattr(options, "mode", None) or ("grid" if stepped else "fine")
    return Setting(options.dt, getattr(options, "refine", 32), mode)


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options that were given as arguments of the experiment's function.

    An option that was not given keeps the default of the function.
    """
    names = ("duration", "currents", "weight", "current", "durations", "after", "finest", "workers")
    given = {
        name: getattr(options, name) for name in names if getattr(options, name, None) is not None
    }
    if (
        options.kind in ("trace", "resets", "dt")
        and (stimulus := _given_stimulus(options)) is not None
    ):
        given["stimulus"] = stimulus
    # Options that hold several words are taken apart.
    if getattr(options, "states", None):
        given["states"] = tuple(part.strip() for part in options.states.split(","))
    if options.kind == "fi" and options.over:
        given["over"] = next(iter(assignments([options.over], "--over").items()))
    if options.kind == "sweep":
        given |= {
            "over": [
                pair for text in options.over for pair in assignments([text], "--over").items()
            ],
            "measures": options.measure or ["spike_count"],
        }
    return given


def _given_stimulus(options: argparse.Namespace) -> "Stimulus | None":
    """Return the input that was given; None where the experiment chooses one."""
    from ..experiments.inputs import constant, noise, step, train

    kinds = [
        name
        for name in ("constant", "step", "noise", "train")
        if getattr(options, name) is not None
    ]
    if len(kinds) > 1:
        raise RefsimError(f"give one input: --{' or --'.join(kinds)}.")
    if not kinds:
        return None
    kind, text = kinds[0], getattr(options, kinds[0])
    parts = [part.strip() for part in text.split(",")]
    # How many words each input needs; a train of spikes has two or more.
    needed, example = {
        "constant": (1, "A"),
        "step": (3, "A,FROM,TO"),
        "noise": (2, "MEAN,STD"),
    }.get(kind, (max(2, len(parts)), "WEIGHT,T1,T2,..."))
    if len(parts) != needed:
        raise RefsimError(f"--{kind}: needs {example}, but {text!r} was given.")
    if kind == "noise":
        return noise(parts[0], parts[1], options.seed)
    if kind == "train":
        return train(",".join(parts[1:]), parts[0])
    return constant(parts[0]) if kind == "constant" else step(*parts)


def _write(result: "Result", path: Path) -> None:
    """Write a result in the format that the name says; CSV may be several files."""
    from ..experiments.plots import draw

    if path.suffix == ".csv":
        for written in result.save_csv(path):
            say(f"wrote {written}")
        return
    result.save_npz(path) if path.suffix == ".npz" else draw(result).save(path)
    say(f"wrote {path}")
