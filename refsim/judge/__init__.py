"""Is it the same network: distances, rounding, replay, and the comparison of two runs."""

from .bounded import Bounded, constant, quantum_of
from .judgement import Decision, LayerJudgement, Replay
from .replay import replay
from .rounding import Threshold, distances_to_threshold

__all__ = [
    "Bounded",
    "Decision",
    "LayerJudgement",
    "Replay",
    "Threshold",
    "constant",
    "distances_to_threshold",
    "quantum_of",
    "replay",
]
