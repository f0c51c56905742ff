"""Samples per CPU second: Brian2 in grid mode against a plain batched PyTorch loop and, where installed, snnTorch.

    python -m benchmarks.throughput [--samples 1000] [--rounds 3] [--json FILE]

One network (784-256-10, soft-reset LIF), one input (T = 100, 5 % Bernoulli), one core, one process after the other in the
same run. Each engine starts from the same drive in memory and ends with the spikes of all layers as arrays in memory;
for refsim that counts the files, the start of the compiled program and the reading of its results, and leaves out the
one-time build. CPU seconds are those of the process and its children. Each engine's spikes are compared with the first.
"""

import argparse
import json
import os
import platform
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core for all, before NumPy and PyTorch start their threads

import numpy as np
import torch

import refsim

DECAY, STEPS, RATE, SIZES = 0.9, 100, 0.05, (784, 256, 10)
CARD = Path(__file__).parents[1] / "examples" / "lif_soft.toml"
Outcome = list[Any]  # spikes of each layer, bool (n_samples, n_steps, n_neurons)


def cpu_seconds() -> float:
    """Return CPU seconds of this process and its finished children."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(row.ru_utime + row.ru_stime for row in usage)


def network(dtype: str) -> refsim.Network:
    """Return the network with random weights that fit the dtype."""
    rng = np.random.default_rng(0)
    lif = refsim.load(CARD, decay=DECAY, v_th=1.0, amount=1.0)
    weights = [rng.normal(0, scale, (post, pre)).astype(dtype) for pre, post, scale in ((784, 256, 0.05), (256, 10, 0.12))]
    return refsim.Network.dense([(weight, None, lif) for weight in weights], "1 ms")


def plain_loop(net: refsim.Network, frames: torch.Tensor) -> Outcome:
    """Run the network as one writes it by hand: all samples at once, the first product taken out of the time loop."""
    weights = [torch.as_tensor(layer.weight).to(frames.dtype) for layer in net.layers]
    current = torch.nn.functional.linear(frames, weights[0])
    v = [torch.zeros(len(frames), layer.n_post, dtype=frames.dtype) for layer in net.layers]
    spikes: list[list[torch.Tensor]] = [[], []]
    for step in range(STEPS):
        x = current[:, step]
        for index in range(2):
            x = x if index == 0 else torch.nn.functional.linear(x, weights[1])
            v[index] = DECAY * v[index] + x
            x = (v[index] >= 1).to(frames.dtype)
            v[index] = v[index] - x
            spikes[index].append(x)
    return [torch.stack(rows, dim=1).bool().numpy() for rows in spikes]


def snntorch_loop(net: refsim.Network, frames: torch.Tensor) -> Outcome:
    """Run two snn.Leaky layers. Their reset acts a step later: other dynamics, so this is timing only."""
    import snntorch

    weights = [torch.as_tensor(layer.weight).to(frames.dtype) for layer in net.layers]
    layers = [snntorch.Leaky(beta=DECAY, threshold=1.0) for _ in range(2)]
    membranes = [layer.init_leaky() for layer in layers]
    spikes: list[list[torch.Tensor]] = [[], []]
    for step in range(STEPS):
        x = frames[:, step]
        for index, layer in enumerate(layers):
            x, membranes[index] = layer(torch.nn.functional.linear(x, weights[index]), membranes[index])
            spikes[index].append(x)
    return [torch.stack(rows, dim=1).bool().numpy() for rows in spikes]


def engines(dtype: str, drive: refsim.Drive) -> dict[str, tuple[Callable[[], Outcome], bool]]:
    """Return, by name, what runs an engine and whether its spikes must equal Brian2's."""
    net, torch_dtype = network(dtype), getattr(torch, dtype)
    frames = torch.as_tensor(drive.spikes.dense()).to(torch_dtype)  # type: ignore[union-attr]

    def brian(margin: bool) -> Outcome:
        recording = refsim.run(net, drive, refsim.Brian2(dtype=dtype, target="cpp", margin=margin))
        return [train.dense() for train in recording.spikes]

    rows: dict[str, tuple[Callable[[], Outcome], bool]] = {
        "refsim Brian2 grid": (lambda: brian(False), True),
        "refsim Brian2 grid, with margin": (lambda: brian(True), True),
        "plain PyTorch loop": (lambda: plain_loop(net, frames), True),
    }
    try:
        import snntorch  # noqa: F401

        if dtype == "float32":  # snnTorch's spikes are float32 whatever its input
            rows["snnTorch Leaky"] = (lambda: snntorch_loop(net, frames), False)
    except ImportError:
        pass
    return rows


def measure(dtype: str, drive: refsim.Drive, rounds: int) -> list[dict[str, Any]]:
    """Time every engine in turn, several rounds; the best of each counts, as others disturb a shared machine."""
    rows = engines(dtype, drive)
    best = dict.fromkeys(rows, float("inf"))
    spikes: dict[str, Outcome] = {}
    with torch.no_grad():
        for name, (run, _) in rows.items():
            run()  # builds, warms up
            spikes[name] = []
        for _ in range(rounds):
            for name, (run, _) in rows.items():
                start = cpu_seconds()
                spikes[name] = run()
                best[name] = min(best[name], cpu_seconds() - start)
    reference = spikes["refsim Brian2 grid"]
    return [
        {
            "engine": name,
            "dtype": dtype,
            "samples_per_cpu_s": round(drive.n_samples / best[name], 1),
            "against_refsim": round(best[name] / best["refsim Brian2 grid"], 2),
            "wrong_spikes": sum(int((a != b).sum()) for a, b in zip(spikes[name], reference, strict=True)) if same else None,
        }
        for name, (_, same) in rows.items()
    ]


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the rows to a file")
    options = parser.parse_args()
    torch.set_num_threads(1)
    drive = refsim.Drive.bernoulli(np.full((options.samples, SIZES[0]), RATE), STEPS, "1 ms", seed=0)
    rows = [row for dtype in ("float32", "float64") for row in measure(dtype, drive, options.rounds)]
    print(f"{'engine':<34} {'dtype':<8} {'samples/CPU s':>14} {'refsim is':>10}  wrong spikes")
    for row in rows:
        wrong = "other dynamics" if row["wrong_spikes"] is None else row["wrong_spikes"]
        print(f"{row['engine']:<34} {row['dtype']:<8} {row['samples_per_cpu_s']:>14} {row['against_refsim']:>9}x  {wrong}")
    print(f"one core of {platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}")
    if options.json:
        options.json.write_text(json.dumps({"machine": platform.machine(), "samples": options.samples, "rows": rows}, indent=1) + "\n", "utf-8")
    sys.exit(any(row["wrong_spikes"] for row in rows))


if __name__ == "__main__":
    main()
