"""The engines that run a network.

Brian2 (the reference) and Discrete (the slow, readable referee).
"""
