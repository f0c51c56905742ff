"""compare: two recordings in, a report out."""

from ..questions.calls import judge_calls
from ..questions.case import standard_claims
from ..questions.findings import Findings
from ..questions.network import CODE_MEASURES, applying, judge_code
from ..questions.twin import compare_recorded
from ..recording import Recording
from .report import Report


def compare(reference: Recording, trial: Recording) -> Report:
    """Compare two runs of one network on one drive, spike by spike.

    Parameters
    ----------
    reference, trial : Recording
        As `refsim.run` returns them. With ``record=("before_reset",)`` the report shows both membranes where they part.

    Returns
    -------
    Report
        With ``.verdict`` ("pass", "fail" or "inconclusive"), ``.sentence``, ``.text()`` and ``.save(folder)``.

    Raises
    ------
    RefsimError
        Where the runs differ in shape or input.
    """
    found = compare_recorded(reference, trial)
    claims = [claim for claim in applying(standard_claims(), reference.network) if claim.measure in CODE_MEASURES]
    verdicts = [*(judge_code(claim, found) for claim in claims), *judge_calls(trial)]
    facts = {
        "samples": reference.drive.n_samples,
        "steps": reference.drive.n_steps,
        "inputs": reference.drive.n_inputs,
        "drive": reference.drive.made.get("kind"),
    }
    return Report(Findings("Comparison of two runs", tuple(verdicts), reference.network, facts, reference, (found,)))
