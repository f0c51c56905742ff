"""Conventions: how a framework steps its neuron, as traits with names, and the card's tables that they stand for.

A card with a [convention] says its step in traits in place of statements. One trait can be switched by name, so that a
wrong reading of a framework is one word, and can be found as one.
"""

from collections.abc import Mapping
from typing import Any

from ..errors import RefsimError, listed

# Trait -> its options -> what each means. `x` is what the membrane gets of the input.
OPTIONS: dict[str, dict[str, str]] = {
    "synapse": {
        "none": "the membrane gets the input itself",
        "decay, jump, use": "the synaptic current decays, takes the input, and acts in the same step",
        "jump, use, decay": "the synaptic current takes the input, acts, and decays afterwards",
        "jump, decay, use": "the synaptic current takes the input, decays, and acts: its own input is decayed already",
        "jump, decay, share, use": "as 'jump, decay, use', and what the leak takes, 1 - decay, scales the current that is kept",
        "use, decay, jump": "the synaptic current acts before it takes the input, which acts one step later",
        "use with a part of the input, decay, jump": "the synaptic current acts with the share direct of the input, as an input held over the step does",
    },
    "leak": {
        "none": "the membrane keeps all",
        "factor": "the membrane is multiplied by decay",
        "tau": "the membrane loses its distance to v_rest divided by tau, in steps",
        "rate": "the membrane moves towards v_rest by the share rate of the distance",
    },
    "input": {
        "whole": "what arrives is added as it is, times gain",
        "share": "what arrives is scaled by what the leak takes: 1 - decay, 1/tau or rate",
        "kept": "what arrives leaks in its own step, as what was there: it is scaled by what the leak leaves",
    },
    "bias": {
        "none": "no bias but that of the weights",
        "to the membrane": "a bias is added to the membrane in each step, past the synapse",
        "to the input, from the second step on": "a bias is added to the input in each step but the first",
    },
    "threshold": {
        "fixed": "the threshold is v_th",
        "adapting": "the threshold is v_th + adapt_scale*b, and b follows the spikes of each step, decaying by adapt_decay",
    },
    "comparison": {">=": "fires at the threshold", ">": "fires above the threshold, not at it"},
    "spikes": {
        "one": "at most one spike a step",
        "many": "as many spikes a step as the threshold fits into the membrane",
        "many, up to n_max": "as many spikes a step as the threshold fits into the membrane, and no more than n_max",
        "none": "never fires; the membrane is the output",
        "none, heard": "never fires; the membrane is the output, and is what other layers hear in each step",
    },
    "reset": {
        "none": "no reset",
        "subtract": "a spike takes the threshold from the membrane",
        "subtract v_drop": "a spike takes v_drop from the membrane",
        "set": "a spike sets the membrane to v_reset",
        "empty, add v_reset": "a spike sets the membrane to 0, and v_reset is added in each step, spike or not",
    },
    "moment": {
        "now": "the reset belongs to the step of the spike",
        "next step, before the decay": "the reset comes one step late, before that step's decay and input",
        "next step, after the update": "the reset comes one step late, after that step's decay and input",
        "now, and again before the decay": "the reset belongs to the step of the spike; a membrane that it leaves above threshold is reset again "
        "before the next decay, and that is undone unless the neuron fires",
        "now, and again after the update": "the same, but reset again after the next step's decay and input",
    },
    "floor": {
        "none": "the membrane may fall without end",
        "v_min": "the membrane is never below v_min, after the reset",
        "v_min, once it is read": "the membrane is raised to v_min after its output was taken, which may be below",
    },
    "start": {"at rest": "the membrane starts at v_rest, without a leak at 0", "v_start": "the membrane starts at v_start"},
    "latency": {"none": "spikes leave in their own step", "one step": "spikes leave one step late"},
}
LATE_BIAS = "to the input, from the second step on"
SILENT = ("none", "none, heard")
USUAL = {trait: next(iter(options)) for trait, options in OPTIONS.items()}


def check_convention(given: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return all traits, the usual ones where none is given; refuse what is not known or does not go together."""
    if not isinstance(given, Mapping):
        raise RefsimError(f"{where}: must be a table of traits, but is {given!r}.")
    traits = dict(USUAL)
    for trait, option in given.items():
        if trait not in OPTIONS:
            raise RefsimError(f"{where}: '{trait}' is not a trait; known are {listed(OPTIONS)}.")
        if not isinstance(option, str) or option not in OPTIONS[trait]:
            raise RefsimError(f"{where}: {trait} must be one of {', '.join(map(repr, OPTIONS[trait]))}, but is {option!r}.")
        traits[trait] = option
    if traits["spikes"] in SILENT:
        traits |= {"reset": "none", "moment": "now", "comparison": ">=", "threshold": "fixed"}
    if traits["reset"] == "none":
        traits["moment"] = "now"
    if resets_again(traits) and (traits["spikes"] != "one" or traits["reset"] not in ("subtract", "set")):
        raise RefsimError(f"{where}: moment {traits['moment']!r} is for one spike a step, and a reset that subtracts v_th or sets.")
    return traits


def resets_again(traits: Mapping[str, str]) -> bool:
    """Whether a membrane that a reset leaves above threshold is reset once more."""
    return traits["moment"].startswith("now, and again")
