"""The table of the losses in Markdown, made from the notes of their docstrings.

Each note has a formula, what silence costs, and a source; each begins a line.
"""

import inspect
import re

from .membranes import max_membrane_cross_entropy, membrane_regulariser, tet
from .rates import rate_regulariser, spike_count_mse, spike_moid, spike_rate
from .spikemax import spikemax
from .times import num_spikes, spike_time, ttfs_cross_entropy

_FUNCTIONS = (
    spikemax,
    spike_rate,
    spike_moid,
    spike_count_mse,
    spike_time,
    num_spikes,
    ttfs_cross_entropy,
    max_membrane_cross_entropy,
    tet,
    rate_regulariser,
    membrane_regulariser,
)

_COLUMNS = ("Formula", "Silence", "Source")
_KEY = "|".join(_COLUMNS)
_NOTE = re.compile(rf"^({_KEY}): (.*?)(?=^(?:{_KEY}): |\Z)", re.M | re.S)


def loss_table() -> str:
    """Return the table of all losses in Markdown, as it stands in ``docs/losses.md``."""
    rows = ["| loss | formula | silent output | source |", "|---|---|---|---|"]
    for function in _FUNCTIONS:
        notes = dict(_NOTE.findall(inspect.getdoc(function) or ""))
        # A note may go over several lines, and a cell of the table has one.
        cells = (" ".join(notes[name].split()).replace("|", "\\|") for name in _COLUMNS)
        rows.append(f"| `{function.__name__}` | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"
