"""Is the gradient right? refsim's steps beside back-propagation through the cards' own text.

`validate_gradient` judges a case of this kind on real data; `target_for` finds what its loss
compares with.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..checks.gradient.inputs import drawn_trains
from ..core.arrays import Floats, Ints
from ..core.claims import Claim, Verdict, judge
from ..core.errors import RefsimError, listed
from ..core.tables import Toml, check_numbers
from ..networks.data import Dataset
from ..networks.drive import Drive
from ..networks.network import Network

if TYPE_CHECKING:
    from ..pytorch.surrogate import Fire


def validate_gradient(
    network: Network,
    found: Dataset,
    drive: Drive,
    table: Toml,
    claims: Sequence[Claim],
) -> list[Verdict]:
    """Judge the claims of a case of kind gradient.

    Parameters
    ----------
    found : Dataset
        Holds the labels that the loss takes.
    table : dict
        ``loss`` and ``surrogate`` (a name, a dict with name and parameters, or a list of them, one
        a layer); perhaps options of the loss, detach_reset, dtype.

    Returns
    -------
    list of Verdict
        One for each claim.

    Raises
    ------
    RefsimError
        For anything else, or a claim that asks another question.
    """
    from ..checks.gradient.check import GRADIENT_CHECKS, check_gradient
    from ..checks.loss import declared_loss

    # A case is checked before anything runs: measures, units, question, options.
    if unknown := {claim.measure for claim in claims} - set(GRADIENT_CHECKS):
        raise RefsimError(
            f"case: {listed(unknown)} is not a measure of a gradient; known are "
            f"{listed(GRADIENT_CHECKS)}."
        )
    for claim in claims:
        if claim.unit != (unit := GRADIENT_CHECKS[claim.measure].claim.unit):
            raise RefsimError(
                f"case: {claim.measure} is measured in {unit!r}, but a claim has unit = "
                f"{claim.unit!r}."
            )
    if other := {claim.question for claim in claims} - {"gradient"}:
        raise RefsimError(
            'case: a case of kind gradient answers question = "gradient", but a claim asks '
            f"{listed(other)}."
        )
    options = table.get("options", {})
    if not isinstance(options, Mapping):
        raise RefsimError(
            f"case: options must be a table, such as {{ window = 10 }}, but is {options!r}."
        )
    # The check runs once; every claim reads its own measure from the report.
    given = table["surrogate"]
    # There is one surrogate for all layers, or one for each.
    surrogates = [_declared(each) for each in (given if isinstance(given, list) else [given])]
    loss, kind = declared_loss(table["loss"], options)
    report = check_gradient(
        network,
        loss,
        drive,
        target_for(kind, found, drive, network),
        surrogate=surrogates if isinstance(given, list) else surrogates[0],
        detach_reset=table.get("detach_reset", False),
        dtype=table.get("dtype", "float32"),
    )
    # The report judges by its own limits; the case judges by its own.
    measured = {verdict.claim.measure: verdict for verdict in report.verdicts}
    return [_judged(claim, measured.get(claim.measure)) for claim in claims]


def _declared(given: object) -> "Fire":
    """Return the spike function of a surrogate, from its name or a table with parameters."""
    from ..pytorch.surrogate import spike_function

    table: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {"name": given}
    name = table.pop("name", None)
    if not isinstance(name, str):
        raise RefsimError(
            f'case: surrogate must be a name, or a table such as {{ name = "rectangle", width = '
            f"1.0 }}, but is {given!r}."
        )
    check_numbers(table, f"case: surrogate {name}")
    return spike_function(name, **table)


def _judged(claim: Claim, measured: Verdict | None) -> Verdict:
    """Judge what was measured by the case's own limit.

    What was not judged, or does not apply, is inconclusive: a claim about it says nothing.
    """
    # A check that was left out leaves its claim open.
    if measured is None:
        return Verdict(
            claim,
            None,
            "inconclusive",
            detail="left out: another check found that there is nothing to compare",
        )
    if measured.status in ("inconclusive", "skipped"):
        return Verdict(
            claim, measured.value, "inconclusive", run=measured.run, detail=measured.detail
        )
    return judge(claim, measured.value, run=measured.run, detail=measured.detail)


def target_for(kind: str, found: Dataset, drive: Drive, network: Network) -> Ints | Floats | None:
    """Return what a loss takes besides the outputs: labels, or trains that are drawn.

    Raises
    ------
    RefsimError
        Where the data have no labels.
    """
    # A loss takes nothing, trains or labels.
    if kind == "none":
        return None
    if kind == "trains":
        return drawn_trains(drive.n_samples, network.layers[-1].n_post, drive.n_steps, seed=0)
    if found.labels is None:
        raise RefsimError(
            "the loss takes a label for each sample, but the data have none: --labels FILE, or "
            "'labels' in a case."
        )
    return found.labels
