"""Max pools over spikes: read as neurons that fire where any spike of their window arrives, exact
against Brian2; refused over anything else.
"""

import numpy as np
import pytest
import standin_spikingjelly as sj
import torch
from torch import nn
from torch.nn import functional

import refsim
from refsim import RefsimError
from refsim.modules import find as pooling
from refsim.pytorch import IF, LI

SHAPE = (2, 8, 8)


def randomised(module):
    """Give batch norms the statistics of a training."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.3, 0.3)
            nn.init.uniform_(part.running_var, 0.1, 0.5)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.1, 0.3)
    return module.double().eval()


def conv_net(pool, neuron=IF, out=None):
    """Convolution, folded batch norm, neurons, pool, linear, neurons."""
    torch.manual_seed(3)
    front = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), neuron(), pool)
    width = nn.Sequential(pool, nn.Flatten())(torch.zeros(1, 3, 8, 8)).shape[1]
    return randomised(nn.Sequential(front, nn.Flatten(), nn.Linear(width, 6), neuron()))


def both(module, rng, engine=None, layout=None, steps=40, shape=SHAPE):
    network = refsim.bridge.load(module, dt="1 ms", input_shape=shape, layout=layout)
    drive = refsim.Drive.current(rng.normal(0.1, 0.7, (3, steps, network.n_inputs)), network.dt)
    return network, [
        refsim.run(network, drive, engine=each)
        for each in (
            engine or refsim.Discrete(),
            refsim.Torch(module=module, input_shape=shape, layout=layout),
        )
    ]


def equal(runs):
    ours, theirs = runs
    assert all(len(train) for train in ours.spikes)
    return all(
        np.array_equal(a.dense(), b.dense())
        for a, b in zip(ours.spikes, theirs.spikes, strict=True)
    )


def test_a_network_with_a_max_pool_fires_as_in_brian2(rng):
    network, runs = both(conv_net(nn.MaxPool2d(2)), rng, refsim.Brian2(target="numpy"))
    assert equal(runs)
    assert [layer.model.name for layer in network.layers] == ["if", "pytorch_max_pool", "if"]
    assert np.array_equal(np.unique(network.layers[1].weight), [0, 1])
    assert (network.layers[1].weight.sum(1) == 4).all()
    report = refsim.compare(*runs)
    assert report.verdict == "pass", report.sentence


GEOMETRIES = {
    "stride": nn.MaxPool2d(3, stride=1),
    "padding": nn.MaxPool2d(3, stride=2, padding=1),
    "ceil": nn.MaxPool2d(4, stride=3, ceil_mode=True),
    "dilation": nn.MaxPool2d((2, 3), stride=(1, 2), padding=(0, 1), dilation=(3, 2)),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_windows_of_any_geometry(name, rng):
    _, runs = both(conv_net(GEOMETRIES[name]), rng)
    assert equal(runs)
    spikes = torch.tensor(runs[0].spikes[0].dense()[0], dtype=torch.float64).reshape(-1, 3, 8, 8)
    assert np.array_equal(GEOMETRIES[name](spikes).flatten(1).numpy(), runs[0].spikes[1].dense()[0])


def test_a_pool_in_one_dimension(rng):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv1d(2, 3, 3), IF(), nn.MaxPool1d(2), IF(v_th=2.0)).double()
    assert equal(both(module, rng, shape=(2, 11))[1])


def test_a_pool_of_a_pool_and_a_delayed_one(rng):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1),
        sj.IFNode(),
        nn.MaxPool2d(2),
        sj.Delay(2),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 4),
        sj.IFNode(),
    )
    network, runs = both(module.double(), rng)
    assert equal(runs)
    assert [np.unique(layer.sources[0].delay).tolist() for layer in network.layers] == [
        [0],
        [0],
        [2],
        [0],
    ]


class TimeFirst(nn.Module):
    """Pools all steps of all samples in one call; neurons take time in front."""

    def __init__(self, order):
        super().__init__()
        self.order, self.conv, self.pool, self.fc = (
            order,
            nn.Conv2d(2, 3, 3),
            nn.MaxPool2d(2),
            nn.Linear(27, 4),
        )
        self.first, self.second = (
            sj.LIFNode(step_mode="m", decay_input=False, v_threshold=0.5) for _ in range(2)
        )

    def forward(self, x):
        x = x if self.order == "time first" else x.transpose(0, 1)
        z = self.first(self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
        if self.order == "time first":
            pooled = self.pool(z.flatten(0, 1)).unflatten(0, z.shape[:2])
        else:
            pooled = (
                self.pool(z.transpose(0, 1).flatten(0, 1))
                .unflatten(0, (z.shape[1], z.shape[0]))
                .transpose(0, 1)
            )
        return self.second(self.fc(pooled.flatten(2)))


@pytest.mark.parametrize("order", ["time first", "batch first"])
def test_a_pool_that_takes_all_steps_at_once(order, rng):
    torch.manual_seed(0)
    assert equal(both(TimeFirst(order).double(), rng, layout=order)[1])


def test_spikes_of_two_layers_side_by_side(rng):
    class Wide(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Conv2d(2, 2, 3), nn.Conv2d(2, 1, 3)
            self.a, self.b, self.pool, self.c = IF(), IF(), nn.MaxPool2d(2), IF(v_th=3.0)

        def forward(self, x):
            return self.c(self.pool(torch.cat((self.a(self.one(x)), self.b(self.two(x))), 1)))

    torch.manual_seed(0)
    assert equal(both(Wide().double(), rng)[1])


class Summed(nn.Module):
    """A residual sum of spikes: 0, 1 or 2."""

    def __init__(self, join):
        super().__init__()
        self.conv, self.a, self.b, self.pool, self.join = (
            nn.Conv2d(2, 2, 3, padding=1),
            IF(),
            IF(v_th=0.7),
            nn.MaxPool2d(2),
            join,
        )
        self.c = IF()

    def forward(self, x):
        z = self.a(self.conv(x))
        return self.c(self.pool(self.join(z, self.b(z))))


REFUSED = {
    "currents": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.MaxPool2d(2), IF()),
        "'1': is a max pool, .* the module's input reaches it past all neurons",
    ),
    "input": (
        lambda: nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(2, 3, 3), IF()),
        "'0': is a max pool.*input reaches it",
    ),
    "weights": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3), IF(), nn.Conv2d(3, 3, 3, bias=False), nn.MaxPool2d(2), IF()
        ),
        "spikes reach it scaled",
    ),
    "bias": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), IF(), Shifted(), nn.MaxPool2d(2), IF()),
        "a bias reaches it",
    ),
    "sum": (lambda: Summed(torch.add), "sums, products or other numbers than spikes reach it"),
    "difference": (
        lambda: Summed(torch.sub),
        "sums, products or other numbers than spikes reach it",
    ),
    "product": (lambda: Summed(torch.mul), "no spike reaches it"),
    "membranes": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), LI(), nn.MaxPool2d(2), IF()),
        "gives other numbers than that",
    ),
    "places": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3), IF(), nn.MaxPool2d(2, return_indices=True), Firsts(), IF()
        ),
        "return_indices = True is not read",
    ),
    "a user's own": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3), IF(), Average(2), nn.ReLU(), SecondLargest(2), IF()
        ),
        "not linear .*SecondLargest",
    ),
}


class Shifted(nn.Module):
    def forward(self, x):
        return x + 0.25


class Firsts(nn.Module):
    def forward(self, x):
        return x[0]


class Average(nn.AvgPool2d):
    pass


class SecondLargest(nn.MaxPool2d):
    def forward(self, x):
        return (
            functional.unfold(x, 2, stride=2)
            .reshape(len(x), x.shape[1], 4, -1)
            .sort(2)
            .values[:, :, 2]
        )


@pytest.mark.parametrize("name", REFUSED)
def test_a_pool_over_anything_but_spikes_is_refused(name):
    torch.manual_seed(0)
    make, says = REFUSED[name]
    with pytest.raises(RefsimError, match=says):
        refsim.bridge.load(make().double().eval(), dt="1 ms", input_shape=SHAPE)


def test_either_of_two_spikes_is_what_a_maximum_says(rng):
    torch.manual_seed(0)
    assert equal(both(Summed(torch.maximum).double(), rng)[1])


def test_rogue_an_average_read_for_a_maximum_is_refused(monkeypatch):
    monkeypatch.setitem(
        pooling._LARGEST_OF,
        nn.MaxPool2d,
        lambda x, size, stride, *_: functional.avg_pool2d(x, size, stride),
    )
    with pytest.raises(RefsimError, match="spikes reach it scaled, by 0.25"):
        refsim.bridge.load(conv_net(nn.MaxPool2d(2)), dt="1 ms", input_shape=SHAPE)


class AllOf(nn.MaxPool2d):
    """Fires where all of its window fires: the smallest, not the largest."""

    def forward(self, x):
        return -super().forward(-x)


def test_rogue_a_module_that_pools_otherwise_fails(rng):
    network, _ = both(conv_net(nn.MaxPool2d(2)), rng, steps=2)
    module = conv_net(nn.MaxPool2d(2))
    pool = module[0][3]
    pool.forward = AllOf(2).forward
    drive = refsim.Drive.current(rng.normal(0.1, 0.7, (3, 40, network.n_inputs)), network.dt)
    report = refsim.compare(
        refsim.run(network, drive, engine=refsim.Discrete()),
        refsim.run(network, drive, engine=refsim.Torch(module=module, input_shape=SHAPE)),
    )
    assert report.verdict == "fail"
    assert "layer 1" in report.sentence or "pool" in report.sentence
