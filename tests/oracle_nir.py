"""NIR node by node, without refsim.

Each node a function of its own, neurons stepped by matrix exponentials or plain Euler.

A graph is a list of nodes in the order in which a step runs them; an edge to a neuron that is not
later brings what was sent in the step before.
"""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.linalg import expm

NEURONS = ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF", "Threshold")


def flow(kind, p, k):
    """Return (matrix, constant, input) of d(state)/dt for neuron k; the state is (v,) or (v, i)."""
    if kind in ("I", "IF"):
        return np.array([[0.0]]), np.array([0.0]), np.array([p["r"][k]])
    if kind in ("LI", "LIF"):
        return (
            np.array([[-1 / p["tau"][k]]]),
            np.array([p["v_leak"][k] / p["tau"][k]]),
            np.array([p["r"][k] / p["tau"][k]]),
        )
    mem, syn = p["tau_mem"][k], p["tau_syn"][k]
    matrix = np.array([[-1 / mem, p["r"][k] / mem], [0.0, -1 / syn]])
    return (
        matrix,
        np.array([p["v_leak"][k] / mem, 0.0]),
        np.array([0.0, p.get("w_in", np.ones(k + 1))[k] / syn]),
    )


def held(matrix, column, dt):
    """Return exp(matrix*dt), and what a constant slope `column` adds in dt, by one exponential."""
    n = len(matrix)
    whole = expm(np.block([[matrix, column[:, None]], [np.zeros((1, n + 1))]]) * dt)
    return whole[:n, :n], whole[:n, n]


class Layer:
    """One layer of neurons for a batch."""

    def __init__(self, node, n_samples, dt, reading):
        self.kind, self.p, self.reading = (
            node["type"],
            {key: np.ravel(value) for key, value in node.items() if key != "type"},
            reading,
        )
        n = len(next(iter(self.p.values())))
        self.state = np.zeros((n_samples, n, 2 if "Cuba" in self.kind else 1))
        if self.kind != "Threshold":
            rows = [flow(self.kind, self.p, k) for k in range(n)]
            self.matrix, self.constant, self.entry = (
                np.array(each) for each in zip(*rows, strict=True)
            )
            steps = [(held(a, c, dt), held(a, b, dt)[1]) for a, c, b in rows]
            self.kept = np.array([each[0][0] for each in steps])
            self.drift, self.taken = (
                np.array([each[0][1] for each in steps]),
                np.array([each[1] for each in steps]),
            )
        self.dt = dt

    def step(self, x):
        """Return what the layer gives for an input (n_samples, n): spikes, or the membrane."""
        if self.kind == "Threshold":
            return self.fires(x, self.p["threshold"]).astype(float)
        self.state = self.integrated(x)
        if not self.kind.endswith("F"):
            return self.state[..., 0].copy()
        v, th = self.state[..., 0], self.p["v_threshold"]
        spikes = self.fires(v, th).astype(float)
        if self.reading["spikes"] == "many":
            spikes = spikes * np.floor(v / th)
        if self.reading["reset"] == "by subtraction":
            v -= spikes * th
        else:
            v[...] = np.where(
                spikes > 0,
                self.p.get("v_reset", 0 * th) if self.reading["reset"] == "to v_reset" else 0.0,
                v,
            )
        return spikes

    def fires(self, v, th):
        return v > th if self.reading["comparison"] == ">" else v >= th

    def integrated(self, x):
        s, how = self.state, self.reading["integration"]
        if how == "euler":
            return s + self.dt * (
                np.einsum("nij,bnj->bni", self.matrix, s)
                + self.constant
                + self.entry * x[..., None]
            )
        if how == "euler, current first" and s.shape[-1] == 2:
            i = s[..., 1] + self.dt * (self.matrix[:, 1, 1] * s[..., 1] + self.entry[:, 1] * x)
            return np.stack(
                [
                    s[..., 0]
                    + self.dt
                    * (
                        self.matrix[:, 0, 0] * s[..., 0]
                        + self.constant[:, 0]
                        + self.matrix[:, 0, 1] * i
                    ),
                    i,
                ],
                -1,
            )
        if how == "euler, current first":
            return s + self.dt * (
                self.matrix[..., 0] * s + self.constant + self.entry * x[..., None]
            )
        after = np.einsum("nij,bnj->bni", self.kept, s) + self.drift
        return after + (self.taken if how == "zero-order hold" else self.entry) * x[..., None]


def linear(node, x):
    """Return what a linear node makes of a batch."""
    kind, x = node["type"], torch.from_numpy(x)
    value = {
        key: torch.from_numpy(np.asarray(each, np.float64))
        for key, each in node.items()
        if isinstance(each, np.ndarray)
    }
    if kind in ("Affine", "Linear"):
        return F.linear(x, value["weight"], value.get("bias")).numpy()
    if kind == "Scale":
        return (x * value["scale"]).numpy()
    whole = {
        key: tuple(int(each) for each in np.ravel(node[key]))
        for key in ("stride", "dilation", "kernel_size")
        if key in node
    }
    if kind in ("Conv1d", "Conv2d"):
        padding = (
            node["padding"]
            if isinstance(node["padding"], str)
            else tuple(int(each) for each in np.ravel(node["padding"]))
        )
        run = F.conv1d if kind == "Conv1d" else F.conv2d
        return run(
            x,
            value["weight"],
            value["bias"],
            whole["stride"],
            padding,
            whole["dilation"],
            int(node["groups"]),
        ).numpy()
    if kind == "AvgPool2d":
        return F.avg_pool2d(x, whole["kernel_size"], whole["stride"]).numpy()
    if kind == "SumPool2d":
        padding = [int(each) for each in np.ravel(node["padding"])]
        windows = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
        for axis in (2, 3):
            windows = windows.unfold(
                axis, whole["kernel_size"][axis - 2], whole["stride"][axis - 2]
            )
        return windows.sum((-1, -2)).numpy()
    assert kind == "Flatten"
    return x.flatten(
        int(node["start_dim"]) + 1, int(node["end_dim"]) + (1 if node["end_dim"] >= 0 else 0)
    ).numpy()


def simulate(nodes, edges, x, dt, **reading):
    """Return what each layer gives, (n_samples, n_steps, n), for an input (n_samples, n_steps,
    *shape).
    """
    reading = {"spikes": "one", "comparison": ">", "reset": "to v_reset", **reading}
    n_samples, n_steps = x.shape[:2]
    layers = {
        name: Layer(node, n_samples, dt, reading)
        for name, node in nodes.items()
        if node["type"] in NEURONS
    }
    sent = {name: [] for name in nodes}
    for step in range(n_steps):
        for name, node in nodes.items():
            if node["type"] == "Input":
                sent[name].append(x[:, step])
                continue
            total = sum(sent[a][-1] for a, b in edges if b == name and sent[a])
            if node["type"] in NEURONS:
                shape = np.shape(total)
                sent[name].append(
                    layers[name].step(np.reshape(total, (n_samples, -1))).reshape(shape)
                )
            elif node["type"] == "Delay":
                sent.setdefault(f"{name} held", []).append(total)
                past, late = (
                    sent[f"{name} held"],
                    np.round(np.asarray(node["delay"]) / dt).astype(int),
                )
                out = np.zeros_like(total)
                for k in np.ndindex(late.shape):
                    if step >= late[k]:
                        out[(slice(None), *k)] = past[step - late[k]][(slice(None), *k)]
                sent[name].append(out)
            elif node["type"] != "Output":
                sent[name].append(linear(node, total))
    return {
        name: np.stack(each, 1).reshape(n_samples, n_steps, -1)
        for name, each in sent.items()
        if name in layers
    }
