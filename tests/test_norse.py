"""Norse's layers: each card against numbers by hand, each stand-in read and run on trial, each
misread convention found by its name.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import every_engine_agrees
from standins_norse import (
    DT,
    Chain,
    CobaLIFCell,
    IAFCell,
    LICell,
    LIFBoxCell,
    LIFCell,
    LIFRecurrent,
    LSNNCell,
    reset_subtract,
)
from torch import nn

import refsim
from refsim import RefsimError
from refsim.cards.read import switched
from refsim.judge.causes import explaining_traits
from refsim.pytorch.framework_steps import NORSE_STEPS

LIF = {"tau_mem_inv": 512.0, "tau_syn_inv": 256.0, "v_rest": 0.25, "v_th": 1.0, "v_reset": -0.5}
BOX = {name: value for name, value in LIF.items() if name != "tau_syn_inv"}
EX = {**LIF, "v_rest": 1.0, "delta_T": 0.5}
EX_1 = 0.5 + 0.5 * (0.5 + 0.5 * math.exp(-1) - 1.125)
IZHIKEVICH = {
    "tau_inv": 256.0,
    "a": 0.5,
    "b": 0.25,
    "c": -64.0,
    "d": 8.0,
    "sq": 0.0625,
    "v_start": -64.0,
    "u_start": -16.0,
}
# By hand, from the recurrences of the facts: input, what the threshold sees, spikes. The fourth 1.0
# of the LIF meets its threshold: Norse fires above it.
TABLES = {
    "norse_lif": (LIF, [1, 0.5, 0, 0.703125], [0.75, 1.125, 0.34375, 1.0], [0, 1, 0, 0]),
    "norse_lif_box": (BOX, [1, 2, 0, 2.875], [0.75, 1.5, -0.125, 1.5], [0, 1, 0, 1]),
    "norse_lif_box subtract": (BOX, [1, 2, 0, 1.375], [0.75, 1.5, 0.375, 1.0], [0, 1, 0, 0]),
    "norse_iaf": (
        {"v_th": 1.0, "v_reset": -0.5, "v_start": -0.5},
        [1.5, 0.25, 0.25],
        [1.0, 1.25, -0.25],
        [0, 1, 0],
    ),
    "norse_li": (
        {name: LIF[name] for name in ("tau_mem_inv", "tau_syn_inv", "v_rest")},
        [1, 0.5, 0],
        [0.75, 1.125, 1.15625],
        [0, 0, 0],
    ),
    "norse_li_box": (
        {"tau_mem_inv": 512.0, "v_rest": 0.25},
        [1, 2, 0],
        [0.75, 1.5, 0.875],
        [0, 0, 0],
    ),
    "norse_lsnn": (
        {**LIF, "tau_adapt_inv": 512.0, "beta": 1.0},
        [4, 0, 0, 0],
        [0.25, 2.25, 1.375, 1.9375],
        [0, 1, 0, 1],
    ),
    "norse_lif_refrac": (
        {**LIF, "rho_reset": 2.0},
        [1, 0.5, 0, 4, 0],
        [0.75, 1.125, -0.5, -0.5, 1.638671875],
        [0, 1, 0, 0, 1],
    ),
    "norse_lif_ex": (EX, [-1.5, 0], [0.5, EX_1], [0, 0]),
    # a: 0, then 0.5*(1*(1 - 1) - 0) = 0, then 0.5*(0.5 - 1) = -0.25, which acts in the third step
    "norse_lif_adex": (
        {**EX, "tau_ada_inv": 512.0, "adaptation_current": 1.0},
        [-1.5, 0, 0],
        [0.5, EX_1, None],
        [0, 0, 0],
    ),
    "norse_izhikevich": (IZHIKEVICH, [4, 0, 0], [-40, -26, -9.125], [0, 0, 0]),
}
TABLES["norse_lif_adex"][2][2] = EX_1 + 0.5 * (
    1 - EX_1 + 0.5 * math.exp((EX_1 - 1) / 0.5) - 0.84375 + 0.25
)


@pytest.mark.parametrize("name", TABLES)
def test_each_card_by_hand(name):
    parameters, inputs, seen, spikes = TABLES[name]
    card, *reset = name.split()
    network = refsim.Network.dense(
        [
            (
                np.ones((1, 1)),
                None,
                refsim.load(card, **parameters, **({"reset": reset[0]} if reset else {})),
            )
        ],
        DT,
    )
    drive = refsim.Drive.current(np.array(inputs, float).reshape(1, -1, 1), DT)
    for engine in (refsim.Discrete(), refsim.Brian2(target="numpy"), refsim.Torch(dtype="float64")):
        run = refsim.run(network, drive, engine=engine, record=("before_reset",))
        assert np.allclose(run.traces[0]["before_reset"][0, :, 0], seen, rtol=1e-15, atol=0), (
            run.label
        )
        assert run.spikes[0].dense()[0, :, 0].tolist() == [bool(each) for each in spikes], run.label


def test_a_crossing_that_is_held_back_raises_the_adaptation():
    """Norse's LIFAdExRefrac adds adaptation_spike wherever the free membrane would cross, also
    while it is held.
    """
    model = refsim.load(
        "norse_lif_adex_refrac", **EX, tau_ada_inv=0.0, adaptation_spike=1.0, rho_reset=2.0
    )
    network = refsim.Network.dense([(np.ones((1, 1)), None, model)], DT)
    drive = refsim.Drive.current(np.full((1, 4, 1), 9.0), DT)
    for engine in (refsim.Discrete(), refsim.Brian2(target="numpy")):
        run = refsim.run(network, drive, engine=engine, record=("a",))
        assert run.spikes[0].dense()[0, :, 0].tolist() == [True, False, False, True]
        assert run.traces[0]["a"][0, :, 0].tolist() == [1, 2, 3, 4]


SCALES = {"norse_izhikevich": 30.0}


@pytest.mark.parametrize("card", NORSE_STEPS)
def test_every_engine_reads_a_card_alike(card, rng):
    own = {
        name: rng.uniform(0.1, 1, 8) for name in ("v_th", "v_rest") if card != "norse_izhikevich"
    } | ({"v_start": rng.uniform(-75, -60, 8)} if card == "norse_izhikevich" else {})
    network = refsim.Network.dense(
        [(rng.normal(0, 1, (8, 6)), rng.normal(0, 0.1, 8), refsim.load(card), own)], "1 ms"
    )
    drive = refsim.Drive.current(SCALES.get(card, 2.0) * rng.normal(0.5, 1, (3, 120, 6)), "1 ms")
    assert len(every_engine_agrees(network, drive).spikes[0]) > 20


def dyadic(n_in, n_out, seed=2):
    """Return a Linear whose numbers are multiples of 1/4."""
    linear, grid = nn.Linear(n_in, n_out).double(), torch.Generator().manual_seed(seed)
    for each in linear.parameters():
        each.data = (torch.randint(-4, 7, each.shape, generator=grid) / 4).double()
    return linear


MODULES = {
    "LIFCell": lambda: Chain(
        dyadic(6, 9), LIFCell(v_th=torch.linspace(0.25, 2.25, 9)), dyadic(9, 5), LIFCell()
    ),
    "LIFBoxCell reset_value": lambda: Chain(
        dyadic(6, 9), LIFBoxCell(), dyadic(9, 5), LIFBoxCell(v_leak=0.5)
    ),
    "LIFBoxCell reset_subtract": lambda: Chain(
        dyadic(6, 9), LIFBoxCell(reset_method=reset_subtract), dyadic(9, 5), LIFBoxCell()
    ),
    "IAFCell": lambda: Chain(dyadic(6, 9), IAFCell(), dyadic(9, 5), LIFCell()),
    "LSNNCell": lambda: Chain(dyadic(6, 9), LSNNCell(), dyadic(9, 5), LSNNCell(beta=1.0)),
    "LIFCell, LICell": lambda: Chain(
        dyadic(6, 9), LIFCell(v_leak=torch.linspace(-1, 1, 9)), dyadic(9, 5), LICell()
    ),
    "LIFRecurrent": lambda: LIFRecurrent(6, 9),
}


@pytest.fixture
def drive(rng):
    return refsim.Drive.bernoulli(rng.random((3, 6)), 100, DT, 0)


def read(module):
    return refsim.bridge.load(module, input_shape=(6,))


def on_trial(module, network, drive, record=()):
    return refsim.run(
        network, drive, engine=refsim.Torch(module=module, input_shape=(6,)), record=record
    )


@pytest.mark.parametrize("name", MODULES)
def test_a_layer_is_what_its_source_says(name, drive):
    module, record = MODULES[name]().double(), ("after_reset",)
    network = read(module)
    ours, theirs = (
        refsim.run(network, drive, engine=refsim.Discrete(), record=record),
        on_trial(module, network, drive, record),
    )
    for layer, a, b, one, other in zip(
        network.layers, ours.spikes, theirs.spikes, ours.traces, theirs.traces, strict=True
    ):
        assert len(a) or layer.model.discrete.readout
        assert np.array_equal(a.code, b.code)
        if not np.isnan(other["after_reset"]).any():  # hidden where a layer runs over time
            # Sums of some numbers of order 1, in another order.
            assert np.allclose(one["after_reset"], other["after_reset"], rtol=0, atol=1e-12)


# Planted faults: a convention that a reader of Norse could misread, by the trait that tells it.
MISREAD = {
    "comparison": ("LIFCell", {"comparison": ">="}),
    "synapse": ("LIFCell", {"synapse": "jump, decay, use"}),
    "reset": ("LIFBoxCell reset_value", {"reset": "subtract"}),
    "input": ("LIFCell", {"input": "whole"}),
    "start": ("IAFCell", {"start": "at rest"}),
    "moment": ("LIFBoxCell reset_subtract", {"moment": "next step, after the update"}),
}


@pytest.mark.parametrize("trait", MISREAD)
def test_a_misread_convention_is_named(trait, drive):
    name, wrong = MISREAD[trait]
    module = MODULES[name]()
    network = read(module)
    trial = on_trial(module, network, drive)
    assert explaining_traits(trial) == []
    first, *rest = network.layers
    misread = replace(network, layers=(replace(first, model=switched(first.model, **wrong)), *rest))
    assert {
        (each.trait, each.found) for each in explaining_traits(replace(trial, network=misread))
    } >= {(trait, first.model.convention[trait])}


RECURRENT = {
    "transposed": lambda own, recurrent: (own, recurrent.T),
    "without its diagonal": lambda own, recurrent: (own, recurrent - np.diag(np.diag(recurrent))),
    "input weights left out": lambda own, recurrent: (np.eye(*own.shape), recurrent),
}


@pytest.mark.parametrize("slip", RECURRENT)
def test_misread_recurrent_weights_show(slip, drive):
    module = LIFRecurrent(6, 9).double()
    network = read(module)
    own, recurrent = (
        weight.detach().double().numpy()
        for weight in (module.input_weights, module.recurrent_weights)
    )
    layer = network.layers[0]
    assert [np.array_equal(a, b) for a, b in zip(layer.weights, (own, recurrent), strict=True)] == [
        True,
        True,
    ]
    wrong = replace(
        network, layers=(replace(layer, weight=np.hstack(RECURRENT[slip](own, recurrent))),)
    )
    theirs = on_trial(module, network, drive).spikes[0]
    assert not np.array_equal(
        refsim.run(wrong, drive, engine=refsim.Discrete()).spikes[0].code, theirs.code
    )


def test_a_rate_in_float32_is_read_as_a_step_takes_it(rng):
    module = Chain(
        dyadic(6, 9), LICell(dt=1e-3, tau_mem_inv=100.0, tau_syn_inv=200.0, dtype=torch.float32)
    ).double()
    network = read(module)
    assert network.dt * network.layers[0].model.parameters["tau_mem_inv"].value == pytest.approx(
        float(np.float32(1e-3 * 100.0)), rel=1e-15
    )
    drive = refsim.Drive.current(rng.normal(0.3, 2, (2, 50, 6)), "1 ms")
    theirs = on_trial(module, network, drive, ("before_reset",)).traces[0]["before_reset"]
    for exact, model in (
        (True, network.layers[0].model),
        (False, network.layers[0].model.with_parameters(tau_mem_inv=100.0, tau_syn_inv=200.0)),
    ):
        ours = refsim.run(
            replace(network, layers=(replace(network.layers[0], model=model),)),
            drive,
            engine=refsim.Discrete(),
            record=("before_reset",),
        )
        assert np.allclose(ours.traces[0]["before_reset"], theirs, rtol=0, atol=1e-13) is exact


def test_the_step_is_that_of_the_layers():
    assert read(MODULES["LIFCell"]()).dt == DT
    with pytest.raises(RefsimError, match="was made for steps of 0.000976562 s, but dt is 0.001 s"):
        refsim.bridge.load(MODULES["LIFCell"](), dt="1 ms", input_shape=(6,))
    # The step of an IAF has none.
    with pytest.raises(RefsimError, match="says nothing of the duration of a step"):
        read(Chain(dyadic(6, 9), IAFCell(dt=1e-3)))
    assert (
        refsim.bridge.load(
            Chain(dyadic(6, 9), IAFCell(dt=1e-3), dyadic(9, 5), LIFCell()), input_shape=(6,)
        ).dt
        == DT
    )


class StartsElsewhere(LIFCell):
    def state_fallback(self, x):
        state = super().state_fallback(x)
        return state._replace(v=state.v + 1)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: Chain(dyadic(6, 9), CobaLIFCell()),
            "is Norse's CobaLIFCell, which refsim does not read; of Norse it reads IAF, IAFCell",
        ),
        (
            lambda: Chain(dyadic(6, 9), LIFBoxCell(reset_method=lambda z, v, r, t: v)),
            "reset_method = '<lambda>' is not read: it is a function of your own",
        ),
        (
            lambda: Chain(dyadic(6, 9), StartsElsewhere()),
            "'parts.1': Norse's StartsElsewhere starts at 1.25, and not at v_leak, 0.25",
        ),
        (
            lambda: LIFRecurrent(6, 9, v_leak=0.1),
            (
                "Norse's LIFRecurrent starts at 0.10000000149011612, and not at v_leak, 0.1; it "
                "may "
                "round its start to float32"
            ),
        ),
        (
            lambda: Chain(dyadic(6, 9), LIFCell(v_th=torch.ones(3, 9))),
            r"v_th: has shape \(3, 9\), which does not fit its neurons, \(9,\)",
        ),
    ],
)
def test_what_cannot_be_said_is_refused(make, says):
    with pytest.raises(RefsimError, match=says):
        read(make())
