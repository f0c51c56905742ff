"""Run every script of a folder as its user would, without refsim, and keep what its monitors saw.

Python run_scripts.py FOLDER.
"""

import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

plt.show = lambda: None


def main(folder: Path) -> None:
    for path in sorted(folder.glob("*.py")):
        names = {"__name__": "script"}
        exec(compile(path.read_text("utf-8"), path.name, "exec"), names)
        states, drawn = names["states"], plt.gcf().axes
        saved = {name: getattr(states, f"{name}_")[0] for name in states.record_variables}
        if "spikes" in names:
            saved["spikes"] = np.round(names["spikes"].t_ / float(names["defaultclock"].dt)).astype(
                np.int64
            )
        assert all(axis.lines for axis in drawn)
        assert len(drawn) == len(states.record_variables)
        np.savez(path.with_suffix(".npz"), **saved)
        plt.close("all")
    assert not [name for name in sys.modules if name.partition(".")[0] == "refsim"]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
