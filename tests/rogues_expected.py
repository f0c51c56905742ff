"""Planted faults in expected gradients.

Each takes out a factor, or a term, that one of the checks must miss.
"""

import importlib
from dataclasses import replace

import numpy as np

BIAS, ENUMERATION, SCORE = (
    importlib.import_module(f"refsim.gradients.{name}")
    for name in ("bias", "expectation", "expectation")
)


def _without_reset(network):
    return replace(network, layers=tuple(replace(layer, reset=0.0) for layer in network.layers))


def _patch(module, name, make):
    honest = getattr(module, name)
    return lambda monkeypatch: monkeypatch.setattr(module, name, make(honest))


# Name -> the measurement of test_expected_gradients.py that must find it, and the fault.
ROGUES = {
    "enumeration that forgets the reset": (
        "differences",
        _patch(
            ENUMERATION, "score_parts", lambda honest: lambda runs: honest(_other_membranes(runs))
        ),
    ),
    "enumeration without the probability": (
        "differences",
        _patch(
            ENUMERATION,
            "summed_over_runs",
            lambda honest: lambda network, parts, paid: honest(network, parts, np.sign(paid)),
        ),
    ),
    "score of spikes alone": (
        "differences",
        _patch(
            ENUMERATION,
            "score_parts",
            lambda honest: (
                lambda runs: [
                    (post * now, *rest)
                    for (post, *rest), now in zip(honest(runs), runs.spikes, strict=True)
                ]
            ),
        ),
    ),
    "score function with the loss itself squared": (
        "score",
        _patch(SCORE, "above_baseline", lambda honest: lambda values: honest(values**2)),
    ),
    "baseline that halves": (
        "score",
        _patch(SCORE, "above_baseline", lambda honest: lambda values: honest(values) / 2),
    ),
    "surrogate of another slope": (
        "identity",
        _patch(
            BIAS,
            "back_propagated",
            lambda honest: (
                lambda runs, slope, _, detach: honest(
                    runs, slope, lambda x: 4 / np.cosh(2 * x) ** 2 / 4, detach
                )
            ),
        ),
    ),
    "back-propagation without the leak": (
        "identity",
        _patch(
            BIAS,
            "back_propagated",
            lambda honest: (
                lambda runs, slope, *rest: honest(
                    replace(runs, network=_leakless(runs.network)), slope, *rest
                )
            ),
        ),
    ),
    "reset that is always detached": (
        "detached",
        _patch(
            BIAS,
            "back_propagated",
            lambda honest: lambda runs, slope, surrogate, _: honest(runs, slope, surrogate, True),
        ),
    ),
}


def _leakless(network):
    return replace(network, layers=tuple(replace(layer, decay=0.0) for layer in network.layers))


def _other_membranes(runs):
    """Distances as they would be without the reset, the spikes held."""
    replay = importlib.import_module("refsim.gradients.given_spikes")
    bare = _without_reset(runs.network)
    return replace(
        runs,
        distance=[
            replay._layer(layer, received, lambda step, x, z=z: z[step])[0]
            for layer, received, z in zip(bare.layers, runs.received, runs.spikes, strict=True)
        ],
    )
