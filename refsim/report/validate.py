"""compare: two recordings in, a report out.

validate: a network, a file or a live module in, a report out; what ``refsim validate`` does, from
Python.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cases.against_recorded import compare_recorded
from ..cases.case import standard_claims
from ..cases.findings import Findings
from ..cases.network import CODE_MEASURES, applying, judge_calls, judge_code
from ..cases.subject import Said, is_live
from ..cases.validation import Validation
from ..core.errors import RefsimError
from ..judge.expected import Expected
from ..networks.drive import Drive
from ..networks.network import Network
from ..networks.recording import Engine, Recording
from .report import Report


def compare(reference: Recording, trial: Recording) -> Report:
    """Compare two runs of one network on one drive, spike by spike.

    Parameters
    ----------
    reference, trial : Recording
        As `refsim.run` returns them. With ``record=("before_reset",)`` the report shows both
        membranes where they part.

    Returns
    -------
    Report
        With ``.verdict`` ("pass", "fail" or "inconclusive"), ``.sentence``, ``.text()`` and
        ``.save(folder)``.

    Raises
    ------
    RefsimError
        Where the runs differ in shape or input.
    """
    found = compare_recorded(reference, trial)
    claims = [
        claim
        for claim in applying(standard_claims(), reference.network)
        if claim.measure in CODE_MEASURES
    ]
    verdicts = [*(judge_code(claim, found) for claim in claims), *judge_calls(trial)]
    facts = {
        "samples": reference.drive.n_samples,
        "steps": reference.drive.n_steps,
        "inputs": reference.drive.n_inputs,
        "drive": reference.drive.made.get("kind"),
    }
    return Report(
        Findings(
            "Comparison of two runs", tuple(verdicts), reference.network, facts, reference, (found,)
        )
    )


def validate(
    what: Any = None,
    data: Any = None,
    *,
    against: Network | str | Path | Any = None,
    labels: Any = None,
    dt: float | str | None = None,
    steps: int | None = None,
    encoder: str | None = None,
    scale: float | None = None,
    samples: int | None = None,
    seed: int | None = None,
    engine: str | Engine | Sequence[str | Engine] | None = None,
    dtype: str | Sequence[str] | None = None,
    device: str | None = None,
    fine: Sequence[int] | None = None,
    expected: Any = None,
    expected_axes: str | None = None,
    expected_dtype: str | None = None,
    expected_delay: int | Mapping[str, int] | None = None,
    otherwise: bool = False,
    describe: str | Path | Mapping[str, Any] | None = None,
    convention: Mapping[str, str] | None = None,
    input_shape: Sequence[int] | None = None,
    layout: str | None = None,
    workers: int | None = None,
    scheduler: Any = None,
) -> Report:
    """Say whether a network is what it is declared to be, as ``refsim validate`` does.

    Three parties have names in the report: what is **declared** (a network, description or file),
    what was **read** from a module, and the
    **trial**, whose code ran. Of a file or a network, refsim's own steps go on trial; your own code
    runs only where `what` is a module.

    Parameters
    ----------
    what : nn.Module, Network, path or str, optional
        A live module, or ``"net.py:make"``, which is put on trial; a network, or a file as of
        `refsim.bridge.load`; a case of validation/. By default the network that comes with refsim.
    data : Drive, array, path or str
        Input: a drive; currents (n_samples, n_steps, n_inputs); values (n_samples, n_inputs), held
        or encoded for `steps`; or a file, as after ``--data``. A case has its own.
    against : Network, nn.Module, path or str, optional
        What a live module is held against. By default it is held against what refsim reads in it.
    labels : (n_samples,) int or path, optional
        For the accuracy.
    dt : float or str, optional
        Duration of a step, where `what`, `against` and a drive in `data` do not say it.
    steps, encoder, scale, samples, seed
        How data become input; as on the command line.
    engine : {"torch", "discrete", "brian2"} or engine, or several
        On trial against Brian2, of a file or a network.
    dtype : {"float64", "float32"}, or both
        Of the engine on trial; of a module that ``"net.py:make"`` makes.
    device : str, optional
        Of PyTorch; of a module by default its own.
    fine : sequence of int
        Also run the ODE at dt/K for each K.
    expected : path, array or dict of arrays by layer, optional
        Spikes that the framework recorded, as `refsim.recorded` takes them.
    expected_axes, expected_dtype, expected_delay : optional
        Their order, the dtype the framework computed in (by default float32), and by how many steps
        they are late.
    otherwise : bool
        Also report the accuracy under every other answer to what a file leaves unsaid.
    describe, convention, input_shape, layout
        As of `refsim.bridge.load`.
    workers : int, optional
        Processes of Brian2 at once; by default one a core.
    scheduler
        Of Dask, as of `refsim.Brian2`.

    Returns
    -------
    Report
        With ``.verdict``, ``.sentence``, ``.text()`` and ``.save(folder)``.

    Raises
    ------
    RefsimError
        For input that cannot be used, with what is needed.
    """
    words = {
        "source": data,
        "labels": labels,
        "steps": steps,
        "encoder": encoder,
        "scale": scale,
        "samples": samples,
        "seed": seed,
    }
    given = {name: value for name, value in words.items() if value is not None}
    if given and data is None and what is None:
        raise RefsimError("validate: data options are of data=..., which is not given.")
    shape = None if input_shape is None else tuple(input_shape)
    if dt is None and isinstance(data, Drive) and is_live(what):
        dt = data.dt  # a drive says how long its step is, and a module does not
    said = Said(describe, dt, dict(convention or {}), shape, layout, device, _single(dtype, what))
    recorded = (
        None
        if expected is None
        else Expected(expected, expected_axes, expected_dtype, expected_delay)
    )
    if (
        expected is None
        and (surplus := expected_axes or expected_dtype or expected_delay) is not None
    ):
        raise RefsimError(
            f"validate: {surplus!r} is said of recorded spikes, and none are given: expected=...."
        )
    asked = Validation(
        what,
        given,
        against,
        said,
        _several(engine),
        () if said.dtype else _several(dtype),
        fine,
        recorded,
        otherwise,
        os.cpu_count() or 1 if workers is None else workers,
        scheduler,
    )
    return Report(asked.findings())


def _several(given: Any) -> tuple[Any, ...]:
    """Return one or several as several."""
    return (
        ()
        if given is None
        else (given,)
        if isinstance(given, str) or not isinstance(given, Sequence)
        else tuple(given)
    )


def _single(dtype: Any, what: Any) -> str | None:
    """Return the dtype of a live module, which is run in one."""
    names = _several(dtype)
    if not names or not is_live(what):
        return None
    if len(names) > 1:
        raise RefsimError(
            f"{what}: is run in one dtype; give dtype once, or none, and it is run as it is."
        )
    return str(names[0])
