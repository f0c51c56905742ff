"""NIR: the graph of a .nir file, the wiring between its neurons, and files that are written."""
