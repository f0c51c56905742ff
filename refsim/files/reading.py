"""What a user asks of a reader, and what the reader returns.

`Asked` holds what a user says besides the file. `Reading` holds the network, and says in words what
the file said, what the reader assumed, and which entries it left aside.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..core.arrays import Ints
from ..networks.network import Network


@dataclass(frozen=True)
class Asked:
    """What a user says besides the file.

    Attributes
    ----------
    describe : path, dict or None
        A description of the weights.
    dt : float, str or None
        Duration of a step, where the file gives none.
    convention : dict of str to str
        Traits that the file does not say; each replaces the one that is usually meant.
    """

    describe: str | Path | Mapping[str, object] | None = None
    dt: object = None
    convention: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Reading:
    """A file as its reader understood it.

    Attributes
    ----------
    network : Network
    format : str
        The name of the format for people, such as ``"lava-dl .net"``.
    maps : tuple of str
        What leads to each layer, such as ``"dense 784 -> 128"``.
    assumed : tuple of str
        What the file does not say, and what the reader assumed for it.
    aside : tuple of str
        Entries that mean nothing to the network. Where an entry differs from what is declared, both
        numbers are given.
    output_delay : (n,) int64
        Steps by which the framework returns the spikes of the last layer after they are fired.
    unsaid : dict of str to tuple of str
        Traits that a user may give in place of the assumed ones, each with its options.
    """

    network: Network
    format: str
    maps: tuple[str, ...]
    assumed: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    output_delay: Ints = field(default_factory=lambda: np.zeros(1, np.int64))
    unsaid: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
