"""The biophysical neurons as their papers write them, for SciPy.

MV, ms, and densities in uF, mS and uA a square centimetre.

Independent of cards and PyTorch steps. A patch of 1e-4 cm2 turns 1 uA/cm2 into 0.1 nA; Traub's cell
has 2e-4 cm2.
"""

import numpy as np
from numpy import exp, tanh
from scipy.integrate import solve_ivp
from scipy.optimize import brentq


def _quotient(y, slope):
    """Return y/(1 - exp(-y/slope)), the papers' form of a rate, and its limit where that is 0/0."""
    return slope if y == 0 else y / -np.expm1(-y / slope)


def squid(v):
    """Hodgkin and Huxley 1952, with today's sign."""
    return {
        "m": (0.1 * _quotient(v + 40, 10), 4 * exp(-(v + 65) / 18)),
        "h": (0.07 * exp(-(v + 65) / 20), 1 / (exp(-(v + 35) / 10) + 1)),
        "n": (0.01 * _quotient(v + 55, 10), 0.125 * exp(-(v + 65) / 80)),
    }


def traub(v, v_t=-63.0):
    """Traub and Miles 1991, as Brette et al. 2007 shift it."""
    u = v - v_t
    return {
        "m": (0.32 * _quotient(u - 13, 4), 0.28 * _quotient(40 - u, 5)),
        "h": (0.128 * exp((17 - u) / 18), 4 / (1 + exp((40 - u) / 5))),
        "n": (0.032 * _quotient(u - 15, 5), 0.5 * exp((10 - u) / 40)),
    }


def interneuron(v):
    """Wang and Buzsaki 1996."""
    return {
        "m": (0.1 * _quotient(v + 35, 10), 4 * exp(-(v + 60) / 18)),
        "h": (5 * 0.07 * exp(-(v + 58) / 20), 5 / (exp(-0.1 * (v + 28)) + 1)),
        "n": (5 * 0.01 * _quotient(v + 34, 10), 5 * 0.125 * exp(-(v + 44) / 80)),
    }


def _channels(v, m, h, n, g, e):
    return g[0] * m**3 * h * (e[0] - v) + g[1] * n**4 * (e[1] - v) + g[2] * (e[2] - v)


def _gated(rates, g, e):
    def flow(y, current):
        gates = [
            up * (1 - x) - down * x
            for x, (up, down) in zip(y[1:], rates(y[0]).values(), strict=True)
        ]
        return np.array([_channels(*y, g, e) + current, *gates])

    return flow


def _wang_buzsaki(y, current):
    v, h, n = y
    (a, b), *others = interneuron(v).values()
    gates = [up * (1 - x) - down * x for x, (up, down) in zip((h, n), others, strict=True)]
    return np.array(
        [_channels(v, a / (a + b), h, n, (35, 9, 0.1), (55, -90, -65)) + current, *gates]
    )


def morris_lecar_steady(v):
    """Return the open fractions of calcium and potassium at rest, and potassium's speed."""
    return (
        (1 + tanh((v + 1.2) / 18)) / 2,
        (1 + tanh((v - 2) / 30)) / 2,
        0.04 * np.cosh((v - 2) / 60),
    )


def _morris_lecar(y, current):
    v, w = y
    calcium, potassium, speed = morris_lecar_steady(v)
    return np.array(
        [
            (4.4 * calcium * (120 - v) + 8 * w * (-84 - v) + 2 * (-60 - v) + current) / 20,
            speed * (potassium - w),
        ]
    )


def _fitzhugh_nagumo(y, current):
    v, w = y
    return np.array([v - v**3 / 3 - w + current, 0.08 * (v + 0.7 - 0.8 * w)])


FLOWS = {
    "hh": _gated(squid, (120, 36, 0.3), (50, -77, -54.402)),
    "hh_traub": _gated(traub, (100, 30, 0.05), (50, -90, -65)),
    "wang_buzsaki": _wang_buzsaki,
    "morris_lecar": _morris_lecar,
    "fitzhugh_nagumo": _fitzhugh_nagumo,
}
# A of 1 uA/cm2.
PATCH = {
    "hh": 1e-10,
    "hh_traub": 2e-10,
    "wang_buzsaki": 1e-10,
    "morris_lecar": 1e-10,
    "fitzhugh_nagumo": 1.0,
}


def steady(name, v):
    """Return the state whose slow variables have settled at a membrane of v."""
    if name == "fitzhugh_nagumo":
        return np.array([v, (v + 0.7) / 0.8])
    if name == "morris_lecar":
        return np.array([v, morris_lecar_steady(v)[1]])
    gates = {
        key: up / (up + down)
        for key, (up, down) in {"hh": squid, "hh_traub": traub, "wang_buzsaki": interneuron}[name](
            v
        ).items()
    }
    return np.array(
        [v, *(gates[key] for key in ("m", "h", "n") if key != "m" or name != "wang_buzsaki")]
    )


def needed_current(name, v):
    """Return the current (uA/cm2) that holds the neuron at v."""
    held = FLOWS[name](steady(name, v), 0.0)[0]
    return -held * (20 if name == "morris_lecar" else 1)


def held_at(name, current, near):
    """Return the membrane near another that a current holds, where one of the two is a Hopf
    bifurcation's.
    """
    width = 0.1 * abs(near)
    return brentq(
        lambda v: needed_current(name, v) - current, near - width, near + width, xtol=1e-12
    )


def rest(name, low, high):
    """Return the resting state between two membranes."""
    return steady(name, brentq(lambda v: needed_current(name, v), low, high, xtol=1e-13))


def jacobian(name, y, current):
    """Return the flow's derivative by central differences, good to some nine digits."""
    size = 1e-5
    return np.column_stack(
        [
            (FLOWS[name](y + size * e, current) - FLOWS[name](y - size * e, current)) / (2 * size)
            for e in np.eye(len(y))
        ]
    )


def hopf(name, low, high):
    """Return (current, membrane) where the real part of a complex pair of eigenvalues crosses zero
    between two membranes.
    """

    def growth(v):
        return np.linalg.eigvals(
            jacobian(name, steady(name, v), needed_current(name, v))
        ).real.max()

    v = brentq(growth, low, high, xtol=1e-10)
    return needed_current(name, v), v


def solved(name, start, current, times):
    """Return the states at `times` (ms), by SciPy's DOP853 at 1e-12."""
    found = solve_ivp(
        lambda _, y: FLOWS[name](y, current),
        (0, times[-1]),
        start,
        "DOP853",
        t_eval=times,
        rtol=1e-12,
        atol=1e-12,
    )
    return found.y.T
