"""The referee of the layer product: the same network through Brian2's Synapses, stored per sample.

Nothing is shared with the fast path but the neurons themselves: the drive comes from Brian2's own
generators, connections and delays are Synapses, spikes are kept by monitors, and a program in C++
is compiled anew each time.
"""

import contextlib
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...cards.names import INPUT
from ...core.errors import RefsimError
from ...core.progress import advance
from ...networks.connection import DRIVE, Source
from ...networks.drive import Drive
from ...networks.network import Layer
from ..arrivals import Array, lag
from .network import (
    Structure,
    card_names,
    explained,
    group_name,
    layer_group,
    schedule_of,
    start_values,
    trace_variables,
)
from .outcome import Portion, code_type, nearest_of, shaped_traces, to_approach
from .session import BrianObject, Package, recorded_traces, session

_MOST = 20_000_000  # synapses; each takes some 30 bytes
_SLOTS = (
    "clear",
    "arrive",
    "sum",
    "update",
    "jump",
    "watch",
    "threshold",
    "record",
    "reset",
    "trace",
)


def run_synapses(
    structure: Structure, drive: Drive, refine: int, analog_impulse: bool, target: str
) -> Portion:
    """Run all samples as one batch.

    Parameters
    ----------
    structure : Structure
        Its ``batch`` must be the number of samples.
    drive : Drive
    refine : int
        Sub-steps a step.
    analog_impulse : bool
        Whether analog input jumps at the end of a step.
    target : {"numpy", "cpp_standalone"}

    Raises
    ------
    RefsimError
        Where there are more synapses than fit, or a card needs what only the layer product gives.
    """
    _check(structure)
    length, size = drive.n_steps * refine, drive.n_samples
    with (
        tempfile.TemporaryDirectory(prefix="refsim-synapses-") as folder,
        np.errstate(all="ignore"),
    ):
        project = str(Path(folder) / "project")
        with session(
            target, structure.dtype, drive.dt / refine, Path(project), literal=not structure.fine
        ) as brian2:
            referee = _Referee(structure, drive, refine, analog_impulse, brian2)
            with explained(card_names(structure.network)):
                referee.network.run(length * brian2.defaultclock.dt, namespace={})
                if target == "cpp_standalone":
                    brian2.device.build(directory=project)
            # Everything is copied before the session ends, and Brian2's memory with it.
            codes = [
                _codes(monitor, layer, drive, refine)
                for monitor, layer in zip(referee.spikes, structure.network.layers, strict=True)
            ]
            raw = [
                {} if monitor is None else recorded_traces(monitor) for monitor in referee.traces
            ]
            gaps = (
                [
                    nearest_of(np.asarray(group.gap_[:]).reshape(size, -1))
                    for group in referee.groups
                ]
                if structure.gap
                else []
            )
    advance(size)
    shaped = [
        shaped_traces(row, structure, index, size, length, structure.traces)
        for index, row in enumerate(raw)
    ] or [{} for _ in codes]
    return Portion(size, codes, tuple(shaped), to_approach(gaps, size))


def _check(structure: Structure) -> None:
    """Refuse a network that is too large for Synapses, or a card that they cannot run."""
    synapses = structure.batch * sum(layer.weight.size for layer in structure.network.layers)
    if synapses > _MOST:
        raise RefsimError(
            f"connections='synapses' stores every synapse once a sample, {synapses:,} here and at "
            f"most {_MOST:,}; give fewer samples, or use the layer product."
        )
    for layer in structure.network.layers:
        if layer.model.draws or layer.model.kernels or len(layer.model.inputs) > 1:
            raise RefsimError(
                f"{layer.name}: connections='synapses' runs no card with random numbers, kernels "
                f"or two inputs, as '{layer.model.name}' has."
            )


class _Referee:
    """The network as plain Brian2 objects, in the slots of refsim's schedule."""

    def __init__(
        self, structure: Structure, drive: Drive, refine: int, analog_impulse: bool, brian2: Package
    ) -> None:
        self.structure, self.drive, self.refine, self.analog_impulse, self.brian2 = (
            structure,
            drive,
            refine,
            analog_impulse,
            brian2,
        )
        self.step = drive.dt / refine * brian2.second
        layers = structure.network.layers
        # Groups first, then what records them, then the synapses between them.
        self.input = self._input()
        self.parts: list[BrianObject] = [self.input]
        self.groups = [self._neurons(index, layer) for index, layer in enumerate(layers)]
        self.spikes = [
            self._placed(brian2.SpikeMonitor(group), index, "record")
            for index, group in enumerate(self.groups)
        ]
        self.traces = [
            self._tracer(index, layer) for index, layer in enumerate(layers) if structure.traces
        ]
        for index, layer in enumerate(layers):
            self._connect(index, layer)
        # Within a step the layers run one after the other, each through all of its slots.
        slots = [f"{group_name(index)}_{slot}" for index in range(len(layers)) for slot in _SLOTS]
        self.network = brian2.Network(
            *self.parts,
            *self.groups,
            *self.spikes,
            *(each for each in self.traces if each is not None),
        )
        self.network.schedule = schedule_of("input", *slots)

    def _placed(self, part: BrianObject, index: int, slot: str) -> BrianObject:
        part.when = f"{group_name(index)}_{slot}"
        return part

    def _input(self) -> BrianObject:
        """Return the drive as a group of neurons, with currents in their variable x."""
        drive, brian2 = self.drive, self.brian2
        size = drive.n_samples * drive.n_inputs
        if drive.values is None:
            spikes = drive.spikes
            assert spikes is not None
            times = spikes.step * self.refine * self.step
            return brian2.SpikeGeneratorGroup(
                size,
                spikes.sample * drive.n_inputs + spikes.neuron,
                times,
                when="input",
                name="drive",
            )
        frames = (
            np.broadcast_to(drive.values, (drive.n_samples, drive.n_steps, drive.n_inputs))
            .swapaxes(0, 1)
            .reshape(drive.n_steps, size)
        )
        held = brian2.TimedArray(
            frames.astype(self.structure.dtype), dt=drive.dt * brian2.second, name="frames"
        )
        group = brian2.NeuronGroup(size, "x : 1", namespace={"frames": held}, name="drive")
        group.run_regularly("x = frames(t, i)", when="input")
        return group

    def _neurons(self, index: int, layer: Layer) -> BrianObject:
        """Make a layer's neurons, with variables for the sums of spikes, currents and bias."""
        name, unit = group_name(index), self._unit(layer)
        more = f"\nsub_flow : {unit}\nsub_held : {unit}\nsub_steady : {unit} (constant)"
        group = layer_group(self.structure, layer, name, self.brian2, lambda _name: None, more)
        group.thresholder["spike"].when = f"{name}_threshold"
        for variable, value in start_values(self.structure)[index]:
            if variable not in ("lastspike", "not_refractory"):
                setattr(
                    group,
                    f"{variable}_",
                    np.tile(value, self.drive.n_samples) if np.ndim(value) else value,
                )
        group.sub_steady_ = np.tile(layer.bias, self.drive.n_samples)
        return group

    def _unit(self, layer: Layer) -> str:
        return (
            layer.model.input_unit
            if self.structure.fine and not layer.model.discrete.over_steps
            else "1"
        )

    def _tracer(self, index: int, layer: Layer) -> BrianObject:
        wanted = list(
            dict.fromkeys(
                trace_variables(
                    layer.model, self.structure.traces, fine=self.structure.fine
                ).values()
            )
        )
        return (
            self._placed(
                self.brian2.StateMonitor(self.groups[index], wanted, record=True), index, "trace"
            )
            if wanted
            else None
        )

    def _connect(self, index: int, layer: Layer) -> None:
        """Connect a layer to its sources, and write what becomes of what arrives."""
        name, group, mode = group_name(index), self.groups[index], self.structure.mode(layer)
        for number, (source, weight) in enumerate(zip(layer.sources, layer.weights, strict=True)):
            self.parts.append(
                self._synapses(index, source, weight, mode, number, self._unit(layer))
            )
        # Sums start from zero in each step, but a current of one step stays until it is taken back.
        zero = f"0*{self._unit(layer)}" if self._unit(layer) != "1" else "0"
        jumps = mode.endswith("impulse")
        cleared = [f"sub_flow = {zero}"] * (mode != "pulse") + [f"jump = {zero}"] * jumps
        if cleared:
            group.run_regularly("\n".join(cleared), when=f"{name}_clear")
        # Spikes act as a current, or as a jump with or without the analog input in it.
        if not jumps:
            group.run_regularly(
                f"{INPUT} = sub_flow + sub_held\n{INPUT} = {INPUT} + sub_steady", when=f"{name}_sum"
            )
        elif not self.analog_impulse:
            group.run_regularly(
                f"{INPUT} = sub_held + sub_steady\njump = sub_flow", when=f"{name}_sum"
            )
        else:
            last = (
                f"int(t_in_timesteps % {self.refine} == "
                f"{self.refine - 1 if mode == 'impulse' else 0})"
            )
            group.run_regularly(
                f"jump = sub_flow + (sub_held + sub_steady)*{last}", when=f"{name}_sum"
            )

    def _synapses(
        self,
        index: int,
        source: Source,
        weight: NDArray[np.float64],
        mode: str,
        number: int,
        unit: str,
    ) -> BrianObject:
        """Return all synapses from the source of this number, in every sample."""
        brian2, n_samples = self.brian2, self.drive.n_samples
        before = self.input if source.layer == DRIVE else self.groups[source.layer]
        delays = (
            source.delay * self.refine
            if source.layer == DRIVE
            else lag(source.layer, index, source.delay * self.refine)
        )
        if source.layer == DRIVE and mode == "impulse":
            # An impulse of the drive acts at the end of its step.
            delays = delays + self.refine - 1
        analog = source.layer == DRIVE and self.drive.values is not None
        if analog:
            if source.delayed:
                raise RefsimError(
                    "connections='synapses' delays no currents; give the drive as spikes, or use "
                    "the layer product."
                )
            synapses = brian2.Synapses(
                before,
                self.groups[index],
                f"sub_weight : {unit}\nsub_held_post = sub_weight*x_pre : {unit} (summed)",
            )
            synapses.summed_updaters["sub_held_post"].when = f"{group_name(index)}_arrive"
        else:
            carried = (
                "" if source.layer == DRIVE else self._carried(index, source, bool(delays.any()))
            )
            effects = {"come": f"sub_flow_post += sub_weight{carried}"} | (
                {"go": "sub_flow_post -= sub_weight"} if mode == "pulse" else {}
            )
            synapses = brian2.Synapses(
                before, self.groups[index], f"sub_weight : {unit}", on_pre=effects
            )
        # Sample k's neurons stand together in each group, and each sample has all the weights.
        post, pre = weight.shape
        sample, k, m = (
            axis.ravel()
            for axis in np.meshgrid(
                np.arange(n_samples), np.arange(pre), np.arange(post), indexing="ij"
            )
        )
        synapses.connect(i=sample * pre + k, j=sample * post + m)
        synapses.sub_weight_ = weight.T.ravel()[k * post + m]
        # Of one source what ends is taken back before what begins is added.
        for effect, extra in (("come", 0), ("go", self.refine)):
            with contextlib.suppress(AttributeError):
                pathway = getattr(synapses, effect)
                pathway.when, pathway.order = (
                    f"{group_name(index)}_arrive",
                    2 * number + (effect == "come"),
                )
                pathway.delay = (delays[k] + extra) * self.step
        return synapses

    def _carried(self, index: int, source: Source, late: bool) -> str:
        """Return the factor that spikes carry.

        Brian2 reads it when they arrive, which must be when they were fired.
        """
        payload = self.structure.network.layers[source.layer].model.discrete.payload
        if payload and late:
            raise RefsimError(
                f"layer {index}: connections='synapses' delays no spikes that carry a number; "
                "use the layer product."
            )
        return f"*{payload}_pre" if payload else ""


def _codes(monitor: BrianObject, layer: Layer, drive: Drive, refine: int) -> Array:
    """Return the spikes of a monitor as sorted codes.

    The monitor makes each time as (integer step)*dt, so that the nearest integer is that step.
    """
    step = np.rint(np.asarray(monitor.t_[:]) / (drive.dt / refine)).astype(np.int64)
    sample, neuron = np.divmod(np.asarray(monitor.i[:], np.int64), layer.n_post)
    length = drive.n_steps * refine
    return np.sort((sample * length + step) * layer.n_post + neuron).astype(
        code_type(drive.n_samples, length, layer.n_post)
    )
