"""Check, the one runner of all checks, and the one table of their verdicts.

`run_checks` decides which checks are left out and why, and what becomes of code that raises.
`verdict_rows` writes verdicts for a terminal of 80 columns: check, status, value and limit, and
why.
"""

import textwrap
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.claims import EXPLAINED, Claim, Verdict, judge
from ..core.errors import CrashError, RefsimError, listed


def verdict_rows(verdicts: Sequence[Verdict]) -> list[str]:
    """Return a line or more a verdict."""
    return [_row(verdict) for verdict in verdicts]


def _row(verdict: Verdict) -> str:
    claim, value = verdict.claim, "" if verdict.value is None else f"{verdict.value:.3g}"
    # A limit of 0 says nothing beside the value.
    if verdict.value is not None and claim.limit:
        value = (
            f"{verdict.value:.1e} {'<=' if claim.sense == 'at most' else '>='} {claim.limit:.1e}"
        )
    head = f"{claim.measure:<11} {verdict.status:<12} {value:<18} "
    return textwrap.fill(
        verdict.detail or claim.because.split("; ")[0],
        80,
        initial_indent=head,
        subsequent_indent=" " * 44,
    )


# A value, or None where it cannot be measured; and a sentence, or "" where none is needed.
Answer = tuple[float | None, str]
# A limit that several checks share, and why float32 and central differences keep it.
DIGITS = 1e-6
FLOAT32_DIGITS = "float32 keeps seven digits; the measurement loses one of them"
DIFFERENCE_DIGITS = (
    "central differences of order four keep nine digits of a float64 loss; three are left to "
    "steep ones"
)
_NOTHING = "it was not measured"


@dataclass(frozen=True)
class Check:
    """One check: what it claims, and how that is measured.

    Attributes
    ----------
    claim : Claim
        Its measure is the name of the check.
    measure : function
        From what is checked to ``(value, sentence)``, value None where the check does not apply,
        with the reason; or to a Verdict, where more than the value decides.
    needs : tuple of str
        Checks without which its answer says nothing: it is left out where one of them fails.
    last : bool
        It finds that something differs, not what: it is left out where any check before it fails.
    """

    claim: Claim
    measure: Callable[[Any], Answer | Verdict]
    needs: tuple[str, ...] = ()
    last: bool = False

    def __call__(self, subject: object, run: str = "") -> Verdict:
        """Check something; code that raises fails, with what it raised."""
        run = run or str(getattr(subject, "name", ""))
        try:
            return self._judged(subject, run)
        except CrashError as error:
            return self._crashed(error, run)

    def _judged(self, subject: object, run: str) -> Verdict:
        with np.errstate(all="ignore"):  # NaN is judged, not warned of
            found = self.measure(subject)
        if isinstance(found, Verdict):
            return found
        return judge(self.claim, found[0], run=run, detail=found[1] or "")

    def _crashed(self, error: CrashError, run: str) -> Verdict:
        return Verdict(self.claim, None, "fail", run=run, detail=str(error))

    def left_out(self, why: str, run: str) -> Verdict:
        """Return the verdict of a check that is not asked."""
        return Verdict(self.claim, None, "skipped", run=run, detail=why or _NOTHING)


def run_checks(
    checks: Mapping[str, Check],
    subject: object,
    *,
    who: str,
    run: str = "",
    skip: Collection[str] | str = (),
) -> list[Verdict]:
    """Ask each check of a table in turn.

    Parameters
    ----------
    checks : dict of str to Check
    subject : object
        What their measures take.
    who : str
        The function that was called, which opens the errors.
    run : str
        What is on trial, for the verdicts.
    skip : name or names of checks to leave out; see `names_skipped`

    Returns
    -------
    list of Verdict, one a check that is not skipped by name
        ``skipped``, with the reason, where it does not apply or a failure before it explains it.

    Raises
    ------
    RefsimError
        For a check that does not exist, or none that is left.
    """
    left = names_skipped(skip, checks, who)
    return ask_each([check for name, check in checks.items() if name not in left], subject, run)


def ask_each(
    checks: Iterable[Check], subject: object, run: str, before: Sequence[Verdict] = ()
) -> list[Verdict]:
    """Ask checks in turn; `before` are verdicts whose failures explain others."""
    verdicts, crashes = list(before), set[str]()
    for check in checks:
        # A failure that explains this check spares asking it.
        if why := _explained(check, verdicts):
            verdicts.append(check.left_out(why, run))
            continue
        try:
            verdicts.append(check._judged(subject, run))
        except CrashError as error:
            # One fault is reported once, however many checks meet it.
            repeated = error.found in crashes
            crashes.add(error.found)
            verdicts.append(
                check.left_out(EXPLAINED, run) if repeated else check._crashed(error, run)
            )
    return verdicts[len(before) :]


def _explained(check: Check, before: Sequence[Verdict]) -> str:
    """Say which failure makes the answer of a check say nothing; "" where none does."""
    failed = [verdict.claim.measure for verdict in before if verdict.status == "fail"]
    first = next((need for need in check.needs if need in failed), "")
    return f"left out: {first} fails" if first else EXPLAINED if check.last and failed else ""


def names_skipped(skip: Collection[str] | str, checks: Collection[str], who: str) -> set[str]:
    """Return the names of the checks to leave out.

    Parameters
    ----------
    skip : str or collection of str
        One name, several parted by commas, or a collection of such.
    checks : collection of str
        The names there are.
    who : str
        Opens the errors: ``"check_step"``, ``"--skip"``.

    Raises
    ------
    RefsimError
        For what is no name, a check that does not exist, or where none is left.
    """
    # One name, or a list of names, each perhaps with commas.
    given = [skip] if isinstance(skip, str) else skip
    if not isinstance(given, Collection) or not all(isinstance(each, str) for each in given):
        raise RefsimError(
            f"{who}: skip must be a name or names of checks, but is {skip!r}; known are "
            f"{listed(checks)}."
        )
    names = {name for each in given for part in each.split(",") if (name := part.strip())}
    # A misspelt name would silently check too much.
    if unknown := names - set(checks):
        raise RefsimError(f"{who}: {listed(unknown)} is not a check; known are {listed(checks)}.")
    if names >= set(checks):
        raise RefsimError(f"{who}: every check is left out, and nothing would be judged.")
    return names
