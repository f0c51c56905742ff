"""Probes compare each framework, as it is installed, with its cards, spike by spike.

    python -m probes [NAME...] [--configs 100] [--steps 300]

The cards are in equations/frameworks/. Every framework runs in a virtual environment of its own
(`python -m benchmarks.peers` makes them). There random layers of each kind are made, read by the
bridge, and run; here Brian2 runs what was read, and every spike is compared.
"""
