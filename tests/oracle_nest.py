"""The neuron models that NEST has too, as their papers write them.

Each from a stored case to spike times and membranes by SciPy.

Potentials in mV, times in ms, currents in pA, conductances in nS, capacities in pF, as in the
stored case. `solution(case, times)` is the door.
"""

from math import e, exp

import numpy as np
from oracle_events import Hybrid, solve, solve_peaks
from scipy.integrate import solve_ivp


def solution(
    case: dict, times: np.ndarray, tolerance: float = 1e-12
) -> tuple[np.ndarray, np.ndarray]:
    """Return spike times (ms) and the states at `times`, the membrane first, of a parsed file of
    validation/nest/.

    The tolerance is that of SciPy, for models that are never reset.
    """
    value = {
        key: row["value"] for table in ("parameters", "start") for key, row in case[table].items()
    }
    made = BUILDERS[case["model"]](value, case["input"])
    if isinstance(made, Hybrid):
        return solve(made, times)
    flow, start, above = made
    return solve_peaks(flow, start, above, times, tolerance=tolerance)


def _synapse(p, given):
    return {"arrivals": tuple(given.get("arrivals_ms", ())), "deaf": False}, given.get(
        "weight", {}
    ).get("value", 0.0)


def _put(**changes):
    """Return a function that sets or changes places of the state."""
    places = {int(key[1:]): change for key, change in changes.items()}

    def change(state):
        state = state.copy()
        for place, new in places.items():
            state[place] = new(state) if callable(new) else new
        return state

    return change


def iaf_psc_delta(p, given):
    """Lapicque 1907: dV/dt = -(V - E_L)/tau_m + I/C.

    An input spike is a jump of V, and lost while refractory.
    """
    drive, weight = _synapse(p, given)

    def flow(_, y):
        return np.array([-(y[0] - p["E_L"]) / p["tau_m"] + p["I_e"] / p["C_m"]])

    return Hybrid(
        flow,
        (p["V_m"],),
        lambda y: y[0] - p["V_th"],
        _put(_0=p["V_reset"]),
        held=lambda t, y: np.zeros(1),
        t_ref=p["t_ref"],
        arrives=_put(_0=lambda y: y[0] + weight),
        **drive | {"deaf": True},
    )


def iaf_psc_exp(p, given):
    """LIF with an exponential synaptic current (Tsodyks et al.

    2000); the current decays while the membrane is held.
    """
    drive, weight = _synapse(p, given)

    def decay(y):
        return -y[1] / p["tau_syn_ex"]

    return Hybrid(
        lambda _, y: np.array(
            [-(y[0] - p["E_L"]) / p["tau_m"] + (y[1] + p["I_e"]) / p["C_m"], decay(y)]
        ),
        (p["V_m"], 0.0),
        lambda y: y[0] - p["V_th"],
        _put(_0=p["V_reset"]),
        held=lambda _, y: np.array([0.0, decay(y)]),
        t_ref=p["t_ref"],
        arrives=_put(_1=lambda y: y[1] + weight),
        **drive,
    )


def iaf_psc_alpha(p, given):
    """LIF with an alpha synaptic current of peak `weight` (Rotter and Diesmann 1999).

    I' = x - I/tau, x' = -x/tau, x += weight*e/tau.
    """
    drive, weight = _synapse(p, given)
    tau = p["tau_syn_ex"]

    def synapse(y):
        return [y[2] - y[1] / tau, -y[2] / tau]

    return Hybrid(
        lambda _, y: np.array(
            [-(y[0] - p["E_L"]) / p["tau_m"] + (y[1] + p["I_e"]) / p["C_m"], *synapse(y)]
        ),
        (p["V_m"], 0.0, 0.0),
        lambda y: y[0] - p["V_th"],
        _put(_0=p["V_reset"]),
        held=lambda _, y: np.array([0.0, *synapse(y)]),
        t_ref=p["t_ref"],
        arrives=_put(_2=lambda y: y[2] + weight * e / tau),
        **drive,
    )


def iaf_cond_exp(p, given):
    """LIF with an exponential synaptic conductance (Meffin et al. 2004)."""
    drive, weight = _synapse(p, given)

    def decay(y):
        return -y[1] / p["tau_syn_ex"]

    return Hybrid(
        lambda _, y: np.array(
            [
                (-p["g_L"] * (y[0] - p["E_L"]) - y[1] * (y[0] - p["E_ex"]) + p["I_e"]) / p["C_m"],
                decay(y),
            ]
        ),
        (p["V_m"], 0.0),
        lambda y: y[0] - p["V_th"],
        _put(_0=p["V_reset"]),
        held=lambda _, y: np.array([0.0, decay(y)]),
        t_ref=p["t_ref"],
        arrives=_put(_1=lambda y: y[1] + weight),
        **drive,
    )


def aeif(p, given):
    """Adaptive exponential integrate-and-fire (Brette and Gerstner 2005).

    W moves on while V is held at V_reset.

    Near the spike V explodes in time, so from V_th + 8 Delta_T up to V_peak, some microseconds, V
    itself is the variable that is integrated over.
    """
    leave = p["V_th"] + 8 * p["Delta_T"]

    def adapt(v, w):
        return (p["a"] * (v - p["E_L"]) - w) / p["tau_w"]

    def flow(_, y):
        v, w = min(y[0], p["V_peak"] + 1.0), y[1]
        spike = p["g_L"] * p["Delta_T"] * exp((v - p["V_th"]) / p["Delta_T"])
        return np.array(
            [(-p["g_L"] * (v - p["E_L"]) + spike - w + p["I_e"]) / p["C_m"], adapt(v, w)]
        )

    def climb(y):
        def over(v, tw):
            dv, dw = flow(0.0, np.array([v, tw[1]]))
            return np.array([1.0 / dv, dw / dv])

        up = solve_ivp(
            over, (y[0], p["V_peak"]), [0.0, y[1]], method="DOP853", rtol=1e-12, atol=1e-15
        )
        return float(up.y[0, -1]), np.array([p["V_peak"], up.y[1, -1]])

    return Hybrid(
        flow,
        (p["V_m"], p["w"]),
        lambda y: y[0] - leave,
        _put(_0=p["V_reset"], _1=lambda y: y[1] + p["b"]),
        held=lambda _, y: np.array([0.0, adapt(p["V_reset"], y[1])]),
        t_ref=p["t_ref"],
        climb=climb,
    )


def mat2_psc_exp(p, given):
    """Multi-timescale adaptive threshold (Kobayashi et al.

    2009): V is never reset, the threshold jumps by alpha_1 and alpha_2.
    """

    def flow(_, y):
        return np.array(
            [
                -(y[0] - p["E_L"]) / p["tau_m"] + p["I_e"] / p["C_m"],
                -y[1] / p["tau_1"],
                -y[2] / p["tau_2"],
            ]
        )

    return Hybrid(
        flow,
        (p["V_m"], 0.0, 0.0),
        lambda y: y[0] - (p["omega"] + y[1] + y[2]),
        _put(_1=lambda y: y[1] + p["alpha_1"], _2=lambda y: y[2] + p["alpha_2"]),
        t_ref=p["t_ref"],
    )


def glif(p, given):
    """Generalised LIF (Teeter et al. 2018).

    State: V, after-spike currents, spike threshold, voltage threshold.

    While refractory everything but V_reset's rule waits; the decay over t_ref is put in at the
    reset, as the paper does.
    """
    spiking, adapting = p["spike_dependent_threshold"], p["adapting_threshold"]
    rate, current = np.array(p["asc_decay"]), given["current"]["value"]

    def flow(_, y):
        v = y[0] - p["E_L"]
        dv = (-p["g"] * v + current + y[1:3].sum()) / p["C_m"]
        above = p["th_voltage_index"] * v - p["th_voltage_decay"] * y[4] if adapting else 0.0
        return np.array(
            [dv, *(-rate * y[1:3]), -p["th_spike_decay"] * y[3] if spiking else 0.0, above]
        )

    def reset(y):
        y = y.copy()
        y[1:3] = p["asc_amps"] + np.array(p["asc_r"]) * y[1:3] * np.exp(-rate * p["t_ref"])
        if spiking:
            y[0] = (
                p["E_L"] + p["voltage_reset_fraction"] * (y[0] - p["E_L"]) + p["voltage_reset_add"]
            )
            y[3] = y[3] * exp(-p["th_spike_decay"] * p["t_ref"]) + p["th_spike_add"]
        else:
            y[0] = p["V_reset"]
        return y

    start = (p["V_m"], *p["asc_init"], 0.0, 0.0)
    return Hybrid(
        flow,
        start,
        lambda y: y[0] - (p["V_th"] + y[3] + y[4]),
        reset,
        held=lambda _, y: np.zeros(5),
        t_ref=p["t_ref"],
        onset=given["onset_ms"],
    )


def izhikevich(p, given):
    """Izhikevich 2003: v' = 0.04 v^2 + 5 v + 140 - u + I, u' = a (b v - u); at v >= V_th.

    V = c, u += d.
    """

    def flow(_, y):
        v, u = y
        return np.array([0.04 * v * v + 5.0 * v + 140.0 - u + p["I_e"], p["a"] * (p["b"] * v - u)])

    return Hybrid(
        flow,
        (p["V_m"], p["U_m"]),
        lambda y: y[0] - p["V_th"],
        _put(_0=p["c"], _1=lambda y: y[1] + p["d"]),
    )


def _linoid(x, scale):
    """Return x/(1 - exp(-x/scale)), with its limit where x is 0."""
    return scale if abs(x) < 1e-9 else x / -np.expm1(-x / scale)


def _gated(p, rates):
    def flow(_, y):
        v, m, h, n = y
        (a_m, b_m), (a_h, b_h), (a_n, b_n) = rates(v)
        sodium, potassium = p["g_Na"] * m**3 * h * (v - p["E_Na"]), p["g_K"] * n**4 * (v - p["E_K"])
        dv = (-sodium - potassium - p["g_L"] * (v - p["E_L"]) + p["I_e"]) / p["C_m"]
        return np.array(
            [dv, a_m * (1 - m) - b_m * m, a_h * (1 - h) - b_h * h, a_n * (1 - n) - b_n * n]
        )

    return flow, [p["V_m"], p["Act_m"], p["Inact_h"], p["Act_n"]]


def hh(p, given):
    """Hodgkin and Huxley 1952, modern sign and resting potential -65 mV.

    A spike is a maximum of V above 0 mV.
    """

    def rates(v):
        return (
            (0.1 * _linoid(v + 40.0, 10.0), 4.0 * exp(-(v + 65.0) / 18.0)),
            (0.07 * exp(-(v + 65.0) / 20.0), 1.0 / (1.0 + exp(-(v + 35.0) / 10.0))),
            (0.01 * _linoid(v + 55.0, 10.0), 0.125 * exp(-(v + 65.0) / 80.0)),
        )

    return *_gated(p, rates), 0.0


def hh_traub(p, given):
    """Traub and Miles 1991 as Brette et al.

    2007 give it; a spike is a maximum of V above V_T + 30 mV.
    """

    def rates(v):
        u = v - p["V_T"]
        return (
            (0.32 * _linoid(u - 13.0, 4.0), 0.28 * _linoid(40.0 - u, 5.0)),
            (0.128 * exp((17.0 - u) / 18.0), 4.0 / (1.0 + exp((40.0 - u) / 5.0))),
            (0.032 * _linoid(u - 15.0, 5.0), 0.5 * exp((10.0 - u) / 40.0)),
        )

    return *_gated(p, rates), p["V_T"] + 30.0


BUILDERS = {
    "iaf_psc_delta": iaf_psc_delta,
    "iaf_psc_exp": iaf_psc_exp,
    "iaf_psc_alpha": iaf_psc_alpha,
    "iaf_cond_exp": iaf_cond_exp,
    "aeif_cond_exp": aeif,
    "aeif_psc_delta": aeif,
    "mat2_psc_exp": mat2_psc_exp,
    "glif_psc": glif,
    "izhikevich": izhikevich,
    "hh_psc_alpha": hh,
    "hh_cond_exp_traub": hh_traub,
}
