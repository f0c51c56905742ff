"""Hold refsim under one set of versions against refsim under another.

`make matrix` does it for every Python that is pinned.

``write FOLDER`` runs every card in every engine and makes reports, good and bad, and keeps what
came out;
``compare FILE FILE ...`` names all that is not equal. The versions themselves may differ, and
nothing else.
"""

import argparse
import hashlib
import itertools
import json
import platform
import sys
from pathlib import Path

import numpy as np

import refsim
from refsim.cards.read import load_all
from refsim.cases.case import read_case
from refsim.checks.card_measures import scale_of
from refsim.core.shelf import shelf
from refsim.pytorch.steps import STEPS

SAMPLES, LENGTH, SIZES = 4, 60, (3, 4, 3)
DT = 2.0**-10  # s; a dyadic step, as in refsim's own checks of cards
MAY_DIFFER = {"python", "versions", "machine", "seconds"}


def network_of(model):
    """Return two layers of a card, and currents of either sign about what makes it fire."""
    rng, size = np.random.default_rng(3), scale_of(model)
    weights = [rng.normal(0.3, 1.0, (post, pre)) for pre, post in itertools.pairwise(SIZES)]
    layers = [
        (np.round(weight * 64) / 64 * gain, None, model)
        for weight, gain in zip(weights, (1.0, LENGTH / 2 * size), strict=True)
    ]
    currents = (
        size
        * 4.0 ** (np.arange(SAMPLES)[:, None, None] - 1)
        * rng.normal(1.0, 1.5, (SAMPLES, LENGTH, SIZES[0]))
    )
    if len(model.inputs) > 1:  # the sign is that of the weight, and no input may be below 0
        currents = np.abs(currents)
    return refsim.Network.dense(layers, DT), refsim.Drive.current(currents, DT, seed=0)


def engines_of(model, *, compiled):
    """Return the engines that run a card, by name."""
    found = {"Discrete": refsim.Discrete(), "NumPy": refsim.Brian2(target="numpy")}
    found |= {"C++": refsim.Brian2(target="cpp")} if compiled else {}
    return found | ({"PyTorch": refsim.Torch(dtype="float64")} if model.name in STEPS else {})


def digest(train):
    """Return the number of spikes, and letters that are others for other spikes."""
    return (
        f"{len(train)} spikes, "
        f"{hashlib.sha256(train.code.astype('<i8').tobytes()).hexdigest()[:16]}"
    )


def spikes(models, *, compiled):
    """Return what fired, by card, engine and layer."""
    found = {}
    for model in models:
        network, drive = network_of(model)
        for name, engine in engines_of(model, compiled=compiled).items():
            trains = engine.run(network, drive).spikes
            found |= {
                f"{model.name}, {name}, layer {k}": digest(train) for k, train in enumerate(trains)
            }
    return found


def forgetful(x, states, constants, fire):
    """Advance a LIF by one step with another time constant than its card's."""
    return STEPS["lif"](x, states, {**constants, "tau": 1.125 * constants["tau"]}, fire)


def failing():
    """Return the report of a run that is not the declared one."""
    network, drive = network_of(refsim.load("lif"))
    reference, trial = (
        refsim.Brian2(target="numpy"),
        refsim.Torch(dtype="float32", steps={"lif": forgetful}),
    )
    return refsim.compare(
        *(engine.run(network, drive, ("before_reset",)) for engine in (reference, trial))
    )


def reports():
    """Return the reports of refsim's own cases, digits among them, and of a case that fails."""
    paths = [
        path
        for name in ("code", "step", "curve")
        for path in sorted((shelf("validation") / name).glob("*.toml"))
    ]
    cases = [path for path in paths if path.stem != "any_network"]  # claims without a case
    made = {path.stem: refsim.Report(read_case(path).run()) for path in cases} | {
        "another time constant": failing()
    }
    return {
        name: json.loads(json.dumps(report.as_dict(), default=str)) for name, report in made.items()
    }


def equal_part(entry):
    """Return tables without what may differ, wherever it stands."""
    if isinstance(entry, dict):
        return {key: equal_part(value) for key, value in entry.items() if key not in MAY_DIFFER}
    return [equal_part(value) for value in entry] if isinstance(entry, list) else entry


def leaves(entry, where=""):
    """Yield every number and word of nested tables, and where it stands."""
    if isinstance(entry, dict | list):
        for key, value in entry.items() if isinstance(entry, dict) else enumerate(entry):
            yield from leaves(value, f"{where}/{key}")
    else:
        yield where, repr(entry)


def differences(a, b):
    """Return a line for each place where two tables are not equal to the last digit."""
    first, second = dict(leaves(equal_part(a))), dict(leaves(equal_part(b)))
    places = [place for place in {**first, **second} if first.get(place) != second.get(place)]
    return [
        f"{place}: {first.get(place, 'nothing')} and {second.get(place, 'nothing')}"
        for place in places
    ]


def write(folder, *, quick=False):
    """Keep what this Python gives, in a file named after it.

    Quick leaves out what is compiled a card at a time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = {
        "spikes": spikes(load_all(), compiled=not quick)
        | spikes(load_all("frameworks"), compiled=False),
        "reports": reports(),
    }
    name = f"python-{'.'.join(platform.python_version_tuple()[:2])}.json"
    (folder / name).write_text(json.dumps(found, indent=1), "utf-8")
    return 0


def compare(paths):
    """Say what differs from the first file; return 1 if anything does."""
    first, *others = [json.loads(path.read_text("utf-8")) for path in paths]
    if not others:
        print("across_versions: give two files at least.", file=sys.stderr)
        return 2
    wrong = {path: differences(first, other) for path, other in zip(paths[1:], others, strict=True)}
    for path, lines in wrong.items():
        print(
            f"{paths[0].stem} and {path.stem}: "
            + (f"{len(lines)} differences" if lines else "equal")
        )
        print("".join(f"  {line}\n" for line in lines[:20]), end="")
    return int(any(wrong.values()))


def main(arguments=None):
    """Run one of the two commands."""
    parser = argparse.ArgumentParser(prog="across_versions", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("write")
    writing.add_argument("folder", type=Path)
    writing.add_argument("--quick", action="store_true", help="compile nothing for a single card")
    commands.add_parser("compare").add_argument("files", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    return (
        write(options.folder, quick=options.quick)
        if options.command == "write"
        else compare(options.files)
    )


if __name__ == "__main__":
    sys.exit(main())
