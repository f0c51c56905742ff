"""The bound on rounding held against runs in 50 digits, card by card: it must hold, and it must say something.

``python tests/bound_study.py [CARD ...] [--inputs 100] [--steps 2000] [--data FILE]`` adds a row a card and dtype to a
file, and leaves out the rows that are there; docs/rounding.md is written from it.
"""

import argparse
import dataclasses
import functools
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from digits import DIGITS, digits, many_digits

import refsim
from refsim import Discrete, Drive, Torch
from refsim.checks.card_runs import scale_of
from refsim.engines.discrete import LayerState, parts_by_input, signed_sums
from refsim.model import load_all
from refsim.questions.neuron import alone
from refsim.rounding.thresholds import BoundedLayer, BoundedSum, Rounding, known

DATA = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "rounding.json"
DTYPES = ("float32", "float64")


@dataclass
class Row:
    """What was found of a card in a dtype.

    Attributes
    ----------
    decisions : int
        Whose bound is known, of which all was checked.
    unknown : int
        Decisions for which nothing is proven.
    error, bound : float
        The largest error of a membrane, and the largest bound that is known.
    violations : int
        How often an error was beyond its bound.
    """

    card: str
    dtype: str
    dt: str
    inputs: int
    steps: int
    decisions: int = 0
    unknown: int = 0
    error: float = 0.0
    bound: float = 0.0
    violations: int = 0
    spikes: int = 0
    seconds: float = 0.0

    @property
    def ratio(self) -> float:
        """By how much the bound exceeds what was seen."""
        return self.bound / self.error if self.error else (0.0 if self.bound == 0 else np.inf)


def cards() -> list[str]:
    """Return the names of all cards of the shelf."""
    return [model.name for model in (*load_all(), *load_all("frameworks"))]


_loaded = functools.cache(refsim.load)  # the rheobase of a model is found once


def study(card: str, dtype: str, n_inputs: int, n_steps: int, dt: str = "1 ms", seed: int = 0) -> Row:
    """Hold a run of one neuron a sample against 50 digits that follow the run's own spikes.

    Each sample has a constant input of its own, between 0 and twice the rheobase.
    """
    began, row = time.process_time(), Row(card, dtype, dt, n_inputs, n_steps)
    model = _loaded(card)
    network, rng = alone(model, dt), np.random.default_rng(seed)
    level = scale_of(model) * rng.uniform(0, 2, (n_inputs, 1, 1))
    drive = Drive.current(np.repeat(level, n_steps, axis=1), dt, seed=seed)
    run = (Discrete() if dtype == "float64" else Torch(dtype=dtype)).run(
        network, drive, ("before_reset", *(["payload"] if model.discrete.payload else []))
    )
    row.spikes = int(run.spikes[0].dense().sum())
    with many_digits(), np.errstate(all="ignore"):
        for seen, exact, reached in _steps(run, Rounding.of(("float64", dtype))):
            _weigh(row, seen, exact, reached)
    row.seconds = round(time.process_time() - began, 1)
    return row


def _steps(run: Any, rounding: Rounding) -> Any:
    """Yield what the threshold saw in each step: as it ran, in 50 digits, and with its bound."""
    network, drive, layer = run.network, run.drive, run.network.layers[0]
    fired, seen = run.spikes[0].dense(), run.traces[0]["before_reset"].astype(float)
    carried = run.traces[0]["payload"].astype(float) if "payload" in run.traces[0] else None
    draw = drive.draws(0, 1)
    exact = LayerState.start(layer, network.dt, drive.n_samples, lambda k, name: digits(draw(k, name)))
    exact.state = {name: digits(value) for name, value in exact.state.items()}
    exact.constants = {name: digits(value) for name, value in exact.constants.items()}
    for convolution in exact.kernels.values():
        convolution.values = list(digits(convolution.values))
    bounded = BoundedLayer(layer, network.dt, rounding, drive.n_samples, draw)
    # The input is constant, and so are its sums.
    frame = next(iter(drive.frames()))
    sums = {name: digits(value) for name, value in signed_sums(layer, frame).items()}
    parts = parts_by_input(layer)
    weighted = {name: BoundedSum(part, rounding)(frame) for name, part in parts.items()}
    for step in range(drive.n_steps):
        sent = follow = None
        if carried is not None:
            given = carried[:, step]
            sent = lambda _computed, given=given: digits(given)  # noqa: E731
            follow = lambda _c, given=given: refsim.rounding.constant(given, rounding.unit)  # noqa: E731
        _, tested = exact.step(sums, DIGITS, fired=fired[:, step], truth=digits, sent=sent)
        reached = bounded.step(weighted, fired[:, step], follow=follow)
        yield seen[:, step], tested[0][0], reached[0][0]


def _weigh(row: Row, seen: Any, exact: Any, reached: Any) -> None:
    """Count a step: neither the run nor the replay, nor both together, may lie beyond the bound."""
    error = np.abs((seen - exact).astype(float))
    replayed = np.abs((np.broadcast_to(reached.value, seen.shape) - exact).astype(float))
    apart = np.abs(seen - reached.value)
    bound = np.broadcast_to(known(reached.error), error.shape)
    judged = np.isfinite(bound)
    beyond = ~((error <= bound) & (replayed <= bound) & (apart <= bound))
    row.decisions += int(judged.sum())
    row.unknown += int((~judged).sum())
    row.violations += int(beyond[judged].sum())
    row.error = max(row.error, float(error[judged].max(initial=0.0)))
    row.bound = max(row.bound, float(bound[judged].max(initial=0.0)))


def main() -> None:
    """Add the rows that are not there yet to a file, a line a card and dtype."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cards", nargs="*")
    parser.add_argument("--inputs", type=int, default=100)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--dt", default="1 ms")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    rows = json.loads(options.data.read_text("utf-8")) if options.data.exists() else []
    setting = (options.dt, options.inputs, options.steps)
    there = {(row["card"], row["dtype"]) for row in rows if (row["dt"], row["inputs"], row["steps"]) == setting}
    for card in options.cards or cards():
        for dtype in DTYPES:
            if (card, dtype) in there:
                continue
            try:
                row = study(card, dtype, options.inputs, options.steps, options.dt)
            except refsim.RefsimError as error:
                print(f"{card:<30} {dtype}  not run: {error}", flush=True)
                continue
            print(told(row), flush=True)
            rows.append(dataclasses.asdict(row))
            options.data.write_text("[\n" + ",\n".join(json.dumps(each) for each in rows) + "\n]\n", "utf-8")


def told(row: Row) -> str:
    """Return a line for people."""
    return (
        f"{row.card:<30} {row.dtype}  {row.decisions:>8} decisions, {row.unknown:>6} unknown  error {row.error:.2e}  "
        f"bound {row.bound:.2e}  ratio {row.ratio:8.1f}  {row.violations} violations  {row.spikes} spikes  {row.seconds} s"
    )


if __name__ == "__main__":
    main()
