"""The pytest plugin: a fixture that turns verdicts into passed or failed tests, and a summary.

It is loaded with every run of pytest where refsim is installed. It therefore imports neither torch
nor brian2.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .core.claims import Verdict


_REPORTED = "refsim reported"  # a property of a test, which pytest collects from all processes


@pytest.fixture
def refsim_check(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Judge what a check of refsim returned: ``refsim_check(refsim.check_loss(mine, "spikemax"))``.

    It takes a verdict, a list of them, or a report that has them (`refsim.check_gradient`,
    `refsim.surrogate_bias`, `refsim.compare`). The test fails where a verdict does. It also fails
    where nothing could be judged, unless ``inconclusive=True`` is given. A value that is reported
    and not judged, such as the bias of a surrogate, is shown in the summary at the end.
    """

    def check(found: object, *, inconclusive: bool = False) -> None:
        from .core.claims import overall

        verdicts = _verdicts(found)
        request.node.user_properties.extend((_REPORTED, line) for line in _reported(verdicts))
        # Reported values neither pass nor fail a test.
        judged = [verdict for verdict in verdicts if verdict.status != "reported"]
        status = overall(judged)
        if judged and status != "pass" and not (inconclusive and status == "inconclusive"):
            pytest.fail(f"refsim: {status}\n" + _text(judged), pytrace=False)

    return check


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the values that were reported and not judged."""
    done = [
        report
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
    ]
    if lines := [
        f"{report.nodeid}: {line}"
        for report in done
        for name, line in report.user_properties
        if name == _REPORTED
    ]:
        terminalreporter.section("refsim: reported, not judged")
        for line in lines:
            terminalreporter.write_line(line)


def _verdicts(found: object) -> "Sequence[Verdict]":
    """Return the verdicts in what a check of refsim returned."""
    from .core.claims import Verdict
    from .core.errors import RefsimError

    verdicts = (
        [found]
        if isinstance(found, Verdict)
        else getattr(getattr(found, "findings", found), "verdicts", found)
    )
    if (
        not isinstance(verdicts, list | tuple)
        or not verdicts
        or not all(isinstance(verdict, Verdict) for verdict in verdicts)
    ):
        given = "an empty list" if verdicts == [] else type(found).__name__
        raise RefsimError(
            "refsim_check: needs what a check of refsim returns, verdicts or a report, but "
            f"{given} was given."
        )
    return list(verdicts)


def _reported(verdicts: "Sequence[Verdict]") -> list[str]:
    """Return a line for each value that is reported and not judged."""
    return [
        f"{verdict.claim.measure} {verdict.run}".strip()
        + f" = {verdict.value:.4g}"
        + "".join(f", {name} {value:.4g}" for name, value in verdict.facts.items())
        for verdict in verdicts
        if verdict.status == "reported" and verdict.value is not None
    ]


def _text(verdicts: "Sequence[Verdict]") -> str:
    from .checks.suite import verdict_rows

    return "\n".join(verdict_rows(verdicts))
