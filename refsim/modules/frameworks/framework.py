"""A framework as the bridge sees it.

Which parts of a module are its neurons, how they take time, and how they are read and run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...cards.frameworks import FrameworkLayer, framework_layers
from ...core.errors import RefsimError, listed

# How a tensor that a part gets lies in time. A part that takes one step a call has (batch, ...).
# "batch and time", "time and batch": one axis for both, sample after sample or step after step.
AXES = ("step", "time first", "batch first", "batch and time", "time and batch")


class Membranes(NamedTuple):
    """What a part shows after a call, laid out as its output.

    What the threshold saw, and the membrane after the step; None where hidden.
    """

    seen: Tensor | None = None
    after: Tensor | None = None


class Recurrent(NamedTuple):
    """A map from a part's spikes to its own input of the next step.

    A module that is linear, or a weight (n, n).

    Nothing has been fired before the first step: `late` says that the map is not asked there, so
    that its bias is missing too.
    """

    weight: nn.Module | Tensor
    bias: Tensor | None = None
    late: bool = False


def first(output: Any) -> Tensor:
    """Return what a part sends: the first of a tuple, its spikes before its states.

    A list is one tensor a step.
    """
    if isinstance(output, list):
        return torch.stack(output)
    tensor: Tensor = output[0] if isinstance(output, tuple) else output
    return tensor


def with_first(output: Any, spikes: Tensor, rest: Callable[[Any], Any] = lambda each: each) -> Any:
    """Return the same output with other spikes, and with the rest of it changed."""
    if isinstance(output, list):
        return list(spikes.unbind(0))
    if not isinstance(output, tuple):
        return spikes
    return type(output)([spikes, *map(rest, output[1:])])


@dataclass(frozen=True)
class Framework:
    """One framework; there is a file for each, which names what only it does.

    Attributes
    ----------
    name : str
        As in equations/frameworks/.
    title : str
        As its people write it.
    package : str
        That its classes come from.
    axes : function of a part
        One of ``AXES``, or "" where a run has to show it.
    forget : function of a part
        Puts it back to its start.
    passive : frozenset of str
        Its classes that are no neurons: containers, linear maps and delays.
    unread : dict of str to str
        Classes that are never read, and why.
    delay : function of a part
        Steps by which a part that is no neuron holds back what it gets.
    values : function of a part and the values of its attributes by parameter
        Computes those that its attributes do not give as they are.
    recurrent : function of a part
        Its recurrent map, or None.
    membranes : function of a part and its output
    states : function of a part
        Its states after the last step by their names in the card, where it shows them and takes one
        step a call.
    step_seconds : function of a part
        The duration of a step, where the part says one; asked only of a part whose card depends on
        it.
    expect : function of a part and a number of samples
        Tells a part whose input has batch and time in one how many samples come.
    arriving : function of a part and what it is given
        What reaches each of its neurons, in all its synapses together.
    width : function of a part
        How many inputs it takes, where the part says so.
    handed_on : bool
        Whether nobody keeps a layer's states, second in its output, but the caller, who hands them
        back.
    single : bool
        Whether its layers round to float32 within a step, in a module of float64 too.
    """

    name: str
    title: str
    package: str
    axes: Callable[[nn.Module], str] = lambda _part: "step"
    forget: Callable[[nn.Module], None] = lambda _part: None
    passive: frozenset[str] = frozenset()
    unread: Mapping[str, str] = field(default_factory=dict)
    delay: Callable[[nn.Module], int] = lambda _part: 0
    values: Callable[[nn.Module, dict[str, Any]], Mapping[str, Any]] = lambda _part, values: values
    recurrent: Callable[[nn.Module], Recurrent | None] = lambda _part: None
    membranes: Callable[[nn.Module, Any], Membranes] = lambda _part, _output: Membranes()
    states: Callable[[nn.Module], Mapping[str, Tensor]] = lambda _part: {}
    step_seconds: Callable[[nn.Module], float | None] = lambda _part: None
    expect: Callable[[nn.Module, int], None] = lambda _part, _n_samples: None
    arriving: Callable[[nn.Module, Tensor], Tensor] = lambda _part, x: x
    width: Callable[[nn.Module], int | None] = lambda _part: None
    handed_on: bool = False
    single: bool = False
    layers: Mapping[str, FrameworkLayer] = field(default_factory=dict)

    def owns(self, part: nn.Module) -> bool:
        """Whether a part, or a class that it is made from, comes from this framework."""
        return any(kind.__module__.split(".")[0] == self.package for kind in type(part).__mro__)

    def layer(self, part: nn.Module, where: str) -> FrameworkLayer | None:
        """Return what the card says of a part; None where it has no state.

        Raises
        ------
        RefsimError
            For a class of the framework that refsim does not read.
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
