"""What a card's step calls besides arithmetic, for both targets.

Random numbers, kernels over the past, truth as 1 or 0, and the floor.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...cards.names import DRAWS
from ...core.random import truncated
from ...networks.drive import Drive
from ...networks.network import Layer
from ..arrivals import Convolution, layer_kernels
from .product import fill


@dataclass(frozen=True)
class Call:
    """A function of one layer's step.

    Attributes
    ----------
    name : str
        As the step calls it, ``uniform_call``.
    unit : str
        Its name among all functions of the network, ``L0_uniform``.
    arguments : int
    stateless : bool
    """

    name: str
    unit: str
    arguments: int
    stateless: bool


def calls(layer: Layer, group: str, *, fine: bool) -> list[Call]:
    """Return the functions that a layer's step calls."""
    found = [Call(f"{name}_call", f"{group}_{name}", 2, True) for name in layer.model.draws]
    return found + (
        []
        if fine
        else [Call(f"{name}_call", f"{group}_{name}", 3, False) for name in layer.model.kernels]
    )


def cpp_text(layer: Layer, index: int, call: Call, real: str, batch: int) -> str:
    """Return the C++ text of a function."""
    name = call.name.removesuffix("_call")
    if name in DRAWS:
        return fill(
            "philox.cpp",
            call.unit,
            real,
            batch,
            POST=layer.n_post,
            STREAM=index + (DRAWS.index(name) << 16),
        )
    return fill(
        "kernel.cpp",
        call.unit,
        real,
        batch,
        POST=layer.n_post,
        OWN=int(layer.model.kernels[name].of == "z"),
    )


def numpy_function(
    layer: Layer, index: int, call: Call, drive: Drive, dtype: str
) -> Callable[..., Any]:
    """Return the same function for Brian2's NumPy target."""
    name = call.name.removesuffix("_call")
    if name in DRAWS:
        draw = drive.draws(index, layer.n_post)
        return lambda _i, now: truncated(draw(int(now), name), dtype).reshape(-1)
    own = layer.model.kernels[name].of == "z"
    values = np.array(layer_kernels(layer, drive.dt)[name], dtype)
    convolution = Convolution(list(values), own)

    def convolve(_i: Any, now: Any, arrived: Any) -> Any:
        if not (own and int(now) == 0):
            convolution.remember(np.array(arrived, dtype))
        return convolution.value()

    return convolve


def brian_function(
    brian2: Any, call: Call, function: Callable[..., Any], cpp: str | None, headers: list[str]
) -> Any:
    """Make a function for Brian2; with C++ text where that is the target."""
    made = brian2.Function(
        function, arg_units=[1] * call.arguments, return_unit=1, stateless=call.stateless
    )
    if cpp is not None:
        made.implementations.add_implementation(
            "cpp", code=cpp, name=f"{call.unit}_call", compiler_kwds={"headers": headers}
        )
    return made


def number_functions(brian2: Any, dtype: str) -> dict[str, Any]:
    """Make the functions that every step may call, in the dtype of the run.

    ``truth`` is 1 where a condition holds and 0 elsewhere. ``whole_below`` is a floor that stays a
    floating-point number: Brian2's own is an integer of 32 bits, which a count of spikes beyond
    2^31 turns over without a word.
    """
    truth = brian2.Function(
        lambda condition: np.asarray(condition, dtype), arg_units=[bool], return_unit=1
    )
    truth.implementations.add_implementation(
        "cpp", code="static inline double truth(bool condition) { return condition ? 1.0 : 0.0; }"
    )
    whole_below = brian2.Function(np.floor, arg_units=[1], return_unit=1)
    whole_below.implementations.add_implementation(
        "cpp", code="static inline double whole_below(double x) { return std::floor(x); }"
    )
    return {"truth": truth, "whole_below": whole_below}
