"""The hand-written PyTorch steps against back-propagation through the cards' text.

Every card that declares a gradient, reset kept and detached.
"""

import numpy as np
import pytest

import refsim
from refsim import RefsimError
from refsim.checks.gradient.card import Passing, trace_network
from refsim.pytorch import losses
from refsim.pytorch.steps import STEPS
from refsim.pytorch.surrogate import spike_function

DT = {"wang_buzsaki": "0.05 ms", "morris_lecar": "0.25 ms", "hh": "0.05 ms", "hh_traub": "0.05 ms"}
UNITS = {"amp": 5e-10, "volt": 5e-3}
# A crossing that is held back raises the adaptation there: a second decision, whose gradient is the
# step's own choice.
TWO_DECISIONS = {"norse_lif_adex_refrac"}


def declares_a_gradient(name):
    model = refsim.load(name)
    return not (
        model.draws or "integer" in model.traits or model.discrete.payload or len(model.inputs) > 1
    )


CARDS = [name for name in STEPS if declares_a_gradient(name)]


def firing(name):
    """Return a layer of a card and inputs that make it fire now and then."""
    model, rng = refsim.load(name), np.random.default_rng(0)
    dt = DT.get(name, "1 ms")
    for size in (0.03, 0.1, 0.3, 1, 3, 10, 30, 100):
        weight = rng.normal(0.4, 1, (6, 5)) * UNITS.get(model.input_unit, 1.0) * size
        network = refsim.Network.dense([(weight, None, model)], dt)
        x = (rng.random((4, 40 if name in DT else 20, 5)) < 0.4).astype(float)
        ran = refsim.Discrete().run(network, refsim.Drive.current(x, network.dt))
        if model.discrete.readout or 6 < len(ran.spikes[0]) < 400:
            return network, x, ran
    raise AssertionError(f"no input makes {name} fire")


def width(model):
    return max(abs(model.parameters["v_th"].value), 1e-3) if "v_th" in model.parameters else 1.0


@pytest.mark.parametrize("detach_reset", [False, True], ids=["reset kept", "reset detached"])
@pytest.mark.parametrize("name", [name for name in CARDS if name not in TWO_DECISIONS])
def test_the_steps_pass_the_gradient_that_the_card_declares(name, detach_reset):
    network, x, _ = firing(name)
    slope = 2.0 / width(network.layers[0].model)
    report = refsim.check_gradient(
        network,
        losses.spike_rate,
        x,
        np.zeros(len(x), int),
        surrogate="arctangent",
        slope=slope,
        detach_reset=detach_reset,
        dtype="float64",
    )
    # one whose reset is written with torch.where passes nothing through it, whatever is asked for
    expected = {"reset"} if name == "nir_lif_timed" and not detach_reset else set()
    assert {
        verdict.claim.measure for verdict in report.verdicts if verdict.status == "fail"
    } == expected, report.text()


@pytest.mark.parametrize("name", CARDS)
def test_a_traced_run_fires_as_the_referee(name):
    network, x, ran = firing(name)
    traced = trace_network(network, x, [Passing(spike_function("arctangent"))])
    if not network.layers[0].model.discrete.readout:
        assert np.array_equal(traced.output(0).transpose(1, 0, 2) > 0, ran.spikes[0].dense())


def test_two_steps_by_hand():
    """v1 = w x1; v2 = d v1 (1 - z1) + w x2, and the derivative of z2 by what arrived in the first
    step, for a hard reset to 0.
    """
    model = refsim.load("lif_decay", decay=0.8, v_th=1.0)
    network = refsim.Network.dense([([[1.0]], None, model)], "1 ms")
    x, slope = np.array([[[0.9], [0.5]]]), 2.0

    def derivative(u):
        return slope / 2 / (1 + (np.pi / 2 * slope * (u - 1.0)) ** 2)

    v1 = 0.9
    v2 = 0.8 * v1 + 0.5
    kept = derivative(v2) * 0.8 * (1 - derivative(v1) * v1)  # z1 = 0
    for detach, true in ((False, kept), (True, derivative(v2) * 0.8)):
        traced = trace_network(
            network, x, [Passing(spike_function("arctangent", slope=slope), detach)]
        )
        upstream = np.array([[[0.0]], [[1.0]]])
        assert np.allclose(
            traced.back(0, upstream)[0].ravel(), [true, derivative(v2)], rtol=1e-14, atol=0
        )


def test_a_chain_of_layers_with_delays_by_differences():
    """Readouts alone are smooth: their gradient must be central differences."""
    li, rng = refsim.load("li"), np.random.default_rng(1)
    first = refsim.Connection(rng.normal(size=(4, 3)), delay=np.array([0, 2, 1]))
    own = refsim.Connection(rng.normal(size=(4, 4)) * 0.1, source="self", delay=3)
    network = refsim.Network.dense([([first, own], None, li)], "1 ms")
    x, passing = rng.normal(size=(2, 9, 3)), [Passing(spike_function("arctangent"))]
    traced = trace_network(network, x, passing)
    upstream = rng.normal(size=(9, 2, 4))
    found = traced.back(0, upstream)[0]
    extra = rng.normal(size=(2, 9, 3))
    heard = trace_network(network, x + 1e-3 * extra, passing).output(0) - trace_network(
        network, x - 1e-3 * extra, passing
    ).output(0)
    arriving = np.zeros((9, 2, 4))
    for number, delay in enumerate([0, 2, 1]):
        arriving[delay:] += (
            extra[:, : 9 - delay, number, None]
            * network.layers[0].weights[0][None, None, :, number]
        ).transpose(1, 0, 2)
    assert np.isclose((found * arriving).sum(), (upstream * heard).sum() / 2e-3, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bernoulli", "draws random numbers"),
        ("cuba_loihi", "computes with whole numbers"),
        ("sinabs_iaf", "spikes that carry a number"),
        ("coba_lif", "two inputs"),
    ],
)
def test_cards_without_a_declared_gradient_are_refused(name, words):
    network = refsim.Network.dense([([[1.0]], None, refsim.load(name))], "1 ms")
    with pytest.raises(RefsimError, match=words):
        refsim.check_gradient(network, losses.spike_rate, surrogate="arctangent")


def test_single_precision_passes_with_a_narrow_surrogate():
    rng = np.random.default_rng(2)
    layers = [
        (rng.normal(0, 1, (n_post, n_pre)), rng.normal(0, 0.1, n_post), refsim.load("lif_decay"))
        for n_pre, n_post in ((30, 40), (40, 20), (20, 5))
    ]
    report = refsim.check_gradient(
        refsim.Network.dense(layers, "1 ms"), losses.spikemax, surrogate="superspike", slope=100.0
    )
    assert report.status == "pass", report.text()


def test_where_rounding_hides_everything_nothing_passes():
    """Hodgkin and Huxley's upswing makes much of the last digit of float32, and a narrow surrogate
    more.
    """
    network, x, _ = firing("hh")
    given = (network, losses.spike_rate, x, np.zeros(len(x), int))
    report = refsim.check_gradient(
        *given, surrogate="arctangent", slope=40 / width(network.layers[0].model)
    )
    assert report.status == "inconclusive", report.text()
    assert "rounding alone may move these gradients" in " ".join(report.text().split())
    assert (
        refsim.check_gradient(
            *given,
            surrogate="arctangent",
            slope=40 / width(network.layers[0].model),
            dtype="float64",
        ).status
        == "pass"
    )


def test_what_comes_after_a_readout_hears_nothing_of_it():
    """As in every engine: the membrane of a readout is an output, and no spike."""
    li, lif = refsim.load("li"), refsim.load("lif_decay")
    behind = [refsim.Connection([[5.0]], source=0), refsim.Connection([[0.9]], source="input")]
    network = refsim.Network.dense([([[1.0]], None, li), (behind, None, lif)], "1 ms")
    x = np.ones((2, 12, 1))
    traced = trace_network(network, x, [Passing(spike_function("arctangent"))] * 2)
    assert np.array_equal(
        traced.output(1).transpose(1, 0, 2) > 0,
        refsim.Discrete().run(network, refsim.Drive.current(x, "1 ms")).spikes[1].dense(),
    )
    assert np.abs(traced.output(0)).max() > 1
