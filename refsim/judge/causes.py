"""Which convention does a run follow? One trait at a time is switched, and the one that makes the
two equal is named.

Each layer is run alone, on what the trial itself sent to it: a fault of one layer is not laid at
the door of those behind it, and a layer that never fires, which agrees with any convention, is
never named.

What would make recorded spikes that a network does not fire: another reading of it, a delay,
another order, another layer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cards.neuron import NeuronModel
from ..cards.read import switched
from ..cards.traits import OPTIONS, UNSAID
from ..core.arrays import Floats, Ints
from ..core.errors import RefsimError, counted, listed
from ..core.spikes import SpikeTrains
from ..engines.arrivals import heard_by
from ..engines.discrete import Discrete, LayerState, signed_sums
from ..engines.following import Known
from ..networks.connection import DRIVE
from ..networks.drive import Drive
from ..networks.network import Network
from ..networks.recording import Recording
from .comparison import Comparison
from .distances import mismatched
from .expected import Again, Expected
from .recorded import Taken, take, unlike

_TRAIT_SAMPLES = 4  # enough to tell traits apart, few enough to try them all
_UNSEEN = ("latency",)  # it is in the delays of the connections, not in the step


@dataclass(frozen=True)
class Explanation:
    """A trait that, read otherwise, makes two runs equal.

    Attributes
    ----------
    card, trait, declared, found : str
        The trial runs `card` as if `trait` were `found` and not `declared`.
    layers : tuple of int
        Where that shows: layers that fire, and not as declared.
    """

    card: str
    trait: str
    declared: str
    found: str
    layers: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the row of report.json."""
        return {
            "kind": "convention",
            **asdict(self),
            "layers": list(self.layers),
            "words": str(self),
        }

    def __str__(self) -> str:
        where = f"layer{'s' * (len(self.layers) > 1)} {listed(self.layers)}"
        return (
            f"{where} ({self.card}) as if its {self.trait} were '{self.found}', not "
            f"'{self.declared}'"
        )


def explaining_traits(trial: Recording, samples: Ints | None = None) -> list[Explanation]:
    """Return the single traits that, switched in the layers that part from their cards, make them
    fire as the trial does.

    Parameters
    ----------
    trial : Recording
        Of a network with cards that have conventions.
    samples : (n,) int64, optional
        Where it parts from the reference; by default the first.

    Returns
    -------
    list of Explanation
        Traits that hold for all those layers of a card together, else for some alone. Empty where
        each layer fires, on what was sent to it, as its card does, or no single trait that the
        neuron can have explains it.
    """
    chosen = (
        np.arange(min(_TRAIT_SAMPLES, trial.drive.n_samples))
        if samples is None
        else np.unique(samples)[:_TRAIT_SAMPLES]
    )
    drive, n_layers = trial.drive.take(chosen), len(trial.network.layers)
    seen = [_Seen.of(trial, index, chosen) for index in range(n_layers)]
    # Card -> layer that parts from it -> what explains it.
    apart: dict[str, dict[int, list[tuple[str, str]]]] = {}
    for index, layer in enumerate(trial.network.layers):
        graded = [
            trial.network.layers[source.layer].model.discrete.payload
            for source in layer.sources
            if source.layer != DRIVE
        ]
        heard = (
            [seen[source.layer].known for source in layer.sources if source.layer != DRIVE]
            if any(graded)
            else []
        )
        if (
            layer.model.convention
            and index in trial.recorded_layers
            and seen[index].spikes.any()
            and all(heard)
        ):
            found = _explained(trial, index, drive, seen)
            if found is not None:
                apart.setdefault(layer.model.text, {})[index] = found
    return [
        explanation for layers in apart.values() for explanation in _named(trial.network, layers)
    ]


def one_trait_otherwise(network: Network) -> Iterator[tuple[str, Network]]:
    """Yield each network that differs in one trait of one card that the card has the parameters
    for, and what differs in words.
    """
    by_card: dict[str, list[int]] = {}
    for index, layer in enumerate(network.layers):
        if layer.model.convention:
            by_card.setdefault(layer.model.text, []).append(index)
    for layers in by_card.values():
        for (trait, option), _ in _switches(network.layers[layers[0]].model, parameters_kept=True):
            made = list(network.layers)
            for index in layers:
                made[index] = replace(
                    made[index], model=switched(made[index].model, **{trait: option})
                )
            yield (
                f"{trait}={option!r} in {made[layers[0]].model.name}",
                replace(network, layers=tuple(made)),
            )


def _switches(
    model: NeuronModel, *, parameters_kept: bool
) -> Iterator[tuple[tuple[str, str], NeuronModel]]:
    """Yield each trait and option that make another neuron of a card, and that neuron.

    Parameters
    ----------
    parameters_kept : bool
        Leave out those that need a parameter which the card does not have, and for which a value
        would have to be made up.
    """
    for trait, options in OPTIONS.items():
        for option in options if trait not in _UNSEEN else ():
            try:
                other = switched(model, **{trait: option})
            except RefsimError:  # traits that do not go together
                continue
            made_up = set(other.parameters) - {*model.parameters, *model.derived} - UNSAID
            same = (other.discrete.texts, other.state) == (model.discrete.texts, model.state)
            if not same and not (parameters_kept and made_up):
                yield (trait, option), other


def _named(network: Network, layers: Mapping[int, Sequence[tuple[str, str]]]) -> list[Explanation]:
    """Return what explains all layers of a card that part from it.

    Where nothing does, what explains each.
    """
    common = [
        switch
        for switch in next(iter(layers.values()))
        if all(switch in found for found in layers.values())
    ]
    if common:
        return [_explanation(network, switch, tuple(layers)) for switch in common]
    return [
        _explanation(network, switch, (index,))
        for index, found in layers.items()
        for switch in found
    ]


def _explanation(network: Network, switch: tuple[str, str], layers: tuple[int, ...]) -> Explanation:
    model = network.layers[layers[0]].model
    return Explanation(model.name, switch[0], model.convention[switch[0]], switch[1], layers)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What one layer of a trial did.

    Attributes
    ----------
    spikes : (n_samples, n_steps, n_neurons) bool
    sent : the same of float64
        What other layers heard of it, as far as that is known.
    known : bool
        Whether that was seen, and not only taken to be 1 for each spike.
    """

    spikes: NDArray[np.bool_]
    sent: Floats
    known: bool

    @classmethod
    def of(cls, trial: Recording, index: int, samples: Ints) -> "_Seen":
        """Look up a layer in a recording."""
        spikes, payload = (
            trial.spikes[index].take(samples).dense(),
            trial.network.layers[index].model.discrete.payload,
        )
        if not payload:
            # Which refuses other spikes.
            return cls(spikes, spikes.astype(np.float64), trial.provenance.get("engine") == "Torch")
        recorded = trial.traces[index].get("payload") if trial.traces else None
        return cls(
            spikes,
            spikes.astype(np.float64)
            if recorded is None
            else np.asarray(recorded[samples], np.float64),
            recorded is not None,
        )

    def agrees(self, step: int, fired: Any, output: Any, *, carries: bool) -> bool:
        """Return whether a neuron that fires so, and sends such numbers, is what was seen in a
        step.
        """
        if not np.array_equal(np.asarray(fired, bool), self.spikes[:, step]):
            return False
        if not (carries and self.known):
            return True
        # Numbers of spikes, which are whole.
        return bool((np.abs(output - self.sent[:, step]) < 0.5).all())


def _explained(
    trial: Recording, index: int, drive: Drive, seen: Sequence[_Seen]
) -> list[tuple[str, str]] | None:
    """Return the switches that make a layer fire as the trial's does.

    None where it fires as declared.
    """
    layer = trial.network.layers[index]
    if _survivors(trial, index, drive, seen, {("", ""): layer.model}):
        return None
    # A module has the parameters that were read from it, and no others.
    module = trial.provenance.get("code") == "module"
    return _survivors(
        trial, index, drive, seen, dict(_switches(layer.model, parameters_kept=module))
    )


def _survivors(
    trial: Recording,
    index: int,
    drive: Drive,
    seen: Sequence[_Seen],
    models: Mapping[tuple[str, str], NeuronModel],
) -> list[tuple[str, str]]:
    """Return which of some neurons, in the place of a layer's, fire in every step as the trial's
    layer does.
    """
    network, layer = trial.network, trial.network.layers[index]
    states = {
        switch: LayerState.start(replace(layer, model=model), network.dt, drive.n_samples)
        for switch, model in models.items()
    }
    with np.errstate(all="ignore"):  # a neuron that is none of the trial's may run away
        for step, heard in enumerate(
            heard_by(network, index, drive.frames(), [each.sent for each in seen])
        ):
            current = signed_sums(layer, heard)
            for switch, state in list(states.items()):
                fired, _ = state.step(current)
                if not seen[index].agrees(
                    step, fired, state.output(fired), carries=bool(models[switch].discrete.payload)
                ):
                    del states[switch]
            if not states:
                break
    return list(states)


_SAMPLES = 4  # enough to tell conventions apart, few enough to try them all
_FARTHEST = 3  # steps
_MOST = 1 << 26  # decisions of a layer, beyond which its order is not looked into


def causes(
    reference: Recording,
    raw: Taken,
    expected: Expected,
    late: Mapping[int, Ints],
    readings: Mapping[str, Again],
) -> list[str]:
    """Return in words what, taken otherwise, makes the recorded spikes; every one by itself.

    Parameters
    ----------
    reference : Recording
    raw : Taken
        What was recorded, as late as it was.
    expected : Expected
        For its file, which may be read with other axes.
    late : dict of int to (1,) or (n,) int64
        How late each recorded layer is held to be.
    readings : dict of str to function
        The network and how late its output is, with one convention taken otherwise.
    """
    if not any(len(each.train) for each in raw.rasters.values()):
        return []  # silence is fired with anything that is dead
    tried = [
        _by_readings(reference, raw, late, readings),
        _by_axes(reference, raw, expected, late),
        _by_delay(reference, raw, late),
        _by_order(reference, raw),
    ]
    return [cause for each in tried for cause in each]


def missing_and_surplus(found: Comparison) -> str:
    """Say how many of the spikes of each recorded layer only one of the two fires."""
    rows = []
    for index in found.trial.provenance["recorded_layers"]:
        ours, theirs = found.reference.spikes[index], found.trial.spikes[index]
        if not len(theirs):
            rows.append(
                f"layer {index} was recorded to be silent, and fires {counted(len(ours), 'spike')}"
                if len(ours)
                else ""
            )
        elif len(mismatched(ours, theirs)):
            both = len(np.intersect1d(ours.code, theirs.code, assume_unique=True))
            rows.append(
                f"of layer {index} {len(ours) - both:,} of {counted(len(ours), 'spike')} are "
                f"missing in the recording, and {len(theirs) - both:,} of its {len(theirs):,} "
                "are surplus"
            )
    return ", ".join(row for row in rows if row)


def _by_readings(
    reference: Recording, raw: Taken, late: Mapping[int, Ints], readings: Mapping[str, Again]
) -> Iterator[str]:
    """Yield the conventions of the file, and the traits of the cards, that make what was recorded."""
    rows = _telling(reference, raw, late)
    drive = reference.drive.take(rows)
    last = len(reference.network.layers) - 1
    for name, read in readings.items():
        try:
            network, its_late = read()
            made = Discrete().run(network, drive).spikes
        except RefsimError:
            # Not every answer goes with every other: a reading that the file cannot have explains
            # nothing.
            continue
        if _agrees(raw, {**late, last: its_late}, made, rows):
            yield name
    for name, network in one_trait_otherwise(reference.network):
        try:
            made = Discrete().run(network, drive).spikes
        except RefsimError:
            continue
        if _agrees(raw, late, made, rows):
            yield name


def _telling(reference: Recording, raw: Taken, late: Mapping[int, Ints]) -> Ints:
    """Return a few samples, those that differ first."""
    known = raw.sooner(late).known()
    differs = np.any(
        [
            unlike(each, reference.spikes[index].dense()).any(axis=(1, 2))
            for index, each in known.items()
        ],
        axis=0,
    )
    order: Ints = np.argsort(~differs, kind="stable")[:_SAMPLES]
    return np.sort(order)


def _agrees(
    raw: Taken, late: Mapping[int, Ints], made: tuple[SpikeTrains, ...], rows: Ints
) -> bool:
    """Return whether a run of some samples fires what was recorded of them."""
    if any(
        index >= len(made) or made[index].n_neurons != each.train.n_neurons
        for index, each in raw.rasters.items()
    ):
        return False  # it is another network
    moved = raw.sooner({index: each for index, each in late.items() if index in raw.rasters})
    if moved.early:
        return False
    return not any(
        unlike(Known(each.fired[rows], each.seen), made[index].dense()).any()
        for index, each in moved.known().items()
    )


def _by_axes(
    reference: Recording, raw: Taken, expected: Expected, late: Mapping[int, Ints]
) -> Iterator[str]:
    """Yield the other orders of axes in which the file holds the reference's spikes."""
    for other in sorted({other for each in raw.rasters.values() for other in each.others}):
        try:
            read = take(
                expected.layers(reference.network)[0], reference.network, reference.drive, other, ""
            )
        except RefsimError:
            continue  # what fits one layer need not fit another
        if _agrees(read, late, reference.spikes, np.arange(reference.drive.n_samples)):
            yield f"its axes taken as {other} (--expected-axes '{other}')"


def _by_delay(reference: Recording, raw: Taken, late: Mapping[int, Ints]) -> Iterator[str]:
    """Yield the delays that make what was recorded."""
    everything = np.arange(reference.drive.n_samples)
    for more in (*range(1, _FARTHEST + 1), *range(-_FARTHEST, 0)):
        moved = {index: each + more for index, each in late.items()}
        if any(each.min() < 0 for each in moved.values()):
            continue
        if _agrees(raw, moved, reference.spikes, everything):
            steps = (
                f"{abs(more)} step{'s' if abs(more) > 1 else ''} "
                f"{'later' if more > 0 else 'earlier'}"
            )
            yield f"an output {steps} ({_option(moved, reference.network)})"


def _option(late: Mapping[int, Ints], network: Network) -> str:
    """Write delays as they are typed."""
    last = len(network.layers) - 1
    return " ".join(
        f"--expected-delay {'' if index == last else f'{index}='}{int(each.max())}"
        for index, each in sorted(late.items())
    )


def _by_order(reference: Recording, raw: Taken) -> Iterator[str]:
    """Yield other layers whose spikes these are, and other orders of neurons or samples."""
    if len(raw.rasters) != 1:
        return
    ((index, each),) = raw.rasters.items()
    ours, theirs = reference.spikes[index], each.train
    for other, train in enumerate(reference.spikes):
        if (
            other != index
            and train.n_neurons == theirs.n_neurons
            and len(train)
            and not len(mismatched(train, theirs))
        ):
            yield f"layer {other} in place of layer {index}, whose spikes they are"
    large = theirs.n_samples * theirs.n_steps * theirs.n_neurons > _MOST
    if large or len(ours) != len(theirs) or not len(mismatched(ours, theirs)):
        return
    for axis, what in ((2, "neurons"), (0, "samples")):
        if _sorted_along(ours, axis) == _sorted_along(theirs, axis):
            yield f"the {what} of layer {index} in another order"


def _sorted_along(train: SpikeTrains, axis: int) -> list[bytes]:
    """Return what each neuron, or each sample, fired, in an order that hangs on nothing else."""
    rows = np.moveaxis(train.dense(), axis, 0).reshape(
        train.n_neurons if axis == 2 else train.n_samples, -1
    )
    return sorted(np.packbits(rows, axis=1)[row].tobytes() for row in range(len(rows)))
