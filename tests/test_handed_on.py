"""States that a module hands on itself.

StateErrors as it asks, and refused where a layer does not get the state that it had.
"""

import numpy as np
import pytest
import torch
from standins_norse import DT, LIFCell
from torch import nn

import refsim
from refsim import RefsimError
from refsim.pytorch import SRIF


class Net(nn.Module):
    """Two layers of Norse's, whose states nobody keeps but the module."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.first, self.a, self.second, self.b = (
            nn.Linear(4, 5),
            LIFCell(),
            nn.Linear(5, 3),
            LIFCell(),
        )
        for linear in (self.first, self.second):
            linear.weight.data = 20 * linear.weight.data.abs()
        self.double()

    def step(self, x, s=None, t=None):
        z, s = self.a(self.first(x), s)
        z, t = self.b(self.second(z), t)
        return z, s, t


class Behind(Net):
    def forward(self, x, s=None, t=None):
        return self.step(x, s, t)


class Pair(Net):
    def forward(self, x, hidden=None):
        z, *hidden = self.step(x, *(hidden or ()))
        return z, tuple(hidden)


class Loop(Net):
    """Runs over time, with what stands between two steps left to change."""

    def between(self, s, t):
        return s, t

    def start(self, _n):
        return None

    def forward(self, x):
        s, t, sent = self.start(x.shape[1]), None, []
        for frame in x:
            z, s, t = self.step(frame, s, t)
            s, t = self.between(s, t)
            sent.append(z)
        return torch.stack(sent)


class Masked(Loop):
    def between(self, s, t):
        return s._replace(v=0.5 * s.v), t


class SetBack(Loop):
    def between(self, s, _t):
        return s, None


class Started(Loop):
    def start(self, n):
        started = self.a.state_fallback(torch.zeros(n, 5, dtype=torch.float64))
        return started._replace(v=started.v + 0.5)


class Named(Net):
    """Gives its states by name, which nobody hands back."""

    def forward(self, x, s=None, t=None):
        z, s, t = self.step(x, s, t)
        return {"spikes": z, "s": s, "t": t}


class Told(Net):
    """The second layer hears the current of the first."""

    def forward(self, x, s=None, t=None):
        z, s = self.a(self.first(x), s)
        z, t = self.b(self.second(z) + s.v.mean(), t)
        return z, s, t


def spikes_of(module, rng):
    network = refsim.bridge.load(module, dt=DT)
    drive = refsim.Drive.current(rng.random((3, 40, 4)), DT)
    runs = [
        refsim.run(network, drive, engine=engine)
        for engine in (refsim.Discrete(), refsim.Torch(module=module))
    ]
    return [[train.dense() for train in run.spikes] for run in runs]


@pytest.mark.parametrize("make", [Behind, Pair, Loop])
def test_states_are_handed_back_as_the_module_asks(make, rng):
    ours, theirs = spikes_of(make(), rng)
    assert all(spikes.any() for spikes in ours)
    assert all(map(np.array_equal, ours, theirs))


@pytest.mark.parametrize(
    ("make", "name"), [(Masked, "a"), (SetBack, "b"), (Started, "a"), (Named, "a")]
)
def test_a_layer_that_does_not_get_the_state_that_it_had_is_refused(make, name):
    with pytest.raises(
        RefsimError, match=f"module: '{name}' does not go on from the state that it had"
    ):
        refsim.bridge.load(make(), dt=DT)


def test_a_module_that_was_run_and_keeps_its_states_is_refused():
    class Keeps(Net):
        kept = (None, None)

        def forward(self, x):
            z, *self.kept = self.step(x, *self.kept)
            return z

    module = Keeps()
    refsim.bridge.load(module, dt=DT)
    module(torch.ones(3, 4, dtype=torch.float64))
    with pytest.raises(RefsimError, match="it starts from another"):
        refsim.bridge.load(module, dt=DT)


def test_a_membrane_that_another_layer_hears_is_refused():
    with pytest.raises(RefsimError, match="'b': hears the membrane or current of another layer"):
        refsim.bridge.load(Told(), dt=DT)


# --- what a module does besides ---


class Casting(nn.Module):
    """Asks for float32 by name, and by saying nothing."""

    def __init__(self):
        super().__init__()
        self.linear, self.back, self.a = nn.Linear(4, 4), nn.Linear(4, 4), SRIF()

    def forward(self, x):
        spikes = torch.zeros(x.shape[1], 4)
        for frame in x.to(torch.float32):
            spikes = self.a(self.linear(frame.float()) + self.back(spikes))
        return spikes


def test_a_module_that_asks_for_float32_is_measured_in_float64(rng):
    torch.manual_seed(1)
    module = Casting()
    network = refsim.bridge.load(module, dt=DT)
    weights = [each.weight.detach().double().numpy() for each in (module.linear, module.back)]
    assert np.array_equal(network.layers[0].weight, np.hstack(weights))
    assert torch.get_default_dtype() == torch.float32
    ours, theirs = spikes_of(module, rng)
    assert ours[0].any()
    assert np.array_equal(ours[0], theirs[0])


class Random(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.a = nn.Linear(4, 4), SRIF()

    def forward(self, x):
        return self.a(nn.functional.dropout(self.linear(x), 0.5))


def unnormed():
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False), SRIF())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            Random,
            (
                "'a': what leads to it gives other numbers when it is run again; it draws random "
                "numbers in evaluation too"
            ),
        ),
        (
            unnormed,
            (
                "not in float64 with other numbers and 1 sample, which shows what its weights are "
                ".Expected more than 1 value"
            ),
        ),
        (lambda: nn.Sequential(nn.Linear(4, 3), SRIF()).to("meta"), "lies on the meta device"),
        (
            lambda: nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Linear(4, 3), SRIF()),
            "in layout 'step', 'held': mat1 .*; in layout 'time first': unflatten",
        ),
    ],
    ids=["random", "batch", "meta", "layouts"],
)
def test_what_cannot_be_measured_is_told(make, says):
    with pytest.raises(RefsimError, match=says):
        refsim.bridge.load(make(), dt=DT)


class Behindhand(nn.Module):
    """Ends in a Linear, and is frozen in front."""

    def __init__(self):
        super().__init__()
        self.linear, self.a, self.out = nn.Linear(4, 4), SRIF(), nn.Linear(4, 2)
        self.linear.requires_grad_(False)

    def forward(self, x):
        return self.out(self.a(self.linear(x)))


KEEPS = (
    "; it keeps a.state.v from call to call; here each batch starts afresh, as after refsim.reset"
)
MEAN = "; it gives values in each step, and their mean over the steps decides"


@pytest.mark.parametrize(("make", "said"), [(Behindhand, MEAN), (Casting, KEEPS), (Behind, "")])
def test_what_stands_behind_the_last_neurons_is_told(make, said):
    module = make()
    network = refsim.bridge.load(module, dt=DT)
    run = refsim.run(
        network, refsim.Drive.current(np.ones((2, 3, 4)), DT), engine=refsim.Torch(module=module)
    )
    assert run.provenance["module"] == f"the module itself{said}"
    if make is Behindhand:
        assert [each.requires_grad for each in module.parameters()] == [False, False, True, True]


def test_a_module_whose_weights_no_memory_holds_is_refused_before_it_is_measured():
    module = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), SRIF())
    with pytest.raises(
        RefsimError, match="'1': as a matrix .* its weights fill .* GiB; at most 4 are read"
    ):
        refsim.bridge.load(module, dt="1 ms", input_shape=(1, 160, 160))


class Recurrent(nn.Module):
    """A layer of refsim's that hears its own spikes, which the caller hands back under any name."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.into, self.own, self.neuron = nn.Linear(3, 4), nn.Linear(4, 4, bias=False), SRIF()

    def forward(self, x, z=None):
        z = self.neuron(self.into(x) + (0 if z is None else self.own(z)))
        return z, z


class Unasked(Recurrent):
    """The same, but what it gives beside its output is no state that it could take."""

    def forward(self, x, gain=1.0):
        z = self.neuron(self.into(x) * gain)
        return z, self.neuron.v, z


def test_a_state_of_any_name_is_handed_back_where_a_module_gives_what_it_takes():
    module = Recurrent()
    network = refsim.bridge.load(module, dt="1 ms")
    assert [source.layer for source in network.layers[0].sources] == [-1, 0]
    assert np.array_equal(network.layers[0].weights[1], module.own.weight.detach().double().numpy())


def test_what_is_no_state_is_not_handed_back():
    assert [
        source.layer for source in refsim.bridge.load(Unasked(), dt="1 ms").layers[0].sources
    ] == [-1]
