"""How far rounding can move a membrane: a running error bound through the declared step (Wilkinson's error analysis).

A spike that two runs disagree on is a *tie* where the membrane lies closer to threshold than this bound, and a real
difference where it does not. The bound is proven for the card's own operations, and for sums in any order; it is no
tolerance that somebody chose. A step that computes the same formula in another way may round a little more.
"""

from .bounded import Bounded, constant, quantum_of
from .judgement import Decision, LayerJudgement, Replay
from .replay import replay
from .thresholds import Threshold, distances_to_threshold

__all__ = ["Bounded", "Decision", "LayerJudgement", "Replay", "Threshold", "constant", "distances_to_threshold", "quantum_of", "replay"]
