"""SLAYER's spike response network in plain NumPy.

Alpha kernels cut as SLAYER cuts them, soft refractoriness, no reset.

Source: Shrestha and Orchard 2018, SLAYER, and the authors' released kernels. Arrays are (n_neurons,
n_steps); times are integer steps.
"""

import numpy as np


def alpha_kernel(tau: float, step: float, scale: float, cut: float, n_steps: int) -> np.ndarray:
    """Return scale*(t/tau)*exp(1 - t/tau) at t = 0, step, ..., up to the first t > tau where it is
    below `cut` in size; tau and step in ms.
    """
    t = np.arange(n_steps) * step
    kernel = scale * t / tau * np.exp(1 - t / tau)
    small = np.flatnonzero((np.abs(kernel) < cut) & (t > tau))
    return kernel[: small[0]] if small.size else kernel


def filtered(spikes: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolve binary spikes (n_neurons, n_steps) with a kernel, causally.

    Kernel[0] acts in the step of the spike.
    """
    return np.stack([np.convolve(row, kernel)[: spikes.shape[1]] for row in spikes])


def srm_layer(
    drive: np.ndarray, refractory: np.ndarray, theta: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return spikes and membranes (n_neurons, n_steps) of a layer with the weighted, filtered input
    `drive`; it fires at or above theta.
    """
    membrane, spikes = drive.copy(), np.zeros(drive.shape)
    n_steps = drive.shape[1]
    for step in range(n_steps):
        fired = membrane[:, step] >= theta
        spikes[fired, step] = 1
        length = min(len(refractory), n_steps - step)
        membrane[fired, step : step + length] += refractory[:length]
    return spikes, membrane
