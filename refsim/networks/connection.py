"""Connections: weights, where their input comes from, and how many steps it takes.

A user gives `Connection`; `wire` joins those of a layer into one weight and its `Source` blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from ..core.arrays import DIVERGED, Floats, Ints, plain_array, real_array
from ..core.errors import RefsimError

DRIVE = -1  # the number of a source that is the input of the network
LONGEST = 1 << 16  # steps; a longer delay is a mistake of units

Wires = tuple[Floats, "tuple[Source, ...]"]  # a weight, and where its columns come from


@dataclass(frozen=True, eq=False)
class Connection:
    """A weighted connection into a layer, as a user gives it.

    Attributes
    ----------
    weight : (n_post, n_pre)
        As in `torch.nn.Linear`.
    source : {"below", "self", "input"} or int
        The layer below (for the first layer, the input), the layer itself, the input, or the number
        of a layer.
    delay : int, (n_pre,) or (n_post, n_pre)
        Steps from a spike to its arrival: one number, one for each input (axonal), or one for each
        synapse. It is at least 1 from a layer that has not fired yet in the same step, the layer
        itself among them; there None stands for 1, elsewhere for 0. The drive may be delayed too.
    """

    weight: ArrayLike
    source: str | int = "below"
    delay: ArrayLike | None = None


@dataclass(frozen=True, eq=False)
class Source:
    """Where a block of columns of a layer's weight receives its input from.

    Attributes
    ----------
    layer : int
        Number of a layer, or ``DRIVE``.
    delay : (n_pre,) int64
        Steps from a spike to its arrival.
    """

    layer: int
    delay: Ints

    @property
    def width(self) -> int:
        """Number of inputs."""
        return len(self.delay)

    @property
    def delayed(self) -> bool:
        """Whether some input arrives later than in its own step."""
        return bool(self.delay.any())


def wire(given: object, index: int, n_layers: int) -> Wires:
    """Return the weight of a layer, (n_post, n_pre), and the sources of its columns.

    Parameters
    ----------
    given : array, Connection, or list of Connection
        Several connections stand side by side in the weight.
    index : int
        The number of the layer.

    Raises
    ------
    RefsimError
        Where the connections do not fit the layer or each other.
    """
    where = f"layer {index}"
    # A single array is a connection from the layer below.
    found = (
        [given]
        if not isinstance(given, Sequence)
        or not any(isinstance(item, Connection) for item in given)
        else list(given)
    )
    if strange := [item for item in found if len(found) > 1 and not isinstance(item, Connection)]:
        raise RefsimError(
            f"{where}: a list of connections holds {type(strange[0]).__name__}; write "
            "refsim.Connection(weight, source=..., delay=...)."
        )
    connections = [
        item if isinstance(item, Connection) else Connection(cast(ArrayLike, item))
        for item in found
    ]
    blocks = [
        block for connection in connections for block in _blocks(connection, index, n_layers, where)
    ]
    # All blocks must lead to the same neurons.
    if len({len(weight) for weight, _ in blocks}) != 1:
        raise RefsimError(
            f"{where}: its connections lead to "
            f"{' and '.join(str(len(weight)) for weight, _ in blocks)} neurons; each weight is "
            "(n_post, n_pre)."
        )
    weights = [weight for weight, _ in blocks]
    return weights[0] if len(weights) == 1 else np.hstack(weights), tuple(
        source for _, source in blocks
    )


def _blocks(
    connection: Connection, index: int, n_layers: int, where: str
) -> list[tuple[Floats, Source]]:
    """Return the columns of one connection; where synapses have delays, a block for each delay."""
    weight = real_array(
        connection.weight, f"{where}: weight", cure=DIVERGED, axes=("neuron", "input")
    )
    if weight.ndim != 2 or 0 in weight.shape:
        raise RefsimError(f"{where}: weight must be (n_post, n_pre), but has shape {weight.shape}.")
    layer = _layer(connection.source, index, n_layers, where)
    # A layer that has not fired yet in this step is received in the next.
    least = 1 if layer >= index else 0
    delay = _delay(connection.delay, weight.shape, least, where)
    if delay.ndim < 2:
        return [(weight, Source(layer, np.broadcast_to(delay, weight.shape[1:]).copy()))]
    # Each block holds the weights of one delay, and 0 for all other synapses.
    lengths = np.unique(delay)
    return [
        (np.where(delay == length, weight, 0.0), Source(layer, np.full(weight.shape[1], length)))
        for length in lengths
    ]


def _layer(source: str | int, index: int, n_layers: int, where: str) -> int:
    """Return the number of the layer that a source names, or ``DRIVE``."""
    named = {"below": index - 1, "self": index, "input": DRIVE}
    if isinstance(source, str) and source in named:
        return named[source]
    if (
        isinstance(source, int | np.integer)
        and not isinstance(source, bool)
        and 0 <= source < n_layers
    ):
        return int(source)
    raise RefsimError(
        f"{where}: source must be 'below', 'self', 'input' or the number of a layer, 0 to "
        f"{n_layers - 1}, but is {source!r}."
    )


def _delay(given: ArrayLike | None, shape: tuple[int, ...], least: int, where: str) -> Ints:
    """Return a delay in steps, (), (n_pre,) or (n_post, n_pre)."""
    delay = plain_array(least if given is None else given, f"{where}: delay")
    if delay.dtype.kind not in "iu" or delay.shape not in ((), shape[1:], shape):
        raise RefsimError(
            f"{where}: delay must be whole steps, one number, ({shape[1]},) or {shape}, but has "
            f"dtype {delay.dtype} and shape {delay.shape}. Divide times by dt."
        )
    if delay.min() < least or delay.max() > LONGEST:
        if delay.min() >= least:
            why = "a longer delay is a mistake of units"
        else:
            why = (
                "a layer that has not fired yet in this step is heard of in the next"
                if least
                else "a spike cannot arrive before it is fired"
            )
        raise RefsimError(
            f"{where}: delay must lie in {least}..{LONGEST:,} steps, but reaches from "
            f"{delay.min()} to {delay.max()}; {why}."
        )
    return delay.astype(np.int64)
