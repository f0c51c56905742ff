"""The layers of neurons in a module: found by their framework, and read into cards.

A max pool over spikes is such a layer too (`POOLING`): the largest of some 0s and 1s is 1 where
there is a 1, so that a pool fires where any of its inputs does. `fault_of_weights` and
`fault_of_answers` say where something else than spikes reaches a pool.

`neurons_of` finds the layers, and `read_part` reads one: its card, its parameters, and the map from
its spikes to itself (`measured_recurrence`).
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
from ..files.per_neuron import as_torch_spreads, part_shared
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
    """Return how a pool takes time; the pools of PyTorch do not say it, and a run shows it."""
    return "time first" if getattr(part, "step_mode", "s") == "m" else ""


def _pooled(part: Any, frames: Tensor) -> Tensor:
    """Return the largest number of each window of frames (time, batch, ...)."""
    pool = next(function for kind, function in _LARGEST_OF.items() if isinstance(part, kind))
    # The pool takes one axis of samples, so that time and batch are joined.
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
    """Return why more than spikes reaches a pool, as its measured maps show; empty for spikes.

    Parameters
    ----------
    from_input : bool
        Whether a map leads from the input of the module to the pool.
    weights : iterable of (n_out, n_source)
        The maps from all layers.
    bias : (n_out,)
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
    """Return why a pool does not receive the spike of one neuron at each place; empty if it does.

    Parameters
    ----------
    given : (n_samples, ...)
        The input of the pool in a step, where each neuron in front of it answered with a positive
        number of its own in place of a spike.
    found : (n_samples, n_out)
        The largest number of each window.
    arrived : list of (n_samples, n_source), (n_out, n_source)
        The numbers that arrive, and the map of 0s and 1s that was measured.
    """
    numbers = np.concatenate([np.zeros(1), *(x.ravel() for x, _ in arrived)])
    if not np.isin(given.numpy(), numbers).all():
        return "sums, products or other numbers than spikes reach it"
    # The largest number of a window must be that of one of its neurons.
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
        Its name in the module, such as ``"lif1"``.
    module : nn.Module
    framework : Framework
    layer : FrameworkLayer or None
        What its card says of the class; None for a layer of refsim.
    axes : str
        How it takes time, one of ``AXES``; empty until a run has shown it.
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
    """What a layer says of its neurons.

    Attributes
    ----------
    model : NeuronModel
        The card, with the parameters that all neurons share.
    parameters : dict of str to (n,)
        The parameters that differ from neuron to neuron.
    recurrent : Recurrent or None
        The map from their spikes to themselves.
    """

    model: NeuronModel
    parameters: Mapping[str, Floats] = field(default_factory=dict)
    recurrent: Recurrent | None = None


def neurons_of(module: nn.Module) -> list[NeuronLayer]:
    """Return all layers of neurons, in the order in which the module registers them.

    Raises
    ------
    RefsimError
        Where a layer has a state and refsim does not read it.
    """
    return list(_walk("", module, set()))


def framework_of(part: nn.Module) -> Framework | None:
    """Return the framework of a part; None for parts of PyTorch and of the user."""
    if isinstance(part, Neuron | AxonalDelay):
        return REFSIM
    framework = next((framework for framework in FRAMEWORKS if framework.owns(part)), None)
    # A pool that a user changed may do anything, and is measured like other maps.
    if isinstance(part, POOLS) and (framework or type(part) in POOLS):
        return POOLING
    return framework


def _walk(name: str, part: nn.Module, seen: set[int]) -> Iterator[NeuronLayer]:
    """Yield the layers in a part; an object with two names is met once."""
    if id(part) in seen:
        return
    seen.add(id(part))
    framework = framework_of(part)
    if isinstance(part, Neuron):
        yield NeuronLayer(name, part, REFSIM, None, REFSIM.axes(part))
        return
    # A layer of neurons ends the search, and anything else is searched for layers inside.
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
    """Return a sentence for each layer whose class is the user's, made from one of a framework.

    Such a layer is read as one of the framework's class.
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
        # Only methods that the framework's class has too can change what it does.
        theirs = {
            name: value
            for each in kind.__mro__[: kind.__mro__.index(ours)]
            for name, value in vars(each).items()
        }
        # Names with two underscores belong to Python, such as the constructor.
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
    """Return the card of a layer with its parameters as they are now.

    Parameters
    ----------
    part : NeuronLayer
    shape : tuple of int
        The shape of its neurons, without batch and time.
    dt : float
        Seconds a step.

    Raises
    ------
    RefsimError
        Where the card cannot express an option or a value.
    """
    own = declared_step(part)
    if own is not None and own != dt:
        raise RefsimError(
            f"{part.where} was made for steps of {own:g} s, but dt is {dt:g} s; give the one "
            "that was meant."
        )
    # A layer of refsim has its card at hand; of others, attributes become options and parameters.
    if part.layer is None:
        assert isinstance(part.module, Neuron)
        return Neurons(part.module.declared())
    options = {
        option: _as_option(attribute(part, path)) for option, path in part.layer.options.items()
    }
    model = part.layer.model(options, part.where)
    # A framework computes the parameters that no attribute holds as they are.
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
    # A parameter that this card lacks belongs to another variant of the layer.
    same, different = part_shared(
        {
            name: as_torch_spreads(np.asarray(value, np.float64), shape, f"{part.where}: {name}")
            for name, value in values.items()
            if name in model.parameters
        }
    )
    try:
        return Neurons(
            model.with_parameters(**same), different, part.framework.recurrent(part.module)
        )
    except RefsimError as error:
        raise RefsimError(f"{part.where}: {error}") from None


def declared_step(part: NeuronLayer) -> float | None:
    """Return the duration of a step that a layer was made for, in seconds.

    It is None where the layer says none, or does not depend on it.
    """
    return (
        part.framework.step_seconds(part.module)
        if part.layer is None or load(part.layer.card).timed
        else None
    )


def attribute(part: NeuronLayer, path: str) -> Any:
    """Return an attribute of a layer by its path, such as ``p.tau_mem_inv``.

    A path that ends in "?" is optional: the attribute is None where the layer lacks it.
    """
    value: object = part.module
    optional, path = path.endswith("?"), path.removesuffix("?")
    for key in path.split("."):
        # An attribute that is missing means another release of the framework.
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


def array_of(value: object, where: str) -> Floats | None:
    """Return a number or tensor as float64, and None for None.

    Raises
    ------
    RefsimError
        Where it is something else, or holds NaN or infinity.
    """
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
    # A parameter that is NaN would make every comparison false.
    if not np.isfinite(array).all():
        raise RefsimError(f"{where}: holds a value that is NaN or infinite; {first_wrong(array)}.")
    return array


def _as_option(value: object) -> object:
    """Return an option as a card writes it: a number, a word, or the name of a class."""
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return getattr(value, "__name__", type(value).__name__)


def measured_recurrence(
    recurrent: Recurrent, shape: tuple[int, ...], where: str
) -> tuple[Floats, Floats]:
    """Return weight (n, n) and bias (n,) of a recurrent map; a module is measured."""
    if not isinstance(recurrent.weight, Tensor):
        return measured(recurrent.weight, shape, where)
    weight, bias = (
        array_of(recurrent.weight, f"{where}: weight"),
        array_of(recurrent.bias, f"{where}: bias"),
    )
    assert weight is not None
    return weight, np.zeros(len(weight)) if bias is None else bias
