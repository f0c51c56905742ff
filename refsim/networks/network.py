"""Network and Layer: trained weights and the neurons behind them, as data without behaviour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from ..cards.neuron import NeuronModel
from ..cards.parts import State
from ..cards.read import warn
from ..core.arrays import DIVERGED, Floats, real_array
from ..core.errors import RefsimError
from ..core.units import to_si
from .connection import DRIVE, Source, Wires, wire


@dataclass(frozen=True, eq=False)
class Layer:
    """Connections and the neurons behind them.

    Attributes
    ----------
    model : NeuronModel
    weight : (n_post, n_pre) float64
        As in `torch.nn.Linear`; the connections of a layer stand side by side, a column an input.
    bias : (n_post,) float64
        Zero where the layer has none.
    sources : tuple of Source
        Where the columns of the weight receive their input from, in order.
    parameters : dict of str to (n_post,) float64
        Values of each neuron that replace the card's, in SI.
    name : str
        For messages and reports.
    """

    model: NeuronModel
    weight: Floats
    bias: Floats
    sources: tuple[Source, ...]
    parameters: Mapping[str, Floats] = field(default_factory=dict)
    name: str = ""

    @property
    def n_pre(self) -> int:
        """Number of inputs, of all connections together."""
        return int(self.weight.shape[1])

    @property
    def weights(self) -> list[Floats]:
        """The weight of each connection, (n_post, n_pre of its source)."""
        ends = np.cumsum([source.width for source in self.sources])
        return np.split(self.weight, ends[:-1], axis=1)

    @property
    def n_post(self) -> int:
        """Number of neurons."""
        return int(self.weight.shape[0])

    def constants(self, step: float) -> dict[str, Floats]:
        """Return each parameter and derived constant.

        A value has the shape () where it is the same for all neurons, and (n_post,) where the layer
        has values for each neuron.

        Parameters
        ----------
        step : float
            Duration of a step, in seconds.
        """
        if not self.parameters:
            return {name: np.float64(value) for name, value in self.model.constants(step).items()}  # type: ignore[misc]
        rows = []
        for neuron in range(self.n_post):
            own = {name: float(values[neuron]) for name, values in self.parameters.items()}
            rows.append(self.model.constants(step, own))
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def starts(self, states: Mapping[str, State]) -> dict[str, float | Floats]:
        """Return where each state starts, as () or, where the neurons differ, (n_post,)."""
        # A state may start at a constant; none of those depends on the step.
        known = (
            self.constants(1.0)
            if self.parameters and any(entry.at for entry in states.values())
            else {}
        )
        return {
            name: known[entry.at] if known and entry.at else entry.start
            for name, entry in states.items()
        }


@dataclass(frozen=True, eq=False)
class Network:
    """Layers in order, and the duration of their common step.

    Attributes
    ----------
    layers : tuple of Layer
    dt : float
        Seconds a step.
    n_inputs : int
    undecided : str
        Why the last layer does not decide on a class, such as a part of a module behind it that
        cannot be read; empty where it does.
    """

    layers: tuple[Layer, ...]
    dt: float
    n_inputs: int
    undecided: str = ""

    @classmethod
    def dense(cls, layers: Sequence[tuple[object, ...]], dt: object) -> "Network":
        """Make a chain of layers.

        Parameters
        ----------
        layers : list of (weight, bias, model) or (weight, bias, model, parameters)
            weight is (n_post, n_pre) as in PyTorch, or a `Connection`, or a list of them where a
            layer receives input from more than the layer below. bias is (n_post,) or None.
            parameters is a dict of values for each neuron.
        dt : float or str
            Duration of a step, ``"1 ms"``, or a float in seconds, ``1e-3``.

        Raises
        ------
        RefsimError
            Where shapes do not chain, or a number is NaN or infinite.
        """
        step = positive_time(dt, "network: dt")
        if not isinstance(layers, Sequence):
            raise RefsimError(
                "network: needs a list of layers, each (weight, bias, model), but "
                f"{type(layers).__name__} was given."
            )
        rows = []
        for index, entry in enumerate(layers):
            if not isinstance(entry, tuple | list) or len(entry) not in (3, 4):
                raise RefsimError(
                    f"layer {index}: needs (weight, bias, model), with None for no bias, and "
                    "perhaps a dict of parameters."
                )
            weight, *rest = entry
            rows.append((wire(weight, index, len(layers)), rest))
        if not rows:
            raise RefsimError("network: has no layers; give at least one (weight, bias, model).")
        complete = [
            make_layer(wires, *rest, name=f"layer {index}")  # type: ignore[arg-type]
            for index, (wires, rest) in enumerate(rows)
        ]
        return cls.of(complete, step)

    @classmethod
    def of(cls, layers: "Sequence[Layer]", dt: float) -> "Network":
        """Put finished layers together.

        Parameters
        ----------
        layers : list of Layer
        dt : float
            Seconds a step.

        Raises
        ------
        RefsimError
            Where the layers do not fit each other.
        """
        n_inputs = _check_sizes(layers)
        for layer in layers:
            layer.constants(dt)  # refuses values from which a constant cannot be computed
        return cls(tuple(layers), dt, n_inputs)


def _check_sizes(layers: Sequence[Layer]) -> int:
    """Return the number of inputs of the network.

    Raises
    ------
    RefsimError
        Where no layer receives the input, or a connection is wider or narrower than its source.
    """
    n_inputs = next(
        (source.width for layer in layers for source in layer.sources if source.layer == DRIVE),
        None,
    )
    if n_inputs is None:
        raise RefsimError(
            "network: no layer hears of the input; give one a connection with source='input'."
        )
    # DRIVE is -1, and so the number of the last entry.
    sizes = [layer.n_post for layer in layers] + [n_inputs]
    for index, layer in enumerate(layers):
        for source, weight in zip(layer.sources, layer.weights, strict=True):
            if source.width != sizes[source.layer]:
                below = source.layer == index - 1 and source.layer != DRIVE
                whose = (
                    "the layer before has"
                    if below
                    else (
                        f"{'the input' if source.layer == DRIVE else layers[source.layer].name} has"
                    )
                )
                what = "inputs" if source.layer == DRIVE else "neurons"
                raise RefsimError(
                    f"{layer.name}: its weight {weight.shape} needs {source.width} inputs, but "
                    f"{whose} {sizes[source.layer]} {what}. Weights are (n_post, n_pre); check "
                    "their shape and the order of the layers."
                )
    return n_inputs


def positive_time(value: object, where: str, *, written: bool = False) -> float:
    """Return a time in seconds above zero, from text such as ``"1 ms"``, or a float.

    Parameters
    ----------
    written : bool
        Whether it is in a file that a person wrote, where every number has a unit.

    Raises
    ------
    RefsimError
        Where it is not a time above zero. A whole number, such as 1, is refused too: its unit was
        forgotten.
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    seconds = to_si(value, "second", where, written=written or whole)
    if seconds <= 0:
        raise RefsimError(f"{where}: must be a time above zero, such as '1 ms', but is {value!r}.")
    return seconds


def make_layer(
    wires: Wires,
    bias: ArrayLike | None,
    model: NeuronModel,
    parameters: Mapping[str, ArrayLike] | None = None,
    *,
    name: str,
) -> Layer:
    """Check the arrays of a layer and return the layer, with its numbers in float64.

    Parameters
    ----------
    wires : (weight, sources), from `connection.wire`
    bias : (n_post,) or None
    parameters : dict of str to () or (n_post,), optional
    name : str
        Opens the error messages.
    """
    if not isinstance(model, NeuronModel):
        raise RefsimError(
            f'{name}: needs a neuron, such as refsim.load("srif"), but {model!r} was given.'
        )
    matrix, sources = wires
    n_post = matrix.shape[0]
    vector = (
        np.zeros(n_post)
        if bias is None
        else real_array(bias, f"{name}: bias", cure=DIVERGED, axes=("neuron",))
    )
    if vector.shape != (n_post,):
        raise RefsimError(
            f"{name}: bias must have shape ({n_post},), one a neuron, but has {vector.shape}."
        )
    own = _parameters({} if parameters is None else parameters, model, n_post, name)
    warn(model, own, stacklevel=5)
    return Layer(model, matrix, vector, sources, own, name)


def _parameters(
    given: Mapping[str, ArrayLike], model: NeuronModel, n_post: int, name: str
) -> dict[str, Floats]:
    """Check values of parameters; one value is spread over all neurons."""
    if not isinstance(given, Mapping):
        raise RefsimError(
            f"{name}: parameters must be a dict, such as {{'v_th': values}}, but "
            f"{type(given).__name__} was given."
        )
    checked = {}
    for key, values in given.items():
        parameter = model.parameter(key)
        array = real_array(values, f"{name}: parameter {key}", axes=("neuron",))
        if array.shape not in ((), (n_post,)):
            raise RefsimError(
                f"{name}: parameter {key} must be one value or ({n_post},), but has shape "
                f"{array.shape}."
            )
        checked[key] = np.broadcast_to(array, (n_post,)).copy()
        for value in np.unique(array):
            parameter.check(float(value), f"{name}: parameter {key}")
    return checked
