"""One file an engine: how it is built, run from the dense input, and read.

Each is a process of its own.
"""
