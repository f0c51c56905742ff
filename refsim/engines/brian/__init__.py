"""Brian2 as the reference: a card's text compiled to C++ (or run by NumPy), for a whole batch at
once.
"""

from .engine import Brian2

__all__ = ["Brian2"]
