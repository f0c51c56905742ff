"""Nothing in the working folder runs.

No settings of Brian2 or matplotlib, no module that has a package's name.
"""

import contextlib
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import mismatches

import refsim
from refsim import Brian2, Drive
from refsim.core.outside import outside, safe_path

OWNED = "open('owned', 'w').close()\n"


def python(code, folder, *, safe=True, **environment):
    """Run code in a folder as the command does, which has no working folder among its places of
    modules.
    """
    words = [sys.executable, *(["-P"] if safe else []), "-c", code]
    return subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


SETTINGS = {
    "brian_preferences": "codegen.cpp.extra_link_args = [open('owned', 'w') and '']\n",
    "matplotlibrc": "font.size: 77\n",
}
# A run that Brian2 makes, and a picture.
USE = """
import refsim, numpy as np
from refsim.core.style import new_figure
net = refsim.Network.dense([(np.eye(2), None, refsim.load("lif"))], "1 ms")
refsim.Brian2(target="numpy").run(net, refsim.Drive.constant(np.ones((1, 2)), 5, "1 ms"))
new_figure(2.0)
import matplotlib
print(matplotlib.rcParams["font.size"])
"""
# The rogue.
OPEN = (
    "import contextlib, refsim.core.outside\nrefsim.core.outside.outside = contextlib.nullcontext\n"
)


@pytest.mark.parametrize(("before", "ran", "size"), [("", False, "10.0"), (OPEN, True, "77.0")])
def test_settings_in_the_working_folder_are_not_read(before, ran, size, tmp_path):
    for name, text in SETTINGS.items():
        (tmp_path / name).write_text(text)
    done = python(before + USE, tmp_path)
    assert done.stdout.split() == [size], done.stderr
    assert (tmp_path / "owned").exists() == ran


def test_the_working_folder_is_the_same_afterwards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with outside():
        assert os.getcwd() == str(tmp_path)  # nothing there to stay away from
    (tmp_path / "matplotlibrc").write_text("")
    with contextlib.suppress(ZeroDivisionError), outside():
        assert os.listdir() == []
        raise ZeroDivisionError
    assert os.getcwd() == str(tmp_path)


def test_no_preference_bears_on_a_run(rng):
    """A notebook may have set them; a run of refsim's must not depend on it, nor change them."""
    import brian2

    network = refsim.Network.dense(
        [(rng.normal(0, 1, (3, 4)), None, refsim.load("lif_refractory"))], "1 ms"
    )
    drive = Drive.current(rng.random((2, 40, 4)) * 3, "1 ms")
    engine = Brian2(mode="fine", refine=4, target="numpy")
    usual = engine.run(network, drive)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("legacy.refractory_timing", True),
            ("core.default_integer_dtype", np.int64),
            ("codegen.string_expression_target", "numpy"),
        ):
            patch.setitem(brian2.prefs, name, value)
        assert mismatches(usual, engine.run(network, drive)) == [0]
        assert brian2.prefs["legacy.refractory_timing"] is True
    assert len(usual.spikes[0])


SHADOWS = (
    "numpy",
    "brian2",
    "torch",
    "sympy",
    "h5py",
    "matplotlib",
    "random",
    "typing",
    "json",
    "argparse",
)
NET = (
    "import torch\nimport beside\nfrom refsim.pytorch import SRIF\n\ndef make():\n    return "
    "torch.nn.Sequential(torch.nn.Linear(4, 3), SRIF())\n"
)
VALIDATE = (
    "import sys; from refsim.__main__ import main; sys.exit(main(['validate', "
    "sys.argv[1], '--data', 'x.npy', '--dt', '1 ms', '--report', 'report']))"
)


@pytest.fixture
def shadowed(tmp_path):
    """A folder with the user's network, and files that have the names of packages."""
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text(OWNED)
    (tmp_path / "package").mkdir()
    for name in ("net.py", "decimal.py", "package/net.py"):
        (tmp_path / name).write_text(NET)
    (tmp_path / "beside.py").write_text("")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((2, 6, 4)) * 4)
    return tmp_path


@pytest.mark.parametrize("name", ["net.py:make", "package.net:make", "decimal.py:make"])
def test_files_beside_the_users_code_shadow_no_package(name, shadowed):
    done = python(VALIDATE.replace("sys.argv[1]", repr(name)), shadowed)
    assert done.returncode in (0, 3), done.stderr
    assert not (shadowed / "owned").exists()


def test_a_package_of_the_name_of_an_installed_one_is_refused(shadowed):
    (shadowed / "sympy").mkdir()
    (shadowed / "sympy" / "net.py").write_text(NET)
    done = python(VALIDATE.replace("sys.argv[1]", repr("sympy.net:make")), shadowed)
    assert done.returncode == 2
    assert "'sympy' is also the name of an installed package" in done.stderr
    assert "sympy/net.py:make" in done.stderr


def test_python_m_refsim_imports_nothing_from_the_working_folder(shadowed):
    done = subprocess.run(
        [sys.executable, "-m", "refsim", "show", "lif"],
        cwd=shadowed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (shadowed / "owned").exists()


@pytest.mark.parametrize(("path", "ran"), [(safe_path, False), (contextlib.nullcontext, True)])
def test_a_process_of_the_pool_imports_nothing_from_the_working_folder(path, ran, tmp_path):
    (tmp_path / "multiprocessing.py").write_text(OWNED)
    with path():
        python("import multiprocessing", tmp_path, safe=False)
    assert (tmp_path / "owned").exists() == ran


def test_code_of_the_users_own_that_fails_is_no_fault_of_refsims(shadowed):
    (shadowed / "net.py").write_text(
        NET
        + (
            "class Late(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n   "
            "     self.inner, self.calls = make(), 0\n"
        )
        + (
            "    def forward(self, x):\n        self.calls += 1\n        if self.calls > 4:\n      "
            "      raise IndexError('mine')\n        return self.inner(x)\n"
        )
    )
    done = python(VALIDATE.replace("sys.argv[1]", repr("net.py:Late")), shadowed)
    assert done.returncode == 2, done.stderr
    assert "your own code fails while it runs, at net.py, line" in done.stderr
    assert "(IndexError: mine)" in done.stderr
