"""Write .net files as lava-dl's export_hdf5 does, and others that nobody should write."""

from pathlib import Path

import numpy as np

NEURONS = {
    "CUBA": {"iDecay": 1024, "vDecay": 128, "vThMant": 80, "refDelay": 1, "gradedSpike": False},
    "ALIF": {
        "iDecay": 1024,
        "vDecay": 512,
        "thDecay": 256,
        "refDecay": 1024,
        "vThMant": 64,
        "vThStep": 16,
        "refDelay": 1,
        "gradedSpike": False,
    },
    "RF_PHASE": {"sinDecay": 2287, "cosDecay": 3148, "vThMant": 30, "gradedSpike": False},
    "RF_IZHIKEVICH": {"sinDecay": 2287, "cosDecay": 3148, "vThMant": 60, "gradedSpike": False},
    "ADRF_PHASE": {
        "sinDecay": 2287,
        "cosDecay": 3148,
        "thDecay": 256,
        "refDecay": 1024,
        "vThMant": 30,
        "vThStep": 8,
        "gradedSpike": False,
    },
    "SDNN": {"activation": "relu", "vThMant": 20},
}


def neuron(name: str, **changes: object) -> dict:
    """Return the entries of a neuron; None takes one away."""
    return {
        key: value
        for key, value in {"type": name, **NEURONS[name], **changes}.items()
        if value is not None
    }


def dense(weight: np.ndarray, entries: dict, **more: object) -> dict:
    """Return a dense layer."""
    return {
        "type": "dense",
        "shape": [len(weight)],
        "inFeatures": weight.shape[1],
        "outFeatures": len(weight),
        "weight": weight,
        "neuron": entries,
        **more,
    }


def write_net(path: Path, *layers: dict) -> Path:
    """Write layers, each a dict of entries; a dict inside is a group."""
    import h5py

    with h5py.File(path, "w") as file:
        file.create_group("layer")
        for index, layer in enumerate(layers):
            _fill(file.create_group(f"layer/{index}"), layer)
    return path


def _fill(group, entries):
    for name, value in entries.items():
        if isinstance(value, dict):
            _fill(group.create_group(name), value)
        elif name == "type" and value in ("dense", "conv", "pool", "flatten", "input", "average"):
            group.create_dataset(name, (1,), "S10", [value.encode("ascii")])
        elif callable(value):
            value(group, name)
        else:
            group.create_dataset(name, data=value)


def weights(rng: np.random.Generator, *shape: int, size: float = 60) -> np.ndarray:
    """Return weights on lava-dl's grid: whole, even, within 8 bits, stored as float32."""
    return np.clip(2 * np.round(rng.normal(size / 6, size, shape) / 2), -256, 254).astype(
        np.float32
    )
