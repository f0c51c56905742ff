"""Read layers of an EscapeNetwork from cards: which cards have the one step it knows, u = decay v + I, v = u - reset z."""

from ..connection import DRIVE
from ..errors import RefsimError
from ..model import load
from ..network import Layer, Network
from .escape import Escape, EscapeLayer, exponential_escape


def escape_layer(network: Network, index: int, escape: Escape | None) -> EscapeLayer:
    """Return one layer of a network of cards; a card that fires by chance brings its own escape function."""
    layer = network.layers[index]
    where = f"layer {index}, card '{layer.model.name}'"
    _only_below(layer, index, where)
    if layer.parameters:
        raise RefsimError(f"{where}: has parameters of its own for each neuron; an escape network has one value a layer.")
    values = layer.model.constants(network.dt)
    bias = layer.bias if layer.bias.any() else None
    if _steps_like(layer, "poisson_escape"):
        own = exponential_escape(values["rate_th"] * network.dt, values["beta"])
        return EscapeLayer(layer.weight, bias, values["decay"], values["v_th"], 0.0, escape or own)
    if not _steps_like(layer, "srif"):
        raise RefsimError(
            f"{where}: an escape network knows the steps of the cards poisson_escape (fires by chance, no reset) and srif (soft reset, with an escape "
            "function given); build others from EscapeLayer, whose step is u = decay v + W s + b, v = u - reset z."
        )
    if escape is None:
        raise RefsimError(f"{where}: fires for certain; say with what chance instead, such as escape=sigmoid_escape(slope=4).")
    return EscapeLayer(layer.weight, bias, 1.0, values["v_th"], values["spike_value"], escape)


def _steps_like(layer: Layer, name: str) -> bool:
    """Whether the card's declared step is that of a card on the shelf, whatever it is called."""
    return layer.model.discrete.texts == load(name).discrete.texts


def _only_below(layer: Layer, index: int, where: str) -> None:
    below = index - 1 if index else DRIVE
    if [source.layer for source in layer.sources] != [below] or any(source.delay.any() for source in layer.sources):
        raise RefsimError(f"{where}: an escape network is a chain without loops and delays; this layer hears of something else than the layer below, or later.")
