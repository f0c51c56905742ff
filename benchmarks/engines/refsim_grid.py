"""Brian2 in grid mode, from the dense array.

Packing, files, the start of the compiled program, its results, all counted.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import refsim

from ..case import DECAY, V_TH, Case
from ..measuring import serve

CARD = Path(__file__).parents[2] / "examples" / "lif_soft.toml"


def network(case: Case, dtype: str) -> refsim.Network:
    """Return the case's network."""
    lif = refsim.load(CARD, decay=DECAY, v_th=V_TH, amount=V_TH)
    return refsim.Network.dense(
        [(weight.astype(dtype), None, lif) for weight in case.weights], "1 ms"
    )


def prepare(case: Case, dtype: str) -> Callable[[], Any]:
    """Compile (the first run does), then run with what is compiled."""
    engine = refsim.Brian2(dtype=dtype, target="cpp", margin="margin" in sys.argv[3:])
    net = network(case, dtype)
    return lambda: refsim.run(net, refsim.Drive.raster(case.dense, "1 ms"), engine)


def dense(outcome: Any, case: Case) -> list[Any]:
    """Return the spikes as arrays."""
    return [train.dense() for train in outcome.spikes]


if __name__ == "__main__":
    serve(prepare, dense, "refsim", "brian2", "numpy")
