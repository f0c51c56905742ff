"""Data is checked at the door: each format is read, and what is wrong with a file is said."""

import contextlib
import gzip
import struct
import subprocess
import sys

import numpy as np
import pytest

from refsim import RefsimError
from refsim.networks.data import digits, encode, read_data


def idx(array, code=8):
    return (
        struct.pack(">BBBB", 0, 0, code, array.ndim)
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.astype({8: ">u1", 13: ">f4"}[code]).tobytes()
    )


def test_each_format_gives_the_same_numbers(tmp_path, rng):
    x = rng.integers(0, 255, (6, 4)).astype(np.uint8)
    y = np.arange(6)
    np.savez(tmp_path / "a.npz", x=x, y=y)
    np.save(tmp_path / "a.npy", x)
    np.savetxt(tmp_path / "a.csv", x, delimiter=",", header="p,q,r,s", comments="")
    (tmp_path / "a-idx").write_bytes(idx(x.reshape(6, 2, 2)))
    (tmp_path / "a-idx.gz").write_bytes(gzip.compress(idx(x.reshape(6, 2, 2))))
    (tmp_path / "y-idx.gz").write_bytes(gzip.compress(idx(y)))
    np.savetxt(tmp_path / "y.csv", y)
    for name, labels in (
        ("a.npz", None),
        ("a.npy", "y.csv"),
        ("a.csv", "y-idx.gz"),
        ("a-idx", "y.csv"),
        ("a-idx.gz", "y-idx.gz"),
    ):
        data = read_data(tmp_path / name, labels and tmp_path / labels, scale=255)
        assert np.array_equal(data.values, x / 255.0)
        assert np.array_equal(data.labels, y)


def test_events_and_currents_have_steps_of_their_own(tmp_path):
    np.savez(
        tmp_path / "e.npz", sample=[0, 1], step=[2, 3], neuron=[1, 0], shape=[2, 5, 3], y=[0, 1]
    )
    data = read_data(tmp_path / "e.npz")
    drive = encode(data, "current", None, 1e-3)
    assert (drive.n_samples, drive.n_steps, drive.n_inputs, drive.spikes.step.tolist()) == (
        2,
        5,
        3,
        [2, 3],
    )
    np.save(tmp_path / "c.npy", np.ones((2, 7, 3)))
    assert encode(read_data(tmp_path / "c.npy"), "current", None, 1e-3).n_steps == 7
    with pytest.raises(RefsimError, match="has 7 steps of its own, but --steps is 5"):
        encode(read_data(tmp_path / "c.npy"), "current", 5, 1e-3)


def test_digits_are_those_of_scikit_learn_without_its_import():
    images, labels = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    assert np.array_equal(digits().values, images[::5] / 16)
    assert np.array_equal(digits().labels, labels[::5])
    code = (
        "import sys, refsim.networks.data; refsim.networks.data.digits(); sys.exit('sklearn' "
        "in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_digits_are_split_once_and_for_all():
    train, test = digits("train"), digits("test")
    assert (len(train.values), len(test.values)) == (1437, 360)
    assert test.values.min() == 0
    assert test.values.max() == 1
    assert np.bincount(test.labels).min() >= 25  # every class is there


FILES = {
    "empty.npy": (b"", "is empty"),
    "cut.npy": (b"\x93NUMPY\x01\x00v\x00{'descr'", "cannot be read as npy"),
    "cut.npz": (b"PK\x03\x04cut", "cannot be read as npz"),
    "words.csv": (b"a,b\n1,2\n3,x\n", "cannot be read as csv"),
    "magic.idx": (b"\x01\x02\x03\x04aaaa", "nor idx by its first bytes"),
    "short-idx": (idx(np.zeros((3, 2)))[:-1], "should hold 6 bytes of data, but holds 5"),
    "long-idx": (idx(np.zeros((3, 2))) + b"x", "should hold 6 bytes of data, but holds more"),
    "huge-idx": (
        struct.pack(">BBBBIIII", 0, 0, 14, 4, 2**31, 2**31, 2**31, 2**31),
        "at most 8 GiB are read",
    ),
    "cut.gz": (gzip.compress(idx(np.zeros((30, 20))))[:-9], "cannot be read as idx"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_explained(name, tmp_path):
    content, says = FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RefsimError, match=says):
        read_data(tmp_path / name)


ARRAYS = [
    ({"z": np.ones((2, 2))}, "holds z; needed is x"),
    ({"x": np.ones(3)}, "needs shape"),
    ({"x": np.ones((0, 3))}, "needs shape"),
    ({"x": np.array([["a", "b"]])}, "must hold real numbers"),
    ({"x": np.array([[1.0, np.nan]])}, "1 of 2 numbers are NaN"),
    ({"x": np.ones((2, 2)), "y": np.ones(3, int)}, "labels .* are 3, but the data has 2 samples"),
    ({"x": np.ones((2, 2)), "y": np.array([0.5, 1])}, "must be one whole number a sample"),
    (
        {"sample": [0], "step": [0], "neuron": [0], "shape": [1, 2]},
        "shape must be three whole numbers",
    ),
]


@pytest.mark.parametrize(("arrays", "says"), ARRAYS)
def test_a_wrong_array_is_explained(arrays, says, tmp_path):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(RefsimError, match=says):
        read_data(tmp_path / "x.npz")


def test_pickled_arrays_are_not_opened(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(RefsimError, match="cannot be read as npy"):
        read_data(tmp_path / "x.npy")


def test_bytes_need_a_scale_before_they_are_probabilities(tmp_path):
    np.save(tmp_path / "x.npy", np.full((2, 3), 255))
    with pytest.raises(RefsimError, match=r"rates must lie in \[0, 1\]"):
        encode(read_data(tmp_path / "x.npy"), "bernoulli", 5, 1e-3)
    assert encode(read_data(tmp_path / "x.npy", scale=255), "bernoulli", 5, 1e-3).n_steps == 5
    with pytest.raises(RefsimError, match="say how many to run, --steps T"):
        encode(read_data(tmp_path / "x.npy"), "current", None, 1e-3)
    with pytest.raises(RefsimError, match="--encoder must be one of"):
        encode(read_data(tmp_path / "x.npy"), "rate", 5, 1e-3)


@pytest.mark.parametrize(
    ("text", "rows"),
    [("1,2\n3,4\n", 2), ("a,b\n1,2\n3,4\n", 2), ("\ufeff1,2\n3,4\n", 2), ("# note\n1,2\n", 1)],
)
def test_a_csv_keeps_its_first_row(text, rows, tmp_path):
    (tmp_path / "x.csv").write_text(text, "utf-8")
    assert len(read_data(tmp_path / "x.csv").values) == rows


@pytest.mark.parametrize(
    ("text", "says"), [("n/a,2\n3,4\n", "mixes numbers and text"), ("1;2\n3;4\n", "parted by ';'")]
)
def test_a_csv_of_another_kind_is_explained(text, says, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(RefsimError, match=says):
        read_data(tmp_path / "x.csv")


def test_no_option_is_silently_ignored(tmp_path):
    np.savez(tmp_path / "e.npz", sample=[0], step=[2], neuron=[1], shape=[2, 5, 3])
    with pytest.raises(RefsimError, match="which --scale cannot change"):
        read_data(tmp_path / "e.npz", scale=255)
    events = read_data(tmp_path / "e.npz")
    with pytest.raises(RefsimError, match="has 5 steps of its own, but --steps is 3"):
        encode(events, None, 3, 1e-3)
    with pytest.raises(RefsimError, match="leave --encoder bernoulli out"):
        encode(events, "bernoulli", None, 1e-3)


def test_every_byte_of_an_archive_may_be_wrong(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", x=np.arange(12.0).reshape(3, 4))
    whole = (tmp_path / "x.npz").read_bytes()
    for place in range(len(whole)):
        (tmp_path / "x.npz").write_bytes(
            whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :]
        )
        with contextlib.suppress(RefsimError):  # and no other error
            read_data(tmp_path / "x.npz")
