"""Drives: each encoder does what it says, with integer steps, and refuses what it cannot encode."""

import numpy as np
import pytest

from refsim import Drive, RefsimError


def test_current_is_held_or_given_per_step():
    held = Drive.current([[1.0, 2.0]], "1 ms", n_steps=3)
    assert held.held
    assert [frame.tolist() for frame in held.frames()] == [[[1.0, 2.0]]] * 3
    moving = Drive.current(np.arange(6.0).reshape(1, 3, 2), 1e-3)
    assert not moving.held
    assert [frame.tolist() for frame in moving.frames()] == [
        [[0.0, 1.0]],
        [[2.0, 3.0]],
        [[4.0, 5.0]],
    ]


def test_bernoulli_is_seeded_and_has_its_rate():
    rates = np.full((40, 50), 0.3)
    first, again, other = (Drive.bernoulli(rates, 100, "1 ms", seed) for seed in (1, 1, 2))
    assert np.array_equal(first.spikes.code, again.spikes.code)
    assert not np.array_equal(first.spikes.code, other.spikes.code)
    n = rates.size * 100
    assert abs(len(first.spikes) - 0.3 * n) < 5 * np.sqrt(0.3 * 0.7 * n)  # five standard deviations
    assert len(Drive.bernoulli(np.zeros((2, 2)), 10, 1e-3, 0).spikes) == 0
    assert len(Drive.bernoulli(np.ones((2, 2)), 10, 1e-3, 0).spikes) == 40


def test_poisson_probability_is_one_minus_exp():
    drive = Drive.poisson(np.full((50, 50), 200.0), 100, "1 ms", 0)
    n, p = 250_000, 1 - np.exp(-0.2)
    assert abs(len(drive.spikes) - p * n) < 5 * np.sqrt(p * (1 - p) * n)


def test_latency_spikes_once_the_sooner_the_larger():
    drive = Drive.latency([[1.0, 0.5, 0.0, 0.25]], 9, "1 ms")
    assert drive.spikes.step.tolist() == [0, 4, 6]
    assert drive.spikes.neuron.tolist() == [0, 1, 3]


@pytest.mark.parametrize(("reset", "steps"), [("zero", [2, 5, 8]), ("subtract", [2, 4, 6, 9])])
def test_integrate_and_fire_encoder(reset, steps):
    # 0.4375 thrice is 1.3125; what is over is forgotten or carried on
    drive = Drive.integrate_and_fire([[0.4375, 0.0]], 10, "1 ms", reset=reset)
    assert drive.spikes.step.tolist() == steps
    assert set(drive.spikes.neuron) == {0}


def test_integrate_and_fire_encoder_is_strict():
    # the convention of the lava networks: v > 1, so that 1 itself does not fire
    assert len(Drive.integrate_and_fire([[0.5]], 2, "1 ms").spikes) == 0
    assert len(Drive.integrate_and_fire([[0.5]], 3, "1 ms").spikes) == 1


def test_noise_is_the_same_in_every_engine():
    drive = Drive.noise(0.2, 0.1, 50, "1 ms", 3)
    assert np.array_equal(drive.values, Drive.noise(0.2, 0.1, 50, "1 ms", 3).values)
    assert drive.values.shape == (1, 50, 1)


def test_frames_of_events_are_their_dense_array(rng):
    dense = rng.random((3, 8, 5)) < 0.4
    drive = Drive.events(*np.nonzero(dense), dense.shape, 1e-3)
    assert np.array_equal(np.stack(list(drive.frames()), axis=1), dense)
    assert np.array_equal(
        np.stack(list(drive.take(np.array([2, 0])).frames()), axis=1), dense[[2, 0]]
    )


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Drive.current([[1.0]], "1 ms"), "say for how many"),
        (lambda: Drive.current([[np.nan]], "1 ms", n_steps=2), "NaN or infinite"),
        (lambda: Drive.current([1.0], "1 ms"), "must be"),
        (lambda: Drive.current(np.zeros((1, 4, 2)), "1 ms", n_steps=3), "hold 4 steps"),
        (lambda: Drive.bernoulli([[1.2]], 5, "1 ms", 0), r"must lie in \[0, 1\]"),
        (
            lambda: Drive.bernoulli([[0.2]], 0, "1 ms", 0),
            "n_steps must be a whole number of 1 or more",
        ),
        (
            lambda: Drive.poisson([[-1.0]], 5, "1 ms", 0),
            "rates must lie between 0 Hz and one a step, 1000 Hz",
        ),
        (lambda: Drive.noise(0, -1, 5, "1 ms", 0), "std of 0 or more"),
        (lambda: Drive.latency([[2.0]], 5, "1 ms"), r"must lie in \[0, 1\]"),
        (
            lambda: Drive.integrate_and_fire([[0.1]], 5, "1 ms", reset="hard"),
            "reset must be 'zero' or 'subtract'",
        ),
        (lambda: Drive.events([0], [0], [5], (1, 3, 2), "1 ms"), "must lie in 0..1"),
        (lambda: Drive.events([0], [0], [0], (1, 3, 2), "0 ms"), "must be a time above zero"),
    ],
)
def test_wrong_input_is_refused(make, says):
    with pytest.raises(RefsimError, match=says):
        make()


@pytest.mark.parametrize("n_inputs", [1, 7, 8, 9, 64, 67])
def test_a_raster_keeps_every_bit(n_inputs, rng):
    dense = rng.random((3, 5, n_inputs)) < 0.4
    for given in (dense, dense.astype(float), dense.astype(np.uint8)):
        drive = Drive.raster(given, "1 ms")
        assert np.array_equal(drive.spikes.dense(), dense)
        assert np.array_equal(np.stack(list(drive.frames()), axis=1), dense)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.zeros((2, 3)), "shape"),
        (np.zeros((0, 3, 2)), "shape"),
        (np.full((1, 2, 3), 2), "0 and 1"),
        (np.full((1, 2, 3), np.nan), "0 and 1"),
        ([[["a"]]], "0 and 1"),
    ],
)
def test_what_is_no_raster_is_refused(given, says):
    with pytest.raises(RefsimError, match=says):
        Drive.raster(given, "1 ms")


def test_sizes_in_a_short_type_do_not_overflow():
    """200 samples x 200 steps overflow NumPy's uint8, and so does -(-n // 256)."""
    shape = np.array([200, 200, 4], np.uint8)
    events, drawn = (
        Drive.events([199], [199], [3], shape, "1 ms"),
        Drive.bernoulli(np.ones((200, 4)), np.uint8(200), "1 ms", 0),
    )
    for drive in (events, drawn):
        sizes = (
            drive.n_samples,
            drive.n_steps,
            drive.n_inputs,
            drive.spikes.n_samples,
            drive.spikes.n_steps,
        )
        assert sizes == (200, 200, 4, 200, 200)
        assert {type(size) for size in sizes} == {int}
    assert drawn.spikes.counts().sum() == 160_000


def test_a_raster_is_taken_from_a_tensor_with_a_gradient():
    torch = pytest.importorskip("torch")
    assert len(Drive.raster(torch.ones(1, 2, 3, requires_grad=True), "1 ms").spikes) == 6
    with pytest.raises(RefsimError, match="drive: raster: is not an array"):
        Drive.raster(torch.ones(1, 2, 3).to_sparse(), "1 ms")


@pytest.mark.parametrize("shape", [(1, 2), None, 3, "abcd"])
def test_events_need_three_sizes(shape):
    with pytest.raises(RefsimError, match="shape must be"):
        Drive.events([0], [0], [0], shape, "1 ms")


@pytest.mark.parametrize("samples", [[0, 0], [-1], [3], [True, False, True], [], [0.0]])
@pytest.mark.parametrize("kind", ["bits", "listed"])
def test_samples_that_are_not_there_or_named_twice_are_not_taken(samples, kind):
    """Of a list of events the first of two equals would come out empty, and nobody would hear of
    it.
    """
    dense = np.ones((3, 2, 2), bool)
    drive = (
        Drive.raster(dense, "1 ms")
        if kind == "bits"
        else Drive.events(*np.nonzero(dense), dense.shape, "1 ms")
    )
    with pytest.raises(
        RefsimError, match=r"samples to take must be different whole numbers in 0\.\.2"
    ):
        drive.take(np.array(samples))


@pytest.mark.parametrize("seed", [-1, 1 << 64, 0.5, "one", None])
def test_a_seed_is_64_bits(seed):
    """A program reads it as such; a longer one would end the run in an OverflowError."""
    for make in (
        lambda: Drive.bernoulli([[0.5]], 2, "1 ms", seed),
        lambda: Drive.constant(1.0, 2, "1 ms", seed=seed),
    ):
        with pytest.raises(
            RefsimError, match="seed must be a whole number of 0 or more, in 64 bits"
        ):
            make()
