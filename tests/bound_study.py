"""The bound on rounding held against runs in 50 digits, card by card.

It must hold, and it must say something.

``python tests/bound_study.py [CARD ...] [--inputs 100] [--steps 2000] [--data FILE]`` adds a row a
card and dtype to a file, and leaves out the rows that are there; docs/rounding.md is written from
it.
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
from refsim import Drive, Torch
from refsim.cards.neuron import NeuronModel
from refsim.cards.read import load_all
from refsim.cases.neuron import alone
from refsim.checks.card_measures import scale_of
from refsim.core.random import truncated
from refsim.engines.discrete import LayerState, parts_by_input, signed_sums
from refsim.judge.bounded import constant
from refsim.judge.rounding import BoundedLayer, BoundedSum, Rounding, known
from refsim.networks.network import Network

DATA = Path(__file__).resolve().parents[1] / "docs" / "rounding.json"
# Where 1 ms is too long to follow a spike, the step that tests/test_biophysical.py takes.
SHORTER = {
    "hh": "0.05 ms",
    "hh_traub": "0.05 ms",
    "wang_buzsaki": "0.025 ms",
    "morris_lecar": "0.25 ms",
    "fitzhugh_nagumo": "0.125 ms",
}
MOST = 1000  # by which the bound may exceed the largest error seen
UPSTROKE = "a spike's upstroke has no end but the cut: it multiplies a difference by 1e5 and more"
CYCLE = (
    "a limit cycle: an error of phase never shrinks, and a spike's flank multiplies it by some 1e3"
)
AWAY = "runs away: soft reset leaves the membrane in its upstroke, to 1e46 and out of range"
CHAOS = "chaotic: a quadratic rise with soft reset; 1e-16 has grown to 1e-2 by step 2,000"
TIMED = "a limit cycle in one state; near the rheobase 1/(goal - v_th) multiplies an error of phase"
PASSES = (
    "passes its input on: with the weight 1 nothing rounds, and the bound is that of any "
    "weighted sum"
)
EQUAL = "nothing of it: five roundings of the input are fine enough for any decision"


def _coarse(share: str) -> str:
    return f'inconclusive: identical, "but {share} of decisions cannot be judged"'


# By card and dtype, why the bound is coarse or lost there, and what a report says of the run.
EXCEPTIONS: dict[tuple[str, str], tuple[str, str]] = {
    ("adex", "float32"): (UPSTROKE, 'pass: "may round by 0.00024" at the nearest approach'),
    ("eif", "float32"): (UPSTROKE, 'pass: "rounding reaches 2e-05" at the nearest approach'),
    ("izhikevich", "float32"): (
        UPSTROKE,
        'inconclusive: parts in 6 of 100 samples, "where no bound on rounding is known"',
    ),
    ("norse_izhikevich", "float32"): (UPSTROKE, _coarse("7.0%")),
    ("spikingjelly_izhikevich_soft", "float32"): (CHAOS, "not run: no PyTorch step"),
    ("spikingjelly_izhikevich_soft", "float64"): (CHAOS, _coarse("80.8%")),
    ("spikingjelly_qif_soft", "float32"): (CHAOS, "not run: no PyTorch step"),
    ("spikingjelly_qif_soft", "float64"): (CHAOS, _coarse("71.2%")),
    ("spikingjelly_eif_soft", "float32"): (AWAY, "not run: no PyTorch step"),
    ("spikingjelly_eif_soft", "float64"): (
        AWAY,
        (
            "against Brian2 pass: all spikes are the same, and the 3 samples that are replayed do "
            "not run away; against refsim's own engine inconclusive, for it shows membranes that "
            "left the range"
        ),
    ),
    ("fitzhugh_nagumo", "float32"): (
        CYCLE,
        ('pass: "may round by 6.6e-05: on another machine a spike may tip"'),
    ),
    ("hh", "float32"): (CYCLE, _coarse("84.6%")),
    ("hh", "float64"): (CYCLE, 'pass: "rounding reaches 1.4e-11" at the nearest approach'),
    ("hh_traub", "float32"): (CYCLE, _coarse("63.9%") + " (of the first 20 inputs)"),
    ("morris_lecar", "float32"): (CYCLE, _coarse("2.0%")),
    ("morris_lecar", "float64"): (
        CYCLE,
        ("none was run: a bound of 1.4e-11 V is fine enough for any decision"),
    ),
    ("wang_buzsaki", "float32"): (
        CYCLE,
        ('inconclusive: parts in 1 of the first 20 samples, "where no bound on rounding is known"'),
    ),
    ("nir_lif_timed", "float32"): (
        TIMED,
        ('inconclusive: parts in 3 of 100 samples, "where no bound on rounding is known"'),
    ),
    **{
        (card, "float64"): (PASSES, EQUAL)
        for card in (
            "readout_last",
            "readout_max",
            "nir_output",
            "nir_threshold",
            "pytorch_max_pool",
        )
    },
}
DTYPES = ("float32", "float64")


@dataclass
class Row:
    """What was found of a card in a dtype.

    Attributes
    ----------
    decisions : int
        Whose bound is known, of which all was checked.
    unknown : int
        Decisions for which nothing is proven, or whose membrane has left the range of its dtype.
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
    code: str = "declared step"
    decisions: int = 0
    unknown: int = 0
    error: float = 0.0
    bound: float = 0.0
    violations: int = 0
    spikes: int = 0
    refused: str = ""
    seconds: float = 0.0

    @property
    def ratio(self) -> float:
        """By how much the bound exceeds what was seen."""
        return self.bound / self.error if self.error else (0.0 if self.bound == 0 else np.inf)


def cards() -> list[str]:
    """Return the names of all cards of the shelf."""
    return [model.name for model in (*load_all(), *load_all("frameworks"))]


_loaded = functools.cache(refsim.load)  # the rheobase of a model is found once


def study(
    card: str,
    dtype: str,
    n_inputs: int,
    n_steps: int,
    dt: str = "",
    seed: int = 0,
    scale: float | None = None,
) -> Row:
    """Hold a run of one neuron a sample against 50 digits that follow the run's own spikes.

    Each sample has a constant input of its own, between 0 and twice a scale: the rheobase, unless
    it is given.
    """
    dt = dt or SHORTER.get(card, "1 ms")
    began, row = time.process_time(), Row(card, dtype, dt, n_inputs, n_steps)
    model = _loaded(card)
    network, rng = alone(model, dt), np.random.default_rng(seed)
    level = (scale or scale_of(model)) * rng.uniform(0, 2, (n_inputs, 1, 1))
    drive = Drive.current(np.repeat(level, n_steps, axis=1), dt, seed=seed)
    with np.errstate(all="ignore"):  # some cards run away
        if dtype == "float64" or not _has_step(model):
            trial = declared(network, drive, np.dtype(dtype).type)
        else:
            row.code = "PyTorch step"
            trial = written(network, drive, dtype)
    row.spikes = int(trial.fired.sum())
    with many_digits(), np.errstate(all="ignore"):
        for seen, exact, reached in _steps(network, drive, trial, Rounding.of(("float64", dtype))):
            _weigh(row, seen, exact, reached)
    row.seconds = round(time.process_time() - began, 1)
    return row


@dataclass
class Trial:
    """Spikes, what the threshold saw and what spikes carried, (n_samples, n_steps, 1)."""

    fired: Any
    seen: Any
    carried: Any = None


def _has_step(model: NeuronModel) -> bool:
    try:
        Torch.step_of(Torch(), model)
    except refsim.RefsimError:
        return False
    return True


def written(network: Network, drive: Drive, dtype: str) -> Trial:
    """Run the step that is written by hand in PyTorch."""
    payload = network.layers[0].model.discrete.payload
    run = Torch(dtype=dtype).run(
        network, drive, ("before_reset", *(["payload"] if payload else []))
    )
    traces = {name: trace.astype(float) for name, trace in run.traces[0].items()}
    return Trial(run.spikes[0].dense(), traces["before_reset"], traces.get("payload"))


def declared(network: Network, drive: Drive, kind: Any) -> Trial:
    """Run the declared step in NumPy, all numbers of one dtype."""
    layer, draw, n_samples = network.layers[0], drive.draws(0, 1), drive.n_samples
    # Of a random number a run in float32 draws the first 24 bits.
    name_of = np.dtype(kind).name
    state = LayerState.start(
        layer, network.dt, n_samples, lambda k, name: truncated(draw(k, name), name_of)
    )
    state.state = {name: kind(value) for name, value in state.state.items()}
    state.constants = {name: kind(value) for name, value in state.constants.items()}
    for convolution in state.kernels.values():
        convolution.values = [kind(value) for value in convolution.values]
    sums = {
        name: kind(value) for name, value in signed_sums(layer, next(iter(drive.frames()))).items()
    }
    found = [], [], []
    for _ in range(drive.n_steps):
        fired, tested = state.step(sums, truth=lambda condition: np.asarray(condition, kind))
        for kept, value in zip(found, (fired, tested[0][0], state.output(fired)), strict=True):
            kept.append(np.broadcast_to(np.asarray(value, np.float64), (n_samples, 1)))
        assert np.asarray(tested[0][0]).dtype == kind, "a number of another dtype has crept in"
    fired, seen, carried = (np.stack(each, axis=1) for each in found)
    return Trial(fired > 0, seen, carried if layer.model.discrete.payload else None)


def _steps(network: Network, drive: Drive, trial: Trial, rounding: Rounding) -> Any:
    """Yield what the threshold saw in each step: as it ran, in 50 digits, and with its bound."""
    layer, draw = network.layers[0], drive.draws(0, 1)
    exact = LayerState.start(
        layer, network.dt, drive.n_samples, lambda k, name: digits(draw(k, name))
    )
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
        if trial.carried is not None:
            given = trial.carried[:, step]
            sent = lambda _computed, given=given: digits(given)  # noqa: E731
            follow = lambda _c, given=given: constant(given, rounding.unit)  # noqa: E731
        _, tested = exact.step(sums, DIGITS, fired=trial.fired[:, step], truth=digits, sent=sent)
        reached = bounded.step(weighted, trial.fired[:, step], follow=follow)
        yield trial.seen[:, step], tested[0][0], reached[0][0]


def _weigh(row: Row, seen: Any, exact: Any, reached: Any) -> None:
    """Count a step: neither the run nor the replay, nor both together, may lie beyond the bound."""
    error = np.abs((seen - exact).astype(float))
    replayed = np.abs((reached.value - exact).astype(float))
    apart = np.abs(seen - reached.value)
    bound = np.broadcast_to(known(reached.error), error.shape)
    # A run that leaves the range of its dtype is judged for that, and not for its rounding.
    judged = np.isfinite(bound) & np.isfinite(seen) & np.isfinite(error)
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
    parser.add_argument("--dt", default="", help="of all cards; else each has its own")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    rows = json.loads(options.data.read_text("utf-8")) if options.data.exists() else []
    there = {
        tuple(row[each] for each in ("card", "dtype", "dt", "inputs", "steps")) for row in rows
    }
    for card in options.cards or cards():
        for dtype in DTYPES:
            dt = options.dt or SHORTER.get(card, "1 ms")
            if (card, dtype, dt, options.inputs, options.steps) in there:
                continue
            try:
                row = study(card, dtype, options.inputs, options.steps, dt)
            except refsim.RefsimError as error:
                row = Row(card, dtype, dt, options.inputs, options.steps, refused=str(error))
            print(told(row), flush=True)
            rows.append(dataclasses.asdict(row))
            options.data.write_text(
                "[\n" + ",\n".join(json.dumps(each) for each in rows) + "\n]\n", "utf-8"
            )


def told(row: Row) -> str:
    """Return a line for people."""
    if row.refused:
        return f"{row.card:<30} {row.dtype}  not run: {row.refused}"
    return (
        f"{row.card:<30} {row.dtype}  {row.decisions:>8} decisions, {row.unknown:>6} unknown  "
        f"error {row.error:.2e}  "
        f"bound {row.bound:.2e}  ratio {row.ratio:8.4g}  {row.violations} violations  "
        f"{row.spikes} spikes  {row.seconds} s"
    )


if __name__ == "__main__":
    main()
