"""``refsim cache``: list or remove the compiled programs that make a second run instant."""

import argparse
import time

from ..core.errors import counted
from .terminal import say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "action",
        choices=("list", "clear", "path"),
        help="list them, remove them, or print their folder",
    )


def execute(options: argparse.Namespace) -> int:
    """List the programs, remove them, or print their folder."""
    from ..engines.brian import cache
    from ..engines.brian.cache import cache_folder

    if options.action == "path":
        say(str(cache_folder()))
        return 0
    if options.action == "clear":
        removed, in_use = cache.clear()
        say(
            f"removed {counted(removed, 'compiled network')}"
            + (f"; {in_use:,} in use and kept" if in_use else "")
        )
        return 0
    there = cache.programs()
    for program in there:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(program.used))
        say(f"{used}  {program.size / 1e6:6.2f} MB  {program.folder.name}")
    say(
        f"{counted(len(there), 'compiled network')}, "
        f"{sum(program.size for program in there) / 1e6:.1f} MB in {cache_folder()}"
    )
    return 0
