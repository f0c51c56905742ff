"""Claims and verdicts: what is claimed, with its limit and the reason for it, and what came out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import RefsimError, listed

STATUSES = ("pass", "fail", "inconclusive", "skipped", "reported")
SENSES = ("at most", "at least")
# The detail of a check that found a difference which another check has explained.
EXPLAINED = "left out: what other checks found explains it"


@dataclass(frozen=True)
class Claim:
    """What a check claims, the limit of its measure, and why the limit is what it is.

    Attributes
    ----------
    question : {"code", "step", "gradient", "task"}
        Which of refsim's three questions it answers, or whether the network does its task at all.
    measure : str
        What is measured.
    limit : float or None
        None: the value is reported and not judged.
    unit : str
    because : str
        Why the limit is what it is.
    sense : {"at most", "at least"}
        On which side of the limit the value must lie.
    """

    question: str
    measure: str
    limit: float | None
    unit: str
    because: str
    sense: str = "at most"

    def __post_init__(self) -> None:
        if self.question not in ("code", "step", "gradient", "task"):
            raise RefsimError(
                f"claim '{self.measure}': question must be code, step, gradient or task, but is "
                f"{self.question!r}."
            )
        if self.sense not in SENSES:
            raise RefsimError(
                f"claim '{self.measure}': sense must be one of {listed(SENSES)}, but is "
                f"{self.sense!r}."
            )
        if not isinstance(self.because, str) or len(self.because.split()) < 3:
            raise RefsimError(
                f"claim '{self.measure}': needs because = \"...\", a sentence that says why the "
                f"limit is {self.limit}."
            )

    @property
    def limit_text(self) -> str:
        """The limit in a few characters, ``<= 0`` or ``>= 0.96``; empty where there is none."""
        return (
            ""
            if self.limit is None
            else f"{'<=' if self.sense == 'at most' else '>='} {self.limit:g}"
        )

    def holds(self, value: float) -> bool:
        """Return whether a value keeps the limit; NaN keeps none."""
        if self.limit is None:
            return True
        return value <= self.limit if self.sense == "at most" else value >= self.limit


@dataclass(frozen=True)
class Verdict:
    """What came out for one claim.

    Attributes
    ----------
    value : float or None
        None where nothing was measured.
    status : {"pass", "fail", "inconclusive", "skipped", "reported"}
    margin : float or None
        For an identity, the nearest approach to threshold; else the distance of the value from its
        limit.
    run : str
        Which run was judged.
    detail : str
        A sentence where there is more to say.
    facts : dict
        Other values that report.json shows in the row.
    """

    claim: Claim
    value: float | None
    status: str
    margin: float | None = None
    run: str = ""
    detail: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the row of report.json."""
        return {
            "question": self.claim.question,
            "measure": self.claim.measure,
            "run": self.run,
            "value": _number(self.value),
            "limit": self.claim.limit,
            "sense": self.claim.sense,
            "unit": self.claim.unit,
            "because": self.claim.because,
            "margin": _number(self.margin),
            "status": self.status,
            "detail": self.detail,
            **self.facts,
        }


def _number(value: float | None) -> float | None:
    """Return None for NaN and infinity, which JSON does not have."""
    return value if value is None or math.isfinite(value) else None


def judge(
    claim: Claim,
    value: float | None,
    *,
    margin: float | None = None,
    run: str = "",
    detail: str = "",
) -> Verdict:
    """Return the verdict on a measured value; without a value the claim is skipped.

    Parameters
    ----------
    margin : float, optional
        Where it is left out, the distance of the value from the limit.
    """
    if value is None:
        return Verdict(claim, None, "skipped", None, run, detail or "it was not measured")
    # A claim without a limit is never judged.
    status = "reported" if claim.limit is None else "pass" if claim.holds(value) else "fail"
    if margin is None and claim.limit is not None:
        margin = abs(claim.limit - value)
    return Verdict(claim, value, status, margin, run, detail)


def overall(verdicts: Sequence[Verdict]) -> str:
    """Return the status of all verdicts: fail before inconclusive before pass.

    Where nothing was judged it is inconclusive, never a pass.
    """
    statuses = {verdict.status for verdict in verdicts}
    if "fail" in statuses:
        return "fail"
    if "inconclusive" in statuses or "pass" not in statuses:
        return "inconclusive"
    return "pass"
