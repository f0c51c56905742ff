"""Questions that are asked of a network, the cases in validation/ that ask them, and answers."""
