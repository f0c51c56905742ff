"""refsim: the ground truth that trained spiking neural networks are checked against.

A neuron is declared once, as text with units. Brian2 compiles that text and runs it, and the same
network, trained in PyTorch, runs beside it. refsim says where the two differ, why, and by how much.

A name is imported when it is first used, so that ``import refsim`` loads neither torch nor brian2.
"""

import sys

# This stands before all other imports, which the working folder could replace.
if (
    sys.argv[:1] == ["-m"]
    and not sys.flags.safe_path
    and ("-m", "refsim") in zip(sys.orig_argv, sys.orig_argv[1:], strict=False)
):
    # `python -m` puts the working folder first on the path of imports, and a file random.py there
    # would be imported in place of Python's.
    del sys.path[0]

import importlib
from typing import TYPE_CHECKING

from ._version import VERSION as __version__

if TYPE_CHECKING:
    from . import bridge, checks, experiments, gradients, pytorch
    from .cards.neuron import NeuronModel
    from .cards.read import load
    from .checks.bias import surrogate_bias
    from .checks.card import check_card
    from .checks.declared_step import check_declared_step
    from .checks.gradient.check import check_gradient
    from .checks.judges import check_judge
    from .checks.loss import check_loss
    from .checks.step import check_step
    from .checks.surrogate import check_surrogate
    from .checks.weights import check_module
    from .core.errors import RefsimError, RefsimWarning
    from .core.spikes import SpikeTrains
    from .engines.brian.engine import Brian2
    from .engines.discrete import Discrete
    from .export.documents import to_latex, to_markdown
    from .export.script import to_brian2
    from .judge.recorded import recorded
    from .networks.connection import Connection
    from .networks.drive import Drive
    from .networks.network import Layer, Network
    from .networks.recording import Recording, run
    from .pytorch import Torch, losses
    from .pytorch.layers import reset
    from .report.report import Report
    from .report.validate import compare, validate

# The package or module from which each public name is imported.
_HOME = {
    "Brian2": ".engines.brian",
    "Connection": ".networks.connection",
    "Discrete": ".engines.discrete",
    "Drive": ".networks.drive",
    "Layer": ".networks.network",
    "Network": ".networks.network",
    "NeuronModel": ".cards",
    "Recording": ".networks.recording",
    "RefsimError": ".core.errors",
    "RefsimWarning": ".core.errors",
    "Report": ".report",
    "SpikeTrains": ".core.spikes",
    "Torch": ".engines.pytorch",
    "bridge": ".bridge",
    "checks": ".checks",
    "check_card": ".checks",
    "check_declared_step": ".checks",
    "check_gradient": ".checks",
    "check_judge": ".checks",
    "check_loss": ".checks",
    "check_module": ".checks",
    "check_step": ".checks",
    "check_surrogate": ".checks",
    "compare": ".report",
    "experiments": ".experiments",
    "gradients": ".gradients",
    "load": ".cards",
    "losses": ".pytorch.losses",
    "pytorch": ".pytorch",
    "recorded": ".judge.recorded",
    "reset": ".pytorch.layers",
    "run": ".networks.recording",
    "surrogate_bias": ".checks",
    "to_brian2": ".export",
    "to_latex": ".export",
    "to_markdown": ".export",
    "validate": ".report",
}

# Public names that are packages or modules themselves.
_PACKAGES = ("bridge", "checks", "experiments", "gradients", "losses", "pytorch")

__all__ = [
    "Brian2",
    "Connection",
    "Discrete",
    "Drive",
    "Layer",
    "Network",
    "NeuronModel",
    "Recording",
    "RefsimError",
    "RefsimWarning",
    "Report",
    "SpikeTrains",
    "Torch",
    "__version__",
    "bridge",
    "check_card",
    "check_declared_step",
    "check_gradient",
    "check_judge",
    "check_loss",
    "check_module",
    "check_step",
    "check_surrogate",
    "checks",
    "compare",
    "experiments",
    "gradients",
    "load",
    "losses",
    "pytorch",
    "recorded",
    "reset",
    "run",
    "surrogate_bias",
    "to_brian2",
    "to_latex",
    "to_markdown",
    "validate",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'refsim' has no attribute {name!r}")
    home = importlib.import_module(_HOME[name], __name__)
    value = home if name in _PACKAGES else getattr(home, name)
    globals()[name] = value  # from now on it is found without this function
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
