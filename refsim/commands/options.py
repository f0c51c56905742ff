"""Options of the form ``name,key=value,...``: a loss or a surrogate with its parameters.

A live module on the command line: imported by name, read, and put on trial.

What commands on networks share: which file, what is said besides it, a module's input, and the data
to run on.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import RefsimError
from ..engines.pytorch import checked_device
from ..modules.importing import import_network
from ..modules.read import from_module
from ..networks.network import Network


def surrogate_named(text: str) -> tuple[str, dict[str, float]]:
    """Read what ``--surrogate`` is given."""
    name, parameters = named(text, "--surrogate", "sigmoid,slope=4")
    if wrong := [key for key, value in parameters.items() if not isinstance(value, int | float)]:
        raise RefsimError(f"--surrogate: {wrong[0]} in {text!r} must be a number.")
    return name, parameters


def named(text: str, option: str, example: str) -> tuple[str, dict[str, Any]]:
    """Read ``name,key=value,...``."""
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


def _value(text: str) -> Any:
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
    module: Any
    network: Network
    device: str
    input_shape: tuple[int, ...] | None
    layout: str | None

    @classmethod
    def of(cls, options: argparse.Namespace) -> "LiveModule":
        """Import and read what the options name."""
        if given := [name for name in ("describe", "convention") if getattr(options, name)]:
            raise RefsimError(
                f"{options.network}: a module says its neurons and conventions itself; leave "
                f"--{given[0]} out."
            )
        module = import_network(options.network)
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


def data_arguments(parser: argparse.ArgumentParser) -> Any:
    """Declare the options that say what to run on; return their group."""
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
    """Return the data options that were given."""
    given = {
        name: getattr(options, name)
        for name in ("labels", "encoder", "steps", "scale", "samples", "seed")
        if getattr(options, name) is not None
    }
    return given | ({"source": options.data} if options.data is not None else {})


def asked(options: argparse.Namespace) -> Any:
    """Return what the options say besides the file."""
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


def read(network: str, options: argparse.Namespace) -> Any:
    """Read a network from a file."""
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
    """Return the shape of one sample in one step."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise RefsimError(
            "--input-shape: needs whole numbers above 0 with commas, such as 2,34,34, but is "
            f"{text!r}."
        )
    return tuple(map(int, parts))
