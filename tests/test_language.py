"""The language of cards: each feature means the same in Brian2 (NumPy and C++), in the readable
engine and in PyTorch.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import every_engine_agrees, mismatches

import refsim
from refsim import Brian2, Discrete, Drive, RefsimError, Torch
from refsim.cards.equations import FROM_CONTINUOUS
from refsim.cases.neuron import network_of_one
from refsim.core.random import philox, truncated, uniform

BOTH = ("before_reset", "after_reset")


# --- PyTorch steps of the cards of this test, by hand ---


def integer_step(x, s, p, fire):
    def shifted(value):
        return torch.trunc(value / 4096)

    u = shifted(s["u"] * p["keep"]) + x
    v = shifted(s["v"] * p["keep"]) + u
    z = (v > p["v_th"]).to(x.dtype)
    return z, v, {"u": u, "v": v * (1 - z)}


def rising_step(x, s, p, fire):
    def slope(v, w):
        return (v - v**3 / 3 - w + x) / p["scale"], p["eps"] * (v + 0.7 - 0.8 * w) / p["scale"]

    v, w, h = s["v"], s["w"], p["step"]
    a, b = slope(v, w)
    c, d = slope(v + 0.5 * h * a, w + 0.5 * h * b)
    e, f = slope(v + 0.5 * h * c, w + 0.5 * h * d)
    g, k = slope(v + h * e, w + h * f)
    after = v + h * (a + 2 * c + 2 * e + g) / 6
    z = ((after >= p["v_th"]) & (v < p["v_th"])).to(x.dtype)
    return z, after, {"v": after, "w": w + h * (b + 2 * d + 2 * f + k) / 6}


STEPS = {"integer": integer_step, "rising": rising_step}
CARDS = {
    "lif_refractory": ("1 ms", lambda x: np.round(x * 64) / 64),
    "li": ("1 ms", lambda x: x),
    "readout_mean": ("1 ms", lambda x: x),
    "readout_max": ("1 ms", lambda x: x),
    "eif": ("0.1 ms", lambda x: 3e-9 * x),
    "poisson_escape": ("1 ms", lambda x: x),
    "plif": ("1 ms", lambda x: 4 * x),
    "cuba_lif": ("1 ms", lambda x: np.round(x * 16) / 32),
    "lif_exp": ("1 ms", lambda x: 2 * x),
    "coba_lif": ("0.5 ms", lambda x: 5e-9 * x),
    "qif": ("0.1 ms", lambda x: 4e-9 * x),
    "bernoulli": ("1 ms", lambda x: x),
    "srm0_escape": ("1 ms", lambda x: x),
    "ssnn_composite": ("1 ms", lambda x: x),
    "tests/cards/integer.toml": ("1 ms", lambda x: np.round(3000 * x)),
    "tests/cards/rising.toml": ("1 ms", lambda x: x),
}


def case(card, rng, shape=(5, 60, 4)):
    """Return a layer of the card, one neuron an input, and a mixed drive of its size."""
    dt, scaled = CARDS[card]
    network = refsim.Network.dense([(np.eye(shape[2]), None, refsim.load(card))], dt)
    return network, Drive.current(scaled(np.abs(rng.normal(0.4, 0.5, shape))), dt, seed=11)


@pytest.mark.parametrize("card", CARDS)
def test_every_engine_reads_a_card_alike(card, rng):
    network, drive = case(card, rng)
    found = every_engine_agrees(network, drive, STEPS)
    assert len(found.spikes[0]) > 20 or network.layers[0].model.discrete.readout


@pytest.mark.parametrize("card", CARDS)
def test_a_card_of_the_language_has_the_step_that_it_says(card):
    model = refsim.load(card)
    assert refsim.check_declared_step(model).status == (
        "skipped" if model.discrete.solution == "map" else "pass"
    )


def test_chunks_do_not_change_what_a_sample_does(rng):
    # 600 samples are three chunks of a compiled program; a refractory count or a past that survived
    # would show
    for card in ("lif_refractory", "poisson_escape"):
        network, drive = case(card, rng, (600, 12, 2))
        whole, part = (
            Brian2(target="cpp").run(network, each)
            for each in (drive, drive.take(np.arange(530, 560)))
        )
        assert mismatches(Discrete().run(network, drive), whole) == [0]
        assert np.array_equal(whole.spikes[0].take(np.arange(530, 560)).code, part.spikes[0].code)


# --- division ---


def test_a_division_stays_a_division(rng):
    # Brian2 makes x*(1/tau) of x/tau, which rounds twice; tau = 3 shows it, tau = 2 does not
    network = refsim.Network.dense(
        [(np.eye(3), None, refsim.load("lif", tau=3.0, v_th=1e9))], "1 ms"
    )
    drive = Drive.current(rng.normal(size=(4, 50, 3)), "1 ms")
    reference = Discrete().run(network, drive, BOTH)
    for target in ("numpy", "cpp"):
        assert np.array_equal(
            reference.traces[0]["before_reset"],
            Brian2(target=target).run(network, drive, BOTH).traces[0]["before_reset"],
        )


# --- refractoriness ---


@pytest.mark.parametrize("n_ref", [0, 1, 2, 5])
@pytest.mark.parametrize("engine", [Discrete(), Brian2(target="numpy"), Torch(dtype="float64")])
def test_a_neuron_is_silent_for_exactly_its_refractory_steps(n_ref, engine):
    found = engine.run(
        network_of_one(refsim.load("lif_refractory", n_ref=n_ref), "1 ms"),
        Drive.constant(1.0, 24, "1 ms"),
    )
    assert found.spikes[0].step.tolist() == list(range(0, 24, n_ref + 1))


@pytest.mark.parametrize("n_ref", [0, 1, 2, 5])
def test_refractory_steps_and_seconds_are_one(n_ref, rng):
    # the ODE at k = 1 knows the period in seconds only; dyadic input has knife edges
    network = refsim.Network.dense(
        [(np.eye(4), None, refsim.load("lif_refractory", n_ref=n_ref))], "1 ms"
    )
    drive = Drive.current(np.round(rng.random((6, 80, 4)) * 16) / 16, "1 ms")
    fine = Brian2(mode="fine", refine=1, analog="impulse", target="numpy").run(network, drive)
    assert mismatches(Discrete().run(network, drive), fine) == [0]


def test_a_refractory_period_is_a_whole_number_of_steps():
    with pytest.raises(
        RefsimError, match="n_ref: must be a whole number and at least 0, but is 2.5"
    ):
        refsim.load("lif_refractory", n_ref=2.5)


# --- chance ---


def test_philox_gives_the_published_answers():
    # Random123, kat_vectors: philox4x32 of ten rounds
    ones = 2**32 - 1
    rows = [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((ones,) * 4, (ones, ones), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ]
    for counter, key, words in rows:
        assert " ".join(f"{int(word):08x}" for word in philox(counter, key)) == words


def test_numbers_depend_on_where_they_are_used_alone():
    samples = np.array([3, 700, 2**20])
    table = uniform(2**40 + 5, 1, samples, 9, 50)
    assert np.array_equal(table[1:2, :7], uniform(2**40 + 5, 1, samples[1:2], 9, 7))
    others = [
        uniform(2**40 + 6, 1, samples, 9, 50),
        uniform(2**40 + 5, 0, samples, 9, 50),
        uniform(2**40 + 5, 1, samples, 8, 50),
    ]
    assert not any(
        np.isin(table, other).any()
        for other in [*others, uniform(2**40 + 5, 1, samples, 9, 50, draw=1)]
    )
    assert 0 <= table.min() <= table.max() < 1
    assert truncated(np.array([1 - 2.0**-53]), "float32")[0] < 1


def test_numbers_are_uniform():
    drawn = uniform(1, 0, np.arange(400), 0, 250).ravel()
    counts = np.bincount((drawn * 100).astype(int), minlength=100)
    # chi-squared with 99 degrees of freedom: 181 is exceeded once in a million draws
    assert ((counts - 1000.0) ** 2 / 1000).sum() < 181


def test_another_seed_fires_other_spikes(rng):
    network, drive = case("poisson_escape", rng)
    other = Drive.current(drive.values, drive.dt, seed=12)
    assert mismatches(Discrete().run(network, drive), Discrete().run(network, other)) != [0]


def test_a_module_on_trial_gets_the_numbers_of_the_run(rng):
    from refsim.pytorch import PoissonEscape

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), PoissonEscape(dt="1 ms")).double()
    module[0].weight.data.abs_()
    network, drive = (
        refsim.bridge.load(module, dt="1 ms"),
        Drive.current(3 * rng.random((4, 40, 4)), "1 ms", seed=3),
    )
    reference = Discrete().run(network, drive)
    assert len(reference.spikes[0]) > 10
    assert mismatches(reference, Torch(module=module).run(network, drive)) == [0]


# --- steps made from the ODE ---


def test_a_generated_step_that_is_changed_is_found():
    model = refsim.load("tests/cards/rising.toml")
    for index, statement in enumerate(model.discrete.integrate):
        if statement.target == "v_k3_":
            changed = dataclasses.replace(statement, tree=model.discrete.integrate[index - 4].tree)
            steps = (
                *model.discrete.integrate[:index],
                changed,
                *model.discrete.integrate[index + 1 :],
            )
    rogue = dataclasses.replace(
        model, discrete=dataclasses.replace(model.discrete, integrate=steps)
    )
    assert refsim.check_declared_step(rogue).status == "fail"


@pytest.mark.parametrize("method", ["euler", "exponential_euler", "rk4"])
def test_a_step_is_made_for_each_method(method, tmp_path):
    text = Path("tests/cards/rising.toml").read_text().replace('name = "rising"', 'name = "made"')
    text = text.replace("(v - v**3/3 - w + I)/scale", "(w*v - 2*v*(w + 1) - w + I)/scale").replace(
        '"rk4"', f'"{method}"'
    )
    (tmp_path / "made.toml").write_text(text)
    assert FROM_CONTINUOUS in text
    assert refsim.check_declared_step(refsim.load(tmp_path / "made.toml")).status == "pass"


# --- kernels ---


def kernel_oracle(current, tau, theta):
    """Add kernels by convolution, one neuron, from the formulas and not from the card."""

    def cut(values, limit):
        late = [k for k, value in enumerate(values) if abs(value) < limit and k > tau]
        return np.array(values[: late[0]])

    alpha = [k / tau * np.exp(1 - k / tau) for k in range(200)]
    eps, nu = cut(alpha, 0.01), cut([-2 * theta * value for value in alpha], 0.01)
    u = np.convolve(current, eps)[: len(current)]
    fired = np.zeros(len(current), bool)
    for t in range(len(u)):
        fired[t] = u[t] >= theta
        if fired[t]:
            end = min(len(u), t + len(nu))
            u[t:end] += nu[: end - t]
    return fired, u


@pytest.mark.parametrize("engine", [Discrete(), Brian2(target="numpy"), Brian2(target="cpp")])
def test_kernels_are_cut_where_the_card_says(engine, rng):
    network = refsim.Network.dense(
        [(np.eye(2), None, refsim.load("tests/cards/kernels.toml"))], "1 ms"
    )
    current = (rng.random((300, 70, 2)) < 0.2) * rng.random((300, 70, 2))
    found = engine.run(network, Drive.current(current, "1 ms"), ("before_reset",))
    for sample, neuron in ((0, 0), (137, 1), (299, 0)):
        fired, u = kernel_oracle(current[sample, :, neuron], 4, 1.0)
        assert np.array_equal(found.spikes[0].dense()[sample, :, neuron], fired)
        # 60 terms near 1.
        assert np.abs(found.traces[0]["before_reset"][sample, :, neuron] - u)[~fired].max() < 1e-13


# --- integers and readouts ---


def test_integers_are_not_run_in_float32(rng):
    network, drive = case("tests/cards/integer.toml", rng)
    for engine in (Brian2(dtype="float32"), Torch(steps=STEPS)):
        with pytest.raises(
            RefsimError,
            match=(
                "card 'integer' computes with whole numbers, which float32 holds up to "
                "16,777,216 only"
            ),
        ):
            engine.run(network, drive)


@pytest.mark.parametrize(
    ("x", "shifted"),
    [(4095.0, 0.0), (4096.0, 1.0), (-4095.0, 0.0), (-4097.0, -1.0), (2.0**52, 2.0**40)],
)
def test_a_shift_is_of_the_size(x, shifted):
    from refsim.cards.language import SCALAR_FUNCTIONS
    from refsim.engines.discrete import FUNCTIONS

    assert FUNCTIONS["shr"](np.float64(x), 12) == SCALAR_FUNCTIONS["shr"](x, 12) == shifted


def readout_network(rng, weight=None):
    second = rng.normal(0, 0.5, (3, 6)) if weight is None else weight
    return refsim.Network.dense(
        [
            (rng.normal(0.2, 0.5, (6, 4)), None, refsim.load("srif")),
            (second, None, refsim.load("li")),
        ],
        "1 ms",
    )


def test_a_readout_is_judged_by_its_membranes(rng):
    network, drive = readout_network(rng), Drive.bernoulli(np.full((5, 4), 0.5), 30, "1 ms", 1)
    reference, trial = (
        Brian2().run(network, drive, BOTH),
        Torch(dtype="float32").run(network, drive, BOTH),
    )
    assert refsim.compare(reference, trial).verdict == "pass"
    means = reference.traces[1]["before_reset"].mean(axis=1)
    assert np.array_equal(reference.decisions(), means.argmax(axis=1))
    # a weight that is off by a millionth changes no spike
    off = network.layers[1].weight.copy()
    off[0, np.argmax(reference.spikes[0].counts().sum(axis=0))] *= 1 + 1e-5
    layers = (network.layers[0], dataclasses.replace(network.layers[1], weight=off))
    report = refsim.compare(
        reference,
        dataclasses.replace(
            Discrete().run(dataclasses.replace(network, layers=layers), drive, BOTH),
            network=network,
        ),
    )
    assert report.verdict == "fail"
    assert (
        "fires the spikes of Brian2 grid float64, but the output of layer 1 differs by"
        in report.sentence
    )


def test_a_readout_that_nobody_recorded_decides_nothing(rng, tmp_path):
    network, drive = readout_network(rng), Drive.bernoulli(np.full((5, 4), 0.5), 30, "1 ms", 1)
    reference, trial = (Discrete().run(network, drive) for _ in range(2))
    report = refsim.compare(reference, trial)
    assert report.verdict == "inconclusive"
    assert "Not decided: the spikes agree, but layer 1 is a readout" in report.sentence
    report.save(tmp_path)
    with pytest.raises(
        RefsimError,
        match="the last layer is a readout, whose output is its membrane, which was not recorded",
    ):
        reference.decisions()


def test_a_map_has_no_fine_mode(rng):
    network, drive = case("tests/cards/integer.toml", rng)
    with pytest.raises(RefsimError, match="is a map in discrete time and has no ODE"):
        Brian2(mode="fine", refine=2).run(network, drive)
