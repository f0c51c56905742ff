"""Planted faults in spike response and Loihi cards, and the checks of these families.

Each rogue is caught by one, by name.

A check takes a card and returns whether something is wrong; its referee is plain NumPy. The last
check of a family takes any input and would find most faults without a name for them: it runs only
where the named ones pass.
"""

import tempfile
from pathlib import Path

import numpy as np
import oracle_loihi
from oracle_srm import alpha_kernel, filtered, srm_layer
from rogues import Rogue

import refsim
from refsim import Discrete, Drive
from refsim.cases.neuron import network_of_one
from refsim.core.shelf import shelf

ROGUE = "_rogue"


def altered(card: str, *changes: tuple[str, str]) -> refsim.NeuronModel:
    """Return a card with text replaced, under a name of its own."""
    text = (
        (shelf("equations") / f"{card}.toml")
        .read_text("utf-8")
        .replace(f'name = "{card}"', f'name = "{card}{ROGUE}"', 1)
    )
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "altered.toml"
        path.write_text(text, "utf-8")
        return refsim.load(path)


def failing(model: refsim.NeuronModel, checks: dict) -> set[str]:
    """Return the names of the checks that fail; the last runs only where all others pass."""
    *named, last = checks
    failed = {name for name in named if checks[name](model)}
    return failed or {name for name in (last,) if checks[name](model)}


def alone_on(model, values):
    """Run one neuron on currents (n_steps,) or (n_steps, n_samples).

    Return spikes and what the threshold saw, of the same shape.
    """
    values = np.asarray(values, float)
    found = Discrete().run(
        network_of_one(model, "1 ms"),
        Drive.current(values.reshape(len(values), -1).T[:, :, None], "1 ms"),
        ("before_reset",),
    )
    return tuple(
        each[:, :, 0].T.reshape(values.shape)
        for each in (found.spikes[0].dense(), found.traces[0]["before_reset"])
    )


# --- spike response neurons ---

_SIZES = {"tau_s": "4 ms", "tau_ref": "2 ms", "theta": 1.0}


def _no_solution(model):
    return refsim.check_declared_step(model).status == "fail"


def _knife_edge(model):
    """Tell >= from > where the kernel is 1 at its peak.

    A membrane made of traces is never exactly at its threshold.
    """
    return (
        model.discrete.solution == "kernel"
        and not alone_on(model.with_parameters(**_SIZES), [1.0] + [0.0] * 8)[0][4]
    )


def _kernel_sum(model):
    rng = np.random.default_rng(4)
    drive = (rng.random(400) < 0.3) * rng.random(400)
    cut_s, cut_ref = (0.01, 1e-4) if model.discrete.solution == "kernel" else (0.0, 0.0)
    wanted = srm_layer(
        filtered(drive[None], alpha_kernel(4.0, 1.0, 1.0, cut_s, 400)),
        alpha_kernel(2.0, 1.0, -2.0, cut_ref, 400),
        1.0,
    )
    fired, membrane = alone_on(model.with_parameters(**_SIZES), drive)
    return (
        not np.array_equal(fired, wanted[0][0] > 0) or np.abs(membrane - wanted[1][0]).max() > 1e-12
    )


SRM_CHECKS = {
    "declared step is the exact solution": _no_solution,
    "knife edge": _knife_edge,
    "kernel sum": _kernel_sum,
}

# --- Loihi's integers ---


def referee(model: refsim.NeuronModel, values):
    """Return spikes and what the threshold saw (n_steps, n_neurons), in int64, for whole numbers as
    input.
    """
    p = {name: parameter.value for name, parameter in model.parameters.items()}
    drive = np.asarray(values, np.int64).reshape(len(values), -1) * 2 ** int(6 + p.pop("w_exp"))
    if "period" in p:
        keep, angle = 4096 * (1 - p.pop("decay")), 2 * np.pi / p.pop("period")
        p |= {
            "cos": np.floor(keep * np.cos(angle) + 0.5),
            "sin": np.floor(keep * np.sin(angle) + 0.5),
        }
    run = getattr(oracle_loihi, model.name.removesuffix(ROGUE).removesuffix("_loihi"))
    spikes, seen = zip(*run(drive, **{name: int(value) for name, value in p.items()}), strict=True)
    return np.array(spikes), np.array(seen)


_QUIET = 10**8  # a threshold that nothing reaches
_PULSE = np.array([157] + [0] * 60)  # shifts of it leave a fraction at nearly every step


def _not_cut_toward_zero(model):
    """Let a pulse of either sign fade, without a spike."""
    quiet = model.with_parameters(v_th=_QUIET)
    return any(
        not np.array_equal(alone_on(quiet, pulse)[1], referee(quiet, pulse)[1][:, 0])
        for pulse in (_PULSE, -_PULSE)
    )


def _threshold_missed(model):
    """Put the threshold exactly where the membrane comes to, and then one unit to either side."""
    if _not_cut_toward_zero(model):
        # The membrane does not come to where the threshold is put; that has a name already.
        return False
    phased = "im_old < 0" in model.discrete.fire.text
    seen = referee(model.with_parameters(v_th=_QUIET), _PULSE)[1][:, 0]
    # The threshold is asked where the phase passes zero alone: where a low one finds its second
    # spike, if a spike leaves no trace.
    if phased:
        seen = seen[: 1 + np.flatnonzero(referee(refsim.load("rf_loihi", v_th=1), _PULSE)[0])[0]][
            -1:
        ]
    at = int(seen.max())
    models = [model.with_parameters(v_th=at + shift) for shift in (-1, 0, 1)]
    first = [
        [
            int(np.argmax(run)) if run.any() else -1
            for run in (alone_on(each, _PULSE)[0], referee(each, _PULSE)[0][:, 0])
        ]
        for each in models
    ]
    return any(a != b for a, b in first)


def _trains(model):
    rng = np.random.default_rng(6)
    drive = np.round(rng.normal(20, 60, (500, 20))).astype(int)
    spikes, seen = referee(model, drive)
    assert spikes.sum() > 20
    fired, membrane = alone_on(model, drive)
    return not (np.array_equal(fired, spikes) and np.array_equal(membrane, seen))


LOIHI_CHECKS = {
    "cut toward zero": _not_cut_toward_zero,
    "threshold": _threshold_missed,
    "trains in integers": _trains,
}
LOIHI = ("cuba_loihi", "alif_loihi", "rf_loihi", "rf_iz_loihi", "adrf_loihi")

# --- the gallery ---

CARDS = {
    card: (lambda card=card: refsim.load(card)) for card in ("srm_alpha", "srm_slayer", *LOIHI)
}

_ODE, _KNIFE, _SUM = SRM_CHECKS
_CUT, _THRESHOLD, _TRAINS = LOIHI_CHECKS
_TURN = "re = shr(cos_decay*re_old, 12) - shr(sin_decay*im_old, 12) + scale*I"
ROGUES = [
    Rogue(
        "a factor tau lost in the step",
        _ODE,
        lambda: altered("srm_alpha", ("y + share_s*x", "y + x")),
    ),
    Rogue(
        "a factor tau lost in step and ODE",
        _SUM,
        lambda: altered(
            "srm_alpha", ("y + share_s*x", "y + x"), ("(x - y)/tau_s", "x/step - y/tau_s")
        ),
    ),
    Rogue(
        "refractory response one step late",
        _ODE,
        lambda: altered(
            "srm_alpha",
            (
                "q = keep_ref*(q + share_ref*r)\nr = keep_ref*r",
                "r = keep_ref*r\nq = keep_ref*(q + share_ref*r)",
            ),
        ),
    ),
    Rogue(
        "> for >= behind kernels",
        _KNIFE,
        lambda: altered("srm_slayer", ("z = u >= theta", "z = u > theta")),
    ),
    Rogue(
        "kernel cut elsewhere",
        _SUM,
        lambda: altered("srm_slayer", ("abs(eps) < cut_s", "abs(eps) < 2*cut_s")),
    ),
    Rogue(
        "kernel cut before its peak is known",
        _SUM,
        lambda: altered(
            "srm_slayer",
            ("abs(nu) < cut_ref and k*step > tau_ref", "abs(nu) < 0.01 and k*step > tau_ref"),
        ),
    ),
    Rogue(
        "a factor tau lost in the kernel",
        _SUM,
        lambda: altered(
            "srm_slayer", ('"-scale_ref*theta*(k*step/tau_ref)', '"-scale_ref*theta*k')
        ),
    ),
    *(
        Rogue(
            f"rounded instead of cut: {card}",
            _CUT,
            lambda card=card, old=old: altered(f"{card}_loihi", (old, f"round({old[4:-5]}/4096)")),
        )
        for card, old in (
            ("cuba", "shr(u*i_keep, 12)"),
            ("alif", "shr(v*v_keep, 12)"),
            ("rf", "shr(sin_decay*re_old, 12)"),
            ("rf_iz", "shr(cos_decay*im, 12)"),
            ("adrf", "shr(cos_decay*re_old, 12)"),
        )
    ),
    Rogue(
        "a shift that goes down below zero",
        _CUT,
        lambda: altered("cuba_loihi", ("shr(v*v_keep, 12)", "floor(v*v_keep/4096)")),
    ),
    Rogue(">= for >", _THRESHOLD, lambda: altered("cuba_loihi", ("v > v_th", "v >= v_th"))),
    Rogue("> for >=: alif", _THRESHOLD, lambda: altered("alif_loihi", ("v >= th", "v > th"))),
    Rogue("> for >=: rf", _THRESHOLD, lambda: altered("rf_loihi", ("re >= v_th", "re > v_th"))),
    Rogue(
        "> for >=: rf_iz", _THRESHOLD, lambda: altered("rf_iz_loihi", ("im >= v_th", "im > v_th"))
    ),
    Rogue("> for >=: adrf", _THRESHOLD, lambda: altered("adrf_loihi", ("re >= th", "re > th"))),
    Rogue(
        "reset to the threshold itself",
        _TRAINS,
        lambda: altered("rf_iz_loihi", ("(v_th - 1)*z", "v_th*z")),
    ),
    Rogue(
        "threshold raised before it is doubled",
        _TRAINS,
        lambda: altered("alif_loihi", ("r = r + 2*th*z", "r = r + 2*(th + th_step)*z")),
    ),
    Rogue(
        "adaptation a step late",
        _TRAINS,
        lambda: altered(
            "adrf_loihi",
            ("a = shr(a*th_keep, 12)\nth = a + v_th", "th = a + v_th\na = shr(a*th_keep, 12)"),
        ),
    ),
    Rogue(
        "phase not asked",
        _THRESHOLD,
        lambda: altered("rf_loihi", ("re >= v_th and im_old < 0 and im >= 0", "re >= v_th")),
    ),
    Rogue(
        "turned the other way",
        _CUT,
        lambda: altered("rf_loihi", (_TURN, _TURN.replace("- shr", "+ shr"))),
    ),
    Rogue(
        "membrane kept after a spike",
        _TRAINS,
        lambda: altered("cuba_loihi", ("v = v*(1 - z)", "v = v - v_th*z")),
    ),
]
