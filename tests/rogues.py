"""Planted faults. Each is caught by one named check, and by no other.

Without that check it would pass.

(The check of steps called `trains` takes any input and would find most faults, without a name for
them; it runs only where the named checks pass, and is left out with the check under test.)

A rogue step is held against the card it pretends to be; a rogue module against the network it was
made from; a rogue judge against pairs of recordings whose verdict is known; rogue cards are in
`rogue_cards.py`.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

import refsim
from refsim.pytorch import SRIF, AxonalDelay


@dataclass(frozen=True)
class Rogue:
    """A fault, what carries it, and the name of the check that must catch it."""

    name: str
    caught_by: str
    make: Callable[[], Any]


# --- steps: (x, state) -> (spikes, state), each a small lie about a card ---


def _lif_decay(x, v, decay):
    v = x if v is None else decay * v + x
    z = v >= 0.5
    return z, np.where(z, 0.0, v)


def _late(x, state):
    """SRIF that gets its input one step late."""
    waiting, v = (np.zeros_like(x), np.zeros_like(x)) if state is None else state
    v = v + waiting
    z = v >= 0.5
    return z, (x, v - z)


def _hard_for_soft(x, v):
    v = x if v is None else v + x
    z = v >= 0.5
    return z, np.where(z, 0.0, v)


def _subtract_threshold(x, v):
    v = x if v is None else v + x
    z = v >= 0.5
    return z, v - 0.5 * z


def _strict(x, v):
    v = x if v is None else v + x
    z = v > 0.5
    return z, v - z


def _float32_state(x, v):
    v = x.astype(np.float32) if v is None else v + x.astype(np.float32)
    z = v >= np.float32(0.5)
    return z, v - z.astype(np.float32)


def _unscaled_input(x, v):
    """Form A that forgets to divide its input by tau."""
    v = x if v is None else 0.5 * v + x
    z = v >= 0.5
    return z, np.where(z, 0.0, v)


def _clamped(x, v):
    """SRIF whose membrane cannot go below rest."""
    v = x if v is None else v + x
    v = np.maximum(v, -0.5)  # a spike at 0.5 may still leave -0.5
    z = v >= 0.5
    return z, np.where(z, v - 1, np.maximum(v, 0.0))


def _refractory(x, state):
    """SRIF that cannot fire in the step after a spike."""
    v, fired = (np.zeros_like(x), np.zeros_like(x, bool)) if state is None else state
    v = v + x
    z = (v >= 0.5) & ~fired
    return z, (v - z, z)


def _ternary(x, v):
    """SRIF that fires below as well."""
    v = x if v is None else v + x
    z = np.abs(v) >= 0.5
    return z, v - np.sign(v) * z


def _late_leak(x, state):
    """SRIF that starts to leak after a hundred steps."""
    v, age = (np.zeros_like(x), 0) if state is None else state
    v = (0.9 if age > 100 else 1.0) * v + x
    z = v >= 0.5
    return z, (v - z, age + 1)


def _fires_at(x, state):
    """snnTorch's Leaky that fires at its threshold too: the card says above it."""
    v, owed = (np.zeros_like(x), np.zeros_like(x)) if state is None else state
    v = 0.75 * v + x - owed
    z = v >= 1.0
    return z, (v, 1.0 * z)


_TAU = 10.0  # steps
STEP_ROGUES = {
    "snntorch_leaky": [Rogue(">= for >", "comparison", lambda: _fires_at)],
    "srif": [
        Rogue("input one step late", "latency", lambda: _late),
        Rogue("hard for soft reset", "reset_kind", lambda: _hard_for_soft),
        Rogue("subtract v_th for subtract 1", "reset_amount", lambda: _subtract_threshold),
        Rogue("> for >=", "comparison", lambda: _strict),
        Rogue("float32 state at a knife edge", "precision", lambda: _float32_state),
        Rogue("membrane clamped at rest", "inhibition", lambda: _clamped),
        Rogue("one step of refractoriness", "refractory", lambda: _refractory),
        Rogue("fires below as well", "trains", lambda: _ternary),
        Rogue("leak that starts late", "trains", lambda: _late_leak),
    ],
    "lif": [
        Rogue("input not divided by tau", "gain", lambda: _unscaled_input),
    ],
    "lif_decay": [
        Rogue("Euler leak for exact", "decay", lambda: lambda x, v: _lif_decay(x, v, 1 - 1 / _TAU)),
        Rogue(
            "tau off by 0.1 %",
            "decay",
            lambda: lambda x, v: _lif_decay(x, v, np.exp(-1 / (1.001 * _TAU))),
        ),
    ],
}
DECLARED = {
    "snntorch_leaky": lambda: refsim.load("snntorch_leaky", beta=0.75),
    "srif": lambda: refsim.load("srif"),
    "lif": lambda: refsim.load("lif"),
    "lif_decay": lambda: refsim.load("lif_decay", decay=np.exp(-1 / _TAU)),
}

# --- modules: what a bridge or a hand-made copy can get wrong ---


def honest_module() -> nn.Sequential:
    """Three square layers of equal size, so that a swap and a transposition go unseen by their
    shapes.
    """
    torch.manual_seed(5)
    module = nn.Sequential(
        nn.Linear(6, 6), SRIF(), nn.Linear(6, 6), SRIF(), nn.Linear(6, 6), SRIF()
    )
    return module.double()


@torch.no_grad()
def _changed(change: Callable[[nn.Sequential], None]) -> nn.Sequential:
    module = honest_module()
    change(module)
    return module


def _flip_one_sign(module):
    module[2].weight[1, 3] *= -1


def _transpose(module):
    module[2].weight.copy_(module[2].weight.T.clone())


def _drop_bias(module):
    module[4].bias.zero_()


def _swap_layers(module):
    module[0], module[2] = module[2], module[0]
    # The biases stay: the weights alone must tell.
    module[0].bias, module[2].bias = module[2].bias, module[0].bias


def _scale(module):
    module[0].weight *= 1.1


def _permute_rows(module):
    module[2].weight.copy_(module[2].weight[[3, 0, 1, 2, 5, 4]].clone())


def _reverse_bias(module):
    module[0].bias.copy_(module[0].bias.flip(0).clone())


def _late_layer() -> nn.Sequential:
    """The same maps, one of them heard a step late."""
    parts = list(honest_module())
    return nn.Sequential(*parts[:2], AxonalDelay(6, 1, 1.0), *parts[2:]).double()


def _other_training() -> nn.Sequential:
    """Weights that no layer declares, nearest in size to those of another layer."""

    def grow(module):
        module[0].weight.copy_(module[2].weight * 1.01)

    return _changed(grow)


MODULE_ROGUES = [
    Rogue("one layer heard a step late", "wiring", _late_layer),
    Rogue("weights of another training", "maps", _other_training),
    Rogue("one weight's sign flipped", "weights", lambda: _changed(_flip_one_sign)),
    Rogue("square weight matrix transposed", "orientation", lambda: _changed(_transpose)),
    Rogue("bias dropped", "bias", lambda: _changed(_drop_bias)),
    Rogue("layer order swapped", "layer_order", lambda: _changed(_swap_layers)),
    Rogue("weights scaled", "maps", lambda: _changed(_scale)),
    Rogue("rows permuted", "maps", lambda: _changed(_permute_rows)),
    Rogue("biases in another order", "maps", lambda: _changed(_reverse_bias)),
]

# --- judges: (reference, trial) -> verdict ---


def honest_judge(reference, trial) -> str:
    """What refsim itself says."""
    return refsim.compare(reference, trial).verdict


def _counting(reference, trial):
    """Compare how often each neuron fired."""
    if honest_judge(reference, trial) == "inconclusive":
        return "inconclusive"
    same = all(
        np.array_equal(a.counts(), b.counts())
        for a, b in zip(reference.spikes, trial.spikes, strict=True)
    )
    return "pass" if same else "fail"


def _output_only(reference, trial):
    if honest_judge(reference, trial) == "inconclusive":
        return "inconclusive"
    return "pass" if np.array_equal(reference.spikes[-1].code, trial.spikes[-1].code) else "fail"


def _without_last_step(reference, trial):
    if honest_judge(reference, trial) == "inconclusive":
        return "inconclusive"
    same = all(
        np.array_equal(a.dense()[:, :-1], b.dense()[:, :-1])
        for a, b in zip(reference.spikes, trial.spikes, strict=True)
    )
    return "pass" if same else "fail"


def _no_ties(reference, trial):
    return (
        "fail"
        if honest_judge(reference, trial) == "inconclusive"
        else honest_judge(reference, trial)
    )


def _never_passes(reference, trial):
    return (
        "inconclusive"
        if honest_judge(reference, trial) == "pass"
        else honest_judge(reference, trial)
    )


def _lowest_neuron_only(reference, trial):
    """Look at the lowest neuron that differs and at no other."""
    for layer, (a, b) in enumerate(zip(reference.spikes, trial.spikes, strict=True)):
        codes = np.setxor1d(a.code, b.code)
        if codes.size:
            dense = a.dense()
            sample, step, neuron = np.unravel_index(codes[0], dense.shape)
            dense[sample, step, neuron] ^= True
            spikes = [*reference.spikes]
            spikes[layer] = refsim.SpikeTrains.from_dense(dense, a.dt)
            return honest_judge(reference, dataclasses.replace(trial, spikes=tuple(spikes)))
    return honest_judge(reference, trial)


JUDGE_ROGUES = [
    Rogue("spikes counted instead of compared", "moved_spike", lambda: _counting),
    Rogue("hidden layers not looked at", "hidden_layer", lambda: _output_only),
    Rogue("last step left out", "last_step", lambda: _without_last_step),
    Rogue("rounding taken for a fault", "rounding_tie", lambda: _no_ties),
    Rogue("a tie hides the fault beside it", "fault_beside_tie", lambda: _lowest_neuron_only),
    Rogue("never says pass", "identical", lambda: _never_passes),
]

if __name__ == "__main__":
    import sys
    from pathlib import Path

    sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    from rogue_list import main

    sys.exit(main(sys.argv[1:]))
