"""``refsim gradient bias|landscape``: compare surrogate gradients with exact ones.

The networks are small and stochastic, so that the gradient of the expected loss can be computed.
"""

import argparse

from ..core.errors import RefsimError
from .options import check_endings, out_argument, surrogate_named
from .terminal import EXIT_CODES, say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the two kinds."""
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True)
    text = (
        "surrogate gradient against the gradient of the expected loss, in five cases: the "
        "table of docs/gradients.md"
    )
    add = kinds.add_parser("bias", help=text, description=text[0].upper() + text[1:]).add_argument
    add("--networks", metavar="N", type=int, default=20, help="of each case (default 20)")
    text = (
        "the loss along one weight of a network of these cases, with exact, surrogate and "
        "finite-difference slopes"
    )
    add = kinds.add_parser(
        "landscape",
        help=text,
        description=(
            f"T{text[1:]}. Your own network: refsim.experiments.landscape, module_landscape."
        ),
    ).add_argument
    add(
        "--case",
        metavar="N",
        type=int,
        default=5,
        help="1 to 5, in the order of the table (default 5)",
    )
    add("--seed", metavar="N", type=int, default=0, help="which of the case's networks (default 0)")
    add(
        "--along",
        metavar="WEIGHT",
        default="W1[0,0]",
        help="which weight, post and pre (default W1[0,0])",
    )
    add(
        "--over",
        metavar="RANGE",
        default="-2:2:81",
        help="FROM:TO:HOW_MANY, from the network's own weight (default -2:2:81)",
    )
    add(
        "--at",
        metavar="OFFSET",
        type=float,
        default=0.0,
        help="where the slopes are taken (default 0)",
    )
    add(
        "--surrogate",
        metavar="NAME[,KEY=VALUE...]",
        help="triangle,width=2, superspike, ... (default: the derivative of the escape function)",
    )
    add("--detach-reset", action="store_true", help="the reset passes no gradient")
    out_argument(add)


def execute(options: argparse.Namespace) -> int:
    """Measure and print; where both gradients must be one they are judged, else reported."""
    return _bias(options.networks) if options.kind == "bias" else _landscape(options)


def _bias(n_networks: int) -> int:
    """Print the table of the five cases, and judge the first, in which there is no bias."""
    from ..checks.bias import surrogate_bias
    from ..core.claims import overall
    from ..gradients.bias import bias_table, case_network, five_cases

    if n_networks < 1:
        raise RefsimError(f"--networks must be at least 1, but is {n_networks}.")
    say(bias_table(five_cases(n_networks)))
    verdicts = [
        verdict
        for seed in range(n_networks)
        for verdict in surrogate_bias(*case_network(1, seed)).verdicts
    ]
    status = overall(verdicts)
    worst = max(verdict.value or 0.0 for verdict in verdicts)
    say(
        f"{status.upper()}. One layer, no reset, linear loss: the two gradients must be one, and "
        f"differ by at most {worst:.1e}. The rest is reported and not judged."
    )
    return EXIT_CODES[status]


def _landscape(options: argparse.Namespace) -> int:
    """Draw the loss along one weight, with the slopes that gradients give."""
    from ..checks.bias import known_surrogate
    from ..experiments.landscape import landscape
    from ..gradients.bias import CASES, case_network

    if options.case not in CASES:
        raise RefsimError(f"--case must be 1 to {len(CASES)}, but is {options.case}.")
    if options.seed < 0:
        raise RefsimError(f"--seed must be 0 or more, but is {options.seed}.")
    check_endings(options.out)
    surrogate = (
        None if options.surrogate is None else known_surrogate(*surrogate_named(options.surrogate))
    )
    found = landscape(
        *case_network(options.case, options.seed),
        options.along,
        options.over,
        at=options.at,
        surrogate=surrogate,
        detach_reset=options.detach_reset,
    )
    say(found.text())
    for name in options.out:
        say(f"wrote {found.save(name)}")
    return 0
