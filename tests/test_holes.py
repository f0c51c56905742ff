"""Doors that stood open: files of the working folder, texts of cards, names, pickles, terminals. Each is tried from outside."""

import contextlib
import os
import pickletools
import struct
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
import torch
from conftest import mismatches

import refsim
from refsim import Brian2, Discrete, Drive, NeuronModel, RefsimError
from refsim.__main__ import main
from refsim.engines.brian.text import spelled
from refsim.errors import one_line
from refsim.model.expressions import parse_expression
from refsim.outside import outside, safe_path
from refsim.pytorch.bridge.checkpoint import read_checkpoint
from refsim.shelf import shelf

OWNED = "open('owned', 'w').close()\n"


def python(code, folder, *, safe=True, **environment):
    """Run code in a folder as the command does, which has no working folder among its places of modules."""
    words = [sys.executable, *(["-P"] if safe else []), "-c", code]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **environment})


# --- nothing in the working folder runs ----------------------------------------------------------------------------------

SETTINGS = {
    "brian_preferences": "codegen.cpp.extra_link_args = [open('owned', 'w') and '']\n",
    "matplotlibrc": "font.size: 77\n",
}
# A run that Brian2 makes, and a picture.
USE = """
import refsim, numpy as np
from refsim.style import new_figure
net = refsim.Network.dense([(np.eye(2), None, refsim.load("lif"))], "1 ms")
refsim.Brian2(target="numpy").run(net, refsim.Drive.constant(np.ones((1, 2)), 5, "1 ms"))
new_figure(2.0)
import matplotlib
print(matplotlib.rcParams["font.size"])
"""
OPEN = "import contextlib, refsim.outside\nrefsim.outside.outside = contextlib.nullcontext\n"  # the rogue


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

    network = refsim.Network.dense([(rng.normal(0, 1, (3, 4)), None, refsim.load("lif_refractory"))], "1 ms")
    drive = Drive.current(rng.random((2, 40, 4)) * 3, "1 ms")
    engine = Brian2(mode="fine", refine=4, target="numpy")
    usual = engine.run(network, drive)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("legacy.refractory_timing", True), ("core.default_integer_dtype", np.int64), ("codegen.string_expression_target", "numpy")):
            patch.setitem(brian2.prefs, name, value)
        assert mismatches(usual, engine.run(network, drive)) == [0]
        assert brian2.prefs["legacy.refractory_timing"] is True
    assert len(usual.spikes[0])


SHADOWS = ("numpy", "brian2", "torch", "sympy", "h5py", "matplotlib", "random", "typing", "json", "argparse")
NET = "import torch\nimport beside\nfrom refsim.pytorch import SRIF\n\ndef make():\n    return torch.nn.Sequential(torch.nn.Linear(4, 3), SRIF())\n"
VALIDATE = "import sys; from refsim.__main__ import main; sys.exit(main(['validate', sys.argv[1], '--data', 'x.npy', '--dt', '1 ms', '--report', 'report']))"


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
    done = subprocess.run([sys.executable, "-m", "refsim", "show", "lif"], cwd=shadowed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (shadowed / "owned").exists()


@pytest.mark.parametrize(("path", "ran"), [(safe_path, False), (contextlib.nullcontext, True)])
def test_a_process_of_the_pool_imports_nothing_from_the_working_folder(path, ran, tmp_path):
    (tmp_path / "multiprocessing.py").write_text(OWNED)
    with path():
        python("import multiprocessing", tmp_path, safe=False)
    assert (tmp_path / "owned").exists() == ran


# --- a card is data ------------------------------------------------------------------------------------------------------

CARD = (shelf("equations") / "lif_exp.toml").read_text("utf-8").replace('name  = "lif_exp"', 'name  = "mine"').replace('name = "lif_exp"', 'name = "mine"')


def model(**changed):
    """Return a neuron of one's own, some of its words changed."""
    words = {
        "equations": "dv/dt = (I - v)/tau_m : 1",
        "threshold": "v >= v_th",
        "reset": "v = 0",
        "parameters": {"tau_m": "5 ms", "v_th": 0.5, "half": 0.5},
    }
    return NeuronModel("mine", **{**words, **changed})


QUOTED = '""" + __import__("os").system("touch owned") + """'
HIDDEN = "\f" + "__import__('os').system('touch owned')"
TEXTS = {
    "unit": {"equations": f"dv/dt = (I - v)/tau_m : 1 (unless refractory) {QUOTED}"},
    "flag": {"equations": "dv/dt = (I - v)/tau_m : 1 (constant)"},
    "a form feed ends a comment": {"threshold": f"v >= v_th # {HIDDEN}"},
    "in the reset": {"reset": f"v = 0 # {HIDDEN}"},
    "in the equations": {"equations": f"dv/dt = (I - v)/tau_m : 1 # {HIDDEN}"},
    "in a derived constant": {"derived": {"two": f"2*v_th # {HIDDEN} : 1"}},
    "in a title": {"title": "mine\u2028import os"},
    "a turned line": {"title": "mine \u202e"},
    "an escape": {"references": ["\x1b]0;owned\x07"]},
    "another alphabet": {"threshold": "v >= v_th + 0*ｖ"},
    "a backslash": {"threshold": "v \\\n>= v_th"},
    "a quote": {"threshold": "v >= 'v_th'"},
    "twice": {"equations": "dv/dt = (I - v)/tau_m : 1\ndv/dt = I/tau_m : 1"},
}


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_no_part_of_the_language_is_refused_when_the_card_is_loaded(name):
    with pytest.raises(RefsimError, match="mine"):
        model(**TEXTS[name])


def test_a_comment_may_hold_anything_and_goes_nowhere():
    plain, said = model(), model(threshold='v >= v_th  # """ ; "quoted"', reset="v = 0 # ; v = 7", equations='dv/dt = (I - v)/tau_m : 1  # """')
    assert said.continuous == plain.continuous
    assert said.discrete.texts == plain.discrete.texts
    script = refsim.to_brian2(said)
    assert "quoted" not in script
    assert "7" not in script.split("threshold=")[1].split("method=")[0]


@pytest.mark.parametrize("text", ["1/0", "2*(1/0)", "9**9**9", "(-8)**0.5", "log(0)", "log(-1)", "1e308*10", "9" * 400, "shr(1, 5000)", "0**-1", "exp(1000)"])
def test_numbers_that_are_none_are_refused(text):
    with pytest.raises(RefsimError, match="finite number") as caught:
        model(threshold=f"v >= v_th + {text}")
    assert len(str(caught.value)) < 700


# --- names ---------------------------------------------------------------------------------------------------------------


def spikes(neuron, rng, *engines):
    network = refsim.Network.dense([(np.eye(3), None, neuron)], "1 ms")
    drive = Drive.current(rng.random((2, 120, 3)) * 4, "1 ms")
    return [engine.run(network, drive).spikes[0] for engine in engines]


@pytest.mark.parametrize("method", ["euler", "exponential_euler", "rk4"])
@pytest.mark.parametrize("name", ["v_slope", "v_kept", "v_rate", "v_ratio", "v_k1", "v_k1_at", "v_at_k2"])
def test_a_state_may_have_a_name_that_a_generated_step_could_give(method, name, rng):
    def neuron(second):
        equations = f"dv/dt = (I - v - 0.5*{second})/tau_m : 1\nd{second}/dt = (v - {second})/tau_m : 1"
        return model(equations=equations, method=method, parameters={"tau_m": "10 ms", "v_th": 0.5})

    state = rng.bit_generator.state
    wanted = spikes(neuron("quiet"), rng, Discrete())[0]
    rng.bit_generator.state = state
    found = spikes(neuron(name), rng, Discrete(), Brian2(target="numpy"))
    assert [each.code.tolist() for each in found] == [wanted.code.tolist()] * 2
    assert len(wanted)


def test_what_was_kept_does_not_take_a_states_name(rng):
    """The old membrane of a neuron that fires at crossings alone."""

    def neuron(second):
        equations = f"dv/dt = (I - v - 0.5*{second})/tau_m : 1\nd{second}/dt = (v - {second})/tau_m : 1"
        return model(equations=equations, refractory="v >= v_th", method="euler")

    state = rng.bit_generator.state
    wanted = spikes(neuron("quiet"), rng, Discrete())[0]
    rng.bit_generator.state = state
    assert spikes(neuron("v_old"), rng, Discrete())[0].code.tolist() == wanted.code.tolist()
    assert len(wanted)


@pytest.mark.parametrize("name", ["result_4_", "distance_", "_helper", "truth", "gap", "uniform_call", "I_excitatory", "jump_inhibitory", "sub_delta", "L0", "double", "NULL", "v_post"])
@pytest.mark.parametrize("place", ["parameter", "state", "helper", "subexpression"])
def test_a_name_of_refsims_own_is_refused_by_name(name, place):
    made = {
        "parameter": lambda: model(parameters={"tau_m": "5 ms", "v_th": 0.5, name: 0.5}),
        "state": lambda: model(equations=f"dv/dt = (I - v)/tau_m : 1\nd{name}/dt = -{name}/tau_m : 1"),
        "helper": lambda: NeuronModel("mine", discrete={"integrate": f"{name} = 0.5*v\nv = {name} + I", "fire": "z = v >= 1", "reset": "v = v - z"}, state={"v": 0.0}),
        "subexpression": lambda: model(equations=f"{name} = 0.5*v : 1\ndv/dt = (I - {name})/tau_m : 1"),
    }
    with pytest.raises(RefsimError, match="mine" if name.startswith("I_") else name):  # an input's name is also read as an input
        made[place]()


@pytest.mark.parametrize("names", [("w", "u"), ("left", "w"), ("flow", "held"), ("steady", "elapsed")])
def test_plain_synapses_take_no_name_from_a_card(names, rng):
    def run(first, second):
        equations = f"d{first}/dt = ({second} - {first})/tau_m : 1\nd{second}/dt = -{second}/tau_s + I/step : 1"
        step = {"solution": "exponential_euler", "integrate": "from continuous", "fire": f"z = {first} >= 0.3", "reset": f"{first} = {first}*(1 - z)"}
        neuron = model(
            equations=equations, threshold=f"{first} >= 0.3", reset=f"{first} = 0", discrete=step, parameters={"tau_m": "5 ms", "tau_s": "3 ms"}
        )
        network = refsim.Network.dense([(2 * np.eye(2), None, neuron)], "1 ms")
        drive = Drive.events([0] * 6, [1, 2, 3, 4, 5, 8], [0, 1, 0, 1, 0, 0], (1, 30, 2), "1 ms")
        engines = (Brian2(target="numpy", connections="synapses"), Brian2(target="numpy", spike_times="exact", dt="0.1 ms"))
        return [engine.run(network, drive).spikes[0].code.tolist() for engine in engines]

    found = run(*names)
    assert found == run("v", "i_syn")
    assert all(found)


# --- whole numbers -------------------------------------------------------------------------------------------------------

HALVES = ["2**(-1)", "2**-1", "1/4**0.5", "2**31/2**32", "2**63/2**64", "1/2", "trunc(1.5)/2", "round(0.6)/2", "shr(8, 3)/2", "floor (1.5)/2", "sign(5)*2**-1"]


@pytest.mark.parametrize("text", HALVES)
def test_a_half_is_a_half_in_every_engine(text, rng):
    """In fine mode too, where Brian2 would compute powers of whole numbers as whole numbers."""
    state = rng.bit_generator.state
    engines = (Brian2(mode="fine", refine=2, target="numpy"), Brian2(target="numpy"), Discrete())
    wanted = spikes(model(), rng, *engines)
    rng.bit_generator.state = state
    for place in ({"threshold": f"v >= {text}"}, {"reset": f"v = 0*({text})"}, {"equations": f"lower = {text} : 1\ndv/dt = (I - v)/tau_m : 1", "threshold": "v >= lower"}):
        if place.get("threshold") == "v >= lower":
            place["discrete"] = {"solution": "exponential_euler", "integrate": "from continuous", "fire": "z = v >= lower", "reset": "v = v*(1 - z)"}
        rng.bit_generator.state = state
        found = spikes(model(**place), rng, *engines)
        assert [len(each) for each in found] == [len(each) for each in wanted], place
    assert len(wanted[0])


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2**(-1)*v", "0.5*v"),
        ("2**v", "2.0**v"),
        ("v**2", "v**2"),
        ("1/3 + v", "1/3 + v"),
        ("floor(v)/2", "whole_below(v)/2"),
        ("floor (floor(v))", "whole_below(whole_below(v))"),
    ],
)
def test_powers_and_floors_are_spelled_for_brian2(text, written):
    assert spelled(parse_expression(text, "here")) == written


def test_the_script_computes_the_same_half():
    script = refsim.to_brian2(model(threshold="v >= 2**(-1)", reset="v -= 2*2**-1"))
    assert 'threshold="v >= 0.5"' in script
    assert 'reset="v -= 2*0.5"' in script


# --- pickles that never end ----------------------------------------------------------------------------------------------


def text(word):
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def tower(levels):
    """A tuple of two of the tuple below, and so on: 2^levels to who takes its hash."""
    return b"K\x01K\x01\x86q\x00" + b"".join(b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(levels))


PICKLES = {
    "a key": b"\x80\x02}" + tower(40) + text("x") + b"s.",
    "a value": b"\x80\x02}" + text("a") + tower(40) + b"s.",
    "a set": b"\x80\x02cbuiltins\nset\n]" + tower(40) + b"a\x85R.",
    "many small ones": b"\x80\x02}" + (tower(16) + text("x") + b"s") * 300 + b".",
    "a short key": b"\x80\x02}" + tower(3) + text("x") + b"s.",
    "a deep key": b"\x80\x02})" + b"\x85" * 5000 + text("x") + b"s.",
    "deep": b"\x80\x02}" + (text("a") + b"}") * 5000 + b"s" * 5000 + b".",
    "itself": b"\x80\x02}q\x00" + text("a") + b"h\x00s.",
    "nothing to take": b"\x80\x02sss.",
    "no end": b"\x80\x02}",
    "no operation": b"\x80\x02\xff.",
}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name", PICKLES)
def test_a_pickle_that_never_ends_is_refused_at_once(name, old, tmp_path):
    path = tmp_path / "net.pt"
    if old:
        path.write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}." + PICKLES[name] + b"\x80\x02].")
    else:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("archive/data.pkl", PICKLES[name])
            file.writestr("archive/version", "3\n")
            file.writestr("archive/byteorder", "little")
    begun = time.process_time()
    with pytest.raises(RefsimError, match=r"checkpoint .*net\.pt") as caught:
        read_checkpoint(path)
    assert time.process_time() - begun < 2
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("zipped", [True, False])
def test_a_large_honest_checkpoint_is_read(zipped, tmp_path):
    module = torch.nn.Sequential(*(torch.nn.Linear(3, 3) for _ in range(200)))
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(3)).sum().backward()
    optimizer.step()
    state = {"model": module.state_dict(), "optimizer": optimizer.state_dict(), "losses": [0.5] * 10_000}
    torch.save(state, tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
    assert len(read_checkpoint(tmp_path / "net.pt", "model")) == 400


def test_every_operation_that_pytorch_reads_is_known():
    """What takes from the stack in a way of its own would be counted wrongly."""
    assert {op.name for op in pickletools.opcodes if "mark" in [each.name for each in op.stack_before]} >= {"TUPLE", "SETITEMS", "APPENDS"}


# --- terminals -----------------------------------------------------------------------------------------------------------


def test_a_crash_has_an_exit_code_of_its_own_and_asks_for_a_report(monkeypatch, capsys, tmp_path):
    def fail(_):
        raise KeyError("\x1b[31mred")

    monkeypatch.setattr("refsim.commands.models.execute", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv("REFSIM_DEBUG", raising=False)
    assert main(["models"]) == 70
    error = capsys.readouterr().err
    (kept,) = tmp_path.glob("refsim-crash-*.txt")
    assert error.count("\n") == 1
    assert "a fault of refsim's own, and no verdict (KeyError: '\\x1b[31mred'). Please report it" in error
    assert str(kept) in error
    assert "in fail" in kept.read_text()
    monkeypatch.setenv("REFSIM_DEBUG", "1")
    assert main(["models"]) == 70
    error = capsys.readouterr().err
    assert "in fail" in error
    assert "\x1b" not in error
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("when", ["arguments", "execute"])
@pytest.mark.parametrize("error", [ImportError("no"), RecursionError(), AssertionError(), ZeroDivisionError()])
def test_no_crash_has_the_exit_code_of_a_verdict(when, error, monkeypatch, capsys):
    def fail(*_):
        raise error

    monkeypatch.setattr(f"refsim.commands.models.{when}", fail)
    assert main(["models"]) == 70
    assert "Please report it" in capsys.readouterr().err


def test_code_of_the_users_own_that_fails_is_no_fault_of_refsims(shadowed):
    (shadowed / "net.py").write_text(
        NET
        + "class Late(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.inner, self.calls = make(), 0\n"
        + "    def forward(self, x):\n        self.calls += 1\n        if self.calls > 4:\n            raise IndexError('mine')\n        return self.inner(x)\n"
    )
    done = python(VALIDATE.replace("sys.argv[1]", repr("net.py:Late")), shadowed)
    assert done.returncode == 2, done.stderr
    assert "your own code fails while it runs, at net.py, line" in done.stderr
    assert "(IndexError: mine)" in done.stderr


NAMES = ["\x1b]0;owned\x07", "a\rb", "a\u202eb", "\x9b31m", "x" * 100_000, "a\u2028b"]


@pytest.mark.parametrize("name", NAMES)
def test_names_in_files_reach_the_terminal_as_text_on_a_line(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save({"0.weight": torch.ones(3, 4), name: torch.ones(1), f"{name}2": 3}, "net.pt")
    (tmp_path / "net.toml").write_text('dt = "1 ms"\n[[layer]]\nlinear = "0"\nneuron = "srif"\n')
    torch.save({"0.weight": torch.ones(3, 4), name: torch.ones(1)}, "more.pt")
    (tmp_path / "more.toml").write_text('dt = "1 ms"\n[[layer]]\nlinear = "0"\nneuron = "srif"\n')
    for file in ("net.pt", "more.pt"):
        assert main(["inspect", file]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert error[:-1].isprintable()
        assert len(error) < 2100


def test_a_long_line_keeps_its_beginning_and_its_end():
    line = one_line("what " + "x" * 10_000 + "\n the cure", 200)
    assert len(line) == 200
    assert line.startswith("what xxx")
    assert line.endswith("xxx the cure")
    assert " … " in line
