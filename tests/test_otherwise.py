"""validate --otherwise: the accuracy under every other answer to what a file leaves unsaid."""

import json

import numpy as np
import pytest
from nir_files import affine, chain, neurons, write

import refsim
from refsim.__main__ import main

GIVEN = [
    "--dt",
    "1 ms",
    "--convention",
    "integration=euler",
    "--convention",
    "reset=by subtraction",
]


@pytest.fixture
def net(rng, tmp_path, monkeypatch):
    """A NIR file, its input, and as labels what it decides by the reading of GIVEN."""
    monkeypatch.chdir(tmp_path)
    path = write(
        tmp_path / "net.nir",
        *chain(
            affine(rng, 4, 6),
            neurons(rng, "LIF", (6,)),
            affine(rng, 6, 3),
            neurons(rng, "LIF", (3,)),
            shown=(3,),
        ),
    )
    x = rng.normal(0.0, 2.0, (60, 1, 4)) + rng.normal(1.0, 1.0, (60, 40, 4))
    network = refsim.bridge.load(path, dt="1 ms", integration="euler", reset="by subtraction")
    np.savez(
        "x.npz",
        x=x,
        y=refsim.run(
            network, refsim.Drive.current(x, "1 ms"), engine=refsim.Discrete()
        ).decisions(),
    )
    return path


def test_every_other_answer_is_run_and_reported(net, capsys):
    assert main(["validate", "net.nir", *GIVEN, "--data", "x.npz", "--otherwise", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["claims"]
    found = {row["measure"]: row for row in rows if row["measure"].startswith("accuracy, ")}
    assert set(found) == {
        "accuracy, reset='to v_reset'",
        "accuracy, reset='to zero'",
        "accuracy, integration='euler, current first'",
        "accuracy, integration='zero-order hold'",
        "accuracy, integration='exact spike times'",
        "accuracy, integration='impulse'",
        "accuracy, spikes='many'",
        "accuracy, comparison='>='",
    }
    assert {row["status"] for row in found.values()} <= {"reported", "skipped"}
    network = refsim.bridge.load(net, dt="1 ms", integration="euler", reset="to v_reset")
    file = np.load("x.npz")
    ran = refsim.run(
        network, refsim.Drive.current(file["x"], "1 ms"), engine=refsim.Torch(dtype="float32")
    )
    assert (
        found["accuracy, reset='to v_reset'"]["value"] == (ran.decisions() == file["y"]).mean() < 1
    )


def test_what_leaves_nothing_unsaid_or_has_no_labels_is_refused(net, capsys):
    np.save("x.npy", np.load("x.npz")["x"])
    assert main(["validate", "net.nir", *GIVEN, "--data", "x.npy", "--otherwise"]) == 2
    assert "the data have no labels" in capsys.readouterr().err
    assert main(["validate", "--otherwise"]) == 2
    assert "leaves nothing unsaid" in capsys.readouterr().err
    assert main(["validate", "net.nir", *GIVEN, "--data", "x.npz", "--otherwise", "--plan"]) == 2
    assert "leave --otherwise out" in capsys.readouterr().err
