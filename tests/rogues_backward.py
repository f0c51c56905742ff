"""Planted faults in backward passes.

Each is caught by one named check of check_gradient, and by no other. Every forward pass is right.
"""

import warnings
from dataclasses import dataclass, field
from typing import Any

import torch
from made_weights import Bent, Rounded, Signed, Unbent
from rogues import Rogue
from torch import nn

from refsim.pytorch import losses
from refsim.pytorch.leaky import PLIF, LIFDecay, LIFRefractory
from refsim.pytorch.surrogate import spike_function

FIRE = spike_function("arctangent", slope=2.0)


@dataclass(frozen=True)
class Declared:
    """What a rogue says of itself."""

    loss: Any = losses.spike_rate
    options: dict[str, Any] = field(default_factory=dict)


class Net(nn.Module):
    """Two layers, made twice as strong as PyTorch makes them, so that they fire."""

    def __init__(self, neuron=LIFDecay, surrogate=FIRE, **options):
        super().__init__()
        torch.manual_seed(5)
        self.first, self.hidden = nn.Linear(6, 9), neuron(surrogate, **options)
        self.second, self.out = nn.Linear(9, 4), neuron(surrogate, **options)
        with torch.no_grad():
            for weight in self.parameters():
                weight.mul_(2.5)
        self.double()

    def forward(self, x):
        return self.out(self.second(self.hidden(self.first(x))))


class Between(Net):
    """Something between the layers that forward is nothing."""

    def __init__(self, between, **options):
        super().__init__(**options)
        self.between = between

    def forward(self, x):
        return self.out(self.second(self.between(self.hidden(self.first(x)))))


class Recurrent(Net):
    """The hidden layer hears its own spikes of the step before, through a gate that forward is
    nothing.
    """

    def __init__(self, gate=lambda z: z):
        super().__init__()
        self.own, self.gate = nn.Linear(9, 9, bias=False).double(), gate

    def forward(self, x, state=None):
        heard = 0.0 if state is None else self.own(self.gate(state))
        z = self.hidden(self.first(x) + heard)
        return self.out(self.second(z)), z


def backward(function):
    """Return the identity whose gradient is what a function makes of it."""

    class Changed(torch.autograd.Function):
        @staticmethod
        def forward(_ctx, x):
            return x.clone()

        @staticmethod
        def backward(_ctx, gradient):
            return function(gradient)

    return Changed.apply


class Forgetful(LIFDecay):
    """Its membrane is changed, in the eyes of the gradient, between two steps."""

    change = staticmethod(lambda v: v)

    def forward(self, x):
        if self.state is not None:
            self.state = {name: self.change(value) for name, value in self.state.items()}
        return super().forward(x)


class Detaching(Forgetful):
    change = staticmethod(torch.Tensor.detach)


class Hoarding(Forgetful):
    change = staticmethod(backward(lambda gradient: 1.25 * gradient))


class Leaking(LIFRefractory):
    """While it is refractory its spikes are none, but its gradient goes on."""

    def forward(self, x):
        held = None if self.state is None else self.state["count"] > 0
        spikes = super().forward(x)
        if held is None:
            return spikes
        soft = FIRE(self.seen - self.constants["v_th"])
        self.fired = torch.where(held, soft - soft.detach(), spikes)
        return self.fired


class Clipping(LIFDecay):
    """What comes back to its spikes is clipped."""

    clip = staticmethod(backward(lambda gradient: gradient.clamp(-0.5, 0.5)))

    def forward(self, x):
        return self.clip(super().forward(x))


class Halving(LIFDecay):
    """Half of what the reset should pass comes back through it."""

    def forward(self, x):
        before = torch.zeros_like(x) if self.state is None else self.state["v"]
        spikes = super().forward(x)
        v = self.constants["decay"] * before + x
        half = 0.5 * spikes + 0.5 * spikes.detach()
        self.state = {"v": v * (1 - half) + self.constants["v_reset"] * half}
        return spikes


class Learning(PLIF):
    """Its w learns from the membrane as it is after the step, and not as it was before.

    Lava-dl's decay does the like.
    """

    def __init__(self, surrogate, *, right=False, **options):
        super().__init__(surrogate, **options)
        self.right = right

    def forward(self, x):
        before = torch.zeros_like(x) if self.state is None else self.state["v"]
        share = torch.sigmoid(self.w)
        fixed = before + (x - before) * share.detach()
        gained = (x - before).detach() if self.right else (x - fixed).detach()
        v = fixed + gained * (share - share.detach())
        self.seen = v
        self.fired = self.fire(v - self.constants["v_th"])
        self.state = {"v": v * (1 - self.fired) + self.constants["v_reset"] * self.fired}
        return self.fired


class Unweighted(nn.Linear):
    """Its weights learn at another rate."""

    factor = staticmethod(backward(lambda gradient: 0.5 * gradient))

    def forward(self, x):
        return nn.functional.linear(x, self.factor(self.weight), self.bias)


class Fixed(nn.Linear):
    """Its bias is used and never learnt."""

    def forward(self, x):
        return nn.functional.linear(x, self.weight, self.bias.detach())


class NotTransposed(nn.Linear):
    """What it hands back is not what it hands on, transposed: two outputs are exchanged."""

    exchange = staticmethod(backward(lambda gradient: gradient.flip(-1)))

    def forward(self, x):
        return nn.functional.linear(x.detach(), self.weight, self.bias) + _nothing(
            nn.functional.linear(x, self.weight.detach()), self.exchange
        )


def _nothing(x, change):
    """Return 0 with a gradient."""
    changed = change(x)
    return changed - changed.detach()


def with_linear(kind):
    """Return the net whose second Linear is of another class."""
    net = Net()
    made = kind(9, 4).double()
    made.load_state_dict(net.second.state_dict())
    net.second = made
    return net


def no_number():
    """Return the net whose first weights learn NaN; everything else is right."""
    net = Net()
    net.first.weight.register_hook(lambda gradient: gradient * float("nan"))
    return net


def normed():
    """Return the net whose second weights are a length times a direction, made in a hook before
    each call.
    """
    net = Net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        nn.utils.weight_norm(net.second)
    return net


def early(x):
    """Fire a little below threshold; the gradient is the right one."""
    soft = FIRE(x)
    return soft + ((x >= -0.05).to(x.dtype) - soft).detach()


def endless(x):
    """Add nothing times a root, whose slope at 0 has no end."""
    return FIRE(x) + 0.0 * torch.sqrt(x * (x > 0))


def off_by(x):
    """Fire as it should, with the derivative of a membrane measured from rest."""
    soft = FIRE(x + 1.0)
    return (x >= 0).to(x.dtype).detach() + soft - soft.detach()


def authors_window(values, target):
    """Spikemax over a sliding window, with the released backward pass."""
    return losses.spikemax(values, target, window=5, gradient="authors")


KEPT, DETACHED = Declared(), Declared(options={"detach_reset": True})
ROGUES = [
    Rogue("spikes a little too early", "spikes", lambda: (Net(surrogate=early), KEPT)),
    Rogue("a derivative that is no number", "finite", lambda: (Net(surrogate=endless), KEPT)),
    Rogue(
        "a weight whose gradient is no number, before others that are right",
        "finite",
        lambda: (no_number(), KEPT),
    ),
    Rogue(
        "a spike without a surrogate",
        "used",
        lambda: (Net(surrogate=lambda x: (x >= 0).to(x.dtype)), KEPT),
    ),
    Rogue(
        "another surrogate",
        "surrogate",
        lambda: (Net(surrogate=spike_function("sigmoid", slope=4.0)), KEPT),
    ),
    Rogue(
        "the same surrogate, twice as steep",
        "surrogate",
        lambda: (Net(surrogate=spike_function("arctangent", slope=4.0)), KEPT),
    ),
    Rogue(
        "the surrogate of a membrane measured from rest",
        "surrogate",
        lambda: (Net(surrogate=off_by), KEPT),
    ),
    Rogue(
        "the surrogate times 0.3",
        "scale",
        lambda: (Net(surrogate=lambda x: backward(lambda g: 0.3 * g)(FIRE(x))), KEPT),
    ),
    Rogue(
        "the surrogate with the wrong sign",
        "scale",
        lambda: (Net(surrogate=lambda x: backward(torch.neg)(FIRE(x))), KEPT),
    ),
    Rogue("the membrane detached in each step", "truncated", lambda: (Net(neuron=Detaching), KEPT)),
    Rogue("the reset detached", "reset", lambda: (Net(detach_reset=True), KEPT)),
    Rogue("the reset not detached", "reset", lambda: (Net(), DETACHED)),
    Rogue(
        "a gradient while refractory",
        "refractory",
        lambda: (Net(neuron=Leaking, n_ref=3), Declared(options={})),
    ),
    Rogue(
        "recurrent spikes detached", "recurrence", lambda: (Recurrent(torch.Tensor.detach), KEPT)
    ),
    Rogue("another decay in the backward pass", "memory", lambda: (Net(neuron=Hoarding), KEPT)),
    Rogue("half of the reset's gradient", "layer", lambda: (Net(neuron=Halving), KEPT)),
    Rogue("gradients clipped at the spikes", "chain", lambda: (Net(neuron=Clipping), KEPT)),
    Rogue(
        "spikes detached between the layers",
        "connections",
        lambda: (Between(torch.Tensor.detach), KEPT),
    ),
    Rogue(
        "half the gradient between the layers",
        "connections",
        lambda: (Between(backward(lambda g: 0.5 * g)), KEPT),
    ),
    Rogue(
        "outputs exchanged on the way back",
        "connections",
        lambda: (with_linear(NotTransposed), KEPT),
    ),
    Rogue("weights that learn half as fast", "weights", lambda: (with_linear(Unweighted), KEPT)),
    Rogue(
        "a slope of weights that are bent, taken for 1",
        "weights",
        lambda: (with_linear(Unbent), KEPT),
    ),
    Rogue("a bias that never learns", "weights", lambda: (with_linear(Fixed), KEPT)),
    Rogue(
        "a learnt decay whose gradient is of another step",
        "weights",
        lambda: (Net(neuron=Learning), KEPT),
    ),
    Rogue("the authors' sliding window", "loss", lambda: (Net(), Declared(loss=authors_window))),
]
SOUND = {
    "plain": lambda: (Net(), KEPT),
    "detached": lambda: (Net(detach_reset=True), DETACHED),
    "refractory": lambda: (Net(neuron=LIFRefractory, n_ref=3), KEPT),
    "recurrent": lambda: (Recurrent(), KEPT),
    "learnt decay": lambda: (Net(neuron=PLIF), KEPT),
    "learnt decay of one's own": lambda: (Net(neuron=Learning, right=True), KEPT),
    "bent weights": lambda: (with_linear(Bent), KEPT),
    "rounded weights": lambda: (with_linear(Rounded), KEPT),
    "signed weights": lambda: (with_linear(Signed), KEPT),
    "normed weights": lambda: (normed(), KEPT),
    "between": lambda: (Between(nn.Identity()), KEPT),
    "exact window": lambda: (
        Net(),
        Declared(
            loss=lambda values, target: losses.spikemax(values, target, window=5, gradient="exact")
        ),
    ),
}
