"""The integrators: cases against formulas, conductances against an ODE solver, and what a fault in
a family looks like.
"""

import dataclasses

import numpy as np
import pytest
import torch
from conftest import mismatches
from scipy.integrate import solve_ivp

import refsim
from refsim import Brian2, Discrete, Drive, RefsimError, Torch
from refsim.cards.language import parse_statements
from refsim.cases.case import read_case
from refsim.cases.neuron import network_of_one
from refsim.core.shelf import shelf

CURVES = sorted((shelf("validation") / "curve").glob("*.toml"))


@pytest.mark.parametrize("path", CURVES, ids=lambda path: path.stem)
def test_a_neuron_follows_its_formula(path):
    verdicts = read_case(path).run().verdicts
    assert {verdict.status for verdict in verdicts} == {"pass"}, [
        (v.claim.measure, v.value) for v in verdicts
    ]


def changed(card, part, old, new):
    """Return a card whose declared step alone is changed.

    What a slip of the pen would make of it.
    """
    model = refsim.load(card)
    text = "\n".join(
        f"{statement.target} = {statement.text}" for statement in getattr(model.discrete, part)
    )
    assert old in text
    return dataclasses.replace(
        model,
        discrete=dataclasses.replace(
            model.discrete, **{part: parse_statements(text.replace(old, new), card)}
        ),
    )


SLIPS = {
    "a lost factor tau": (
        "plif_constant",
        "integrate",
        "(I - v)*share",
        "(I - v)",
        "membrane off its formula",
    ),
    "decay forgotten": ("li_constant", "integrate", "decay*v", "v", "membrane off its formula"),
    "the current decays before it acts": (
        "cuba_lif_pulse",
        "integrate",
        "v = beta*v + i_syn",
        "v = beta*v + alpha*i_syn",
        "membrane off its formula",
    ),
    "refractory one step short": (
        "lif_refractory_interval",
        "reset",
        "n_ref*z",
        "(n_ref - 1)*z",
        "interval off its formula",
    ),
    "refractory one step long": (
        "lif_refractory_interval",
        "integrate",
        "count < 1",
        "count < 0",
        "first spike off its formula",
    ),
    "units off by a thousand": (
        "qif_tangent",
        "integrate",
        "r_m * I",
        "1000*r_m * I",
        "order of the step",
    ),
    "no onset": ("eif_sharp", "integrate", "+ upswing", "", "first spike off its formula"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_caught_by_name(slip):
    from refsim.cases.neuron import read_curve, validate_curve

    case, part, old, new, measure = SLIPS[slip]
    found = read_case(shelf("validation") / "curve" / f"{case}.toml")
    model = refsim.load(found.table["neuron"], **found.table.get("parameters", {}))
    rogue = dataclasses.replace(changed(model.name, part, old, new), parameters=model.parameters)
    curve = read_curve(rogue, found.table)
    rows = [
        curve_row
        for claim in found.claims
        if claim.measure == measure
        for curve_row in _discrete_only(curve, claim, validate_curve)
    ]
    assert any(row.status == "fail" for row in rows)
    assert all(
        verdict.status == "pass"
        for verdict in found.run().verdicts
        if verdict.claim.measure == measure
    )


def _discrete_only(curve, claim, validate):
    import refsim.cases.neuron as module

    kept, module.all_engines = module.all_engines, lambda: (Discrete(),)
    try:
        return validate(curve, [claim])
    finally:
        module.all_engines = kept


# --- conductances ---


def conductances(weights, n_steps, dt, **parameters):
    """Run coba_lif with one spike on each of its inputs in the first step.

    Return the membrane before reset.
    """
    network = refsim.Network.dense([([weights], None, refsim.load("coba_lif", **parameters))], dt)
    drive = Drive.events(
        np.zeros(len(weights), int),
        np.zeros(len(weights), int),
        np.arange(len(weights)),
        (1, n_steps, len(weights)),
        dt,
    )
    return network, drive


def test_conductances_converge_to_the_ode_at_order_one():
    p = refsim.load("coba_lif").constants(1.0)

    def slope(t, y):
        g_e, g_i, v = y
        flow = p["g_l"] * (p["e_l"] - v) + g_e * (p["e_e"] - v) + g_i * (p["e_i"] - v)
        return [-g_e / p["tau_e"], -g_i / p["tau_i"], flow / p["c_m"]]

    end, errors = 0.02, []
    truth = solve_ivp(
        slope, (0, end), [2e-9, 3e-9, -0.06], rtol=1e-12, atol=1e-18, method="DOP853"
    ).y[2, -1]
    for n in (80, 160, 320, 640):
        # The jump comes at the end of the first step.
        network, drive = conductances([2e-9, -3e-9], n + 1, end / n)
        membrane = (
            Discrete().run(network, drive, ("before_reset",)).traces[0]["before_reset"][0, :, 0]
        )
        errors.append(abs(membrane[-1] - truth))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    # The declared method holds conductances over a step: order one, and nearer to it with dt.
    assert (np.abs(orders - 1) < 0.1).all()


def test_excitation_and_inhibition_do_not_cancel():
    # a product that summed both signs would see nothing at all
    network, drive = conductances([5e-9, -5e-9], 40, "0.5 ms")
    for engine in (
        Discrete(),
        Brian2(target="numpy"),
        Brian2(target="cpp"),
        Torch(dtype="float64"),
    ):
        membrane = engine.run(network, drive, ("before_reset",)).traces[0]["before_reset"][0, :, 0]
        # Volts: 5 nS at 60 mV from its reversal for 5 ms, over 200 pF.
        assert np.ptp(membrane) > 1e-3
    only = [conductances(weights, 40, "0.5 ms") for weights in ([5e-9], [-5e-9])]
    up, down = (
        Discrete().run(*each, ("before_reset",)).traces[0]["before_reset"][0, :, 0] for each in only
    )
    assert up.max() > -0.06 + 1e-3
    assert down.min() < -0.06 - 1e-3


def test_conductances_pass_through_layers_of_spikes(rng):
    first = rng.normal(2e-9, 4e-9, (12, 8))
    second = rng.normal(3e-9, 6e-9, (4, 12))
    network = refsim.Network.dense(
        [(first, None, refsim.load("coba_lif")), (second, None, refsim.load("coba_lif"))], "0.5 ms"
    )
    drive = Drive.bernoulli(np.full((6, 8), 0.2), 200, "0.5 ms", 2)
    runs = [
        engine.run(network, drive)
        for engine in (Discrete(), Brian2(target="cpp"), Torch(dtype="float64"))
    ]
    assert min(len(train) for train in runs[0].spikes) > 20
    assert [mismatches(runs[0], run) for run in runs[1:]] == [[0, 0]] * 2


def test_a_current_below_zero_cannot_be_parted_by_sign():
    network, _ = conductances([5e-9, -5e-9], 4, "0.5 ms")
    with pytest.raises(
        RefsimError, match="parts weights by their sign, and the drive goes down to -1"
    ):
        Discrete().run(network, Drive.current(-np.ones((1, 4, 2)), "0.5 ms"))


# --- conventions of the field ---


def test_the_current_based_card_is_the_step_of_the_frameworks(rng):
    # i = alpha*i + x; v = beta*v + i, the current kept before its decay: the same membranes to the
    # last bit
    x = np.round(rng.random((1, 60, 1)) * 64) / 64
    found = Discrete().run(
        network_of_one(refsim.load("cuba_lif"), "1 ms"), Drive.current(x, "1 ms"), ("before_reset",)
    )
    i = v = 0.0
    for step, value in enumerate(x[0, :, 0]):
        i = 0.5 * i + value
        v = 0.75 * v + i
        assert found.traces[0]["before_reset"][0, step, 0] == v
        v = 0.0 if v >= 0.5 else v


def test_an_early_impulse_is_exact_in_fine_mode():
    network = network_of_one(refsim.load("cuba_lif", v_th=9.0), "1 ms")
    drive = Drive.events([0, 0], [0, 3], [0, 0], (1, 12, 1), "1 ms")
    grid = Discrete().run(network, drive, ("before_reset",)).traces[0]["before_reset"]
    for target in ("numpy", "cpp"):
        fine = (
            Brian2(mode="fine", refine=4, target=target)
            .run(network, drive, ("before_reset",))
            .traces[0]["before_reset"]
        )
        assert np.abs(fine[:, 3::4] - grid).max() < 1e-14  # the exact solution, in four pieces


def test_a_learnt_leak_is_read_from_the_module(rng):
    from refsim.pytorch import PLIF

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(6, 4), PLIF()).double()
    module[0].weight.data.abs_()  # so that all fire, whatever was drawn
    module[1].w.data.fill_(-0.75)
    module(torch.ones(1, 6, dtype=torch.float64)).sum().backward()
    assert module[1].w.grad is not None
    network = refsim.bridge.load(module, dt="1 ms")
    assert network.layers[0].model.parameters["w"].value == -0.75
    drive = Drive.current(25 * rng.random((4, 40, 6)), "1 ms")
    reference = Discrete().run(network, drive)
    assert len(reference.spikes[0]) > 10
    assert mismatches(reference, Torch(module=module).run(network, drive)) == [0]


def test_a_module_in_seconds_wants_its_step():
    from refsim.pytorch import EIF

    with pytest.raises(RefsimError, match='its step depends on its duration; give it, dt="1 ms"'):
        EIF()
    module = torch.nn.Sequential(torch.nn.Linear(6, 4), EIF(dt="0.1 ms"))
    with pytest.raises(RefsimError, match=r"was made for steps of 0.0001 s, but dt is 0.001 s"):
        refsim.bridge.load(module, dt="1 ms")
