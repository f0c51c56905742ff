"""A Network becomes a .nir file; where NIR cannot express it, an error says why.

`save_nir` first writes the graph without delays, reads it back to learn which edges of a loop NIR
delays by itself, and then writes it with the delays that are left.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...cards.frameworks import FrameworkLayer, framework_layers
from ...core.arrays import Floats
from ...core.errors import RefsimError
from ...networks.connection import DRIVE, Source
from ...networks.network import Layer, Network
from ..hdf5 import Tree, write_tree
from .graph import FIRING, INTEGRATORS, SortedLayers, read_graph, sort_layers

_VERSION = "1.0"
_WHERE = "export to NIR"
_ALL = frozenset(
    {"euler", "euler, current first", "zero-order hold", "exact spike times", "impulse"}
)
_EULERS = frozenset({"euler", "euler, current first"})
# The order in which a synapse decays, jumps and is used says which Euler step it is.
_SYNAPSES = {
    "decay, jump, use": "euler, current first",
    "jump, use, decay": "euler, current first",
    "jump, decay, use": "euler, current first",
    "use, decay, jump": "euler",
}


def save_nir(network: Network, path: str | Path) -> dict[str, str | float]:
    """Write a network to a .nir file.

    Parameters
    ----------
    network : Network
        Its neurons are those of NIR, or of a framework whose step is an Euler step of one of them.
    path : path

    Returns
    -------
    dict
        What NIR does not say, as options of `refsim.bridge.load`: ``load(path, **options)`` returns
        the same network.

    Raises
    ------
    RefsimError
        Where NIR cannot express a neuron or a connection, or not all layers in one file.
    """
    tree, stepped = _tree(network)
    if not stepped:
        raise RefsimError(
            f"{_WHERE}: its layers are stepped in different ways, and a .nir file is read with "
            "one integration for all of them."
        )
    write_tree(path, tree, "NIR file")
    options: dict[str, str | float] = {
        "dt": network.dt,
        "reset": "to v_reset",
        "integration": sorted(stepped)[0],
    }
    return options


def _tree(network: Network) -> tuple[Tree, frozenset[str]]:
    """Return the tree of the file, and the integrations with which it means this network."""
    nodes: Tree = {"input": {"type": "Input", "shape": np.array([network.n_inputs])}}
    nodes |= {"output": {"type": "Output", "shape": np.array([network.layers[-1].n_post])}}
    names = [f"neurons_{index}" for index in range(len(network.layers))]
    stepped = _ALL
    # An output without neurons of its own is the Output of the graph itself.
    for index, (name, layer) in enumerate(zip(names, network.layers, strict=True)):
        if layer.model.name == "nir_output" and index == len(names) - 1:
            names[index] = "output"
            continue
        nodes[name], own = _neurons(layer, network.dt)
        stepped &= own
    # Reading the graph back shows which of its edges lead back in a loop.
    graph = read_graph({"node": _wired(network, names, dict(nodes), None)}, _WHERE)
    return {
        "version": _VERSION,
        "node": _wired(network, names, nodes, sort_layers(graph)),
    }, stepped


def _wired(network: Network, names: list[str], nodes: Tree, order: SortedLayers | None) -> Tree:
    """Return the graph with its weights, and with its delays where the order of layers is known."""
    edges: list[list[str]] = []
    for index, layer in enumerate(network.layers):
        for number, (source, weight) in enumerate(zip(layer.sources, layer.weights, strict=True)):
            name, end = (
                f"weights_{index}_{number}",
                "input" if source.layer == DRIVE else names[source.layer],
            )
            # The bias of a layer stands with its first connection.
            biased = number == 0 and layer.bias.any()
            nodes[name] = (
                {"type": "Affine", "weight": weight, "bias": layer.bias}
                if biased
                else {"type": "Linear", "weight": weight}
            )
            if (
                order is not None
                and (delay := _delay(source, (end, names[index]) in order.back, layer)).any()
            ):
                nodes[f"delay_{index}_{number}"] = {"type": "Delay", "delay": delay * network.dt}
                edges.append([end, f"delay_{index}_{number}"])
                end = f"delay_{index}_{number}"
            edges += [[end, name], [name, names[index]]]
    if names[-1] != "output":
        edges.append([names[-1], "output"])
    return {"type": "NIRGraph", "nodes": nodes, "edges": edges}


def _delay(source: Source, back: bool, layer: Layer) -> Floats:
    """Return the steps of a Delay node, without the step that a loop delays by itself."""
    delay = source.delay - int(back)
    if delay.min() < 0:
        raise RefsimError(
            f"{_WHERE}: {layer.name} hears of a layer of its loop in the same step; NIR is read "
            "so that it hears of it in the next."
        )
    return delay.astype(np.float64)


def _neurons(layer: Layer, dt: float) -> tuple[Tree, frozenset[str]]:
    """Return the node of a layer, and the integrations with which it means the layer's step."""
    model, traits = layer.model, layer.model.convention
    # A card of NIR itself can be written as it is.
    card = next(
        (
            card
            for (framework, _), card in framework_layers().items()
            if framework == "nir" and card.card == model.name
        ),
        None,
    )
    # What NIR cannot express is refused for all cards alike.
    for trait, (said, why) in _SAYS.items():
        if traits and traits[trait] not in said:
            raise RefsimError(
                f"{_WHERE}: {layer.name} ({model.name}) has {trait} '{traits[trait]}'; {why}."
            )
    if card is not None:
        return _nir_node(layer, card, dt)
    if not traits:
        raise RefsimError(
            f"{_WHERE}: {layer.name} is a '{model.name}', which NIR cannot say; it has IF, LIF, "
            "CubaLIF, I, LI, CubaLI and Threshold, which the cards nir_* are."
        )
    return _euler(layer, dt)


# The options of each trait that NIR can express, and why it cannot express the others.
_SAYS = {
    "comparison": ((">", ">="), ""),
    "spikes": (("one", "none"), "NIR writes one spike at a time"),
    "reset": (("set", "none"), "NIR writes that a spike sets the membrane to v_reset"),
    "moment": (("now",), "NIR writes that a spike resets the membrane at once"),
    "floor": (("none",), "NIR has no lowest membrane potential"),
    "latency": (("none",), "NIR has no latency of a neuron; take a delay of the connection"),
}


def _nir_node(layer: Layer, card: FrameworkLayer, dt: float) -> tuple[Tree, frozenset[str]]:
    """Return the node of a layer whose card is one of NIR."""
    _check_firing(layer)
    kinds = [name.split(", ", 1) for name in card.layers]
    fires = layer.model.convention.get("spikes") != "none"
    kind = next(each[0] for each in kinds if (each[0] not in INTEGRATORS) == fires)
    values = {
        name: np.broadcast_to(value, layer.n_post) for name, value in layer.constants(dt).items()
    }
    fields = {
        field: values[parameter].copy()
        for parameter, field in card.attributes.items()
        if parameter in values and (fires or not field.startswith("v_re"))
    }
    # Not every integration of the card fits its options.
    refused = {
        when.get("integration") for when, _ in card.refusals if when.get("fires", fires) == fires
    }
    stepped = frozenset(
        each[1] for each in kinds if each[0] == kind and len(each) == 2 and each[1] not in refused
    )
    if layer.model.name == "nir_cuba_lif_euler":
        stepped = frozenset({_SYNAPSES[layer.model.convention["synapse"]]})
    return {"type": kind, **fields}, stepped or _ALL


def _check_firing(layer: Layer) -> None:
    """Refuse a threshold or a reset that NIR writes otherwise."""
    traits = layer.model.convention
    if not traits or traits["spikes"] == "none":
        return
    if traits["comparison"] != ">":
        raise RefsimError(
            f"{_WHERE}: {layer.name} ({layer.model.name}) fires at its threshold too; NIR writes "
            "that a neuron fires above it."
        )
    if traits["reset"] == "none" and layer.model.name != "nir_threshold":
        raise RefsimError(
            f"{_WHERE}: {layer.name} ({layer.model.name}) has no reset; NIR writes that a spike "
            "sets the membrane to v_reset."
        )


def _euler(layer: Layer, dt: float) -> tuple[Tree, frozenset[str]]:
    """Return the node whose Euler step is the step of a framework's layer."""
    _check_firing(layer)
    traits = layer.model.convention
    if traits["synapse"] not in ("none", *_SYNAPSES):
        raise RefsimError(
            f"{_WHERE}: {layer.name} ({layer.model.name}) has synapse '{traits['synapse']}', "
            "which is no Euler step of NIR's."
        )
    # NIR has one value for each neuron.
    values = {
        name: np.broadcast_to(value, layer.n_post).astype(np.float64)
        for name, value in layer.constants(dt).items()
    }
    # From the share of the leak in a step follow the time constant and the resistance.
    taken = _taken(traits, values)
    gain = values["gain"] * (taken if traits["input"] == "share" and taken is not None else 1.0)
    firing = (
        {"v_threshold": values["v_th"], "v_reset": values["v_reset"]}
        if traits["spikes"] != "none"
        else {}
    )
    kind = FIRING if firing else INTEGRATORS
    if traits["synapse"] != "none" and taken is None:
        raise RefsimError(
            f"{_WHERE}: {layer.name} ({layer.model.name}) has a synaptic current and no leak; "
            "NIR's CubaLIF has both."
        )
    if taken is None:
        return {"type": kind[0], "r": gain / dt, **firing}, _EULERS | {"zero-order hold"}
    if (taken <= 0).any():
        raise RefsimError(
            f"{_WHERE}: {layer.name} ({layer.model.name}) has a leak that takes nothing of some "
            "membranes; NIR's time constants are finite."
        )
    leaky = {"r": gain / taken, "v_leak": values["v_rest"], **firing}
    if traits["synapse"] == "none":
        return {"type": kind[1], "tau": dt / taken, **leaky}, _EULERS
    # The synaptic current loses this share of itself in a step.
    lost = 1 - values["syn_decay"]
    if (lost <= 0).any():
        raise RefsimError(
            f"{_WHERE}: {layer.name} ({layer.model.name}) has synaptic currents that never "
            "decay; NIR's time constants are finite."
        )
    enters = values.get("entry", np.ones(layer.n_post)) * (
        values["syn_decay"] if traits["synapse"] == "jump, decay, use" else 1.0
    )
    node: Tree = {
        "type": kind[2],
        "tau_mem": dt / taken,
        "tau_syn": dt / lost,
        "w_in": enters / lost,
        **leaky,
    }
    return node, frozenset({_SYNAPSES[traits["synapse"]]})


def _taken(traits: Mapping[str, str], values: Mapping[str, Floats]) -> Floats | None:
    """Return the share of its distance to rest that a membrane loses in a step; None: no leak."""
    if traits["leak"] == "none":
        return None
    if traits["leak"] == "factor":
        return 1 - values["decay"]
    return 1 / values["tau"] if traits["leak"] == "tau" else values["rate"]
