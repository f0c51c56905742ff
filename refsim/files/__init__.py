"""Readers of files: each turns what a file says into a Network, or says why it cannot."""
