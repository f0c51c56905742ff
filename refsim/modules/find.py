"""Max pools over spikes: the largest of some 0s and 1s is 1 where there is a 1, so that a pool is a
layer that fires where any of its inputs does.

The neurons of a module: found by the framework that they come from, and read into a card, its
parameters and a recurrent map.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from ..cards.frameworks import FrameworkLayer
from ..cards.neuron import NeuronModel
from ..cards.read import load
from ..core.arrays import Floats, first_wrong, float_array
from ..core.errors import RefsimError
from ..files.affine import measured
from ..pytorch.delay import AxonalDelay
from ..pytorch.layers import Neuron
from .frameworks.framework import Framework, Recurrent
from .frameworks.norse import NORSE
from .frameworks.refsim import REFSIM
from .frameworks.rockpool import ROCKPOOL
from .frameworks.sinabs import SINABS
from .frameworks.snntorch import SNNTORCH
from .frameworks.spikingjelly import SPIKINGJELLY

_LARGEST_OF: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.MaxPool1d: functional.max_pool1d,
    nn.MaxPool2d: functional.max_pool2d,
    nn.MaxPool3d: functional.max_pool3d,
}
POOLS = tuple(_LARGEST_OF)


def _axes(part: nn.Module) -> str:
    """Return how a pool that knows of time takes it.

    PyTorch's own takes what comes, which a run shows.
    """
    return "time first" if getattr(part, "step_mode", "s") == "m" else ""


def _pooled(part: Any, frames: Tensor) -> Tensor:
    """Return the largest number of each window of frames (time, batch, ...)."""
    pool = next(function for kind, function in _LARGEST_OF.items() if isinstance(part, kind))
    found = pool(
        frames.flatten(0, 1),
        part.kernel_size,
        part.stride,
        part.padding,
        part.dilation,
        part.ceil_mode,
    )
    return found.reshape(*frames.shape[:2], *found.shape[1:])


POOLING = Framework(name="pytorch", title="PyTorch", package="torch", axes=_axes, arriving=_pooled)


def fault_of_weights(from_input: bool, weights: Iterable[Floats], bias: Floats) -> str:
    """Return why what reaches a pool cannot be spikes alone, from the measured maps.

    Nothing where it can.
    """
    if from_input:
        return "the module's input reaches it past all neurons"
    if bias.any():
        return "a bias reaches it"
    each = np.unique(np.concatenate([np.unique(weight) for weight in weights] or [np.zeros(1)]))
    if not np.isin(each, (0.0, 1.0)).all():
        return f"spikes reach it scaled, by {each[~np.isin(each, (0.0, 1.0))][0]:g}"
    return "" if each[-1] else "no spike reaches it"


def fault_of_answers(given: Tensor, found: Tensor, arrived: list[tuple[Floats, Floats]]) -> str:
    """Return why a pool is not given spikes of one neuron at each place; nothing where it is.

    Parameters
    ----------
    given : (n_samples, ...)
        What the pool was given in a step, where each neuron in front answered with a positive
        number of its own in place of a spike.
    found : (n_samples, n_out)
        The largest of each window.
    arrived : list of (n_samples, n_source), (n_out, n_source)
        The numbers that arrive, and the map of 0s and 1s that was measured.
    """
    numbers = np.concatenate([np.zeros(1), *(x.ravel() for x, _ in arrived)])
    if not np.isin(given.numpy(), numbers).all():
        return "sums, products or other numbers than spikes reach it"
    expected = np.zeros(found.shape)
    for x, weight in arrived:
        expected = np.maximum(expected, np.stack([(weight * sample).max(1) for sample in x]))
    return (
        ""
        if np.array_equal(found.numpy(), expected)
        else "what reaches it changes from step to step, or from sample to sample"
    )


FRAMEWORKS = (SNNTORCH, SPIKINGJELLY, NORSE, SINABS, ROCKPOOL)


@dataclass(frozen=True)
class NeuronLayer:
    """A part of a module that is a layer of neurons.

    Attributes
    ----------
    name : str
        In the module, ``"lif1"``.
    module : nn.Module
    framework : Framework
    layer : FrameworkLayer or None
        What its card says; None for refsim's own.
    axes : str
        How it takes time, one of ``AXES``; "" until a run has shown it.
    """

    name: str
    module: nn.Module
    framework: Framework
    layer: FrameworkLayer | None
    axes: str

    @property
    def where(self) -> str:
        """The part in a message."""
        return f"module: '{self.name}'" if self.name else "module: it"


@dataclass(frozen=True)
class Neurons:
    """What a part says of its neurons.

    The card, values a neuron, and the map from their spikes to themselves.
    """

    model: NeuronModel
    parameters: Mapping[str, Floats] = field(default_factory=dict)
    recurrent: Recurrent | None = None


def neurons_of(module: nn.Module) -> list[NeuronLayer]:
    """Return all layers of neurons, in the order in which the module registers them.

    Raises
    ------
    RefsimError
        For a layer with a state that refsim does not read.
    """
    return list(_walk("", module, set()))


def framework_of(part: nn.Module) -> Framework | None:
    """Return the framework that a part comes from, None for PyTorch's own and the user's."""
    if isinstance(part, Neuron | AxonalDelay):
        return REFSIM
    framework = next((framework for framework in FRAMEWORKS if framework.owns(part)), None)
    # One that a user changed is measured as whatever it is.
    if isinstance(part, POOLS) and (framework or type(part) in POOLS):
        return POOLING
    return framework


def _walk(name: str, part: nn.Module, seen: set[int]) -> Iterator[NeuronLayer]:
    if id(part) in seen:
        return
    seen.add(id(part))
    framework = framework_of(part)
    if isinstance(part, Neuron):
        yield NeuronLayer(name, part, REFSIM, None, REFSIM.axes(part))
        return
    layer = (
        framework.layer(part, f"module: '{name}'")
        if framework and framework is not REFSIM
        else None
    )
    if framework and layer:
        yield NeuronLayer(name, part, framework, layer, framework.axes(part))
        return  # what is inside belongs to it
    for key, child in part.named_children():
        yield from _walk(f"{name}.{key}" if name else key, child, seen)


def user_classes(parts: Iterable[NeuronLayer]) -> tuple[str, ...]:
    """Return which parts are of a class of the user's, made from a framework's, as which they are
    read.
    """
    said = []
    for part in parts:
        kind = type(part.module)
        if kind.__module__.split(".")[0] in {
            REFSIM.package,
            POOLING.package,
            *(each.package for each in FRAMEWORKS),
        }:
            continue
        ours = next(
            each for each in kind.__mro__ if each.__module__.split(".")[0] == part.framework.package
        )
        theirs = {
            name: value
            for each in kind.__mro__[: kind.__mro__.index(ours)]
            for name, value in vars(each).items()
        }
        changed = sorted(
            name
            for name, value in theirs.items()
            if callable(value) and not name.startswith("__") and hasattr(ours, name)
        )
        words = f", whose {' and '.join(changed)} it changes" if changed else ""
        said.append(
            f"'{part.name}' is a {kind.__name__}, made from {part.framework.title}'s "
            f"{ours.__name__}{words}, and is read as one"
        )
    return tuple(said)


def read_part(part: NeuronLayer, shape: tuple[int, ...], dt: float) -> Neurons:
    """Return the card of a part with its parameters as they are now.

    Parameters
    ----------
    shape : tuple of int
        Of its neurons, without batch and time.
    dt : float
        Seconds a step.

    Raises
    ------
    RefsimError
        Where an option or value is one that the card cannot say.
    """
    own = declared_step(part)
    if own is not None and own != dt:
        raise RefsimError(
            f"{part.where} was made for steps of {own:g} s, but dt is {dt:g} s; give the one "
            "that was meant."
        )
    if part.layer is None:
        assert isinstance(part.module, Neuron)
        return Neurons(part.module.declared())
    options = {
        option: _as_option(attribute(part, path)) for option, path in part.layer.options.items()
    }
    model = part.layer.model(options, part.where)
    given = {
        parameter: array_of(attribute(part, path), f"{part.where}: {path}")
        for parameter, path in part.layer.attributes.items()
    }
    try:
        values = part.framework.values(
            part.module, {name: value for name, value in given.items() if value is not None}
        )
    except RefsimError as error:
        raise RefsimError(f"{part.where}: {error}") from None
    same, own_values = {}, {}
    for name, value in values.items():
        if name not in model.parameters:
            continue  # of another variant of the layer
        flat = _by_neuron(np.asarray(value, np.float64), shape, f"{part.where}: {name}")
        if flat.size and (flat == flat[0]).all():
            same[name] = float(flat[0])
        else:
            own_values[name] = flat
    try:
        return Neurons(
            model.with_parameters(**same), own_values, part.framework.recurrent(part.module)
        )
    except RefsimError as error:
        raise RefsimError(f"{part.where}: {error}") from None


def declared_step(part: NeuronLayer) -> float | None:
    """Return the duration of a step that a part was made for, in seconds.

    None where it says none or does not depend on it.
    """
    return (
        part.framework.step_seconds(part.module)
        if part.layer is None or load(part.layer.card).timed
        else None
    )


def attribute(part: NeuronLayer, path: str) -> Any:
    """Return an attribute of a part by its path, such as ``p.tau_mem_inv``.

    One that not all such parts have ends in "?", and is then None.
    """
    value: Any = part.module
    optional, path = path.endswith("?"), path.removesuffix("?")
    for key in path.split("."):
        if not hasattr(value, key):
            if optional:
                return None
            raise RefsimError(
                (
                    f"{part.where}: this release of {part.framework.title} has no attribute "
                    f"'{path}', which the card '{part.layer.card}' reads."
                )
                if part.layer
                else path
            )
        value = getattr(value, key)
    return value


def array_of(value: Any, where: str) -> Floats | None:
    """Return a number or tensor as float64, None for None."""
    if value is None:
        return None
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.double() if value.is_floating_point() else value).numpy()
    try:
        array = float_array(np.asarray(value), where)
    except RefsimError:
        raise
    except (TypeError, ValueError):
        raise RefsimError(
            f"{where}: must be a number or tensor, but is {type(value).__name__}."
        ) from None
    if not np.isfinite(array).all():
        raise RefsimError(f"{where}: holds a value that is NaN or infinite; {first_wrong(array)}.")
    return array


def _as_option(value: Any) -> object:
    """Return an option as what a card can say.

    A number, a word, or the name of a class or of an object's class.
    """
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return getattr(value, "__name__", type(value).__name__)


def _by_neuron(value: Floats, shape: tuple[int, ...], where: str) -> Floats:
    if value.size == 1:
        return value.reshape(1)
    try:
        return np.broadcast_to(value, shape).reshape(-1)
    except ValueError:
        raise RefsimError(
            f"{where}: has shape {value.shape}, which does not fit its neurons, {shape}."
        ) from None


def measured_recurrence(
    recurrent: Recurrent, shape: tuple[int, ...], where: str
) -> tuple[Floats, Floats]:
    """Return weight (n, n) and bias (n,) of a recurrent map, measured where it is a module."""
    if not isinstance(recurrent.weight, Tensor):
        return measured(recurrent.weight, shape, where)
    weight, bias = (
        array_of(recurrent.weight, f"{where}: weight"),
        array_of(recurrent.bias, f"{where}: bias"),
    )
    assert weight is not None
    return weight, np.zeros(len(weight)) if bias is None else bias
