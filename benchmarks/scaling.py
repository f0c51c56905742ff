"""What a run costs, against the number of samples, steps, neurons, layers, input spikes and cores.

    python -m benchmarks.scaling [--rounds 3] [--dtype float32] [--against SIZE...] [--json FILE]
    [--plot FILE]

One size is changed at a time around 784-256-10, 100 steps, 1,000 samples, 5 % input. CPU seconds
are those of the process and its children on one core, from a packed raster in memory to the spikes
of all layers in memory; against cores it is wall seconds. Two numbers are fitted: the exponent of
cost ~ size^exponent over the upper half of the sizes, and the largest deviation from a straight
line with a fixed start. Cost a synaptic event tells whether cost follows the spikes: a product of
all neurons with all weights would make it fall in proportion as the input grows denser.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import numpy as np

import refsim

from . import case, machine, plots
from .engines.refsim_grid import network
from .measuring import timed

SAMPLES = 1000
SWEEPS = {
    "samples": (500, 1000, 2000, 4000),
    "steps": (50, 100, 200, 400),
    "width": (128, 256, 512, 1024),
    "depth": (1, 2, 3, 4),
    "density": (0.0125, 0.025, 0.05, 0.1, 0.2),
    "cores": (1, 2),
}
UNITS = {
    "width": "hidden neurons",
    "depth": "hidden layers",
    "density": "share of inputs that spike in a step",
}


def drawn(against: str, size: float, samples: int) -> case.Case:
    """Draw a case in which one size differs from the usual."""
    sizes = case.SIZES
    if against == "width":
        sizes = (784, int(size), 10)
    if against == "depth":
        sizes = (784, *[256] * int(size), 10)
    steps = int(size) if against == "steps" else case.STEPS
    # On all cores a start of milliseconds would be seen.
    count = {"samples": int(size), "cores": 8 * samples}.get(against, samples)
    return case.make(
        count, sizes=sizes, steps=steps, rate=size if against == "density" else case.RATE
    )


def point(against: str, size: float, dtype: str, rounds: int, samples: int) -> dict[str, Any]:
    """Measure one size: the best of several rounds."""
    chosen = drawn(against, size, samples)
    net, given = network(chosen, dtype), refsim.Drive.raster(chosen.dense, "1 ms")
    engine = refsim.Brian2(
        dtype=dtype, target="cpp", margin=False, workers=int(size) if against == "cores" else 1
    )
    recording = refsim.run(net, given, engine)  # builds, warms up
    spent = [timed(lambda: refsim.run(net, given, engine)) for _ in range(rounds)]
    events = given.spikes
    assert events is not None
    sent = [len(events), *(len(train) for train in recording.spikes[:-1])]
    events = sum(count * len(weight) for count, weight in zip(sent, chosen.weights, strict=True))
    cost = min(each["wall_s" if against == "cores" else "cpu_s"] for each in spent)
    return {
        "against": against,
        "size": size,
        "dtype": dtype,
        "cpu_s": round(cost, 4),
        "synaptic_events": events,
        "ns_a_synaptic_event": round(cost / events * 1e9, 3),
    }


def fit(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the exponent over the upper half of the sizes, and the largest deviation from it.

    The deviation is from the best straight line.
    """
    x, y = (np.array([row[key] for row in rows], float) for key in ("size", "cpu_s"))
    half = len(x) // 2 - (len(x) == 2)
    exponent = np.polyfit(np.log(x[half:]), np.log(y[half:]), 1)[0]
    slope, start = np.polyfit(x, y, 1)
    return {
        "exponent": round(float(exponent), 3),
        "deviation_from_line": round(float(np.abs(y / (start + slope * x) - 1).max()), 3),
    }


def main(words: list[str] | None = None) -> int:
    """Measure, print, write JSON and a plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--against", nargs="+", choices=tuple(SWEEPS), default=list(SWEEPS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args(words)
    everywhere = os.sched_getaffinity(0)
    result: dict[str, Any] = {
        "benchmark": "scaling",
        "machine": machine.facts("brian2", "numpy"),
        "samples": options.samples,
        "rounds": options.rounds,
        "units": UNITS,
        "fits": {},
        "rows": [],
    }
    for against in options.against:
        os.sched_setaffinity(0, everywhere if against == "cores" else {machine.core()})
        sizes = [size for size in SWEEPS[against] if against != "cores" or size <= len(everywhere)]
        found = [
            point(against, size, options.dtype, options.rounds, options.samples) for size in sizes
        ]
        result["rows"] += found
        result["fits"][against] = fit(found) if len(found) > 1 else {}
        for row in found:
            print(
                f"{against:<8} {row['size']:>8} {row['cpu_s']:>8.3f} s "
                f"{row['ns_a_synaptic_event']:>8.3f} ns a synaptic event",
                flush=True,
            )
        print(f"{against:<8} {result['fits'][against]}", flush=True)
        if options.json:  # after each sweep: a run cut short leaves what it has
            options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    os.sched_setaffinity(0, everywhere)
    if options.plot:
        plots.scaling(result, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
