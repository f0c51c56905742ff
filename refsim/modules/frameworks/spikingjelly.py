"""SpikingJelly: a layer takes one step a call (step_mode "s"), or all steps, time first ("m").

Its layers keep their states themselves.
"""

from typing import Any

from numpy.typing import ArrayLike
from torch import Tensor, nn

from ...core.arrays import Floats
from .framework import Framework, Membranes

_CONTAINERS = {
    "StepModule",
    "SingleModule",
    "MultiStepModule",
    "MemoryModule",
    "MultiStepContainer",
    "SeqToANNContainer",
    "TLastMultiStepContainer",
    "TLastSeqToANNContainer",
    "StepModeContainer",
    "ElementWiseRecurrentContainer",
    "LinearRecurrentContainer",
}
# Whether these are linear is measured; a max pool over spikes counts as a layer of neurons.
_MAPS = {
    "Linear",
    "WSLinear",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "WSConv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Upsample",
    "Flatten",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "ThresholdDependentBatchNorm1d",
    "ThresholdDependentBatchNorm2d",
    "ThresholdDependentBatchNorm3d",
    "Dropout",
    "Dropout2d",
    "DropConnectLinear",
    "VotingLayer",
    "PrintShapeModule",
    "Delay",
    "VoltageScaler",  # what ann2snn puts around each IFNode
}
_MODELS = {
    "BasicBlock",
    "Bottleneck",
    "SpikingResNet",
    "SEWResNet",
    "SpikingVGG",
    "MNISTNet",
    "FashionMNISTNet",
    "NMNISTNet",
    "CIFAR10Net",
    "CIFAR10DVSNet",
    "DVSGestureNet",
}
_BY_STEP = (
    "its weights differ from step to step, and a connection has one weight; train with a "
    "BatchNorm of one set of weights."
)
_NEUNORM = (
    "its sum over channels decays over many steps, and a connection remembers nothing of its own."
)
_UNREAD = {
    "NeuNorm": _NEUNORM,
    **{
        f"{kind}{axes}d": _BY_STEP
        for kind in ("BatchNormThroughTime", "TemporalEffectiveBatchNorm")
        for axes in (1, 2, 3)
    },
}


def _forget(part: Any) -> None:
    if hasattr(part, "reset"):
        part.reset()


def _values(part: Any, values: dict[str, Floats]) -> dict[str, ArrayLike]:
    """Return the parameters, with the start of each state and the leak.

    States start where `reset` puts them. A layer that learns its leak computes it from w.
    """
    if type(part).__name__ == "SynapseFilter" and not part.learnable:
        values["rate"] = 1.0 / part.tau
    elif "rate" in values:
        values["rate"] = part.w.detach().sigmoid().cpu().double().numpy()
    # Readouts keep no states: they start at 0 in each call.
    memories = dict(part.named_memories()) if hasattr(part, "named_memories") else {}
    starts = {
        f"{name}_start": part.get_reset_value(name) for name in ("v", "w") if name in memories
    }
    return values | {
        name: value.detach().cpu().double().numpy() if isinstance(value, Tensor) else value
        for name, value in starts.items()
    }


def _membranes(part: Any, output: Any) -> Membranes:
    """Return the membrane after the step, or after all steps where the layer stores them.

    The membrane that the threshold saw is never kept.
    """
    if isinstance(output, list):  # of a readout
        return Membranes(None, None)
    if part.step_mode == "s":
        return Membranes(None, getattr(part, "v", None))
    stored = getattr(part, "v_seq", None)
    return Membranes(
        None, stored if isinstance(stored, Tensor) and stored.shape == output.shape else None
    )


def _axes(part: nn.Module) -> str:
    """Return how a part takes time; readouts take all steps, whatever the other layers do."""
    return (
        "time first"
        if getattr(part, "step_mode", "m" if type(part).__name__.startswith("NonSpiking") else "s")
        == "m"
        else "step"
    )


SPIKINGJELLY = Framework(
    name="spikingjelly",
    title="SpikingJelly",
    package="spikingjelly",
    axes=_axes,
    forget=_forget,
    values=_values,
    membranes=_membranes,
    passive=frozenset(_CONTAINERS | _MAPS | _MODELS),
    unread=_UNREAD,
    delay=lambda part: (
        int(getattr(part, "delay_steps", 0)) if type(part).__name__ == "Delay" else 0
    ),
)
