"""Which networks have exact spike times, and why others have none."""

from ...errors import RefsimError
from ...model.expressions import names_in, parse_expression, parse_statements
from ...network import Layer, Network

WHERE = "spike_times='exact'"


def check_exact(network: Network) -> None:
    """Refuse what has no exact spike times, each for its reason."""
    for index, layer in enumerate(network.layers):
        if reason := _unfit(layer):
            raise RefsimError(f"{layer.name}: {reason.format(card=repr(layer.model.name))} {WHERE} runs cards as 'lif_exp' and 'cuba_lif' are.")
        for source in layer.sources:
            if source.layer >= index:
                raise RefsimError(f"{layer.name}: {WHERE} takes layers that hear of those before them, but this one hears of layer {source.layer}.")
            if source.delayed:
                raise RefsimError(
                    f"{layer.name}: {WHERE} knows no delays: the time since a crossing is kept until the next, and not until an arrival some steps later. Leave the delay out."
                )


def _unfit(layer: Layer) -> str:
    """Return why a layer's card has no exact spike times; empty where it has."""
    model, continuous = layer.model, layer.model.continuous
    if continuous is None:
        return "card {card} is a map in discrete time and has no ODE, so that nothing happens between its steps."
    if model.draws or "stochastic" in model.traits:
        return "card {card} fires by chance, and a spike time drawn anew in each step is no function of the weights."
    if not continuous.threshold:
        return "card {card} is a readout without a threshold, which has no spikes."
    if continuous.refractory:
        return "card {card} has a refractory period, which would end between two steps; that is not solved here."
    if len(model.inputs) != 1:
        return "card {card} parts its input by the sign of the weight, and its conductances are not linear."
    if model.input_kind == "pulse":
        return "card {card} takes a spike as a current that lasts a step, so that it depends on the step; a spike must be a jump, [input] kind = 'impulse'."
    reads = _names_in_threshold(layer)
    if set(model.inputs.values()) & reads:
        return "card {card} compares the very state that an arrival makes jump, so that it fires at arrivals, at times that no weight moves a little."
    changed = {statement.target for statement in parse_statements(continuous.reset, layer.name)} if continuous.reset else set()
    if not changed & reads:
        return "card {card} has no reset of what its threshold compares, and would fire in every step from then on."
    return ""


def _names_in_threshold(layer: Layer) -> set[str]:
    """Return the names that a layer's threshold reads."""
    assert layer.model.continuous is not None
    return set(names_in(parse_expression(layer.model.continuous.threshold, "threshold")))
