"""Hold a card against what NEST, another simulator, computed: its spikes, stored as data in validation/nest/."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..claims import Claim, Verdict, judge
from ..drive import Drive
from ..engines.brian import Brian2
from ..engines.discrete import FUNCTIONS
from ..errors import RefsimError, listed
from ..model import NeuronModel
from ..model.expressions import evaluate, names_in, parse_expression
from ..recording import Engine, Recording
from ..shelf import shelf
from ..units import to_si
from .neuron import alone, engines

_FINEST = 2.0**-12  # ms, the step of NEST's best figures
_MACRO = 2.0**-2  # ms, the step that fine mode divides to reach it
_RATES = {"1/ms": 1e3, "mV/ms": 1.0}  # units of NEST that no card has, in SI


@dataclass(frozen=True)
class Figures:
    """What NEST was given and what came out, in SI.

    Attributes
    ----------
    name : str
    values : dict of str to float
        Parameters, start and input by NEST's names; of lists, ``asc_amps_1``, ``asc_amps_2``.
    onset, duration : float
        Seconds; the input is 0 before its onset.
    spikes : dict of float to (n_spikes,) int64
        By resolution in ms: the step at whose end NEST stamps each spike, counted from 1.
    """

    name: str
    values: Mapping[str, float]
    onset: float
    duration: float
    spikes: Mapping[float, Any]

    def formula(self, text: str, where: str) -> float:
        """Return an expression of NEST's values."""
        tree = parse_expression(text, where)
        if unknown := names_in(tree) - set(self.values):
            raise RefsimError(f"{where}: {listed(unknown)} is not among NEST's values of {self.name}; known are {listed(self.values)}.")
        return float(evaluate(tree, self.values, FUNCTIONS))


def read_figures(name: str) -> Figures:
    """Read a file of validation/nest/."""
    path = shelf("validation") / "nest" / f"{name}.toml"
    if not path.is_file():
        known = listed(each.stem for each in path.parent.glob("*.toml"))
        raise RefsimError(f"case: there are no figures of NEST named '{name}'; known are {known}.")
    table = tomllib.loads(path.read_text("utf-8"))
    given = {key: row for key, row in table["input"].items() if isinstance(row, dict)}
    rows = {**table["parameters"], **table["start"], **given}
    values = {label: number for key, row in rows.items() for label, number in _numbers(key, row)}
    spikes = {float(row["resolution_ms"]): np.asarray(row["steps"], np.int64) for row in table["spikes"]}
    return Figures(name, values, table["input"].get("onset_ms", 0.0) * 1e-3, table["provenance"]["duration_ms"] * 1e-3, spikes)


def _numbers(key: str, row: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return a value of NEST in SI, or each of a list of values."""
    values = row["value"] if isinstance(row["value"], list) else [row["value"]]
    labels = [f"{key}_{index + 1}" for index in range(len(values))] if isinstance(row["value"], list) else [key]
    return [(label, _si(value, row["unit"], f"NEST's {key}")) for label, value in zip(labels, values, strict=True)]


def _si(value: float, unit: str, where: str) -> float:
    if unit in _RATES:
        return float(value) * _RATES[unit]
    if unit in ("1", "flag"):
        return float(value)
    base = {"pF": "farad", "nS": "siemens", "mV": "volt", "ms": "second", "pA": "amp"}[unit]
    return to_si(f"{value!r} {unit}", base, where)


@dataclass(frozen=True)
class Rival:
    """A card at NEST's values, beside NEST's figures.

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
        values = np.full((1, round(self.figures.duration / dt), 1), self.input)
        values[:, : round(self.figures.onset / dt)] = 0.0
        return Drive.current(values, dt)

    def stepped(self, engine: Engine, resolution: float) -> Recording:
        """Run the declared step at one of NEST's resolutions, in ms."""
        dt = resolution * 1e-3
        return engine.run(alone(self.model, dt), self.drive(dt))

    def solved(self) -> Recording:
        """Run the ODE at NEST's finest resolution."""
        dt = _MACRO * 1e-3
        return Brian2(mode="fine", refine=round(_MACRO / _FINEST), target="cpp", margin=False).run(alone(self.model, dt), self.drive(dt))

    def distance(self, run: Recording, resolution: float) -> float:
        """Return by how many steps at most a spike is off NEST's; infinite where their numbers differ."""
        last = round(self.until / (resolution * 1e-3))
        ours = run.spikes[0].step + 1  # NEST stamps a spike at the end of its step
        theirs = self.figures.spikes[resolution]
        ours, theirs = ours[ours <= last], theirs[theirs <= last]
        if len(ours) != len(theirs) or not len(theirs):
            return float("inf")
        return float(np.abs(ours - theirs).max())


def read_rival(model: NeuronModel, table: Mapping[str, Any]) -> Rival:
    """Read the keys of a case of kind nest.

    Raises
    ------
    RefsimError
        Where a formula is wrong, or the card starts elsewhere than NEST did.
    """
    figures = read_figures(table["figures"])
    made = {key: figures.formula(text, f"case: [from_nest] {key}") for key, text in table["from_nest"].items()}
    starts = {key: figures.formula(text, f"case: [start] {key}") for key, text in table["start"].items()}
    for name, value in starts.items():
        if name not in model.state or abs(model.state[name].start - value) > 1e-12 * abs(value):
            raise RefsimError(f"case: [start] {name}: NEST starts at {value:g}, where card '{model.name}' must start too.")
    resolutions = tuple(float(each) for each in table["resolutions"])
    if missing := set(resolutions) - set(figures.spikes):
        raise RefsimError(
            f"case: resolutions: NEST has none at {listed(str(each) for each in missing)} ms; it has {listed(str(each) for each in figures.spikes)}."
        )
    said = "until" in table
    until = to_si(table["until"], "second", "case: until", written=True) if said else figures.duration
    return Rival(model.with_parameters(**made), figures, figures.formula(table["input"], "case: input"), resolutions, until)


def validate_rival(rival: Rival, claims: Sequence[Claim]) -> tuple[Verdict, ...]:
    """Hold the declared step, in all three engines, and the ODE in Brian2 against NEST."""
    rows: list[Verdict] = []
    for claim in claims:
        if claim.measure not in _MEASURES:
            raise RefsimError(f"claim '{claim.measure}': is not a known measure; known are {', '.join(_MEASURES)}.")
        rows += _MEASURES[claim.measure](rival, claim)
    return tuple(rows)


def _steps(rival: Rival, claim: Claim) -> list[Verdict]:
    rows = []
    for resolution in rival.resolutions:
        for engine in engines():
            run = rival.stepped(engine, resolution)
            rows.append(judge(claim, rival.distance(run, resolution), run=f"{run.label}, {resolution:g} ms", detail=f"{len(run.spikes[0])} spikes"))
    return rows


def _times(rival: Rival, claim: Claim) -> list[Verdict]:
    run = rival.solved()
    return [judge(claim, rival.distance(run, _FINEST) * _FINEST, run=run.label, detail=f"{len(run.spikes[0])} spikes")]


_MEASURES: dict[str, Callable[[Rival, Claim], list[Verdict]]] = {"steps off NEST": _steps, "ODE off NEST": _times}
NEST_MEASURES = tuple(_MEASURES)
