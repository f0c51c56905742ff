"""The layer product for Brian2's NumPy target: the same sums, called once a (sub-)step."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...connection import DRIVE
from ...drive import Drive
from ...network import Layer
from ..delays import DelayLine, lag
from ..discrete import weighted_sum

Read = Callable[[int, int], NDArray[Any]]  # (source, step) to a frame: of the drive at a step, or a layer's latest spikes


class NumpyProduct:
    """Set the input current, and the jump of an impulse, of one layer.

    Parameters
    ----------
    mode : {"grid", "pulse", "impulse"}
    analog : bool
        Whether the drive is made of currents.
    write : function (name, values)
    """

    def __init__(
        self,
        index: int,
        layer: Layer,
        mode: str,
        refine: int,
        analog: bool,
        analog_impulse: bool,
        n_samples: int,
        read: Read,
        write: Callable[[str, Any], None],
    ) -> None:
        self.layer, self.mode, self.refine, self.read, self.write = layer, mode, refine, read, write
        self.analog, self.analog_impulse = analog, analog_impulse
        waits = [source.delay if source.layer == DRIVE else lag(source.layer, index, source.delay * refine) for source in layer.sources]
        self.lines = [DelayLine(wait, n_samples) for wait in waits]
        self.windows: list[deque[NDArray[Any]]] = [deque(maxlen=refine) for _ in layer.sources]
        self.frames: list[NDArray[Any]] = [np.zeros((n_samples, source.width), layer.weight.dtype) for source in layer.sources]

    def __call__(self, now: Any) -> float:
        """Set what arrives in this (sub-)step."""
        step, sub = divmod(int(np.asarray(now).flat[0]), self.refine)
        getattr(self, f"_{self.mode}")(step, sub)
        return 0.0

    def _grid(self, step: int, _sub: int) -> None:
        self._sum("I", [self._hear(k, step) for k in range(len(self.lines))])

    def _pulse(self, step: int, sub: int) -> None:
        for k, source in enumerate(self.layer.sources):
            if source.layer == DRIVE:
                self.frames[k] = self._hear(k, step) if sub == 0 else self.frames[k]
            else:
                self.windows[k].append(self._hear(k, step))
                self.frames[k] = np.sum(self.windows[k], axis=0)
        self._sum("I", self.frames)

    def _impulse(self, step: int, sub: int) -> None:
        last, flows, jumps = sub == self.refine - 1, [], []
        for k, source in enumerate(self.layer.sources):
            silence = np.zeros_like(self.frames[k])
            if source.layer != DRIVE:
                heard = self._hear(k, step)
            elif sub == (0 if self.analog and not self.analog_impulse else self.refine - 1):
                self.frames[k] = heard = self._hear(k, step)
            else:
                heard = silence
            spread = self.analog and not self.analog_impulse and source.layer == DRIVE
            flows.append(self.frames[k] if spread else silence)
            jumps.append(silence if spread else heard)
        self._sum("I", flows, bias=not self.analog_impulse)
        self._sum("jump", jumps, bias=self.analog_impulse and last)

    def _hear(self, k: int, step: int) -> NDArray[Any]:
        return self.lines[k](self.read(self.layer.sources[k].layer, step))

    def _sum(self, name: str, heard: list[NDArray[Any]], *, bias: bool = True) -> None:
        layer = self.layer if bias else replace(self.layer, bias=np.zeros_like(self.layer.bias))
        self.write(name, weighted_sum(layer, np.concatenate(heard, axis=1)))


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
