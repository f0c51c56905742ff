"""Live PyTorch modules: their neurons are found, run, measured, read and put on trial.

Start at `read.from_module`, which makes a Network of a module, or at `trial.Trial`, which runs a
module as its owner does.
"""
