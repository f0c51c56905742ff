"""Show what was found: a sentence and a table in the terminal, JSON for machines, a page."""

from .report import Report
from .validate import compare, validate

__all__ = ["Report", "compare", "validate"]
