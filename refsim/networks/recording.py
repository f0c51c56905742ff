"""Recording: what one engine did with one network and one drive, and how it came about.

After the class follow what a network decides and which traces show its output, then `run` with the
checks that every engine makes before it starts.
"""

import functools
import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

import numpy as np

from ..cards.neuron import NeuronModel
from ..core.arrays import AnyArray, Floats, Ints
from ..core.errors import RefsimError
from ..core.spikes import ExactTimes, SpikeTrains
from .connection import DRIVE
from .drive import Drive
from .network import Layer, Network

TRACES = ("before_reset", "after_reset", "payload")
# In `record`: the output of each layer whose output is more than 0 and 1.
OUTPUT = "output"
# In provenance["output"]: the run shows what its readout gives in the last step only.
LAST_STEP = "in the last step alone"
# Samples that PyTorch runs at once. A matrix product adds in an order that depends on this number,
# so that whoever runs a sample again must run its whole block again.
BLOCK = 512


@dataclass(frozen=True, eq=False)
class Approach:
    """How near each sample came to threshold in one layer.

    Attributes
    ----------
    distance : (n_samples,) float64
        The smallest ``|seen - threshold|`` over neurons and steps, in the membrane's unit.
    neuron : (n_samples,) int64
        The neuron that came so near.
    """

    distance: Floats
    neuron: Ints


@dataclass(frozen=True, eq=False)
class Recording:
    """The outcome of a run.

    Attributes
    ----------
    network, drive
        What was run.
    spikes : tuple of SpikeTrains, one a layer
    traces : tuple of dict of str to (n_samples, n_steps, n_neurons)
        Those that were asked for: ``"before_reset"``, what the threshold saw; ``"after_reset"``,
        the membrane after the step; ``"payload"``, what spikes carry (0 where there is none) in
        layers whose card says so; and states by their names, after the step. A value is NaN where a
        module hides the state. Event streams that a card declares are always there.
    approach : tuple of Approach, one a layer, or empty
    provenance : dict
        Engine, mode, dtype, device, dt, versions, hash of the cards.
    exact : ExactTimes, optional
        Spike times between the steps, of a run with ``Brian2(spike_times="exact", dt=...)``.
    not_a_number : (layer, sample, neuron, step), optional
        The first membrane that the threshold saw as NaN or infinite.
    """

    network: Network
    drive: Drive
    spikes: tuple[SpikeTrains, ...]
    traces: tuple[Mapping[str, AnyArray], ...]
    approach: tuple[Approach, ...]
    provenance: Mapping[str, Any]
    exact: ExactTimes | None = None
    not_a_number: tuple[int, int, int, int] | None = None

    @property
    def label(self) -> str:
        """The run in a few words, such as ``Brian2 grid float64``."""
        return str(self.provenance["label"])

    @property
    def recorded_layers(self) -> tuple[int, ...]:
        """The layers whose spikes are the run's; the others ran freely on what these sent."""
        return tuple(self.provenance.get("recorded_layers", range(len(self.spikes))))

    @property
    def refine(self) -> int:
        """Sub-steps a step; 1 unless the run is in fine mode."""
        return int(self.provenance.get("refine", 1))

    @property
    def no_decisions(self) -> str:
        """Why the classes are not known, and what would help; empty where they are known."""
        last, count = self.network.layers[-1], len(self.network.layers)
        if count - 1 not in self.provenance.get("recorded_layers", (count - 1,)):
            return "the last layer was not recorded"
        wanted = output_trace(last)
        if self.network.undecided or not wanted or (self.traces and wanted in self.traces[-1]):
            return self.network.undecided
        return (
            f"the last layer is {what_output(last)}, which was not recorded; run it with "
            f"record=('{wanted}',)"
        )

    def answers(self) -> Floats:
        """Return the numbers that decide on the class of each sample, (n_samples, n_classes).

        See `decision_rule`.

        Raises
        ------
        RefsimError
            For an output that was not recorded, or where the last layer does not decide.
        """
        if self.no_decisions:
            raise RefsimError(f"decisions: {self.no_decisions}.")
        last = self.network.layers[-1]
        if not (wanted := output_trace(last)):
            return np.asarray(self.spikes[-1].counts(), np.float64)
        trace = self.traces[-1][wanted]
        return np.asarray(
            trace[:, -1] if last.model.discrete.over_steps else trace.mean(axis=1), np.float64
        )

    def decisions(self) -> Ints:
        """Return the class of each sample, (n_samples,).

        It is the neuron of the last layer with the largest of its `answers`, the first of equals.

        Raises
        ------
        RefsimError
            For an output that was not recorded, or where the last layer does not decide.
        """
        classes: Ints = np.argmax(self.answers(), axis=1).astype(np.int64)
        return classes


_RULES = {
    "mean": "largest mean over the steps",
    "sum": "largest sum over the steps",
    "last": "largest value in the last step",
    "max": "largest maximum over the steps",
}


def decision_rule(network: Network) -> str:
    """Say how a network decides on a class, ``"class = most spikes of layer 1"``, or why not."""
    if network.undecided:
        return f"not judged: {network.undecided}"
    last, discrete = network.layers[-1], network.layers[-1].model.discrete
    if discrete.over_steps:
        return f"class = {_RULES[discrete.over_steps]}, of {last.name} ({last.model.name})"
    if discrete.readout:
        return (
            f"class = largest mean over the steps of the membranes of {last.name} "
            f"({last.model.name})"
        )
    if discrete.payload:
        return f"class = largest mean over the steps of what the spikes of {last.name} carry"
    return f"class = most spikes of {last.name}"


def output_trace(layer: Layer) -> str:
    """Return the trace that is a layer's output where its spikes are not.

    It is the membrane of a readout, or what spikes carry; empty for all other layers.
    """
    return _output_trace(layer.model)


def _output_trace(model: NeuronModel) -> str:
    discrete = model.discrete
    return "before_reset" if discrete.readout else "payload" if discrete.payload else ""


def what_output(layer: Layer) -> str:
    """Say in words what the output of a layer with an `output_trace` is."""
    if layer.model.discrete.over_steps:
        return f"a readout, whose output is the {layer.model.discrete.over_steps} over the steps"
    return (
        "a readout, whose output is its membrane"
        if layer.model.discrete.readout
        else "graded, and its output what spikes carry"
    )


def traces_of(layer: Layer, record: tuple[str, ...], *, states: bool = False) -> tuple[str, ...]:
    """Return the traces asked for that a layer has, and its event streams.

    Parameters
    ----------
    states : bool
        Whether states are asked for by their names, too.
    """
    known = {*TRACES, *(layer.model.stepped if states else ())} - (
        set() if layer.model.discrete.payload else {"payload"}
    )
    names = (name for name in named_traces(layer.model, record) if name in known)
    return tuple(dict.fromkeys((*names, *layer.model.discrete.streams)))


def named_traces(model: NeuronModel, record: Sequence[str]) -> tuple[str, ...]:
    """Return traces by their own names, with the output of the card in place of ``OUTPUT``."""
    names = (_output_trace(model) if name == OUTPUT else name for name in record)
    return tuple(dict.fromkeys(name for name in names if name))


def streams_of(network: Network) -> tuple[str, ...]:
    """Return the names of all event streams that the cards of a network declare."""
    return tuple(
        dict.fromkeys(name for layer in network.layers for name in layer.model.discrete.streams)
    )


class Engine(Protocol):
    """Whatever runs a network: Brian2, Discrete, Torch, or an engine of your own."""

    def run(self, network: Network, drive: Drive, record: tuple[str, ...] = ()) -> Recording:
        """Run a batch and return its recording."""
        ...


def run(
    network: Network, drive: Drive, engine: Engine, *, record: tuple[str, ...] = ()
) -> Recording:
    """Run a network.

    Parameters
    ----------
    network : Network
    drive : Drive
    engine : Brian2, Discrete or Torch
    record : tuple of {"before_reset", "after_reset", "payload", "output"}, or names of states
        Traces to keep, (n_samples, n_steps, n_neurons) each: what the threshold saw, the membrane
        after the step, what spikes carry, and any state by its name, after the step. Event streams
        that a card declares are always kept. ``"output"`` stands for the first of a readout and for
        the last of graded spikes; it is kept without being asked for where the network ends in a
        readout over the steps, which decides.

    Returns
    -------
    Recording

    Raises
    ------
    RefsimError
        Where drive and network do not fit.
    """
    if not isinstance(network, Network):
        raise RefsimError(
            "run: needs a network first, such as refsim.Network.dense([...], dt='1 ms'), but "
            f"{type(network).__name__} was given."
        )
    if not isinstance(drive, Drive):
        raise RefsimError(
            "run: needs a drive second, such as refsim.Drive.current(values, '1 ms') or "
            f"refsim.Drive.raster(spikes, '1 ms'), but {type(drive).__name__} was given."
        )
    if not hasattr(engine, "run") or isinstance(engine, type):
        raise RefsimError(
            "engine must be refsim.Brian2(), refsim.Discrete() or refsim.Torch(), but is "
            f"{engine!r}."
        )
    return engine.run(network, drive, _with_output(network, engine, record))


def _with_output(
    network: Network, engine: Engine, record: tuple[str, ...] | str
) -> tuple[str, ...]:
    """Return what to record, with the traces that are needed besides.

    Without the output of a readout over the steps nothing is decided, and without the number that a
    spike carries nobody can follow the neuron that sent it.
    """
    names = (record,) if isinstance(record, str) else tuple(record)
    if getattr(engine, "spike_times", "grid") != "grid":
        return names
    more = [OUTPUT] if network.layers[-1].model.discrete.over_steps else []
    more += ["payload"] if any(layer.model.discrete.payload for layer in network.layers) else []
    return tuple(dict.fromkeys((*names, *more)))


def make_provenance(label: str, network: Network, drive: Drive, **facts: Any) -> dict[str, Any]:
    """Return what a reader needs to repeat a run.

    "trial" says whose code ran: "refsim's steps", "own code" (a user's module or step) or
    "recording".
    """
    cards = {
        layer.model.name: hashlib.sha256(layer.model.text.encode()).hexdigest()[:16]
        for layer in network.layers
    }
    packages = {name: installed_version(name) for name in ("refsim", "brian2", "torch", "numpy")}
    return {
        "label": label,
        "trial": "refsim's steps",
        "dt": network.dt,
        "drive": dict(drive.made),
        "cards": cards,
        "versions": packages,
        "python": platform.python_version(),
        "machine": platform.machine(),
    } | facts


@functools.cache
def installed_version(package: str) -> str:
    """Return the version of an installed package, or "not installed"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def check_run(
    network: Network, drive: Drive, record: tuple[str, ...] | str, *, states: bool = False
) -> tuple[str, ...]:
    """Check that drive and network fit, that the traces are known, and that memory is enough.

    Parameters
    ----------
    states : bool
        Whether the engine can also record states by name.

    Returns
    -------
    tuple of str
        The traces to record, with the event streams that cards declare.

    Raises
    ------
    RefsimError
        With what does not fit.
    """
    names = (record,) if isinstance(record, str) else tuple(record)
    if drive.n_inputs != network.n_inputs:
        raise RefsimError(
            f"the drive has {drive.n_inputs} inputs, but the network takes {network.n_inputs}."
        )
    if drive.dt != network.dt:
        raise RefsimError(
            f"the drive has a step of {drive.dt:g} s, but the network has {network.dt:g} s; one "
            "of the two is meant otherwise."
        )
    # Engines that can record states know their names too.
    known = [
        *TRACES,
        OUTPUT,
        *dict.fromkeys(name for layer in network.layers for name in layer.model.state if states),
    ]
    if unknown := set(names) - set(known):
        raise RefsimError(
            f"record: {', '.join(sorted(unknown))} cannot be recorded; known are "
            f"{', '.join(known)}."
        )
    names = tuple(dict.fromkeys((*names, *streams_of(network))))
    _check_signs(network, drive)
    # A spike takes a byte, and a trace eight, for each neuron and step.
    each = sum(
        layer.n_post * (1 + 8 * len(named_traces(layer.model, names))) for layer in network.layers
    )
    needed, there = (
        drive.n_samples * drive.n_steps * each,
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )
    if needed > there:
        raise RefsimError(
            f"this run needs {needed / 2**30:,.0f} GiB for its spikes and traces, and the "
            f"machine has {there / 2**30:,.0f}; give fewer steps or samples."
        )
    return names


def _check_signs(network: Network, drive: Drive) -> None:
    """Refuse input below zero where the sign of a weight says which channel it opens."""
    for layer in network.layers:
        if len(layer.model.inputs) > 1 and any(
            source.layer != DRIVE and network.layers[source.layer].model.discrete.payload
            for source in layer.sources
        ):
            raise RefsimError(
                f"{layer.name}: card '{layer.model.name}' parts weights by their sign, and the "
                "spikes that it hears carry numbers of either sign; put another card there."
            )
        if (
            len(layer.model.inputs) > 1
            and any(source.layer == DRIVE for source in layer.sources)
            and drive.values is not None
            and drive.values.min() < 0
        ):
            raise RefsimError(
                f"{layer.name}: card '{layer.model.name}' parts weights by their sign, and the "
                f"drive goes down to {drive.values.min():.3g}, which would turn excitation into "
                "inhibition; give spikes or currents of 0 and more."
            )


def check_range(network: Network, dtype: str) -> None:
    """Refuse weights that the dtype of a run cannot hold, or whole numbers that it would round."""
    largest = {
        "float16": 65504.0,
        "float32": float(np.finfo(np.float32).max),
        "bfloat16": 3.38e38,
    }.get(dtype, np.inf)
    for layer in network.layers:
        if "integer" in layer.model.traits and dtype != "float64":
            raise RefsimError(
                f"{layer.name}: card '{layer.model.name}' computes with whole numbers, which "
                "float32 holds up to 16,777,216 only; run it in float64, which is exact."
            )
        found = max(float(np.abs(layer.weight).max()), float(np.abs(layer.bias).max()))
        if found > largest:
            raise RefsimError(
                f"{layer.name}: a weight of size {found:.3g} does not fit {dtype}, which ends at "
                f"{largest:.3g}."
            )
