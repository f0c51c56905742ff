"""A network of two layers, what it fires, and the command line that holds recorded spikes against
it.
"""

import numpy as np
from conftest import small_network

import refsim
from refsim.__main__ import main
from refsim.files.refsim_file import save_network

SHAPE = (3, 40)  # samples and steps


def run_of_two_layers(rng):
    """Two layers, 12-9-5, and what they fire."""
    network = small_network(rng, "lif", "srif")
    drive = refsim.Drive.raster(rng.random((*SHAPE, 12)) < 0.4, "1 ms")
    return refsim.run(network, drive, engine=refsim.Discrete())


def saved(network, drive):
    """Write a network and its input to the working folder."""
    save_network(network, "net.refsim")
    np.savez("x.npz", x=np.stack(list(drive.frames()), axis=1))


def held(capsys, file, *options):
    """Return the exit code of the command line, and what it says on one line."""
    code = main(
        [
            "validate",
            "net.refsim",
            "--data",
            "x.npz",
            "--dtype",
            "float32",
            "--expected",
            file,
            *options,
        ]
    )
    done = capsys.readouterr()
    return code, " ".join((done.out + done.err).split())
