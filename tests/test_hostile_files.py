"""Hostile files, each format: exit code 2, one sentence, no code run, memory bounded."""

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from netfiles import dense, neuron, write_net

import refsim
from refsim import RefsimError
from refsim.__main__ import main

TOML = 'dt = "1 ms"\n[[layer]]\nlinear = "0"\nneuron = "srif"\n'
WEIGHT = np.arange(12, dtype=np.float32).reshape(3, 4)


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch owned",)


def refused(path, says, capsys):
    """Hold a file against what inspect says of it: one line, exit code 2, nothing run."""
    code = main(["inspect", str(path)])
    error = capsys.readouterr().err
    assert (code, error.count("\n")) == (2, 1), error
    assert "Traceback" not in error
    with pytest.raises(RefsimError, match=says):
        raise RefsimError(error)
    assert not os.path.exists("owned")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.toml").write_text(TOML)


# --- safetensors ---


def safetensors(tensors, *, head=None, length=None, data=None):
    """Return the bytes of a file, perhaps with another head, length or data."""
    offsets, body, entries = 0, b"", {}
    for name, (kind, array) in tensors.items():
        raw = array.tobytes()
        entries[name] = {
            "dtype": kind,
            "shape": list(array.shape),
            "data_offsets": [offsets, offsets + len(raw)],
        }
        offsets, body = offsets + len(raw), body + raw
    text = json.dumps(entries if head is None else head(entries)).encode()
    return (
        struct.pack("<Q", len(text) if length is None else length)
        + text
        + (body if data is None else data)
    )


def test_safetensors_are_read_in_every_dtype(tmp_path):
    bf16 = (WEIGHT.view(np.uint32) >> 16).astype(np.uint16)
    for kind, array in (
        ("F32", WEIGHT),
        ("F64", WEIGHT.astype(np.float64)),
        ("F16", WEIGHT.astype(np.float16)),
        ("BF16", bf16),
        ("I8", WEIGHT.astype(np.int8)),
    ):
        (tmp_path / "net.safetensors").write_bytes(
            safetensors({"0.weight": (kind, array), "0.bias": ("F32", np.ones(3, np.float32))})
        )
        layer = refsim.bridge.load(tmp_path / "net.safetensors").layers[0]
        assert np.array_equal(layer.weight, WEIGHT)
        assert layer.bias.tolist() == [1, 1, 1]


def _entry(**changes):
    return lambda entries: {name: {**entry, **changes} for name, entry in entries.items()}


GOOD = {"0.weight": ("F32", WEIGHT)}
SAFETENSORS = {
    "empty": (b"", "is empty"),
    "too_short": (b"abc", "is no safetensors file"),
    "pickled_code": (pickle.dumps(Evil()) * 9, "is no safetensors file"),
    "head_beyond_the_file": (
        safetensors(GOOD, length=1 << 62),
        "its head of .* bytes does not fit",
    ),
    "no_json": (struct.pack("<Q", 5) + b"[[[[[" + bytes(9), "its head is not JSON"),
    "deep_json": (struct.pack("<Q", 200000) + b"[" * 200000, "its head is not JSON"),
    "no_tensors": (safetensors({}), "names no tensors"),
    "absurd_shape": (
        safetensors(GOOD, head=_entry(shape=[1 << 40, 1 << 40])),
        "does not fill its 48 bytes",
    ),
    "offsets_beyond": (
        safetensors(GOOD, head=_entry(data_offsets=[0, 1 << 40])),
        "two data_offsets within the file",
    ),
    "offsets_backwards": (
        safetensors(GOOD, head=_entry(data_offsets=[48, 0])),
        "two data_offsets within the file",
    ),
    "cut_short": (safetensors(GOOD, data=bytes(9)), "two data_offsets within the file"),
    "complex": (
        safetensors(GOOD, head=_entry(dtype="C64")),
        "is C64; plain real tensors are needed",
    ),
    "holes": (
        safetensors(GOOD, data=WEIGHT.tobytes() + bytes(8)),
        "its last 8 bytes belong to no tensor",
    ),
    "shared": (
        safetensors(GOOD, head=lambda entries: {**entries, "1.weight": entries["0.weight"]}),
        "bytes 0 to 48 of its numbers belong to two tensors",
    ),
    "twice": (
        struct.pack("<Q", 28) + b'{"0.weight":3,"0.weight": 3}' + bytes(48),
        "names '0.weight' twice",
    ),
    "beyond_numpy": (
        safetensors(GOOD, head=_entry(shape=[0, 10**30], data_offsets=[0, 0])),
        "of shape .* does not fill its 0 bytes",
    ),
    "no_entry": (
        safetensors(GOOD, head=lambda entries: {"0.weight": 3}),
        "is None; plain real tensors",
    ),
    "negative_shape": (safetensors(GOOD, head=_entry(shape=[-3, -4])), "must have a shape"),
    "nan": (
        safetensors({"0.weight": ("F32", np.full((3, 4), np.nan, np.float32))}),
        "12 of 12 numbers are NaN or infinite",
    ),
    "missing": (safetensors({"1.weight": ("F32", WEIGHT)}), "has no tensor '0.weight'"),
    "surplus": (
        safetensors({**GOOD, "1.weight": ("F32", WEIGHT)}),
        "does not account for 1.weight",
    ),
}


@pytest.mark.parametrize("name", SAFETENSORS)
def test_hostile_safetensors(name, tmp_path, capsys):
    (tmp_path / "net.safetensors").write_bytes(SAFETENSORS[name][0])
    refused("net.safetensors", SAFETENSORS[name][1], capsys)


# --- npz ---


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **{name.replace("_", "."): array for name, array in arrays.items()})
    return buffer.getvalue()


def bomb():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("0.weight.npy", bytes(200_000_000))
    return buffer.getvalue()


NPZ = {
    "empty": (b"", "is empty"),
    "no_zip": (b"hello" * 99, "is damaged, or holds Python objects|is no .npz file"),
    "pickled_code": (npz(**{"0_weight": np.array([Evil()], object)}), "holds Python objects"),
    "bomb": (bomb(), "unpacks to 200,000,000 bytes"),
    "words": (npz(**{"0_weight": np.array(["a"])}), "is <U1; plain real tensors are needed"),
    "inf": (npz(**{"0_weight": np.full((3, 4), np.inf)}), "12 of 12 numbers are NaN or infinite"),
    "missing": (npz(a_b=WEIGHT), "has no tensor '0.weight'"),
    "surplus": (npz(**{"0_weight": WEIGHT, "x": WEIGHT}), "does not account for x"),
    "one_axis": (npz(**{"0_weight": np.ones(3)}), r"weight must be \(n_post, n_pre\)"),
}


@pytest.mark.parametrize("name", NPZ)
def test_hostile_npz(name, tmp_path, capsys):
    (tmp_path / "net.npz").write_bytes(NPZ[name][0])
    refused("net.npz", NPZ[name][1], capsys)


# --- PyTorch: what test_bridge.py does not hold ---


def test_a_tensor_that_claims_more_than_the_file_holds(capsys):
    torch.save({"0.weight": torch.ones(1).expand(1 << 20, 1 << 20)}, "net.pt")
    refused("net.pt", "claims more numbers than the file holds", capsys)


# --- HDF5 ---


def _huge(group, name):
    group.create_dataset(name, (1 << 20, 1 << 20), "f4", chunks=(16, 16))


def _packed(group, name):
    group.create_dataset(
        name,
        (4000, 4000),
        "f4",
        data=np.zeros((4000, 4000), np.float32),
        chunks=(4000, 4000),
        compression="gzip",
        compression_opts=9,
    )


def _link(kind):
    import h5py

    def make(group, name):
        group[name] = (
            h5py.ExternalLink("other.net", "/layer/0/weight")
            if kind == "external"
            else h5py.SoftLink("/layer/0/neuron")
        )

    return make


def _circle(group, name):
    group[name] = group.file["layer"]


def _outside(group, name):
    group.create_dataset(name, (3, 4), "f4", external=[("secret.bin", 0, 48)])


def _virtual(group, name):
    import h5py

    layout = h5py.VirtualLayout((3, 4), "f4")
    layout[:] = h5py.VirtualSource("other.net", "x", (3, 4))
    group.create_virtual_dataset(name, layout)


def _compound(group, name):
    group.create_dataset(name, data=np.zeros(3, [("a", "f4"), ("b", "i4")]))


GOOD_LAYER = dense(2 * WEIGHT, neuron("CUBA"))
HDF5 = {
    "huge": ({"weight": _huge}, "needs 8,796,093,022,208 bytes; no network in a file of"),
    "packed": ({"weight": _packed}, "needs 128,000,000 bytes; no network in a file of"),
    "external_link": ({"weight": _link("external")}, "'/layer/0/weight' is an external link"),
    "soft_link": ({"weight": _link("soft")}, "'/layer/0/weight' is a soft link"),
    "circle": ({"neuron": _circle}, "group '/layer/0/neuron' is linked more than once"),
    "circle_of_weights": ({"weight": _circle}, "group '/layer/0/weight' is linked more than once"),
    "outside": ({"weight": _outside}, "lies in another file"),
    "virtual": ({"weight": _virtual}, "lies in another file"),
    "compound": ({"weight": _compound}, "must hold numbers or text, but has dtype"),
    "words": ({"weight": "many"}, "must hold real numbers, but holds words"),
    "nan": ({"weight": WEIGHT * np.nan}, "are NaN or infinite"),
    "inf": ({"delay": np.full(3, np.inf)}, "3 of 3 numbers of 'delay' are NaN or infinite"),
    "complex": (
        {"weight": WEIGHT.astype(np.complex64)},
        "must hold numbers or text, but has dtype complex64",
    ),
    "number_for_a_word": ({"type": 3}, "'type' must hold words, but holds numbers"),
    "long_word": ({"type": "x" * 1000}, "'type' must be one word"),
    "array_for_a_group": ({"neuron": np.ones(3)}, "'neuron' must be a group, but is an array"),
    "no_weight": ({"weight": None}, "has no weight"),
    "empty_weight": ({"weight": np.ones((0, 4))}, "its weights must be whole numbers"),
    "shape_of_nan": ({"shape": np.array([np.nan])}, "are NaN or infinite"),
    "no_neuron": ({"neuron": None}, "says no type of neuron"),
}


@pytest.mark.parametrize("name", HDF5)
def test_hostile_hdf5(name, tmp_path, capsys):
    pytest.importorskip("h5py")
    change, says = HDF5[name]
    (tmp_path / "secret.bin").write_bytes(bytes(48))
    layer = {key: value for key, value in (GOOD_LAYER | change).items() if value is not None}
    refused(write_net(tmp_path / "net.net", layer), says, capsys)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda good: good[: len(good) // 2], "is damaged or cut short"),
        (lambda good: b"", "is not HDF5"),
        (lambda good: pickle.dumps(Evil()), "is not HDF5"),
        (lambda good: good.replace(b"layer", b"LAYER"), "has no 'layer'"),
    ],
)
def test_damaged_hdf5(make, says, tmp_path, capsys):
    pytest.importorskip("h5py")
    path = write_net(tmp_path / "net.net", GOOD_LAYER)
    path.write_bytes(make(path.read_bytes()))
    refused(path, says, capsys)


def test_layers_that_are_not_numbered_through(tmp_path, capsys):
    h5py = pytest.importorskip("h5py")
    for names, says in (
        (["0", "2"], "numbered from 0 on, without a gap"),
        (["a"], "one is named 'a'"),
        ([], "are none"),
    ):
        with h5py.File(tmp_path / "net.net", "w") as file:
            file.create_group("layer")
            for name in names:
                file.create_group(f"layer/{name}")
        refused("net.net", says, capsys)


def test_every_byte_of_a_file_may_be_wrong(tmp_path, rng):
    """Change bytes at random: a file is read or refused, and nothing else happens."""
    pytest.importorskip("h5py")
    good = write_net(tmp_path / "good.net", GOOD_LAYER).read_bytes()
    for _ in range(200):
        damaged = bytearray(good)
        for place in rng.integers(0, len(good), 3):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / "net.net").write_bytes(damaged)
        try:
            refsim.bridge.load(tmp_path / "net.net")
        except RefsimError as error:
            assert "\n" not in str(error)  # noqa: PT017 - most damage is read or refused


def test_without_h5py_the_error_names_the_extra(tmp_path):
    (tmp_path / "net.net").write_bytes(b"x")
    code = (
        "import sys; sys.modules['h5py'] = None; from refsim.__main__ import main; "
        "sys.exit(main(['inspect', 'net.net']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "needs h5py, which is not installed; pip install 'refsim[files]'" in done.stderr
