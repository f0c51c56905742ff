"""A case: a TOML file in validation/ that names a question, what to run, and each limit.

`Case` runs one; `validate_on`, `drive_on` and `forecast_on` put a network on data; `read_case` and
`read_claims` read and check the file; `demo_case` and `standard_claims` are the built-in ones.
"""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..cards.neuron import NeuronModel
from ..cards.questions import written_parameters
from ..cards.read import load
from ..core.claims import Claim
from ..core.errors import RefsimError, listed
from ..core.shelf import shelf
from ..core.tables import CASE, CLAIM, DATA, Toml, check_kinds, read_toml
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

# The keys that a case of each kind may have.
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
    """A case as it was read; `run` answers it."""

    path: Path
    table: Toml
    claims: tuple[Claim, ...]
    options: Toml = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """``network``, ``neuron``, ``curve``, ``nest`` or ``step``."""
        return str(self.table["kind"])

    def run(self) -> Findings:
        """Answer the case; errors in it are raised with its name."""
        try:
            return self._answer()
        except RefsimError as error:
            here, said = f"case {self.path}", str(error).removeprefix("case: ")
            raise RefsimError(said if said.startswith(here) else f"{here}: {said}") from error

    def _answer(self) -> Findings:
        """Answer the case by its kind."""
        title = str(self.table["title"])
        if self.kind == "network":
            # The first kind is a whole network on data.
            return validate_on(
                self.load(),
                self.table["data"],
                self.claims,
                title,
                make_plan(self.table.get("trials", []), self.table.get("fine", [])),
            )
        # This kind compares the declared steps of cards with their ODEs.
        if self.kind == "step":
            models = [load(name) for name in self.table["neurons"]]
            return Findings(title, validate_steps(models, self.claims))
        # This kind judges a gradient on data.
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
        # The other kinds are about a single neuron.
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
        """Return the input of each step, which may be given in multiples of a parameter."""
        # An input in multiples of a threshold, say, has the quotient of both units.
        by = model.parameter(self.table["times"]) if "times" in self.table else None
        unit = quotient(model.input_unit, by.unit) if by else model.input_unit
        told = [to_si(each, unit, "case: inputs", written=True) for each in self.table["inputs"]]
        return [each * by.value for each in told] if by else told

    def _near(self, name: str) -> str | Path:
        """Return a card by name, or its path beside the case."""
        return self.path.parent / name if name.endswith(".toml") else name

    def load(self) -> Network:
        """Load the network of a case of kind network."""
        from ..bridge import load_described

        return load_described(self.path.parent / self.table["network"])


def validate_on(
    network: Network, data: Toml, claims: tuple[Claim, ...], title: str, plan: Plan
) -> Findings:
    """Read and encode the data, then validate the network on it.

    Parameters
    ----------
    data : dict
        ``source``; perhaps labels, encoder, steps, scale, samples, seed.

    Returns
    -------
    Findings
    """
    found, drive = drive_on(network, data)
    return validate_network(
        network,
        drive,
        plan,
        claims,
        labels=found.labels,
        title=title,
        data=facts_of_data(found, data),
    )


def facts_of_data(found: Dataset, data: Toml) -> dict[str, object]:
    """Return the name of the data, and how they became input, for a report."""
    return {
        "name": found.name,
        "encoder": data.get("encoder") or "current",
        "labels": found.labels is not None,
    }


def drive_on(network: Network, data: Toml) -> tuple[Dataset, Drive]:
    """Read data and encode it for a network.

    Input that would need more memory than there is, is refused before it is made.

    Raises
    ------
    RefsimError
        Where the data cannot be used, or do not fit into memory.
    """
    found = _read(data, network)
    if found.events is None:
        # A few samples show how large all of them will be.
        check_input(
            found.n_samples, _encoded(found.head(min(found.n_samples, _FEW)), data, network)
        )
    return found, _encoded(found, data, network)


def forecast_on(network: Network, data: Toml, plan: Plan) -> Forecast:
    """Read the data, run its first samples, and say what a validation on all of it will need."""
    found = _read(data, network)
    if found.events is not None:  # a list of events is encoded whole
        drive = _encoded(found, data, network)
        return forecast(
            network,
            drive.take(np.arange(tried_samples(network, found.n_samples, drive.n_steps))),
            found.n_samples,
            plan,
        )
    # One sample shows how many steps there are, and so how many samples to try.
    tried = tried_samples(network, found.n_samples, _encoded(found.head(1), data, network).n_steps)
    return forecast(network, _encoded(found.head(tried), data, network), found.n_samples, plan)


def _read(data: Toml, network: Network) -> Dataset:
    """Read the data of a case, or of a user, from a file or from memory."""
    # A key that is misspelled must not be ignored.
    known = {"source", "labels", "encoder", "steps", "scale", "samples", "seed"}
    if surplus := set(data) - known:
        raise RefsimError(f"data: {listed(surplus)} is not a known key; known are {listed(known)}.")
    # Rows of events are read by their own reader.
    if data.get("encoder") == "events" and (
        rows := read_event_rows(
            data["source"], data.get("labels"), data.get("steps"), network.n_inputs
        )
    ):
        return rows
    # Everything else is a path or an array.
    take = read_data if isinstance(data["source"], str | Path) else given_data
    found = take(data["source"], data.get("labels"), scale=data.get("scale", 1.0))
    return found if data.get("samples") is None else found.head(data["samples"])


def _encoded(found: Dataset, data: Toml, network: Network) -> Drive:
    """Return the data as input of a network."""
    return encode(
        found, data.get("encoder"), data.get("steps"), network.dt, seed=data.get("seed", 0)
    )


def read_case(path: str | Path) -> Case:
    """Read and check a case file.

    Raises
    ------
    RefsimError
        Names the file, the key and what to write.
    """
    path = Path(path)
    table, _ = read_toml(path, f"case {path}")
    # The kind says which keys there may be.
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in _KEYS:
        raise RefsimError(f"case {path}: kind must be one of {listed(_KEYS)}, but is {kind!r}.")
    # Keys of another kind are errors: the case would not test what its author means.
    if surplus := set(table) - _KEYS[kind]:
        raise RefsimError(
            f"case {path}: {listed(surplus)} is not a known key; known are {listed(_KEYS[kind])}."
        )
    # These keys may be left out.
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
    # Types of values, and times with their units.
    check_kinds(table, CASE, f"case {path}")
    check_kinds(table.get("data", {}), DATA, f"case {path}: data")
    if "dt" in table:
        positive_time(table["dt"], f"case {path}: dt", written=True)
    return Case(path, table, read_claims(table, f"case {path}"))


def read_claims(table: Toml, where: str) -> tuple[Claim, ...]:
    """Read the [[claim]] tables; a case without a claim cannot fail, so it is refused.

    Returns
    -------
    tuple of Claim

    Raises
    ------
    RefsimError
        Where there is none, or a key is missing or unknown.
    """
    rows = table.get("claim")
    if not isinstance(rows, list) or not rows:
        raise RefsimError(
            f"{where}: claims nothing, and so cannot fail; write at least one [[claim]]."
        )
    # Each claim needs its reason; a limit may be left out.
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
        # A claim without a limit only reports.
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
    """Return the claims that any network is judged by."""
    path = shelf("validation") / "code" / "any_network.toml"
    return read_claims(tomllib.loads(path.read_text("utf-8")), f"case {path}")
