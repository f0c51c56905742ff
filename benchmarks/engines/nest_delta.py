"""NEST: iaf_psc_delta neurons, which decay exactly and reset to zero, in a copy for each sample.

NEST is built apart. A spike takes at least a step from layer to layer and there is no soft reset,
so the dynamics are others: timing only. NEST computes in double precision whatever is asked of it.
"""

from collections.abc import Callable
from typing import Any

import nest
import numpy as np

from ..case import TAU, V_TH, Case
from ..measuring import serve

NEURON = {
    "tau_m": TAU,
    "C_m": 1.0,
    "E_L": 0.0,
    "V_reset": 0.0,
    "V_th": V_TH,
    "V_m": 0.0,
    "V_min": -1e9,
    "t_ref": 0.0,
}


def prepare(case: Case, dtype: str) -> Callable[[], Any]:
    """Build all copies, and return a run from the input in the generators to the recorders."""
    nest.set_verbosity("M_ERROR")
    nest.ResetKernel()
    nest.SetKernelStatus({"resolution": 1.0, "local_num_threads": 1})
    copies, steps, n_inputs = case.dense.shape
    inputs = nest.Create("spike_generator", copies * n_inputs)
    below, size_below, layers, recorders = inputs, n_inputs, [], []
    for weight in case.weights:
        group = nest.Create("iaf_psc_delta", copies * len(weight), params=NEURON)
        for copy in range(copies):
            pre, post = (
                below[copy * size_below : (copy + 1) * size_below],
                group[copy * len(weight) : (copy + 1) * len(weight)],
            )
            nest.Connect(
                pre,
                post,
                "all_to_all",
                {"synapse_model": "static_synapse", "weight": weight, "delay": 1.0},
            )
        recorder = nest.Create("spike_recorder", params={"time_in_steps": True})
        nest.Connect(group, recorder)
        layers.append(group)
        recorders.append(recorder)
        below, size_below = group, len(weight)

    def run() -> list[dict[str, Any]]:
        start = nest.GetKernelStatus("biological_time")
        for recorder in recorders:
            recorder.n_events = 0
        for group in layers:
            group.V_m = 0.0
        by_input = case.dense.swapaxes(1, 2).reshape(copies * n_inputs, steps)
        inputs.set([{"spike_times": start + 1.0 + np.flatnonzero(row)} for row in by_input])
        nest.Simulate(steps + 2.0)  # the last spikes arrive a step after they are sent
        return [recorder.get("events") for recorder in recorders]

    return run


def dense(outcome: Any, case: Case) -> list[Any]:
    """Tell whether there are spikes at all.

    They are of other dynamics and compared with nothing.
    """
    return [np.array([[[len(events["times"]) > 0]]]) for events in outcome]


if __name__ == "__main__":
    serve(prepare, dense, "nest-simulator", "numpy")
