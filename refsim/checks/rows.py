"""Verdicts as lines for a terminal of 80 columns: check, status, value and limit, and why."""

import textwrap
from collections.abc import Sequence

from ..claims import Verdict


def verdict_rows(verdicts: Sequence[Verdict]) -> list[str]:
    """Return a line or more a verdict."""
    return [_row(verdict) for verdict in verdicts]


def _row(verdict: Verdict) -> str:
    value = "" if verdict.value is None else f"{verdict.value:.1e} <= {verdict.claim.limit:.1e}" if verdict.claim.limit else f"{verdict.value:.3g}"
    words = verdict.detail or verdict.claim.because.split("; ")[0]
    return textwrap.fill(words, 80, initial_indent=f"{verdict.claim.measure:<11} {verdict.status:<7} {value:<18} ", subsequent_indent=" " * 39)
