"""A card as a fragment of LaTeX for a paper to take in: needs amsmath and booktabs."""

from ..model import NeuronModel
from ..model.reading import neuron
from .breaking import broken
from .symbols import latex_text, latex_unit
from .system import Block, system
from .table import sections


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
    head = f"% {model.name}: {' '.join(model.title.split())}. Written by refsim; needs amsmath and booktabs."
    parts = [head, rf"\paragraph{{{latex_text(model.title)}}}", *(_block(block) for block in system(model)), _table(model), _references(model)]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    rows = [row for line in block.lines for row in broken(line)]
    body = " \\\\\n".join(f"  {row}" for row in rows)
    return "\n".join([rf"\noindent\emph{{{block.heading}.}}", r"\begin{align*}", body, r"\end{align*}", *block.words])


def _table(model: NeuronModel) -> str:
    lines = [r"\begin{center}", r"\begin{tabular}{@{}llp{0.1\linewidth}p{0.45\linewidth}@{}}", r"\toprule", r"Symbol & Value & Unit & Meaning \\"]
    for heading, rows in sections(model):
        lines += [r"\midrule", rf"\multicolumn{{4}}{{@{{}}l}}{{\emph{{{heading}}}}} \\"]
        lines += [rf"${symbol}$ & {f'${value}$' if value else ''} & {latex_unit(unit)} & {latex_text(meaning)} \\" for symbol, value, unit, meaning in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{center}"])


def _references(model: NeuronModel) -> str:
    items = [rf"  \item {latex_text(reference)}" for reference in model.references]
    return "\n".join([r"\noindent\emph{References.}", r"\begin{itemize}", *items, r"\end{itemize}"])
