"""Planted faults in the sigma-delta card, and its checks: each rogue is caught by one, by name.

A check takes a card and returns whether something is wrong. The last one takes any input, and runs
only where the named ones pass.
"""

import numpy as np
import oracle_sigma_delta
from rogues import Rogue
from rogues_srm import altered

from refsim import Discrete, Drive
from refsim.cases.neuron import network_of_one

_V_TH = 100


def sends(model, values):
    """Return what one neuron sends, (n_steps,), for currents (n_steps,)."""
    drive = Drive.current(np.reshape(values, (1, -1, 1)).astype(float), "1 ms")
    return (
        Discrete()
        .run(network_of_one(model, "1 ms"), drive, ("payload",))
        .traces[0]["payload"][0, :, 0]
        .tolist()
    )


def _residue_lost(model):
    """Let three changes that are too small by themselves add up, be sent, and be gone."""
    return [
        value != 0 for value in sends(model.with_parameters(v_th=_V_TH), [40, 40, 40, 0, 60])
    ] != [False, False, True, False, False]


def _threshold_missed(model):
    """Change by the threshold itself and by one less, up and down."""
    if _residue_lost(model):
        return False  # what is left over moves the threshold; that has a name already
    fired = [
        [value != 0 for value in sends(model.with_parameters(v_th=_V_TH), [1000, change])]
        for change in (100, 99, -100, -99)
    ]
    return [second for _, second in fired] != [True, False, True, False]


def _payload_changed(model):
    """Send two large changes, one up and one down."""
    if _residue_lost(model):
        return False
    found = sends(model.with_parameters(v_th=_V_TH), [357, 0, -230])
    return [value for value in found if value] != [357, -230] and all(found[::2])


def _trains(model):
    rng = np.random.default_rng(6)
    # A sum that is often below zero.
    drive = np.diff(rng.integers(-150, 151, (1, 400, 1)), axis=1, prepend=0)
    layer = {"v_th": 70, "bias": 33, "inputs": [(-1, np.ones((1, 1), np.int64), 0)]}
    (sent,) = oracle_sigma_delta.network(drive, [layer])
    assert (sent < 0).sum() > 20
    return sends(model.with_parameters(v_th=70, bias=33), drive[0, :, 0]) != sent[0, :, 0].tolist()


CHECKS = {
    "residue": _residue_lost,
    "threshold": _threshold_missed,
    "payload": _payload_changed,
    "trains in integers": _trains,
}
_RESIDUE, _THRESHOLD, _PAYLOAD, _TRAINS = CHECKS
ROGUES = [
    Rogue(
        "residue not kept",
        _RESIDUE,
        lambda: altered("sigma_delta", ("residue = change - sent", "residue = 0*change")),
    ),
    Rogue(
        "residue kept although it is sent",
        _RESIDUE,
        lambda: altered("sigma_delta", ("residue = change - sent", "residue = change")),
    ),
    Rogue(
        "> for >=",
        _THRESHOLD,
        lambda: altered("sigma_delta", ("abs(change) >= v_th", "abs(change) > v_th")),
    ),
    Rogue(
        "changes down are not sent",
        _THRESHOLD,
        lambda: altered("sigma_delta", ("abs(change) >= v_th", "change >= v_th")),
    ),
    Rogue(
        "sent as 1",
        _PAYLOAD,
        lambda: altered(
            "sigma_delta",
            ("sent = z*change\nresidue = change - sent", "sent = z\nresidue = change*(1 - z)"),
        ),
    ),
    Rogue(
        "sign lost",
        _PAYLOAD,
        lambda: altered(
            "sigma_delta",
            (
                "sent = z*change\nresidue = change - sent",
                "sent = z*abs(change)\nresidue = change*(1 - z)",
            ),
        ),
    ),
    Rogue(
        "not rectified",
        _TRAINS,
        lambda: altered("sigma_delta", ("act = open*shifted", "act = shifted*(open + 1 - open)")),
    ),
    Rogue(
        "the sum itself rectified",
        _TRAINS,
        lambda: altered(
            "sigma_delta", ("act = open*shifted", "act = open*shifted\ntotal = act - bias")
        ),
    ),
    Rogue(
        "bias added every step",
        _TRAINS,
        lambda: altered("sigma_delta", ("total = total + I", "total = total + I + bias")),
    ),
]
