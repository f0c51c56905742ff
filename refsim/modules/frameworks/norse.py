"""Norse: spikes first, then the states, which nobody keeps.

They are handed over from call to call. Layers of the name without Cell run over time.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.errors import RefsimError
from .framework import Framework, Membranes, Recurrent, first

_OVER_TIME = {"SNN", "SNNRecurrent"}
_RATES = {"tau_mem_inv", "tau_syn_inv", "tau_adapt_inv", "tau_ada_inv", "tau_inv"}
_INSIDE = ("lif", "lif_adex")  # where parameters and states of a layer with a refractory period lie


def _axes(part: nn.Module) -> str:
    return "time first" if _OVER_TIME & {kind.__name__ for kind in type(part).__mro__} else "step"


def _within(held: Any) -> Any:
    return next((getattr(held, name) for name in _INSIDE if hasattr(held, name)), held)


def _values(part: Any, values: dict[str, Any]) -> Mapping[str, Any]:
    """Return each rate as a step takes it.

    Refuse a start that is not v_leak, as the cards say it is.
    """
    if "v_rest" in values and hasattr(part, "state_fallback"):
        _check_start(part, values["v_rest"])
    own = _within(part.p)
    return values | {
        name: _as_taken(value, getattr(own, name), part.dt)
        for name, value in values.items()
        if name in _RATES
    }


def _check_start(part: Any, v_leak: Any) -> None:
    """Ask a part where one of its neurons starts.

    Some round v_leak to float32, in a module of float64 too.
    """
    quiet = torch.zeros((1, 1, 1) if _axes(part) == "time first" else (1, 1), dtype=torch.float64)
    start = np.unique(_within(part.state_fallback(quiet)).v.detach().cpu().double().numpy())
    if not np.array_equal(start, np.unique(v_leak)):
        raise RefsimError(
            f"Norse's {type(part).__name__} starts at {float(start[0])!r}, and not at v_leak, "
            f"{float(np.unique(v_leak)[0])!r}; it may round its start to "
            "float32, so give a v_leak that float32 holds, such as torch.tensor(0.1)."
        )


def _as_taken(value: Any, held: Any, dt: float) -> Any:
    """Return the rate whose product with dt, which a step rounds to the dtype of the rate, is that
    product.
    """
    if not isinstance(held, Tensor) or held.dtype == torch.float64:
        return value
    return np.asarray((dt * held).detach().cpu().double().numpy()) / dt


def _recurrent(part: Any) -> Recurrent | None:
    return Recurrent(part.recurrent_weights) if hasattr(part, "recurrent_weights") else None


def _arriving(part: Any, x: Tensor) -> Tensor:
    """Put what a part is given through the input weights that it holds itself."""
    return x @ part.input_weights.to(x).T if hasattr(part, "input_weights") else x


def _membranes(_part: nn.Module, output: Any) -> Membranes:
    """Return the membrane after each step, where the states of all steps are given.

    What the threshold saw is hidden.
    """
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
