"""Validate single neurons in every engine, in four ways.

`validate_neuron` gives a written input and the spikes and membranes that it must give;
`validate_steps` compares a declared step with the solution of its ODE. `validate_curve` compares
with formulas: the membrane up to the first spike, the time of that spike, and the interval after
it. `validate_rival` compares with what NEST, another simulator, computed: its spikes are stored as
data in validation/nest/.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..cards.language import evaluate, names_in, parse_expression
from ..cards.neuron import NeuronModel
from ..checks.declared_step import check_declared_step
from ..core.arrays import Floats, Ints
from ..core.claims import Claim, Verdict, judge
from ..core.errors import RefsimError, listed
from ..core.shelf import shelf
from ..core.tables import Toml
from ..core.units import to_si
from ..engines.brian.engine import Brian2
from ..engines.discrete import FUNCTIONS, Discrete
from ..networks.drive import Drive
from ..networks.network import Network, positive_time
from ..networks.recording import TRACES, Engine, Recording

NEURON_MEASURES = ("wrong spikes", "membrane error", "payload error")
STEP_MEASURES = ("terms that differ",)
FORMULAS = ("membrane", "first_spike", "interval")
_FINEST = 2.0**-12  # ms, the step of NEST's best figures
_MACRO = 2.0**-2  # ms, the step that fine mode divides to reach it
_RATES = {"1/ms": 1e3, "mV/ms": 1.0}  # units of NEST that no card has, in SI


def network_of_one(model: NeuronModel, dt: object) -> Network:
    """Return a network of one neuron whose input reaches it with weight 1."""
    return Network.dense([([[1.0]], None, model)], dt)


def all_engines() -> tuple[Engine, ...]:
    """Return the three engines that must agree on a neuron."""
    from ..engines.pytorch import Torch

    return Brian2(target="numpy"), Discrete(), Torch(dtype="float64")


def validate_neuron(
    model: NeuronModel,
    inputs: Sequence[float],
    dt: object,
    expected: Mapping[str, Sequence[float]],
    claims: Sequence[Claim],
) -> tuple[Verdict, ...]:
    """Run one neuron on a written input in all three engines.

    Parameters
    ----------
    model : NeuronModel
    inputs : (n_steps,)
        SI, in the unit of the card's input.
    dt : float or str
        Duration of a step, in seconds or with a unit.
    expected : dict
        ``spikes`` (n_steps,) of 0 and 1, and perhaps ``before_reset``, ``after_reset`` and
        ``payload`` (n_steps,).
    claims : list of Claim
        Measures are those of ``NEURON_MEASURES``.

    Returns
    -------
    tuple of Verdict
        One for each claim and engine.
    """
    drive = Drive.current(np.asarray(inputs, float).reshape(1, -1, 1), dt)
    # What is expected must be given for each step.
    for name, values in expected.items():
        if len(values) != drive.n_steps:
            raise RefsimError(
                f"case: expected {name} has {len(values)} steps, but the input has {drive.n_steps}."
            )
    # Every engine runs it, with all traces.
    runs = [engine.run(network_of_one(model, dt), drive, record=TRACES) for engine in all_engines()]
    return tuple(_judge(claim, run, expected) for claim in claims for run in runs)


def _judge(claim: Claim, run: Recording, expected: Mapping[str, Sequence[float]]) -> Verdict:
    """Judge one claim on one run."""
    if claim.measure == "wrong spikes":
        # Spikes are compared step by step.
        fired = run.spikes[0].dense()[0, :, 0]
        wrong = int((fired != np.asarray(expected["spikes"], bool)).sum())
        return judge(claim, wrong, run=run.label, detail=f"{int(fired.sum())} spikes")
    traces = {"membrane error": ("before_reset", "after_reset"), "payload error": ("payload",)}
    if claim.measure in traces:
        # Only traces that the case gives, and the run has, are compared.
        found = {
            name: run.traces[0][name][0, :, 0]
            for name in traces[claim.measure]
            if name in expected and name in run.traces[0]
        }
        return judge(
            claim,
            max(
                (float(np.abs(found[name] - expected[name]).max()) for name in found), default=None
            ),
            run=run.label,
        )
    raise RefsimError(
        f"claim '{claim.measure}': is not a known measure; known are {', '.join(NEURON_MEASURES)}."
    )


def validate_steps(models: Sequence[NeuronModel], claims: Sequence[Claim]) -> tuple[Verdict, ...]:
    """Compare each card's declared step with the solution of its ODE, by Brian2's updaters."""
    rows: list[Verdict] = []
    for claim in claims:
        if claim.measure not in STEP_MEASURES:
            raise RefsimError(
                f"claim '{claim.measure}': is not a known measure; known are "
                f"{', '.join(STEP_MEASURES)}."
            )
        for model in models:
            found = check_declared_step(model)
            rows.append(judge(claim, found.value, run=f"card {model.name}", detail=found.detail))
    return tuple(rows)


@dataclass(frozen=True)
class Curve:
    """A case about one neuron under a constant or a single input.

    Attributes
    ----------
    model : NeuronModel
    input : float
        SI, in the unit of the card's input.
    pulse : bool
        Whether the input is given in the first step alone; else it stays.
    n_steps : int
    dt : float
        Seconds.
    expected : dict of str to str
        Formulas: ``membrane`` before the reset at the end of step k = 0, 1, ...; ``first_spike``
        and ``interval`` in seconds. They use the card's constants, its input I, step, k, and
        t = (k + 1)*step.
    """

    model: NeuronModel
    input: float
    pulse: bool
    n_steps: int
    dt: float
    expected: Mapping[str, str]

    def run(self, engine: Engine, refine: int = 1) -> Recording:
        """Run the case with a step of dt/refine."""
        # A pulse is given in the first step alone.
        values = np.full((1, self.n_steps * refine, 1), self.input)
        values[:, 1:] *= not self.pulse
        dt = self.dt / refine
        return engine.run(
            network_of_one(self.model, dt), Drive.current(values, dt), record=("before_reset",)
        )

    def formula(self, name: str, refine: int = 1) -> Floats:
        """Return the value of a formula at every step, (n_steps*refine,)."""
        if name not in self.expected:
            raise RefsimError(
                f"case: a claim needs [expected] {name}, but there is {listed(self.expected)}."
            )
        # The names that a formula may use.
        step, k = self.dt / refine, np.arange(self.n_steps * refine, dtype=float)
        scope = {
            **self.model.constants(step),
            "step": step,
            "I": self.input,
            "k": k,
            "t": (k + 1) * step,
        }
        # A formula is parsed and checked as a card's text is, and never executed.
        tree = parse_expression(self.expected[name], f"case: [expected] {name}")
        if unknown := names_in(tree) - set(scope):
            raise RefsimError(
                f"case: [expected] {name}: {listed(unknown)} is not known here; known are "
                f"{listed(scope)}."
            )
        values: Floats = evaluate(tree, scope, FUNCTIONS)
        return values

    def membrane_errors(self, run: Recording, refine: int = 1) -> Floats:
        """Return how far the membrane is off its formula, in each step before the first spike."""
        # Behind the first spike the formula no longer holds.
        fired = run.spikes[0].step
        before = int(fired[0]) if len(fired) else self.n_steps * refine
        errors: Floats = np.abs(
            run.traces[0]["before_reset"][0, :, 0] - self.formula("membrane", refine)
        )
        return errors[:before]

    def spike_error(self, run: Recording, name: str) -> float:
        """Return by how many steps the first spike, or the first interval, is off.

        It is infinite where too few spikes fell.
        """
        # One spike has no interval.
        fired = run.spikes[0].step
        if len(fired) < (1 if name == "first_spike" else 2):
            return float("inf")
        # A spike belongs to the end of its step.
        found = fired[0] + 1 if name == "first_spike" else fired[1] - fired[0]
        return float(abs(found - np.asarray(self.formula(name)) / self.dt))

    def order(self, run: Callable[[int], Recording]) -> float:
        """Return the order at which the membrane nears its formula, between dt/2 and dt/4.

        It is measured in the middle of the approach; NaN where the neuron fires before.
        """
        errors = []
        for refine in (2, 4):
            # Both runs are read at the same time, in the middle of the case.
            found, at = (
                self.membrane_errors(run(refine), refine),
                (self.n_steps // 2) * refine + refine - 1,
            )
            # NaN satisfies no limit, so the claim fails.
            errors.append(float(found[at]) if at < len(found) else float("nan"))
        return float(np.log2(errors[0] / errors[1]))


def read_curve(model: NeuronModel, table: Toml) -> Curve:
    """Read the keys of a case of kind curve.

    Raises
    ------
    RefsimError
        With the key and what it must be.
    """
    expected = table["expected"]
    if (
        not isinstance(expected, dict)
        or set(expected) - set(FORMULAS)
        or not all(isinstance(text, str) for text in expected.values())
    ):
        raise RefsimError(
            f"case: [expected] of a curve holds formulas as text, of {', '.join(FORMULAS)}, but "
            f"is {expected!r}."
        )
    # An order needs a middle, and so some steps.
    steps, pulse = table["steps"], table.get("pulse", False)
    if (
        isinstance(steps, bool)
        or not isinstance(steps, int)
        or steps < 4
        or not isinstance(pulse, bool)
    ):
        raise RefsimError(
            "case: steps must be a whole number of 4 or more and pulse true or false, but are "
            f"{steps!r} and {pulse!r}."
        )
    # Units of input and step are checked as they become SI.
    level = to_si(table["input"], model.input_unit, "case: input", written=True)
    return Curve(
        model, level, pulse, steps, positive_time(table["dt"], "case: dt", written=True), expected
    )


def validate_curve(curve: Curve, claims: Sequence[Claim]) -> tuple[Verdict, ...]:
    """Compare all three engines with the formulas."""
    rows = []
    for claim in claims:
        if claim.measure not in _CURVE_MEASURES:
            raise RefsimError(
                f"claim '{claim.measure}': is not a known measure; known are "
                f"{', '.join(_CURVE_MEASURES)}."
            )
        # Each measure is taken in each engine.
        for engine in all_engines():
            run = curve.run(engine)
            rows.append(
                judge(
                    claim,
                    _CURVE_MEASURES[claim.measure](curve, run, engine),
                    run=run.label,
                    detail=f"{len(run.spikes[0])} spikes",
                )
            )
    return tuple(rows)


def _largest(curve: Curve, run: Recording, _engine: Engine) -> float:
    """Return the largest error of the membrane before the first spike."""
    errors = curve.membrane_errors(run)
    return float(errors.max()) if len(errors) else float("nan")


_CURVE_MEASURES: dict[str, Callable[[Curve, Recording, Engine], float]] = {
    "membrane off its formula": _largest,
    "first spike off its formula": lambda curve, run, _engine: curve.spike_error(
        run, "first_spike"
    ),
    "interval off its formula": lambda curve, run, _engine: curve.spike_error(run, "interval"),
    "order of the step": lambda curve, _run, engine: curve.order(
        lambda refine: curve.run(engine, refine)
    ),
}
CURVE_MEASURES = tuple(_CURVE_MEASURES)


@dataclass(frozen=True)
class Figures:
    """The input and output of NEST, in SI.

    Attributes
    ----------
    name : str
    values : dict of str to float
        Parameters, start and input by NEST's names; entries of lists as ``asc_amps_1``, ...
    onset, duration : float
        Seconds; the input is 0 before its onset.
    spikes : dict of float to (n_spikes,) int64
        By resolution in ms: the step at whose end NEST puts each spike, counted from 1.
    """

    name: str
    values: Mapping[str, float]
    onset: float
    duration: float
    spikes: Mapping[float, Ints]

    def formula(self, text: str, where: str) -> float:
        """Return the value of an expression of NEST's values."""
        tree = parse_expression(text, where)
        if unknown := names_in(tree) - set(self.values):
            raise RefsimError(
                f"{where}: {listed(unknown)} is not among NEST's values of {self.name}; known "
                f"are {listed(self.values)}."
            )
        return float(evaluate(tree, self.values, FUNCTIONS))


def read_figures(name: str) -> Figures:
    """Read a file of validation/nest/.

    Raises
    ------
    RefsimError
        Where there is none of that name, with the names that there are.
    """
    path = shelf("validation") / "nest" / f"{name}.toml"
    if not path.is_file():
        known = listed(each.stem for each in path.parent.glob("*.toml"))
        raise RefsimError(f"case: there are no figures of NEST named '{name}'; known are {known}.")
    table = tomllib.loads(path.read_text("utf-8"))
    # Parameters, start and input are one table of names, so that formulas may use all.
    given = {key: row for key, row in table["input"].items() if isinstance(row, dict)}
    rows = {**table["parameters"], **table["start"], **given}
    values = {label: number for key, row in rows.items() for label, number in _numbers(key, row)}
    # Spikes are stored as whole steps, for each resolution.
    spikes = {
        float(row["resolution_ms"]): np.asarray(row["steps"], np.int64) for row in table["spikes"]
    }
    return Figures(
        name,
        values,
        table["input"].get("onset_ms", 0.0) * 1e-3,
        table["provenance"]["duration_ms"] * 1e-3,
        spikes,
    )


def _numbers(key: str, row: Toml) -> list[tuple[str, float]]:
    """Return a value of NEST in SI, with its name; of a list, each value with a number."""
    values = row["value"] if isinstance(row["value"], list) else [row["value"]]
    # A list has one name for each of its values.
    labels = (
        [f"{key}_{index + 1}" for index in range(len(values))]
        if isinstance(row["value"], list)
        else [key]
    )
    return [
        (label, _si(value, row["unit"], f"NEST's {key}"))
        for label, value in zip(labels, values, strict=True)
    ]


def _si(value: float, unit: str, where: str) -> float:
    """Return a value of NEST in SI."""
    # Units of rates are not in the one table of units.
    if unit in _RATES:
        return float(value) * _RATES[unit]
    if unit in ("1", "flag"):
        return float(value)
    base = {"pF": "farad", "nS": "siemens", "mV": "volt", "ms": "second", "pA": "amp"}[unit]
    return to_si(f"{value!r} {unit}", base, where)


@dataclass(frozen=True)
class Rival:
    """A card with NEST's values, beside NEST's figures.

    Attributes
    ----------
    model : NeuronModel
    figures : Figures
    input : float
        SI, in the unit of the card's input.
    resolutions : tuple of float
        Milliseconds at which the declared step is run.
    until : float
        Seconds; spikes after it are not looked at.
    """

    model: NeuronModel
    figures: Figures
    input: float
    resolutions: tuple[float, ...]
    until: float

    def drive(self, dt: float) -> Drive:
        """Return the input of the whole run in steps of dt seconds."""
        # The input is 0 before its onset, and constant then.
        values = np.full((1, round(self.figures.duration / dt), 1), self.input)
        values[:, : round(self.figures.onset / dt)] = 0.0
        return Drive.current(values, dt)

    def stepped(self, engine: Engine, resolution: float) -> Recording:
        """Run the declared step at one of NEST's resolutions, in ms."""
        dt = resolution * 1e-3
        return engine.run(network_of_one(self.model, dt), self.drive(dt))

    def solved(self) -> Recording:
        """Run the ODE at NEST's finest resolution."""
        dt = _MACRO * 1e-3
        return Brian2(mode="fine", refine=round(_MACRO / _FINEST), target="cpp", margin=False).run(
            network_of_one(self.model, dt), self.drive(dt)
        )

    def distance(self, run: Recording, resolution: float) -> float:
        """Return by how many steps at most a spike is off NEST's.

        It is infinite where the numbers of spikes differ.
        """
        # Spikes behind the end are not looked at.
        last = round(self.until / (resolution * 1e-3))
        ours = run.spikes[0].step + 1  # NEST stamps a spike at the end of its step
        theirs = self.figures.spikes[resolution]
        ours, theirs = ours[ours <= last], theirs[theirs <= last]
        if len(ours) != len(theirs) or not len(theirs):
            return float("inf")
        return float(np.abs(ours - theirs).max())


def read_rival(model: NeuronModel, table: Toml) -> Rival:
    """Read the keys of a case of kind nest.

    Raises
    ------
    RefsimError
        Where a formula is wrong, or the card starts at other values than NEST did.
    """
    figures = read_figures(table["figures"])
    # Parameters of the card from NEST's values; a wrong start would show in every spike.
    made = {
        key: figures.formula(text, f"case: [from_nest] {key}")
        for key, text in table["from_nest"].items()
    }
    starts = {
        key: figures.formula(text, f"case: [start] {key}") for key, text in table["start"].items()
    }
    for name, value in starts.items():
        if name not in model.state or abs(model.state[name].start - value) > 1e-12 * abs(value):
            raise RefsimError(
                f"case: [start] {name}: NEST starts at {value:g}, where card '{model.name}' must "
                "start too."
            )
    resolutions = tuple(float(each) for each in table["resolutions"])
    # NEST must have been run at each resolution.
    if missing := set(resolutions) - set(figures.spikes):
        raise RefsimError(
            f"case: resolutions: NEST has none at {listed(str(each) for each in missing)} ms; it "
            f"has {listed(str(each) for each in figures.spikes)}."
        )
    # Without an end, the whole run is compared.
    said = "until" in table
    until = (
        to_si(table["until"], "second", "case: until", written=True) if said else figures.duration
    )
    return Rival(
        model.with_parameters(**made),
        figures,
        figures.formula(table["input"], "case: input"),
        resolutions,
        until,
    )


def validate_rival(rival: Rival, claims: Sequence[Claim]) -> tuple[Verdict, ...]:
    """Compare the declared step, in all three engines, and the ODE in Brian2 with NEST."""
    rows: list[Verdict] = []
    for claim in claims:
        if claim.measure not in _NEST_MEASURES:
            raise RefsimError(
                f"claim '{claim.measure}': is not a known measure; known are "
                f"{', '.join(_NEST_MEASURES)}."
            )
        rows += _NEST_MEASURES[claim.measure](rival, claim)
    return tuple(rows)


def _steps(rival: Rival, claim: Claim) -> list[Verdict]:
    """Judge the declared step in each engine at each resolution."""
    rows = []
    for resolution in rival.resolutions:
        for engine in all_engines():
            run = rival.stepped(engine, resolution)
            rows.append(
                judge(
                    claim,
                    rival.distance(run, resolution),
                    run=f"{run.label}, {resolution:g} ms",
                    detail=f"{len(run.spikes[0])} spikes",
                )
            )
    return rows


def _times(rival: Rival, claim: Claim) -> list[Verdict]:
    """Judge the spike times of the ODE, in ms."""
    run = rival.solved()
    return [
        judge(
            claim,
            rival.distance(run, _FINEST) * _FINEST,
            run=run.label,
            detail=f"{len(run.spikes[0])} spikes",
        )
    ]


_NEST_MEASURES: dict[str, Callable[[Rival, Claim], list[Verdict]]] = {
    "steps off NEST": _steps,
    "ODE off NEST": _times,
}
NEST_MEASURES = tuple(_NEST_MEASURES)
