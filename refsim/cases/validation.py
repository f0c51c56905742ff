"""A validation as it is asked for, from Python or the command line.

What, on which data, held against what, in which engines.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.arrays import Ints
from ..core.errors import RefsimError, listed
from ..judge.expected import Expected, again
from ..judge.readings import differences, judge_readings
from ..networks.data import Dataset, labels_of
from ..networks.drive import Drive
from ..networks.network import Network
from ..networks.recording import Engine
from .against_recorded import code_claims, hold_against
from .case import Case, drive_on, forecast_on
from .findings import Findings
from .forecast import Forecast
from .network import Plan, make_plan, validate_network, with_other_readings
from .subject import Said, Subject, case_in, subject_of

ENGINES = {"torch": ("float64", "float32"), "discrete": ("float64",), "brian2": ("float32",)}


@dataclass(frozen=True, eq=False)
class Validation:
    """What `refsim.validate` and ``refsim validate`` are asked.

    `refsim.validate` says what each is.

    Attributes
    ----------
    data : dict
        source, and perhaps labels, encoder, steps, scale, samples, seed.
    engines, dtypes : sequences of str, or of engines
        On trial; empty: those of the case, else PyTorch in both dtypes.
    """

    what: Any = None
    data: Mapping[str, Any] = field(default_factory=dict)
    against: Any = None
    said: Said = field(default_factory=Said)
    engines: Sequence[str | Engine] = ()
    dtypes: Sequence[str] = ()
    fine: Sequence[int] | None = None
    expected: Expected | None = None
    otherwise: bool = False
    workers: int = 1
    scheduler: Any = None

    def findings(self) -> Findings:
        """Run and judge it."""
        case = self._lone_case()
        if case is not None:
            return case.run()
        subject = self._subject()
        if self.expected is not None:
            self.expected.check(subject.network)
        data = self._data(subject)
        found = self._run(subject, data)
        found = _with_parties(found, subject)
        if self.otherwise:
            found = with_other_readings(found, self._others(subject, needed=True))
        return found if self.expected is None else self._held_against_twin(found, subject)

    def forecast(self) -> Forecast:
        """Run a few samples and say what all would need."""
        for name, given in (
            ("otherwise", self.otherwise),
            ("scheduler", self.scheduler),
            ("expected", self.expected),
        ):
            if given:
                why = {
                    "scheduler": "tells what this machine needs",
                    "expected": "runs a few samples only and compares nothing",
                }
                raise RefsimError(
                    f"--plan {why.get(name, 'runs a few samples only')}; leave --{name} out."
                )
        if (case := self._lone_case()) is not None:
            raise RefsimError(f"case {case.path}: is about single neurons; leave --plan out.")
        subject = self._subject()
        data = self._data(subject)
        if isinstance(data["source"], Drive):
            raise RefsimError("--plan reads the first samples of a file; give one with --data.")
        return forecast_on(subject.network, data, self._plan(subject))

    def _subject(self) -> Subject:
        return subject_of(self.what, self.against, self.said)

    def _lone_case(self) -> Case | None:
        """Return a case about single neurons, which takes no data and no engines."""
        path = Path(self.what) if isinstance(self.what, str | os.PathLike) else None
        case = case_in(path) if path is not None and path.is_file() else None
        if case is None or case.kind == "network":
            return None
        if self.data or self.engines or self.dtypes or self.fine is not None:
            raise RefsimError(
                f"case {case.path}: is about single neurons and takes no data or engine options."
            )
        if self.expected is not None:
            raise RefsimError(f"case {case.path}: is about single neurons; leave --expected out.")
        return case

    def _data(self, subject: Subject) -> Mapping[str, Any]:
        """Return what to run on; data of one's own takes nothing from the case's."""
        own = (
            {}
            if subject.case is None or "source" in self.data
            else subject.case.table.get("data", {})
        )
        data = {**own, **self.data}
        if "source" not in data:
            raise RefsimError(
                "no data is given to run the network on: --data FILE (npz, npy, csv, idx) or "
                "--data digits, and --steps T."
            )
        return data

    def _plan(self, subject: Subject) -> Plan:
        table = {} if subject.case is None else subject.case.table
        fine = list(table.get("fine", [])) if self.fine is None else list(dict.fromkeys(self.fine))
        made = {"workers": self.workers, "scheduler": self.scheduler}
        if subject.trial is not None:
            if self.engines:
                raise RefsimError(f"{subject.name}: is put on trial itself; leave --engine out.")
            return replace(make_plan([], fine, **made), trials=(subject.trial,))
        engines = tuple(each for each in self.engines if not isinstance(each, str))
        named = self._named(list(table.get("trials", [])), subject.network) if not engines else []
        plan = make_plan(named, fine, device=self.said.device or "cpu", **made)
        return replace(plan, trials=(*plan.trials, *engines))

    def _named(self, default: list[str], network: Network) -> list[str]:
        """Return the engines on trial by name.

        Whole numbers, which float32 does not hold, go on trial in float64 alone.
        """
        if default and not self.engines and not self.dtypes:
            return default
        whole, names = any("integer" in layer.model.traits for layer in network.layers), []
        for engine in self.engines or ["torch"]:
            if engine not in ENGINES:
                raise RefsimError(
                    f"engine: must be one of {listed(ENGINES)}, or an engine such as "
                    f"refsim.Torch(), but is {engine!r}."
                )
            known = ENGINES[str(engine)]
            wanted = self.dtypes or [
                dtype for dtype in known if not whole or dtype == "float64" or len(known) == 1
            ]
            if surplus := set(wanted) - set(known):
                raise RefsimError(
                    f"--engine {engine} goes on trial in {' or '.join(known)}, not in "
                    f"{listed(surplus)}: the reference is Brian2 in float64."
                )
            names += [f"{engine} {dtype}" for dtype in wanted]
        return list(dict.fromkeys(names))

    def _run(self, subject: Subject, data: Mapping[str, Any]) -> Findings:
        plan, network = self._plan(subject), subject.network
        if isinstance(data["source"], Drive):
            if surplus := set(data) - {"source", "labels"}:
                raise RefsimError(
                    "validate: data is a Drive, which is encoded already; leave "
                    f"{listed(surplus)} out."
                )
            drive = data["source"]
            labels, facts = _labels(data.get("labels"), drive.n_samples), {"name": "given drive"}
        else:
            found, drive = drive_on(network, data)
            labels, facts = found.labels, _facts(found, data)
        return validate_network(
            network, drive, plan, subject.claims, labels=labels, title=subject.title, data=facts
        )

    def _others(self, subject: Subject, *, needed: bool = False) -> Any:
        """Return how the file is read under every other answer to what it leaves unsaid."""
        from ..files.formats import otherwise
        from ..files.reading import Asked

        asked = Asked(self.said.describe, self.said.dt, self.said.convention)
        others = (
            {}
            if subject.reading is None or self.against is not None
            else otherwise(self.what, subject.reading, asked)
        )
        if needed and not others:
            raise RefsimError(
                f"--otherwise: {self.what or 'the case'} leaves nothing unsaid; refsim inspect "
                "tells what a file leaves open."
            )
        return others

    def _held_against_twin(self, found: Findings, subject: Subject) -> Findings:
        """Add the verdict on recorded spikes."""
        assert self.expected is not None
        late = np.zeros(1, np.int64) if subject.reading is None else subject.reading.output_delay
        readings = {name: again(read_anew) for name, read_anew in self._others(subject).items()}
        return hold_against(found, self.expected, code_claims(subject.claims), late, readings)


def _with_parties(found: Findings, subject: Subject) -> Findings:
    """Add who was declared, read and on trial, what was taken for granted and left aside, and in
    what a module is not what is declared.
    """
    facts: dict[str, Any] = {"parties": subject.parties}
    if (reading := subject.reading) is not None:
        facts |= {
            name: list(lines)
            for name, lines in (("assumed", reading.assumed), ("ignored", reading.aside))
            if lines
        }
    verdicts = found.verdicts
    if subject.trial is not None and subject.declared and subject.read is not None:
        apart = differences(subject.network, subject.read)
        verdicts = (*verdicts, judge_readings(apart, subject.name))
        facts |= {"differs": [each.said for each in apart]} if apart else {}
    return replace(found, data={**(found.data or {}), **facts}, verdicts=verdicts)


def _facts(found: Dataset, data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": found.name,
        "encoder": data.get("encoder") or "current",
        "labels": found.labels is not None,
    }


def _labels(given: Any, n_samples: int) -> Ints | None:
    return None if given is None else labels_of(given, n_samples)
