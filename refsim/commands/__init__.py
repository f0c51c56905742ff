"""The commands of ``refsim``, a module for each, with `arguments` and `execute`."""
