"""Tensors of a file that no layer asks for, held against what the description says of its neurons.

A saved beta of 0.95 is no decay of 0.9.

Tensors and their description become a Network, with every tensor accounted for.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cards.frameworks import framework_layers
from ..cards.read import load
from ..core.arrays import Floats, Ints, real_array
from ..core.errors import RefsimError
from ..networks.connection import Connection
from ..networks.network import Network
from .description import Description, LayerDescription
from .lava import read_state
from .linear_maps import MapDescription, Shape, compose
from .reading import Asked, Reading
from .weights import Tensors

# What is saved in float32 and written in decimals differs by half of 2^-24 of it; what a tool
# computed in float32, by a few of these.
_ROUNDING = 4 * 2.0**-23
_COMPUTED = ("w", "bias", "weight")  # the same names, for other numbers


def against_declared(
    left: Mapping[str, NDArray[Any]], network: Network
) -> tuple[frozenset[str], dict[str, str]]:
    """Hold tensors that carry the name of a framework's parameter against the declared ones.

    Parameters
    ----------
    left : dict of str to array
        Tensors that no layer of the description asks for, in the order of the file.
    network : Network
        As it is declared.

    Returns
    -------
    frozenset of str
        Tensors that hold what is declared.
    dict of str to str
        Tensors that hold something else, and in words what.
    """
    named = {
        name: constants for name in left if (constants := _constants().get(name.rpartition(".")[2]))
    }
    prefixes = list(dict.fromkeys(name.rpartition(".")[0] for name in named))
    agree, apart = set[str](), dict[str, str]()
    for name, constants in named.items():
        # Where as many layers were saved as are declared, they stand in one order; else any layer
        # may be meant.
        layers = (
            [prefixes.index(name.rpartition(".")[0])]
            if len(prefixes) == len(network.layers)
            else range(len(network.layers))
        )
        held = [
            (index, key, value)
            for index in layers
            for key, value in network.layers[index].constants(network.dt).items()
            if key in constants
        ]
        if any(_equal(left[name], value) for _, _, value in held):
            agree.add(name)
        elif held:
            index, key, value = held[0]
            apart[name] = (
                f"{name} = {_text(left[name])}, but layer {index} is declared with {key} = "
                f"{_text(value)}"
            )
    return frozenset(agree), apart


@cache
def _constants() -> Mapping[str, frozenset[str]]:
    """Return for each name of a framework's parameter the constants of a card that hold its number."""
    found: dict[str, set[str]] = {}
    for layer in framework_layers().values():
        derived = load(layer.card).derived
        for parameter, path in layer.attributes.items():
            last = path.removesuffix("?").rpartition(".")[2]
            same = {name for name, entry in derived.items() if entry.text.strip() == parameter}
            if last not in _COMPUTED:
                found.setdefault(last, set()).update({parameter, *same})
    return {name: frozenset(constants) for name, constants in found.items()}


def _equal(found: NDArray[Any], declared: Any) -> bool:
    """Whether a tensor holds a declared number, or one a neuron, to within rounding to float32."""
    ours, theirs = np.asarray(found, float).ravel(), np.asarray(declared, float).ravel()
    if ours.size not in (1, theirs.size) and theirs.size != 1:
        return False
    return bool((np.abs(ours - theirs) <= _ROUNDING * np.abs(theirs)).all())


def _text(value: Any) -> str:
    array = np.asarray(value, float)
    low, high = float(array.min()), float(array.max())
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"


def read_described(
    tensors: Mapping[str, NDArray[Any]], description: Description, asked: Asked, where: str
) -> Reading:
    """Build the network of a description and refuse any tensor that nothing accounts for.

    Raises
    ------
    RefsimError
        Where a tensor is missing, surplus, misshapen or not finite.
    """
    if asked.dt is not None and description.dt is not None:
        raise RefsimError(
            f"{where}: its description says dt already, {description.dt:g} s; leave --dt out."
        )
    if description.form == "lava-dl":
        reading = read_state(tensors, description, asked, where)
        return (
            reading
            if description.output_delay is None
            else replace(reading, output_delay=np.array([description.output_delay]))
        )
    if asked.convention:
        raise RefsimError(
            f"{where}: its conventions stand in its description, convention = {{ ... }} in a "
            "[[layer]]; leave --convention out."
        )
    state, shape, late, rows, words = Tensors(tensors, where), description.input_shape, 0, [], []
    for index, layer in enumerate(description.layers):
        row, shape, text = _row(layer, shape, late, index, state, f"{where}, layer {index}")
        late = int(layer.model.convention.get("latency", "none") != "none")
        rows.append(row)
        words.append(text)
    try:
        network = Network.dense(rows, description.dt if asked.dt is None else asked.dt)
    except RefsimError as error:
        raise RefsimError(f"{where}: {error}") from None
    agree, apart = against_declared(state.left(), network)
    state.finish(description.ignore, agree, apart)
    if description.input_shape and math.prod(description.input_shape) != network.n_inputs:
        raise RefsimError(
            f"{where}: its description says input_shape = {list(description.input_shape)}, but "
            f"layer 0 takes {network.n_inputs:,} inputs."
        )
    late = late if description.output_delay is None else description.output_delay
    told = tuple(apart.get(name, name) for name in description.ignore)
    return Reading(network, "tensors with a description", tuple(words), (), told, np.array([late]))


def _row(
    layer: LayerDescription, before: Shape, late: int, index: int, state: Tensors, where: str
) -> tuple[tuple[Any, ...], Shape, str]:
    """Return the row of `Network.dense`, the shape of its neurons, and what leads to them in words."""
    weight, bias, shape, text = compose(layer.maps, before, state, where)
    own = {
        name: _by_neuron(state.take(tensor), shape, f"{where}: {name}")
        for name, tensor in layer.tensors.items()
    }
    delay = late + (
        _steps(state.take(layer.delay), f"{where}: {layer.delay}")
        if isinstance(layer.delay, str)
        else layer.delay
    )
    heard: Any = (
        weight if isinstance(delay, int) and not delay else [Connection(weight, delay=delay)]
    )
    if layer.recurrent is not None:
        back, more = described_recurrence(
            layer.recurrent, math.prod(shape), state, f"{where}: recurrent"
        )
        own_late = int(layer.model.convention.get("latency", "none") != "none")
        bias = bias + more
        heard = [
            *(heard if isinstance(heard, list) else [Connection(weight)]),
            Connection(back, source="self", delay=layer.recurrent_delay + own_late),
        ]
        text += ", and from itself"
    return (heard, bias, layer.model, own), shape, text


def described_recurrence(
    described: MapDescription, n: int, state: Tensors, where: str
) -> tuple[Floats, Floats]:
    """Return weight (n, n) and bias (n,) from a layer to itself.

    A weight of one number, or one a neuron, connects each to itself.
    """
    weight = real_array(state.take(described.weight), f"{where}: {described.weight}")
    if (weight.size == 1 and n > 1) or weight.shape == (n,):
        weight = np.diag(np.broadcast_to(weight.ravel(), n))
    elif described.options.get("transposed"):
        weight = weight.T
    if weight.shape != (n, n):
        raise RefsimError(
            f"{where}: {described.weight} must be ({n}, {n}), ({n},) or one number, but has "
            f"shape {weight.shape}."
        )
    named = (
        described.bias
        if described.bias_named or (described.bias and described.bias in state)
        else ""
    )
    bias = real_array(state.take(named), f"{where}: {named}") if named else np.zeros(n)
    if bias.shape != (n,):
        raise RefsimError(f"{where}: {named} must have shape ({n},), but has {bias.shape}.")
    return np.ascontiguousarray(weight), bias


def _by_neuron(value: NDArray[Any], shape: Shape, where: str) -> Floats:
    """Return one value, or one a neuron.

    One a channel, (channels, 1, 1), is spread over its neurons as PyTorch spreads it.
    """
    if value.size == 1:
        return np.full(math.prod(shape), float(value.ravel()[0]))
    try:
        return np.ascontiguousarray(np.broadcast_to(value, shape).reshape(-1))
    except ValueError:
        raise RefsimError(
            f"{where}: has shape {value.shape}, which does not fit its neurons, {shape}."
        ) from None


def _steps(value: NDArray[Any], where: str) -> Ints:
    if not np.isfinite(value).all() or (value != np.rint(value)).any():
        raise RefsimError(
            f"{where}: delays must be whole steps; divide times by dt and round them before they "
            "are saved."
        )
    return value.astype(np.int64)
