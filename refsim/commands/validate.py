"""``refsim validate``: judge whether a trained network is the same in Brian2 and in PyTorch."""

import argparse
import os
from typing import TYPE_CHECKING

from ..core.errors import RefsimError
from .options import (
    EXIT_CODES_TEXT,
    asked,
    data_arguments,
    data_given,
    module_arguments,
    reading_arguments,
    shape_given,
)
from .terminal import EXIT_CODES, say

if TYPE_CHECKING:
    from ..cases.validation import Validation
    from ..judge.expected import Expected


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "Without NETWORK: the network trained on handwritten digits that comes with refsim.\n"
        "A description is a TOML file with dt and the neuron behind each Linear:\n\n"
        '  dt = "1 ms"\n  weights = "net.pt"\n\n  [[layer]]\n  linear = "0"\n  neuron = "srif"\n\n'
        "refsim import --help tells of files of lava-dl and of frameworks' state_dicts.\n"
        f"{EXIT_CODES_TEXT}"
    )
    add = parser.add_argument
    add(
        "network",
        metavar="NETWORK",
        nargs="?",
        help=(
            "weights net.pt (description beside it as net.toml), net.net, net.nir, net.refsim, "
            "a description, a case of validation/, or your own code, package.file:factory, "
            "whose module is then put on trial"
        ),
    )
    add(
        "--against",
        metavar="FILE",
        help=(
            "hold your own code, package.file:factory, against what a description or file "
            "declares, not against what refsim reads in it"
        ),
    )
    reading_arguments(parser)
    module_arguments(parser)
    data = data_arguments(parser)
    _expected_arguments(data)
    data.add_argument(
        "--otherwise",
        action="store_true",
        help="also report the accuracy under every other answer to what the file leaves unsaid",
    )
    runs = parser.add_argument_group("runs")
    runs.add_argument(
        "--engine",
        nargs="+",
        choices=("torch", "discrete", "brian2"),
        help="on trial against Brian2 (default torch)",
    )
    runs.add_argument(
        "--dtype",
        nargs="+",
        choices=("float64", "float32"),
        help="of the engine on trial (default both)",
    )
    runs.add_argument("--device", metavar="DEVICE", help="of PyTorch: cpu (default), cuda, ...")
    runs.add_argument(
        "--workers",
        metavar="N",
        type=int,
        default=os.cpu_count() or 1,
        help="processes of Brian2 at once (default: one a core)",
    )
    runs.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="run Brian2 on the workers of a Dask scheduler, such as tcp://10.0.0.1:8786",
    )
    runs.add_argument(
        "--plan",
        action="store_true",
        help="print what the run will need (memory, time) from a few samples, and run no more",
    )
    runs.add_argument(
        "--fine", metavar="K", nargs="*", type=int, help="also run the ODE at dt/K for each K"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--report", metavar="DIR", help="write report.html and report.json")
    output.add_argument(
        "--json", action="store_true", help="print report.json in place of the table"
    )


def execute(options: argparse.Namespace) -> int:
    """Run the validation, print what was found and return the exit code."""
    from ..report.report import Report
    from ..report.text import render_plan

    validation = _validation(options)
    # A plan runs a few samples alone, to say what all of them need.
    if options.plan:
        needed = validation.forecast()
        say(render_plan(needed))
        return 0 if needed.fits else 2
    report = Report(validation.findings())
    code = EXIT_CODES[report.verdict]
    say(report.as_json() if options.json else report.text())
    if options.report is not None:
        folder = report.save(options.report)
        if not options.json:
            say(f"\n{folder / 'report.html'}\n{folder / 'report.json'}")
    return code


def _expected_arguments(data: argparse._ArgumentGroup) -> None:
    """Declare the options of spikes that the framework was recorded to fire."""
    from ..core.arrays import USUAL

    data.add_argument(
        "--expected",
        metavar="FILE",
        help=(
            "spikes that the framework fired: npy or csv of the last layer, npz of some layers "
            "by name or number, NIRData; dense, or rows as for --encoder events"
        ),
    )
    data.add_argument(
        "--expected-axes",
        metavar="AXES",
        help=(
            "their order, such as 'step, sample, neuron', or 'rows of sample, step, neuron' "
            f"(default: what fits, '{USUAL}' first)"
        ),
    )
    data.add_argument(
        "--expected-dtype",
        metavar="DTYPE",
        help="in which the framework computed: float32 (default), float64, float16, bfloat16",
    )
    data.add_argument(
        "--expected-delay",
        metavar="N",
        action="append",
        help=(
            "steps by which the last layer's spikes were recorded later than they are fired; "
            "LAYER=N of another"
        ),
    )


def _validation(options: argparse.Namespace) -> "Validation":
    """Return the validation that the options ask for."""
    from ..cases.subject import Said, is_live
    from ..cases.validation import Validation

    live = is_live(options.network)
    if live and len(options.dtype or []) > 1:
        raise RefsimError(
            f"{options.network}: is run in one dtype; give --dtype once, or none, and it is run "
            "as it is."
        )
    said = asked(options)
    dtype = options.dtype[0] if live and options.dtype else None
    words = Said(
        said.describe,
        said.dt,
        said.convention,
        shape_given(options.input_shape),
        options.layout,
        options.device,
        dtype,
    )
    return Validation(
        options.network,
        data_given(options),
        options.against,
        words,
        options.engine or (),
        () if live else options.dtype or (),
        options.fine,
        _expected(options),
        options.otherwise,
        options.workers,
        options.scheduler,
    )


def _expected(options: argparse.Namespace) -> "Expected | None":
    """Return the recorded spikes and what is said of them; None where there are none."""
    from ..judge.expected import Expected, of_option

    said = [
        name
        for name in ("expected_axes", "expected_dtype", "expected_delay")
        if getattr(options, name) is not None
    ]
    if options.expected is not None:
        return Expected(
            options.expected,
            options.expected_axes,
            options.expected_dtype,
            of_option(options.expected_delay),
        )
    if said:
        raise RefsimError(
            f"--{said[0].replace('_', '-')} is of recorded spikes, and none are given: "
            "--expected FILE."
        )
    return None
