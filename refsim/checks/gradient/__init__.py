"""The check of a gradient: a run with its graph beside back-propagation through the cards."""
