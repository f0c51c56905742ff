"""Networks of sigma-delta neurons in plain NumPy integers, from lava-dl's equations.

Nothing is taken from the card.

act[t] = max(0, bias + all that has arrived up to t); d = act[t] - act[t-1] + residue; sent = d
where |d| >= v_th, else 0; residue = d - sent.
"""

import numpy as np


def network(given, layers):
    """Return what each layer sends, (n_samples, n_steps, n_neurons) int64.

    Parameters
    ----------
    given : (n_samples, n_steps, n_inputs) int64
    layers : list of dict
        ``v_th`` and ``bias``, () or (n_post,), and ``inputs``: rows (source, weight (n_post,
        n_pre), delay () or (n_pre,)); a source is the number of a layer, or -1 for what is given.
    """
    n_samples, n_steps, _ = given.shape
    # So that [-1] is what is given.
    sent = [
        np.zeros((n_samples, n_steps, len(layer["inputs"][0][1])), np.int64) for layer in layers
    ] + [given]
    total, act, residue = (
        [np.zeros(out[:, 0].shape, np.int64) for out in sent[:-1]] for _ in range(3)
    )
    for t in range(n_steps):
        for n, layer in enumerate(layers):
            for source, weight, delay in layer["inputs"]:
                total[n] += arriving(sent[source], delay, t) @ weight.T
            before, act[n] = act[n], np.maximum(total[n] + layer["bias"], 0)
            change = act[n] - before + residue[n]
            sent[n][:, t] = np.where(np.abs(change) >= layer["v_th"], change, 0)
            residue[n] = change - sent[n][:, t]
    return sent[:-1]


def arriving(sent, delay, t):
    """Return what arrives in step t, (n_samples, n_pre).

    Of each input what it sent `delay` steps ago.
    """
    then = t - np.broadcast_to(delay, sent.shape[2:])
    return np.where(then >= 0, sent[:, np.maximum(then, 0), np.arange(sent.shape[2])], 0)
