"""The table of the losses in Markdown, made from what their docstrings say.

Formula, silence, source.
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


def loss_table() -> str:
    """Return the table of all losses in Markdown, as it stands in ``docs/losses.md``."""
    rows = ["| loss | formula | silent output | source |", "|---|---|---|---|"]
    for function in _FUNCTIONS:
        said = dict(
            re.findall(r"^(Formula|Silence|Source): (.*)$", inspect.getdoc(function) or "", re.M)
        )
        cells = (said[name].replace("|", "\\|") for name in ("Formula", "Silence", "Source"))
        rows.append(f"| `{function.__name__}` | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"
