"""The expected loss of a network that fires by chance, by walking the tree of all its spikes in
plain Python: slow, and shares nothing with refsim.
"""

import itertools
import math


def expected(layers, inputs, loss):
    """Return E[loss] of one sample.

    layers: list of dict weight, bias, decay, v_th, reset (lists and floats) and chance, a function
    of u - v_th; inputs: list of steps; loss: function of the output's spikes, a list of steps.
    """
    start = [[0.0] * len(layer["weight"]) for layer in layers]
    return _steps(layers, inputs, start, [], loss)


def _steps(layers, inputs, membranes, fired, loss):
    if len(fired) == len(inputs):
        return loss(fired)
    total = 0.0
    for chance, after, spikes in _step(layers, inputs[len(fired)], membranes):
        total += chance * _steps(layers, inputs, after, [*fired, spikes], loss)
    return total


def _step(layers, heard, membranes):
    """Yield (probability, membranes after the step, output spikes) of every way that one step can
    go.
    """
    if not layers:
        yield 1.0, [], heard
        return
    layer = layers[0]
    before = [
        layer["decay"] * v + sum(w * s for w, s in zip(row, heard, strict=True)) + b
        for row, b, v in zip(layer["weight"], layer["bias"], membranes[0], strict=True)
    ]
    for spikes in itertools.product((0, 1), repeat=len(before)):
        chances = [layer["chance"](u - layer["v_th"]) for u in before]
        here = math.prod(p if s else 1 - p for p, s in zip(chances, spikes, strict=True))
        after = [u - layer["reset"] * s for u, s in zip(before, spikes, strict=True)]
        for chance, rest, output in _step(layers[1:], spikes, membranes[1:]):
            yield here * chance, [after, *rest], output


def sigmoid(slope):
    return lambda x: 1 / (1 + math.exp(-slope * x))


def exponential(rate, beta):
    return lambda x: 1 - math.exp(-rate * math.exp(beta * x))


def count_cross_entropy(label):
    def loss(fired):
        counts = [sum(column) for column in zip(*fired, strict=True)]
        return math.log(sum(math.exp(n) for n in counts)) - counts[label]

    return loss
