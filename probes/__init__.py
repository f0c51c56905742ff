"""Probes hold each framework, in the release that is installed, against its cards in
equations/frameworks/, spike by spike.

    python -m probes [NAME...] [--configs 100] [--steps 300]

Every framework runs in a virtual environment of its own (`python -m benchmarks.peers` makes them).
There random layers of each kind are made, read by the bridge, and run; here Brian2 runs what was
read, and every spike is compared.
"""
