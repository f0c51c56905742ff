"""Show what was found: a sentence and a table in the terminal, JSON for machines, one HTML page with pictures."""

from .compare import compare
from .report import Report

__all__ = ["Report", "compare"]
