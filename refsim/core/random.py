"""Random numbers that depend on nothing but where they are used: Philox 4x32-10 of Salmon et al.

2011, SC '11.

A counter-based generator has no state: the number for (seed, layer, sample, step, neuron) is the
same in every engine, in whatever order, chunk or process it is asked for.
`engines/brian/philox.cpp` is the same in C++; a test holds both against the published known
answers.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_MULTIPLY = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)

Words = NDArray[np.uint64]


def philox(
    counter: tuple[Any, Any, Any, Any], key: tuple[int, int]
) -> tuple[Words, Words, Words, Words]:
    """Return four 32-bit words for a counter of four 32-bit words (arrays broadcast) and a key of
    two.
    """
    a, b, c, d = (np.asarray(word, np.uint64) & _LOW for word in counter)
    first, second = key
    for _ in range(10):
        left, right = a * _MULTIPLY[0], c * _MULTIPLY[1]
        a, b, c, d = (
            (right >> _SHIFT) ^ b ^ np.uint64(first),
            right & _LOW,
            (left >> _SHIFT) ^ d ^ np.uint64(second),
            left & _LOW,
        )
        first, second = (first + _WEYL[0]) & 0xFFFFFFFF, (second + _WEYL[1]) & 0xFFFFFFFF
    return a, b, c, d


def uniform(
    seed: int, layer: int, samples: NDArray[np.int64], step: int, n_neurons: int, draw: int = 0
) -> NDArray[np.float64]:
    """Return one number in [0, 1) for each sample and neuron: a multiple of 2^-53.

    Parameters
    ----------
    seed : int
        Of the run, up to 64 bits.
    layer, step : int
    samples : (n,) int64
        Their numbers in the whole drive.
    draw : int
        0 for the first number of a neuron and step, 1 for the second, ...

    Returns
    -------
    (n, n_neurons) float64
    """
    counter = (
        np.arange(n_neurons)[None, :],
        step,
        np.asarray(samples)[:, None],
        layer + (draw << 16),
    )
    high, low, _, _ = philox(counter, (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF))
    bits = ((high >> np.uint64(5)) << np.uint64(26)) | (low >> np.uint64(6))
    return bits.astype(np.float64) * 2.0**-53


def shortened(numbers: NDArray[np.float64], dtype: str) -> NDArray[Any]:
    """Return the numbers in a dtype, cut and not rounded: none becomes 1."""
    return (
        np.floor(numbers * 2.0**24).astype(np.float32) * np.float32(2.0**-24)
        if dtype == "float32"
        else numbers
    )
