"""Blocks of lava-dl, from whichever file, become a Network.

`Block` is one block as a file says it. `network_of` goes through the blocks in their order, turns
each into a matrix and a card, and follows how many steps late its spikes arrive.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from ..core.arrays import Floats, Ints
from ..core.errors import RefsimError
from ..core.memory import check_matrix_room
from ..networks.connection import Connection
from ..networks.network import Network
from .affine import measured, shape_text
from .lava_format import lava_format, neurons
from .per_neuron import by_channel
from .reading import Reading

_USUAL_DT = "1 ms"


@dataclass(frozen=True)
class Block:
    """One block as a file says it.

    Attributes
    ----------
    where : str
        Opens the error messages.
    kind : str
        ``"dense"``, ``"conv"``, ``"pool"``, ``"flatten"`` or ``"input"``; any other is refused.
    shape : tuple of int
        The shape of its neurons, (n,) or (channels, height, width); empty where the file does not
        say it.
    weight : array or None
        Whole numbers: (n_post, n_pre), or (channels, channels of a group, height, width).
    geometry : dict of str to array
        One or two whole numbers each for stride, padding and dilation, and one for groups.
    bias, delay : array or None
        One value, one a channel or one a neuron.
    neuron : dict or None
        The entries of the neuron, by the names of a .net file.
    """

    where: str
    kind: str
    shape: tuple[int, ...] = ()
    weight: Floats | None = None
    geometry: Mapping[str, Floats] = field(default_factory=dict)
    bias: Floats | None = None
    delay: Floats | None = None
    neuron: Mapping[str, object] | None = None


@dataclass(frozen=True)
class _Below:
    """What the next block receives.

    Attributes
    ----------
    source : str or int
        ``"input"``, or the number of a layer.
    shape : tuple of int
        Its shape; empty where it is not known.
    delay : (1,) or (n,) int64
        Steps by which its spikes arrive late.
    spike : float
        The size of a spike of 1.
    """

    source: str | int
    shape: tuple[int, ...]
    delay: Ints
    spike: float = 1.0


def network_of(
    blocks: Sequence[Block],
    asked: Mapping[str, str],
    dt: object,
    where: str,
    form: str,
    aside: Sequence[str] = (),
) -> Reading:
    """Put blocks together.

    Parameters
    ----------
    blocks : sequence of Block
        In the order in which a step runs them.
    asked : dict of str to str
        The options of traits that differ from the usual ones.
    dt : float, str or None
        Duration of a step. None stands for 1 ms, on which these neurons do not depend.
    where : str
        The file in a message.
    form : str
        The name of the format for people.
    aside : sequence of str
        Entries of the file that mean nothing to the network.

    Raises
    ------
    RefsimError
        Where refsim does not read a block, or shapes do not fit.
    """
    lava_format().check_convention(asked, where)
    below = _Below("input", (), np.zeros(1, np.int64))
    rows: list[tuple[object, ...]] = []
    maps: list[str] = []
    meant: dict[str, str] = {}
    # Only blocks with neurons become layers; the others change what the next one receives.
    for block in blocks:
        if block.kind == "input":
            below = _input(block, below, bool(rows))
        elif block.kind == "flatten":
            below = _Below(
                below.source,
                (math.prod(below.shape),) if below.shape else (),
                below.delay,
                below.spike,
            )
        elif block.kind in ("dense", "conv", "pool"):
            # A layer becomes what the next block receives.
            row, text, said, below = _layer(block, below, len(rows), asked)
            rows.append(row)
            maps.append(text)
            meant |= said
        else:
            raise RefsimError(
                f"{block.where}: is a block of type '{block.kind[:40]}', which refsim does not "
                "read; it reads conv, dense, flatten, input, pool."
            )
    # Input blocks and flattening alone make no network.
    if not rows:
        raise RefsimError(f"{where}: has no layer of neurons.")
    try:
        network = Network.dense(rows, _USUAL_DT if dt is None else dt)
    except RefsimError as error:
        raise RefsimError(f"{where}: {error}") from None
    return Reading(
        network,
        form,
        tuple(maps),
        _assumed(meant, asked, dt),
        tuple(aside),
        below.delay,
        {trait: tuple(lava_format().unsaid[trait]) for trait in meant},
    )


def _assumed(meant: Mapping[str, str], asked: Mapping[str, str], dt: object) -> tuple[str, ...]:
    """Return in words what no file says, and what was assumed for it."""
    unsaid = lava_format().unsaid
    sentences = [
        f"{trait} {option!r}{', as was asked' if trait in asked else ''}: {unsaid[trait][option]}"
        for trait, option in meant.items()
    ]
    return (
        *sentences,
        *(
            [f"dt {_USUAL_DT}: no step has a duration, and these neurons do not need one"]
            if dt is None
            else []
        ),
    )


def _input(block: Block, below: _Below, late: bool) -> _Below:
    """Return what the block behind an input block receives."""
    if late:
        raise RefsimError(f"{block.where}: is an input block behind layers of neurons.")
    if block.neuron:
        raise RefsimError(
            f"{block.where}: is an input block with neurons of its own, which lava-dl's two "
            "readers, slayer and netx, compute differently; give the network what this block "
            "sends, and leave the block out."
        )
    # An input block delays by one step (delay_shift), which the latency of the first layer undoes.
    return _Below(below.source, block.shape, np.ones(1, np.int64), below.spike)


def _layer(
    block: Block, below: _Below, index: int, asked: Mapping[str, str]
) -> tuple[tuple[object, ...], str, dict[str, str], _Below]:
    """Return the layer of a block.

    Returns
    -------
    tuple
        The row of `Network.dense`.
    str
        The map in words.
    dict of str to str
        The convention that was meant.
    _Below
        What the next block receives.
    """
    lava, where = lava_format(), block.where
    if not block.neuron or "type" not in block.neuron:
        raise RefsimError(f"{where}: says no type of neuron.")
    kind = lava.kind(str(block.neuron["type"]), where)
    lava.check_refused(kind, block.neuron, where)
    meant = kind.meant(asked)
    matrix, shape, text = _matrix(block, below.shape)
    # What the card has no place for is refused, and never dropped.
    bias = np.zeros(1) if block.bias is None else block.bias
    if not any("bias" in expression for expression in kind.values.values()) and bias.any():
        raise RefsimError(f"{where}: has a bias, which card '{kind.card}' has no place for.")
    if below.spike != 1 and not kind.sends:
        raise RefsimError(f"{where}: hears graded spikes, which card '{kind.card}' does not scale.")
    # Bias and spike size are entries of the neuron for the card.
    model, own = neurons(
        kind, {**block.neuron, "bias": bias, "spike": below.spike}, shape, meant, where
    )
    # A layer with latency receives the input at once, and layers below it with their delay.
    late = int(meant["latency"] == "one step")
    arriving = below.delay * late if below.source == "input" else below.delay
    row = (
        Connection(
            matrix, source=below.source, delay=np.broadcast_to(arriving, matrix.shape[1:]).copy()
        ),
        None,
        model,
        own,
    )
    return (
        row,
        text,
        meant,
        _Below(index, shape, late + _axonal(block, shape), kind.sent(below.spike)),
    )


def _axonal(block: Block, shape: tuple[int, ...]) -> Ints:
    """Return the axonal delay of each neuron in whole steps; lava-dl drops the fraction."""
    if block.delay is None:
        return np.zeros(1, np.int64)
    # One delay, one a channel or one a neuron.
    delay = np.floor(by_channel(block.delay, shape, f"{block.where}: delay"))
    if delay.min() < 0:
        raise RefsimError(
            f"{block.where}: has a delay of {delay.min():g} steps; a spike cannot arrive before "
            "it is fired."
        )
    if delay.max() > 1 << 16:
        raise RefsimError(
            f"{block.where}: has a delay of {delay.max():g} steps, which is a mistake of units."
        )
    return delay.astype(np.int64)


def _matrix(block: Block, below: tuple[int, ...]) -> tuple[Floats, tuple[int, ...], str]:
    """Return weight (n_post, n_pre), the shape of the neurons, and the map in words."""
    weight, where = block.weight, block.where
    if weight is None:
        raise RefsimError(f"{where}: has no weight.")
    if not weight.size or (weight != np.rint(weight)).any():
        raise RefsimError(
            f"{where}: its weights must be whole numbers, as lava-dl's 8-bit quantisation makes "
            "them, but are not."
        )
    if block.kind == "dense":
        if weight.ndim == 1 and block.shape and weight.size % math.prod(block.shape) == 0:
            weight = weight.reshape(math.prod(block.shape), -1)
        if weight.ndim < 2:
            raise RefsimError(
                f"{where}: weight must be (n_post, n_pre), but has shape {weight.shape}."
            )
        weight = np.ascontiguousarray(weight.reshape(len(weight), -1))
        if block.shape and math.prod(block.shape) != len(weight):
            raise RefsimError(
                f"{where}: weight {weight.shape} is for {len(weight)} neurons, but the layer has "
                f"{math.prod(block.shape)}."
            )
        return weight, (len(weight),), f"dense {weight.shape[1]} -> {len(weight)}, {_grid(weight)}"
    if weight.ndim != 4:
        raise RefsimError(
            f"{where}: weight must be (channels, channels of a group, height, width), but has "
            f"shape {weight.shape}."
        )
    # Convolutions and pools run in PyTorch, on shapes alone first.
    before = below or _shape_before(block, weight)
    made = (
        _convolution(block, weight, before)
        if block.kind == "conv"
        else _pool(block, weight, before)
    )
    try:
        shape = tuple(made(torch.zeros(1, *before, device="meta")).shape[1:])
    except RuntimeError:
        raise RefsimError(
            f"{where}: a kernel {weight.shape[2:]} does not fit what it hears, {before}."
        ) from None
    # The file may say the shape of the layer too, and both must agree.
    if block.shape and shape != block.shape:
        raise RefsimError(
            f"{where}: a kernel {weight.shape[2:]} on {before} gives {shape}, but the file says "
            f"{block.shape}."
        )
    check_matrix_room(math.prod(shape), math.prod(before), where)
    # Now it fits: a pool has one weight for all channels, which expand spreads.
    real = made.to_empty(device="cpu")
    with torch.no_grad():
        real.weight.copy_(torch.tensor(weight).expand(real.weight.shape))
    matrix, _ = measured(real, before, where)
    return (
        matrix,
        shape,
        (f"{block.kind} {shape_text(before)} -> {shape_text(shape)}, {_grid(weight)}"),
    )


def _grid(weight: Floats) -> str:
    """Return in words the range of whole weights, and their greatest common step."""
    step = int(np.gcd.reduce(np.abs(weight).astype(np.int64), axis=None))
    return f"weights {weight.min():g} to {weight.max():g} in steps of {step}"


def _pair(block: Block, name: str, usual: int | tuple[int, ...]) -> tuple[int, int]:
    """Return an option of a convolution as two whole numbers, for height and width."""
    value = np.ravel(np.asarray(block.geometry.get(name, usual), np.float64))
    if (
        value.size not in (1, 2)
        or (value != np.rint(value)).any()
        or value.min() < (0 if name == "padding" else 1)
        or value.max() > 1 << 16
    ):
        raise RefsimError(
            f"{block.where}: {name} must be one or two whole numbers, but is {value.tolist()}."
        )
    return int(value[0]), int(value[-1])


def _shape_before(block: Block, weight: Floats) -> tuple[int, int, int]:
    """Return the shape of an input that no file says, where the output leaves one possibility."""
    # A stride hides how many rows lie behind the last window.
    if block.kind != "conv" or len(block.shape) != 3 or _pair(block, "stride", 1) != (1, 1):
        raise RefsimError(
            f"{block.where}: nothing says the shape of what it hears, (channels, height, width); "
            "an input block would."
        )
    (tall, wide), dilation, padding = (
        weight.shape[2:],
        _pair(block, "dilation", 1),
        _pair(block, "padding", 0),
    )
    height, width = (
        size + d * (k - 1) - 2 * p
        for size, k, d, p in zip(block.shape[1:], (tall, wide), dilation, padding, strict=True)
    )
    return weight.shape[1] * _pair(block, "groups", 1)[0], height, width


def _convolution(block: Block, weight: Floats, before: tuple[int, ...]) -> nn.Conv2d:
    """Return a convolution without memory for its weight."""
    groups = _pair(block, "groups", 1)[0]
    if weight.shape[1] * groups != before[0] or len(weight) % groups or len(before) != 3:
        raise RefsimError(
            f"{block.where}: weight {weight.shape} in {groups} groups does not fit what it "
            f"hears, {before}."
        )
    kernel = (weight.shape[2], weight.shape[3])
    # On the meta device a module has shapes, and takes no memory.
    return nn.Conv2d(
        before[0],
        len(weight),
        kernel,
        stride=_pair(block, "stride", 1),
        padding=_pair(block, "padding", 0),
        dilation=_pair(block, "dilation", 1),
        groups=groups,
        bias=False,
        device="meta",
    )


def _pool(block: Block, weight: Floats, before: tuple[int, ...]) -> nn.Conv2d:
    """Return a pool as a convolution of each channel.

    lava-dl joins the channels along their height. Only windows that tile the height give the same
    as a pool of each channel, and others are refused.
    """
    kernel = (weight.shape[2], weight.shape[3])
    tiles = (
        _pair(block, "stride", kernel) == kernel
        and _pair(block, "padding", 0) == (0, 0)
        and _pair(block, "dilation", 1) == (1, 1)
    )
    # One weight serves all channels, and no window may cross from one channel to the next.
    if (
        len(before) != 3
        or weight.shape[:2] != (1, 1)
        or not tiles
        or before[1] % kernel[0]
        or before[2] % kernel[1]
    ):
        raise RefsimError(
            f"{block.where}: is read where its windows, {kernel}, tile what it hears, {before}, "
            "without padding, dilation or another stride."
        )
    return nn.Conv2d(
        before[0], before[0], kernel, stride=kernel, groups=before[0], bias=False, device="meta"
    )
