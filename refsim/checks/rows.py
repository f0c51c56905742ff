"""Verdicts as lines for a terminal of 80 columns: check, status, value and limit, and why."""

import textwrap
from collections.abc import Sequence

from ..claims import Verdict


def verdict_rows(verdicts: Sequence[Verdict]) -> list[str]:
    """Return a line or more a verdict."""
    return [_row(verdict) for verdict in verdicts]


def _row(verdict: Verdict) -> str:
    claim, value = verdict.claim, "" if verdict.value is None else f"{verdict.value:.3g}"
    if verdict.value is not None and claim.limit:
        value = f"{verdict.value:.1e} {'<=' if claim.sense == 'at most' else '>='} {claim.limit:.1e}"
    head = f"{claim.measure:<11} {verdict.status:<12} {value:<18} "
    return textwrap.fill(verdict.detail or claim.because.split("; ")[0], 80, initial_indent=head, subsequent_indent=" " * 44)
