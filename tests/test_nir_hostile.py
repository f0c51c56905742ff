"""Hostile .nir files: each ends in one sentence, runs nothing, follows nothing, and takes no
memory.
"""

import builtins
import contextlib
import resource
from pathlib import Path

import numpy as np
import pytest
from nir_files import chain, write

import refsim
from refsim import RefsimError

h5py = pytest.importorskip("h5py", reason="h5py is not installed; pip install 'refsim[files]'")

LIF = {
    "type": "LIF",
    "tau": np.full(3, 0.02),
    "r": np.full(3, 2.0),
    "v_leak": np.zeros(3),
    "v_threshold": np.full(3, 0.5),
    "v_reset": np.zeros(3),
}
AFFINE = {"type": "Affine", "weight": np.ones((3, 4)), "bias": np.zeros(3)}
CONV = {
    "type": "Conv2d",
    "weight": np.ones((1, 1, 3, 3)),
    "bias": np.zeros(1),
    "stride": np.array(1),
    "padding": np.array(1),
    "dilation": np.array(1),
    "groups": np.array(1),
}


def load(path):
    return refsim.bridge.load(path, dt="1 ms", reset="to zero", integration="euler")


def refused(path, said):
    with pytest.raises(RefsimError, match=said) as caught:
        load(path)
    text = str(caught.value)
    assert text.startswith("NIR file")
    assert "\n" not in text
    assert len(text) < 700


@pytest.fixture
def path(tmp_path):
    return write(tmp_path / "net.nir", *chain(AFFINE, LIF))


def test_the_file_itself_is_read(path):
    assert load(path).layers[0].weight.shape == (3, 4)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not HDF5"),
        (b"not hdf5" * 100, "is not HDF5"),
        (b"\x80\x04cos\nsystem\n(S'touch hacked'\ntR.", "is not HDF5"),
        (b"\x89HDF\r\n\x1a\n" + b"\xff" * 500, "cannot be read"),
    ],
    ids=["empty", "text", "pickle", "a head alone"],
)
def test_no_hdf5(content, said, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path.write_bytes(content)
    refused(path, said)
    assert not Path("hacked").exists()


def test_missing_files_and_folders(tmp_path):
    refused(tmp_path / "none.nir", "there is no such file")
    (tmp_path / "folder.nir").mkdir()
    refused(tmp_path / "folder.nir", "is a folder")


def test_every_length_of_a_truncated_file(path):
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        refused(path, "is not HDF5|cannot be read|lacks")


def test_flipped_bytes_end_in_a_network_or_a_sentence(path, rng):
    whole = bytearray(path.read_bytes())
    for _ in range(300):
        broken = whole.copy()
        for at in rng.integers(0, len(whole), 8):
            broken[at] = rng.integers(256)
        path.write_bytes(broken)
        with contextlib.suppress(RefsimError):
            load(path)


def spoil(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def replaced(name, value, **options):
    def change(file):
        del file[f"node/nodes/{name}"]
        if value is not None:
            file.create_dataset(f"node/nodes/{name}", data=value, **options)

    return change


TEXT = h5py.string_dtype()
SPOILT = {
    "NaN": (
        replaced("0/weight", np.full((3, 4), np.nan)),
        r"'0' \(Affine\): weight: 12 of 12 numbers are NaN or infinite",
    ),
    "infinite": (
        replaced("1/tau", np.full(3, np.inf)),
        r"'1' \(LIF\): tau: 3 of 3 numbers are NaN or infinite",
    ),
    "complex": (
        replaced("0/weight", np.ones((3, 4), complex)),
        "must hold numbers or text, but has dtype complex128",
    ),
    "text for numbers": (
        replaced("0/weight", "ones", dtype=TEXT),
        "weight must be numbers, but is text",
    ),
    "a group for numbers": (
        lambda file: (replaced("0/bias", None)(file), file.create_group("node/nodes/0/bias")),
        "bias must be numbers, but is a group",
    ),
    "compound": (
        replaced("0/weight", np.zeros(3, [("a", "f8"), ("b", "i4")])),
        "must hold numbers or text",
    ),
    "reference": (
        lambda file: (
            replaced("0/bias", None)(file),
            file["node/nodes/0"].create_dataset(
                "bias", data=file["node"].ref, dtype=h5py.ref_dtype
            ),
        ),
        "must hold numbers or text",
    ),
    "a field is missing": (
        replaced("0/bias", None),
        r"'0' \(Affine\): lacks bias; needed are weight, bias",
    ),
    "a field is surplus": (
        lambda file: file.create_dataset("node/nodes/1/v_min", data=0.0),
        r"'1' \(LIF\): has v_min, which NIR does not give it; it has tau",
    ),
    "type is missing": (replaced("0/type", None), "'0': says no type"),
    "type is a number": (replaced("0/type", 3), "'0': says no type"),
    "unknown type": (
        replaced("0/type", "Softmax", dtype=TEXT),
        (
            "is of type 'Softmax', which refsim does not read; of NIR it reads NIRGraph, Affine, "
            "AvgPool2d"
        ),
    ),
    "time constant below zero": (
        replaced("1/tau", np.full(3, -0.02)),
        r"'1' \(LIF\): .*tau: must be above 0",
    ),
    "shapes of one neuron differ": (
        replaced("1/tau", np.full(2, 0.02)),
        "its parameters have different shapes, tau \\(2,\\), r \\(3,\\)",
    ),
    "two ends do not fit": (
        replaced("0/weight", np.ones((5, 4))),
        r"the edge from '0' to '1' does not fit: '0' gives \(5,\), '1' takes \(3,\)",
    ),
    "input does not fit": (
        replaced("0/weight", np.ones((3, 7))),
        r"'0' \(Affine\): takes \(7,\), but what leads to it gives \(4,\)",
    ),
    "weight of one dimension": (
        replaced("0/weight", np.ones(4)),
        r"weight must be \(n_out, n_in\)",
    ),
    "a shape of fractions": (replaced("input/shape", [2.5]), r"shape must be whole numbers from 1"),
    "a negative shape": (replaced("input/shape", [-4]), "shape must be whole numbers from 1"),
    "an absurd shape": (
        replaced("input/shape", [10**12]),
        "shape must be whole numbers from 1 to 262,144",
    ),
    "an absurd product of shape": (
        replaced("input/shape", [200_000] * 3),
        "more than any network here",
    ),
    "no number": (replaced("0/weight", np.zeros((0, 4))), "weight holds no number"),
    "empty": (replaced("0/weight", h5py.Empty("f8")), "is empty: it has a type and no data"),
    "not UTF-8": (replaced("0/type", np.bytes_(b"\xff\xfe")), "text that is not UTF-8"),
    "no node": (lambda file: file.move("node", "graph"), "has graph at its top"),
    "nothing at all": (
        lambda file: [file.__delitem__(name) for name in list(file)],
        "has no entry 'node'",
    ),
    "a single node": (
        lambda file: (
            file.move("node", "old"),
            file.copy("old/nodes/1", "node"),
            file.__delitem__("old"),
        ),
        "holds a single LIF and no NIRGraph",
    ),
    "nodes are missing": (
        lambda file: file.__delitem__("node/nodes"),
        "lacks nodes; a NIRGraph has nodes and edges",
    ),
    "edges are missing": (lambda file: file.__delitem__("node/edges"), "lacks edges"),
    "node is a number": (
        lambda file: (file.__delitem__("node"), file.create_dataset("node", data=1)),
        "says no type",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_entries(name, path):
    change, said = SPOILT[name]
    spoil(path, change)
    refused(path, said)


EDGES = {
    "dangling": (
        [("input", "0"), ("0", "1"), ("1", "2"), ("1", "output")],
        "the edge from '1' to '2' leads to no node: there is no '2'; nodes are 0, 1, input, output",
    ),
    "twice": (
        [("input", "0"), ("0", "1"), ("0", "1"), ("1", "output")],
        "the edge from '0' to '1' stands there twice",
    ),
    "three ends": ([("input", "0", "1")], "edges must be pairs of names"),
    "none to a node": (
        [("input", "0"), ("0", "output"), ("1", "output")],
        r"'1' \(LIF\): nothing leads to it",
    ),
    "into the Input": (
        [("input", "0"), ("0", "1"), ("1", "input"), ("1", "output")],
        "an edge leads from '1' into the Input",
    ),
    "out of the Output": (
        [("input", "0"), ("0", "1"), ("1", "output"), ("output", "1")],
        "an edge leads from the Output 'output' to '1'",
    ),
    "a node leads nowhere": (
        [("input", "0"), ("input", "1"), ("1", "output")],
        r"'0' \(Affine\): leads nowhere",
    ),
}


@pytest.mark.parametrize("name", EDGES)
def test_spoilt_edges(name, tmp_path):
    edges, said = EDGES[name]
    refused(write(tmp_path / "net.nir", chain(AFFINE, LIF)[0], edges), said)


def test_a_circle_without_a_neuron(tmp_path):
    scale = {"type": "Scale", "scale": np.ones(3)}
    nodes, edges = chain(AFFINE, scale, scale, LIF)
    refused(
        write(tmp_path / "net.nir", nodes, [*edges, ("2", "1")]),
        "between 1, 2 form a circle without a neuron in it",
    )


def test_a_neuron_that_only_hears_of_itself(tmp_path):
    nodes, edges = chain(AFFINE, LIF, LIF)
    edges = [("input", "0"), ("0", "1"), ("1", "output"), ("2", "2")]
    refused(
        write(tmp_path / "net.nir", nodes, edges),
        r"'2' \(LIF\): no path of edges leads to it from the Input",
    )


def test_several_inputs_and_no_output(tmp_path):
    nodes, edges = chain(AFFINE, LIF)
    refused(
        write(tmp_path / "net.nir", nodes | {"more": nodes["input"]}, [*edges, ("more", "0")]),
        "has 2 \\(input, more\\)",
    )
    refused(
        write(tmp_path / "net.nir", {name: nodes[name] for name in ("input", "0", "1")}, edges[:2]),
        "has one Output, but this has none",
    )


def test_a_membrane_that_is_led_on(tmp_path):
    li = {name: LIF[name] for name in ("tau", "r", "v_leak")} | {"type": "LI"}
    refused(
        write(tmp_path / "net.nir", *chain(AFFINE, li, LIF)),
        r"'1' \(LI\): its membrane is led on to '2'",
    )


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (CONV | {"padding": np.array(10**5)}, r"pads \(1, 5, 5\) by \(100000, 100000\)"),
        (CONV | {"padding": np.array(-1)}, "padding must be whole numbers from 0"),
        (CONV | {"stride": np.array(0)}, "stride must be whole numbers from 1"),
        (CONV | {"dilation": np.array(9)}, r"makes \(1, -11, -11\) of \(1, 5, 5\)"),
        (CONV | {"groups": np.array(2)}, r"takes 2 channels|weight must be \(n_out, n_in/groups"),
        (CONV | {"padding": "reflect"}, "'same' or 'valid', but is 'reflect'"),
        (
            CONV | {"padding": "same", "stride": np.array(2)},
            "padding 'same' is defined for stride 1 alone",
        ),
        (
            CONV | {"input_shape": np.array([4, 5])},
            r"says input_shape \(4, 5\), but what leads to it gives \(5, 5\)",
        ),
        (
            {
                "type": "AvgPool2d",
                "kernel_size": np.array(3),
                "stride": np.array(1),
                "padding": np.array(1),
            },
            "NIR does not say whether the padding counts",
        ),
        (
            {
                "type": "SumPool2d",
                "kernel_size": np.array(3),
                "stride": np.array(1),
                "padding": np.array(2),
            },
            "more than half of the kernel",
        ),
        (
            {
                "type": "SumPool2d",
                "kernel_size": np.array([1, 2, 3]),
                "stride": np.array(1),
                "padding": np.array(0),
            },
            "kernel_size must be 2 whole numbers or one",
        ),
        ({"type": "Flatten", "start_dim": np.array(0), "end_dim": np.array(7)}, "cannot flatten"),
    ],
)
def test_maps_that_cannot_be(node, said, tmp_path):
    refused(write(tmp_path / "net.nir", *chain(node, LIF, shape=(1, 5, 5))), said)


def test_links(path, tmp_path):
    secret = write(tmp_path / "secret.nir", *chain(AFFINE, LIF))
    for link, said in (
        (
            h5py.SoftLink("/node/nodes/0/bias"),
            "'/node/nodes/1/r' is a soft link, which refsim does not follow",
        ),
        (
            h5py.ExternalLink(str(secret), "/node/nodes/1/r"),
            "'/node/nodes/1/r' is an external link",
        ),
    ):
        write(path, *chain(AFFINE, LIF))

        def change(file, link=link):
            del file["node/nodes/1/r"]
            file["node/nodes/1/r"] = link

        spoil(path, change)
        refused(path, said)


def test_a_circle_of_hard_links(path):
    spoil(path, lambda file: file["node/nodes"].__setitem__("2", file["node"]))
    refused(path, "group '/node/nodes/2' is linked more than once; a circle of links has no end")


def test_data_in_other_files(path, tmp_path):
    (tmp_path / "raw").write_bytes(b"\0" * 96)

    def outside(file):
        del file["node/nodes/0/weight"]
        file["node/nodes/0"].create_dataset(
            "weight", (3, 4), "f8", external=[(str(tmp_path / "raw"), 0, 96)]
        )

    def virtual(file):
        layout = h5py.VirtualLayout((3, 4), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "raw.h5"), "weight", (3, 4))
        del file["node/nodes/0/weight"]
        file["node/nodes/0"].create_virtual_dataset("weight", layout)

    for change in (outside, virtual):
        write(path, *chain(AFFINE, LIF))
        spoil(path, change)
        refused(path, "'/node/nodes/0/weight' lies in another file, which refsim does not follow")


def test_bombs_take_no_memory(path):
    bombs = {
        "fill value": lambda file: file["node/nodes/0"].create_dataset(
            "weight", (10**6, 10**6), "f4", chunks=(1000, 1000)
        ),
        "zeros": lambda file: file["node/nodes/0"].create_dataset(
            "weight",
            data=np.zeros((3, 4)),
            maxshape=(None, None),
            chunks=(8000, 8000),
            compression="gzip",
        ),
        "text": lambda file: file["node/nodes/0"].create_dataset("weight", (10**4, 10**4), TEXT),
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for make in bombs.values():
        write(path, *chain(AFFINE, LIF))
        spoil(path, lambda file, make=make: (file.__delitem__("node/nodes/0/weight"), make(file)))
        refused(path, "no network in a file of|is no text and no table")
    wide = {"type": "Scale", "scale": np.array(1.0)}
    refused(
        write(
            path,
            *chain(
                wide,
                LIF | {name: LIF[name][:1] for name in LIF if name != "type"},
                shape=(200_000,),
                shown=(200_000,),
            ),
        ),
        "bring the network to 40,000,000,000 numbers",
    )
    # Kilobytes: a gigabyte.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20


def test_a_filter_that_is_a_plugin(path):
    def packed(file):
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((3, 4))
        plan.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
        del file["node/nodes/0/weight"]
        h5py.h5d.create(
            file["node/nodes/0"].id,
            b"weight",
            h5py.h5t.IEEE_F64LE,
            h5py.h5s.create_simple((3, 4)),
            plan,
        )

    spoil(path, packed)
    refused(path, "packed by filter 32015, which is a plugin")


def test_deep_and_many(tmp_path, path):
    spoil(path, lambda file: file.create_group("node/nodes/" + "/".join("d" * 40)))
    refused(path, "more than 32 deep")


def test_metadata_are_not_looked_into(path):
    def change(file):
        file["node/nodes/1"].create_group("metadata")["link"] = h5py.SoftLink("/nowhere")

    spoil(path, change)
    assert load(path).n_inputs == 4


def test_without_h5py_the_error_names_the_extra(path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **options):
        if name == "h5py":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    refused(path, r"needs h5py, which is not installed; pip install 'refsim\[files\]'")
