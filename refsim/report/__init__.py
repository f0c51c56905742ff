"""Show what was found: a sentence and a table in the terminal, JSON for machines, one HTML page with pictures."""

from .compare import compare
from .report import Report
from .validate import validate

__all__ = ["Report", "compare", "validate"]
