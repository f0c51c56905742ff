"""Norse: a layer returns its spikes and then its states, which its caller hands back.

Layers without Cell in their name run over time.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.arrays import Floats
from ...core.errors import RefsimError
from .framework import Framework, Membranes, Recurrent, first

_OVER_TIME = {"SNN", "SNNRecurrent"}
_RATES = {"tau_mem_inv", "tau_syn_inv", "tau_adapt_inv", "tau_ada_inv", "tau_inv"}
# A layer with a refractory period keeps its parameters and states inside one of these.
_INSIDE = ("lif", "lif_adex")


def _axes(part: nn.Module) -> str:
    return "time first" if _OVER_TIME & {kind.__name__ for kind in type(part).__mro__} else "step"


def _within(outer: Any) -> Any:
    """Return the parameters or states of a layer, inside those of its refractory period if any."""
    return next((getattr(outer, name) for name in _INSIDE if hasattr(outer, name)), outer)


def _values(part: Any, values: dict[str, Floats]) -> Mapping[str, Floats]:
    """Return each rate as a step rounds it.

    The cards say that neurons start at v_leak, and another start is refused.
    """
    if "v_rest" in values and hasattr(part, "state_fallback"):
        _check_start(part, values["v_rest"])
    own = _within(part.p)
    return values | {
        name: _as_taken(value, getattr(own, name), part.dt)
        for name, value in values.items()
        if name in _RATES
    }


def _check_start(part: Any, v_leak: Floats) -> None:
    """Refuse a part whose neurons do not start at v_leak.

    Some parts round v_leak to float32, even in a module of float64.
    """
    quiet = torch.zeros((1, 1, 1) if _axes(part) == "time first" else (1, 1), dtype=torch.float64)
    start = np.unique(_within(part.state_fallback(quiet)).v.detach().cpu().double().numpy())
    if not np.array_equal(start, np.unique(v_leak)):
        raise RefsimError(
            f"Norse's {type(part).__name__} starts at {float(start[0])!r}, and not at v_leak, "
            f"{float(np.unique(v_leak)[0])!r}; it may round its start to "
            "float32, so give a v_leak that float32 holds, such as torch.tensor(0.1)."
        )


def _as_taken(value: Floats, rate: object, dt: float) -> Floats:
    """Return a rate whose product with dt in float64 is the product that a step computes.

    A step rounds that product to the dtype of the rate.
    """
    if not isinstance(rate, Tensor) or rate.dtype == torch.float64:
        return value
    return np.asarray((dt * rate).detach().cpu().double().numpy()) / dt


def _recurrent(part: Any) -> Recurrent | None:
    return Recurrent(part.recurrent_weights) if hasattr(part, "recurrent_weights") else None


def _arriving(part: Any, x: Tensor) -> Tensor:
    """Multiply the input of a part by the input weights that the part holds itself."""
    return x @ part.input_weights.to(x).T if hasattr(part, "input_weights") else x


def _membranes(_part: nn.Module, output: Any) -> Membranes:
    """Return the membrane after each step, where the output has the states of all steps."""
    sent, state = first(output), _within(output[1])
    return Membranes(None, state.v if state.v.shape == sent.shape else None)


NORSE = Framework(
    name="norse",
    title="Norse",
    package="norse",
    axes=_axes,
    values=_values,
    recurrent=_recurrent,
    membranes=_membranes,
    arriving=_arriving,
    handed_on=True,
    step_seconds=lambda part: getattr(part, "dt", None),
    passive=frozenset({"SequentialState", "RecurrentSequential", "Lift", "RegularizationCell"}),
)
