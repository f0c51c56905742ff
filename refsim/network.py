"""Network and Layer: trained weights and the neuron behind each of them. Pure data, no behaviour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import RefsimError
from .model import NeuronModel
from .units import to_si

Floats = NDArray[np.float64]


_DIVERGED = "Take weights from before the training diverged."


@dataclass(frozen=True, eq=False)
class Layer:
    """A connection and the neurons behind it.

    Attributes
    ----------
    model : NeuronModel
    weight : (n_post, n_pre) float64
        As in `torch.nn.Linear`.
    bias : (n_post,) float64
        Zero where the connection has none.
    parameters : dict of str to (n_post,) float64
        Per-neuron values that stand in for the card's, SI.
    name : str
        For messages and reports.
    """

    model: NeuronModel
    weight: Floats
    bias: Floats
    parameters: Mapping[str, Floats] = field(default_factory=dict)
    name: str = ""

    @property
    def n_pre(self) -> int:
        """Number of inputs."""
        return int(self.weight.shape[1])

    @property
    def n_post(self) -> int:
        """Number of neurons."""
        return int(self.weight.shape[0])

    def constants(self, step: float) -> dict[str, Floats]:
        """Return each parameter and derived constant, () where uniform and (n_post,) where given per neuron."""
        if not self.parameters:
            return {name: np.float64(value) for name, value in self.model.constants(step).items()}  # type: ignore[misc]
        rows = []
        for neuron in range(self.n_post):
            own = {name: float(values[neuron]) for name, values in self.parameters.items()}
            rows.append(self.model.constants(step, own))
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}


@dataclass(frozen=True, eq=False)
class Network:
    """Layers in order, and the duration of their common step.

    Attributes
    ----------
    layers : tuple of Layer
    dt : float
        Seconds a step.
    n_inputs : int
    """

    layers: tuple[Layer, ...]
    dt: float
    n_inputs: int

    @classmethod
    def dense(cls, layers: Sequence[tuple[object, ...]], dt: object) -> "Network":
        """Make a chain of fully connected layers.

        Parameters
        ----------
        layers : list of (weight, bias, model) or (weight, bias, model, parameters)
            weight (n_post, n_pre) as in PyTorch; bias (n_post,) or None; parameters a dict of per-neuron values.
        dt : float or str
            Duration of a step, ``1e-3`` or ``"1 ms"``.

        Raises
        ------
        RefsimError
            Where shapes do not chain, or a number is not finite.
        """
        step = positive_time(dt, "network: dt")
        built: list[Layer] = []
        for index, entry in enumerate(layers):
            if not isinstance(entry, tuple | list) or len(entry) not in (3, 4):
                raise RefsimError(f"layer {index}: needs (weight, bias, model), with None for no bias, and perhaps a dict of parameters.")
            layer = make_layer(*entry, name=f"layer {index}")  # type: ignore[arg-type]
            if built and built[-1].n_post != layer.n_pre:
                raise RefsimError(
                    f"{layer.name}: its weight {layer.weight.shape} needs {layer.n_pre} inputs, but the layer before has {built[-1].n_post} neurons. Weights are (n_post, n_pre); check their shape and the order of the layers."
                )
            built.append(layer)
        if not built:
            raise RefsimError("network: has no layers; give at least one (weight, bias, model).")
        network = cls(tuple(built), step, built[0].n_pre)
        for layer in built:
            layer.constants(step)  # refuses values that give no derived constant
        return network


def positive_time(value: object, where: str) -> float:
    """Return a time in seconds above zero, from a number or text such as ``"1 ms"``."""
    seconds = to_si(value, "second", where)
    if seconds <= 0:
        raise RefsimError(f"{where}: must be a time above zero, such as '1 ms', but is {value!r}.")
    return seconds


def make_layer(weight: ArrayLike, bias: ArrayLike | None, model: NeuronModel, parameters: Mapping[str, ArrayLike] | None = None, *, name: str) -> Layer:
    """Check one layer's arrays and return them as float64."""
    if not isinstance(model, NeuronModel):
        raise RefsimError(f'{name}: needs a neuron, such as refsim.load("srif"), but {model!r} was given.')
    matrix = real_array(weight, f"{name}: weight", cure=_DIVERGED)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise RefsimError(f"{name}: weight must be (n_post, n_pre), but has shape {matrix.shape}.")
    n_post = matrix.shape[0]
    vector = np.zeros(n_post) if bias is None else real_array(bias, f"{name}: bias", cure=_DIVERGED)
    if vector.shape != (n_post,):
        raise RefsimError(f"{name}: bias must have shape ({n_post},), one a neuron, but has {vector.shape}.")
    return Layer(model, matrix, vector, _parameters(parameters or {}, model, n_post, name), name)


def _parameters(given: Mapping[str, ArrayLike], model: NeuronModel, n_post: int, name: str) -> dict[str, Floats]:
    checked = {}
    for key, values in given.items():
        parameter = model.parameter(key)
        array = real_array(values, f"{name}: parameter {key}")
        if array.shape not in ((), (n_post,)):
            raise RefsimError(f"{name}: parameter {key} must be one value or ({n_post},), but has shape {array.shape}.")
        checked[key] = np.broadcast_to(array, (n_post,)).copy()
        for value in np.unique(array):
            parameter.check(float(value), f"{name}: parameter {key}")
    return checked


def _untangled(values: Any) -> Any:
    """Return a tensor's numbers, of whatever dtype and device, with a gradient or without; anything else as it is."""
    if not hasattr(values, "detach"):
        return values
    held = values.detach().cpu()
    return held if held.is_complex() else held.double()


def real_array(values: ArrayLike, where: str, *, cure: str = "Give finite numbers.") -> Floats:
    """Return a contiguous float64 array of finite numbers; the cure ends the message where some are not."""
    try:
        array = np.asarray(_untangled(values))
    except (TypeError, ValueError, RuntimeError) as error:
        raise RefsimError(f"{where}: is not an array ({error}).") from None
    if array.dtype.kind not in "fiub":
        raise RefsimError(f"{where}: must hold real numbers, but has dtype {array.dtype}.")
    array = np.ascontiguousarray(array, np.float64).reshape(array.shape)
    wrong = array.size - int(np.isfinite(array).sum())
    if wrong:
        raise RefsimError(f"{where}: {wrong} of {array.size} numbers are NaN or infinite. {cure}")
    return array
