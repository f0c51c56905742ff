"""A card in another form: a script of plain Brian2."""

from .script import to_brian2

__all__ = ["to_brian2"]
