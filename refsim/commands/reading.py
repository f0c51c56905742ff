"""What ``validate``, ``inspect`` and ``import`` share: which file, and what is said besides it."""

import argparse
from pathlib import Path
from typing import Any

from ..errors import RefsimError


def reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say what a file does not."""
    add = parser.add_argument
    add("--describe", metavar="TOML", help="description of the weights, where it does not lie beside them")
    add("--dt", metavar="TIME", help="duration of a step, where the file gives none")
    add("--convention", metavar="NAME=VALUE", action="append", default=[], help="what the file leaves unsaid, such as comparison='>=' (refsim inspect tells)")


def asked(options: argparse.Namespace) -> Any:
    """Return what the options say besides the file."""
    from ..pytorch.bridge import Asked

    convention = {}
    for text in options.convention:
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier() or not value.strip():
            raise RefsimError(f"--convention: needs NAME=VALUE, such as comparison='>=', but {text!r} was given.")
        convention[name.strip()] = value.strip().strip("'\"")
    return Asked(options.describe, options.dt, convention)


def read(network: str, options: argparse.Namespace) -> Any:
    """Read a network from a file."""
    from ..pytorch.bridge import read_file

    path = Path(network)
    if not path.is_file():
        raise RefsimError(f"network {path}: {'is a folder' if path.is_dir() else 'there is no such file'}.")
    return read_file(path, asked(options))
