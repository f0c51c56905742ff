"""Brian2 as the reference: the text of a card, compiled to C++ or run by NumPy, a batch at once.

``engine`` is the engine, which chooses how to run. ``text`` and ``network`` make a card's text and
a network into Brian2's; ``product`` and ``functions`` are what Brian2 calls in C++. ``compile``,
``cache``, ``children``, ``run`` and ``processes`` make a program and run it in portions;
``numpy_run`` runs a small network at once, ``synapses`` is the slow referee, and ``exact`` has
spike times between the steps.
"""

from .engine import Brian2

__all__ = ["Brian2"]
