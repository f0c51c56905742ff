"""The step of a framework's layer by the traits of its convention, written by hand: the card's statements are made elsewhere."""

from collections.abc import Mapping

import torch
from torch import Tensor

from .steps_types import State, Step, Stepped
from .surrogate import Fire

Constants = Mapping[str, Tensor]  # or numbers, where all neurons share them


def convention_step(traits: Mapping[str, str]) -> Step:
    """Return the step of a neuron with these traits; `refsim.model.conventions` says what each means."""

    def step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
        v, owed = s["v"], s.get("owed")
        current, i_syn = _synapse(traits["synapse"], x, s, p)
        again = None
        if traits["moment"] == "now, and again":
            again = _over(v, traits, p, fire)
        if traits["moment"] == "next step, before the decay":
            v = _after_spikes(v, owed, traits, p)
        if again is not None and traits["reset"] == "set":
            v = v - again * (v - p["v_reset"])
        v = _relaxed(v, current, traits, p)
        if traits["moment"] == "next step, after the update":
            v = _after_spikes(v, owed, traits, p)
        if again is not None and traits["reset"] == "subtract":
            v = v - again * p["v_th"]
        states = {} if i_syn is None else {"i_syn": i_syn}
        if traits["spikes"] == "none":
            v = _floored(v, traits, p)
            return torch.zeros_like(v), v, {"v": v, **states}
        z = _over(v, traits, p, fire)
        sent = z * torch.floor(v / p["v_th"]) if traits["spikes"] == "many" else z
        after = v
        if traits["moment"] == "now":
            after = _after_spikes(v, sent, traits, p)
        elif again is not None:
            after = v - (z - again) * (p["v_th"] if traits["reset"] == "subtract" else v)
        after = _floored(after, traits, p)
        states |= {"count": sent} if traits["spikes"] == "many" else {}
        states |= {"owed": sent} if traits["moment"].startswith("next") else {}
        return z, v, {"v": after, **states}

    return step


def _over(v: Tensor, traits: Mapping[str, str], p: Constants, fire: Fire) -> Tensor:
    return fire(v - p["v_th"]) if traits["comparison"] == ">=" else 1 - fire(p["v_th"] - v)


def _synapse(order: str, x: Tensor, s: State, p: Constants) -> tuple[Tensor, Tensor | None]:
    """Return what the membrane gets, and the synaptic current after the step."""
    if order == "none":
        return x, None
    keep, old = p["syn_decay"], s["i_syn"]
    if order == "use with a part of the input, decay, jump":
        return old + p["direct"] * x, keep * old + p.get("entry", 1.0) * x
    x = p["entry"] * x if "entry" in p else x
    if order == "decay, jump, use":
        now = keep * old + x
        return now, now
    if order == "jump, use, decay":
        now = old + x
        return now, keep * now
    if order == "jump, decay, use":
        now = keep * (old + x)
        return now, now
    return old, keep * old + x


def _relaxed(v: Tensor, current: Tensor, traits: Mapping[str, str], p: Constants) -> Tensor:
    x, leak, share = p["gain"] * current, traits["leak"], traits["input"] == "share"
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


def _after_spikes(v: Tensor, sent: Tensor | None, traits: Mapping[str, str], p: Constants) -> Tensor:
    if traits["reset"] == "none" or sent is None:
        return v
    if traits["reset"] == "subtract":
        return v - sent * p["v_th"]
    there: Tensor = torch.where(sent > 0, p["v_reset"] + torch.zeros_like(v), v)
    return there


def _floored(v: Tensor, traits: Mapping[str, str], p: Constants) -> Tensor:
    if traits["floor"] == "none":
        return v
    low: Tensor = torch.maximum(v, p["v_min"] + torch.zeros_like(v))
    return low
