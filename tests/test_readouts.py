"""Read-outs behind the last neurons.

Four cards, every engine, modules that end in a map, and decisions by a stated rule.
"""

import numpy as np
import pytest
from rogues_readouts import (
    CARDS,
    CLASSES,
    DT,
    HIDDEN,
    N_IN,
    OUTPUT,
    STEPS,
    declared,
    drive,
    weights,
)
from torch import nn

import refsim
from refsim.__main__ import main
from refsim.cards.neuron import so_far
from refsim.core.errors import RefsimError
from refsim.files.refsim_file import load_network, save_network
from refsim.networks.recording import decision_rule
from refsim.pytorch import SRIF, ReadoutLast, ReadoutMax, ReadoutMean, ReadoutSum

LAYERS = {"mean": ReadoutMean, "sum": ReadoutSum, "last": ReadoutLast, "max": ReadoutMax}
GRID = refsim.Brian2(target="numpy")


def expected(run, network, rule):
    """What a rule makes of the weighted spikes of the hidden layer, in NumPy.

    (n_samples, n_steps, n_classes).
    """
    layer = network.layers[-1]
    arrived = run.spikes[0].dense() @ layer.weight.T + layer.bias
    return so_far(arrived.swapaxes(0, 1), rule).swapaxes(0, 1)


# The cards, in every engine


@pytest.mark.parametrize("rule", CARDS)
@pytest.mark.parametrize(
    "engine",
    [GRID, refsim.Discrete(), refsim.Torch(dtype="float64"), refsim.Torch(dtype="float32")],
    ids=lambda engine: repr(engine)[:30],
)
def test_every_engine_gives_what_numpy_makes_of_the_steps(rule, engine):
    network, given = declared(rule), drive()
    run = refsim.run(network, given, engine, record=OUTPUT)
    wanted, found = expected(run, network, rule), run.traces[-1]["before_reset"]
    single = run.provenance["dtype"] == "float32"
    # Sums of some hundred terms about 1, in either dtype.
    assert np.abs(found - wanted).max() <= (1e-4 if single else 1e-12)
    assert single or np.array_equal(run.decisions(), wanted[:, -1].argmax(1))
    assert not len(run.spikes[-1])


@pytest.mark.parametrize("rule", CARDS)
def test_engines_agree_within_their_bound_and_not_beyond(rule):
    network, given = declared(rule), drive()
    reference = refsim.run(network, given, GRID, record=OUTPUT)
    for engine in (refsim.Discrete(), refsim.Torch(dtype="float32"), refsim.Torch(dtype="float64")):
        run = refsim.run(network, given, engine, record=OUTPUT)
        assert refsim.compare(reference, run).verdict == "pass"
        worst = np.abs(run.traces[-1]["before_reset"][:, -1]).max()
        (run.traces[-1]["before_reset"])[2, -1, 1] += 1e-3 * worst
        report = refsim.compare(reference, run)
        assert report.verdict == "fail"
        assert "output of layer 1 differs by" in report.sentence
        assert f"at sample 2, step {STEPS - 1}, neuron 1" in report.sentence


@pytest.mark.parametrize("rule", CARDS)
def test_compiled_networks_give_the_same_bits(rule):
    network, given = declared(rule), drive()
    runs = [
        refsim.run(network, given, refsim.Brian2(target=target), record=OUTPUT).traces[-1][
            "before_reset"
        ]
        for target in ("numpy", "cpp")
    ]
    assert np.array_equal(*runs)


@pytest.mark.parametrize("rule", CARDS)
@pytest.mark.parametrize("refine", [1, 4])
def test_fine_mode_takes_once_a_step_what_arrived_in_its_sub_steps(rule, refine):
    network, given = declared(rule), drive()
    runs = [
        refsim.run(
            network,
            given,
            refsim.Brian2(mode="fine", refine=refine, target="numpy", connections=connections),
            record=OUTPUT,
        )
        for connections in ("product", "synapses")
    ]
    layer, run = network.layers[-1], runs[0]
    counts = run.spikes[0].dense().reshape(given.n_samples, STEPS, refine, HIDDEN).sum(2)
    wanted = so_far((counts @ layer.weight.T + layer.bias).swapaxes(0, 1), rule).swapaxes(0, 1)
    for each in runs:
        ends = each.traces[-1]["before_reset"][:, refine - 1 :: refine]
        assert np.abs(ends - wanted).max() < 1e-12  # sums of some hundred terms about 1
        assert np.array_equal(each.decisions(), wanted[:, -1].argmax(1))
    grid = refsim.run(network, given, GRID, record=OUTPUT).traces[-1]["before_reset"]
    assert refine > 1 or np.array_equal(run.traces[-1]["before_reset"], grid)


def test_only_what_is_an_output_is_recorded_where_that_is_asked():
    network, given = declared(), drive(4)
    for engine in (GRID, refsim.Brian2(target="cpp"), refsim.Discrete(), refsim.Torch()):
        run = refsim.run(network, given, engine, record=OUTPUT)
        assert [list(traces) for traces in run.traces] == [[], ["before_reset"]]


def test_a_read_out_over_the_steps_is_recorded_without_being_asked_for():
    network, given = declared(), drive(6)
    runs = [
        refsim.run(network, given, engine)
        for engine in (GRID, refsim.Discrete(), refsim.Torch(dtype="float32"))
    ]
    assert [list(run.traces[-1]) for run in runs] == [["before_reset"]] * 3
    assert {refsim.compare(runs[0], run).verdict for run in runs[1:]} == {"pass"}
    asked = refsim.run(network, given, GRID, record="after_reset")
    assert [list(traces) for traces in asked.traces] == [
        ["after_reset"],
        ["after_reset", "before_reset"],
    ]


def test_the_four_layers_of_pytorch_are_read_as_their_cards():
    for rule, layer in LAYERS.items():
        module = nn.Sequential(
            nn.Linear(N_IN, HIDDEN), SRIF(), nn.Linear(HIDDEN, CLASSES), layer()
        ).double()
        network = refsim.bridge.load(module, dt=DT)
        assert [each.model.name for each in network.layers] == ["srif", CARDS[rule]]
        given = drive(6)
        runs = [
            refsim.run(network, given, engine, record=OUTPUT)
            for engine in (GRID, refsim.Torch(module=module))
        ]
        assert refsim.compare(*runs).verdict == "pass"


@pytest.mark.parametrize("rule", CARDS)
def test_gradients_pass_a_readout_as_its_card_says(rule):
    network = declared(rule)
    report = refsim.check_gradient(
        network,
        lambda values, y: nn.functional.cross_entropy(values[..., -1], y),
        surrogate="rectangle",
        dtype="float64",
    )
    assert report.status == "pass"
    assert {
        verdict.status
        for verdict in report.verdicts
        if verdict.claim.measure in ("layer", "connections", "weights")
    } == {"pass"}


# What a card may say


def table(**changed):
    return {
        "name": "mine",
        "input": {"kind": "impulse", "target": "v"},
        "state": {"v": {"unit": "1", "start": 0.0, "meaning": "output"}},
        "discrete": {
            "solution": "map",
            "integrate": "v = v + I",
            "readout": "v",
            "over_steps": "sum",
        }
        | changed,
    }


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"over_steps": "median"},
            "over_steps must be one of last, max, mean, sum, .* but is 'median'",
        ),
        ({"readout": "", "fire": "z = v > 1"}, "over_steps: is of a neuron with a readout"),
    ],
)
def test_a_rule_that_is_none_is_refused(changed, said):
    with pytest.raises(RefsimError, match=said):
        refsim.NeuronModel.from_table(table(**changed))


def test_a_rule_needs_an_impulse_and_no_ode():
    with pytest.raises(RefsimError, match="over_steps: what arrives is taken once a step"):
        refsim.NeuronModel.from_table({**table(), "input": {"kind": "pulse", "target": "v"}})
    with pytest.raises(RefsimError, match=r"over_steps: steps are counted in discrete time alone"):
        refsim.NeuronModel.from_table(
            {**table(), "continuous": {"equations": "dv/dt = I/step : 1", "method": "exact"}}
        )


def test_a_card_that_claims_another_rule_than_its_step_has_is_caught():
    honest, rogue = (
        refsim.NeuronModel.from_table(table()),
        refsim.NeuronModel.from_table(table(over_steps="mean")),
    )
    status = [
        {verdict.claim.measure: verdict for verdict in refsim.check_card(model)}
        for model in (honest, rogue)
    ]
    assert {name for name, verdict in status[0].items() if verdict.status == "fail"} == set()
    assert {name for name, verdict in status[1].items() if verdict.status == "fail"} == {
        "declared_step"
    }
    assert "after step 1 v is" in status[1]["declared_step"].detail


def test_a_card_says_what_it_makes_of_the_steps_wherever_it_is_shown(capsys):
    assert main(["show", "readout_max"]) == 0
    assert "over_steps max of what has arrived over the steps so far" in " ".join(
        capsys.readouterr().out.split()
    )
    assert main(["show", "readout_mean", "--markdown"]) == 0
    assert "the mean of what has arrived over the steps so far" in " ".join(
        capsys.readouterr().out.split()
    )
    assert main(["run", "readout_sum", "--values", "1,2,4", "--engine", "torch"]) == 0
    assert capsys.readouterr().out.split()[-1] == "7"
    assert main(["check", "readout_last"]) == 0
    assert "declared_step  pass" in capsys.readouterr().out


def test_a_description_names_a_readout(tmp_path):
    first, bias, last, offset = weights()
    np.savez(
        tmp_path / "w.npz",
        **{"a.weight": first, "a.bias": bias, "b.weight": last, "b.bias": offset},
    )
    text = (
        'dt = "1 ms"\nweights = "w.npz"\n[[layer]]\nlinear = "a"\nneuron = '
        '"srif"\n[[layer]]\nlinear = "b"\nneuron = "readout_max"\n'
    )
    (tmp_path / "net.toml").write_text(text)
    network = refsim.bridge.load(tmp_path / "net.toml")
    assert (
        decision_rule(network) == "class = largest maximum over the steps, of layer 1 (readout_max)"
    )
    again = load_network(save_network(network, tmp_path / "net.refsim"))
    runs = [refsim.run(each, drive(), GRID, record=OUTPUT) for each in (declared("max"), again)]
    assert np.array_equal(runs[0].traces[-1]["before_reset"], runs[1].traces[-1]["before_reset"])


@pytest.mark.parametrize("fault", [0.0, 1e-3])
def test_a_tie_in_every_sample_hides_no_fault_of_what_is_behind_it(fault):
    # Eight times 0.1 is less than 0.8 in float64, and more in float32.
    hidden, mean = refsim.load("srif", v_th=0.8), refsim.load("readout_mean")
    network = refsim.Network.dense([([[0.1]], None, hidden), ([[1.0]], None, mean)], dt=DT)
    given = refsim.Drive.current(np.ones((3, 12, 1)), dt=DT)
    reference, trial = (
        refsim.run(network, given, engine=engine)
        for engine in (refsim.Discrete(), refsim.Torch(dtype="float32"))
    )
    trial.traces[-1]["before_reset"][1, -1, 0] += fault
    found = refsim.compare(reference, trial).findings.comparisons[0]
    assert found.parted.tolist() == [0, 1, 2]
    assert found.outcome == ("readout differs" if fault else "rounding")
    assert found.undecided == (2 if fault else 3)
