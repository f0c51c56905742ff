"""Samples per CPU second of refsim's Brian2 and of its peers, on one core.

    python -m benchmarks.throughput [--samples 1000] [--rounds 5] [--only NAME...] [--json FILE]
    [--plot FILE]

Among the peers are a plain loop and a hand-written kernel. There is one network (see case.py), and
one input. Each engine is timed from the same dense array in memory to the spikes of all layers in
memory. Imports and one-time builds are apart; conversion of the input, files and starts of
processes count. CPU seconds are those of the process and its children. The engines take turns,
several rounds, and the best of each counts. The spikes of every engine are compared with refsim's;
the exit code is 1 where one differs that must not.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from . import case, machine, plots
from .contest import play
from .roster import ENTRIES, REFERENCE


def main(words: list[str] | None = None) -> int:
    """Measure, print a table, write JSON and a plot; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        help="engines to hold against refsim, as the table names them",
    )
    parser.add_argument("--dtype", choices=("float32", "float64"), help="one dtype alone")
    parser.add_argument("--json", type=Path, help="write the rows to a file")
    parser.add_argument("--plot", type=Path, help="draw them, as PNG")
    options = parser.parse_args(words)
    entries = tuple(
        entry
        for entry in ENTRIES
        if not options.only or entry == REFERENCE or entry.name in options.only
    )
    if options.only and (unknown := set(options.only) - {entry.name for entry in ENTRIES}):
        parser.error(
            f"--only: {', '.join(sorted(unknown))} is no engine; known are "
            f"{', '.join(entry.name for entry in ENTRIES)}."
        )
    drawn = case.make(options.samples)
    result: dict[str, Any] = {
        "benchmark": "throughput",
        "machine": machine.facts("brian2", "torch", "numpy"),
        "samples": options.samples,
        "rounds": options.rounds,
        "absent": [],
        "rows": [],
    }
    for dtype in (options.dtype,) if options.dtype else ("float32", "float64"):
        rows, absent = play(entries, drawn, dtype, options.rounds, machine.core())
        result["rows"] += rows
        result["absent"] += [sentence for sentence in absent if sentence not in result["absent"]]
        if options.json:  # after each dtype: a run cut short leaves what it has
            options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    show(result)
    if options.plot:
        plots.throughput(result, options.plot)
    return int(any(row["verified"] is False for row in result["rows"]))


def show(result: dict[str, Any]) -> None:
    """Print the rows."""
    ours = {
        row["dtype"]: row["samples_per_cpu_s"]
        for row in result["rows"]
        if row["engine"] == REFERENCE.name
    }
    print(
        f"{'engine':<24} {'dtype':<8} {'samples/CPU s':>13} {'samples/s':>10} {'spread':>7} "
        f"{'peak MB':>8} {'refsim is':>10}  spikes"
    )
    for row in result["rows"]:
        told = {True: "equal", False: "WRONG", None: "not held"}[row["verified"]]
        print(
            f"{row['engine']:<24} {row['dtype']:<8} {row['samples_per_cpu_s']:>13,} "
            f"{row['samples_per_s']:>10,} {row['spread']:>7.0%} "
            f"{row['peak_mb']:>8,.0f} {ours[row['dtype']] / row['samples_per_cpu_s']:>9.2f}x  "
            f"{told}: {row['note']}"
        )
    for sentence in result["absent"]:
        print(sentence)
    print(f"One core of {result['machine']['cpu']}, best of {result['rounds']} rounds.")


if __name__ == "__main__":
    sys.exit(main())
