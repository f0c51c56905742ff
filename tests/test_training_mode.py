"""A module that is set to train is judged as eval() would have it, and the report says so where
that makes a difference.
"""

import numpy as np
import pytest
from torch import nn

import refsim
from refsim.modules.states import otherwise_in_training
from refsim.pytorch import SRIF


class Wavering(nn.Module):
    """Adds something while it is trained, in code of its own."""

    def forward(self, x):
        return x + 1 if self.training else x


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (nn.BatchNorm1d(3), "'1' (BatchNorm1d)"),
        (nn.InstanceNorm1d(3, track_running_stats=True), "'1' (InstanceNorm1d)"),
        (nn.Dropout(), "'1' (Dropout)"),
        (Wavering(), "'1' (Wavering)"),
        (nn.Identity(), ""),
    ],
)
def test_a_module_that_is_set_to_train_is_told_of(part, said):
    """It is judged as eval() would have it, which is said where that makes a difference.

    And it is left as it was.
    """
    module = nn.Sequential(nn.Linear(4, 3), part, SRIF())
    assert otherwise_in_training(module, ["2"]) == ((said,) if said else ())
    assert otherwise_in_training(module.eval(), ["2"]) == ()


@pytest.mark.parametrize("training", [True, False])
def test_the_report_says_that_a_module_was_set_to_train(training):
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(), SRIF()).train(training)
    network = refsim.bridge.load(module, dt="1 ms")
    drive = refsim.Drive.bernoulli(np.full((2, 4), 0.5), 5, "1 ms", 0)
    trial = refsim.run(network, drive, engine=refsim.Torch(module=module))
    text = " ".join(
        refsim.compare(refsim.run(network, drive, engine=refsim.Discrete()), trial).text().split()
    )
    assert (
        (
            "the module itself; set to train, it is judged as eval() would have it, '1' "
            "(BatchNorm1d), '2' (Dropout)"
        )
        in text
    ) is training
    assert module.training is module[1].training is training
