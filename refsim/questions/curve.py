"""Validate single neurons against formulas: the membrane up to the first spike, when that comes, and the interval after it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..claims import Claim, Verdict, judge
from ..drive import Drive
from ..engines.discrete import FUNCTIONS
from ..errors import RefsimError, listed
from ..model import NeuronModel
from ..model.expressions import evaluate, names_in, parse_expression
from ..network import positive_time
from ..recording import Engine, Recording
from ..units import to_si
from .neuron import alone, engines

FORMULAS = ("membrane", "first_spike", "interval")


@dataclass(frozen=True)
class Curve:
    """What a case says of one neuron under a constant or a single input.

    Attributes
    ----------
    model : NeuronModel
    input : float
        SI, in the unit of the card's input.
    pulse : bool
        Given in the first step alone, else held.
    n_steps : int
    dt : float
    expected : dict of str to str
        ``membrane`` before the reset at the end of step k = 0, 1, ...; ``first_spike`` and ``interval`` in seconds. In
        terms of the card's constants, its input I, step, k, and t = (k + 1)*step.
    """

    model: NeuronModel
    input: float
    pulse: bool
    n_steps: int
    dt: float
    expected: Mapping[str, str]

    def run(self, engine: Engine, refine: int = 1) -> Recording:
        """Run the case with a step of dt/refine."""
        values = np.full((1, self.n_steps * refine, 1), self.input)
        values[:, 1:] *= not self.pulse
        dt = self.dt / refine
        return engine.run(alone(self.model, dt), Drive.current(values, dt), record=("before_reset",))

    def formula(self, name: str, refine: int = 1) -> Any:
        """Return a formula's value at every step."""
        if name not in self.expected:
            raise RefsimError(f"case: a claim needs [expected] {name}, but there is {listed(self.expected)}.")
        step, k = self.dt / refine, np.arange(self.n_steps * refine, dtype=float)
        scope = {**self.model.constants(step), "step": step, "I": self.input, "k": k, "t": (k + 1) * step}
        tree = parse_expression(self.expected[name], f"case: [expected] {name}")
        if unknown := names_in(tree) - set(scope):
            raise RefsimError(f"case: [expected] {name}: {listed(unknown)} is not known here; known are {listed(scope)}.")
        return evaluate(tree, scope, FUNCTIONS)

    def membrane_errors(self, run: Recording, refine: int = 1) -> Any:
        """Return how far the membrane lies from its formula, at each step before the first spike."""
        fired = run.spikes[0].step
        before = int(fired[0]) if len(fired) else self.n_steps * refine
        return np.abs(run.traces[0]["before_reset"][0, :, 0] - self.formula("membrane", refine))[:before]

    def spike_error(self, run: Recording, name: str) -> float:
        """Return by how many steps the first spike, or the first interval, is off; infinite where too few spikes fell."""
        fired = run.spikes[0].step
        if len(fired) < (1 if name == "first_spike" else 2):
            return float("inf")
        found = fired[0] + 1 if name == "first_spike" else fired[1] - fired[0]  # a spike belongs to the end of its step
        return float(abs(found - np.asarray(self.formula(name)) / self.dt))

    def order(self, run: Callable[[int], Recording]) -> float:
        """Return the order at which the membrane nears its formula, between dt/2 and dt/4, in the middle of the approach; NaN where it fires before."""
        errors = []
        for refine in (2, 4):
            found, at = self.membrane_errors(run(refine), refine), (self.n_steps // 2) * refine + refine - 1
            errors.append(float(found[at]) if at < len(found) else float("nan"))  # NaN keeps no limit
        return float(np.log2(errors[0] / errors[1]))


def read_curve(model: NeuronModel, table: Mapping[str, Any]) -> Curve:
    """Read the keys of a case of kind curve."""
    expected = table["expected"]
    if not isinstance(expected, dict) or set(expected) - set(FORMULAS) or not all(isinstance(text, str) for text in expected.values()):
        raise RefsimError(f"case: [expected] of a curve holds formulas as text, of {', '.join(FORMULAS)}, but is {expected!r}.")
    steps, pulse = table["steps"], table.get("pulse", False)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 4 or not isinstance(pulse, bool):
        raise RefsimError(f"case: steps must be a whole number of 4 or more and pulse true or false, but are {steps!r} and {pulse!r}.")
    level = to_si(table["input"], model.input_unit, "case: input", written=True)
    return Curve(model, level, pulse, steps, positive_time(table["dt"], "case: dt", written=True), expected)


def validate_curve(curve: Curve, claims: Sequence[Claim]) -> tuple[Verdict, ...]:
    """Hold all three engines against the formulas."""
    rows = []
    for claim in claims:
        if claim.measure not in _MEASURES:
            raise RefsimError(f"claim '{claim.measure}': is not a known measure; known are {', '.join(_MEASURES)}.")
        for engine in engines():
            run = curve.run(engine)
            rows.append(judge(claim, _MEASURES[claim.measure](curve, run, engine), run=run.label, detail=f"{len(run.spikes[0])} spikes"))
    return tuple(rows)


def _largest(curve: Curve, run: Recording, _engine: Engine) -> float:
    errors = curve.membrane_errors(run)
    return float(errors.max()) if len(errors) else float("nan")


_MEASURES: dict[str, Callable[[Curve, Recording, Engine], float]] = {
    "membrane off its formula": _largest,
    "first spike off its formula": lambda curve, run, _engine: curve.spike_error(run, "first_spike"),
    "interval off its formula": lambda curve, run, _engine: curve.spike_error(run, "interval"),
    "order of the step": lambda curve, _run, engine: curve.order(lambda refine: curve.run(engine, refine)),
}
CURVE_MEASURES = tuple(_MEASURES)
