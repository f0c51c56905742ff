"""report.html: one page that stands alone, for a phone, a desk and a printer."""

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from ..cases.findings import Findings
from ..core.claims import Verdict
from .pictures import Picture, pictures
from .text import facts


def page(findings: Findings, content: Mapping[str, Any]) -> str:
    """Return the page, from the findings and the content of report.json."""
    template = Template((Path(__file__).parent / "page.html").read_text("utf-8"))
    # The reason for a limit is given with the first run that it judges.
    claims, told = [], set()
    for verdict in findings.verdicts:
        claims.append(_row(verdict, because=verdict.claim not in told))
        told.add(verdict.claim)
    # Everything that comes from a file is escaped.
    return template.substitute(
        verdict=content["verdict"],
        id=content["id"],
        sentence=escape(content["sentence"]),
        facts="".join(
            f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts(findings)
        ),
        claims="\n".join(claims),
        pictures="\n".join(_figure(picture) for picture in pictures(findings)),
        runs=escape(json.dumps(content["runs"], indent=1)),
    )


def _row(verdict: Verdict, *, because: bool) -> str:
    """Return a table row; the reason for a limit is given once for all runs."""
    claim = verdict.claim
    # What happened stands with the run, the reason for the limit with the measure.
    detail = f'<span class="because">{escape(verdict.detail)}</span>' if verdict.detail else ""
    reason = f'<span class="because">{escape(claim.because)}</span>' if because else ""
    run = (
        f'<td data-name="run">{escape(verdict.run)}{detail}</td>'
        if verdict.run
        else f"<td>{detail}</td>"
    )
    value = "" if verdict.value is None else f"{verdict.value:.6g} {escape(claim.unit)}"
    return (
        "<tr><td "
        f'class="{verdict.status}">{verdict.status}</td><td>{escape(claim.measure)}{reason}</td>'
        f'{run}<td class="number" data-name="value">{value}</td>'
        f'<td class="number" data-name="limit">{escape(claim.limit_text)}</td></tr>'
    )


def _figure(picture: Picture) -> str:
    return (
        f'<figure><h2>{escape(picture.title)}</h2><div tabindex="0"><img '
        f'src="{picture.data_url}" alt="{escape(picture.words)}"></div>'
        f"<figcaption>{escape(picture.words)}</figcaption></figure>"
    )
