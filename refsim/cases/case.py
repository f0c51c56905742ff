"""Read a case: a TOML file in validation/ that names a question, what to run, and each limit with
its because.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..cards.neuron import NeuronModel
from ..cards.questions import written_parameters
from ..cards.read import load
from ..core.claims import Claim
from ..core.errors import RefsimError, listed
from ..core.shelf import shelf
from ..core.tables import CASE, CLAIM, DATA, check_kinds, read_toml
from ..core.units import quotient, to_si
from ..networks.data import Dataset, encode, given_data, read_data
from ..networks.drive import Drive
from ..networks.network import Network, positive_time
from ..networks.rasters import read_event_rows
from .findings import Findings
from .forecast import Forecast, check_input, forecast, tried_samples
from .gradient import validate_gradient
from .network import Plan, make_plan, validate_network
from .neuron import (
    read_curve,
    read_rival,
    validate_curve,
    validate_neuron,
    validate_rival,
    validate_steps,
)

_KEYS = {
    "network": {"title", "kind", "network", "data", "trials", "fine", "claim"},
    "neuron": {
        "title",
        "kind",
        "neuron",
        "parameters",
        "dt",
        "inputs",
        "times",
        "expected",
        "claim",
    },
    "curve": {
        "title",
        "kind",
        "neuron",
        "parameters",
        "dt",
        "input",
        "pulse",
        "steps",
        "expected",
        "claim",
    },
    "nest": {
        "title",
        "kind",
        "neuron",
        "figures",
        "from_nest",
        "start",
        "input",
        "resolutions",
        "until",
        "claim",
    },
    "step": {"title", "kind", "neurons", "claim"},
    "gradient": {
        "title",
        "kind",
        "network",
        "loss",
        "options",
        "surrogate",
        "detach_reset",
        "dtype",
        "data",
        "claim",
    },
}
_FEW = 16  # samples that show how much input there will be
_CLAIM = {"question", "measure", "limit", "unit", "because", "sense"}


@dataclass(frozen=True)
class Case:
    """A case as read; `run` answers it."""

    path: Path
    table: Mapping[str, Any]
    claims: tuple[Claim, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """``network``, ``neuron``, ``curve``, ``nest`` or ``step``."""
        return str(self.table["kind"])

    def run(self) -> Findings:
        """Answer the case; what is wrong with it is said with its name."""
        try:
            return self._answer()
        except RefsimError as error:
            here, said = f"case {self.path}", str(error).removeprefix("case: ")
            raise RefsimError(said if said.startswith(here) else f"{here}: {said}") from error

    def _answer(self) -> Findings:
        title = str(self.table["title"])
        if self.kind == "network":
            return validate_on(
                self.load(),
                self.table["data"],
                self.claims,
                title,
                make_plan(self.table.get("trials", []), self.table.get("fine", [])),
            )
        if self.kind == "step":
            models = [load(name) for name in self.table["neurons"]]
            return Findings(title, validate_steps(models, self.claims))
        if self.kind == "gradient":
            network = self.load()
            return Findings(
                title,
                tuple(
                    validate_gradient(
                        network, *drive_on(network, self.table["data"]), self.table, self.claims
                    )
                ),
            )
        model = load(self._near(self.table["neuron"]))
        model = model.with_parameters(
            **written_parameters(model, self.table.get("parameters", {}), "case: ")
        )
        if self.kind == "curve":
            return Findings(title, validate_curve(read_curve(model, self.table), self.claims))
        if self.kind == "nest":
            return Findings(title, validate_rival(read_rival(model, self.table), self.claims))
        return Findings(
            title,
            validate_neuron(
                model, self._inputs(model), self.table["dt"], self.table["expected"], self.claims
            ),
        )

    def _inputs(self, model: NeuronModel) -> list[float]:
        """Return the input of each step, which may be said in multiples of a parameter."""
        by = model.parameter(self.table["times"]) if "times" in self.table else None
        unit = quotient(model.input_unit, by.unit) if by else model.input_unit
        told = [to_si(each, unit, "case: inputs", written=True) for each in self.table["inputs"]]
        return [each * by.value for each in told] if by else told

    def _near(self, name: str) -> str | Path:
        """Return a card by name, or by its path beside the case."""
        return self.path.parent / name if name.endswith(".toml") else name

    def load(self) -> Network:
        """Load the network of a case of kind network."""
        from ..bridge import load_described

        return load_described(self.path.parent / self.table["network"])


def validate_on(
    network: Network, data: Mapping[str, Any], claims: tuple[Claim, ...], title: str, plan: Plan
) -> Findings:
    """Read and encode the data, then validate the network on it.

    Parameters
    ----------
    data : dict
        source; perhaps labels, encoder, steps, scale, samples, seed.
    """
    found, drive = drive_on(network, data)
    facts = {
        "name": found.name,
        "encoder": data.get("encoder") or "current",
        "labels": found.labels is not None,
    }
    return validate_network(
        network, drive, plan, claims, labels=found.labels, title=title, data=facts
    )


def drive_on(network: Network, data: Mapping[str, Any]) -> tuple[Dataset, Drive]:
    """Read data and encode it for a network.

    What would need more memory than there is, is refused first.
    """
    found = _read(data, network)
    if found.events is None:
        check_input(
            found.n_samples, _encoded(found.head(min(found.n_samples, _FEW)), data, network)
        )
    return found, _encoded(found, data, network)


def forecast_on(network: Network, data: Mapping[str, Any], plan: Plan) -> Forecast:
    """Read the data, run its first samples, and tell what a validation on all of it will need."""
    found = _read(data, network)
    if found.events is not None:  # a list of events is encoded whole
        drive = _encoded(found, data, network)
        return forecast(
            network,
            drive.take(np.arange(tried_samples(network, found.n_samples, drive.n_steps))),
            found.n_samples,
            plan,
        )
    tried = tried_samples(network, found.n_samples, _encoded(found.head(1), data, network).n_steps)
    return forecast(network, _encoded(found.head(tried), data, network), found.n_samples, plan)


def _read(data: Mapping[str, Any], network: Network) -> Dataset:
    known = {"source", "labels", "encoder", "steps", "scale", "samples", "seed"}
    if surplus := set(data) - known:
        raise RefsimError(f"data: {listed(surplus)} is not a known key; known are {listed(known)}.")
    if data.get("encoder") == "events" and (
        rows := read_event_rows(
            data["source"], data.get("labels"), data.get("steps"), network.n_inputs
        )
    ):
        return rows
    take = read_data if isinstance(data["source"], str | Path) else given_data
    found = take(data["source"], data.get("labels"), scale=data.get("scale", 1.0))
    return found if data.get("samples") is None else found.head(data["samples"])


def _encoded(found: Dataset, data: Mapping[str, Any], network: Network) -> Drive:
    return encode(
        found, data.get("encoder"), data.get("steps"), network.dt, seed=data.get("seed", 0)
    )


def read_case(path: str | Path) -> Case:
    """Read and check a case file.

    Raises
    ------
    RefsimError
        With the file, the key and what to write.
    """
    path = Path(path)
    table, _ = read_toml(path, f"case {path}")
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in _KEYS:
        raise RefsimError(f"case {path}: kind must be one of {listed(_KEYS)}, but is {kind!r}.")
    if surplus := set(table) - _KEYS[kind]:
        raise RefsimError(
            f"case {path}: {listed(surplus)} is not a known key; known are {listed(_KEYS[kind])}."
        )
    needed = _KEYS[kind] - {
        "options",
        "detach_reset",
        "dtype",
        "parameters",
        "times",
        "trials",
        "fine",
        "pulse",
        "until",
    }
    if missing := needed - set(table):
        raise RefsimError(
            f"case {path}: {listed(missing)} is missing; needed are {listed(needed)}."
        )
    check_kinds(table, CASE, f"case {path}")
    check_kinds(table.get("data", {}), DATA, f"case {path}: data")
    if "dt" in table:
        positive_time(table["dt"], f"case {path}: dt", written=True)
    return Case(path, table, read_claims(table, f"case {path}"))


def read_claims(table: Mapping[str, Any], where: str) -> tuple[Claim, ...]:
    """Read the [[claim]] tables; a case without a claim cannot fail and is refused."""
    rows = table.get("claim")
    if not isinstance(rows, list) or not rows:
        raise RefsimError(
            f"{where}: claims nothing, and so cannot fail; write at least one [[claim]]."
        )
    claims = []
    for row in rows:
        if (
            not isinstance(row, dict)
            or set(row) - _CLAIM
            or {"question", "measure", "unit", "because"} - set(row)
        ):
            raise RefsimError(
                f"{where}: a claim has the keys {listed(_CLAIM)} (limit may be left out to "
                f"report only), but one has {listed(row)}."
            )
        check_kinds(row, CLAIM, f"{where}: a claim")
        limit = (
            to_si(row["limit"], "1", f"{where}: limit of {row['measure']}")
            if "limit" in row
            else None
        )
        claims.append(
            Claim(
                row["question"],
                row["measure"],
                limit,
                row["unit"],
                row["because"],
                row.get("sense", "at most"),
            )
        )
    return tuple(claims)


def demo_case() -> Case:
    """Return the case that `refsim validate` runs when it is given nothing."""
    return read_case(shelf("validation") / "code" / "digits.toml")


def standard_claims() -> tuple[Claim, ...]:
    """Return the claims that any network is held against."""
    path = shelf("validation") / "code" / "any_network.toml"
    return read_claims(tomllib.loads(path.read_text("utf-8")), f"case {path}")
