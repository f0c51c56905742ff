"""The bound on rounding held against runs in 50 digits, card by card: it must hold, and it must say something.

``python tests/bound_study.py [CARD ...] [--inputs 100] [--steps 2000]`` prints a line a card.
"""

import argparse
import sys
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np

import refsim
from refsim import Discrete, Drive, Torch
from refsim.checks.card_runs import scale_of
from refsim.engines.discrete import LayerState, signed_sums
from refsim.questions.neuron import alone
from refsim.rounding.thresholds import BoundedLayer, BoundedSum, Rounding, known
from refsim.shelf import shelf

mpmath.mp.dps = 50
DT = 1e-3


def in_digits(function: Any) -> Any:
    """Return a function of one number as one of arrays of numbers with 50 digits."""
    return np.frompyfunc(lambda x: function(mpmath.mpf(x)), 1, 1)


def _clip(x: Any, low: Any, high: Any) -> Any:
    return np.minimum(np.maximum(x, low), high)


DIGITS: dict[str, Any] = {
    "exp": in_digits(mpmath.exp),
    "log": in_digits(mpmath.log),
    "sqrt": in_digits(mpmath.sqrt),
    "abs": np.abs,
    "tanh": in_digits(mpmath.tanh),
    "sin": in_digits(mpmath.sin),
    "cos": in_digits(mpmath.cos),
    "floor": in_digits(mpmath.floor),
    "clip": _clip,
    "sign": in_digits(mpmath.sign),
    "trunc": in_digits(lambda x: mpmath.floor(x) if x >= 0 else mpmath.ceil(x)),
    "round": in_digits(lambda x: mpmath.floor(x + mpmath.mpf("0.5"))),
    "shr": lambda x, n: DIGITS["trunc"](x / 2.0 ** np.asarray(n, float)),
    "exprel": in_digits(lambda x: mpmath.expm1(x) / x if x else mpmath.mpf(1)),
}


@dataclass
class Row:
    """What was found of a card: the largest error and bound of a membrane, and how often an error was beyond its bound."""

    card: str
    dtype: str
    decisions: int
    error: float
    bound: float
    violations: int

    @property
    def ratio(self) -> float:
        """By how much the bound exceeds what was seen."""
        return self.bound / self.error if self.error else (0.0 if self.bound == 0 else np.inf)


def cards() -> list[str]:
    """Return the names of all cards of the shelf."""
    return sorted(path.stem for path in shelf("equations").rglob("*.toml") if path.parent.name != "formats" and "[discrete]" in path.read_text())


def study(card: str, dtype: str, n_inputs: int, n_steps: int, seed: int = 0) -> Row:
    """Hold a run of one neuron a sample, each with a constant input of its own, against 50 digits on the run's own spikes."""
    model = refsim.load(card)
    network = alone(model, "1 ms")
    level = scale_of(model) * np.random.default_rng(seed).uniform(0, 2, (n_inputs, 1, 1))
    drive = Drive.current(np.repeat(level, n_steps, axis=1), "1 ms", seed=seed)
    payload = model.discrete.payload
    record = ("before_reset", *(["payload"] if payload else []))
    engine = Discrete() if dtype == "float64" else Torch(dtype=dtype)
    run = engine.run(network, drive, record)
    layer, fired, seen = network.layers[0], run.spikes[0].dense(), run.traces[0]["before_reset"].astype(float)
    carried = run.traces[0]["payload"].astype(float) if payload else None
    exact = LayerState.start(layer, network.dt, n_inputs, drive.draws(0, 1))
    exact.state = {name: _digits(value) for name, value in exact.state.items()}
    exact.constants = {name: mpmath.mpf(float(value)) for name, value in exact.constants.items()}
    rounding = Rounding.of(("float64", dtype))
    bounded, weigh = BoundedLayer(layer, network.dt, rounding, n_inputs, drive.draws(0, 1)), BoundedSum(layer, rounding)
    row = Row(card, dtype, 0, 0.0, 0.0, 0)
    for step, frame in enumerate(drive.frames()):
        given = None if carried is None else carried[:, step]
        sums = {name: _digits(value) for name, value in signed_sums(layer, frame).items()}
        _, tested = exact.step(sums, DIGITS, fired=fired[:, step], truth=_truth, sent=None if given is None else lambda _c, g=given: _digits(g))
        follow = None if given is None else lambda _c, g=given: refsim.rounding.constant(g, rounding.unit)
        reached = bounded.step({name: weigh(frame) for name in sums}, fired[:, step], follow=follow)
        error = np.abs(np.asarray(seen[:, step] - tested[0][0], float))
        bound = np.broadcast_to(known(reached[0][0].error), error.shape)
        judged = np.isfinite(bound)
        row.decisions += int(judged.sum())
        row.violations += int((error > bound)[judged].sum())
        row.error, row.bound = max(row.error, float(error.max())), max(row.bound, float(bound.max()))
    return row


def _digits(values: Any) -> Any:
    return np.vectorize(lambda x: mpmath.mpf(float(x)), otypes=[object])(values)


def _truth(condition: Any) -> Any:
    return _digits(np.asarray(condition, float))


def main(arguments: list[str]) -> None:
    """Print a line a card and dtype."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cards", nargs="*")
    parser.add_argument("--inputs", type=int, default=100)
    parser.add_argument("--steps", type=int, default=2000)
    options = parser.parse_args(arguments)
    for card in options.cards or cards():
        for dtype in ("float32", "float64"):
            try:
                row = study(card, dtype, options.inputs, options.steps)
            except refsim.RefsimError as error:
                print(f"{card:<30} {dtype}  not run: {error}", flush=True)
                continue
            print(f"{card:<30} {dtype}  {row.decisions:>8} decisions  error {row.error:.2e}  bound {row.bound:.2e}  "
                  f"ratio {row.ratio:8.1f}  {row.violations} violations", flush=True)  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
