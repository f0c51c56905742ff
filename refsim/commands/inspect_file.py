"""``refsim inspect FILE``: say how a trained network is read.

The exit code is 0 where it is read, and 2 where it is refused, with the reason.
"""

import argparse
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import counted
from .options import read, reading_arguments
from .terminal import say

if TYPE_CHECKING:
    from ..core.arrays import Ints
    from ..files.reading import Reading
    from ..networks.network import Layer

_WIDTH = 80
_COLUMN = 12


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "network",
        metavar="FILE",
        help=(
            "net.pt, net.safetensors, net.npz (description beside it as net.toml), net.net, "
            "net.nir, net.refsim, net.toml"
        ),
    )
    reading_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    """Read the network, and print how it was understood."""
    say(reading_text(read(options.network, options), Path(options.network).name))
    return 0


def reading_text(reading: "Reading", name: str) -> str:
    """Return how a file was read, as text of 80 columns."""
    network = reading.network
    sizes = "-".join(map(str, (network.n_inputs, *(layer.n_post for layer in network.layers))))
    lines = [
        *textwrap.wrap(
            f"{name}: {reading.format}, {counted(len(network.layers), 'layer')}, {sizes}", _WIDTH
        ),
        "",
    ]
    lines += _entry("dt", f"{network.dt * 1e3:g} ms")
    lines += _entry("input", f"{counted(network.n_inputs, 'number')} a step")
    # Each layer: its maps, where its input comes from, its neuron and how that steps.
    for index, (layer, words) in enumerate(zip(network.layers, reading.maps, strict=True)):
        lines += _entry(f"layer {index}", f"{words}; bias" if layer.bias.any() else words)
        lines += _entry("", f"hears {_sources(layer, index)}")
        lines += _entry("", f"{layer.model.name}: {layer.model.title}")
        lines += _entry("", _parameters(layer)) if layer.model.parameters else []
        if layer.model.convention:
            lines += _entry(
                "",
                "convention "
                + ", ".join(
                    f"{trait} {option!r}" for trait, option in layer.model.convention.items()
                ),
            )
    if reading.output_delay.any():
        lines += _entry(
            "output", f"the framework gives it {_span(reading.output_delay)} after it is fired"
        )
    # Last, what the file left unsaid and what of it is not used.
    for heading, entries in (("assumed", reading.assumed), ("left aside", reading.aside)):
        lines += [line for entry in entries or ("nothing",) for line in _entry(heading, entry)]
    return "\n".join(lines)


def _entry(heading: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=f"{heading:<{_COLUMN}}",
        subsequent_indent=" " * _COLUMN,
        break_long_words=True,
    )


def _sources(layer: "Layer", index: int) -> str:
    """Say where a layer's connections come from, and how late."""
    named = {-1: "the input", index: "itself"}
    rows = []
    for source in layer.sources:
        delay = f", {_span(source.delay)} late" if source.delay.any() else ""
        rows.append(f"{named.get(source.layer, f'layer {source.layer}')}{delay}")
    return " and ".join(dict.fromkeys(rows))


def _span(delay: "Ints") -> str:
    """Return a delay in words, or between which two it lies."""
    low, high = int(delay.min()), int(delay.max())
    return counted(low, "step") if low == high else f"{low} to {high:,} steps"


def _parameters(layer: "Layer") -> str:
    """Return each parameter with its unit; of one value a neuron, the smallest and largest."""
    words = []
    for name, parameter in layer.model.parameters.items():
        unit = "" if parameter.unit == "1" else f" {parameter.unit}"
        values = layer.parameters.get(name)
        words.append(
            f"{name} = {parameter.value:g}{unit}"
            if values is None
            else f"{name} = {values.min():g} to {values.max():g}{unit}, one a neuron"
        )
    return "; ".join(words)
