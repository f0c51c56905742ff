"""``refsim models``: list the neurons by family, one a line."""

import argparse
import shutil
import textwrap

from ..cards.describe import frameworks_table, models_table
from ..cards.frameworks import framework_layers
from ..cards.read import load_all
from .terminal import say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--frameworks",
        action="store_true",
        help="the layers of the frameworks that the bridge reads, with their conventions",
    )
    parser.add_argument(
        "--markdown",
        action="store_true",
        help="print equations/README.md: one table with states, parameters, resets and references",
    )


def execute(options: argparse.Namespace) -> int:
    """Print the table."""
    models = load_all("frameworks") if options.frameworks else load_all()
    if options.markdown:
        say(
            frameworks_table(models, list(framework_layers().values()))
            if options.frameworks
            else models_table(models)
        )
        return 0
    # The width is the terminal's, or COLUMNS; a pipe gets whole lines.
    columns = shutil.get_terminal_size((200, 24)).columns
    width = max(len(model.name) for model in models) + 2
    for family in sorted({model.family for model in models}):
        say(family)
        for model in models:
            if model.family == family:
                room = max(20, columns - width - 2)
                title = textwrap.shorten(model.title, room, placeholder=" ...")
                say(f"  {model.name:<{width}}{title}")
    if not options.frameworks:
        say("\nrefsim models --frameworks lists the layers that the bridge reads.")
    say("\nrefsim show NAME prints one; a card of your own is given by its path, mine.toml.")
    return 0
