"""Options that several commands share: how they are declared, and what is read from them.

In the order of the file: parameters of a card and files to write; ``name,key=value,...`` of a loss
or surrogate; a network file and what is said besides it; the user's own module; the data to run on.
"""

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import RefsimError

if TYPE_CHECKING:
    from torch import nn

    from ..files.reading import Asked, Reading
    from ..networks.network import Network

Add = Callable[..., object]  # the method add_argument of a parser or of a group
Value = int | float | str | tuple["Value", ...]  # of an option such as slope=4

EXIT_CODES_TEXT = (
    "Exit codes: 0 pass, 1 fail, 2 wrong usage or invalid input, 3 inconclusive, 70 a fault "
    "of refsim's own."
)
ENDINGS = (".png", ".svg", ".pdf", ".csv", ".npz")  # of the files that experiments write


def set_argument(add: Add, example: str = "") -> None:
    """Declare --set, which gives a parameter of the card another value."""
    add(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help=f"another parameter value{example}",
    )


def assignments(given: Iterable[str], option: str = "--set") -> dict[str, str]:
    """Read texts NAME=VALUE, each name once."""
    values = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise RefsimError(
                f"{option}: needs NAME=VALUE, such as v_th=0.4, but {text!r} was given."
            )
        if name.strip() in values:
            raise RefsimError(f"{option}: {name.strip()} is given twice; leave one out.")
        values[name.strip()] = value.strip()
    return values


def skip_argument(add: Add) -> None:
    """Declare --skip, which leaves checks out."""
    add(
        "--skip",
        metavar="CHECK",
        action="append",
        default=[],
        help="leave a check out; several parted by commas, or given again",
    )


def out_argument(add: Add, endings: str = ", ".join(ENDINGS)) -> None:
    """Declare --out, which names files to write."""
    add(
        "--out",
        metavar="FILE",
        action="append",
        default=[],
        help=f"write {endings}; may be given again",
    )


def check_endings(names: Iterable[str]) -> None:
    """Refuse a file to write whose format its name does not say."""
    if wrong := [name for name in names if Path(name).suffix not in ENDINGS]:
        raise RefsimError(f"--out {wrong[0]}: the name must end in {', '.join(ENDINGS)}.")


def surrogate_named(text: str) -> tuple[str, dict[str, float]]:
    """Read what ``--surrogate`` is given: a name and its numbers."""
    name, parameters = name_and_options(text, "--surrogate", "sigmoid,slope=4")
    numbers = {key: value for key, value in parameters.items() if isinstance(value, int | float)}
    if wrong := [key for key in parameters if key not in numbers]:
        raise RefsimError(f"--surrogate: {wrong[0]} in {text!r} must be a number.")
    return name, numbers


def name_and_options(text: str, option: str, example: str) -> tuple[str, dict[str, Value]]:
    """Read ``name,key=value,...``.

    Parameters
    ----------
    option, example : str
        For the message where the text is of another form.
    """
    name, *rest = [part.strip() for part in text.split(",")]
    found = {}
    for part in rest:
        key, equals, value = part.partition("=")
        if not equals or not key.strip().isidentifier() or not value.strip():
            raise RefsimError(
                f"{option}: needs NAME or NAME,KEY=VALUE,..., such as {example}, but {text!r} "
                "was given."
            )
        found[key.strip()] = _value(value.strip())
    return name, found


def _value(text: str) -> Value:
    """Return a number, a tuple of values with colons between them, or else the text."""
    if ":" in text:
        return tuple(_value(part) for part in text.split(":"))
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


@dataclass(frozen=True)
class LiveModule:
    """The user's module, the network that it is read as, and the engine that runs it."""

    name: str
    module: "nn.Module"
    network: "Network"
    device: str
    input_shape: tuple[int, ...] | None
    layout: str | None

    @classmethod
    def of(cls, options: argparse.Namespace) -> "LiveModule":
        """Import the module that the options name, and read it.

        Raises
        ------
        RefsimError
            Where it cannot be imported or read, or an option is not for a module.
        """
        # These load torch, which a command that only prints its help does not need.
        from ..engines.pytorch import checked_device
        from ..modules.importing import import_network
        from ..modules.read import from_module

        if given := [name for name in ("describe", "convention") if getattr(options, name)]:
            raise RefsimError(
                f"{options.network}: a module says its neurons and conventions itself; leave "
                f"--{given[0]} out."
            )
        module = import_network(options.network)
        # Without --dtype the module is run as it is.
        for dtype in (options.dtype or [])[:1]:
            if len(options.dtype) > 1:
                raise RefsimError(
                    f"{options.network}: is run in one dtype; give --dtype once, or none, and it "
                    "is run as it is."
                )
            module = module.double() if dtype == "float64" else module.float()
        shape = shape_given(options.input_shape)
        network = from_module(module, options.dt, shape, options.layout)
        checked_device(options.device)
        return cls(
            options.network,
            module.to(options.device),
            network,
            options.device,
            shape,
            options.layout,
        )


def reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say what a file does not."""
    add = parser.add_argument
    add(
        "--describe",
        metavar="TOML",
        help="description of the weights, where it does not lie beside them",
    )
    add("--dt", metavar="TIME", help="duration of a step, where the file gives none")
    add(
        "--convention",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="what the file leaves unsaid, such as comparison='>=' (refsim inspect tells)",
    )


def module_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the user's own module."""
    code = parser.add_argument_group("of a module (package.file:factory)")
    code.add_argument(
        "--input-shape",
        metavar="N,...",
        help="of one sample in one step, such as 2,34,34 (default: as wide as the first Linear)",
    )
    code.add_argument(
        "--layout",
        metavar="NAME",
        help=(
            "how its forward takes input: step, 'time first', 'batch first' or held (default: "
            "found by trying)"
        ),
    )


def data_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Declare the options that say what to run on, and return their group."""
    data = parser.add_argument_group("data")
    data.add_argument("--data", metavar="DATA", help="npz, npy, csv, idx(.gz), or digits")
    data.add_argument("--labels", metavar="FILE", help="one whole number a sample")
    data.add_argument(
        "--encoder",
        metavar="NAME",
        help=(
            "current (held, default), bernoulli, poisson, latency, integrate_and_fire; events: "
            "rows of (step, neuron) or (neuron, channel, time)"
        ),
    )
    data.add_argument("--steps", metavar="T", type=int, help="steps to run")
    data.add_argument(
        "--scale", metavar="S", type=float, help="divide the data by S (255 turns bytes into 0..1)"
    )
    data.add_argument("--samples", metavar="N", type=int, help="take the first N samples only")
    data.add_argument("--seed", metavar="SEED", type=int, help="for encoders that draw (default 0)")
    return data


def data_given(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of data that were given, by their names."""
    given = {
        name: getattr(options, name)
        for name in ("labels", "encoder", "steps", "scale", "samples", "seed")
        if getattr(options, name) is not None
    }
    return given | ({"source": options.data} if options.data is not None else {})


def asked(options: argparse.Namespace) -> "Asked":
    """Return what the options say of a network besides its file."""
    from ..files.reading import Asked

    convention = {}
    for text in options.convention:
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier() or not value.strip():
            raise RefsimError(
                f"--convention: needs NAME=VALUE, such as comparison='>=', but {text!r} was given."
            )
        convention[name.strip()] = value.strip().strip("'\"")
    return Asked(options.describe, options.dt, convention)


def read(network: str, options: argparse.Namespace) -> "Reading":
    """Read a network from a file.

    Raises
    ------
    RefsimError
        Where there is no such file, it is code, or it cannot be read.
    """
    from ..files.formats import read_file

    path = Path(network)
    if not path.is_file():
        raise RefsimError(
            f"network {path}: {'is a folder' if path.is_dir() else 'there is no such file'}."
        )
    if path.suffix == ".py":
        raise RefsimError(
            f"network {path}: is code; name the function that makes the module, such as "
            f"{path}:make."
        )
    return read_file(path, asked(options))


def shape_given(text: str | None) -> tuple[int, ...] | None:
    """Read the shape of one sample in one step; None where it is not given."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise RefsimError(
            "--input-shape: needs whole numbers above 0 with commas, such as 2,34,34, but is "
            f"{text!r}."
        )
    return tuple(map(int, parts))
