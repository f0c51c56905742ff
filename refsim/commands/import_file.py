"""``refsim import FILE -o net.refsim``: read a trained network and keep it as it was understood."""

import argparse
from pathlib import Path

from ..core.errors import RefsimError
from .inspect_file import reading_text
from .options import read, reading_arguments
from .terminal import say

_EPILOG = """\
What is read, by the end of the name:

  .net                     lava-dl, HDF5 (pip install 'refsim[files]')
  .nir                     NIR, the same; --dt, --convention reset=... integration=...
  .pt .pth .ckpt           tensors of any framework, with a description
  .safetensors .npz        the same
  .refsim                  refsim's own

A description of tensors, net.toml beside net.pt:

  dt = "1 ms"
  input_shape = [1, 28, 28]

  [[layer]]
  maps = [{ conv2d = "0", stride = 2 }, { batch_norm = "1" }]
  neuron = "snntorch_leaky"                 # a card; refsim show prints it
  convention = { reset = "set" }
  tensors = { beta = "lif1.beta" }          # one a neuron, or one for all
  [[layer]]
  linear = { weight = "fc.w", transposed = true }    # stored (n_pre, n_post)
  neuron = "snntorch_leaky"
  recurrent = { linear = "rec", delay = 1 }
  delay = 2                                 # or the name of a tensor

Or, of lava-dl:

  format = "lava-dl"
  convention = { comparison = ">=" }
  [[layer]]
  block = "blocks.0"
  neuron = "CUBA"
  threshold = 0.1                           # as it was given to the block
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("network", metavar="FILE", help="a trained network")
    parser.add_argument(
        "-o", "--out", metavar="NET.refsim", required=True, help="where to write it"
    )
    reading_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    """Read the network, write it, and say how it was understood."""
    if Path(options.out).suffix != ".refsim":
        raise RefsimError(f"--out {options.out}: the name must end in .refsim.")
    from ..files.refsim_file import save_network

    reading = read(options.network, options)
    written = save_network(reading.network, options.out, reading)
    say(reading_text(reading, Path(options.network).name))
    say(f"\nwrote {written}")
    return 0
