"""Network and Layer: shapes as in PyTorch, finite numbers, parameters within their bounds."""

import numpy as np
import pytest

import refsim
from refsim import Network, RefsimError, load


def test_parameters_per_neuron_reach_the_engines():
    own = {"v_th": [0.25, 0.5, 0.75]}
    network = Network.dense([(np.ones((3, 1)), None, load("srif"), own)], "1 ms")
    drive = refsim.Drive.constant([0.5], 1, "1 ms")
    for engine in (refsim.Discrete(), refsim.Brian2(target="numpy"), refsim.Torch()):
        assert refsim.run(network, drive, engine).spikes[0].neuron.tolist() == [0, 1]


def test_derived_constants_follow_parameters_per_neuron():
    network = Network.dense([(np.ones((2, 1)), None, load("lif"), {"tau": [2.0, 4.0]})], "1 ms")
    constants = network.layers[0].constants(1e-3)
    assert constants["keep"].tolist() == [0.5, 0.75]
    assert constants["tau_m"] == pytest.approx(
        [-1e-3 / np.log(0.5), -1e-3 / np.log(0.75)], rel=1e-15
    )


SRIF = load("srif")


@pytest.mark.parametrize(
    ("layers", "dt", "says"),
    [
        ([], "1 ms", "has no layers"),
        (None, "1 ms", "needs a list of layers, .* but NoneType was given"),
        ([(np.ones((2, 3)), None, SRIF, [1.0])], "1 ms", "parameters must be a dict"),
        ([(np.ones(3), None, SRIF)], "1 ms", r"weight must be \(n_post, n_pre\)"),
        ([(np.ones((2, 3)), np.ones(3), SRIF)], "1 ms", r"bias must have shape \(2,\)"),
        (
            [(np.ones((2, 3)), None, SRIF), (np.ones((4, 3)), None, SRIF)],
            "1 ms",
            "needs 3 inputs, but the layer before has 2 neurons",
        ),
        ([(np.full((2, 3), np.inf), None, SRIF)], "1 ms", "6 of 6 numbers are NaN or infinite"),
        ([(np.ones((2, 3)) * 1j, None, SRIF)], "1 ms", "must hold real numbers"),
        ([(np.ones((2, 3)), None, "srif")], "1 ms", "needs a neuron"),
        ([(np.ones((2, 3)), None, SRIF)], "0 s", "must be a time above zero"),
        ([(np.ones((2, 3)), None, SRIF)], "1 mV", "is in volt"),
        (
            [(np.ones((2, 3)), None, SRIF, {"v_thresh": 1.0})],
            "1 ms",
            "has no parameter 'v_thresh'; it has spike_value, v_th",
        ),
        ([(np.ones((2, 3)), None, SRIF, {"v_th": [1.0] * 3})], "1 ms", "must be one value or"),
        (
            [(np.ones((2, 3)), None, load("lif"), {"tau": [2.0, 0.5]})],
            "1 ms",
            "must be above 1, but is 0.5",
        ),
    ],
)
def test_wrong_layers_are_refused(layers, dt, says):
    with pytest.raises(RefsimError, match=says):
        Network.dense(layers, dt)


def test_a_drive_that_does_not_fit_is_refused():
    network = Network.dense([(np.ones((2, 3)), None, SRIF)], "1 ms")
    with pytest.raises(RefsimError, match="the drive has 2 inputs, but the network takes 3"):
        refsim.run(network, refsim.Drive.constant([1.0, 1.0], 3, "1 ms"), refsim.Discrete())
    with pytest.raises(RefsimError, match="one of the two is meant otherwise"):
        refsim.run(network, refsim.Drive.constant([1.0] * 3, 3, "2 ms"), refsim.Discrete())
