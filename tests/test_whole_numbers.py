"""Whole numbers that float64 does not hold are refused by name, in files of every kind and in
modules; before, they were rounded without a word.
"""

import numpy as np
import pytest
import torch
from netfiles import dense, neuron, write_net
from test_hostile_files import safetensors
from test_snntorch import Leaky
from torch import nn

import refsim
from refsim import RefsimError
from refsim.core.arrays import EXACT, float_array

TOO_LARGE = EXACT + 1  # float64 makes EXACT of it
SAYS = "9,007,199,254,740,993 as int64.*up to 2\\^53 only"
TOML = 'dt = "1 ms"\n[[layer]]\nlinear = "0"\nneuron = "srif"\n'


def weight(largest):
    return np.array([[1, 2], [3, largest]], np.int64)


def write_npz(path, values):
    np.savez(path, **{"0.weight": values})


def write_pt(path, values):
    torch.save({"0.weight": torch.tensor(values)}, path)


def write_safetensors(path, values):
    path.write_bytes(safetensors({"0.weight": ("I64", values)}))


WRITERS = {"npz": write_npz, "pt": write_pt, "safetensors": write_safetensors}


@pytest.mark.parametrize("ending", WRITERS)
def test_a_tensor_of_a_file(ending, tmp_path):
    (tmp_path / "net.toml").write_text(TOML)
    path = tmp_path / f"net.{ending}"
    WRITERS[ending](path, weight(EXACT))
    assert refsim.bridge.load(path).layers[0].weight[1, 1] == EXACT
    WRITERS[ending](path, weight(TOO_LARGE))
    with pytest.raises(RefsimError, match=f"tensor '0.weight': holds {SAYS}"):
        refsim.bridge.load(path)


def test_a_tensor_that_means_nothing_may_hold_any_number(tmp_path):
    (tmp_path / "net.toml").write_text(f'ignore = ["seed"]\n{TOML}')
    torch.save({"0.weight": torch.eye(2), "seed": torch.tensor(TOO_LARGE)}, tmp_path / "net.pt")
    assert np.array_equal(refsim.bridge.load(tmp_path / "net.pt").layers[0].weight, np.eye(2))


@pytest.mark.parametrize("where", ["weight", "vThMant"])
def test_an_entry_of_lavas_hdf5(where, tmp_path):
    pytest.importorskip("h5py")
    values, own = (
        (weight(TOO_LARGE), {}) if where == "weight" else (weight(3), {"vThMant": TOO_LARGE})
    )
    path = write_net(tmp_path / "net.net", dense(values.astype(np.int64), neuron("CUBA", **own)))
    with pytest.raises(RefsimError, match=f"{where}.*{SAYS}"):
        refsim.bridge.load(path)


@pytest.mark.parametrize(
    "values", [weight(TOO_LARGE), torch.tensor(weight(TOO_LARGE))], ids=["array", "tensor"]
)
def test_what_is_given_in_python(values):
    with pytest.raises(RefsimError, match=SAYS):
        refsim.Network.dense([(values, None, refsim.load("srif"))], dt="1 ms")


def test_a_threshold_of_a_module():
    module = nn.Sequential(nn.Linear(2, 2), Leaky(threshold=torch.tensor(TOO_LARGE)))
    with pytest.raises(RefsimError, match=f"threshold: holds {SAYS}"):
        refsim.bridge.load(module, dt="1 ms")


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(EXACT, np.int64), (-EXACT, np.int64), (EXACT, np.uint64), (2**31 - 1, np.int32)],
)
def test_numbers_that_float64_holds(value, dtype):
    assert float_array(np.array([value], dtype), "here")[0] == value


@pytest.mark.parametrize(
    ("value", "dtype"), [(-TOO_LARGE, np.int64), (2**63 + 1, np.uint64), (-(2**63), np.int64)]
)
def test_numbers_that_it_does_not(value, dtype):
    with pytest.raises(RefsimError, match=f"holds {value:,} as"):
        float_array(np.array([0, value], dtype), "here")
