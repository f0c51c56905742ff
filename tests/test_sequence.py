"""Feed-forward networks over all steps at once are the networks step by step, and every kind of
neuron trains.
"""

import numpy as np
import pytest
import torch
from conftest import real_data
from test_srm_gradient import backward, initial, loss_of, raster
from torch import nn

import refsim
from refsim import RefsimError
from refsim.modules import sequence
from refsim.pytorch import (
    ALIF,
    AdLIF,
    AlifLoihi,
    AxonalDelay,
    CubaLIF,
    CubaLoihi,
    SRMAlpha,
    SRMSlayer,
    over_steps,
    quantise,
)
from refsim.pytorch.losses import spikemax
from refsim.pytorch.surrogate import spike_function

NARROW = spike_function("exponential", width=0.5)
WHOLE = spike_function("exponential", width=4096.0, scale=4096.0)
SRM = {"dt": "1 ms", "theta": 1.0, "tau_s": "4 ms", "tau_ref": "2 ms"}
KINDS = {
    "srm": lambda: SRMSlayer(NARROW, detach_reset=True, **SRM),
    "srm through its refractory response": lambda: SRMSlayer(NARROW, **SRM),
    "srm_alpha": lambda: SRMAlpha(NARROW, detach_reset=True, **SRM),
    "cuba": lambda: CubaLIF(NARROW, detach_reset=True),
    "alif": lambda: ALIF(NARROW, alpha=0.8, b0=0.2),
    "adlif": lambda: AdLIF(NARROW, v_th=0.1),
    "cuba_loihi": lambda: CubaLoihi(WHOLE),
    "alif_loihi": lambda: AlifLoihi(WHOLE, detach_reset=True),
}
STEPS = 24


def network(kind):
    """12-16-2 with delays; weights of Loihi's neurons are whole numbers on its grid."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(12, 16),
        KINDS[kind](),
        nn.Dropout(0.0),
        AxonalDelay(16, 4, 1.5),
        nn.Linear(16, 2),
        KINDS[kind](),
    ).double()
    whole = "loihi" in kind
    with torch.no_grad():
        for layer in (model[0], model[4]):
            layer.weight += 0.1
            layer.weight *= 128 if whole else 1
            layer.bias *= 0
    return quantise(model, 2.0, -256.0, 254.0) if whole else model


def recordings(n=30):
    """Spikes (batch, 12, step) of two classes, more in the half that the label says."""
    drawn = torch.Generator().manual_seed(1)
    x, labels = torch.rand(n, 12, STEPS, generator=drawn) < 0.08, torch.arange(n) % 2
    more = torch.rand(n, 6, STEPS, generator=drawn) < 0.2
    for each, label in enumerate(labels.tolist()):
        x[each, 6 * label : 6 * label + 6] |= more[each]
    return x.double(), labels


def step_by_step(model, x):
    refsim.reset(model)
    output = torch.stack([model(frame) for frame in x.unbind(-1)], -1)
    refsim.reset(model)
    return output


def difference(model):
    """Return wrong spikes, and the largest error of a gradient relative to the largest of its
    tensor, between the two ways.
    """
    x, _ = recordings()
    upstream = torch.rand(
        len(x), 2, STEPS, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    )
    outputs, gradients = [], []
    for way in (lambda: over_steps(model, x)[0], lambda: step_by_step(model, x)):
        outputs.append(way())
        gradients.append(
            torch.autograd.grad(
                (outputs[-1] * upstream).sum(),
                [each for each in model.parameters() if each.requires_grad],
            )
        )
    assert outputs[1].sum() > 10
    return int((outputs[0] != outputs[1]).sum()), max(
        float((one - other).abs().max() / other.abs().max())
        for one, other in zip(*gradients, strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_all_steps_at_once_are_the_steps_one_by_one(kind):
    wrong, error = difference(network(kind))
    assert wrong == 0
    assert error <= 1e-12  # sums in float64 of some thousand terms, in another order


def _one_step_late(kernel, n_steps):
    response = torch.zeros(n_steps, n_steps, dtype=torch.float64)
    response[1:] = torch.as_tensor(_RESPONSE(kernel, n_steps))[:-1]
    return response


_RESPONSE, _REFRACTORY = sequence._response, sequence._refractory
FAULTS = {
    "potential a step late": ("_response", _one_step_late),
    "no refractory response": (
        "_refractory",
        lambda potential, nu, theta: torch.zeros_like(potential),
    ),
    "refractory response of the membrane without it": (
        "_refractory",
        lambda potential, nu, theta: sum(
            torch.cat(
                [
                    torch.zeros_like(potential[:k]),
                    (potential >= theta).double()[: len(potential) - k],
                ]
            )
            * nu[k]
            for k in range(min(len(nu), len(potential)))
        ),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_fast_way_is_seen(fault, monkeypatch):
    monkeypatch.setattr(sequence, *FAULTS[fault])
    assert difference(network("srm"))[0] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_it_trains(kind):
    model, (x, labels) = network(kind), recordings()
    delay = model[3].delay
    rest = [
        each
        for name, each in model.named_parameters()
        if each is not delay and not (name.endswith("bias") and "loihi" in kind)
    ]
    optimiser = torch.optim.Adam(
        [{"params": rest, "lr": 4.0 if "loihi" in kind else 0.02}, {"params": [delay], "lr": 0.05}]
    )
    losses = []
    for _ in range(20):
        loss = spikemax(over_steps(model, x)[0], labels)
        optimiser.zero_grad()
        loss.backward()
        assert all(each.grad.isfinite().all() and each.grad.any() for each in [*rest, delay])
        optimiser.step()
        losses.append(float(loss.detach()))
    assert min(losses[-5:]) < 0.6 * losses[0]


@pytest.mark.parametrize("kind", ["cuba_loihi", "alif_loihi"])
def test_the_past_of_loihis_integers_has_a_gradient(kind):
    neuron = KINDS[kind]()
    x = torch.zeros(1, 1, 6, dtype=torch.float64)
    x[..., 0] = 40.0
    x.requires_grad_()
    output = torch.stack([neuron(frame) for frame in x.unbind(-1)], -1)
    (gradient,) = torch.autograd.grad(output[..., -1].sum(), x)
    assert (gradient > 0).all()  # without the shift's gradient, that of the last step alone


def test_the_gradients_of_slayer_itself_come_out():
    real_data("srm")
    module, given = initial(), raster("spikeIn", 250)
    output, _ = over_steps(module, given)
    loss_of(output).backward()
    fast = [module[index].weight.grad for index in (0, 2)]
    other = initial()
    loss, errors = backward(other)
    assert abs(float(loss_of(output).detach()) - loss) <= 1e-9
    assert max(errors) <= 1e-4
    for found, index in zip(fast, (0, 2), strict=True):
        # 500 steps in another order.
        assert float((found - other[index].weight.grad).abs().max() / found.abs().max()) <= 1e-10


def test_dropout_silences_a_neuron_for_the_whole_record():
    model = nn.Sequential(nn.Dropout(0.5))
    output, layers = over_steps(model, torch.ones(4, 50, STEPS))
    assert layers == []
    assert ((output == output[..., :1]).all(-1)).all()
    assert 0.3 < float((output > 0).double().mean()) < 0.7
    assert torch.equal(
        over_steps(model.eval(), torch.ones(4, 50, STEPS))[0], torch.ones(4, 50, STEPS)
    )


def test_images_and_sequences_in_sequences():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(2, 3, 3), CubaLIF(NARROW)),
        AxonalDelay(3, 2, 1.0),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 4),
        CubaLIF(NARROW),
    ).double()
    model[4].weight.data.abs_()
    x = (torch.rand(2, 2, 6, 6, STEPS) < 0.3).double()
    output, layers = over_steps(model, x)
    assert [tuple(each.shape) for each in layers] == [(2, 3, 4, 4, STEPS), (2, 4, STEPS)]
    assert output.sum() > 0
    assert np.array_equal(output.detach(), step_by_step(model, x).detach())


def test_a_memory_that_it_does_not_know_is_refused():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = CubaLIF()

    for part, said in (
        (nn.LSTM(3, 3), "module.1 is a LSTM"),
        (Residual(), "module.1.inner is a CubaLIF"),
    ):
        with pytest.raises(RefsimError, match=said):
            over_steps(nn.Sequential(nn.Linear(3, 3), part), torch.zeros(1, 3, 4))
