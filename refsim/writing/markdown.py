"""A card as Markdown for a notebook or a page, mathematics between dollars; it can be read as it is, too."""

from ..model import NeuronModel
from ..model.reading import neuron
from .breaking import broken
from .symbols import markdown_text, markdown_unit
from .system import Block, system
from .table import Row, sections


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
    parts = [f"# {model.name}: {markdown_text(model.title)}", *(_block(block) for block in system(model))]
    parts += [_table(heading, rows) for heading, rows in sections(model)]
    parts += ["\n".join(["## References", "", *(f"- {markdown_text(reference)}" for reference in model.references)])]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    rows = [row for line in block.lines for row in broken(line)]
    body = " \\\\\n".join(rows)
    return "\n".join([f"## {block.heading}", "", "$$", r"\begin{aligned}", body, r"\end{aligned}", "$$", *(["", *block.words] if block.words else [])])


def _table(heading: str, rows: list[Row]) -> str:
    lines = [f"## {heading}", "", "| symbol | value | unit | meaning |", "|---|---|---|---|"]
    return "\n".join(
        [
            *lines,
            *(f"| ${symbol}$ | {f'${value}$' if value else ''} | {markdown_unit(unit)} | {markdown_text(meaning)} |" for symbol, value, unit, meaning in rows),
        ]
    )
