"""Exact spike times: crossings found between the steps of a run in Brian2."""
