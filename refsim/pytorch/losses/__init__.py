"""Losses of spiking networks: functions of batched tensors (batch, class, step), and thin modules.

``docs/losses.md`` has the table.
"""

from .membranes import max_membrane_cross_entropy, membrane_regulariser, tet
from .modules import (
    TET,
    MaxMembraneCrossEntropy,
    MembraneRegulariser,
    NumSpikes,
    RateRegulariser,
    SpikeCountMSE,
    Spikemax,
    SpikeMoid,
    SpikeRate,
    SpikeTime,
    TTFSCrossEntropy,
)
from .rates import rate_regulariser, spike_count_mse, spike_moid, spike_rate
from .spikemax import spikemax
from .times import num_spikes, spike_time, ttfs_cross_entropy

__all__ = [
    "TET",
    "MaxMembraneCrossEntropy",
    "MembraneRegulariser",
    "NumSpikes",
    "RateRegulariser",
    "SpikeCountMSE",
    "SpikeMoid",
    "SpikeRate",
    "SpikeTime",
    "Spikemax",
    "TTFSCrossEntropy",
    "max_membrane_cross_entropy",
    "membrane_regulariser",
    "num_spikes",
    "rate_regulariser",
    "spike_count_mse",
    "spike_moid",
    "spike_rate",
    "spike_time",
    "spikemax",
    "tet",
    "ttfs_cross_entropy",
]
