"""A card as a document: LaTeX for a paper, Markdown for a notebook or a page.

The LaTeX is a fragment that needs amsmath and booktabs. The Markdown has its mathematics between
dollars, and can be read as it is too. An equation that is wider than a page is broken between two
of its terms.
"""

import re

from ..cards.neuron import NeuronModel
from ..cards.questions import neuron
from .formula import latex_text, latex_unit, markdown_text, markdown_unit
from .system import Equation, EquationBlock, sections, system
from .system import TableRow as Row

_WIDEST = 75  # signs that a reader sees, of some 90 that a column of 16 cm holds


def broken(line: Equation) -> list[str]:
    """Return the rows of an aligned equation, ``left &= right``, continued after ``&``."""
    rows, row, seen = [], f"{line.left} &{line.sign}", width(line.left)
    # A term that would pass the margin begins a new row.
    for term in line.right:
        if seen + width(term) > _WIDEST and seen > width(line.left):
            rows.append(row)
            row, seen = r"&\quad", 0
        row, seen = f"{row} {term}", seen + width(term)
    return [*rows, row]


def width(text: str) -> int:
    """Return about how many signs of a formula a reader sees.

    A command counts as one sign, and all parts of a fraction count.
    """
    # Commands that print nothing, then those that print a sign, then braces.
    text = re.sub(
        r"\\(left|right|mathrm|operatorname|mathbf|mathcal|quad|,|;)(?![A-Za-z])", "", text
    )
    text = re.sub(r"\\[A-Za-z]+", "x", text)
    return len(re.sub(r"[{}\s_^]", "", text))


def to_latex(model: NeuronModel) -> str:
    r"""Return equations, declared step, parameters and references for a paper.

    Parameters
    ----------
    model : NeuronModel

    Returns
    -------
    str
        LaTeX without a preamble, for ``\input``; the paper needs ``\usepackage{amsmath,booktabs}``.
    """
    neuron(model, "to_latex")
    head = (
        f"% {model.name}: {' '.join(model.title.split())}. Written by refsim; needs amsmath "
        "and booktabs."
    )
    # Equations first, then what the symbols mean, then the sources.
    parts = [
        head,
        rf"\paragraph{{{latex_text(model.title)}}}",
        *(_latex_block(block) for block in system(model)),
        _latex_table(model),
        _references(model),
    ]
    return "\n\n".join(parts) + "\n"


def _latex_block(block: EquationBlock) -> str:
    rows = [row for line in block.lines for row in broken(line)]
    body = " \\\\\n".join(f"  {row}" for row in rows)
    return "\n".join(
        [
            rf"\noindent\emph{{{block.heading}.}}",
            r"\begin{align*}",
            body,
            r"\end{align*}",
            *block.words,
        ]
    )


def _latex_table(model: NeuronModel) -> str:
    lines = [
        r"\begin{center}",
        r"\begin{tabular}{@{}llp{0.1\linewidth}p{0.45\linewidth}@{}}",
        r"\toprule",
        r"Symbol & Value & Unit & Meaning \\",
    ]
    # States, parameters and derived constants, each under a heading.
    for heading, rows in sections(model):
        lines += [r"\midrule", rf"\multicolumn{{4}}{{@{{}}l}}{{\emph{{{heading}}}}} \\"]
        lines += [
            (
                rf"${symbol}$ & {f'${value}$' if value else ''} & {latex_unit(unit)} & "
                rf"{latex_text(meaning)} \\"
            )
            for symbol, value, unit, meaning in rows
        ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{center}"])


def _references(model: NeuronModel) -> str:
    items = [rf"  \item {latex_text(reference)}" for reference in model.references]
    return "\n".join([r"\noindent\emph{References.}", r"\begin{itemize}", *items, r"\end{itemize}"])


def to_markdown(model: NeuronModel) -> str:
    """Return equations, declared step, parameters and references for a notebook.

    Parameters
    ----------
    model : NeuronModel

    Returns
    -------
    str
        Markdown with ``$$ ... $$``, as Jupyter, GitHub and pandoc read it, and tables.
    """
    neuron(model, "to_markdown")
    parts = [
        f"# {model.name}: {markdown_text(model.title)}",
        *(_markdown_block(block) for block in system(model)),
    ]
    parts += [_markdown_table(heading, rows) for heading, rows in sections(model)]
    parts += [
        "\n".join(
            [
                "## References",
                "",
                *(f"- {markdown_text(reference)}" for reference in model.references),
            ]
        )
    ]
    return "\n\n".join(parts) + "\n"


def _markdown_block(block: EquationBlock) -> str:
    rows = [row for line in block.lines for row in broken(line)]
    body = " \\\\\n".join(rows)
    return "\n".join(
        [
            f"## {block.heading}",
            "",
            "$$",
            r"\begin{aligned}",
            body,
            r"\end{aligned}",
            "$$",
            *(["", *block.words] if block.words else []),
        ]
    )


def _markdown_table(heading: str, rows: list[Row]) -> str:
    lines = [f"## {heading}", "", "| symbol | value | unit | meaning |", "|---|---|---|---|"]
    return "\n".join(
        [
            *lines,
            *(
                (
                    f"| ${symbol}$ | {f'${value}$' if value else ''} | {markdown_unit(unit)} | "
                    f"{markdown_text(meaning)} |"
                )
                for symbol, value, unit, meaning in rows
            ),
        ]
    )
