"""Random numbers that depend on nothing but where they are used.

The generator is Philox 4x32-10 (Salmon et al. 2011, SC '11). It is counter-based and so has no
state: the number for (seed, layer, sample, step, neuron) is the same in every engine, in whatever
order, chunk or process it is asked for. `engines/brian/philox.cpp` is the same in C++; a test
compares both with the published known answers.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import Floats, Ints

_MULTIPLY = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)

Words = NDArray[np.uint64]


def philox(
    counter: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike], key: tuple[int, int]
) -> tuple[Words, Words, Words, Words]:
    """Return four 32-bit words for a counter of four 32-bit words and a key of two.

    The words of the counter may be arrays, which are broadcast.
    """
    a, b, c, d = (np.asarray(word, np.uint64) & _LOW for word in counter)
    first, second = key
    # Ten rounds, each of two products whose halves change places.
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
    seed: int, layer: int, samples: Ints, step: int, n_neurons: int, draw: int = 0
) -> Floats:
    """Return one number in [0, 1) for each sample and neuron, a multiple of 2^-53.

    Parameters
    ----------
    seed : int
        The seed of the run, up to 64 bits.
    layer, step : int
    samples : (n,) int64
        The numbers of the samples in the whole drive.
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
    # The upper 27 and 26 bits of two words make the 53 bits of a float64.
    bits = ((high >> np.uint64(5)) << np.uint64(26)) | (low >> np.uint64(6))
    return bits.astype(np.float64) * 2.0**-53


def truncated(numbers: Floats, dtype: str) -> Floats | NDArray[np.float32]:
    """Return numbers in a dtype, truncated and not rounded, so that none becomes 1."""
    return (
        np.floor(numbers * 2.0**24).astype(np.float32) * np.float32(2.0**-24)
        if dtype == "float32"
        else numbers
    )
