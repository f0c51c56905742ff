"""A contest: every engine is a process that waits for its turn.

Rounds are interleaved, so that a disturbance hits all alike.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .case import Case
from .measuring import ONE_CORE
from .roster import REFERENCE, Entry

ROOT = Path(__file__).parents[1]


class Player:
    """One engine at work."""

    def __init__(self, entry: Entry, case: Path, dtype: str, core: int) -> None:
        self.entry, self.dtype, self.rounds = entry, dtype, []
        words = [str(entry.python), "-m", entry.module, str(case), dtype, *entry.options]
        reading, writing = os.pipe()
        environment = (
            os.environ
            | ONE_CORE
            | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "REFSIM_ANSWERS": str(writing)}
        )
        self.noise = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self.process = subprocess.Popen(
            words,
            cwd=ROOT,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=self.noise,
            stderr=self.noise,
            pass_fds=[writing],
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        os.close(writing)
        self.answers = os.fdopen(reading)
        self.hello = self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self.answers.readline()
        if line:
            return dict(json.loads(line))
        self.noise.seek(0)
        return {
            "cannot": (
                f"it ended with code {self.process.wait()}: "
                f"{(self.noise.read().strip() or 'no message').splitlines()[-1][:300]}"
            )
        }

    def ask(self, *words: str) -> dict[str, Any]:
        """Tell the engine what to do, and wait until it is done."""
        assert self.process.stdin
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def spikes(self) -> list[Any]:
        """Return the engine's spikes, a bool array a layer."""
        with tempfile.TemporaryDirectory(prefix="refsim-spikes-") as folder:
            path = Path(folder) / "spikes.npz"
            shapes = self.ask("spikes", str(path))["shapes"]
            with np.load(path) as file:
                layers = [file[name] for name in file.files]
        return [
            np.unpackbits(bits, count=int(np.prod(shape))).astype(bool).reshape(shape)
            for bits, shape in zip(layers, shapes, strict=True)
        ]

    def end(self) -> None:
        """Let the process go."""
        self.process.kill()
        self.process.communicate()
        self.answers.close()
        self.noise.close()


def verdict(entry: Entry, spikes: list[Any], reference: list[Any]) -> tuple[bool | None, str]:
    """Say whether an engine's spikes are the reference's.

    True, False, or None with the reason where they need not be.
    """
    if entry.spikes == "other":
        return (
            None if all(layer.any() for layer in spikes) else False
        ), f"other dynamics, timing only: {entry.because}"
    if any(
        ours.shape[1:] != theirs.shape[1:] for ours, theirs in zip(spikes, reference, strict=True)
    ):
        return False, "its spikes have another shape"
    cut = [theirs[: len(ours)] for ours, theirs in zip(spikes, reference, strict=True)]
    wrong = sum(int((ours != theirs).sum()) for ours, theirs in zip(spikes, cut, strict=True))
    all_spikes = sum(int(layer.sum()) for layer in cut)
    if not wrong and all_spikes:
        return True, f"all {all_spikes:,} spikes are equal"
    if entry.spikes == "rounding" and all_spikes:
        return None, f"{wrong:,} of {all_spikes:,} spikes differ: {entry.because}"
    return False, f"{wrong:,} of {all_spikes:,} spikes differ"


def play(
    entries: tuple[Entry, ...], case: Case, dtype: str, rounds: int, core: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """Hold one contest.

    Parameters
    ----------
    entries : tuple of Entry
        The first named `REFERENCE` is what the others' spikes are compared with.
    rounds : int
        Turns of each engine, of two timed runs, after one that warms it up.
    core : int
        The core that all run on.

    Returns
    -------
    rows : list of dict
    absent : list of str
        A sentence for each engine that could not take part.
    """
    players, rows, absent = [], [], []
    with tempfile.TemporaryDirectory(prefix="refsim-contest-") as folder:
        try:
            for entry in (entry for entry in entries if dtype in entry.dtypes):
                if entry.python is None:
                    absent.append(
                        f"{entry.name} is not installed; `python -m benchmarks.peers "
                        f"{entry.peer}` does it."
                    )
                    continue
                samples = min(entry.samples, len(case.dense))
                path = Path(folder) / f"{samples}.npz"
                if not path.exists():
                    Case(case.dense[:samples], case.weights).save(path)
                players.append(Player(entry, path, dtype, core))
                if "cannot" in players[-1].hello:
                    absent.append(
                        f"{entry.name} cannot run in {dtype}: {players[-1].hello['cannot']}"
                    )
                    players.pop().end()
            for _ in range(rounds):
                # Twice: while it waited, the system took pages and caches from it.
                for player in players:
                    player.rounds += [player.ask("time"), player.ask("time")]
            reference = next(player for player in players if player.entry == REFERENCE).spikes()
            rows = [
                row(player, reference, min(player.entry.samples, len(case.dense)))
                for player in players
            ]
            judge_reference(rows)
        finally:
            for player in players:
                player.end()
    return rows, absent


def judge_reference(rows: list[dict[str, Any]]) -> None:
    """Give the reference a verdict too.

    Nothing is verified by being equal to itself, but by an engine that is not refsim.
    """
    others = [row["verified"] for row in rows if not row["engine"].startswith(REFERENCE.name)]
    held = False if False in others else (True if True in others else None)
    for row in rows:
        if row["engine"] == REFERENCE.name:
            row["verified"] = held
            row["note"] = (
                f"{others.count(True)} engines that are not refsim fire the same spikes, "
                f"{others.count(False)} do not and must"
            )


def row(player: Player, reference: list[Any], samples: int) -> dict[str, Any]:
    """Return what is told of one engine.

    Its best round counts, as others disturb a shared machine.
    """
    cpu, wall = ([each[key] for each in player.rounds] for key in ("cpu_s", "wall_s"))
    verified, note = verdict(player.entry, player.spikes(), reference)
    return {
        "engine": player.entry.name,
        "dtype": player.dtype,
        "samples": samples,
        "samples_per_cpu_s": round(samples / min(cpu), 1),
        "samples_per_s": round(samples / min(wall), 1),
        "spread": round(max(cpu) / min(cpu) - 1, 3),
        "peak_mb": round(player.ask("memory")["peak_mb"], 1),
        "verified": verified,
        "note": note,
        "ready_s": round(player.hello["ready_s"], 1),
        "about": player.hello["about"],
        "versions": player.hello["versions"],
    }
