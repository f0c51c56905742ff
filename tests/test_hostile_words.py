"""Pickles that never end, crashes, and words of files that reach a terminal."""

import struct
import time
import zipfile

import pytest
import torch

from refsim import RefsimError
from refsim.__main__ import main
from refsim.core.errors import one_line
from refsim.files.weights import read_checkpoint

# --- pickles that never end ---


def text(word):
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def tower(levels):
    """A tuple of two of the tuple below, and so on: 2^levels to who takes its hash."""
    return b"K\x01K\x01\x86q\x00" + b"".join(
        b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(levels)
    )


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
        path.write_bytes(
            b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."
            + PICKLES[name]
            + b"\x80\x02]."
        )
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
    state = {
        "model": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "losses": [0.5] * 10_000,
    }
    torch.save(state, tmp_path / "net.pt", _use_new_zipfile_serialization=zipped)
    assert len(read_checkpoint(tmp_path / "net.pt", "model")) == 400


# --- terminals ---


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
    assert (
        "a fault of refsim's own, and no verdict (KeyError: '\\x1b[31mred'). Please report it"
        in error
    )
    assert str(kept) in error
    assert "in fail" in kept.read_text()
    monkeypatch.setenv("REFSIM_DEBUG", "1")
    assert main(["models"]) == 70
    error = capsys.readouterr().err
    assert "in fail" in error
    assert "\x1b" not in error
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("when", ["arguments", "execute"])
@pytest.mark.parametrize(
    "error", [ImportError("no"), RecursionError(), AssertionError(), ZeroDivisionError()]
)
def test_no_crash_has_the_exit_code_of_a_verdict(when, error, monkeypatch, capsys):
    def fail(*_):
        raise error

    monkeypatch.setattr(f"refsim.commands.models.{when}", fail)
    assert main(["models"]) == 70
    assert "Please report it" in capsys.readouterr().err


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
