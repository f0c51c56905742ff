"""What refsim must know of a framework: which parts are neurons, and how they are read and run.

`Framework` holds that in functions; there is a file for each framework, which gives only those that
differ from the defaults. The named tuples are what these functions return.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from ...cards.frameworks import FrameworkLayer, framework_layers
from ...core.arrays import Floats
from ...core.errors import RefsimError, listed

# How the input of a part lies in time. A part that takes one step a call is given (batch, ...).
# "batch and time" and "time and batch" have one axis for both, sample after sample or step after
# step.
AXES = ("step", "time first", "batch first", "batch and time", "time and batch")


class Membranes(NamedTuple):
    """What a part shows after a call, laid out as its output.

    `seen` is the membrane that the threshold saw, `after` the one after the step. Either is None
    where the part hides it.
    """

    seen: Tensor | None = None
    after: Tensor | None = None


class Recurrent(NamedTuple):
    """A map from the spikes of a part to its own input in the next step.

    The weight is a module that is linear, or a tensor (n, n). Before the first step nothing has
    fired. Where `late` is true, the map is not called there, so that its bias is missing too.
    """

    weight: nn.Module | Tensor
    bias: Tensor | None = None
    late: bool = False


def first(output: Any) -> Tensor:
    """Return what a part sends: its spikes, which come before its states in a tuple.

    A list holds one tensor for each step.
    """
    if isinstance(output, list):
        return torch.stack(output)
    tensor: Tensor = output[0] if isinstance(output, tuple) else output
    return tensor


def with_first(
    output: object, spikes: Tensor, rest: Callable[[object], object] = lambda each: each
) -> object:
    """Return the same output with other spikes, and with `rest` applied to its states."""
    if isinstance(output, list):
        return list(spikes.unbind(0))
    if not isinstance(output, tuple):
        return spikes
    return type(output)([spikes, *map(rest, output[1:])])


@dataclass(frozen=True)
class Framework:
    """One framework, in the functions that differ from framework to framework.

    Attributes
    ----------
    name : str
        The name in equations/frameworks/.
    title : str
        The name as its authors write it.
    package : str
        The package that its classes come from.
    axes : function of a part
        Returns one of ``AXES``, or an empty text where a run must show it.
    forget : function of a part
        Puts its states back to their start.
    passive : frozenset of str
        Classes that are no neurons: containers, linear maps and delays.
    unread : dict of str to str
        Classes that are never read, and why.
    delay : function of a part
        Returns by how many steps a part that is no neuron delays its input.
    values : function of a part and a dict of parameters
        Returns the parameters, with those computed that no attribute holds as it is.
    recurrent : function of a part
        Returns its recurrent map, or None.
    membranes : function of a part and its output
        Returns the membranes that it shows.
    states : function of a part
        Returns its states after the last step by their names in the card, where it shows them and
        takes one step a call.
    step_seconds : function of a part
        Returns the duration of a step, or None. It is called only where the card depends on it.
    expect : function of a part and a number of samples
        Tells a part whose input has batch and time in one axis how many samples come.
    arriving : function of a part and its input
        Returns what reaches each of its neurons, summed over their synapses.
    width : function of a part
        Returns how many inputs it takes, or None.
    handed_on : bool
        Whether only the caller keeps the states of a layer, which come second in its output, and
        hands them back.
    single : bool
        Whether its layers round to float32 within a step, even in a module of float64.
    layers : dict of str to FrameworkLayer
    """

    name: str
    title: str
    package: str
    axes: Callable[[nn.Module], str] = lambda _part: "step"
    forget: Callable[[nn.Module], None] = lambda _part: None
    passive: frozenset[str] = frozenset()
    unread: Mapping[str, str] = field(default_factory=dict)
    delay: Callable[[nn.Module], int] = lambda _part: 0
    values: Callable[[nn.Module, dict[str, Floats]], Mapping[str, ArrayLike]] = (
        lambda _part, values: values
    )
    recurrent: Callable[[nn.Module], Recurrent | None] = lambda _part: None
    membranes: Callable[[nn.Module, object], Membranes] = lambda _part, _output: Membranes()
    states: Callable[[nn.Module], Mapping[str, Tensor]] = lambda _part: {}
    step_seconds: Callable[[nn.Module], float | None] = lambda _part: None
    expect: Callable[[nn.Module, int], None] = lambda _part, _n_samples: None
    arriving: Callable[[nn.Module, Tensor], Tensor] = lambda _part, x: x
    width: Callable[[nn.Module], int | None] = lambda _part: None
    handed_on: bool = False
    single: bool = False
    layers: Mapping[str, FrameworkLayer] = field(default_factory=dict)

    def owns(self, part: nn.Module) -> bool:
        """Return whether a part, or a class that it is made from, comes from this framework."""
        return any(kind.__module__.split(".")[0] == self.package for kind in type(part).__mro__)

    def layer(self, part: nn.Module, where: str) -> FrameworkLayer | None:
        """Return what the card says of a part; None where the part has no state.

        Raises
        ------
        RefsimError
            Where refsim does not read this class of the framework.
        """
        named = {
            layer: entry
            for (framework, layer), entry in framework_layers().items()
            if framework == self.name
        }
        ours = [
            kind.__name__
            for kind in type(part).__mro__
            if kind.__module__.split(".")[0] == self.package
        ]
        # A class of the user counts as the class of the framework that it is made from.
        if ours[0] in named:
            return named[ours[0]]
        if ours[0] in self.passive:
            return None
        if ours[0] in self.unread:
            raise RefsimError(
                f"{where}: is {self.title}'s {ours[0]}, which refsim does not read: "
                f"{self.unread[ours[0]]}"
            )
        raise RefsimError(
            f"{where}: is {self.title}'s {ours[0]}, which refsim does not read; of {self.title} "
            f"it reads {listed(named)}."
        )
