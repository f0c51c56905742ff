"""``refsim show NAME``: print one neuron as its card declares it.

It can be written for a paper, for a notebook, or as a script of plain Brian2.
"""

import argparse

from ..cards.describe import describe
from ..cards.neuron import NeuronModel
from ..cards.read import load
from ..core.errors import RefsimError
from ..core.whole_files import whole
from .options import assignments, set_argument
from .terminal import say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="name of a card, or path of your own")
    set_argument(add, ", such as v_th=0.4 or tau_m='20 ms'")
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--latex",
        action="store_true",
        help="equations and tables for a paper, to be taken in by \\input (amsmath, booktabs)",
    )
    form.add_argument(
        "--markdown", action="store_true", help="the same for a notebook, with $$ ... $$"
    )
    form.add_argument(
        "--brian2",
        action="store_true",
        help="a whole script of plain Brian2 that runs and plots the neuron, without refsim",
    )
    script = parser.add_argument_group("of the script")
    script.add_argument(
        "--constant",
        metavar="A",
        help=(
            "the same input all the time, such as 0.5nA (default: one at which it fires a few "
            "times)"
        ),
    )
    script.add_argument(
        "--duration", metavar="TIME", help="of the run, such as '200 ms' (default: 100 steps)"
    )
    script.add_argument("--dt", metavar="TIME", help="the declared step (default '1 ms')")
    script.add_argument(
        "--refine", metavar="K", type=int, help="the ODE is integrated at dt/K (default 32)"
    )
    add("--out", metavar="FILE", help="write to a file")


def execute(options: argparse.Namespace) -> int:
    """Print the card, or write it to a file."""
    text = _text(load(options.model, **assignments(options.set)), options)
    if options.out is None:
        say(text)
        return 0
    try:
        with whole(options.out) as file:
            file.write_text(f"{text}\n", "utf-8")
    except OSError as error:
        raise RefsimError(f"--out {options.out}: cannot be written ({error.strerror}).") from None
    say(f"wrote {options.out}")
    return 0


def _text(model: NeuronModel, options: argparse.Namespace) -> str:
    """Return the neuron in the form that was asked for."""
    given = {
        "current": options.constant,
        "duration": options.duration,
        "dt": options.dt,
        "refine": options.refine,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if given and not options.brian2:
        raise RefsimError(
            "--constant, --duration, --dt and --refine are for the script of --brian2."
        )
    if not (options.latex or options.markdown or options.brian2):
        return describe(model)
    from .. import export

    if options.latex:
        text = export.to_latex(model)
    elif options.markdown:
        text = export.to_markdown(model)
    else:
        text = export.to_brian2(model, **given)
    return text.rstrip("\n")
