"""Adaptive and resonating neurons: equal in every engine, true to their ODE, and, without what sets them apart, a LIF."""

import dataclasses

import numpy as np
import pytest
from conftest import every_engine_agrees

import refsim
from refsim import Drive

# Card -> duration of a step, and an input of mixed size for it.
CARDS = {
    "alif": ("1 ms", lambda x: 4 * x),
    "adlif": ("1 ms", lambda x: 4 * x),
    "adex": ("0.1 ms", lambda x: 8e-9 * x),
    "izhikevich": ("0.25 ms", lambda x: 0.1 * x),
    "mat2": ("0.25 ms", lambda x: 4e-9 * x),
    "glif3": ("0.25 ms", lambda x: 3e-9 * x),
    "glif5": ("0.25 ms", lambda x: 3e-9 * x),
    "rf": ("1 ms", lambda x: 3 * x - 1.2),
    "rf_iz": ("1 ms", lambda x: 3 * x - 1.2),
    "adrf": ("1 ms", lambda x: 8 * x - 3.2),
}


@pytest.mark.parametrize("card", CARDS)
def test_every_engine_agrees_on_it(card, rng):
    dt, scaled = CARDS[card]
    network = refsim.Network.dense([(np.eye(4), None, refsim.load(card))], dt)
    drive = Drive.current(scaled(np.abs(rng.normal(0.4, 0.5, (5, 100, 4)))), dt)
    found = every_engine_agrees(network, drive)
    assert np.bincount(found.spikes[0].sample, minlength=5).min() >= 8  # every sample feels what its spikes leave behind


@pytest.mark.parametrize("card", CARDS)
def test_its_step_is_what_it_says(card):
    assert refsim.check_declared_step(refsim.load(card)).status == "pass"
