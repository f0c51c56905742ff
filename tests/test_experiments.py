"""Each experiment against a closed form of the declared ODE, with the same judge turned red by a
card that is 1 % off.
"""

import dataclasses
import json

import numpy as np
import pytest
from matplotlib.quiver import Quiver

import refsim
from refsim import experiments
from refsim.__main__ import main
from refsim.experiments import Setting, constant, train
from refsim.experiments.one_neuron import RESOLUTION
from refsim.experiments.responses import with_reset
from refsim.experiments.result import readable, scale, span

STEP, REFINE = 1e-3, 32
SUB = STEP / REFINE
FITZHUGH, TWO_STATE = "tests/cards/fitzhugh.toml", "tests/cards/two_state.toml"


def lif(**parameters):
    return refsim.load("lif", tau=20.0, **parameters)


def forged(model=None):
    """A card whose ODE is slower than declared by 1 %: what every experiment here must see."""
    model = model or lif()
    derived = dict(model.derived)
    derived["tau_m"] = dataclasses.replace(derived["tau_m"], text=f"1.01*({derived['tau_m'].text})")
    return dataclasses.replace(model, derived=derived)


TAU_M = -STEP / np.log(1 - 1 / 20.0)


def first_spike_late(model):
    """How late the first spike is, in sub-steps.

    tau_m dv/dt = I - v reaches v_th after tau_m ln(I/(I - v_th)).
    """
    result = experiments.trace(model, constant(0.9), setting=Setting(refine=REFINE))
    return (result.facts["first_spike"].value - TAU_M * np.log(0.9 / 0.4)) / SUB


def test_the_first_spike_of_a_trace_is_that_of_the_closed_form():
    # a spike is found at the end of the sub-step in which the membrane crosses: late by 0 to 1
    # sub-step
    assert 0 <= first_spike_late(lif()) <= 1 + 1e-9
    assert not 0 <= first_spike_late(forged()) <= 1 + 1e-9


def worst_interval(model):
    """Largest and smallest lateness of an interval of the f-I curve against 1/f = tau_m ln(I/(I -
    v_th)), in sub-steps.
    """
    result = experiments.fi(model, "0.6:2:15", duration="500 ms", setting=Setting(refine=REFINE))
    exact = TAU_M * np.log(result["current"] / (result["current"] - 0.5))
    late = (1 / result["rate"] - exact) / SUB
    return late.min(), late.max()


def test_the_f_i_curve_is_that_of_the_closed_form():
    # each interval begins at the reset on the grid and ends at the end of a sub-step: late by 0 to
    # 1 sub-step
    low, high = worst_interval(lif())
    assert low >= -1e-6
    assert high <= 1 + 1e-6
    assert worst_interval(forged())[1] > 1


def test_one_curve_a_parameter_value_and_silence_below_the_rheobase():
    result = experiments.fi(refsim.load("lif"), "0.3, 0.49, 1", ("tau", "5,10"), duration="200 ms")
    assert result["tau"].tolist() == [5, 10] * 3
    assert (result["rate"][:4] == 0).all()
    assert result["rate"][4] > result["rate"][5] > 0


def psp_error(model):
    """Largest error against weight*decay^(t/step) from the arrival of an impulse."""
    result = experiments.psp(model, 0.4, duration="10 ms")
    after = result["time"] >= -1e-12
    return np.abs(result["v"] - np.where(after, 0.4 * 0.8 ** (result["time"] / STEP), 0)).max()


def test_the_psp_of_an_impulse_is_its_decay():
    # a few hundred products in double precision, each within half a unit in the last place
    assert psp_error(refsim.load("lif_decay", decay=0.8)) <= 1e-12
    assert psp_error(forged(refsim.load("lif_decay", decay=0.8))) > 1e-4


def test_the_psp_of_an_integrator_is_a_step_and_of_a_pulse_a_ramp_then_a_decay():
    step = experiments.psp(refsim.load("if"), 0.25, duration="5 ms")
    assert np.array_equal(step["v"], 0.25 * (step["time"] >= -1e-12))
    pulse = experiments.psp(lif(), 1.0, duration="20 ms")
    time = np.clip(pulse["time"], 0, None)
    exact = np.where(
        time <= STEP,
        1 - np.exp(-time / TAU_M),
        (1 - np.exp(-STEP / TAU_M)) * np.exp(-(time - STEP) / TAU_M),
    )
    assert np.abs(pulse["v"] - exact).max() <= 1e-12
    assert pulse.facts["time_to_peak"].value == pytest.approx(STEP, abs=1e-9)


def test_every_state_has_its_response():
    result = experiments.psp(refsim.load(TWO_STATE), 0.1, duration="10 ms")
    alpha = 0.5 ** (np.clip(result["time"], 0, None) / STEP)
    assert np.abs(result["i_syn"] - 0.1 * alpha * (result["time"] >= -1e-12)).max() <= 1e-12
    assert result.facts["peak"].value == result["v"].max() > 0


def lapicque_error(model):
    """Largest relative error against v_th/(1 - exp(-d/tau_m)), Lapicque 1907."""
    result = experiments.threshold(
        model, "1,2,5,10,50,300 ms", after="2 ms", setting=Setting(refine=8)
    )
    exact = 0.5 / (1 - np.exp(-result["duration"] / TAU_M))
    return np.abs(result["strength"] / exact - 1).max()


def test_strength_and_duration_of_a_leaky_integrator_are_lapicques():
    # the search leaves a bracket of relative width RESOLUTION; the ODE is integrated exactly
    assert lapicque_error(lif()) <= RESOLUTION + 1e-12
    assert lapicque_error(forged()) > 1e-4


def strength_facts(model):
    return experiments.threshold(
        model, [*np.arange(10, 21) * 1e-3, 0.4], after="2 ms", setting=Setting(refine=8)
    ).facts


def test_rheobase_and_chronaxie():
    facts, other = strength_facts(lif()), strength_facts(forged())
    assert facts["rheobase"].value == pytest.approx(0.5, rel=2 * RESOLUTION + np.exp(-0.4 / TAU_M))
    # between whole steps 1/strength is taken as straight: an error of h^2 f''/(8 f') = step^2/(8
    # tau_m); twice that is allowed
    assert abs(facts["chronaxie"].value - TAU_M * np.log(2)) <= STEP**2 / (4 * TAU_M)
    assert abs(other["chronaxie"].value - TAU_M * np.log(2)) > STEP**2 / (4 * TAU_M)


@pytest.mark.slow
def test_the_order_of_the_membrane_is_the_declared_one_and_of_the_spikes_one():
    result = experiments.dt(refsim.load(FITZHUGH), constant(0.5), duration="6 ms", finest=6)
    # Rk4; the fit runs over a hundredfold of dt.
    assert 3.7 <= result.facts["membrane_order"].value <= 4.3
    lazy = refsim.load(FITZHUGH)
    lazy = dataclasses.replace(
        lazy, continuous=dataclasses.replace(lazy.continuous, method="euler")
    )
    assert (
        0.8
        <= experiments.dt(lazy, constant(0.5), duration="6 ms", finest=6)
        .facts["membrane_order"]
        .value
        <= 1.2
    )
    exact = experiments.dt(lif(), constant(0.9), duration="60 ms")
    assert exact.facts["membrane_order"].value == np.inf  # an exact method leaves rounding only
    assert exact["spikes"][-1] == 3
    ladder = experiments.dt(lif(), constant(0.9), duration="400 ms", finest=9)
    # Quantised to the sub-step: order one, ragged.
    assert 0.7 <= ladder.facts["spike_order"].value <= 1.3


@pytest.mark.parametrize("name", ["if", "lif", "lif_decay", "srif", "srif_mpr"])
def test_the_cards_own_reset_is_one_of_the_variants(name):
    model = refsim.load(name)
    own = "hard" if "hard_reset" in model.traits else "soft"
    runs = [
        experiments.trace(
            card, experiments.noise(0.4, 0.4, seed=3), setting=Setting(mode=mode, refine=4)
        )
        for mode in ("grid", "fine")
        for card in (model, with_reset(model, own), with_reset(model, "none"))
    ]
    for first, same, other in (runs[:3], runs[3:]):
        assert np.array_equal(first["v"], same["v"])
        assert not np.array_equal(first["v"], other["v"])


def test_the_arrows_of_a_plane_point_along_the_flow_whatever_the_units():
    result = experiments.phase(
        refsim.load("morris_lecar"), "8 nA", duration="40 ms", setting=Setting(refine=8)
    )
    flow, side = result.tables["flow"], slice(None, None, 12)
    # Of the picture a second.
    across = [
        flow[f"d{name}_dt"].values.reshape(201, 201)[side, side] / np.ptp(flow[name].values)
        for name in ("v", "w")
    ]
    (arrows,) = (
        artist
        for artist in experiments.draw(result).figure.axes[0].collections
        if isinstance(artist, Quiver)
    )
    assert np.allclose(arrows.U, (across[0] / np.hypot(*across)).ravel())
    assert np.allclose(arrows.V, (across[1] / np.hypot(*across)).ravel())


def test_a_spike_is_marked_within_the_picture_of_its_membrane():
    result = experiments.trace(
        refsim.load("adex"), constant("870 pA"), duration="60 ms", setting=Setting(dt="0.1 ms")
    )
    assert result["seen"].max() > 0.02  # volts: Euler overshoots its peak of 0
    marks = experiments.draw(result).figure.axes[1].collections[0].get_offsets()[:, 1]
    assert len(marks) == result.facts["spikes"].value
    assert marks.max() <= 0


def test_a_train_arrives_when_it_is_said_to():
    result = experiments.trace(
        refsim.load("if", v_th=9.0),
        train("3 ms, 5 ms", 0.25),
        duration="8 ms",
        setting=Setting(mode="grid"),
    )
    assert result["v"].tolist() == [0, 0, 0, 0.25, 0.25, 0.5, 0.5, 0.5]


def test_a_neuron_in_volts_without_a_reset_has_variants_too():
    result = experiments.resets(
        refsim.load("hh"),
        constant("1 nA"),
        duration="10 ms",
        setting=Setting(dt="0.05 ms", mode="grid"),
    )
    assert result["v_hard"][result["spike_hard"] > 0] == pytest.approx(
        refsim.load("hh").state["v"].start
    )


@pytest.mark.parametrize("experiment", [experiments.fi, experiments.trace])
def test_a_name_is_no_neuron(experiment):
    with pytest.raises(refsim.RefsimError, match="needs a neuron, such as"):
        experiment("lif")


def test_a_map_is_run_in_its_own_steps(capsys):
    assert (
        main(["experiment", "trace", "cuba_loihi", "--constant", "100", "--duration", "20 ms"]) == 0
    )
    assert "declared step" in capsys.readouterr().out


def test_a_result_saves_what_it_holds(tmp_path):
    result = experiments.dt(lif(), constant(0.9), duration="30 ms", finest=3)
    written = result.save_csv(tmp_path / "a.csv")
    assert [path.name for path in written] == ["a.csv", "a.spikes.csv"]
    table = np.genfromtxt(written[0], delimiter=",", names=True)
    assert np.array_equal(table["sub_step_second"], result["sub_step"])
    with np.load(result.save_npz(tmp_path / "a.npz")) as saved:
        assert np.array_equal(saved["ladder.spikes"], result["spikes"])
        about = json.loads(str(saved["about"]))
    assert about["card"] == "lif"
    assert about["parameters"]["tau"] == 20
    assert about["units"]["ladder.sub_step"] == "second"
    assert max(map(len, result.text().splitlines())) <= 80


@pytest.mark.parametrize(
    ("given", "unit", "si"),
    [
        ("0:2nA:3", "amp", [0, 1e-9, 2e-9]),
        ("1,2,5 nA", "amp", [1e-9, 2e-9, 5e-9]),
        (0.5, "1", [0.5]),
        ("5ms, 1 s", "second", [5e-3, 1]),
        ([1, 2], "1", [1, 2]),
    ],
)
def test_spans_are_read_with_units(given, unit, si):
    assert span(given, unit, "here").tolist() == pytest.approx(si, rel=1e-12)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("0:1", "FROM:TO:HOW_MANY"),
        ("0:1:1", "2 to 10000 points"),
        ("1 mV", "is in volt"),
        ("", "needs a number"),
    ],
)
def test_a_wrong_span_is_explained(given, says):
    with pytest.raises(refsim.RefsimError, match=says):
        span(given, "amp", "here")


def test_quantities_are_written_for_people():
    assert [
        readable(x, u)
        for x, u in (
            (1e-10, "amp"),
            (0.0135, "second"),
            (0.5, "1"),
            (np.nan, "volt"),
            (-0.065, "volt"),
            (0.0, "amp"),
        )
    ] == [
        "100 pA",
        "13.5 ms",
        "0.5",
        "none",
        "-65 mV",
        "0 A",
    ]
    assert scale([0.2, 0.5], "hertz") == (1, "Hz")


def test_the_command_runs_prints_and_writes(tmp_path, capsys):
    names = [tmp_path / f"x.{kind}" for kind in ("png", "svg", "pdf", "csv", "npz")]
    out = [part for name in names for part in ("--out", str(name))]
    assert (
        main(
            [
                "experiment",
                "fi",
                "lif",
                "--set",
                "tau=10",
                "--currents",
                "0.4:1:4",
                "--duration",
                "60 ms",
                "--refine",
                "4",
                *out,
            ]
        )
        == 0
    )
    assert max(map(len, capsys.readouterr().out.split("wrote")[0].splitlines())) <= 80
    assert [name.read_bytes()[:4] for name in names[:3]] == [b"\x89PNG", b"<?xm", b"%PDF"]
    assert np.genfromtxt(names[3], delimiter=",", names=True)["current"].tolist() == pytest.approx(
        [0.4, 0.6, 0.8, 1.0]
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trace", "lif", "--constant", "1", "--noise", "1,1"], "give one input"),
        (["trace", "lif", "--step", "1,2ms"], "--step: needs A,FROM,TO"),
        (["fi", "lif", "--out", "x.doc"], "must end in"),
        (["fi", "lif", "--over", "tua=1,2"], "has no parameter 'tua'"),
        (
            ["sweep", "lif", "--over", "tau=2:4:3", "--measure", "mood", "--constant", "1"],
            "'mood' is not known",
        ),
        (["psp", "lif", "--weight", "99"], "give a smaller one"),
        (["threshold", "lif", "--durations", "0.1 ms"], "at least a step"),
        (["threshold", "lif", "--durations", "1 s,1e9 s"], "steps of dt; 200,000,000 are allowed"),
        (
            ["threshold", "li", "--durations", "5 ms", "--refine", "1"],
            "does not fire at any strength",
        ),
        (["threshold", "lif", "--after", "-1 ms"], "after: must be a time above zero"),
        (["trace", "lfi"], "Did you mean li or lif?"),
        (
            ["trace", "lif", "--dt", "-1ms"],
            "dt: must be a time above zero, such as '1 ms', but is '-1ms'",
        ),
        (["trace", "lif", "--dt", "1e-300 s"], "'100 ms' has 1e+299 steps of dt"),
        (
            ["trace", "lif", "--constant", "nan"],
            "input: needs a number, such as '0.5', but 'nan' was given",
        ),
        (
            ["trace", "lif", "--step", "1,500ms,900ms"],
            "starts at '500ms', when the run of 100 ms has ended",
        ),
        (["trace", "lif", "--train", "1"], "--train: needs WEIGHT,T1,T2,..., but '1' was given"),
        (
            ["trace", "lif", "--set", "tau=5 ms"],
            "needs a plain number such as '0.5', but '5 ms' is in second",
        ),
        (["fi", "lif", "--currents", "0:1:3", "--over", "v_th"], "--over: needs NAME=VALUE"),
        (
            ["fi", "lif", "--currents", "0:1:3", "--over", "tau=0.5,2"],
            "card 'lif': parameter tau: must be above 1, but is 0.5",
        ),
        (["fi", "cuba_loihi"], "trace and sweep run its declared step"),
        (["fi", "li"], "is a readout, which never fires"),
        (["phase", "hh", "--states", "v,v", "--constant", "1nA"], "choose two, --states v,m"),
        (
            ["sweep", "lif", "--over", "tau=2:20:3", "--workers", "-3"],
            "workers must be a whole number of 1 or more, but is -3",
        ),
    ],
)
def test_wrong_usage_is_one_sentence(arguments, says, capsys):
    assert main(["experiment", *arguments]) == 2
    assert says in capsys.readouterr().err
