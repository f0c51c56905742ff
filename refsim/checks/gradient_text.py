"""The tables of a gradient check, for a terminal of 80 columns."""

import textwrap
from typing import TYPE_CHECKING

from ..errors import counted
from .rows import verdict_rows

if TYPE_CHECKING:
    from .gradient import GradientReport

_WORDS = {"pass": "PASS", "fail": "FAIL", "inconclusive": "INCONCLUSIVE"}


def gradient_text(report: "GradientReport") -> str:
    """Return a line a layer, a line a check, the bias where it was asked for, and the verdict."""
    width = max(12, *(len(each.name) for each in report.layers)) + 2
    lines = [f"{'from the loss to':<{width}}{'relative':>10}{'cosine':>10}  worst (step, sample, input)"]
    for each in report.layers:
        step, sample, entry = each.worst
        lines.append(
            f"{each.name:<{width}}{each.far.relative:>10.1e}{each.far.cosine:>10.6f}  ({step}, {sample}, {entry}): {each.found:.3g} for {each.true:.3g}"
        )
    lines.append("")
    judged = [verdict for verdict in report.verdicts if verdict.status != "reported"]
    lines += verdict_rows(judged)
    if bias := [verdict for verdict in report.verdicts if verdict.status == "reported"]:
        lines += ["", "Bias of the surrogate, reported and not judged:"]
        lines += [f"  {verdict.run}: relative {verdict.value:.3g}, cosine {verdict.facts['cosine']:.4f}" for verdict in bias]
        lines.append(textwrap.fill(f"({bias[0].detail})", 80, initial_indent="  ", subsequent_indent="  "))
    if report.unjudged:
        why = "frozen, what weights are made from, not in the card, or a gradient of 0 on these inputs, or of hardly more than rounding"
        lines += ["", textwrap.fill(f"Not judged ({why}): {', '.join(report.unjudged)}.", 80)]
    failed = [verdict.claim.measure for verdict in judged if verdict.status == "fail"]
    passed = sum(verdict.status == "pass" for verdict in judged)
    rest = {words: sum(verdict.status == status for verdict in judged) for status, words in (("inconclusive", "inconclusive"), ("skipped", "left out"))}
    said = [
        f"{passed} check{'s' if passed != 1 else ''} pass{'es' if passed == 1 else ''}",
        *([f"{', '.join(failed)} fail{'s' if len(failed) == 1 else ''}"] if failed else []),
        *[f"{count} {'are' if count > 1 else 'is'} {words}" for words, count in rest.items() if count],
        *([f"gradients of {counted(len(report.unjudged), 'parameter')} are not judged"] if report.unjudged else []),
    ]
    lines += ["", textwrap.fill(f"Limits of rounding: {report.rounding}.", 80)]
    lines += ["", textwrap.fill(f"{_WORDS[report.status]}. {'; '.join(said)}.", 80)]
    return "\n".join(lines)
