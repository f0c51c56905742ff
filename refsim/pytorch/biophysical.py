"""Biophysical neurons, in volts and amperes (FitzHugh-Nagumo without units): steps, then layers.

The gates follow exponential Euler one by one, or Runge-Kutta of order 4. None of these neurons is
reset; a spike is a membrane that was below the threshold and no longer is. Their layers need
``dt``: ``HH(dt="0.05 ms")``.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .base import Constants, State, Stepped
from .layers import Neuron
from .surrogate import Fire


def exprel(x: Tensor) -> Tensor:
    """Return (exp(x) - 1)/x, or 1 + x/2 where the quotient is 0/0, with a gradient free of NaN."""
    tiny = x.abs() < 1e-16
    safe = torch.where(tiny, torch.ones_like(x), x)
    found: Tensor = torch.where(tiny, 1 + x / 2, torch.expm1(safe) / safe)
    return found


def rising(before: Tensor, after: Tensor, p: Constants, fire: Fire) -> Tensor:
    """Spike where the membrane crosses the threshold from below."""
    spikes: Tensor = fire(after - p["v_th"]) * (before < p["v_th"]).to(after.dtype)
    return spikes


def relaxed(y: Tensor, goal: Tensor, rate: Tensor, step: float) -> Tensor:
    """Return y one step nearer to its goal; goal and rate stay constant over the step."""
    return goal + (y - goal) * torch.exp(-rate * step)


Rates = tuple[Tensor, Tensor]  # a channel's opening and closing, per ms


def squid_rates(x: Tensor) -> dict[str, Rates]:
    """Return Hodgkin and Huxley's rates for a membrane in mV."""
    return {
        "m": (1 / exprel(-(x + 40) / 10), 4 * torch.exp(-(x + 65) / 18)),
        "h": (0.07 * torch.exp(-(x + 65) / 20), 1 / (1 + torch.exp(-(x + 35) / 10))),
        "n": (0.1 / exprel(-(x + 55) / 10), 0.125 * torch.exp(-(x + 65) / 80)),
    }


def traub_rates(x: Tensor) -> dict[str, Rates]:
    """Return Traub and Miles' rates for a membrane in mV above v_t."""
    return {
        "m": (0.32 * 4 / exprel((13 - x) / 4), 0.28 * 5 / exprel((x - 40) / 5)),
        "h": (0.128 * torch.exp((17 - x) / 18), 4 / (1 + torch.exp((40 - x) / 5))),
        "n": (0.032 * 5 / exprel((15 - x) / 5), 0.5 * torch.exp((10 - x) / 40)),
    }


def _three_gates(x: Tensor, s: State, p: Constants, fire: Fire, rates: dict[str, Rates]) -> Stepped:
    """Advance membrane and gates by exponential Euler, each from the values before the step."""
    na, k = p["g_na"] * s["m"] ** 3 * s["h"], p["g_k"] * s["n"] ** 4
    total = na + k + p["g_l"]
    goal = (na * p["e_na"] + k * p["e_k"] + p["g_l"] * p["e_l"] + x) / total
    v = relaxed(s["v"], goal, total / p["c_m"], p["step"])
    after = {
        name: relaxed(s[name], up / (up + down), p["phi"] * (up + down), p["step"])
        for name, (up, down) in rates.items()
    }
    return rising(s["v"], v, p, fire), v, {"v": v, **after}


def hh_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Hodgkin-Huxley, in volts."""
    return _three_gates(x, s, p, fire, squid_rates(s["v"] / p["mv"]))


def hh_traub_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Hodgkin-Huxley with Traub and Miles' rates, in volts."""
    return _three_gates(x, s, p, fire, traub_rates((s["v"] - p["v_t"]) / p["mv"]))


Slope = Callable[[State], dict[str, Tensor]]


def runge_kutta(s: State, slope: Slope, step: float) -> dict[str, Tensor]:
    """Return the states after one step of the classical method of order 4."""

    def moved(k: dict[str, Tensor], part: float) -> dict[str, Tensor]:
        return {name: s[name] + part * step * k[name] for name in k}

    a = slope(s)
    b = slope(moved(a, 0.5))
    c = slope(moved(b, 0.5))
    d = slope(moved(c, 1.0))
    return {
        name: s[name] + step * (a[name] + 2 * b[name] + 2 * c[name] + d[name]) / 6 for name in a
    }


def wang_buzsaki_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Wang-Buzsaki interneuron, in volts."""

    def slope(y: State) -> dict[str, Tensor]:
        v, u = y["v"], y["v"] / p["mv"]
        opening, closing = 1 / exprel(-(u + 35) / 10), 4 * torch.exp(-(u + 60) / 18)
        na, k = p["g_na"] * (opening / (opening + closing)) ** 3 * y["h"], p["g_k"] * y["n"] ** 4
        current = na * (p["e_na"] - v) + k * (p["e_k"] - v) + p["g_l"] * (p["e_l"] - v) + x
        h = 0.07 * torch.exp(-(u + 58) / 20) * (1 - y["h"]) - y["h"] / (
            1 + torch.exp(-(u + 28) / 10)
        )
        n = 0.1 / exprel(-(u + 34) / 10) * (1 - y["n"]) - 0.125 * torch.exp(-(u + 44) / 80) * y["n"]
        return {"v": current / p["c_m"], "h": p["phi"] * h, "n": p["phi"] * n}

    after = runge_kutta(s, slope, p["step"])
    return rising(s["v"], after["v"], p, fire), after["v"], after


def morris_lecar_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """Morris-Lecar, in volts."""

    def slope(y: State) -> dict[str, Tensor]:
        v = y["v"]
        calcium = p["g_ca"] * (1 + torch.tanh((v - p["v_1"]) / p["v_2"])) / 2
        current = (
            calcium * (p["e_ca"] - v)
            + p["g_k"] * y["w"] * (p["e_k"] - v)
            + p["g_l"] * (p["e_l"] - v)
            + x
        )
        opened = (1 + torch.tanh((v - p["v_3"]) / p["v_4"])) / 2
        return {
            "v": current / p["c_m"],
            "w": p["phi"] * torch.cosh((v - p["v_3"]) / (2 * p["v_4"])) * (opened - y["w"]),
        }

    after = runge_kutta(s, slope, p["step"])
    return rising(s["v"], after["v"], p, fire), after["v"], after


def fitzhugh_nagumo_step(x: Tensor, s: State, p: Constants, fire: Fire) -> Stepped:
    """FitzHugh-Nagumo, without units but for time."""

    def slope(y: State) -> dict[str, Tensor]:
        v, w = y["v"], y["w"]
        return {
            "v": (v - v * v * v / 3 - w + x) / p["scale"],
            "w": p["eps"] * (v + p["a"] - p["b"] * w) / p["scale"],
        }

    after = runge_kutta(s, slope, p["step"])
    return rising(s["v"], after["v"], p, fire), after["v"], after


class HH(Neuron):
    """Hodgkin-Huxley: card ``hh``."""

    card = "hh"
    step = staticmethod(hh_step)


class HHTraub(Neuron):
    """Hodgkin-Huxley after Traub and Miles: card ``hh_traub``."""

    card = "hh_traub"
    step = staticmethod(hh_traub_step)


class WangBuzsaki(Neuron):
    """Wang-Buzsaki interneuron: card ``wang_buzsaki``."""

    card = "wang_buzsaki"
    step = staticmethod(wang_buzsaki_step)


class MorrisLecar(Neuron):
    """Morris-Lecar: card ``morris_lecar``."""

    card = "morris_lecar"
    step = staticmethod(morris_lecar_step)


class FitzHughNagumo(Neuron):
    """FitzHugh-Nagumo, input without a unit: card ``fitzhugh_nagumo``."""

    card = "fitzhugh_nagumo"
    step = staticmethod(fitzhugh_nagumo_step)


BIOPHYSICAL_STEPS = {
    "hh": hh_step,
    "hh_traub": hh_traub_step,
    "wang_buzsaki": wang_buzsaki_step,
    "morris_lecar": morris_lecar_step,
    "fitzhugh_nagumo": fitzhugh_nagumo_step,
}
