"""The part of a probe that runs in the framework's own environment.

Make modules, read them, run them, leave both in files.

python -m probes.inside NAME FOLDER --configs 100 --steps 300
"""

import argparse
import importlib
import json
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

import refsim
from refsim.files.refsim_file import save_network

from .kinds import N_SAMPLES, Kind


def probe(kind: Kind, number: int, steps: int, folder: Path) -> None:
    """Make one random module of a kind.

    Write the network that was read, its input and what it fired.
    """
    seed = np.random.default_rng([number, *kind.name.encode()])
    torch.manual_seed(int(seed.integers(2**31)))
    made = kind.make(seed)
    network = refsim.bridge.load(
        made.module, dt=made.dt, input_shape=made.input_shape, layout=made.layout
    )
    values = (
        seed.normal(0.3, made.drive, (N_SAMPLES, steps, network.n_inputs))
        .astype(np.float32)
        .astype(float)
    )
    drive = refsim.Drive.current(values, network.dt)
    engine = refsim.Torch(module=made.module, input_shape=made.input_shape, layout=made.layout)
    record = tuple(
        {"before_reset"}
        | ({"payload"} if any(layer.model.discrete.payload for layer in network.layers) else set())
    )
    ran = refsim.run(network, drive, engine=engine, record=record)
    save_network(network, folder / f"{number}.refsim")
    arrays = {"values": values}
    for index, (train, traces) in enumerate(zip(ran.spikes, ran.traces, strict=True)):
        arrays |= {
            f"{index}.sample": train.sample,
            f"{index}.step": train.step,
            f"{index}.neuron": train.neuron,
        }
        arrays |= {f"{index}.{name}": trace for name, trace in traces.items()}
    np.savez(folder / f"{number}.npz", **arrays)
    (folder / f"{number}.json").write_text(json.dumps({"dtype": ran.provenance["dtype"]}))


def main() -> None:
    """Probe all kinds of one framework."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--configs", type=int, default=100)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--kinds", nargs="*")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    kinds = importlib.import_module(f"probes.{options.name}").kinds()
    chosen = [kind for kind in kinds if not options.kinds or kind.name in options.kinds]
    said = {
        "release": _release(options.name),
        "kinds": [kind.name for kind in chosen],
        "refused": {},
    }
    for number, kind in enumerate(chosen):
        folder = options.folder / str(number)
        folder.mkdir(parents=True)
        for config in range(options.configs):
            try:
                probe(kind, config, options.steps, folder)
            except refsim.RefsimError as error:
                said["refused"].setdefault(kind.name, str(error))
    (options.folder / "said.json").write_text(json.dumps(said))


def _release(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


if __name__ == "__main__":
    main()
