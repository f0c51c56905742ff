"""Cases for NEST: each a model with all its parameters, start, input, and what is recorded.

The file is data only; `nest_reference.py` runs them. Units are those of NEST's documentation: mV,
ms, pA, pF, nS. A value in `synapse` is the weight of one input spike in the unit beside it.
"""

DURATION = 200.0  # ms
SAMPLE = 0.5  # ms between stored membrane values
DELAY = 1.0  # ms between a generator and the neuron: an input spike sent at t arrives at t + 1 ms

# Powers of two put every step exactly on a binary grid; 0.1 ms is what most people run.
RESOLUTIONS = (0.1, 2.0**-3, 2.0**-5, 2.0**-7, 2.0**-9, 2.0**-12)

UNITS = {
    **dict.fromkeys(
        (
            "V_m",
            "E_L",
            "V_th",
            "V_reset",
            "V_peak",
            "E_ex",
            "E_in",
            "E_Na",
            "E_K",
            "V_T",
            "Delta_T",
            "omega",
            "alpha_1",
            "alpha_2",
            "V_th_alpha_1",
        ),
        "mV",
    ),
    **dict.fromkeys(
        (
            "V_th_alpha_2",
            "th_spike_add",
            "voltage_reset_add",
            "threshold_spike",
            "threshold_voltage",
            "threshold",
        ),
        "mV",
    ),
    **dict.fromkeys(
        ("tau_m", "t_ref", "tau_syn_ex", "tau_syn_in", "tau_w", "tau_1", "tau_2", "tau_syn"), "ms"
    ),
    **dict.fromkeys(
        ("I_e", "b", "w", "asc_amps", "asc_init", "ASCurrents", "ASCurrents_sum"), "pA"
    ),
    **dict.fromkeys(("g_L", "a", "g_Na", "g_K", "g"), "nS"),
    **dict.fromkeys(
        ("asc_decay", "th_spike_decay", "th_voltage_decay", "th_voltage_index"), "1/ms"
    ),
    **dict.fromkeys(("asc_r", "voltage_reset_fraction", "Act_m", "Act_n", "Inact_h"), "1"),
    **dict.fromkeys(
        ("spike_dependent_threshold", "after_spike_currents", "adapting_threshold"), "flag"
    ),
    "C_m": "pF",
}

# Izhikevich's numbers carry no consistent unit; his paper reads v in mV and t in ms.
IZHIKEVICH_UNITS = {
    "V_m": "mV",
    "U_m": "mV",
    "V_th": "mV",
    "c": "mV",
    "d": "mV",
    "a": "1/ms",
    "b": "1",
    "I_e": "mV/ms",
    "consistent_integration": "flag",
}

_EXACT, _GSL = (
    "exact propagator of one step, spikes on the grid",
    "GSL Runge-Kutta-Fehlberg 4(5) inside each step",
)
METHODS = {
    **dict.fromkeys(
        ("iaf_psc_delta", "iaf_psc_exp", "iaf_psc_alpha", "mat2_psc_exp", "glif_psc"), _EXACT
    ),
    **dict.fromkeys(
        ("iaf_cond_exp", "hh_psc_alpha", "hh_cond_exp_traub"), f"{_GSL}, spikes on the grid"
    ),
    **dict.fromkeys(
        ("aeif_cond_exp", "aeif_psc_delta"),
        (
            f"{_GSL} with gsl_error_tol = 1e-12, reset at the solver's own step, spikes stamped on "
            "the grid"
        ),
    ),
    "izhikevich": "forward Euler (consistent_integration), spikes on the grid",
}

_IAF = {"C_m": 250.0, "E_L": -70.0, "V_reset": -70.0, "V_th": -55.0, "t_ref": 2.0, "tau_m": 10.0}
_AEIF = {
    "C_m": 281.0,
    "g_L": 30.0,
    "E_L": -70.6,
    "V_th": -50.4,
    "V_peak": 0.0,
    "V_reset": -60.0,
    "Delta_T": 2.0,
    "tau_w": 144.0,
    "a": 4.0,
    "b": 80.5,
    "t_ref": 0.0,
    "gsl_error_tol": 1e-12,
}
_GLIF = {
    "C_m": 58.72,
    "g": 9.43,
    "E_L": -78.85,
    "V_th": -51.68,
    "t_ref": 3.75,
    "asc_init": [0.0, 0.0],
    "asc_decay": [0.003, 0.1],
}
_GLIF |= {"asc_amps": [-9.18, -198.94], "asc_r": [1.0, 1.0], "V_reset": -78.85}
_SPIKES = [9.0, 14.0, 16.0, 17.0, 60.0, 61.0, 62.0, 62.5, 63.0, 110.0, 150.0, 150.5, 151.0, 151.5]

CASES = {
    "iaf_psc_delta": {"parameters": _IAF | {"I_e": 450.0}, "start": {"V_m": -70.0}},
    "iaf_psc_delta_pulses": {
        "model": "iaf_psc_delta",
        "parameters": _IAF | {"I_e": 0.0},
        "start": {"V_m": -70.0},
        "synapse": (6.0, "mV"),
        "spikes": _SPIKES,
    },
    "iaf_psc_exp": {
        "parameters": _IAF | {"tau_syn_ex": 2.0, "I_e": 300.0},
        "start": {"V_m": -70.0},
        "synapse": (500.0, "pA"),
        "spikes": _SPIKES,
    },
    "iaf_psc_alpha": {
        "parameters": _IAF | {"tau_syn_ex": 3.0, "I_e": 300.0},
        "start": {"V_m": -70.0},
        "synapse": (300.0, "pA"),
        "spikes": _SPIKES,
    },
    "iaf_cond_exp": {
        "parameters": {
            "C_m": 250.0,
            "E_L": -70.0,
            "V_reset": -60.0,
            "V_th": -55.0,
            "t_ref": 2.0,
            "g_L": 16.5,
            "E_ex": 0.0,
            "tau_syn_ex": 2.0,
            "I_e": 200.0,
        },
        "start": {"V_m": -70.0},
        "synapse": (12.0, "nS"),
        "spikes": _SPIKES,
    },
    "aeif_cond_exp": {
        "parameters": _AEIF | {"I_e": 700.0},
        "start": {"V_m": -70.6, "w": 0.0},
        "record": ["w"],
    },
    "aeif_psc_delta": {
        "parameters": _AEIF | {"I_e": 1000.0, "t_ref": 2.0},
        "start": {"V_m": -70.6, "w": 0.0},
        "record": ["w"],
    },
    "mat2_psc_exp": {
        "parameters": {
            "C_m": 100.0,
            "E_L": -70.0,
            "tau_m": 5.0,
            "t_ref": 2.0,
            "omega": -51.0,
            "alpha_1": 37.0,
            "alpha_2": 2.0,
            "tau_1": 10.0,
            "tau_2": 200.0,
        }
        | {"I_e": 600.0},
        "start": {"V_m": -70.0},
        "record": ["V_th"],
    },
    "glif3": {
        "model": "glif_psc",
        "parameters": _GLIF
        | {
            "spike_dependent_threshold": False,
            "after_spike_currents": True,
            "adapting_threshold": False,
        },
        "start": {"V_m": -78.85},
        "current": 400.0,
        "record": ["ASCurrents_sum"],
    },
    "glif5": {
        "model": "glif_psc",
        "parameters": _GLIF
        | {
            "spike_dependent_threshold": True,
            "after_spike_currents": True,
            "adapting_threshold": True,
        }
        | {
            "th_spike_add": 0.37,
            "th_spike_decay": 0.009,
            "voltage_reset_fraction": 0.2,
            "voltage_reset_add": 18.51,
        }
        | {"th_voltage_index": 0.005, "th_voltage_decay": 0.09},
        "start": {"V_m": -78.85},
        "current": 400.0,
        "record": ["ASCurrents_sum", "threshold"],
    },
    "izhikevich": {
        "parameters": {
            "a": 0.02,
            "b": 0.2,
            "c": -65.0,
            "d": 8.0,
            "V_th": 30.0,
            "consistent_integration": True,
            "I_e": 10.0,
        },
        "start": {"V_m": -65.0, "U_m": -13.0},
        "record": ["U_m"],
    },
    "hh_psc_alpha": {
        "parameters": {
            "C_m": 100.0,
            "g_Na": 12000.0,
            "g_K": 3600.0,
            "g_L": 30.0,
            "E_Na": 50.0,
            "E_K": -77.0,
            "E_L": -54.402,
            "t_ref": 2.0,
            "I_e": 1000.0,
        },
        "start": {
            "V_m": -65.0,
            "Act_m": 0.05293248525724958,
            "Inact_h": 0.5961207535084603,
            "Act_n": 0.3176769140606974,
        },
    },
    "hh_cond_exp_traub": {
        "parameters": {
            "C_m": 200.0,
            "g_Na": 20000.0,
            "g_K": 6000.0,
            "g_L": 10.0,
            "E_Na": 50.0,
            "E_K": -90.0,
            "E_L": -60.0,
            "V_T": -63.0,
            "t_ref": 2.0,
        }
        | {"I_e": 500.0},
        "start": {"V_m": -60.0, "Act_m": 0.0, "Inact_h": 1.0, "Act_n": 0.0},
    },
}
