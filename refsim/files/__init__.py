"""Readers of files: each turns a file into a Network, or says why it cannot.

No reader imports or runs code of a user. Start at `formats.read_file`.
"""
