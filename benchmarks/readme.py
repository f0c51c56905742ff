"""Write benchmarks/README.md from the results.

The text is readme.txt, the tables are made of results/*.json.

python -m benchmarks.readme [--check]
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMES = ("throughput", "scaling", "coldstart", "judging")
FASTEST = "fastest of snnTorch, SpikingJelly, Norse"
# What refsim's samples per CPU second over another's must reach.
TARGETS = {
    FASTEST: {"float32": 3.0, "float64": 2.5},
    "plain PyTorch loop": {"float32": 2.5, "float64": 2.0},
    "Brian2, the usual way": {"float32": 20.0, "float64": 20.0},
    "hand-written kernel": {"float32": 0.8, "float64": 0.9},
}


def ratio(rows: list[dict[str, Any]], name: str, dtype: str) -> float | None:
    """Return refsim's samples per CPU second over those of another.

    None where that one did not run.
    """
    speed = {row["engine"]: row["samples_per_cpu_s"] for row in rows if row["dtype"] == dtype}
    others = ("snnTorch", "SpikingJelly", "Norse") if name == FASTEST else (name,)
    found = [speed[other] for other in others if other in speed]
    return speed["refsim"] / max(found) if found else None


def ratios(result: dict[str, Any]) -> str:
    """Return the table of ratios and targets."""
    lines = [
        "| refsim over | float32 | asked | | float64 | asked | |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, wanted in TARGETS.items():
        cells = []
        for dtype in ("float32", "float64"):
            got = ratio(result["rows"], name, dtype)
            told = "not run" if got is None else ("met" if got >= wanted[dtype] else "missed")
            cells += ["-" if got is None else f"**{got:.2f}**", f"{wanted[dtype]:g}", told]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def engines(result: dict[str, Any]) -> str:
    """Return the table of all engines."""
    lines = [
        (
            "| engine | dtype | samples per CPU s | samples per s | spread of rounds | peak MB | "
            "samples | spikes |"
        ),
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        told = {True: "equal", False: "WRONG", None: "not held"}[row["verified"]]
        lines.append(
            f"| {row['engine']} | {row['dtype']} | {row['samples_per_cpu_s']:,.0f} | "
            f"{row['samples_per_s']:,.0f} | {row['spread']:.0%} | "
            f"{row['peak_mb']:,.0f} | {row['samples']:,} | {told}: {row['note']} |"
        )
    chosen = [
        f"- {row['engine']}, {row['dtype']}: {row['about']}."
        for row in result["rows"]
        if row["about"]
    ]
    absent = [f"- {sentence}" for sentence in result["absent"]]
    return "\n".join(
        [
            *lines,
            "",
            "Where an engine has several ways to run, the fastest counts:",
            "",
            *chosen,
            *absent,
        ]
    )


def scaling(result: dict[str, Any]) -> str:
    """Return the table of costs."""
    lines = [
        "| against | sizes | cost, s | ns a synaptic event | exponent | deviation from a line |",
        "|---|---|---|---|---|---|",
    ]
    for name, fit in result["fits"].items():
        rows = [row for row in result["rows"] if row["against"] == name]
        columns = [
            ", ".join(f"{row[key]:g}" for row in rows)
            for key in ("size", "cpu_s", "ns_a_synaptic_event")
        ]
        lines.append(
            f"| {name} | {' | '.join(columns)} | {fit['exponent'] if fit else '-'} | "
            f"{format(fit['deviation_from_line'], '.0%') if fit else '-'} |"
        )
    return "\n".join(lines)


def coldstart(result: dict[str, Any]) -> str:
    """Return the table of first and second verdicts."""
    lines = ["| verdict | wall s | of which |", "|---|---|---|"]
    for row in result["rows"]:
        parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in row["parts"].items())
        lines.append(f"| {row['verdict']} | {row['wall_s']:.2f} | {parts} |")
    return "\n".join(lines)


def judging(result: dict[str, Any]) -> str:
    """Return the table of comparisons, beside those of the earlier refsim."""
    lines = [
        (
            "| network | passing, s | earlier | ratio | failing, s | earlier | more than "
            "earlier, in "
            "runs | more than passing, in runs | replay, s | run on trial, s |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    asked = result["asked"]
    for row in result["rows"]:
        now, earlier = row["seconds"]["now"], row["seconds"]["earlier"]
        ratio, runs = row["passing_ratio"], row["failing_runs"]
        told = [
            "met" if met else "missed"
            for met in (ratio <= asked["passing_ratio"], runs <= asked["failing_runs"])
        ]
        what = (
            f"{row['case']}: {row['card']}, {'-'.join(map(str, row['sizes']))}, "
            f"{row['samples']} samples, {row['steps']:,} steps"
        )
        cells = [
            what,
            f"{now['passing']:.2f}",
            f"{earlier['passing']:.2f}",
            f"**{ratio:.2f}** {told[0]}",
            f"{now['failing']:.2f}",
            f"{earlier['failing']:.2f}",
            f"**{runs:+.1f}** {told[1]}",
            f"{row['failing_over_passing_runs']:+.1f}",
            f"{now['replay']:.2f}",
            f"{now['run on trial']:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def machine(result: dict[str, Any]) -> str:
    """Return one sentence on where figures come from."""
    facts = result["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    load = (
        f" Load before the run: {facts['load']}."
        if "load" in facts
        else " The load before the run was not noted."
    )
    return (
        f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB, "
        f"{facts['system']}; Python {facts['python']}, {packages}.{load}"
    )


def write() -> str:
    """Return the whole page."""
    results = {
        name: json.loads((HERE / "results" / f"{name}.json").read_text("utf-8"))
        for name in NAMES
        if (HERE / "results" / f"{name}.json").exists()
    }
    text = (HERE / "readme.txt").read_text("utf-8")
    parts = {
        "ratios": ("throughput", ratios),
        "engines": ("throughput", engines),
        "scaling": ("scaling", scaling),
        "coldstart": ("coldstart", coldstart),
        "judging": ("judging", judging),
    }
    for mark, (name, make) in parts.items():
        text = text.replace(
            f"@{mark}@",
            make(results[name])
            if name in results
            else f"Not measured yet: `python -m benchmarks.{name} --json FILE`.",
        )
    for name in NAMES:
        text = text.replace(f"@{name} machine@", machine(results[name]) if name in results else "")
    return text


def main() -> int:
    """Write the page, or say whether it is current."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit with 1 where the page is not current",
    )
    page = HERE / "README.md"
    if parser.parse_args().check:
        current = page.exists() and page.read_text("utf-8") == write()
        print(
            "current"
            if current
            else (
                "benchmarks/README.md is not what the results say; `python -m "
                "benchmarks.readme` writes it."
            )
        )
        return int(not current)
    page.write_text(write(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
