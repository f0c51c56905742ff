"""Which convention does a run follow? One trait at a time is switched, and the one that makes the two equal is named."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..engines.discrete import Discrete
from ..errors import RefsimError
from ..model.card import switched
from ..model.conventions import OPTIONS
from ..network import Layer, Network
from ..recording import Recording

_SAMPLES = 4  # enough to tell traits apart, few enough to try them all


@dataclass(frozen=True)
class Explanation:
    """A trait that, read otherwise, makes two runs equal.

    Attributes
    ----------
    card, trait, declared, found : str
        The trial runs `card` as if `trait` were `found` and not `declared`.
    """

    card: str
    trait: str
    declared: str
    found: str

    def __str__(self) -> str:
        return f"{self.card} runs as if {self.trait} were {self.found!r}, where the card says {self.declared!r}"


def explaining_traits(trial: Recording) -> list[Explanation]:
    """Return the single traits that, switched in all layers of a card, make the declared step fire as the trial does.

    Parameters
    ----------
    trial : Recording
        Of a network whose cards have conventions; the first samples that hold spikes are looked at.
    """
    chosen = np.arange(min(_SAMPLES, trial.drive.n_samples))
    drive = trial.drive.take(chosen)
    seen = [train.take(chosen).dense() for train in trial.spikes]
    found = []
    for explanation, network in _switches(trial.network):
        spikes = Discrete().run(network, drive).spikes
        if all(np.array_equal(ours.dense(), theirs) for ours, theirs in zip(spikes, seen, strict=True)):
            found.append(explanation)
    return found


def one_trait_otherwise(network: Network) -> Iterator[tuple[str, Network]]:
    """Yield each network that differs in one trait of one card, and what differs in words."""
    for explanation, other in _switches(network):
        yield f"{explanation.trait}={explanation.found!r} in {explanation.card}", other


def _switches(network: Network) -> Iterator[tuple[Explanation, Network]]:
    cards = {layer.model.name: layer.model for layer in network.layers if layer.model.convention}
    for card, model in cards.items():
        for trait, options in OPTIONS.items():
            for option in options:
                if option == model.convention[trait] or trait == "latency":
                    continue
                layers = _switched_layers(network, card, trait, option)
                if layers is not None:
                    yield Explanation(card, trait, model.convention[trait], option), replace(network, layers=layers)


def _switched_layers(network: Network, card: str, trait: str, option: str) -> tuple[Layer, ...] | None:
    """Return the layers with one trait switched; None where the traits do not go together, or change nothing."""
    try:
        layers = tuple(replace(layer, model=switched(layer.model, **{trait: option})) if layer.model.name == card else layer for layer in network.layers)
    except RefsimError:
        return None
    return None if all(a.model.discrete.texts == b.model.discrete.texts for a, b in zip(layers, network.layers, strict=True)) else layers
