"""A benchmark engine with a planted fault.

The hand-written kernel, and one spike of one neuron moved.
"""

from benchmarks.engines.kernel import dense, prepare
from benchmarks.measuring import serve


def one_wrong(outcome, case):
    spikes = dense(outcome, case)
    spikes[-1][-1, -1, -1] ^= True
    return spikes


if __name__ == "__main__":
    serve(prepare, one_wrong, "numpy")
