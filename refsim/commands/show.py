"""``refsim show NAME``: one neuron as its card declares it."""

import argparse

from ..model import load
from ..model.render import render
from .terminal import say


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", metavar="MODEL", help="name of a card, or path of your own")


def execute(options: argparse.Namespace) -> int:
    """Print the card."""
    say(render(load(options.model)))
    return 0
