"""Brian2 written the usual way.

One copy of the network a sample, Synapses in between, C++ standalone, compiled apart.

Built well: no pairs are tried in vain, the weights are stored once and looked up, the flags are
refsim's, layers act in the same step, and the input is swapped at run time without a build. Each
run makes its synapses anew, as a standalone program does.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import brian2
import numpy as np
from brian2 import ms

from ..case import DECAY, V_TH, Case
from ..measuring import serve

FLAGS = ["-w", "-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-std=c++11"]
LOOKUP = (
    "static inline double {name}(int pre, int post) {{ return "
    "_namespace{name}_values[(int64_t)(pre % {n_pre})*{n_post} + post % {n_post}]; }}"
)


def lookup(name: str, weight: Any, dtype: str) -> Any:
    """Return a Brian2 function (pre, post) -> weight, the same for all copies."""
    n_post, n_pre = weight.shape

    @brian2.implementation(
        "cpp",
        LOOKUP.format(name=name, n_pre=n_pre, n_post=n_post),
        namespace={f"{name}_values": weight.T.astype(dtype).ravel()},
    )
    @brian2.check_units(pre=1, post=1, result=1)
    def function(pre: Any, post: Any) -> Any:
        raise NotImplementedError

    return function


def layer(size: int, slot: int) -> list[Any]:
    """Return neurons that update, fire and reset in one step, after the spikes from below."""
    group = brian2.NeuronGroup(
        size, "v : 1\nI : 1", threshold=f"v >= {V_TH}", reset=f"v -= {V_TH}", name=f"layer{slot}"
    )
    update = group.run_regularly(
        f"kept = {DECAY}*v\nv = kept + I\nI = 0", when="groups", order=10 * slot + 2
    )
    for part, order in ((group.thresholder["spike"], 3), (group.resetter["spike"], 4)):
        part.when, part.order = "groups", 10 * slot + order
    return [group, update]


def network(case: Case, dtype: str) -> tuple[Any, Any, list[Any]]:
    """Return the network, the array of its input and a spike monitor a layer."""
    copies, steps, n_pre = case.dense.shape
    given = brian2.TimedArray(np.zeros((steps, copies * n_pre), dtype), dt=1 * ms, name="given")
    below = brian2.NeuronGroup(
        copies * n_pre, "", threshold="given(t, i) > 0.5", name="input", namespace={"given": given}
    )
    below.thresholder["spike"].when, below.thresholder["spike"].order = "groups", 1
    objects, monitors = [below], []
    for index, weight in enumerate(case.weights):
        n_post, n_pre = weight.shape
        group, update = layer(copies * n_post, index + 1)
        name = f"weight{index}"
        synapses = brian2.Synapses(
            below,
            group,
            on_pre=f"I_post += {name}(i, j)",
            name=f"synapses{index}",
            namespace={name: lookup(name, weight, dtype)},
        )
        synapses.connect(j=f"k for k in range((i//{n_pre})*{n_post}, (i//{n_pre} + 1)*{n_post})")
        synapses.pre.when, synapses.pre.order = "groups", 10 * (index + 1) + 1
        monitors.append(brian2.SpikeMonitor(group, name=f"spikes{index}"))
        objects += [group, update, synapses, monitors[-1]]
        below = group
    return brian2.Network(objects), given, monitors


def prepare(case: Case, dtype: str) -> Callable[[], Any]:
    """Compile, and return a run that swaps the input."""
    folder = tempfile.TemporaryDirectory(prefix="refsim-usual-")
    project = str(Path(folder.name) / "project")
    brian2.prefs.core.default_float_dtype = np.dtype(dtype).type
    brian2.prefs.codegen.cpp.extra_compile_args_gcc = FLAGS
    brian2.set_device("cpp_standalone", build_on_run=False, directory=project)
    brian2.defaultclock.dt = 1 * ms
    copies, steps, n_inputs = case.dense.shape
    whole, given, monitors = network(case, dtype)
    whole.run(steps * ms)
    brian2.device.build(directory=project, compile=True, run=False)

    def run() -> list[tuple[Any, Any]]:
        values = case.dense.swapaxes(0, 1).reshape(steps, copies * n_inputs).astype(dtype)
        brian2.device.run(directory=project, run_args={given: values})
        return [
            (np.rint(np.asarray(monitor.t / ms)).astype(np.int64), np.asarray(monitor.i))
            for monitor in monitors
        ]

    run.folder = folder  # type: ignore[attr-defined]  # lives as long as the run
    return run


def dense(outcome: Any, case: Case) -> list[Any]:
    """Return the spikes as arrays."""
    copies, steps, _ = case.dense.shape
    arrays = [np.zeros((copies, steps, size), bool) for size in case.sizes[1:]]
    for array, (step, index) in zip(arrays, outcome, strict=True):
        sample, neuron = np.divmod(index, array.shape[2])
        array[sample, step, neuron] = True
    return arrays


if __name__ == "__main__":
    serve(prepare, dense, "brian2", "numpy")
