"""Planted faults in cards: a declared step that is not what it says of its ODE.

Each is caught by `check_declared_step`.
"""

from rogues import Rogue

import refsim


def euler_card() -> refsim.NeuronModel:
    """Form A read with tau_m = tau*step: the declared step is then forward Euler, and not exact."""
    return altered('text = "-step/log(1 - 1/tau)"', 'text = "tau*step"')


def altered(old: str, new: str, card: str = "lif") -> refsim.NeuronModel:
    import tempfile
    from pathlib import Path

    from refsim.core.shelf import shelf

    text = (shelf("equations") / f"{card}.toml").read_text("utf-8")
    assert old in text
    text = text.replace(f'name = "{card}"', 'name = "rogue"', 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "altered.toml"
        path.write_text(text.replace(old, new), "utf-8")
        return refsim.load(path)


_COBA_EULER = """integrate = '''
flow = (g_l*(e_l - v) + g_e*(e_e - v) + g_i*(e_i - v))/c_m
v = v + step*flow
g_e = g_e*exp(-step/tau_e) + I_excitatory
g_i = g_i*exp(-step/tau_i) + I_inhibitory
'''"""
_QIF_WITHOUT_TAU = (
    'integrate = "v = v + step*((v - v_rest)*(v - v_c)/(v_c - v_rest)/tau_m + r_m*I/(1000*tau_m))"'
)
CARD_ROGUES = [
    Rogue(
        "hard reset in the step, soft in the ODE",
        "declared step is the exact solution",
        lambda: altered('reset     = "v = v_reset"', 'reset     = "v -= v_th"'),
    ),
    Rogue(
        "another threshold in the step",
        "declared step is the exact solution",
        lambda: altered('"z = v >= v_th"', '"z = v >= 2*v_th"'),
    ),
    Rogue(
        "> in the step, >= in the ODE",
        "declared step is the exact solution",
        lambda: altered('"z = v >= v_th"', '"z = v > v_th"'),
    ),
    Rogue("Euler step called exact", "declared step is the exact solution", euler_card),
    Rogue(
        "sign of the leak",
        "declared step is the exact solution",
        lambda: altered("dv/dt = (I - v)/tau_m", "dv/dt = (I + v)/tau_m"),
    ),
    Rogue(
        "the current decays before it acts",
        "declared step is the exact solution",
        lambda: altered(
            "v = beta*v + i_syn\ni_syn = alpha*i_syn",
            "i_syn = alpha*i_syn\nv = beta*v + i_syn",
            "cuba_lif",
        ),
    ),
    Rogue(
        "input late by a step",
        "declared step is the exact solution",
        lambda: altered('kind = "early_impulse"', 'kind = "impulse"', "cuba_lif"),
    ),
    Rogue(
        "refractory neuron that leaks no more",
        "declared step is the exact solution",
        lambda: altered("free*(decay*v + I)", "free*(v + I)", "lif_refractory"),
    ),
    Rogue(
        "refractory a step longer in the ODE",
        "declared step is the exact solution",
        lambda: altered('"n_ref*step"', '"(n_ref + 1)*step"', "lif_refractory"),
    ),
    Rogue(
        "refractory a step shorter in the step",
        "declared step is the exact solution",
        lambda: altered("+ n_ref*z", "+ (n_ref - 1)*z", "lif_refractory"),
    ),
    Rogue(
        "held in the step, free in the ODE",
        "declared step is the exact solution",
        lambda: altered(" (unless refractory)", "", "lif_refractory"),
    ),
    Rogue(
        "held in the ODE, leaks in the step",
        "declared step is the exact solution",
        lambda: altered("(1 - free)*v", "(1 - free)*decay*v", "lif_refractory"),
    ),
    Rogue(
        "one state of three not held",
        "declared step is the exact solution",
        lambda: altered("free*keep_1*asc_1 + (1 - free)*asc_1", "keep_1*asc_1", "glif3"),
    ),
    Rogue(
        "no refractory period in the step",
        "declared step is the exact solution",
        lambda: altered(" and free > 0", " and free > -1", "mat2"),
    ),
    Rogue(
        "Euler called exponential Euler",
        "declared step is the exact solution",
        lambda: altered('integrate = "from continuous"', _COBA_EULER, "coba_lif"),
    ),
    Rogue(
        "a lost factor tau",
        "declared step is the exact solution",
        lambda: altered('integrate = "from continuous"', _QIF_WITHOUT_TAU, "qif"),
    ),
    Rogue(
        "response of the wrong sign",
        "declared step is the exact solution",
        lambda: altered("- depth*z", "+ depth*z", "srm0_escape"),
    ),
    Rogue(
        "input not scaled in the step",
        "declared step is the exact solution",
        lambda: altered("v = keep*v + I/tau", "v = keep*v + I"),
    ),
]
