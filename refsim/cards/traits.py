"""Conventions: how a framework steps its neuron, as traits with names.

A card with a [convention] gives its step by traits in place of statements. One trait can be
switched by name, so that a wrong reading of a framework is one word, and can be found as one.
`compose` writes the tables that the traits stand for: states, parameters, the step in its order,
and the ODE where there is one.
"""

from collections.abc import Mapping
from typing import Any

from ..core.errors import RefsimError, listed
from ..core.tables import Table

# Trait -> its options -> what each means. The first option is the usual one.
OPTIONS: dict[str, dict[str, str]] = {
    "synapse": {
        "none": "the membrane gets the input itself",
        "decay, jump, use": (
            "the synaptic current decays, takes the input, and acts in the same step"
        ),
        "jump, use, decay": "the synaptic current takes the input, acts, and decays afterwards",
        "jump, decay, use": (
            "the synaptic current takes the input, decays, and acts: its own "
            "input is decayed already"
        ),
        "jump, decay, share, use": (
            "as 'jump, decay, use', and what the leak takes, 1 - decay, "
            "scales the current that is kept"
        ),
        "use, decay, jump": (
            "the synaptic current acts before it takes the input, which acts one step later"
        ),
        "use with a part of the input, decay, jump": (
            "the synaptic current acts with the share "
            "direct of the input, as an input held over "
            "the step does"
        ),
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
        "kept": (
            "what arrives leaks in its own step, as what was there: it is scaled by what the "
            "leak leaves"
        ),
    },
    "bias": {
        "none": "no bias but that of the weights",
        "to the membrane": "a bias is added to the membrane in each step, past the synapse",
        "to the input, from the second step on": (
            "a bias is added to the input in each step but the first"
        ),
    },
    "threshold": {
        "fixed": "the threshold is v_th",
        "adapting": (
            "the threshold is v_th + adapt_scale*b, and b follows the spikes of each "
            "step, decaying by adapt_decay"
        ),
    },
    "comparison": {">=": "fires at the threshold", ">": "fires above the threshold, not at it"},
    "spikes": {
        "one": "at most one spike a step",
        "many": "as many spikes a step as the threshold fits into the membrane",
        "many, up to n_max": (
            "as many spikes a step as the threshold fits into the membrane, and no more than n_max"
        ),
        "none": "never fires; the membrane is the output",
        "none, heard": (
            "never fires; the membrane is the output, and is what other layers hear in each step"
        ),
    },
    "reset": {
        "none": "no reset",
        "subtract": "a spike takes the threshold from the membrane",
        "subtract v_drop": "a spike takes v_drop from the membrane",
        "set": "a spike sets the membrane to v_reset",
        "empty, add v_reset": (
            "a spike sets the membrane to 0, and v_reset is added in each step, spike or not"
        ),
    },
    "moment": {
        "now": "the reset belongs to the step of the spike",
        "next step, before the decay": (
            "the reset comes one step late, before that step's decay and input"
        ),
        "next step, after the update": (
            "the reset comes one step late, after that step's decay and input"
        ),
        "now, and again before the decay": "the reset belongs to the step of the spike; a "
        "membrane that it leaves above threshold is reset "
        "again "
        "before the next decay, and that is undone unless the neuron fires",
        "now, and again after the update": (
            "the same, but reset again after the next step's decay and input"
        ),
    },
    "floor": {
        "none": "the membrane may fall without end",
        "v_min": "the membrane is never below v_min, after the reset",
        "v_min, once it is read": (
            "the membrane is raised to v_min after its output was taken, which may be below"
        ),
    },
    "start": {
        "at rest": "the membrane starts at v_rest, without a leak at 0",
        "v_start": "the membrane starts at v_start",
    },
    "latency": {"none": "spikes leave in their own step", "one step": "spikes leave one step late"},
}
LATE_BIAS = "to the input, from the second step on"
SILENT = ("none", "none, heard")
USUAL = {trait: next(iter(options)) for trait, options in OPTIONS.items()}


def check_convention(given: Mapping[str, Any], where: str) -> dict[str, str]:
    """Return all traits, the usual option where none is given.

    Raises
    ------
    RefsimError
        For an unknown trait or option, and for traits that do not go together.
    """
    if not isinstance(given, Mapping):
        raise RefsimError(f"{where}: must be a table of traits, but is {given!r}.")
    traits = dict(USUAL)
    for trait, option in given.items():
        if trait not in OPTIONS:
            raise RefsimError(f"{where}: '{trait}' is not a trait; known are {listed(OPTIONS)}.")
        if not isinstance(option, str) or option not in OPTIONS[trait]:
            raise RefsimError(
                f"{where}: {trait} must be one of {', '.join(map(repr, OPTIONS[trait]))}, but is "
                f"{option!r}."
            )
        traits[trait] = option
    # Traits of a spike mean nothing where there is none.
    if traits["spikes"] in SILENT:
        traits |= {"reset": "none", "moment": "now", "comparison": ">=", "threshold": "fixed"}
    if traits["reset"] == "none":
        traits["moment"] = "now"
    if resets_again(traits) and (
        traits["spikes"] != "one" or traits["reset"] not in ("subtract", "set")
    ):
        raise RefsimError(
            f"{where}: moment {traits['moment']!r} is for one spike a step, and a reset that "
            "subtracts v_th or sets."
        )
    return traits


def resets_again(traits: Mapping[str, str]) -> bool:
    """Return whether a membrane that a reset leaves above threshold is reset once more."""
    return traits["moment"].startswith("now, and again")


# Parameters that traits ask for, where the card does not give them itself.
_PARAMETERS: dict[str, Table] = {
    "decay": {"value": 0.9, "meaning": "fraction of the membrane kept in one step"},
    "tau": {"value": 2.0, "above": 0.0, "meaning": "membrane time constant in steps"},
    "rate": {
        "value": 0.1,
        "meaning": "share of the distance to rest that the membrane moves in one step",
    },
    "syn_decay": {"value": 0.8, "meaning": "fraction of the synaptic current kept in one step"},
    "gain": {"value": 1.0, "meaning": "factor of the input"},
    "direct": {
        "value": 0.5,
        "meaning": (
            "share of the input that acts through the synaptic current in the step of its arrival"
        ),
    },
    "v_th": {"value": 1.0, "meaning": "threshold"},
    "v_rest": {"value": 0.0, "meaning": "membrane potential at rest"},
    "v_reset": {"value": 0.0, "meaning": "membrane potential after a spike"},
    "v_start": {"value": 0.0, "meaning": "membrane potential at the start"},
    "v_min": {"value": -1.0, "meaning": "lowest membrane potential"},
    "v_drop": {"value": 0.5, "meaning": "what a spike takes from the membrane"},
    "n_max": {"value": 2.0, "minimum": 1.0, "whole": True, "meaning": "most spikes in one step"},
    "own_bias": {"value": 0.0, "meaning": "bias of the neuron's own"},
    "adapt_decay": {"value": 0.9, "meaning": "fraction of the adaptation kept in one step"},
    "adapt_scale": {"value": 1.8, "meaning": "threshold added by an adaptation of 1"},
}

# Parameters whose usual value says nothing: with it the neuron is as if it had no such parameter.
UNSAID = frozenset({"gain", "v_rest", "v_reset", "v_start"})
# Names that a card may declare for a trait that is not switched on.
OF_TRAITS = frozenset({*_PARAMETERS, "share"})


def compose(table: Mapping[str, Any], card: str) -> Table:
    """Return a card's table with the tables that its convention stands for.

    Parameters
    ----------
    table : dict
        A card with [convention] and, under its framework's own names, [parameters] and [derived].
        A constant named entry is a factor of what reaches the synaptic current. It may have the
        kind of its [input], and an ODE without threshold and reset.

    Raises
    ------
    RefsimError
        Where the card also has what the convention makes.
    """
    if both := {"state", "discrete", "kernel", "traits"} & set(table):
        raise RefsimError(
            f"{card}: has [convention] and {listed(both)}; the traits stand for these."
        )
    traits = check_convention(table["convention"], f"{card}: [convention]")
    # The parameters that the traits need are added to those of the card.
    parameters, derived = dict(table.get("parameters", {})), dict(table.get("derived", {}))
    for name in _wanted(traits):
        if name not in parameters and name not in derived:
            parameters[name] = {"unit": "1", **_PARAMETERS[name]}
    if traits["leak"] == "factor" or traits["synapse"] == "jump, decay, share, use":
        derived["share"] = {
            "text": "1 - decay",
            "unit": "1",
            "meaning": "what the decay takes of the membrane in one step",
        }
    # The membrane is always there; each other state belongs to a trait.
    state = {
        "v": {"unit": "1", "start": _start(traits, parameters), "meaning": "membrane potential"}
    }
    if traits["synapse"] != "none":
        state["i_syn"] = {"unit": "1", "start": 0.0, "meaning": "synaptic current"}
    if traits["moment"].startswith("next"):
        start = "owed_start" if traits["spikes"] == "one" else 0.0
        state["owed"] = {
            "unit": "1",
            "start": start,
            "meaning": "spikes of the last step, whose reset is still to come",
        }
        derived |= {"owed_start": _owed_at_start(traits, parameters)} if start else {}
    if traits["bias"] == LATE_BIAS:
        state["begun"] = {
            "unit": "1",
            "start": 0.0,
            "meaning": "1 after the first step, from which on the bias is added",
        }
    if traits["threshold"] == "adapting":
        state["b"] = {
            "unit": "1",
            "start": 0.0,
            "meaning": "adaptation, which raises the threshold",
        }
        derived["adapt_share"] = {
            "text": "1 - adapt_decay",
            "unit": "1",
            "meaning": "adaptation by one spike",
        }
    if payload := _payload(traits):
        state[payload] = {
            "unit": "1",
            "start": 0.0,
            "meaning": "what other layers hear of this step",
        }
    # Input reaches the synapse where there is one, else the membrane.
    tables = {
        "input": {
            "kind": "impulse",
            "target": "v" if traits["synapse"] == "none" else "i_syn",
            **table.get("input", {}),
        },
        "state": state,
        "parameters": parameters,
        "derived": derived,
    }
    named = {"subtract": "soft_reset", "subtract v_drop": "soft_reset", "none": "no_reset"}.get(
        traits["reset"], "hard_reset"
    )
    # The card's traits, as other cards list them.
    kinds = [
        "linear",
        *(["readout"] if traits["spikes"] == "none" else [named]),
        *(["graded"] if _payload(traits) else []),
    ]
    rest = {key: value for key, value in table.items() if key not in ("convention", "continuous")}
    entry = "entry*" if "entry" in {**parameters, **derived} else ""
    return {
        **rest,
        **tables,
        **_continuous(table, traits),
        "traits": kinds,
        "discrete": _discrete(traits, entry),
    }


def _continuous(table: Mapping[str, Any], traits: Mapping[str, str]) -> Table:
    """Return the ODE that a card gives, with threshold and reset by its traits.

    Nothing is returned where an ODE cannot express the traits.
    """
    ode = table.get("continuous")
    # These traits are of steps alone, and no ODE has them.
    stepwise = _payload(traits) or any(
        traits[trait] != USUAL[trait]
        for trait in ("moment", "floor", "latency", "threshold", "bias")
    )
    if ode is None or stepwise or ("i_syn" in ode["equations"]) != (traits["synapse"] != "none"):
        return {}
    if traits["spikes"] == "none":
        return {"continuous": ode}
    resets = {
        "none": {},
        "subtract": {"reset": "v -= v_th"},
        "subtract v_drop": {"reset": "v -= v_drop"},
        "set": {"reset": "v = v_reset"},
    }
    if traits["reset"] not in resets:
        return {}
    return {
        "continuous": {
            **ode,
            "threshold": f"v {traits['comparison']} v_th",
            **resets[traits["reset"]],
        }
    }


def _start(traits: Mapping[str, str], parameters: Mapping[str, Any]) -> str | float:
    """Return where the membrane starts: the name of a parameter, or 0."""
    at = "v_rest" if traits["start"] == "at rest" else "v_start"
    return at if at in parameters else 0.0


def _owed_at_start(traits: Mapping[str, str], parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the derived constant that is 1 where a reset is due in the first step.

    A late reset looks at the membrane that a step finds, which may start above threshold.
    """
    text = f"{_start(traits, parameters)} {traits['comparison']} v_th"
    return {
        "text": text,
        "unit": "1",
        "meaning": (
            "1 where the membrane starts above threshold, so that a reset is due in the first step"
        ),
    }


def _wanted(traits: Mapping[str, str]) -> list[str]:
    """Return the parameters that the traits need, in the order in which a card lists them."""
    wanted = [
        "gain",
        *{
            "none": [],
            "factor": ["decay", "v_rest"],
            "tau": ["tau", "v_rest"],
            "rate": ["rate", "v_rest"],
        }[traits["leak"]],
    ]
    wanted += ["syn_decay"] if traits["synapse"] != "none" else []
    wanted += ["direct"] if traits["synapse"].startswith("use with") else []
    wanted += ["v_th"] if traits["spikes"] not in SILENT else []
    wanted += {
        "set": ["v_reset"],
        "empty, add v_reset": ["v_reset"],
        "subtract v_drop": ["v_drop"],
    }.get(traits["reset"], [])
    wanted += ["own_bias"] if traits["bias"] != "none" else []
    wanted += ["adapt_decay", "adapt_scale"] if traits["threshold"] == "adapting" else []
    wanted += ["n_max"] if traits["spikes"] == "many, up to n_max" else []
    wanted += (
        ["decay"]
        if traits["synapse"] == "jump, decay, share, use" and "decay" not in wanted
        else []
    )
    wanted += ["v_start"] if traits["start"] == "v_start" else []
    return wanted + (["v_min"] if traits["floor"] != "none" else [])


def _many(traits: Mapping[str, str]) -> bool:
    return traits["spikes"].startswith("many")


def _payload(traits: Mapping[str, str]) -> str:
    """Return the state that other layers receive in place of spikes; empty where there is none."""
    return "count" if _many(traits) else "sent" if traits["spikes"] == "none, heard" else ""


def _threshold(traits: Mapping[str, str]) -> str:
    return "v_now" if traits["threshold"] == "adapting" else "v_th"


def _discrete(traits: Mapping[str, str], entry: str) -> dict[str, str]:
    """Return the declared step.

    Parameters
    ----------
    entry : str
        ``"entry*"`` where the card has that factor of the synaptic current's input, else empty.
    """
    before, after = _delayed(traits, "before the decay"), _delayed(traits, "after the update")
    adapts = traits["threshold"] == "adapting"
    second = (
        [f"still = v {traits['comparison']} {_threshold(traits)}"] if resets_again(traits) else []
    )
    late = traits["bias"] == LATE_BIAS
    enters, leaves = _synapse(traits["synapse"], "arrived" if late else "I", entry)
    # One step in order: what was left over, the input, the leak, and what follows it.
    lines = [
        *(_floored() if traits["floor"] == "v_min, once it is read" else []),
        *(["v_now = v_th + adapt_scale*b"] if adapts else []),
        *second,
        *before,
        *(["arrived = I + begun*own_bias", "begun = 1"] if late else []),
        *enters,
        _update(traits),
        *(["v = v + own_bias"] if traits["bias"] == "to the membrane" else []),
        *leaves,
        *after,
    ]
    ends = _floored() if traits["floor"] == "v_min" else []
    # A neuron without spikes ends here; one that sends its membrane fires always.
    if traits["spikes"] == "none":
        return {"solution": "map", "integrate": "\n".join(lines + ends), "readout": "v"}
    if traits["spikes"] == "none, heard":
        whole = "\n".join(lines + ends)
        return {
            "solution": "map",
            "integrate": whole,
            "fire": "z = abs(v) > 0",
            "reset": "sent = z*v",
            "payload": "sent",
        }
    threshold, sent = _threshold(traits), "count" if _many(traits) else "z"
    step = {
        "solution": "map",
        "integrate": "\n".join(lines),
        "fire": f"z = v {traits['comparison']} {threshold}",
    }
    # Neurons of many spikes send their number.
    fits = f"floor(v/{threshold})"
    counted = {
        "many": [f"count = z*{fits}"],
        "many, up to n_max": [f"count = z*clip({fits}, 0, n_max)"],
    }.get(traits["spikes"], [])
    follows = [f"b = adapt_decay*b + adapt_share*{sent}"] if adapts else []
    ending = counted + _ending(traits) + follows + ends
    return {
        **step,
        **({"reset": "\n".join(ending)} if ending else {}),
        **({"payload": "count"} if _many(traits) else {}),
    }


def _synapse(option: str, arrives: str, entry: str) -> tuple[list[str], list[str]]:
    """Return the statements before and after the update of the membrane."""
    entering = f"{entry}{arrives}"
    return {
        "none": ([f"x = {arrives}"], []),
        "decay, jump, use": ([f"i_syn = syn_decay*i_syn + {entering}", "x = i_syn"], []),
        "jump, use, decay": ([f"x = i_syn + {entering}"], ["i_syn = syn_decay*x"]),
        "jump, decay, use": ([f"i_syn = syn_decay*(i_syn + {entering})", "x = i_syn"], []),
        "jump, decay, share, use": (
            [f"i_syn = share*(syn_decay*(i_syn + {entering}))", "x = i_syn"],
            [],
        ),
        "use, decay, jump": (["x = i_syn"], [f"i_syn = syn_decay*x + {entering}"]),
        "use with a part of the input, decay, jump": (
            [f"x = i_syn + direct*{arrives}"],
            [f"i_syn = syn_decay*i_syn + {entering}"],
        ),
    }[option]


def _update(traits: Mapping[str, str]) -> str:
    """Return the update of the membrane, with its operations in the order of the frameworks."""
    return {
        ("none", "whole"): "v = v + gain*x",
        ("none", "share"): "v = v + gain*x",
        ("none", "kept"): "v = v + gain*x",
        ("factor", "kept"): "v = decay*(v + gain*x) + share*v_rest",
        ("tau", "kept"): "v = (v + gain*x) - ((v + gain*x) - v_rest)/tau",
        ("rate", "kept"): "v = (v + gain*x) + rate*(v_rest - (v + gain*x))",
        ("factor", "whole"): "v = decay*v + share*v_rest + gain*x",
        ("factor", "share"): "v = decay*v + share*(v_rest + gain*x)",
        ("tau", "whole"): "v = v - (v - v_rest)/tau + gain*x",
        ("tau", "share"): "v = v + (gain*x - (v - v_rest))/tau",
        ("rate", "whole"): "v = v + rate*(v_rest - v) + gain*x",
        ("rate", "share"): "v = v + rate*((v_rest - v) + gain*x)",
    }[traits["leak"], traits["input"]]


def _reset(traits: Mapping[str, str], spikes: str) -> str:
    return {
        "subtract": f"v = v - {spikes}*{_threshold(traits)}",
        "subtract v_drop": f"v = v - {spikes}*v_drop",
        "set": f"v = v*(1 - {spikes}) + v_reset*{spikes}",
        "empty, add v_reset": f"v = v*(1 - {spikes}) + v_reset",
    }[traits["reset"]]


def _subtracts(traits: Mapping[str, str]) -> bool:
    return traits["reset"].startswith("subtract")


def _delayed(traits: Mapping[str, str], place: str) -> list[str]:
    """Return the reset that comes late, or again, if it belongs in this place.

    Parameters
    ----------
    place : {"before the decay", "after the update"}
    """
    if not traits["moment"].endswith(place):
        return []
    if resets_again(traits):
        return [_reset(traits, "still")]
    if not _subtracts(traits) and _many(traits):
        return ["late = owed > 0", _reset(traits, "late")]
    return [_reset(traits, "owed")]


def _ending(traits: Mapping[str, str]) -> list[str]:
    """Return the reset at the end of the step, or what is left to reset in the next."""
    sent = "count" if _many(traits) else "z"
    if traits["reset"] == "none":
        return []
    if traits["moment"] == "now":
        return [_reset(traits, sent if _subtracts(traits) else "z")]
    # What this step has taken already is not taken twice, and is given back without a spike.
    if resets_again(traits):
        return [
            f"v = v - (z - still)*{_threshold(traits)}"
            if traits["reset"] == "subtract"
            else "v = v*(1 - (z - still))"
        ]
    return [f"owed = {sent}"]


def _floored() -> list[str]:
    """Return the floor as Sinabs computes it: the part of the membrane above it is rectified."""
    return ["room = v - v_min", "above = room > 0", "v = room*above + v_min"]
