"""The step of a framework's layer, put together by hand from the traits of its convention.

The statements of the card are put together elsewhere, from the same traits:
`refsim.cards.traits` says what each trait means.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from .base import State, Step, Stepped, above_zero, at_most
from .surrogate import Fire

Constants = Mapping[str, Tensor]  # or numbers, where all neurons share them


def convention_step(traits: Mapping[str, str]) -> Step:
    """Return the step of a neuron with these traits.

    Parameters
    ----------
    traits : dict of str to str
        Each trait with its value, as `refsim.cards.traits` has them.

    Returns
    -------
    function ``(x, s, p, fire) -> (z, seen, s)``
        As `refsim.pytorch.steps` describes it.
    """

    def step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
        v, owed = s["v"], s.get("owed")
        # What the convention does to its values before it uses them.
        if traits["floor"] == "v_min, once it is read":
            v = _floored(v, p)
        if traits["threshold"] == "adapting":
            p = {**p, "v_th": p["v_th"] + p["adapt_scale"] * s["b"]}
        states: dict[str, Tensor] = {}
        if traits["bias"] == "to the input, from the second step on":
            x, states["begun"] = x + s["begun"] * p["own_bias"], torch.ones_like(v)
        # The synapse, then resets that come before the update, then the update itself.
        current, i_syn = _synapse(traits["synapse"], x, s, p)
        again = _over(v, traits, p, fire) if traits["moment"].startswith("now, and again") else None
        late = owed if again is None else again
        if traits["moment"].endswith("before the decay"):
            v = _after_spikes(v, late, traits, p)
        v = _relaxed(v, current, traits, p)
        if traits["bias"] == "to the membrane":
            v = v + p["own_bias"]
        if traits["moment"].endswith("after the update"):
            v = _after_spikes(v, late, traits, p)
        states |= {} if i_syn is None else {"i_syn": i_syn}
        # A neuron without a threshold ends here.
        if traits["spikes"] == "none":
            v = _floored(v, p) if traits["floor"] == "v_min" else v
            return torch.zeros_like(v), v, {"v": v, **states}
        if traits["spikes"] == "none, heard":
            v = _floored(v, p) if traits["floor"] == "v_min" else v
            return torch.abs(torch.sign(v)), v, {"v": v, "sent": v, **states}
        # The threshold, and a reset in this same step.
        z = _over(v, traits, p, fire)
        sent = _spike_count(z, v, traits, p)
        after = v
        if traits["moment"] == "now":
            after = _after_spikes(v, sent, traits, p)
        elif again is not None:
            after = v - (z - again) * (p["v_th"] if traits["reset"] == "subtract" else v)
        after = _floored(after, p) if traits["floor"] == "v_min" else after
        # States beside the membrane: spikes counted, adaptation, and resets of the next step.
        states |= {"count": sent} if traits["spikes"].startswith("many") else {}
        states |= (
            {"b": p["adapt_decay"] * s["b"] + p["adapt_share"] * sent}
            if traits["threshold"] == "adapting"
            else {}
        )
        states |= {"owed": sent} if traits["moment"].startswith("next") else {}
        return z, v, {"v": after, **states}

    return step


def _over(v: Tensor, traits: Mapping[str, str], p: Constants, fire: Fire) -> Tensor:
    return fire(v - p["v_th"]) if traits["comparison"] == ">=" else 1 - fire(p["v_th"] - v)


def _spike_count(z: Tensor, v: Tensor, traits: Mapping[str, str], p: Constants) -> Tensor:
    if traits["spikes"] == "one":
        return z
    fits = torch.floor(v / p["v_th"])
    return z * (fits if traits["spikes"] == "many" else at_most(fits, p["n_max"]))


def _synapse(kind: str, x: Tensor, s: State, p: Constants) -> tuple[Tensor, Tensor | None]:
    """Return what the membrane gets, and the synaptic current after the step."""
    if kind == "none":
        return x, None
    keep, old = p["syn_decay"], s["i_syn"]
    if kind == "use with a part of the input, decay, jump":
        return old + p["direct"] * x, keep * old + p.get("entry", 1.0) * x
    x = p["entry"] * x if "entry" in p else x
    if kind == "decay, jump, use":
        now = keep * old + x
        return now, now
    if kind == "jump, use, decay":
        now = old + x
        return now, keep * now
    if kind.startswith("jump, decay"):
        now = keep * (old + x)
        now = p["share"] * now if "share" in kind else now
        return now, now
    return old, keep * old + x


def _relaxed(v: Tensor, current: Tensor, traits: Mapping[str, str], p: Constants) -> Tensor:
    x, leak, share = p["gain"] * current, traits["leak"], traits["input"] == "share"
    if traits["input"] == "kept":
        v, x = v + x, torch.zeros_like(v)
    if leak == "none":
        return v + x
    if leak == "tau":
        lost = v - p["v_rest"]
        return v + (x - lost) / p["tau"] if share else v - lost / p["tau"] + x
    if leak == "rate":
        pull = p["v_rest"] - v
        return v + p["rate"] * (pull + x) if share else v + p["rate"] * pull + x
    rest = p["v_rest"] + x if share else p["v_rest"]
    kept = p["decay"] * v + p["share"] * rest
    return kept if share else kept + x


def _after_spikes(
    v: Tensor, sent: Tensor | None, traits: Mapping[str, str], p: Constants
) -> Tensor:
    if traits["reset"] == "none" or sent is None:
        return v
    if traits["reset"] == "subtract":
        return v - sent * p["v_th"]
    if traits["reset"] == "subtract v_drop":
        return v - sent * p["v_drop"]
    emptied = torch.where(sent > 0, torch.zeros_like(v), v)
    if traits["reset"] == "empty, add v_reset":
        return emptied + p["v_reset"]
    there: Tensor = torch.where(sent > 0, p["v_reset"] + emptied, v)
    return there


def _floored(v: Tensor, p: Constants) -> Tensor:
    return above_zero(v - p["v_min"]) + p["v_min"]
