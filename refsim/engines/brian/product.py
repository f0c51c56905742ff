"""The layer product for both targets: C++ text for a compiled network, a NumPy function for a small one."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...drive import Drive
from ...network import Layer
from ..discrete import weighted_sum

_HERE = Path(__file__).parent

# How the spikes or currents of this step come in: from a file of events, from a file of currents, or from the layer below.
_ADD = {
    "events": """
    static const int64_t* offset = (const int64_t*)map_file("input.bin", sizeof(int64_t)*(plan->chunks*plan->steps + 1));
    static const int32_t* event = (const int32_t*)(offset + plan->chunks*plan->steps + 1);
    const int64_t from = offset[chunk*plan->steps + step], to = offset[chunk*plan->steps + step + 1];
    #define ADD(sum) add_rows<1>(sum, event + from, to - from, weight)""",
    "current": """
    static const real* input = (const real*)map_file("input.bin", sizeof(real)*plan->chunks*plan->frames*BATCH*PRE);
    const real* frame = input + (chunk*plan->frames + (plan->frames > 1 ? step : 0))*BATCH*PRE;
    #define ADD(sum) add_frame(sum, frame, weight)""",
    "spikes": """
    const int32_t* spikes = @BELOW@;
    const int64_t count = spikes[BATCH*PRE];
    #define ADD(sum) add_rows<1>(sum, spikes, count, weight)""",
}
_SET_CURRENT = "clear(current); ADD(current); add_bias(current, bias);"
_BODIES = {
    ("grid", "events"): f"    {_SET_CURRENT}",
    ("grid", "spikes"): f"    {_SET_CURRENT}",
    ("grid", "current"): f"    if (plan->frames > 1 || in_chunk == 0) {{ {_SET_CURRENT} }}",
    ("pulse", "events"): f"    if (sub == 0) {{ {_SET_CURRENT} }}",
    ("pulse", "current"): f"    if (sub == 0) {{ {_SET_CURRENT} }}",
    ("pulse", "spikes"): """
    static std::vector<std::vector<int32_t> > ring(K);  // the spikes of the last K sub-steps: each current lasts one step
    static int64_t active = 0;
    if (in_chunk == 0) {
        for (size_t r = 0; r < ring.size(); r++) ring[r].clear();
        active = 0; clear(current); add_bias(current, bias);
    }
    std::vector<int32_t>& slot = ring[in_chunk % K];
    if (!slot.empty()) {
        active -= slot.size();
        if (active) add_rows<-1>(current, slot.data(), slot.size(), weight);
        else { clear(current); add_bias(current, bias); }
    }
    slot.assign(spikes, spikes + count);
    active += count;
    ADD(current);""",
    ("impulse", "events"): """
    clear(jump);
    if (!plan->analog_impulse && in_chunk == 0) { clear(current); add_bias(current, bias); }
    if (sub == K - 1) { ADD(jump); if (plan->analog_impulse) add_bias(jump, bias); }""",
    ("impulse", "current"): f"""
    if (!plan->analog_impulse && sub == 0) {{ {_SET_CURRENT} }}
    if (plan->analog_impulse) {{ clear(jump); if (sub == K - 1) {{ ADD(jump); add_bias(jump, bias); }} }}""",
    ("impulse", "spikes"): """
    clear(jump);
    if (!plan->analog_impulse && in_chunk == 0) { clear(current); add_bias(current, bias); }
    ADD(jump);
    if (plan->analog_impulse && sub == K - 1) add_bias(jump, bias);""",
}


def fill(template: str, unit: str, real: str, **names: object) -> str:
    """Fill a C++ template, with what all templates share in front of it."""
    text = (_HERE / "shared.cpp").read_text("utf-8") + (_HERE / template).read_text("utf-8")
    for name, value in {"UNIT": unit, "REAL": real, **names}.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def product_code(unit: str, real: str, batch: int, layer: Layer, mode: str, source: str, below: str) -> str:
    """Return the C++ text of one layer's product.

    Parameters
    ----------
    mode : {"grid", "pulse", "impulse"}
        The declared step, or fine mode for either kind of input.
    source : {"events", "current", "spikes"}
    below : str
        Name of the group below, where the source is its spikes.
    """
    body = _ADD[source].replace("@BELOW@", f"brian::_array_{below}__spikespace") + "\n" + _BODIES[mode, source]
    jump = "0" if mode == "grid" else f"brian::_array_{unit}_jump"
    return fill("product.cpp", f"{unit}_product", real, BATCH=batch, PRE=layer.n_pre, POST=layer.n_post,
                CURRENT=f"brian::_array_{unit}_I", JUMP=jump, BODY=body)  # fmt: skip


@dataclass
class NumpyProduct:
    """The same product for Brian2's NumPy target; called once a (sub-)step."""

    layer: Layer
    mode: str
    refine: int
    analog_impulse: bool
    arrays: Callable[[str], NDArray[Any]]
    read: Callable[[int], NDArray[Any]]
    source: str
    held: NDArray[Any] | None = None
    window: deque[NDArray[Any]] = field(default_factory=deque)

    def __call__(self, now: Any) -> float:
        """Set the input current, and the jump of an impulse, of this (sub-)step."""
        step, sub = divmod(int(np.asarray(now).flat[0]), self.refine)
        last = sub == self.refine - 1
        if self.mode == "impulse" and (self.source != "current" or self.analog_impulse):
            arrives = last or self.source == "spikes"
            bias_now = self.analog_impulse and last
            self._set("jump", self.sum(self.read(step), bias=bias_now) if arrives else self.sum(None, bias=bias_now))
            self._set("I", self.sum(None, bias=not self.analog_impulse))
        elif self.mode == "pulse" and self.source == "spikes":
            self.window.append(self.read(step))
            if len(self.window) > self.refine:
                self.window.popleft()
            self._set("I", self.sum(np.sum(self.window, axis=0), bias=True))
        elif sub == 0:
            self._set("I", self.sum(self.read(step), bias=True))
        return 0.0

    def sum(self, x: NDArray[Any] | None, *, bias: bool) -> NDArray[Any]:
        """Return the weighted sum of an input, with or without the bias."""
        layer = self.layer if bias else replace(self.layer, bias=np.zeros_like(self.layer.bias))
        return weighted_sum(layer, np.zeros((1, layer.n_pre), layer.weight.dtype) if x is None else x)

    def _set(self, name: str, value: NDArray[Any]) -> None:
        target = self.arrays(name)
        target.reshape(-1, self.layer.n_post)[:] = value


def frame_reader(drive: Drive, dtype: str) -> Callable[[int], NDArray[Any]]:
    """Return a function that gives the input of a step; steps are asked for in order, each as often as wanted."""
    frames: Iterator[NDArray[Any]] = drive.frames()
    kept: dict[str, Any] = {"step": -1, "frame": None}

    def read(step: int) -> NDArray[Any]:
        while kept["step"] < step:
            kept["frame"] = next(frames).astype(dtype)
            kept["step"] += 1
        frame: NDArray[Any] = kept["frame"]
        return frame

    return read
