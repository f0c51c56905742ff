"""refsim: the ground truth that trained spiking neural networks are checked against.

A neuron is declared once, as text with units; Brian2 compiles that text and runs it; the same network, trained in
PyTorch, runs beside it; refsim says where the two part, why, and by how much.

Names are imported when they are first used: ``import refsim`` loads neither torch nor brian2.
"""

import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path and ("-m", "refsim") in zip(sys.orig_argv, sys.orig_argv[1:], strict=False):
    del sys.path[0]  # `python -m` puts the working folder first, and a file random.py there would run in place of Python's own

import importlib
from typing import TYPE_CHECKING, Any

from ._version import VERSION as __version__

if TYPE_CHECKING:
    from . import experiments, gradients, pytorch
    from .checks import check_card, check_declared_step, check_gradient, check_judge, check_loss, check_module, check_step, check_surrogate, surrogate_bias
    from .connection import Connection
    from .drive import Drive
    from .engines.brian import Brian2
    from .engines.discrete import Discrete
    from .errors import RefsimError, RefsimWarning
    from .model import NeuronModel, load
    from .network import Layer, Network
    from .pytorch import Torch, bridge, reset
    from .questions.recorded import recorded
    from .recording import Recording, run
    from .report import Report, compare, validate
    from .spikes import SpikeTrains
    from .writing import to_brian2, to_latex, to_markdown

_HOME = {
    "Brian2": ".engines.brian",
    "Connection": ".connection",
    "Discrete": ".engines.discrete",
    "Drive": ".drive",
    "Layer": ".network",
    "Network": ".network",
    "NeuronModel": ".model",
    "Recording": ".recording",
    "RefsimError": ".errors",
    "RefsimWarning": ".errors",
    "Report": ".report",
    "SpikeTrains": ".spikes",
    "Torch": ".pytorch.engine",
    "bridge": ".pytorch.bridge",
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
    "load": ".model",
    "pytorch": ".pytorch",
    "recorded": ".questions.recorded",
    "reset": ".pytorch.layers",
    "run": ".recording",
    "surrogate_bias": ".checks",
    "to_brian2": ".writing",
    "to_latex": ".writing",
    "to_markdown": ".writing",
    "validate": ".report",
}

_PACKAGES = ("bridge", "experiments", "gradients", "pytorch")  # names that are packages themselves

__all__ = [
    "Brian2", "Connection", "Discrete", "Drive", "Layer", "Network", "NeuronModel", "Recording", "RefsimError", "RefsimWarning", "Report", "SpikeTrains", "Torch", "__version__", "bridge",
    "check_card", "check_declared_step", "check_gradient", "check_judge", "check_loss", "check_module", "check_step", "check_surrogate", "compare", "experiments", "gradients", "load", "pytorch", "recorded", "reset", "run", "surrogate_bias",
    "to_brian2", "to_latex", "to_markdown", "validate",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'refsim' has no attribute {name!r}")
    home = importlib.import_module(_HOME[name], __name__)
    value = home if name in _PACKAGES else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
