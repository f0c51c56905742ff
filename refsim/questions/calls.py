"""The module as its owner calls it: an equal call must be answered alike, or the report says which state is left from the last."""

from ..claims import Claim, Verdict
from ..recording import Recording

MEASURE = "answers unlike an equal call's"
_CLAIM = Claim(
    "code",
    MEASURE,
    0,
    "numbers",
    "the declared network answers equal calls alike; a module that puts back some of its states alone answers by what it was called with before",
)


def judge_calls(trial: Recording) -> list[Verdict]:
    """Judge what a module answered when it was called twice; nothing for a run of no module, or of one that leaves all to its owner."""
    calls = trial.provenance.get("calls")
    if not calls or (calls["status"] == "pass" and not calls["equal"]):
        return []
    return [Verdict(_CLAIM, calls["differ"], calls["status"], None, trial.label, calls["said"], {"calls": calls})]
