"""Loihi's current-based neuron in plain NumPy integers, and the networks that lava-dl writes as .net files.

Source: lava-dl's released CUBA dynamics and lava's LIF in fixed point (Intel, BSD-3): decays out of 4096, and a product cut toward zero by 12 bits.
"""

from pathlib import Path

import numpy as np


def shifted(x: np.ndarray) -> np.ndarray:
    """Return x / 4096 cut toward zero: a shift of the size, not of the number."""
    return np.sign(x) * (np.abs(x) >> 12)


def read_net(path: Path) -> list[dict]:
    """Return the dense layers of a .net file (HDF5): weight (n_post, n_pre) and the neuron's decays and threshold, all integers."""
    import h5py

    layers = []
    with h5py.File(path) as file:
        for index in sorted(file["layer"], key=int):
            group = file["layer"][index]
            weight = group["weight"][()]
            assert (weight == np.round(weight)).all(), "a weight of a .net file is a whole number"
            neuron = {name: int(group["neuron"][name][()]) for name in ("iDecay", "vDecay", "vThMant")}
            layers.append({"weight": weight.astype(np.int64), **neuron})
    return layers


def cuba_layer(spikes: np.ndarray, layer: dict, weight_bits: int, strict: bool) -> np.ndarray:
    """Return a layer's spikes (n_samples, n_steps, n_post) for spikes (n_samples, n_steps, n_pre); reset to zero in the step of the spike.

    `weight_bits` is how far a weight is shifted up; the membrane fires above (`strict`) or at and above vThMant * 64.
    """
    n_samples, n_steps, _ = spikes.shape
    drive = _product(spikes, layer["weight"]) << weight_bits
    u = np.zeros((n_samples, len(layer["weight"])), np.int64)
    v, theta, out = u.copy(), layer["vThMant"] * 64, np.zeros((n_samples, n_steps, u.shape[1]), bool)
    for step in range(n_steps):
        u = shifted(u * (4096 - layer["iDecay"])) + drive[:, step]
        v = shifted(v * (4096 - layer["vDecay"])) + u
        fired = v > theta if strict else v >= theta
        out[:, step] = fired
        v[fired] = 0
    return out


def _product(spikes, weight):
    """Multiply in float64, which is exact for whole numbers of this size, since NumPy's integer product is slow."""
    return np.rint(spikes.astype(np.float64) @ weight.T.astype(np.float64)).astype(np.int64)


def late(spikes: np.ndarray, steps: int) -> np.ndarray:
    """Return spikes (n_samples, n_steps, n_neurons) that many steps later; what leaves the end is lost."""
    out = np.zeros_like(spikes)
    out[:, steps:] = spikes[:, : spikes.shape[1] - steps]
    return out


def binned(events: np.ndarray, n_steps: int, n_neurons: int) -> np.ndarray:
    """Return (1, n_steps, n_neurons) bool from rows of (neuron, channel, time in steps), each time rounded to the nearest step."""
    spikes = np.zeros((1, n_steps, n_neurons), bool)
    steps = np.round(events[:, 2]).astype(int)
    inside = steps < n_steps
    spikes[0, steps[inside], events[inside, 0].astype(int)] = True
    return spikes


def integrate_and_fire_encoder(images: np.ndarray, n_steps: int) -> np.ndarray:
    """Turn pixels (n_samples, n_pixels) of 0 to 255 into spikes: v += pixel/255, a spike where v > 1, then v = 0."""
    v, out = np.zeros(images.shape), np.zeros((len(images), n_steps, images.shape[1]), bool)
    for step in range(n_steps):
        v += images / 255
        out[:, step] = v > 1
        v[out[:, step]] = 0
    return out
