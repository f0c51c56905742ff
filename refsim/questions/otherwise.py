"""How much hangs on what a file leaves unsaid: the accuracy of the network under every other answer, reported and not judged."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..claims import Claim, Verdict
from ..errors import RefsimError
from ..progress import progress
from ..recording import OUTPUT
from .findings import Findings

_BECAUSE = "Reported: a file that leaves this unsaid can be read either way, and nobody can be blamed for the other reading."


def with_other_readings(findings: Findings, readings: Mapping[str, Callable[[], Any]]) -> Findings:
    """Add to the findings the accuracy of each other reading, run by refsim's PyTorch steps in float32 on the same input.

    Parameters
    ----------
    readings : dict of str to function
        What is taken otherwise, ``reset='to v_reset'``, and a function that reads the file so: what it returns has the ``network``.

    Raises
    ------
    RefsimError
        Where the data have no labels.
    """
    from ..pytorch.engine import Torch

    reference, labels = findings.reference, findings.labels
    assert reference is not None
    if labels is None:
        raise RefsimError("--otherwise reports accuracies, and the data have no labels: --labels FILE.")
    rows = []
    with progress(reference.drive.n_samples * len(readings), "otherwise"):
        for name, read in readings.items():
            claim = Claim("task", f"accuracy, {name}", None, "share of samples", _BECAUSE)
            try:
                network = read().network
                ran = Torch(dtype="float32").run(network, reference.drive, (OUTPUT,))
            except RefsimError as error:  # not every answer goes with every other
                rows.append(Verdict(claim, None, "skipped", detail=str(error)))
                continue
            rows.append(Verdict(claim, float(np.mean(ran.decisions() == labels)), "reported", run=ran.label))
    return replace(findings, verdicts=(*findings.verdicts, *rows))
