"""Numbers are strict for every test.

Real data is read from where it is, or its tests skip and say so.
"""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

import refsim

# Real data that may not be committed lies beside the checkout, or where REFSIM_DATA says.
DATA = Path(
    os.environ.get("REFSIM_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
)

# A case of one neuron; %d is the spike it expects.
CASE = """title = "t"
kind = "neuron"
neuron = "srif"
dt = "1 ms"
inputs = [0.75]
[expected]
spikes = [%d]
[[claim]]
question = "code"
measure = "wrong spikes"
limit = 0
unit = "steps"
because = "it is a test case"
"""


def real_data(name: str) -> Path:
    """Return a file of real data, or skip the test."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"real data {name} is not at {DATA}; set REFSIM_DATA to its folder")
    return path


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compile into a folder of this session: no test passes by what an earlier version compiled.

    All workers of a session share it, so that what one has compiled, the others run.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    os.environ["REFSIM_CACHE"] = os.environ.get("REFSIM_TEST_CACHE") or str(folder / "programs")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache and a folder for temporary files of one's own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("REFSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    return tmp_path


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same every time."""
    return np.random.default_rng(7)


def mismatches(a: "refsim.Recording", b: "refsim.Recording") -> list[int]:
    """Count, a layer, the spikes that only one of two recordings has."""
    return [len(np.setxor1d(x.code, y.code)) for x, y in zip(a.spikes, b.spikes, strict=True)]


def every_engine_agrees(
    network: "refsim.Network",
    drive: "refsim.Drive",
    steps: dict | None = None,
    digits: float = 1e-12,
) -> "refsim.Recording":
    """Run a layer in Brian2 (NumPy and C++), in the readable engine and in PyTorch, hold all
    against the readable one and return that.

    Spikes are equal. Brian2's NumPy target runs the same operations, so its membranes are too; C++
    and PyTorch have other libraries, which differ in the last place of exp and power: `digits`,
    relative to the largest membrane.
    """
    both = ("before_reset", "after_reset")
    engines = (
        refsim.Discrete(),
        refsim.Brian2(target="numpy"),
        refsim.Brian2(target="cpp"),
        refsim.Torch(dtype="float64", steps=steps or {}),
    )
    first, *others = [engine.run(network, drive, both) for engine in engines]
    for run in others:
        assert not any(mismatches(first, run)), run.label
    for key in both:
        assert np.array_equal(first.traces[0][key], others[0].traces[0][key])
        size = np.abs(first.traces[0][key]).max()
        assert all(
            np.abs(first.traces[0][key] - run.traces[0][key]).max() <= digits * size
            for run in others[1:]
        )
    return first


def small_network(
    rng: np.random.Generator, *names: str, sizes: tuple[int, ...] = (12, 9, 5), dyadic: bool = False
) -> "refsim.Network":
    """Return a chain of layers with random weights and biases, on a dyadic grid where asked."""
    layers = []
    for index, (pre, post) in enumerate(itertools.pairwise(sizes)):
        weight, bias = rng.normal(0.15, 0.5, (post, pre)), rng.normal(0, 0.1, post)
        if dyadic:
            weight, bias = np.round(weight * 64) / 64, np.round(bias * 64) / 64
        layers.append((weight, bias, refsim.load(names[index % len(names)])))
    return refsim.Network.dense(layers, "1 ms")
