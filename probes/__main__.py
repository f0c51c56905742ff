"""Run the probes and print a table; exit with 1 where a spike differs beyond rounding."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import refsim
from benchmarks import peers
from refsim.core.spikes import SpikeTrains
from refsim.files.refsim_file import load_network
from refsim.judge.causes import explaining_traits
from refsim.judge.comparison import compare_recordings
from refsim.networks.recording import Approach, Recording, output_trace

NAMES = ("snntorch", "spikingjelly", "norse", "sinabs", "rockpool")
_ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Row:
    """What came of one kind of layer."""

    framework: str
    release: str
    kind: str
    dtype: str = ""
    configs: int = 0
    spikes: int = 0
    values: int = 0  # of readouts, and that spikes carry
    mismatches: int = 0  # beyond rounding
    # Samples that part within rounding, or where nobody knows how far rounding reaches.
    ties: int = 0
    differs: str = ""


def judge(row: Row, folder: Path, target: str = "cpp") -> None:
    """Run what was read in Brian2 and hold the framework's spikes against it."""
    for file in sorted(folder.glob("*.refsim")):
        network = load_network(file)
        drive, trial = _trial(network, file)
        outputs = tuple(sorted({output_trace(layer) for layer in network.layers} - {""}))
        reference = refsim.run(network, drive, engine=refsim.Brian2(target=target), record=outputs)
        row.dtype, row.configs = str(trial.provenance["dtype"]), row.configs + 1
        row.spikes += sum(map(len, trial.spikes))
        if not outputs and all(
            np.array_equal(a.code, b.code)
            for a, b in zip(reference.spikes, trial.spikes, strict=True)
        ):
            # Equal is equal: how far rounding could reach need not be known, and takes most of the
            # time.
            continue
        found = compare_recordings(reference, trial)
        row.values += sum(
            trial.traces[readout.layer][readout.trace].size
            for readout in found.readouts
            if readout.recorded
        )
        row.ties += found.undecided
        if found.status == "fail" or any(not readout.recorded for readout in found.readouts):
            row.mismatches += sum(found.mismatched) or 1
            if not row.differs:
                real, parted = len(found.wrong_samples), found.wrong_samples
                why = [
                    *(each for each in found.readouts if each.differs),
                    *(explaining_traits(trial, parted) if real else ()),
                ]
                row.differs = (
                    f"config {file.stem}, {real} samples: "
                    f"{'; '.join(map(str, why)) or 'no single trait explains it'}"
                )


def _trial(network: Any, file: Path) -> tuple[refsim.Drive, Recording]:
    arrays, facts = (
        np.load(file.with_suffix(".npz")),
        json.loads(file.with_suffix(".json").read_text()),
    )
    drive = refsim.Drive.current(arrays["values"], network.dt)
    trains, traces, approach = [], [], []
    for index, layer in enumerate(network.layers):
        columns = [arrays[f"{index}.{name}"] for name in ("sample", "step", "neuron")]
        trains.append(
            SpikeTrains.from_events(
                *columns, drive.n_samples, drive.n_steps, layer.n_post, network.dt
            )
        )
        traces.append(
            {
                name: arrays[f"{index}.{name}"]
                for name in ("before_reset", "payload")
                if f"{index}.{name}" in arrays
            }
        )
        approach.append(
            Approach(np.full(drive.n_samples, np.inf), np.zeros(drive.n_samples, np.int64))
        )
    return drive, Recording(
        network,
        drive,
        tuple(trains),
        tuple(traces),
        tuple(approach),
        {"dtype": facts["dtype"], "label": "framework"},
    )


def run(name: str, configs: int, steps: int, kinds: list[str], target: str) -> Iterator[Row | str]:
    """Probe one framework; yield its rows, or why it cannot be probed."""
    python = peers.python_of(name)
    if python is None:
        yield f"{name}: no environment; python -m benchmarks.peers {name} makes it"
        return
    with tempfile.TemporaryDirectory(prefix="refsim-probe-") as folder:
        words = [
            str(python),
            "-m",
            "probes.inside",
            name,
            folder,
            "--configs",
            str(configs),
            "--steps",
            str(steps),
            *(["--kinds", *kinds] if kinds else []),
        ]
        done = subprocess.run(
            words,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            yield (
                f"{name}: the probe ended with "
                f"{(done.stderr.strip() or 'no message').splitlines()[-1]}"
            )
            return
        said = json.loads((Path(folder) / "said.json").read_text())
        for number, kind in enumerate(said["kinds"]):
            row = Row(name, said["release"], kind, differs=said["refused"].get(kind, ""))
            judge(row, Path(folder) / str(number), target)
            yield row


def main() -> int:
    """Probe, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all unless named"
    )
    parser.add_argument("--configs", type=int, default=100)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--kinds", nargs="*", default=[])
    parser.add_argument(
        "--target",
        choices=("cpp", "numpy"),
        default="cpp",
        help=(
            "Brian2's; numpy compiles nothing, and is quicker where each config is another network"
        ),
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: list[Row] = []
    failed = False
    for name in options.names or NAMES:
        for row in run(name, options.configs, options.steps, options.kinds, options.target):
            if isinstance(row, str):
                print(row)
                failed = failed or bool(options.names)
                continue
            rows.append(row)
            # Of silence nothing is known.
            bad = row.mismatches or row.configs < options.configs or not row.spikes + row.values
            failed = failed or bool(bad)
            print(
                f"{row.framework} {row.release}  {row.kind:<44} {row.dtype:<8} {row.configs:>4} "
                f"configs {row.spikes:>8} spikes {row.values:>8} values {row.mismatches:>5} "
                f"wrong {row.ties:>3} ties{'  ' + row.differs if row.differs else ''}",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
