"""A card in another form: equations for a paper or a notebook, and a script of plain Brian2."""

from .documents import to_latex, to_markdown
from .script import to_brian2

__all__ = ["to_brian2", "to_latex", "to_markdown"]
