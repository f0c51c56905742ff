"""Result: what an experiment found, as columns with units, which prints and saves itself.

Before it stand the quantities that people write and read: ranges such as ``"0:2nA:21"`` come in,
``"0.1 nA"`` goes out, and inside all is SI. Drawing is in `refsim.experiments.plots`.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._version import VERSION
from ..cards.neuron import NeuronModel
from ..core.arrays import Floats
from ..core.errors import RefsimError
from ..core.units import PREFIXES, SYMBOLS, numbers_in_si
from ..core.whole_files import whole

_PREFIXES = {
    power: prefix for prefix, power in PREFIXES.items() if power % 3 == 0 and -15 <= power <= 9
}
_MOST = 10_000  # points of a range


def span(given: str | float | ArrayLike, unit: str, where: str) -> Floats:
    """Read a list or a range of quantities.

    Parameters
    ----------
    given : str, float or sequence
        ``"0:2nA:21"`` (from, to, how many), ``"1, 2, 5 nA"``, a number, or numbers in SI.
    unit : str
        The base unit needed.
    where : str
        Opens the error message.

    Returns
    -------
    (n,) float64, in SI

    Raises
    ------
    RefsimError
        Where it is neither, or of another unit.
    """
    if isinstance(given, str):
        return (
            _range(given, unit, where) if ":" in given else _listed(given.split(","), unit, where)
        )
    values: Iterable[object] = np.atleast_1d(np.asarray(given, dtype=object)).ravel()
    return _listed(list(values), unit, where)


def parameter_values(model: NeuronModel, name: str, given: str | float | ArrayLike) -> Floats:
    """Read values of a parameter, each within the bounds of its card."""
    parameter = model.parameter(name)
    values = span(given, parameter.unit, name)
    for value in values:
        parameter.check(float(value), f"card '{model.name}': parameter {name}")
    return values


def _range(text: str, unit: str, where: str) -> Floats:
    parts = text.split(":")
    if len(parts) != 3 or not parts[2].strip().isdecimal() or not 2 <= int(parts[2]) <= _MOST:
        raise RefsimError(
            f"{where}: a range is written FROM:TO:HOW_MANY, such as '0:2:21', with 2 to {_MOST} "
            f"points, but {text!r} was given."
        )
    first, last = _listed(parts[:2], unit, where)
    return np.linspace(first, last, int(parts[2]))


def _listed(parts: Sequence[object], unit: str, where: str) -> Floats:
    """Read numbers; a unit behind the last one holds for those before it that have none."""
    if not len(parts):
        raise RefsimError(f"{where}: needs at least one number.")
    return np.array(numbers_in_si(parts, unit, where))


def scale(values: ArrayLike, unit: str) -> tuple[float, str]:
    """Return the factor and the symbol that make numbers readable, such as ``(1e3, "mV")``."""
    if unit not in SYMBOLS:
        return 1.0, "" if unit == "1" else unit
    finite = np.abs(np.asarray(values, float))
    largest = max((float(value) for value in finite.ravel() if math.isfinite(value)), default=0.0)
    # The prefix that leaves one to three digits before the point.
    power = 3 * math.floor(math.log10(largest) / 3 + 1e-9) if largest > 0 else 0
    power = min(max(power, -15), 9)
    if unit == "hertz":
        power = max(power, 0)  # nobody writes mHz
    return 10.0**-power, _PREFIXES[power] + SYMBOLS[unit]


def readable(value: float, unit: str) -> str:
    """Write one quantity: ``0.1 nA``, ``13.5 ms``, ``0.5``; ``none`` for NaN."""
    if not math.isfinite(value):
        return "none" if math.isnan(value) else "infinite"
    factor, symbol = scale(value, unit)
    return f"{value * factor:.4g} {symbol}".strip()


def axis(name: str, symbol: str, *, low: bool = False) -> str:
    """Write the label of an axis, its unit in brackets.

    It takes two lines on a panel too low for one.
    """
    return f"{name}{chr(10) if low else ' '}({symbol or 'dimensionless'})"


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
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def main(self) -> Table:
        """The main table."""
        return next(iter(self.tables.values()))

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column of the main table by name, in SI."""
        if name not in self.main:
            raise RefsimError(
                f"experiment {self.kind}: has no column '{name}'; it has {', '.join(self.main)}."
            )
        return self.main[name].values

    def text(self) -> str:
        """Return the facts and a short table, at most 80 characters wide."""
        facts = [
            f"  {name:<16} {readable(fact.value, fact.unit):<14} {fact.meaning}"[:_WIDTH].rstrip()
            for name, fact in self.facts.items()
        ]
        # The settings, cut where a terminal ends.
        head = (
            f"{self.kind} of {self.model.name}, "
            f"{', '.join(f'{key} {value}' for key, value in self.settings.items())}"
        )
        lines = [
            head if len(head) <= _WIDTH else head[: _WIDTH - 3] + "...",
            *facts,
            "",
            *self._rows(),
        ]
        return "\n".join(lines)

    def _rows(self) -> list[str]:
        wide = {name: max(13, len(name) + 2) for name in self.main}
        # As many columns as a terminal is wide.
        fitting = itertools.accumulate(wide.values())
        shown = {
            name: column
            for (name, column), end in zip(self.main.items(), fitting, strict=True)
            if end <= _WIDTH
        }
        scales = {name: scale(column.values, column.unit) for name, column in shown.items()}
        lines = [
            "".join(f"{name:>{wide[name]}}" for name in shown),
            "".join(f"{scales[name][1]:>{wide[name]}}" for name in shown),
        ]
        length = len(next(iter(shown.values())).values)
        # As many rows as a terminal is high, spread over all.
        rows = (
            range(length)
            if length <= _ROWS
            else np.unique(np.linspace(0, length - 1, _ROWS).round().astype(int))
        )
        lines += [
            "".join(
                f"{_cell(column.values[row], scales[name][0]):>{wide[name]}}"
                for name, column in shown.items()
            )
            for row in rows
        ]
        # What is left out is said, and how to get it.
        if length > _ROWS or len(shown) < len(self.main):
            lines.append(
                f"  {len(rows)} of {length} rows, {len(shown)} of {len(self.main)} columns; "
                "--out FILE.csv writes all"
            )
        return [line.rstrip() for line in lines if line.strip()]

    def save_csv(self, path: str | Path) -> list[Path]:
        """Write the main table, and each other table beside it as ``NAME.TABLE.csv``.

        Numbers are in SI, with the unit in each header.
        """
        target, written = Path(path), []
        for index, (name, table) in enumerate(self.tables.items()):
            # The first table has the name that was given.
            place = target if index == 0 else target.with_suffix(f".{name}{target.suffix}")
            header = ",".join(
                column if entry.unit == "1" else f"{column}_{entry.unit}"
                for column, entry in table.items()
            )
            values = np.stack([entry.values.astype(np.float64) for entry in table.values()], axis=1)
            _writing(place, partial(_write_csv, values=values, header=header))
            written.append(place)
        return written

    def save_npz(self, path: str | Path) -> Path:
        """Write every column as ``table.column`` in SI, and ``about``.

        ``about`` is JSON with model, units, facts and settings.
        """
        arrays = {
            f"{table}.{name}": column.values
            for table, columns in self.tables.items()
            for name, column in columns.items()
        }
        units = {
            f"{table}.{name}": column.unit
            for table, columns in self.tables.items()
            for name, column in columns.items()
        }
        # All that is needed to know what the numbers are.
        about = {
            "refsim": VERSION,
            "experiment": self.kind,
            "card": self.model.name,
            "settings": dict(self.settings),
            "units": units,
            "parameters": {
                name: parameter.value for name, parameter in self.model.parameters.items()
            },
            "facts": {
                name: [fact.value if np.isfinite(fact.value) else None, fact.unit]
                for name, fact in self.facts.items()
            },
        }
        # NumPy adds this ending where there is another.
        target = Path(path) if Path(path).suffix == ".npz" else Path(f"{path}.npz")
        columns: dict[str, Any] = {"about": json.dumps(about, default=str), **arrays}
        _writing(target, lambda made: np.savez(made, **columns))
        return target


def _write_csv(path: Path, *, values: Floats, header: str) -> None:
    np.savetxt(path, values, "%.17g", ",", header=header, comments="")


def _cell(value: float, factor: float) -> str:
    return "-" if not np.isfinite(value) else f"{value * factor:.5g}"


def _writing(path: Path, write: Callable[[Path], None]) -> None:
    try:
        with whole(path) as made:
            write(made)
    except OSError as error:
        raise RefsimError(f"{path}: cannot be written ({error.strerror}).") from None
