"""Random NIR graphs, written to files as NIR writes them."""

import numpy as np

from refsim.files.hdf5 import write_tree

READINGS = ("euler", "euler, current first", "zero-order hold", "impulse")
FIRING = ("IF", "LIF", "CubaLIF")
DT = 1e-3


def write(path, nodes, edges, **more):
    """Write a graph; return the path."""
    return write_tree(
        path,
        {
            "version": "1.0",
            "node": {
                "type": "NIRGraph",
                "nodes": nodes,
                "edges": [list(edge) for edge in edges],
                **more,
            },
        },
        "NIR file",
    )


def chain(*nodes, shape=(4,), shown=(3,)):
    """Return nodes and edges of a chain from an Input to an Output."""
    named = {"input": {"type": "Input", "shape": np.array(shape)}}
    named |= {f"{index}": node for index, node in enumerate(nodes)}
    named["output"] = {"type": "Output", "shape": np.array(shown)}
    return named, list(zip(list(named), list(named)[1:], strict=False))


def neurons(rng, kind, shape, integration="euler"):
    """Return a node of neurons, each with values of its own, that an input of about 1 makes fire
    now and then.
    """

    def own(low, high):
        return rng.uniform(low, high, shape)

    # An impulse of 1 is a thousand times a current of 1 for 1 ms.
    charge = DT if integration == "impulse" else 1.0
    tau = own(5e-3, 30e-3)
    firing = {"v_threshold": own(0.3, 1.5), "v_reset": own(-0.3, 0.2)} if kind in FIRING else {}
    if kind == "Threshold":
        return {"type": kind, "threshold": own(0.3, 1.5)}
    if kind in ("I", "IF"):
        return {"type": kind, "r": own(30, 300) * charge, **firing}
    leaky = {
        "r": own(1, 6) * (charge if "Cuba" not in kind else 1.0),
        "v_leak": own(-0.2, 0.2),
        **firing,
    }
    if kind in ("LI", "LIF"):
        return {"type": kind, "tau": tau, **leaky}
    return {
        "type": kind,
        "tau_mem": tau,
        "tau_syn": own(2e-3, 12e-3),
        "w_in": own(0.5, 2.0) * charge,
        **leaky,
    }


def affine(rng, n, m, bias=True):
    """Return an Affine or a Linear from n to m."""
    node = {"type": "Affine" if bias else "Linear", "weight": rng.normal(0.3, 1.0, (m, n))}
    return node | ({"bias": rng.normal(0, 0.2, m)} if bias else {})


def random_graph(rng, kind, integration):
    """Return nodes and edges: two or three layers of a kind, recurrent, with a scale, delays and a
    way past the middle.
    """
    n, m, k = rng.integers(2, 6, 3)
    nodes = {
        "in": {"type": "Input", "shape": np.array([4])},
        "w0": affine(rng, 4, n),
        "a": neurons(rng, kind, (n,), integration),
        "rec": affine(rng, n, n, bias=False),
        "scale": {"type": "Scale", "scale": rng.normal(1, 0.5, n)},
        "w1": affine(rng, n, m),
        "b": neurons(rng, kind, (m,), integration),
        "back": affine(rng, m, n, bias=False),
        "late": {"type": "Delay", "delay": rng.integers(0, 4, m) * DT},
        "w2": affine(rng, m, k, bias=bool(rng.integers(2))),
        "past": affine(rng, 4, k, bias=False),
        "c": neurons(rng, kind, (k,), integration),
        "out": {"type": "Output", "shape": np.array([k])},
    }
    edges = [
        ("in", "w0"),
        ("w0", "a"),
        ("a", "scale"),
        ("scale", "w1"),
        ("w1", "b"),
        ("b", "late"),
        ("late", "w2"),
        ("w2", "c"),
        ("c", "out"),
        ("in", "past"),
        ("past", "c"),
    ]
    recurrent, loop = rng.integers(0, 2, 2)
    edges += [("a", "rec"), ("rec", "a")] if recurrent else []
    edges += [("b", "back"), ("back", "a")] if loop else []
    # many spikes a step in a loop that excites itself grow to 1e80, of which rounding is more than
    # a threshold
    nodes["rec"]["weight"] = -np.abs(nodes["rec"]["weight"])
    used = {name for edge in edges for name in edge}
    return {name: node for name, node in nodes.items() if name in used}, edges
