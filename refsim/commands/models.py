"""``refsim models``: one line a neuron, by family."""

import argparse
import shutil
import textwrap

from ..model import load_all
from ..model.render import models_table
from .terminal import say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--markdown", action="store_true", help="print equations/README.md: one table with states, parameters, resets and references")


def execute(options: argparse.Namespace) -> int:
    """Print the table."""
    models = load_all()
    if options.markdown:
        say(models_table(models))
        return 0
    columns = shutil.get_terminal_size((200, 24)).columns  # the terminal's, or COLUMNS; a pipe gets whole lines
    width = max(len(model.name) for model in models) + 2
    for family in sorted({model.family for model in models}):
        say(family)
        for model in models:
            if model.family == family:
                say(f"  {model.name:<{width}}{textwrap.shorten(model.title, max(20, columns - width - 2), placeholder=' ...')}")
    say("\nrefsim show NAME prints one; a card of your own is given by its path, mine.toml.")
    return 0
