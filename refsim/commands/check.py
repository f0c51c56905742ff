"""``refsim check``: run the conformance suite on a card.

Exit codes: 0 pass, 1 fail, 2 wrong usage or a card that does not load.
"""

import argparse
import textwrap

from ..cards.read import load
from .options import assignments, set_argument, skip_argument
from .terminal import say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", metavar="CARD", help="name of a card, or path of your own")
    set_argument(parser.add_argument)
    skip_argument(parser.add_argument)


def execute(options: argparse.Namespace) -> int:
    """Run the checks, print their table and return the exit code."""
    from ..checks.card import CARD_CHECKS, check_card
    from ..checks.suite import names_skipped

    skip = names_skipped(options.skip, CARD_CHECKS, "--skip")
    verdicts = check_card(load(options.model, **assignments(options.set)), skip=skip)
    for verdict in verdicts:
        words = verdict.detail or verdict.claim.because
        say(
            textwrap.fill(
                words,
                80,
                initial_indent=f"{verdict.claim.measure:<14} {verdict.status:<8} ",
                subsequent_indent=" " * 24,
            )
        )
    # The last line counts the checks and names those that fail.
    failed = [verdict.claim.measure for verdict in verdicts if verdict.status == "fail"]
    passed = sum(verdict.status == "pass" for verdict in verdicts)
    say(
        f"\n{'FAIL' if failed else 'PASS'}. {passed} of {len(verdicts)} checks pass"
        + (
            f"; {', '.join(failed)} fail{'s' if len(failed) == 1 else ''}."
            if failed
            else ", the others do not apply."
        )
    )
    return 1 if failed or not passed else 0
