"""Spikes that were recorded elsewhere, as a user names them.

A file or arrays, and what is said of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.arrays import Axes, Ints
from ..core.errors import RefsimError, listed
from ..networks.network import Network
from ..networks.rasters import read_rasters
from .bounded import UNIT_ROUNDOFF
from .recorded import by_layer, layer_named

Again = Callable[[], tuple[Network, Ints]]  # a network read anew, and how late its output is
_TENSORS = (".pt", ".pth", ".safetensors")


@dataclass(frozen=True, eq=False)
class Expected:
    """Spikes that were recorded elsewhere, and what is said of them.

    Attributes
    ----------
    source : path, or spikes as `refsim.recorded` takes them
    axes : str, optional
        Of dense arrays, or of the columns of rows; by default what fits.
    dtype : str, optional
        In which the recorded network computed; by default float32, or float64 for a network of
        whole numbers.
    delay : int, or dict of int by layer, optional
        Steps by which spikes were recorded later than they are fired; a number by itself is of the
        last layer.
    """

    source: Any
    axes: str | None = None
    dtype: str | None = None
    delay: Any = None

    @property
    def name(self) -> str:
        """The file's name, or what stands for it."""
        return Path(self.source).name if isinstance(self.source, str | Path) else "spikes"

    def check(self, network: Network) -> None:
        """Refuse before the run what can be seen to be wrong without it."""
        if self.axes is not None:
            Axes.of(self.axes, self.where)
        if self.dtype is not None and self.dtype not in UNIT_ROUNDOFF:
            raise RefsimError(
                f"{self.where}: dtype must be one of {listed(UNIT_ROUNDOFF)}, but is "
                f"{self.dtype!r}."
            )
        self.delays(network, np.zeros(1, np.int64))
        self.layers(network)

    def delays(self, network: Network, late: Ints) -> dict[int, Ints]:
        """Return the steps by which each recorded layer is late, `late` for the last where nothing
        is said.
        """
        last = len(network.layers) - 1
        if self.delay is None:
            return {last: late}
        given = self.delay if isinstance(self.delay, Mapping) else {last: self.delay}
        found = {
            layer_named(name, network, f"{self.where}: delay"): steps
            for name, steps in given.items()
        }
        for steps in found.values():
            if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 0:
                raise RefsimError(
                    f"{self.where}: a delay must be a whole number of steps from 0 on, but is "
                    f"{steps!r}."
                )
        return {last: late} | {index: np.array([steps], np.int64) for index, steps in found.items()}

    def layers(self, network: Network) -> tuple[dict[int, Any], list[str]]:
        """Return what was recorded by the number of its layer, and in words what was left aside."""
        if not isinstance(self.source, str | Path):
            return by_layer(self.source, network, self.where), []
        from ..files.nir.recorded import is_hdf5, read_nir_data

        if Path(self.source).suffix.lower() in _TENSORS:
            return by_layer(_tensors(self.source), network, self.where), []
        if not is_hdf5(self.source):
            return by_layer(read_rasters(self.source), network, self.where), []
        found = read_nir_data(self.source, network.dt)
        own = {name: each for name, each in found.items() if _is_layer(name, network)}
        aside = sorted(set(found) - set(own))
        told = (
            [f"{self.name}: node {listed(aside)} is no layer of neurons and is left aside"]
            if own and aside
            else []
        )
        return by_layer(own or found, network, self.where), told

    @property
    def where(self) -> str:
        """What messages begin with."""
        return f"spikes {self.source}" if isinstance(self.source, str | Path) else "recorded spikes"


def _tensors(source: str | Path) -> Mapping[str, Any]:
    """Return the tensors of a file of PyTorch or safetensors by the layer's name."""
    from ..files.weights import read_tensors

    try:
        return read_tensors(Path(source))
    except RefsimError as error:
        said = str(error).removeprefix(f"checkpoint {source}: ").split(". ")[0].rstrip(".")
        raise RefsimError(
            f"spikes {source}: {said}. Recorded spikes are tensors by layer, torch.save({{'0': "
            f"spikes}}, path), or an .npy of the last one."
        ) from None


def _is_layer(name: str, network: Network) -> bool:
    try:
        layer_named(name, network, "")
    except RefsimError:
        return False
    return True


def again(read: Callable[[], Any]) -> Again:
    """Return a function that reads a network anew and says how late its output is."""

    def network_and_delay() -> tuple[Network, Ints]:
        reading = read()
        return reading.network, reading.output_delay

    return network_and_delay


def of_option(delays: Sequence[str] | None) -> Any:
    """Return the delays of a command line, ``N`` or ``LAYER=N`` each; None where none is given."""
    if not delays:
        return None
    found: dict[str, int] = {}
    for text in delays:
        name, equals, steps = text.rpartition("=")
        if not (steps.isascii() and steps.isdigit()) or (equals and not name.strip()):
            raise RefsimError(
                "--expected-delay: needs whole steps from 0 on, N for the last layer or "
                f"LAYER=N, but is {text!r}."
            )
        found[name.strip() or "-1"] = int(steps)
    return found
