"""Which convention does a run follow? One trait at a time is switched, and the one that makes the two equal is named."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..arrays import Ints
from ..engines.discrete import Discrete
from ..errors import RefsimError, listed
from ..model.card import switched
from ..model.conventions import OPTIONS
from ..model.neuron import NeuronModel
from ..network import Layer, Network
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
        Where.
    """

    card: str
    trait: str
    declared: str
    found: str
    layers: tuple[int, ...]

    def __str__(self) -> str:
        where = f"layer{'s' * (len(self.layers) > 1)} {listed(self.layers)}"
        return f"{where} ({self.card}) as if its {self.trait} were '{self.found}', not '{self.declared}'"


def explaining_traits(trial: Recording, samples: Ints | None = None) -> list[Explanation]:
    """Return the single traits that, switched in all layers of a card or in one, make the declared step fire as the trial does.

    Parameters
    ----------
    trial : Recording
        Of a network with cards that have conventions.
    samples : (n,) int64, optional
        Where it parts from the reference; by default the first.

    Returns
    -------
    list of Explanation
        Empty where the declared step fires as the trial does already, or no single trait explains it.
    """
    chosen = np.arange(min(_SAMPLES, trial.drive.n_samples)) if samples is None else np.unique(samples)[:_SAMPLES]
    drive = trial.drive.take(chosen)
    layers = trial.provenance.get("recorded_layers", range(len(trial.spikes)))  # nobody saw what others fired
    seen = {index: trial.spikes[index].take(chosen).dense() for index in layers}
    if not any(each.any() for each in seen.values()):
        return []  # silence agrees with any trait

    def equal(network: Network) -> bool:
        spikes = Discrete().run(network, drive).spikes
        return all(np.array_equal(spikes[index].dense(), theirs) for index, theirs in seen.items())

    if equal(trial.network):
        return []
    whole, single = _groups(trial.network)
    for groups in (whole, single):
        found = [explanation for explanation, network in _switches(trial.network, groups) if equal(network)]
        if found:
            return found
    return []


def one_trait_otherwise(network: Network) -> Iterator[tuple[str, Network]]:
    """Yield each network that differs in one trait of one card, and what differs in words."""
    for explanation, other in _switches(network, _groups(network)[0]):
        yield f"{explanation.trait}={explanation.found!r} in {explanation.card}", other


def _groups(network: Network) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Return the layers of each card together (in each of its conventions), and each layer alone where a card has several."""
    by_card: dict[str, list[int]] = {}
    for index, layer in enumerate(network.layers):
        if layer.model.convention:
            by_card.setdefault(layer.model.text, []).append(index)
    return [tuple(each) for each in by_card.values()], [(index,) for each in by_card.values() if len(each) > 1 for index in each]


def _switches(network: Network, groups: Sequence[tuple[int, ...]]) -> Iterator[tuple[Explanation, Network]]:
    for layers in groups:
        model = network.layers[layers[0]].model
        for trait, options in OPTIONS.items():
            for option in options if trait not in _UNSEEN else ():
                made = _switched_layers(network, layers, trait, option)
                if made is not None:
                    yield Explanation(model.name, trait, model.convention[trait], option, layers), replace(network, layers=made)


def _switched_layers(network: Network, layers: tuple[int, ...], trait: str, option: str) -> tuple[Layer, ...] | None:
    """Return the layers with one trait switched; None where the traits do not go together, or change nothing."""
    made = list(network.layers)
    try:
        for index in layers:
            made[index] = replace(made[index], model=switched(made[index].model, **{trait: option}))
    except RefsimError:
        return None
    return None if all(_same(a.model, b.model) for a, b in zip(made, network.layers, strict=True)) else tuple(made)


def _same(a: NeuronModel, b: NeuronModel) -> bool:
    return (a.discrete.texts, a.state) == (b.discrete.texts, b.state)
