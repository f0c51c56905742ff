"""Every file that refsim writes is written whole.

A writer that fails or is killed leaves what was there.
"""

import functools
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import refsim
from refsim import RefsimError
from refsim.__main__ import main
from refsim.core.whole_files import whole
from refsim.experiments.plots import draw
from refsim.files.nir.write import save_nir
from refsim.files.refsim_file import load_network, save_network


def network():
    return refsim.Network.dense([(np.eye(2), None, refsim.load("lif"))], "1 ms")


@functools.cache
def curve():
    return refsim.experiments.fi(refsim.load("lif"), "0:2:5", duration="20 ms")


WRITERS = {
    "net.refsim": lambda path: save_network(network(), path),
    "net.nir": lambda path: save_nir(
        refsim.Network.dense([(np.eye(2), None, refsim.load("nir_if"))], "1 ms"), path
    ),
    "card.toml": lambda path: refsim.NeuronModel(
        "mine",
        "dv/dt = (I - v)/tau : 1",
        threshold="v > 1",
        reset="v = 0",
        parameters={"tau": "10 ms"},
    ).save(path),
    "curve.csv": lambda path: curve().save_csv(path),
    "curve.npz": lambda path: curve().save_npz(path),
    "curve.png": lambda path: draw(curve()).save(path),
    "run.csv": lambda path: main(
        ["run", "lif", "--constant", "1", "--steps", "5", "--out", str(path)]
    ),
    "run.npz": lambda path: main(
        ["run", "lif", "--constant", "1", "--steps", "5", "--out", str(path)]
    ),
    "card.txt": lambda path: main(["show", "lif", "--out", str(path)]),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_writer_that_is_stopped_at_the_last_leaves_the_old_file(name, tmp_path, monkeypatch):
    path = tmp_path / name
    WRITERS[name](path)  # what is imported and compiled on the way is made before
    path.write_bytes(b"old")
    path.chmod(0o640)
    seen = []

    def stopped(made, target):
        seen.append((os.path.getsize(made) > 0, path.read_bytes()))
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("refsim.core.whole_files._replace", stopped)
        try:
            code = WRITERS[name](path)
        except RefsimError as error:
            code = 2 if "cannot be written" in str(error) else 0
    assert code == 2
    assert seen == [(True, b"old")]  # all of the new was there, and the old still in its place
    assert [each.name for each in tmp_path.iterdir()] == [name]
    WRITERS[name](path)
    assert path.read_bytes() != b"old"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_new_file_has_the_rights_of_a_new_file_and_a_link_stays_one(tmp_path):
    (tmp_path / "plain").write_text("")
    save_network(network(), tmp_path / "net.refsim")
    assert (tmp_path / "net.refsim").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "link.refsim").symlink_to("net.refsim")
    (tmp_path / "net.refsim").write_bytes(b"old")
    save_network(network(), tmp_path / "link.refsim")
    assert (tmp_path / "link.refsim").is_symlink()
    assert len(load_network(tmp_path / "net.refsim").layers) == 1


def test_what_is_no_plain_file_is_written_as_it_is(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-m", "refsim", "show", "lif", "--out", "/dev/stdout"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.startswith("lif")
    with pytest.raises(RefsimError, match="cannot be written"):
        save_network(network(), tmp_path)
    with pytest.raises(RefsimError, match="cannot be written"):
        save_network(network(), tmp_path / "no folder" / "net.refsim")


def test_killed_between_two_files_a_zip_is_no_half(tmp_path):
    """A process that dies where no handler runs leaves the old archive, which opens."""
    path = tmp_path / "net.refsim"
    save_network(network(), path)
    code = (
        "import os, sys, zipfile, numpy as np, refsim\n"
        "from refsim.bridge import save_network\n"
        "wrote = zipfile.ZipFile.writestr\n"
        "def dies(self, name, data):\n    wrote(self, name, data)\n    os._exit(9)\n"
        "zipfile.ZipFile.writestr = dies\n"
        "save_network(refsim.Network.dense([(np.ones((3, 2)), None, refsim.load('lif'))], '1 "
        "ms'), sys.argv[1])\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 9
    assert zipfile.ZipFile(path).testzip() is None
    assert load_network(path).layers[0].n_post == 2


def test_the_name_that_is_given_ends_as_the_one_that_is_wanted(tmp_path):
    with whole(tmp_path / "a.csv.gz") as made:
        assert made.suffix == ".gz"
        made.write_text("x")
    assert (tmp_path / "a.csv.gz").read_text() == "x"
