"""The command ``refsim``.

Its exit codes are 0 pass, 1 fail, 2 wrong usage or invalid input, 3 inconclusive, 70 a fault of
refsim's own.
"""

import argparse
import importlib
import io
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Protocol, TextIO, cast

from ._version import VERSION
from .commands.terminal import complain, crashed
from .core.errors import RefsimError, RefsimWarning, visible

_COMMANDS = {
    "validate": "run a trained network in Brian2 and in PyTorch: is it the same?",
    "inspect": "say how a file of a trained network is read: layers, neurons, conventions",
    "import": "read a trained network from any file and write it as net.refsim",
    "run": "run one neuron on one input; table, plot, CSV or npz",
    "experiment": "one neuron: trace, f-I curve, PSP, phase plane, thresholds, resets, dt, sweep",
    "gradient": "surrogate gradients of small stochastic networks against the exact ones",
    "gradcheck": "what a network's backward pass gives, against the declared one",
    "check": "hold a card, yours or ours, against the conformance suite",
    "models": "list the neurons",
    "cache": "list or remove the compiled networks that make a second run instant",
    "show": "print one neuron, also as LaTeX, Markdown or a script of plain Brian2",
}
# The modules of commands whose names are words of Python.
_MODULES = {"import": "import_file", "inspect": "inspect_file"}
_EPILOG = """\
refsim COMMAND --help tells more. Exit codes: 0 pass, 1 fail, 2 wrong usage or
invalid input, 3 inconclusive, 70 a fault of refsim's own.

  refsim validate                        judge the network that comes with refsim
  refsim validate net.pt --data x.npz --steps 100 --report report
  refsim run srif --values 1.5,1.2,1.5,0.9,1.4 --times v_th
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Parameters
    ----------
    arguments : list of str, optional
        The words of the command line; by default those of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ü shows ? in its place
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except RefsimError as error:
        complain(str(error))
        return 2
    except KeyboardInterrupt:
        complain("stopped.")
        return 130
    except Exception as error:
        # A thread that gets no memory for its stack raises a RuntimeError of these words.
        if not isinstance(error, MemoryError) and "can't start new thread" not in str(error):
            return crashed(error)
        complain("this run needs more memory than there is; give fewer samples, steps or values.")
        return 2


def _run(given: list[str]) -> int:
    """Read the command line, and run its command."""
    parser = argparse.ArgumentParser(
        prog="refsim",
        description="The ground truth that trained spiking neural networks are checked against.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"refsim {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in _COMMANDS.items():
        command = commands.add_parser(
            name, help=summary, description=summary[0].upper() + summary[1:]
        )
        # Only the command that is asked for is imported.
        if name in given[:1]:
            _module(name).arguments(command)
    options = parser.parse_args(_joined(given))
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        warnings.simplefilter("default", RefsimWarning)
        return _module(options.command).execute(options)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning of refsim as a sentence, and any other as Python does."""
    text = (
        f"refsim: note: {message}"
        if issubclass(category, RefsimWarning)
        else warnings.formatwarning(message, category, filename, lineno, line)
    )
    print(visible(text), file=file or sys.stderr)  # it may hold text of a file


class _Command(Protocol):
    """What each module in refsim/commands/ has."""

    def arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def execute(self, options: argparse.Namespace) -> int: ...


def _module(name: str) -> _Command:
    """Import the module of a command."""
    module = importlib.import_module(f".commands.{_MODULES.get(name, name)}", __package__)
    return cast(_Command, module)


def _joined(given: list[str]) -> list[str]:
    """Join ``--constant -1nA`` to ``--constant=-1nA``.

    A quantity that begins with a minus looks like an option to argparse.
    """
    joined: list[str] = []
    for text in given:
        if (
            joined
            and re.match(r"-[\d.]", text)
            and joined[-1].startswith("--")
            and "=" not in joined[-1]
        ):
            joined[-1] += f"={text}"
        else:
            joined.append(text)
    return joined


if __name__ == "__main__":
    sys.exit(main())
