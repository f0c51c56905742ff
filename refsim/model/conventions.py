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
    },
    "comparison": {">=": "fires at the threshold", ">": "fires above the threshold, not at it"},
    "spikes": {
        "one": "at most one spike a step",
        "many": "as many spikes a step as the threshold fits into the membrane",
        "none": "never fires; the membrane is the output",
    },
    "reset": {"none": "no reset", "subtract": "a spike takes v_th from the membrane", "set": "a spike sets the membrane to v_reset"},
    "moment": {
        "now": "the reset belongs to the step of the spike",
        "next step, before the decay": "the reset comes one step late, before that step's decay and input",
        "next step, after the update": "the reset comes one step late, after that step's decay and input",
        "now, and again": "the reset belongs to the step of the spike; a membrane still above threshold is reset once more in the next, and given it back if it does not fire",
    },
    "floor": {"none": "the membrane may fall without end", "v_min": "the membrane is never below v_min, after the reset"},
    "latency": {"none": "spikes leave in their own step", "one step": "spikes leave one step late"},
}
USUAL = {trait: next(iter(options)) for trait, options in OPTIONS.items()}

# Parameters that traits ask for, where the card does not give them under a name of its own.
_PARAMETERS: dict[str, dict[str, Any]] = {
    "decay": {"value": 0.9, "meaning": "fraction of the membrane kept in one step"},
    "tau": {"value": 2.0, "above": 0.0, "meaning": "membrane time constant in steps"},
    "rate": {"value": 0.1, "meaning": "share of the distance to rest that the membrane moves in one step"},
    "syn_decay": {"value": 0.8, "meaning": "fraction of the synaptic current kept in one step"},
    "gain": {"value": 1.0, "meaning": "factor of the input"},
    "direct": {"value": 0.5, "meaning": "share of the input that acts through the synaptic current in the step of its arrival"},
    "v_th": {"value": 1.0, "meaning": "threshold"},
    "v_rest": {"value": 0.0, "meaning": "membrane potential at rest"},
    "v_reset": {"value": 0.0, "meaning": "membrane potential after a spike"},
    "v_min": {"value": -1.0, "meaning": "lowest membrane potential"},
}


def check_convention(given: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return all traits, the usual ones where none is given; refuse what is not known or does not go together."""
    traits = dict(USUAL)
    for trait, option in given.items():
        if trait not in OPTIONS:
            raise RefsimError(f"{where}: '{trait}' is not a trait; known are {listed(OPTIONS)}.")
        if option not in OPTIONS[trait]:
            raise RefsimError(f"{where}: {trait} must be one of {', '.join(map(repr, OPTIONS[trait]))}, but is {option!r}.")
        traits[trait] = option
    if traits["spikes"] == "none":
        traits |= {"reset": "none", "moment": "now", "comparison": ">="}
    if traits["reset"] == "none":
        traits["moment"] = "now"
    if traits["moment"] == "now, and again" and (traits["reset"], traits["spikes"]) not in (("subtract", "one"), ("set", "one")):
        raise RefsimError(f"{where}: moment 'now, and again' is for one spike a step that is reset.")
    return traits


def compose(table: Mapping[str, Any], card: str) -> dict[str, Any]:
    """Return a card's table with the tables that its convention stands for.

    Parameters
    ----------
    table : dict
        A card with [convention] and, under names of its framework's own, [parameters] and [derived]; a constant named entry
        is a factor of what reaches the synaptic current. Perhaps the kind of its [input], and an ODE without threshold and reset.

    Raises
    ------
    RefsimError
        Where the card also has what the convention makes.
    """
    if both := {"state", "discrete", "kernel", "traits"} & set(table):
        raise RefsimError(f"{card}: has [convention] and {listed(both)}; the traits stand for these.")
    traits = check_convention(table["convention"], f"{card}: [convention]")
    parameters, derived = dict(table.get("parameters", {})), dict(table.get("derived", {}))
    for name in _wanted(traits):
        if name not in parameters and name not in derived:
            parameters[name] = {"unit": "1", **_PARAMETERS[name]}
    if traits["leak"] == "factor":
        derived["share"] = {"text": "1 - decay", "unit": "1", "meaning": "what the decay takes of the membrane in one step"}
    state = {"v": {"unit": "1", "start": _start(parameters), "meaning": "membrane potential"}}
    if traits["synapse"] != "none":
        state["i_syn"] = {"unit": "1", "start": 0.0, "meaning": "synaptic current"}
    if traits["moment"].startswith("next"):
        state["owed"] = {"unit": "1", "start": 0.0, "meaning": "spikes of the last step, whose reset is still to come"}
    if traits["spikes"] == "many":
        state["count"] = {"unit": "1", "start": 0.0, "meaning": "spikes of this step, which other layers hear"}
    made = {
        "input": {"kind": "impulse", "target": "v" if traits["synapse"] == "none" else "i_syn", **table.get("input", {})},
        "state": state,
        "parameters": parameters,
        "derived": derived,
    }
    named = {"subtract": "soft_reset", "set": "hard_reset", "none": "no_reset"}[traits["reset"]]
    kinds = ["linear", *(["readout"] if traits["spikes"] == "none" else [named]), *(["graded"] if traits["spikes"] == "many" else [])]
    rest = {key: value for key, value in table.items() if key not in ("convention", "continuous")}
    entering = "entry*I" if "entry" in {**parameters, **derived} else "I"
    return {**rest, **made, **_continuous(table, traits), "traits": kinds, "discrete": _discrete(traits, entering)}


def _continuous(table: Mapping[str, Any], traits: Mapping[str, str]) -> dict[str, Any]:
    """Return the ODE that a card gives, with threshold and reset by its traits; nothing where an ODE cannot say these."""
    ode = table.get("continuous")
    stepwise = traits["spikes"] == "many" or any(traits[trait] != USUAL[trait] for trait in ("moment", "floor", "latency"))
    if ode is None or stepwise or ("i_syn" in ode["equations"]) != (traits["synapse"] != "none"):
        return {}
    if traits["spikes"] == "none":
        return {"continuous": ode}
    reset = {"none": {}, "subtract": {"reset": "v -= v_th"}, "set": {"reset": "v = v_reset"}}[traits["reset"]]
    return {"continuous": {**ode, "threshold": f"v {traits['comparison']} v_th", **reset}}


def _start(parameters: Mapping[str, Any]) -> float:
    """Return where the membrane starts: at rest, where the card gives it a number."""
    value = parameters.get("v_rest", {}).get("value", 0.0)
    return float(value) if isinstance(value, int | float) else 0.0


def _wanted(traits: Mapping[str, str]) -> list[str]:
    wanted = ["gain", *{"none": [], "factor": ["decay", "v_rest"], "tau": ["tau", "v_rest"], "rate": ["rate", "v_rest"]}[traits["leak"]]]
    wanted += ["syn_decay"] if traits["synapse"] != "none" else []
    wanted += ["direct"] if traits["synapse"].startswith("use with") else []
    wanted += ["v_th"] if traits["spikes"] != "none" else []
    wanted += ["v_reset"] if traits["reset"] == "set" else []
    return wanted + (["v_min"] if traits["floor"] == "v_min" else [])


def _discrete(traits: Mapping[str, str], entering: str) -> dict[str, str]:
    before, after = _delayed(traits, "next step, before the decay"), _delayed(traits, "next step, after the update")
    again = [f"still = v {traits['comparison']} v_th"] if traits["moment"] == "now, and again" else []
    still = [_reset(traits, "still")] if again else []  # before the decay where it sets, after the update where it subtracts
    enters, leaves = _synapse(traits["synapse"], entering)
    sets = traits["reset"] == "set"
    lines = [*again, *before, *(still if sets else []), *enters, _update(traits), *leaves, *after, *([] if sets else still)]
    if traits["spikes"] == "none":
        return {"solution": "map", "integrate": "\n".join(lines + _floored(traits)), "readout": "v"}
    made = {"solution": "map", "integrate": "\n".join(lines), "fire": f"z = v {traits['comparison']} v_th"}
    ending = (["count = z*floor(v/v_th)"] if traits["spikes"] == "many" else []) + _ending(traits) + _floored(traits)
    return {**made, **({"reset": "\n".join(ending)} if ending else {}), **({"payload": "count"} if traits["spikes"] == "many" else {})}


def _synapse(order: str, entering: str) -> tuple[list[str], list[str]]:
    """Return what comes before and after the membrane's update; `entering` is what the input adds to the synaptic current."""
    return {
        "none": (["x = I"], []),
        "decay, jump, use": ([f"i_syn = syn_decay*i_syn + {entering}", "x = i_syn"], []),
        "jump, use, decay": ([f"x = i_syn + {entering}"], ["i_syn = syn_decay*x"]),
        "jump, decay, use": ([f"i_syn = syn_decay*(i_syn + {entering})", "x = i_syn"], []),
        "use, decay, jump": (["x = i_syn"], [f"i_syn = syn_decay*x + {entering}"]),
        "use with a part of the input, decay, jump": (["x = i_syn + direct*I"], [f"i_syn = syn_decay*i_syn + {entering}"]),
    }[order]


def _update(traits: Mapping[str, str]) -> str:
    """Return the update of the membrane, its operations in the order of the frameworks that do it so."""
    return {
        ("none", "whole"): "v = v + gain*x",
        ("none", "share"): "v = v + gain*x",
        ("factor", "whole"): "v = decay*v + share*v_rest + gain*x",
        ("factor", "share"): "v = decay*v + share*(v_rest + gain*x)",
        ("tau", "whole"): "v = v - (v - v_rest)/tau + gain*x",
        ("tau", "share"): "v = v + (gain*x - (v - v_rest))/tau",
        ("rate", "whole"): "v = v + rate*(v_rest - v) + gain*x",
        ("rate", "share"): "v = v + rate*((v_rest - v) + gain*x)",
    }[traits["leak"], traits["input"]]


def _reset(traits: Mapping[str, str], spikes: str) -> str:
    return f"v = v - {spikes}*v_th" if traits["reset"] == "subtract" else f"v = v*(1 - {spikes}) + v_reset*{spikes}"


def _delayed(traits: Mapping[str, str], moment: str) -> list[str]:
    if traits["moment"] != moment:
        return []
    if traits["reset"] == "set" and traits["spikes"] == "many":
        return ["late = owed > 0", _reset(traits, "late")]
    return [_reset(traits, "owed")]


def _ending(traits: Mapping[str, str]) -> list[str]:
    sent = "count" if traits["spikes"] == "many" else "z"
    if traits["reset"] == "none":
        return []
    if traits["moment"] == "now":
        return [_reset(traits, sent if traits["reset"] == "subtract" else "z")]
    if traits["moment"] == "now, and again":  # what was taken in this step already is not taken twice, and is given back without a spike
        return ["v = v - (z - still)*v_th" if traits["reset"] == "subtract" else "v = v*(1 - (z - still))"]
    return [f"owed = {sent}"]


def _floored(traits: Mapping[str, str]) -> list[str]:
    return ["low = v < v_min", "v = v*(1 - low) + v_min*low"] if traits["floor"] == "v_min" else []
