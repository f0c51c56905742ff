"""``refsim gradcheck``: compare the backward pass of a network with the declared one.

The declared one is back-propagation through the text of the network's own cards.
"""

import argparse
import json
from typing import TYPE_CHECKING, Any

from ..core.errors import RefsimError
from .options import (
    EXIT_CODES_TEXT,
    LiveModule,
    data_arguments,
    data_given,
    module_arguments,
    name_and_options,
    read,
    reading_arguments,
    skip_argument,
    surrogate_named,
)
from .terminal import EXIT_CODES, say

if TYPE_CHECKING:
    from ..networks.network import Network


_SAMPLES = 16  # how many of the data are run, where --samples is not given


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "Of a file, refsim's own PyTorch steps are put on trial; of code\n"
        "(package.file:factory) your module as it is. Without data: random\n"
        "spikes. Without labels, where your own loss takes them: random ones. Of data the\nfirst "
        "16 samples, unless --samples says.\n\n"
        "  refsim gradcheck net.py:make --loss spikemax --surrogate arctangent,slope=2\n"
        "  refsim gradcheck net.py:make --loss losses.py:mine --surrogate superspike\n\n"
        f"{EXIT_CODES_TEXT}"
    )
    # What is checked, and what it is compared with.
    add = parser.add_argument
    add(
        "network",
        metavar="NETWORK",
        help="a file of weights as for refsim validate, or your own code, package.file:factory",
    )
    add(
        "--loss",
        metavar="LOSS",
        required=True,
        help=(
            "spikemax, or with options spikemax,window=10; or your own, losses.py:mine, called "
            "with (values, target)"
        ),
    )
    add(
        "--surrogate",
        metavar="NAME",
        action="append",
        required=True,
        help="the declared one, arctangent or arctangent,slope=2; given again: one a layer",
    )
    add("--detach-reset", action="store_true", help="the reset is declared to pass no gradient")
    add(
        "--bias",
        action="store_true",
        help=(
            "also report how far the surrogate is from the gradient of an expected loss, in "
            "small networks"
        ),
    )
    skip_argument(add)
    # How the network is read, on what it is run, and how.
    reading_arguments(parser)
    module_arguments(parser)
    data_arguments(parser)
    runs = parser.add_argument_group("runs")
    runs.add_argument(
        "--dtype",
        nargs=1,
        choices=("float64", "float32"),
        help="of the trial (default: the module's own; of a file float32)",
    )
    runs.add_argument(
        "--device", metavar="DEVICE", default="cpu", help="of PyTorch: cpu, cuda, ..."
    )
    parser.add_argument("--json", action="store_true", help="print the rows in place of the tables")


def execute(options: argparse.Namespace) -> int:
    """Run the checks, print their tables and return the exit code."""
    from ..checks.gradient.check import GRADIENT_CHECKS, check_gradient
    from ..checks.suite import names_skipped

    # A file is put on trial with refsim's own PyTorch steps, code as it is.
    skip = names_skipped(options.skip, GRADIENT_CHECKS, "--skip")
    live = _live(options)
    network = live.network if live else read(options.network, options).network
    # What the loss compares with decides which labels are needed.
    loss, kind = _loss(options.loss)
    inputs, target = _data(options, network, kind)
    how: dict[str, Any] = (
        {"input_shape": live.input_shape, "layout": live.layout, "dt": network.dt} if live else {}
    )
    if not live:
        how = {"device": options.device, "dtype": (options.dtype or ["float32"])[0]}
    from ..report.report import as_json_data

    # The report is printed as rows or as tables.
    report = check_gradient(
        live.module if live else network,
        loss,
        inputs,
        target,
        surrogate=_surrogates(options.surrogate),
        detach_reset=options.detach_reset,
        bias=options.bias,
        skip=skip,
        seed=options.seed or 0,
        **how,
    )
    say(
        json.dumps(as_json_data(report.as_dict())[0], indent=2, allow_nan=False)
        if options.json
        else report.text()
    )
    return EXIT_CODES[report.status]


def _live(options: argparse.Namespace) -> LiveModule | None:
    """Return the user's module, where the network is code."""
    from ..modules.importing import is_code

    return LiveModule.of(options) if is_code(options.network) else None


def _loss(text: str) -> tuple[Any, str | None]:
    """Return a loss, and what it is compared with; of the user's own loss this is not known."""
    from ..checks.loss import declared_loss
    from ..modules.importing import import_function, is_code

    if is_code(text):
        return import_function(text), None
    name, options = name_and_options(text, "--loss", "spikemax,window=10")
    return declared_loss(name, options)


def _surrogates(texts: list[str]) -> Any:
    """Return the declared surrogate, or a list with one for each layer."""
    from ..pytorch.surrogate import spike_function

    found = [spike_function(name, **options) for name, options in map(surrogate_named, texts)]
    return found[0] if len(found) == 1 else found


def _data(options: argparse.Namespace, network: "Network", kind: str | None) -> tuple[Any, Any]:
    """Return inputs and target; None where the check draws them itself.

    Parameters
    ----------
    kind : str or None
        What the loss compares with; None where it is the user's own.
    """
    import numpy as np

    from ..cases.case import drive_on
    from ..cases.gradient import target_for
    from ..checks.gradient.inputs import DEFAULT, drawn_trains

    given = data_given(options)
    # Without data the check draws spikes; only their seed can be given.
    if "source" not in given:
        if surplus := set(given) - {"seed"}:
            raise RefsimError(
                f"--{sorted(surplus)[0]} is of data; give --data FILE too, or leave it out and "
                "random spikes are run."
            )
        if kind == "trains":
            n_samples, n_steps = DEFAULT
            return None, drawn_trains(
                n_samples, network.layers[-1].n_post, n_steps, options.seed or 0
            )
        return None, None
    # Of given data the first samples are enough, unless somebody says how many.
    found, drive = drive_on(network, given)
    target = found.labels if kind is None else target_for(kind, found, drive, network)
    if "samples" in given or drive.n_samples <= _SAMPLES:
        return drive, target
    return drive.take(np.arange(_SAMPLES)), None if target is None else target[:_SAMPLES]
