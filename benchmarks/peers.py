"""The peers' own virtual environments.

Frameworks that cannot be installed together, nor beside refsim.

    python -m benchmarks.peers [NAME...] [--list]

Each peer gets a folder of its own under REFSIM_PEERS, or under refsim/peers in the user's cache
folder. torch comes first and pinned, and what would pull another torch is installed without its
dependencies, which are few. A peer that cannot be had is named in one sentence, and the benchmarks
go on without it.
"""

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TORCH = "torch==2.13.0"  # the version that refsim is tested with


@dataclass(frozen=True)
class Peer:
    """What a peer's environment holds.

    Attributes
    ----------
    alone : str
        The peer itself, installed without its dependencies.
    needs : tuple of str
        What it imports, installed before it.
    module : str
        What must import when all is there.
    """

    alone: str
    needs: tuple[str, ...]
    module: str


PEERS = {
    "snntorch": Peer("snntorch==1.0.0", (TORCH, "numpy", "scipy"), "snntorch"),
    "spikingjelly": Peer(
        "spikingjelly==2.0.0",
        (
            TORCH,
            "numpy",
            "matplotlib",
            "scipy",
            "tqdm",
            "loguru",
            "requests",
            "scienceplots",
            "tensorboard",
            "einops",
        ),
        "spikingjelly.activation_based.neuron",
    ),
    "norse": Peer("norse==1.1.0", (TORCH, "numpy", "scipy", "nir", "nirtorch"), "norse.torch"),
    "sinabs": Peer(
        "sinabs==3.1.3",
        (TORCH, "numpy", "scipy", "tqdm", "pbr", "matplotlib", "nir<=1.0.4", "nirtorch<2"),
        "sinabs",
    ),
    "rockpool": Peer(
        "rockpool==3.1.0", (TORCH, "numpy", "scipy", "tqdm"), "rockpool.nn.modules.torch"
    ),
    "nest": Peer("nest-simulator==3.10", ("numpy", "scipy"), "nest"),
}


def folder(name: str) -> Path:
    """Return the folder of a peer's environment."""
    base = os.environ.get("REFSIM_PEERS")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(base) if base else cache / "refsim" / "peers") / name


def python_of(name: str) -> Path | None:
    """Return the interpreter of a peer that is installed, else None."""
    python = folder(name) / "bin" / "python"
    return python if (folder(name) / "ready").exists() and python.exists() else None


def install(name: str) -> str | None:
    """Make a peer's environment; return None, or one sentence that says why it cannot be had."""
    peer, home = PEERS[name], folder(name)
    (home / "ready").unlink(missing_ok=True)
    pip = [
        str(home / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    steps = [
        [sys.executable, "-m", "venv", "--clear", str(home)],
        # Before anything can ask for another build of it.
        *([*pip, need] for need in peer.needs if need == TORCH),
        [*pip, *(need for need in peer.needs if need != TORCH)],
        [*pip, "--no-deps", peer.alone],
        [str(home / "bin" / "python"), "-c", f"import {peer.module}"],
    ]
    for words in steps:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
            return f"{name} cannot be had here: '{' '.join(words[1:])}' ended with: {last}"
    (home / "ready").touch()
    return None


def main() -> None:
    """Make the environments that are missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(PEERS)}; all unless named"
    )
    parser.add_argument("--list", action="store_true", help="say which are there, and make none")
    options = parser.parse_args()
    if unknown := set(options.names) - set(PEERS):
        parser.error(f"{', '.join(sorted(unknown))}: no such peer; known are {', '.join(PEERS)}.")
    for name in options.names or PEERS:
        if python_of(name):
            print(f"{name}: there, in {folder(name)}")
        elif options.list:
            print(f"{name}: not there")
        else:
            print(install(name) or f"{name}: made in {folder(name)}", flush=True)


if __name__ == "__main__":
    main()
