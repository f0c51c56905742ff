"""Spikes at their exact times, between the steps of a run in Brian2."""
