"""Result: what an experiment found, as columns with units; it prints and saves itself, and drawing is somebody else's."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._version import VERSION
from ..errors import RefsimError
from ..model import NeuronModel
from ..whole import whole
from .quantities import readable, scale

_ROWS, _WIDTH = 20, 80  # of the table in a terminal; a file holds all rows and columns


@dataclass(frozen=True, eq=False)
class Column:
    """Numbers of one kind, in SI: (n,), their unit, and what they are."""

    values: NDArray[Any]
    unit: str = "1"
    meaning: str = ""


@dataclass(frozen=True)
class Fact:
    """One number that the experiment was made for, in SI."""

    value: float
    unit: str
    meaning: str


Table = Mapping[str, Column]


@dataclass(frozen=True, eq=False)
class Result:
    """The outcome of an experiment.

    Attributes
    ----------
    kind : str
        ``"fi"``, ``"trace"``, ...
    model : NeuronModel
    tables : dict of str to dict of str to Column
        The first is the main one; the columns of a table have one length.
    facts : dict of str to Fact
    settings : dict
        How it was made: dt, refine, input.
    """

    kind: str
    model: NeuronModel
    tables: Mapping[str, Table]
    facts: Mapping[str, Fact] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def main(self) -> Table:
        """The main table."""
        return next(iter(self.tables.values()))

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column of the main table by name, in SI."""
        if name not in self.main:
            raise RefsimError(f"experiment {self.kind}: has no column '{name}'; it has {', '.join(self.main)}.")
        return self.main[name].values

    def text(self) -> str:
        """Return the facts and a short table, at most 80 characters wide."""
        facts = [f"  {name:<16} {readable(fact.value, fact.unit):<14} {fact.meaning}"[:_WIDTH].rstrip() for name, fact in self.facts.items()]
        head = f"{self.kind} of {self.model.name}, {', '.join(f'{key} {value}' for key, value in self.settings.items())}"
        lines = [head if len(head) <= _WIDTH else head[: _WIDTH - 3] + "...", *facts, "", *self._rows()]
        return "\n".join(lines)

    def _rows(self) -> list[str]:
        wide = {name: max(13, len(name) + 2) for name in self.main}
        fitting = itertools.accumulate(wide.values())
        shown = {name: column for (name, column), end in zip(self.main.items(), fitting, strict=True) if end <= _WIDTH}
        scales = {name: scale(column.values, column.unit) for name, column in shown.items()}
        lines = ["".join(f"{name:>{wide[name]}}" for name in shown), "".join(f"{scales[name][1]:>{wide[name]}}" for name in shown)]
        length = len(next(iter(shown.values())).values)
        rows = range(length) if length <= _ROWS else np.unique(np.linspace(0, length - 1, _ROWS).round().astype(int))
        lines += ["".join(f"{_cell(column.values[row], scales[name][0]):>{wide[name]}}" for name, column in shown.items()) for row in rows]
        if length > _ROWS or len(shown) < len(self.main):
            lines.append(f"  {len(rows)} of {length} rows, {len(shown)} of {len(self.main)} columns; --out FILE.csv writes all")
        return [line.rstrip() for line in lines if line.strip()]

    def save_csv(self, path: str | Path) -> list[Path]:
        """Write the main table, and each other table beside it as ``NAME.TABLE.csv``; SI, a unit in each header."""
        target, written = Path(path), []
        for index, (name, table) in enumerate(self.tables.items()):
            place = target if index == 0 else target.with_suffix(f".{name}{target.suffix}")
            header = ",".join(column if entry.unit == "1" else f"{column}_{entry.unit}" for column, entry in table.items())
            values = np.stack([entry.values.astype(np.float64) for entry in table.values()], axis=1)
            _writing(place, lambda made, values=values, header=header: np.savetxt(made, values, "%.17g", ",", header=header, comments=""))
            written.append(place)
        return written

    def save_npz(self, path: str | Path) -> Path:
        """Write every column as ``table.column`` in SI, and ``about``: JSON with model, units, facts and settings."""
        arrays = {f"{table}.{name}": column.values for table, columns in self.tables.items() for name, column in columns.items()}
        units = {f"{table}.{name}": column.unit for table, columns in self.tables.items() for name, column in columns.items()}
        about = {"refsim": VERSION, "experiment": self.kind, "card": self.model.name, "settings": dict(self.settings), "units": units,
                 "parameters": {name: parameter.value for name, parameter in self.model.parameters.items()},
                 "facts": {name: [fact.value if np.isfinite(fact.value) else None, fact.unit] for name, fact in self.facts.items()}}  # fmt: skip
        target = Path(path) if Path(path).suffix == ".npz" else Path(f"{path}.npz")  # as NumPy names it
        _writing(target, lambda made: np.savez(made, about=json.dumps(about, default=str), **arrays))  # type: ignore[arg-type]
        return target


def _cell(value: Any, factor: float) -> str:
    return "-" if not np.isfinite(value) else f"{value * factor:.5g}"


def _writing(path: Path, write: Any) -> None:
    try:
        with whole(path) as made:
            write(made)
    except OSError as error:
        raise RefsimError(f"{path}: cannot be written ({error.strerror}).") from None
