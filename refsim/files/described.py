"""Tensors and their description become a Network, and every tensor is accounted for.

`read_described` builds the layers. What no layer asks for is then compared with the parameters that
the description declares (`against_declared`): a saved beta of 0.95 contradicts a decay of 0.9.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cards.frameworks import framework_layers
from ..cards.read import load
from ..core.arrays import Floats, Ints, real_array
from ..core.errors import RefsimError
from ..networks.connection import Connection
from ..networks.network import Network
from .description import Description, LayerDescription
from .lava import read_state
from .linear_maps import MapDescription, Shape, compose, described_bias
from .per_neuron import as_torch_spreads
from .reading import Asked, Reading
from .weights import Tensors

# What is saved in float32 and written in decimals differs by half of 2^-24 of it; what a tool
# computed in float32, by a few of these.
_ROUNDING = 4 * 2.0**-23
_COMPUTED = ("w", "bias", "weight")  # the same names, for other numbers


def against_declared(
    left: Mapping[str, NDArray[np.generic]], network: Network
) -> tuple[frozenset[str], dict[str, str]]:
    """Compare tensors that carry the name of a framework's parameter with the declared ones.

    Parameters
    ----------
    left : dict of str to array
        Tensors that no layer of the description asks for, in the order of the file.
    network : Network
        The network as its description declares it.

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
        # Where as many layers were saved as are declared, they correspond in their order; elsewhere
        # any layer may be meant.
        layers = (
            [prefixes.index(name.rpartition(".")[0])]
            if len(prefixes) == len(network.layers)
            else range(len(network.layers))
        )
        declared = [
            (index, key, value)
            for index in layers
            for key, value in network.layers[index].constants(network.dt).items()
            if key in constants
        ]
        # One layer that agrees is enough, since the order may not be known.
        if any(_equal(left[name], value) for _, _, value in declared):
            agree.add(name)
        elif declared:
            index, key, value = declared[0]
            apart[name] = (
                f"{name} = {_text(left[name])}, but layer {index} is declared with {key} = "
                f"{_text(value)}"
            )
    return frozenset(agree), apart


@cache
def _constants() -> Mapping[str, frozenset[str]]:
    """Return the constants of cards that hold the number of each parameter of a framework."""
    found: dict[str, set[str]] = {}
    for layer in framework_layers().values():
        derived = load(layer.card).derived
        for parameter, path in layer.attributes.items():
            last = path.removesuffix("?").rpartition(".")[2]
            # A derived constant that only repeats the parameter holds the same number.
            same = {name for name, entry in derived.items() if entry.text.strip() == parameter}
            if last not in _COMPUTED:
                found.setdefault(last, set()).update({parameter, *same})
    return {name: frozenset(constants) for name, constants in found.items()}


def _equal(found: NDArray[np.generic], declared: ArrayLike) -> bool:
    """Return whether a tensor equals a declared number, or one a neuron, as rounded to float32."""
    ours, theirs = np.asarray(found, float).ravel(), np.asarray(declared, float).ravel()
    if ours.size not in (1, theirs.size) and theirs.size != 1:
        return False
    return bool((np.abs(ours - theirs) <= _ROUNDING * np.abs(theirs)).all())


def _text(value: ArrayLike) -> str:
    """Return a number, or the range of several, for a message."""
    array = np.asarray(value, float)
    low, high = float(array.min()), float(array.max())
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"


def read_described(
    tensors: Mapping[str, NDArray[np.generic]], description: Description, asked: Asked, where: str
) -> Reading:
    """Build the network of a description, and refuse any tensor that nothing accounts for.

    Parameters
    ----------
    tensors : dict of str to array
        The tensors of the file, by name.
    description : Description
    asked : Asked
        What the user says besides; dt only where the description does not say it.
    where : str
        The file in a message.

    Raises
    ------
    RefsimError
        Where a tensor is missing, surplus, misshapen or not finite.
    """
    if asked.dt is not None and description.dt is not None:
        raise RefsimError(
            f"{where}: its description says dt already, {description.dt:g} s; leave --dt out."
        )
    # lava-dl quantises weights and decays in its own way, so that it has a reader of its own.
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
    # Each layer needs the shape of the one below it, and whether that one fires a step late.
    for index, layer in enumerate(description.layers):
        row, shape, text = _row(layer, shape, late, index, state, f"{where}, layer {index}")
        late = int(layer.model.convention.get("latency", "none") != "none")
        rows.append(row)
        words.append(text)
    try:
        network = Network.dense(rows, description.dt if asked.dt is None else asked.dt)
    except RefsimError as error:
        raise RefsimError(f"{where}: {error}") from None
    # Only now it is known which tensors no layer asked for.
    agree, apart = against_declared(state.left(), network)
    state.finish(description.ignore, agree, apart)
    if description.input_shape and math.prod(description.input_shape) != network.n_inputs:
        raise RefsimError(
            f"{where}: its description says input_shape = {list(description.input_shape)}, but "
            f"layer 0 takes {network.n_inputs:,} inputs."
        )
    late = late if description.output_delay is None else description.output_delay
    aside = tuple(apart.get(name, name) for name in description.ignore)
    return Reading(network, "tensors with a description", tuple(words), (), aside, np.array([late]))


def _row(
    layer: LayerDescription, before: Shape, late: int, index: int, state: Tensors, where: str
) -> tuple[tuple[object, ...], Shape, str]:
    """Return the row of `Network.dense`, the shape of its neurons, and its maps in words."""
    weight, bias, shape, text = compose(layer.maps, before, state, where)
    n = math.prod(shape)
    own = {
        name: np.broadcast_to(as_torch_spreads(state.take(tensor), shape, f"{where}: {name}"), n)
        for name, tensor in layer.tensors.items()
    }
    # A layer below with latency already delays by a step.
    delay = late + (
        _steps(state.take(layer.delay), f"{where}: {layer.delay}")
        if isinstance(layer.delay, str)
        else layer.delay
    )
    delayed = not isinstance(delay, int) or delay > 0
    connections = [Connection(weight, delay=delay) if delayed else Connection(weight)]
    # The map from the layer to itself is one connection more; its bias joins the other.
    if layer.recurrent is not None:
        back, more = described_recurrence(layer.recurrent, n, state, f"{where}: recurrent")
        own_late = int(layer.model.convention.get("latency", "none") != "none")
        bias = bias + more
        connections.append(Connection(back, source="self", delay=layer.recurrent_delay + own_late))
        text += ", and from itself"
    incoming: object = connections if delayed or len(connections) > 1 else weight
    return (incoming, bias, layer.model, own), shape, text


def described_recurrence(
    described: MapDescription, n: int, state: Tensors, where: str
) -> tuple[Floats, Floats]:
    """Return weight (n, n) and bias (n,) of the map from a layer to itself.

    A weight of one number, or of one a neuron, connects each neuron to itself alone.
    """
    weight = real_array(state.take(described.weight), f"{where}: {described.weight}")
    if (weight.size == 1 and n > 1) or weight.shape == (n,):
        weight = np.diag(np.broadcast_to(weight.ravel(), n))
    elif described.options.get("transposed"):
        weight = weight.T
    # Every form is now a square matrix, or was none of them.
    if weight.shape != (n, n):
        raise RefsimError(
            f"{where}: {described.weight} must be ({n}, {n}), ({n},) or one number, but has "
            f"shape {weight.shape}."
        )
    given = described_bias(described, state)
    bias = np.zeros(n) if given is None else real_array(given, f"{where}: {described.bias}")
    if bias.shape != (n,):
        raise RefsimError(
            f"{where}: {described.bias} must have shape ({n},), but has {bias.shape}."
        )
    return np.ascontiguousarray(weight), bias


def _steps(value: Floats, where: str) -> Ints:
    """Return delays in steps, which must be whole."""
    if not np.isfinite(value).all() or (value != np.rint(value)).any():
        raise RefsimError(
            f"{where}: delays must be whole steps; divide times by dt and round them before they "
            "are saved."
        )
    return value.astype(np.int64)
