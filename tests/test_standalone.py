"""Compiled programs: made once, run with anything, healed when damaged.

Weights lie in memory once.
"""

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import mismatches, small_network

import refsim
from refsim import Brian2, Discrete, Drive, RefsimError
from refsim.engines.brian import compile as standalone
from refsim.engines.brian.network import Structure
from refsim.engines.brian.run import write_constants

CPP = Brian2(target="cpp")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REFSIM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def programs(cache):
    return sorted(path.parent.name for path in cache.glob("*/main"))


def test_other_weights_parameters_input_and_length_compile_nothing(cache, rng, monkeypatch):
    CPP.run(small_network(rng, "srif"), Drive.bernoulli(rng.random((3, 12)), 10, "1 ms", 0))
    assert len(programs(cache)) == 1
    monkeypatch.setattr(standalone, "_compile", lambda *_: pytest.fail("compiled again"))
    for samples, steps, v_th in ((300, 7, 0.75), (1, 50, 0.25)):
        network = small_network(rng, "srif")
        network = refsim.Network.dense(
            [
                (layer.weight, layer.bias, layer.model.with_parameters(v_th=v_th))
                for layer in network.layers
            ],
            "2 ms",
        )
        drive = Drive.bernoulli(rng.random((samples, 12)), steps, "2 ms", 1)
        assert mismatches(CPP.run(network, drive), Discrete().run(network, drive)) == [0, 0]


def test_a_model_changed_after_loading_is_another_program(cache, rng):
    srif, hard = refsim.load("srif"), refsim.load("if")
    # And still srif's text.
    changed = dataclasses.replace(
        srif, discrete=hard.discrete, continuous=hard.continuous, parameters=hard.parameters
    )
    drive, weight, counts = (
        Drive.bernoulli(rng.random((64, 12)), 40, "1 ms", 0),
        rng.random((3, 12)),
        [],
    )
    for model in (srif, changed):
        network = refsim.Network.dense([(weight, None, model)], "1 ms")
        run = CPP.run(network, drive)
        assert mismatches(run, Discrete().run(network, drive)) == [0]
        counts.append(len(run.spikes[0]))
    assert counts[0] != counts[1]
    assert len(programs(cache)) == 2


def test_a_damaged_program_is_made_anew(cache, rng):
    network, drive = (
        small_network(rng, "srif", sizes=(12, 3)),
        Drive.bernoulli(rng.random((3, 12)), 10, "1 ms", 0),
    )
    first = CPP.run(network, drive)
    (program,) = cache.glob("*/main")
    program.write_bytes(program.read_bytes()[:1000])
    assert mismatches(first, CPP.run(network, drive)) == [0]
    (next(cache.glob("*/manifest.json"))).write_text("{}")
    assert mismatches(first, CPP.run(network, drive)) == [0]
    there = {"refsim-cache.txt", *(program.parent.name + end for end in ("", ".lock", ".use"))}
    assert {path.name for path in cache.iterdir()} == there  # nothing is left behind


def test_three_processes_compile_once_and_agree(cache):
    code = (
        "import numpy as np, refsim; net = refsim.Network.dense([(np.full((2, 3), 0.375), None, "
        "refsim.load('srif'))], '1 ms');"
        "print(refsim.Brian2(target='cpp').run(net, refsim.Drive.bernoulli(np.full((4, 3), 0.5), "
        "30, '1 ms', 0)).spikes[0].code.tolist())"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ
        )
        for _ in range(3)
    ]
    said = {process.communicate()[0] for process in running}
    assert len(said) == 1
    assert len(said.pop()) > 20
    assert len(programs(cache)) == 1


def test_weights_lie_in_memory_once_whatever_the_batch(tmp_path, rng):
    network = small_network(rng, "srif", sizes=(12, 9))
    for batch in (1, 256):
        folder = tmp_path / str(batch)
        folder.mkdir()
        write_constants(folder, Structure(network, False, "events", "float64", batch, True, ()), 1)
        assert (folder / "L0_product.bin").stat().st_size == 8 * (12 * 9 + 9)


def test_a_cache_that_cannot_be_made_is_named(tmp_path, rng, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REFSIM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(RefsimError, match="Name a folder of your own in REFSIM_CACHE"):
        CPP.run(small_network(rng, "srif"), Drive.bernoulli(rng.random((3, 12)), 10, "1 ms", 0))


def test_a_missing_compiler_is_named(rng, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RefsimError, match="'no-such-compiler' was not found"):
        CPP.run(small_network(rng, "srif"), Drive.bernoulli(rng.random((3, 12)), 10, "1 ms", 0))


def test_brian2_is_left_as_it_was_found(rng):
    import brian2

    network, drive = (
        small_network(rng, "srif", sizes=(12, 3)),
        Drive.bernoulli(rng.random((3, 12)), 10, "1 ms", 0),
    )
    brian2.defaultclock.dt = 0.25 * brian2.ms
    target, dtype, hook = (
        brian2.prefs.codegen.target,
        brian2.prefs.core.default_float_dtype,
        sys.excepthook,
    )
    try:
        for engine in (
            Brian2(target="numpy", dtype="float32"),
            Brian2(target="cpp", dtype="float32"),
        ):
            engine.run(network, drive)
        assert brian2.get_device().__class__.__name__ == "RuntimeDevice"
        assert float(brian2.defaultclock.dt) == 0.25e-3
        assert (
            brian2.prefs.codegen.target,
            brian2.prefs.core.default_float_dtype,
            sys.excepthook,
        ) == (target, dtype, hook)
    finally:
        brian2.defaultclock.dt = 0.1 * brian2.ms


@pytest.mark.parametrize("kind", ["events", "current"])
def test_the_number_of_workers_changes_nothing(kind, rng):
    network = small_network(rng, "srif", "lif")
    drive = (
        Drive.bernoulli(rng.random((700, 12)), 9, "1 ms", 0)
        if kind == "events"
        else Drive.current(rng.random((700, 12)), "1 ms", n_steps=9)
    )
    # Three chunks of 256.
    one, two, five = (
        Brian2(target="cpp", workers=workers).run(network, drive) for workers in (1, 2, 5)
    )
    for other in (two, five):
        assert mismatches(one, other) == [0, 0]
        assert all(
            np.array_equal(a.distance, b.distance) and np.array_equal(a.neuron, b.neuron)
            for a, b in zip(one.approach, other.approach, strict=True)
        )
    assert mismatches(one, Brian2(target="numpy").run(network, drive)) == [0, 0]


def test_a_killed_worker_runs_again_once_and_is_then_reported(cache, rng):
    network, drive = (
        small_network(rng, "srif", sizes=(12, 3)),
        Drive.bernoulli(rng.random((3, 12)), 10, "1 ms", 0),
    )
    first = CPP.run(network, drive)
    (program,) = cache.glob("*/main")
    real = program.with_name("real")
    program.rename(real)
    for script, dies in (
        (f'[ -e killed ] || {{ touch killed; kill -9 $$; }}; exec "{real}"', False),
        ("kill -9 $$", True),
    ):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        manifest = program.with_name("manifest.json")
        facts = json.loads(manifest.read_text())
        facts["files"] = {"main": hashlib.sha256(program.read_bytes()).hexdigest()}
        manifest.write_text(json.dumps(facts))
        if dies:
            with pytest.raises(RefsimError, match="was ended by signal 9 twice"):
                CPP.run(network, drive)
        else:
            assert mismatches(first, CPP.run(network, drive)) == [0]


def test_killed_while_compiling_then_run_again(cache):
    code = (
        "import numpy as np, refsim; net = refsim.Network.dense([(np.full((2, 4), 0.375), None, "
        "refsim.load('srif'))], '1 ms');"
        "print(len(refsim.Brian2(target='cpp').run(net, refsim.Drive.bernoulli(np.full((4, 4), "
        "0.5), 30, '1 ms', 0)).spikes[0]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=os.environ, start_new_session=True)
    while not list(cache.glob("*.lock")):
        time.sleep(0.02)
    time.sleep(1.5)  # in the middle of generation or make
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not programs(cache)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 20
    assert len(programs(cache)) == 1


def test_a_name_on_the_command_line_that_is_no_utf8(tmp_path):
    """Brian2 writes the command line into its log when it is imported."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, refsim.engines.brian.session as s; before = list(sys.argv); "
        "s._import_brian2(); print(sys.argv == before)"
    )
    done = subprocess.run(
        [sys.executable, script, b"\xfc.pt"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "True\n", done.stderr
