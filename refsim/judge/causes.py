"""Why two runs part: one thing at a time is taken otherwise, and what makes them equal is named.

`explaining_traits` switches one trait of a convention at a time. Each layer is run alone, on what
the trial itself sent to it. So a fault of one layer is not blamed on those behind it, and a layer
that never fires, which agrees with any convention, is never named.

`causes` says what would make recorded spikes that a network does not fire: another reading of its
file, a delay, other axes, another order of neurons or samples, another layer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cards.neuron import NeuronModel
from ..cards.read import switched
from ..cards.traits import OPTIONS, UNSAID
from ..core.arrays import Floats, Ints
from ..core.errors import RefsimError, counted, listed
from ..core.spikes import SpikeTrains
from ..engines.arrivals import received_by
from ..engines.discrete import Discrete, LayerState, signed_sums
from ..engines.following import Known
from ..networks.connection import DRIVE
from ..networks.drive import Drive
from ..networks.network import Network
from ..networks.recording import Recording
from .comparison import Comparison
from .distances import mismatched
from .expected import ExpectedSpikes, OtherReading
from .recorded import RecordedLayers, read_layers, unlike

_TRAIT_SAMPLES = 4  # enough to tell traits apart, few enough to try them all
_UNSEEN = ("latency",)  # this trait lies in the delays of connections, not in the step
# Limits of the search for causes of recorded spikes.
_SAMPLES = 4  # enough to tell conventions apart, few enough to try them all
_FARTHEST = 3  # steps
_MOST = 1 << 26  # decisions of a layer, beyond which its order is not looked into


@dataclass(frozen=True)
class Explanation:
    """A trait that, read otherwise, makes two runs equal.

    Attributes
    ----------
    card, trait, declared, found : str
        The trial runs `card` as if `trait` were `found` and not `declared`.
    layers : tuple of int
        Layers in which that shows: they fire, but not as declared.
    """

    card: str
    trait: str
    declared: str
    found: str
    layers: tuple[int, ...]

    def as_dict(self) -> dict[str, object]:
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
    """Return the single traits that, switched, make the layers fire as the trial does.

    Only layers that part from their cards are looked at.

    Parameters
    ----------
    trial : Recording
        Of a network with cards that have conventions.
    samples : (n,) int64, optional
        Samples in which it parts from the reference; by default the first few.

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
    # What every layer sent is what the others received.
    drive, n_layers = trial.drive.take(chosen), len(trial.network.layers)
    seen = [_Seen.of(trial, index, chosen) for index in range(n_layers)]
    # Card -> layer that parts from it -> what explains it.
    apart: dict[str, dict[int, list[tuple[str, str]]]] = {}
    for index, layer in enumerate(trial.network.layers):
        # A layer whose input carries numbers can be run only where these were recorded.
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
        explanation
        for layers in apart.values()
        for explanation in _explanations(trial.network, layers)
    ]


def one_trait_otherwise(network: Network) -> Iterator[tuple[str, Network]]:
    """Yield each network that differs in one trait of one card, with the difference in words.

    Traits that need a parameter which the card does not have are left out.
    """
    # Layers of one card are switched together.
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
        Leave out neurons that need a parameter which the card does not have: its value would have
        to be made up.
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


def _explanations(
    network: Network, layers: Mapping[int, Sequence[tuple[str, str]]]
) -> list[Explanation]:
    """Return what explains all layers of a card that part from it.

    Where no trait explains all of them, return what explains each.
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
    """Return one switch as an explanation."""
    model = network.layers[layers[0]].model
    return Explanation(model.name, switch[0], model.convention[switch[0]], switch[1], layers)


@dataclass(frozen=True, eq=False)
class _Seen:
    """The recorded activity of one layer of a trial.

    Attributes
    ----------
    spikes : (n_samples, n_steps, n_neurons) bool
    sent : the same of float64
        What other layers received from it, as far as that is known.
    known : bool
        Whether `sent` was recorded, and not only taken to be 1 for each spike.
    """

    spikes: NDArray[np.bool_]
    sent: Floats
    known: bool

    @classmethod
    def of(cls, trial: Recording, index: int, samples: Ints) -> "_Seen":
        """Look up one layer of a recording, in some samples."""
        spikes, payload = (
            trial.spikes[index].take(samples).dense(),
            trial.network.layers[index].model.discrete.payload,
        )
        if not payload:
            # The PyTorch engine refuses spikes other than 0 and 1, so these are known.
            return cls(spikes, spikes.astype(np.float64), trial.provenance.get("engine") == "Torch")
        recorded = trial.traces[index].get("payload") if trial.traces else None
        return cls(
            spikes,
            spikes.astype(np.float64)
            if recorded is None
            else np.asarray(recorded[samples], np.float64),
            recorded is not None,
        )

    def agrees(self, step: int, fired: ArrayLike, output: Floats, *, carries: bool) -> bool:
        """Return whether a neuron that fires so, and sends such numbers, is that of a step."""
        if not np.array_equal(np.asarray(fired, bool), self.spikes[:, step]):
            return False
        if not (carries and self.known):
            return True
        # What is carried is a number of spikes, and so whole.
        return bool((np.abs(output - self.sent[:, step]) < 0.5).all())


def _explained(
    trial: Recording, index: int, drive: Drive, seen: Sequence[_Seen]
) -> list[tuple[str, str]] | None:
    """Return the switches that make a layer fire as the trial's does.

    Returns None where it fires as declared.
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
    """Return which of some neurons, in a layer's place, fire as the trial's layer in every step."""
    network, layer = trial.network, trial.network.layers[index]
    # All neurons are run side by side, and each is dropped at its first difference.
    states = {
        switch: LayerState.start(replace(layer, model=model), network.dt, drive.n_samples)
        for switch, model in models.items()
    }
    with np.errstate(all="ignore"):  # a neuron that is none of the trial's may run away
        for step, heard in enumerate(
            received_by(network, index, drive.frames(), [each.sent for each in seen])
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


def causes(
    reference: Recording,
    raw: RecordedLayers,
    expected: ExpectedSpikes,
    late: Mapping[int, Ints],
    readings: Mapping[str, OtherReading],
) -> list[str]:
    """Return in words what, taken otherwise, makes the recorded spikes; each cause by itself.

    Parameters
    ----------
    reference : Recording
    raw : RecordedLayers
        What was recorded, not yet moved to where it was fired.
    expected : ExpectedSpikes
        The source of `raw`, whose file may be read with other axes.
    late : dict of int to (1,) or (n,) int64
        How many steps late each recorded layer is taken to be.
    readings : dict of str to function
        Functions that return the network and how late its output is, with one convention taken
        otherwise.
    """
    if not any(len(each.train) for each in raw.rasters.values()):
        return []  # any network that is dead fires silence, so silence explains nothing
    tried = [
        _by_readings(reference, raw, late, readings),
        _by_axes(reference, raw, expected, late),
        _by_delay(reference, raw, late),
        _by_permutation(reference, raw),
    ]
    return [cause for each in tried for cause in each]


def missing_and_surplus(found: Comparison) -> str:
    """Say how many spikes of each recorded layer only one of the two runs fires."""
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
            # Neither is silent, so spikes are counted on both sides.
            both = len(np.intersect1d(ours.code, theirs.code, assume_unique=True))
            rows.append(
                f"of layer {index} {len(ours) - both:,} of {counted(len(ours), 'spike')} are "
                f"missing in the recording, and {len(theirs) - both:,} of its {len(theirs):,} "
                "are surplus"
            )
    return ", ".join(row for row in rows if row)


def _by_readings(
    reference: Recording,
    raw: RecordedLayers,
    late: Mapping[int, Ints],
    readings: Mapping[str, OtherReading],
) -> Iterator[str]:
    """Yield the conventions of the file, and traits of the cards, that make what was recorded."""
    # A few samples tell readings apart.
    rows = _telling(reference, raw, late)
    drive = reference.drive.take(rows)
    last = len(reference.network.layers) - 1
    for name, read in readings.items():
        try:
            network, its_late = read()
            made = Discrete().run(network, drive).spikes
        except RefsimError:
            # Not all answers go together, and a reading that the file cannot have explains nothing.
            continue
        if _agrees(raw, {**late, last: its_late}, made, rows):
            yield name
    # The file's own conventions were tried; now the traits of the cards.
    for name, network in one_trait_otherwise(reference.network):
        try:
            made = Discrete().run(network, drive).spikes
        except RefsimError:
            continue
        if _agrees(raw, late, made, rows):
            yield name


def _telling(reference: Recording, raw: RecordedLayers, late: Mapping[int, Ints]) -> Ints:
    """Return a few samples, those that differ from the reference first."""
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
    raw: RecordedLayers, late: Mapping[int, Ints], made: tuple[SpikeTrains, ...], rows: Ints
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
    reference: Recording, raw: RecordedLayers, expected: ExpectedSpikes, late: Mapping[int, Ints]
) -> Iterator[str]:
    """Yield the other orders of axes in which the file holds the reference's spikes."""
    for other in sorted({other for each in raw.rasters.values() for other in each.others}):
        try:
            read = read_layers(
                expected.layers(reference.network)[0], reference.network, reference.drive, other, ""
            )
        except RefsimError:
            continue  # what fits one layer need not fit another
        if _agrees(read, late, reference.spikes, np.arange(reference.drive.n_samples)):
            yield f"its axes taken as {other} (--expected-axes '{other}')"


def _by_delay(reference: Recording, raw: RecordedLayers, late: Mapping[int, Ints]) -> Iterator[str]:
    """Yield the delays with which the reference's spikes are what was recorded."""
    everything = np.arange(reference.drive.n_samples)
    # Later delays are tried first, then earlier ones.
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
    """Return delays as they are typed on the command line."""
    last = len(network.layers) - 1
    return " ".join(
        f"--expected-delay {'' if index == last else f'{index}='}{int(each.max())}"
        for index, each in sorted(late.items())
    )


def _by_permutation(reference: Recording, raw: RecordedLayers) -> Iterator[str]:
    """Yield other layers whose spikes these are, and other orders of neurons or samples."""
    if len(raw.rasters) != 1:
        return
    ((index, each),) = raw.rasters.items()
    ours, theirs = reference.spikes[index], each.train
    # Are these the spikes of another layer?
    for other, train in enumerate(reference.spikes):
        if (
            other != index
            and train.n_neurons == theirs.n_neurons
            and len(train)
            and not len(mismatched(train, theirs))
        ):
            yield f"layer {other} in place of layer {index}, whose spikes they are"
    # Are they the spikes of this layer, with neurons or samples in another order?
    large = theirs.n_samples * theirs.n_steps * theirs.n_neurons > _MOST
    if large or len(ours) != len(theirs) or not len(mismatched(ours, theirs)):
        return
    for axis, what in ((2, "neurons"), (0, "samples")):
        if _sorted_along(ours, axis) == _sorted_along(theirs, axis):
            yield f"the {what} of layer {index} in another order"


def _sorted_along(train: SpikeTrains, axis: int) -> list[bytes]:
    """Return what each neuron, or each sample, fired, sorted so that their order is lost."""
    rows = np.moveaxis(train.dense(), axis, 0).reshape(
        train.n_neurons if axis == 2 else train.n_samples, -1
    )
    return sorted(np.packbits(rows, axis=1)[row].tobytes() for row in range(len(rows)))
