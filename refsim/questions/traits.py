"""Which convention does a run follow? One trait at a time is switched, and the one that makes the two equal is named.

Each layer is run alone, on what the trial itself sent to it: a fault of one layer is not laid at the door of those behind it,
and a layer that never fires, which agrees with any convention, is never named.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Floats, Ints
from ..connection import DRIVE
from ..drive import Drive
from ..engines.delays import heard_by
from ..engines.discrete import LayerState, signed_sums
from ..errors import RefsimError, listed
from ..model.card import switched
from ..model.composing import UNSAID
from ..model.conventions import OPTIONS
from ..model.neuron import NeuronModel
from ..network import Network
from ..recording import Recording

_SAMPLES = 4  # enough to tell traits apart, few enough to try them all
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
        return {"kind": "convention", **asdict(self), "layers": list(self.layers), "words": str(self)}

    def __str__(self) -> str:
        where = f"layer{'s' * (len(self.layers) > 1)} {listed(self.layers)}"
        return f"{where} ({self.card}) as if its {self.trait} were '{self.found}', not '{self.declared}'"


def explaining_traits(trial: Recording, samples: Ints | None = None) -> list[Explanation]:
    """Return the single traits that, switched in the layers that part from their cards, make them fire as the trial does.

    Parameters
    ----------
    trial : Recording
        Of a network with cards that have conventions.
    samples : (n,) int64, optional
        Where it parts from the reference; by default the first.

    Returns
    -------
    list of Explanation
        Traits that hold for all those layers of a card together, else for some alone. Empty where each layer fires, on what was
        sent to it, as its card does, or no single trait that the neuron can have explains it.
    """
    chosen = np.arange(min(_SAMPLES, trial.drive.n_samples)) if samples is None else np.unique(samples)[:_SAMPLES]
    drive, n_layers = trial.drive.take(chosen), len(trial.network.layers)
    seen = [_Seen.of(trial, index, chosen) for index in range(n_layers)]
    apart: dict[str, dict[int, list[tuple[str, str]]]] = {}  # card -> layer that parts from it -> what explains it
    for index, layer in enumerate(trial.network.layers):
        graded = [trial.network.layers[source.layer].model.discrete.payload for source in layer.sources if source.layer != DRIVE]
        heard = [seen[source.layer].known for source in layer.sources if source.layer != DRIVE] if any(graded) else []
        if layer.model.convention and index in trial.recorded_layers and seen[index].spikes.any() and all(heard):
            found = _explained(trial, index, drive, seen)
            if found is not None:
                apart.setdefault(layer.model.text, {})[index] = found
    return [explanation for layers in apart.values() for explanation in _named(trial.network, layers)]


def one_trait_otherwise(network: Network) -> Iterator[tuple[str, Network]]:
    """Yield each network that differs in one trait of one card that the card has the parameters for, and what differs in words."""
    by_card: dict[str, list[int]] = {}
    for index, layer in enumerate(network.layers):
        if layer.model.convention:
            by_card.setdefault(layer.model.text, []).append(index)
    for layers in by_card.values():
        for (trait, option), _ in _switches(network.layers[layers[0]].model, parameters_kept=True):
            made = list(network.layers)
            for index in layers:
                made[index] = replace(made[index], model=switched(made[index].model, **{trait: option}))
            yield f"{trait}={option!r} in {made[layers[0]].model.name}", replace(network, layers=tuple(made))


def _switches(model: NeuronModel, *, parameters_kept: bool) -> Iterator[tuple[tuple[str, str], NeuronModel]]:
    """Yield each trait and option that make another neuron of a card, and that neuron.

    Parameters
    ----------
    parameters_kept : bool
        Leave out those that need a parameter which the card does not have, and for which a value would have to be made up.
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
    """Return what explains all layers of a card that part from it; where nothing does, what explains each."""
    common = [switch for switch in next(iter(layers.values())) if all(switch in found for found in layers.values())]
    if common:
        return [_explanation(network, switch, tuple(layers)) for switch in common]
    return [_explanation(network, switch, (index,)) for index, found in layers.items() for switch in found]


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
        spikes, payload = trial.spikes[index].take(samples).dense(), trial.network.layers[index].model.discrete.payload
        if not payload:
            return cls(spikes, spikes.astype(np.float64), trial.provenance.get("engine") == "Torch")  # which refuses other spikes
        recorded = trial.traces[index].get("payload") if trial.traces else None
        return cls(spikes, spikes.astype(np.float64) if recorded is None else np.asarray(recorded[samples], np.float64), recorded is not None)

    def agrees(self, step: int, fired: Any, output: Any, *, carries: bool) -> bool:
        """Return whether a neuron that fires so, and sends such numbers, is what was seen in a step."""
        if not np.array_equal(np.asarray(fired, bool), self.spikes[:, step]):
            return False
        if not (carries and self.known):
            return True
        return bool((np.abs(output - self.sent[:, step]) < 0.5).all())  # numbers of spikes, which are whole


def _explained(trial: Recording, index: int, drive: Drive, seen: Sequence[_Seen]) -> list[tuple[str, str]] | None:
    """Return the switches that make a layer fire as the trial's does; None where it fires as declared."""
    layer = trial.network.layers[index]
    if _survivors(trial, index, drive, seen, {("", ""): layer.model}):
        return None
    module = trial.provenance.get("code") == "module"  # a module has the parameters that were read from it, and no others
    return _survivors(trial, index, drive, seen, dict(_switches(layer.model, parameters_kept=module)))


def _survivors(trial: Recording, index: int, drive: Drive, seen: Sequence[_Seen], models: Mapping[tuple[str, str], NeuronModel]) -> list[tuple[str, str]]:
    """Return which of some neurons, in the place of a layer's, fire in every step as the trial's layer does."""
    network, layer = trial.network, trial.network.layers[index]
    states = {switch: LayerState.start(replace(layer, model=model), network.dt, drive.n_samples) for switch, model in models.items()}
    with np.errstate(all="ignore"):  # a neuron that is none of the trial's may run away
        for step, heard in enumerate(heard_by(network, index, drive.frames(), [each.sent for each in seen])):
            current = signed_sums(layer, heard)
            for switch, state in list(states.items()):
                fired, _ = state.step(current)
                if not seen[index].agrees(step, fired, state.output(fired), carries=bool(models[switch].discrete.payload)):
                    del states[switch]
            if not states:
                break
    return list(states)
