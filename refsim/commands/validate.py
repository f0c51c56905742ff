"""``refsim validate``: is it the same network or not."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RefsimError, listed
from .reading import asked, data_arguments, data_given, module_arguments, read, reading_arguments
from .terminal import EXIT_CODES, say

if TYPE_CHECKING:
    from .live import LiveModule


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "Without NETWORK: the network trained on handwritten digits that comes with refsim.\n"
        "A description is a TOML file with dt and the neuron behind each Linear:\n\n"
        '  dt = "1 ms"\n  weights = "net.pt"\n\n  [[layer]]\n  linear = "0"\n  neuron = "srif"\n\n'
        "refsim import --help tells of files of lava-dl and of frameworks' state_dicts.\n"
        "Exit codes: 0 pass, 1 fail, 2 wrong usage or invalid input, 3 inconclusive, 70 a fault of refsim's own."
    )
    add = parser.add_argument
    add(
        "network",
        metavar="NETWORK",
        nargs="?",
        help="weights net.pt (description beside it as net.toml), net.net, net.nir, net.refsim, a description, a case of validation/, or your own code, package.file:factory, whose module is then put on trial",
    )
    reading_arguments(parser)
    module_arguments(parser)
    data = data_arguments(parser)
    _expected_arguments(data)
    data.add_argument("--otherwise", action="store_true", help="also report the accuracy under every other answer to what the file leaves unsaid")
    runs = parser.add_argument_group("runs")
    runs.add_argument("--engine", nargs="+", choices=("torch", "discrete", "brian2"), help="on trial against Brian2 (default torch)")
    runs.add_argument("--dtype", nargs="+", choices=("float64", "float32"), help="of the engine on trial (default both)")
    runs.add_argument("--device", metavar="DEVICE", default="cpu", help="of PyTorch: cpu, cuda, ...")
    runs.add_argument("--workers", metavar="N", type=int, default=os.cpu_count() or 1, help="processes of Brian2 at once (default: one a core)")
    runs.add_argument("--scheduler", metavar="ADDRESS", help="run Brian2 on the workers of a Dask scheduler, such as tcp://10.0.0.1:8786")
    runs.add_argument("--plan", action="store_true", help="print what the run will need (memory, time) from a few samples, and run no more")
    runs.add_argument("--fine", metavar="K", nargs="*", type=int, help="also run the ODE at dt/K for each K")
    output = parser.add_argument_group("output")
    output.add_argument("--report", metavar="DIR", help="write report.html and report.json")
    output.add_argument("--json", action="store_true", help="print report.json in place of the table")


def execute(options: argparse.Namespace) -> int:
    """Validate, print and return the exit code."""
    from ..report import Report
    from ..report.plan import render_plan

    found = _findings(options)
    if options.plan:
        say(render_plan(found))
        return 0 if found.fits else 2
    report = Report(found)
    code = EXIT_CODES[report.verdict]
    say(report.as_json() if options.json else report.text())
    if options.report is not None:
        folder = report.save(options.report)
        if not options.json:
            say(f"\n{folder / 'report.html'}\n{folder / 'report.json'}")
    return code


def _findings(options: argparse.Namespace) -> Any:
    from ..questions.case import demo_case, forecast_on, read_case, standard_claims, validate_on
    from ..questions.network import make_plan

    case = demo_case() if options.network is None else _case(options.network, read_case)
    if case is not None and case.kind != "network":
        if data_given(options) or options.engine or options.dtype or options.fine is not None:
            raise RefsimError(f"case {case.path}: is about single neurons and takes no data or engine options.")
        if options.plan or options.expected:
            raise RefsimError(f"case {case.path}: is about single neurons; leave --{'plan' if options.plan else 'expected'} out.")
        return case.run()
    if options.network is None and options.describe:
        raise RefsimError("--describe needs the weights it describes: refsim validate net.pt --describe net.toml")
    table: Mapping[str, Any] = {} if case is None else case.table
    module = _module(options)
    reading = None if case is not None or module else read(options.network, options)
    network: Any = case.load() if case is not None else module.network if module else reading.network  # type: ignore[union-attr]
    title = str(table["title"]) if case is not None else module.name if module else Path(options.network).name
    claims = standard_claims() if case is None else case.claims
    # data of one's own takes nothing from the case's
    data = data_given(options) if options.data is not None else {**table.get("data", {}), **data_given(options)}
    if "source" not in data:
        raise RefsimError("no data is given to run the network on: --data FILE (npz, npy, csv, idx) or --data digits, and --steps T.")
    fine = list(table.get("fine", [])) if options.fine is None else list(dict.fromkeys(options.fine))
    if options.plan and options.otherwise:
        raise RefsimError("--plan runs a few samples only; leave --otherwise out.")
    if options.plan and options.scheduler:
        raise RefsimError("--plan tells what this machine needs; leave --scheduler out.")
    expected = _expected(options, network)
    whole = any("integer" in layer.model.traits for layer in network.layers)
    trials = [] if module else _trials(options, list(table.get("trials", [])), whole=whole)
    plan = make_plan(trials, fine, device=options.device, workers=options.workers, scheduler=options.scheduler)
    if module:
        plan = replace(plan, trials=(module.trial(),))
    if options.plan:
        return forecast_on(network, data, plan)
    findings = validate_on(network, data, claims, title, plan)
    if reading is not None and reading.assumed:
        findings = replace(findings, data={**(findings.data or {}), "assumed": list(reading.assumed)})
    if options.otherwise:
        findings = _with_other_readings(findings, reading, options)
    return findings if expected is None else _held_against_twin(findings, reading, claims, expected, options)


def _with_other_readings(findings: Any, reading: Any, options: argparse.Namespace) -> Any:
    """Add the accuracy under every other answer to what the file leaves unsaid."""
    from ..pytorch.bridge import otherwise
    from ..questions.otherwise import with_other_readings

    others = {} if reading is None else otherwise(options.network, reading, asked(options))
    if not others:
        raise RefsimError(f"--otherwise: {options.network or 'the case'} leaves nothing unsaid; refsim inspect tells what a file leaves open.")
    return with_other_readings(findings, others)


def _expected_arguments(data: Any) -> None:
    """Declare the options of recorded spikes."""
    from ..axes import USUAL

    data.add_argument(
        "--expected",
        metavar="FILE",
        help="spikes that the framework fired: npy or csv of the last layer, npz of some layers by name or number, NIRData; dense, or rows as for --encoder events",
    )
    data.add_argument(
        "--expected-axes",
        metavar="AXES",
        help=f"their order, such as 'step, sample, neuron', or 'rows of sample, step, neuron' (default: what fits, '{USUAL}' first)",
    )
    data.add_argument("--expected-dtype", metavar="DTYPE", help="in which the framework computed: float32 (default), float64, float16, bfloat16")
    data.add_argument(
        "--expected-delay",
        metavar="N",
        action="append",
        help="steps by which the last layer's spikes were recorded later than they are fired; LAYER=N of another",
    )


def _expected(options: argparse.Namespace, network: Any) -> Any:
    """Return what was recorded and is said of it, checked before the run; None where nothing was."""
    from ..questions.expected import Expected, of_option

    said = [name for name in ("expected_axes", "expected_dtype", "expected_delay") if getattr(options, name) is not None]
    if options.expected is None:
        if said:
            raise RefsimError(f"--{said[0].replace('_', '-')} is of recorded spikes, and none are given: --expected FILE.")
        return None
    if options.plan:
        raise RefsimError("--plan runs a few samples only and compares nothing; leave --expected out.")
    expected = Expected(options.expected, options.expected_axes, options.expected_dtype, of_option(options.expected_delay))
    expected.check(network)
    return expected


def _held_against_twin(findings: Any, reading: Any, claims: Any, expected: Any, options: argparse.Namespace) -> Any:
    """Add the verdict on recorded spikes."""
    import numpy as np

    from ..pytorch.bridge import otherwise
    from ..questions.expected import again
    from ..questions.twin import code_claims, hold_against

    late = np.zeros(1, np.int64) if reading is None else reading.output_delay
    others = {} if reading is None else otherwise(options.network, reading, asked(options))
    return hold_against(findings, expected, code_claims(claims), late, {name: again(read_anew) for name, read_anew in others.items()})


def _case(name: str, read: Any) -> Any:
    """Return the case where the file is one, None where it is a network."""
    path = Path(name)
    if path.suffix != ".toml":
        return None
    if not path.is_file():
        raise RefsimError(f"{path}: there is no such file.")
    text = path.read_text("utf-8", errors="replace")
    is_case = any(line.split("=")[0].strip() == "kind" for line in text.splitlines())
    return read(path) if is_case else None


def _module(options: argparse.Namespace) -> "LiveModule | None":
    """Return the user's own module where NETWORK is code to import."""
    from ..pytorch.bridge.importing import is_code
    from .live import LiveModule

    if options.network is None or not is_code(options.network):
        if given := [option for option in ("input_shape", "layout") if getattr(options, option) is not None]:
            raise RefsimError(f"--{given[0].replace('_', '-')} is of a module, package.file:factory; a file of weights is described by its TOML.")
        return None
    if options.engine:
        raise RefsimError(f"{options.network}: is put on trial itself; leave --engine out.")
    return LiveModule.of(options)


def _trials(options: argparse.Namespace, default: list[str], *, whole: bool) -> list[str]:
    """Return the engines on trial; `whole`: the network computes with whole numbers, which float32 does not hold."""
    if default and not options.engine and not options.dtype:
        return default
    names = []
    for engine in options.engine or ["torch"]:
        known = {"torch": ["float64", "float32"], "discrete": ["float64"], "brian2": ["float32"]}[engine]
        wanted = options.dtype or [dtype for dtype in known if not whole or dtype == "float64" or len(known) == 1]
        if surplus := set(wanted) - set(known):
            raise RefsimError(f"--engine {engine} goes on trial in {' or '.join(known)}, not in {listed(surplus)}: the reference is Brian2 in float64.")
        names += [f"{engine} {dtype}" for dtype in wanted]
    return list(dict.fromkeys(names))
