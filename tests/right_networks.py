"""A hundred networks that are right.

Run as declared, in many dtypes and by many ways, so that a wrong decision in one is the judge's.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from test_snntorch import Leaky
from torch import nn

import refsim
from refsim import Connection, Discrete, Drive, Torch
from refsim.judge.judgement import Replay
from refsim.judge.replay import replay
from refsim.pytorch import ALIF, IF, LI, LIF, PLIF, SRIF, CubaLIF, LIFDecay

CARDS = (
    "if",
    "lif",
    "lif_decay",
    "srif",
    "lif_refractory",
    "plif",
    "cuba_lif",
    "alif",
    "adlif",
    "mat2",
    "rf",
    "srif_mpr",
    "eif",
    "qif",
    "glif3",
    "izhikevich",
)
WIRINGS = ("dense", "convolution", "recurrent", "delayed")
NEURONS: dict[str, Callable[[], nn.Module]] = {
    "LIF": lambda: LIF(tau=2.5),
    "IF": IF,
    "SRIF": SRIF,
    "ALIF": ALIF,
    "PLIF": PLIF,
    "CubaLIF": CubaLIF,
    "LIFDecay": LIFDecay,
    "Leaky, soft": lambda: Leaky(beta=0.9),
    "Leaky, hard": lambda: Leaky(beta=0.8, reset_mechanism="zero"),
    "Leaky, at once": lambda: Leaky(beta=0.7, reset_delay=False),
}
# Share of steps in which a neuron fires, at least: a layer that is silent is judged on little.
_BUSY = 0.03


@dataclass(frozen=True)
class Right:
    """A right network: what is declared, the drive, and the engine that runs it as declared."""

    name: str
    made: Callable[[], tuple[refsim.Network, Drive, Any]]


@dataclass(frozen=True)
class Judged:
    """What was found of one network.

    Attributes
    ----------
    verdict, outcome : str
        Of the public comparison.
    wrong : int
        Wrong decisions, and membranes farther off than rounding reaches, in the comparison and
        where all samples are replayed.
    within, judged, total : int
        Decisions that rounding may have tipped; all that were judged; and all.
    """

    name: str
    verdict: str
    outcome: str
    wrong: int
    within: int
    judged: int
    total: int
    mismatched: int


def judge(right: Right, *, membranes: bool = False) -> Judged:
    """Compare the network's own run with the declared step, and judge every decision of all its
    samples besides.

    With membranes each of these is held against the replay too.
    """
    network, drive, engine = right.made()
    record = (
        ("before_reset",)
        if membranes or not all(layer.model.discrete.fire for layer in network.layers)
        else ()
    )
    reference, trial = (each.run(network, drive, record) for each in (Discrete(), engine))
    report = refsim.compare(reference, trial)
    (found,) = report.findings.comparisons
    every = _all_samples(reference, trial)
    faults = sum(layer.faults for each in (found.replay, every) for layer in each.layers)
    return Judged(
        right.name,
        report.verdict,
        found.outcome,
        faults,
        every.count("within"),
        every.total - every.count("unjudged"),
        every.total,
        sum(found.mismatched),
    )


def _all_samples(reference: refsim.Recording, trial: refsim.Recording) -> Replay:
    own = None
    if (dtype := str(trial.provenance["dtype"])) in ("float16", "bfloat16"):
        from refsim.judge.own_steps import own_decisions

        own = own_decisions(trial, dtype)
    return replay(
        trial, np.arange(trial.drive.n_samples), (str(reference.provenance["dtype"]), dtype), own
    )


def declared(
    card: str, wiring: str, sizes: Sequence[int], shape: tuple[int, int], seed: int
) -> tuple[refsim.Network, Drive]:
    """Return a network of one card, each layer's weights so large that it fires, and the input of
    (samples, steps).
    """
    rng = np.random.default_rng(seed)
    model = refsim.load(card)
    drive = Drive.bernoulli(rng.uniform(0.1, 0.6, (shape[0], sizes[0])), shape[1], "1 ms", seed)
    few = drive.take(np.arange(1))
    layers: list[Any] = []
    for index, (n_pre, n_post) in enumerate(itertools.pairwise(sizes)):
        weight = (
            _banded(rng, n_post, n_pre)
            if wiring == "convolution"
            else rng.normal(0.5, 1.0, (n_post, n_pre)) / n_pre**0.5
        )
        more = (
            [(rng.normal(0, 0.5, (n_post, n_post)) / n_post**0.5, {"source": "self"})]
            if wiring == "recurrent" and index
            else []
        )
        delay = {"delay": rng.integers(0, 5, n_pre)} if wiring == "delayed" else {}
        for power in range(_power(card) - 2, 60):
            gain = 2.0**power
            maps = [
                Connection(gain * weight, **delay),
                *(Connection(gain * each, **words) for each, words in more),
            ]
            if _busy(refsim.Network.dense([*layers, (maps, None, model)], dt="1 ms"), few):
                break
        layers.append((maps, None, model))
    return refsim.Network.dense(layers, dt="1 ms"), drive


@functools.cache
def _power(card: str) -> int:
    """Return about how large the weights of a card must be for it to fire, as a power of two.

    Cards differ in their units.
    """
    rng = np.random.default_rng(0)
    weight, drive = (
        rng.normal(0.5, 1.0, (6, 18)) / 18**0.5,
        Drive.bernoulli(np.full((1, 18), 0.4), 60, "1 ms", 0),
    )
    made = (
        refsim.Network.dense([(2.0**power * weight, None, refsim.load(card))], dt="1 ms")
        for power in range(-40, 60)
    )
    return next(power - 40 for power, network in enumerate(made) if _busy(network, drive))


def _busy(network: refsim.Network, drive: Drive) -> bool:
    with np.errstate(all="ignore"):
        fired = Discrete().run(network, drive).spikes[-1]
    return len(fired) >= _BUSY * fired.n_samples * fired.n_steps * fired.n_neurons


def _banded(rng: np.random.Generator, n_post: int, n_pre: int) -> Any:
    """Return the matrix of a convolution of five taps."""
    kernel, weight = rng.normal(0.5, 0.5, 5), np.zeros((n_post, n_pre))
    for post, tap in itertools.product(range(n_post), range(5)):
        if 0 <= (pre := post * n_pre // n_post + tap - 2) < n_pre:
            weight[post, pre] = kernel[tap]
    return weight


def module(
    neurons: str,
    dtype: str,
    sizes: Sequence[int],
    seed: int,
    *,
    convolution: bool = False,
    readout: bool = False,
) -> nn.Module:
    """Return a module of maps and neurons, or of a leaky read-out at its end.

    With a convolution in front its input is (2, 6, 6).
    """
    torch.manual_seed(seed)
    parts: list[nn.Module] = []
    if convolution:
        parts += [nn.Conv2d(2, 3, 3, padding=1), NEURONS[neurons](), nn.Flatten()]
        sizes = (108, *sizes[1:])
    for n_pre, n_post in itertools.pairwise(sizes):
        parts += [nn.Linear(n_pre, n_post), NEURONS[neurons]()]
    if readout:
        parts[-1] = LI()
    made = nn.Sequential(*parts)
    with torch.no_grad():
        for each in made:
            if isinstance(each, nn.Linear | nn.Conv2d):
                each.weight.mul_(6 if neurons == "ALIF" else 3).add_(
                    0.3 / each.weight[0].numel() ** 0.5
                )
                each.bias.add_(0.2)  # type: ignore[union-attr]
    return made.to(getattr(torch, dtype))


def on_steps(
    card: str, wiring: str, dtype: str, sizes: Sequence[int], shape: tuple[int, int], seed: int
) -> Right:
    """Return a network that refsim's own steps run."""

    def made() -> Any:
        return *declared(card, wiring, sizes, shape, seed), Torch(dtype=dtype)

    return Right(f"{card}, {wiring}, {dtype}, {max(sizes[1:])} wide, {shape[1]} steps", made)


def live(
    neurons: str,
    dtype: str,
    sizes: Sequence[int],
    shape: tuple[int, int],
    seed: int,
    *,
    convolution: bool = False,
    readout: bool = False,
    compiled: str = "",
) -> Right:
    """Return a module that runs itself, and is read to be declared.

    Compiled whole, in place, or part by part.
    """

    def made() -> Any:
        makes = functools.partial(
            module, neurons, dtype, sizes, seed, convolution=convolution, readout=readout
        )
        size = (2, 6, 6) if convolution else None
        network = refsim.bridge.load(makes(), dt="1 ms", input_shape=size)
        drive = Drive.bernoulli(
            np.random.default_rng(seed).uniform(0.1, 0.6, (shape[0], network.n_inputs)),
            shape[1],
            "1 ms",
            seed,
        )
        own = makes()
        if compiled == "in place":
            own.compile()
        elif compiled == "part by part":
            for part in own:
                part.compile()
        elif compiled:
            own = torch.compile(own)
        return network, drive, Torch(module=own, input_shape=size)

    kind = (
        ("convolution" if convolution else "dense")
        + ", read-out" * readout
        + (f", torch.compile {compiled}" if compiled else "")
    )
    return Right(
        f"module of {neurons}, {kind}, {dtype}, {max(sizes[1:])} wide, {shape[1]} steps", made
    )


def networks() -> list[Right]:
    """Return all of them."""
    small, shape = (18, 20, 16, 12), (6, 60)
    found = [
        on_steps(
            card,
            WIRINGS[(index + index // 16) % 4],
            "float64" if index % 5 == 4 else "float32",
            small,
            shape,
            index,
        )
        for index, card in enumerate((CARDS * 3)[:40])
    ]
    for index, (neurons, dtype) in enumerate(
        itertools.product(NEURONS, ("float32", "bfloat16", "float16"))
    ):
        found.append(
            live(
                neurons,
                dtype,
                small,
                shape,
                index,
                convolution=index % 2 == 1,
                readout=index % 5 == 4,
            )
        )
    ways = (
        ("LIF", "float32", "whole"),
        ("IF", "float32", "in place"),
        ("Leaky, soft", "float32", "part by part"),
        ("LIF", "bfloat16", "in place"),
        ("SRIF", "bfloat16", "whole"),
    )
    found += [
        live(neurons, dtype, small, shape, index, compiled=way)
        for index, (neurons, dtype, way) in enumerate(ways)
    ]
    wide = (64, 4096, 10)
    found += [
        on_steps(card, wiring, "float32", wide, (4, 50), 7)
        for card, wiring in (
            ("lif", "dense"),
            ("srif", "delayed"),
            ("alif", "dense"),
            ("cuba_lif", "convolution"),
        )
    ]
    found += [on_steps("lif_decay", "dense", "float32", (4096, 4096, 10), (2, 30), 7)]
    found += [
        live(neurons, dtype, wide, (4, 50), 7)
        for neurons, dtype in (
            ("LIF", "float32"),
            ("SRIF", "bfloat16"),
            ("LIF", "bfloat16"),
            ("IF", "float16"),
        )
    ]
    narrow, long = (12, 16, 8), (2, 2000)
    found += [
        on_steps(card, WIRINGS[index % 4], "float32", narrow, long, index)
        for index, card in enumerate(
            ("if", "lif", "srif", "alif", "adlif", "rf", "cuba_lif", "izhikevich", "lif_refractory")
        )
    ]
    found += [on_steps("lif", "recurrent", "float64", narrow, long, 1)]
    found += [
        live(neurons, dtype, narrow, long, 5)
        for neurons, dtype in (
            ("LIF", "bfloat16"),
            ("SRIF", "bfloat16"),
            ("ALIF", "bfloat16"),
            ("LIF", "float16"),
            ("Leaky, hard", "float16"),
            ("IF", "float32"),
        )
    ]
    return found


if __name__ == "__main__":
    import sys
    import time

    for number, right in enumerate(networks()):
        if len(sys.argv) < 2 or number in range(int(sys.argv[1]), int(sys.argv[2])):
            since = time.monotonic()
            try:
                print(
                    number,
                    judge(right, membranes=number % 2 == 1),
                    f"{time.monotonic() - since:.1f} s",
                    flush=True,
                )
            except Exception as error:
                print(
                    number, right.name, "ERROR", type(error).__name__, str(error)[:300], flush=True
                )
