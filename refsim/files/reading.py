"""What was read from a file: the network, and in words what the file said, what was taken for
granted and what was left aside.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
        Traits that the file does not say, in place of those that are usually meant.
    """

    describe: str | Path | Mapping[str, Any] | None = None
    dt: object = None
    convention: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Reading:
    """A file as it was understood.

    Attributes
    ----------
    network : Network
    format : str
        For people, ``"lava-dl .net"``.
    maps : tuple of str
        What leads to each layer, ``"dense 784 -> 128"``.
    assumed : tuple of str
        What the file does not say, and what was taken for it.
    aside : tuple of str
        GroupReader that mean nothing to the network; of one that holds something else than is declared,
        both numbers.
    output_delay : (n,) int64
        Steps by which the framework gives the last layer's spikes later than they are fired.
    unsaid : dict of str to tuple of str
        Traits that may be given in place of the assumed ones, and their options.
    """

    network: Network
    format: str
    maps: tuple[str, ...]
    assumed: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()
    output_delay: Ints = field(default_factory=lambda: np.zeros(1, np.int64))
    unsaid: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
