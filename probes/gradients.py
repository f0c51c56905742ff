"""What the frameworks' backward passes give, against back-propagation through their cards' text.

python -m probes.gradients [NAME ...]

Of each layer what its framework documents is declared: the surrogate, and whether the reset passes
a gradient. Five random modules each, in the framework's own environment (python -m benchmarks.peers
NAME makes it). Exit code 1 where one is not what is declared.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

import refsim
from benchmarks import peers
from refsim.pytorch.losses import spike_rate

# Rockpool's spikes are counts, whose gradient no card declares.
NAMES = ("snntorch", "spikingjelly", "norse", "sinabs")
N_INPUTS, N_HIDDEN, N_OUT, SEEDS = 8, 12, 4, 5
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Backward:
    """A module, and what its framework documents of its gradients."""

    title: str
    make: Callable[[], nn.Module]
    surrogate: str
    detach_reset: Any
    parameters: dict[str, float] = field(default_factory=dict)
    strength: float = 3.0  # of the weights, so that it fires
    input_shape: tuple[int, ...] | None = None


def _two(
    neuron: Callable[[], nn.Module],
    first: Callable[[], nn.Module] | None = None,
    chain: Any = nn.Sequential,
) -> Callable[[], nn.Module]:
    return lambda: chain(
        nn.Linear(N_INPUTS, N_HIDDEN), (first or neuron)(), nn.Linear(N_HIDDEN, N_OUT), neuron()
    )


def snntorch() -> Iterator[Backward]:
    """Its reset is detached where it comes a step late, and passes a gradient where it does not."""
    import snntorch as snn

    for reset in ("subtract", "zero"):
        for late in (True, False):
            make = _two(
                lambda reset=reset, late=late: snn.Leaky(
                    beta=0.8, reset_mechanism=reset, reset_delay=late, init_hidden=True
                )
            )
            yield Backward(
                f"Leaky, {reset}, {'late' if late else 'at once'}", make, "arctangent", late
            )
    yield Backward(
        "Synaptic",
        _two(lambda: snn.Synaptic(alpha=0.7, beta=0.8, init_hidden=True)),
        "arctangent",
        True,
    )
    leaky, recurrent = (
        lambda: snn.Leaky(beta=0.8, init_hidden=True),
        lambda: snn.RLeaky(beta=0.8, linear_features=N_HIDDEN, init_hidden=True),
    )
    yield Backward("RLeaky", _two(leaky, recurrent), "arctangent", True)
    fast = snn.surrogate.fast_sigmoid(slope=25)
    yield Backward(
        "Leaky, fast_sigmoid",
        _two(lambda: snn.Leaky(beta=0.8, init_hidden=True, spike_grad=fast)),
        "superspike",
        True,
        {"slope": 25.0},
    )


def spikingjelly() -> Iterator[Backward]:
    """Its reset passes a gradient unless detach_reset says otherwise."""
    from spikingjelly.activation_based import neuron

    for v_reset in (0.0, None):
        for detach in (False, True):
            for mode in ("s", "m"):
                make = _two(
                    lambda v_reset=v_reset, detach=detach, mode=mode: neuron.LIFNode(
                        tau=2.0, v_reset=v_reset, detach_reset=detach, step_mode=mode
                    )
                )
                title = (
                    f"LIFNode, {'soft' if v_reset is None else 'hard'} reset, "
                    f"detach_reset={detach}, step_mode={mode}"
                )
                yield Backward(title, make, "sigmoid", detach, strength=6.0)
    yield Backward("IFNode", _two(neuron.IFNode), "sigmoid", False)
    yield Backward(
        "ParametricLIFNode", _two(neuron.ParametricLIFNode), "sigmoid", False, strength=6.0
    )
    yield Backward("QIFNode", _two(neuron.QIFNode), "sigmoid", False, strength=6.0)


def norse() -> Iterator[Backward]:
    """Recurrent layers detach the reset, the others do not; SuperSpike of alpha 100."""
    import norse.torch as nt

    def chain(*parts: nn.Module) -> nn.Module:
        return nt.SequentialState(*parts)

    for title, neuron, strength in (
        ("LIFCell", nt.LIFCell, 30.0),
        ("LIF", nt.LIF, 30.0),
        ("LIFBoxCell", nt.LIFBoxCell, 30.0),
        ("IAFCell", nt.IAFCell, 4.0),
    ):
        yield Backward(
            title, _two(neuron, chain=chain), "superspike", False, {"slope": 100.0}, strength
        )
        yield Backward(
            f"{title}, SuperSpike of slope 1",
            _two(neuron, chain=chain),
            "superspike",
            False,
            {"slope": 1.0},
            strength,
        )
    for title, recurrent in (
        ("LIFRecurrentCell", nt.LIFRecurrentCell),
        ("LSNNRecurrentCell", nt.LSNNRecurrentCell),
    ):

        def make(recurrent: Any = recurrent) -> nn.Module:
            return chain(
                recurrent(N_INPUTS, N_HIDDEN, autapses=True),
                nn.Linear(N_HIDDEN, N_OUT),
                nt.LIFCell(),
            )

        yield Backward(
            f"{title}, SuperSpike of slope 1",
            make,
            "superspike",
            [True, False],
            {"slope": 1.0},
            30.0,
            (N_INPUTS,),
        )


def sinabs() -> Iterator[Backward]:
    """Its resets pass a gradient."""
    import sinabs.activation as sa
    import sinabs.layers as sl

    def lif(kind: Any = sl.LIF, **more: Any) -> nn.Module:
        return kind(
            tau_mem=5.0,
            norm_input=False,
            spike_fn=sa.SingleSpike,
            surrogate_grad_fn=sa.SingleExponential(),
            **more,
        )

    yield Backward("LIF, SingleSpike", _two(lif), "exponential", False, {"width": 0.5})
    one = sa.SingleExponential()
    yield Backward(
        "IAF, SingleSpike",
        _two(lambda: sl.IAF(spike_fn=sa.SingleSpike, surrogate_grad_fn=one)),
        "exponential",
        False,
        {"width": 0.5},
    )
    yield Backward(
        "LIFRecurrent, SingleSpike",
        _two(lif, lambda: lif(sl.LIFRecurrent, rec_connect=nn.Linear(N_HIDDEN, N_HIDDEN))),
        "exponential",
        False,
        {"width": 0.5},
    )


def inside(name: str) -> None:
    """Check one framework's modules and print a row of JSON each."""
    warnings.simplefilter("ignore")
    for case in getattr(importlib.import_module("probes.gradients"), name)():
        found: dict[str, int] = {}
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            module = case.make()
            with torch.no_grad():
                for key, weight in module.named_parameters():
                    weight.mul_(case.strength if "weight" in key and weight.dim() == 2 else 1.0)
            report = refsim.check_gradient(
                module,
                spike_rate,
                surrogate=case.surrogate,
                detach_reset=case.detach_reset,
                dt="1 ms",
                input_shape=case.input_shape,
                seed=seed,
                **case.parameters,
            )
            failed = [
                verdict.claim.measure for verdict in report.verdicts if verdict.status == "fail"
            ]
            word = " and ".join(failed) if failed else report.status
            found[word] = found.get(word, 0) + 1
        parameters = "".join(f" {key} {value:g}" for key, value in case.parameters.items())
        reset = "detached" if case.detach_reset else "kept"
        declared = f"{case.surrogate}{parameters}, reset {reset}"
        print(
            json.dumps(
                {
                    "framework": f"{name} {version(name)}",
                    "layer": case.title,
                    "declared": declared,
                    "found": found,
                }
            ),
            flush=True,
        )


def main() -> int:
    """Run the frameworks that are here, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all unless named"
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside(options.names[0])
        return 0
    print("| framework | layer | declared | of five modules |\n|---|---|---|---|")
    other = False
    for name in options.names or NAMES:
        python = peers.python_of(name)
        if python is None:
            print(f"| {name} | | | no environment; python -m benchmarks.peers {name} makes it |")
            continue
        words = [str(python), "-m", "probes.gradients", name, "--inside"]
        done = subprocess.run(
            words,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        for line in filter(lambda line: line.startswith("{"), done.stdout.splitlines()):
            row = json.loads(line)
            said = ", ".join(
                f"{count} {word if word in ('pass', 'inconclusive') else f'fail {word}'}"
                for word, count in row["found"].items()
            )
            print(
                f"| {row['framework']} | {row['layer']} | {row['declared']} | {said} |", flush=True
            )
            other = other or set(row["found"]) != {"pass"}
        if done.returncode:
            print(
                f"| {name} | | | ended with "
                f"{(done.stderr.strip() or 'no message').splitlines()[-1]} |"
            )
            other = True
    return int(other)


if __name__ == "__main__":
    sys.exit(main())
