"""Loihi's current-based neuron in plain NumPy integers, and the networks that lava-dl writes as
.net files.

Source: lava-dl's released CUBA dynamics and lava's LIF in fixed point (Intel, BSD-3): decays out of
4096, and a product cut toward zero by 12 bits.
"""

from pathlib import Path

import numpy as np


def shifted(x: np.ndarray) -> np.ndarray:
    """Return x / 4096 cut toward zero: a shift of the size, not of the number."""
    return np.sign(x) * (np.abs(x) >> 12)


def read_net(path: Path) -> list[dict]:
    """Return the dense layers of a .net file (HDF5).

    Weight (n_post, n_pre) and the neuron's decays and threshold, all integers.
    """
    import h5py

    layers = []
    with h5py.File(path) as file:
        for index in sorted(file["layer"], key=int):
            group = file["layer"][index]
            weight = group["weight"][()]
            assert (weight == np.round(weight)).all(), "a weight of a .net file is a whole number"
            neuron = {
                name: int(group["neuron"][name][()]) for name in ("iDecay", "vDecay", "vThMant")
            }
            layers.append({"weight": weight.astype(np.int64), **neuron})
    return layers


def cuba_layer(spikes: np.ndarray, layer: dict, weight_bits: int, strict: bool) -> np.ndarray:
    """Return a layer's spikes (n_samples, n_steps, n_post) for spikes (n_samples, n_steps, n_pre).

    Reset to zero in the step of the spike.

    `weight_bits` is how far a weight is shifted up; the membrane fires above (`strict`) or at and
    above vThMant * 64.
    """
    n_samples, n_steps, _ = spikes.shape
    drive = _product(spikes, layer["weight"]) << weight_bits
    u = np.zeros((n_samples, len(layer["weight"])), np.int64)
    v, theta, out = (
        u.copy(),
        layer["vThMant"] * 64,
        np.zeros((n_samples, n_steps, u.shape[1]), bool),
    )
    for step in range(n_steps):
        u = shifted(u * (4096 - layer["iDecay"])) + drive[:, step]
        v = shifted(v * (4096 - layer["vDecay"])) + u
        fired = v > theta if strict else v >= theta
        out[:, step] = fired
        v[fired] = 0
    return out


def _product(spikes, weight):
    """Multiply in float64, which is exact for whole numbers of this size, since NumPy's integer
    product is slow.
    """
    return np.rint(spikes.astype(np.float64) @ weight.T.astype(np.float64)).astype(np.int64)


def late(spikes: np.ndarray, steps: int) -> np.ndarray:
    """Return spikes (n_samples, n_steps, n_neurons) that many steps later.

    What leaves the end is lost.
    """
    out = np.zeros_like(spikes)
    out[:, steps:] = spikes[:, : spikes.shape[1] - steps]
    return out


def binned(events: np.ndarray, n_steps: int, n_neurons: int) -> np.ndarray:
    """Return (1, n_steps, n_neurons) bool from rows of (neuron, channel, time in steps), each time
    rounded to the nearest step.
    """
    spikes = np.zeros((1, n_steps, n_neurons), bool)
    steps = np.round(events[:, 2]).astype(int)
    inside = steps < n_steps
    spikes[0, steps[inside], events[inside, 0].astype(int)] = True
    return spikes


def integrate_and_fire_encoder(images: np.ndarray, n_steps: int) -> np.ndarray:
    """Turn pixels (n_samples, n_pixels) of 0 to 255 into spikes.

    V += pixel/255, a spike where v > 1, then v = 0.
    """
    v, out = np.zeros(images.shape), np.zeros((len(images), n_steps, images.shape[1]), bool)
    for step in range(n_steps):
        v += images / 255
        out[:, step] = v > 1
        v[out[:, step]] = 0
    return out


# --- one neuron a column, whole numbers in: (n_steps, n_neurons) -> spikes, and what the threshold
# saw ------------------


def cuba(drive, i_decay, v_decay, v_th, bias=0):
    """Current-based neuron; `drive` is the weighted sum already shifted up; fires above v_th.

    `bias` goes past the current.
    """
    u, v = _zeros(drive, 2)
    for x in drive:
        u = shifted(u * (4096 - i_decay)) + x
        v = shifted(v * (4096 - v_decay)) + u + bias
        fired = v > v_th
        yield fired, v
        v = np.where(fired, 0, v)


def alif(drive, i_decay, v_decay, th_decay, r_decay, v_th, th_step):
    """Adaptive threshold, kept as it is and not as what it is above its rest; no reset."""
    u, v, r = _zeros(drive, 3)
    th = np.full(u.shape, v_th)
    for x in drive:
        u = shifted(u * (4096 - i_decay)) + x
        v = shifted(v * (4096 - v_decay)) + u
        r, th, fired = _adapted(r, th, v, True, th_decay, r_decay, v_th, th_step)
        yield fired, v


def rf(drive, cos, sin, v_th):
    """Resonate-and-fire at phase zero."""
    for re, old, im in _resonator(drive, cos, sin):
        yield (re >= v_th) & (old < 0) & (im >= 0), re


def rf_iz(drive, cos, sin, v_th):
    """Resonate-and-fire with a reset to one below the threshold."""
    re, im = _zeros(drive, 2)
    for x in drive:
        re, im = shifted(cos * re) - shifted(sin * im) + x, shifted(sin * re) + shifted(cos * im)
        fired = im >= v_th
        yield fired, im
        re, im = np.where(fired, 0, re), np.where(fired, v_th - 1, im)


def adrf(drive, cos, sin, th_decay, r_decay, v_th, th_step):
    """Resonate-and-fire with an adaptive threshold."""
    r = _zeros(drive, 1)[0]
    th = np.full(r.shape, v_th)
    for re, old, im in _resonator(drive, cos, sin):
        r, th, fired = _adapted(r, th, re, (old < 0) & (im >= 0), th_decay, r_decay, v_th, th_step)
        yield fired, re


def _zeros(drive, count):
    return [np.zeros(drive.shape[1], np.int64) for _ in range(count)]


def _resonator(drive, cos, sin):
    re, im = _zeros(drive, 2)
    for x in drive:
        old = im
        re, im = shifted(cos * re) - shifted(sin * im) + x, shifted(sin * re) + shifted(cos * im)
        yield re, old, im


def _adapted(r, th, seen, may, th_decay, r_decay, v_th, th_step):
    r, th = shifted(r * (4096 - r_decay)), shifted((th - v_th) * (4096 - th_decay)) + v_th
    fired = (seen >= th + r) & may
    return np.where(fired, r + 2 * th, r), np.where(fired, th + th_step, th), fired
