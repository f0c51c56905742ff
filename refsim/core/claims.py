"""Claim and Verdict: what is claimed, with its limit and the reason for it, and what came out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import RefsimError, listed

STATUSES = ("pass", "fail", "inconclusive", "skipped", "reported")
SENSES = ("at most", "at least")
# Of a check that says that something differs, not what.
EXPLAINED = "left out: what other checks found explains it"


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes
    ----------
    question : {"code", "step", "gradient", "task"}
        Which question it answers; the three of refsim, and whether the network does its task at
        all.
    measure : str
    limit : float or None
        None: the value is reported and not judged.
    unit : str
    because : str
        Why the limit is what it is.
    sense : {"at most", "at least"}
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
        """Return whether a value keeps the limit. A value that is no number keeps none."""
        if self.limit is None:
            return True
        return value <= self.limit if self.sense == "at most" else value >= self.limit


@dataclass(frozen=True)
class Verdict:
    """What came out for one claim.

    Attributes
    ----------
    value : float or None
    status : {"pass", "fail", "inconclusive", "skipped", "reported"}
    margin : float or None
        For an identity, the nearest approach to threshold; else the distance of the value from its
        limit.
    run : str
        Which run was judged.
    detail : str
        A sentence where there is more to say.
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
    """JSON has no NaN and no infinity."""
    return value if value is None or math.isfinite(value) else None


def judge(
    claim: Claim,
    value: float | None,
    *,
    margin: float | None = None,
    run: str = "",
    detail: str = "",
) -> Verdict:
    """Hold a measured value against its claim."""
    if value is None:
        return Verdict(claim, None, "skipped", None, run, detail or "it was not measured")
    status = "reported" if claim.limit is None else "pass" if claim.holds(value) else "fail"
    if margin is None and claim.limit is not None:
        margin = abs(claim.limit - value)
    return Verdict(claim, value, status, margin, run, detail)


def overall(verdicts: Sequence[Verdict]) -> str:
    """Return the verdict of all: fail before inconclusive before pass.

    Nothing judged is inconclusive, never a pass.
    """
    statuses = {verdict.status for verdict in verdicts}
    if "fail" in statuses:
        return "fail"
    if "inconclusive" in statuses or "pass" not in statuses:
        return "inconclusive"
    return "pass"
