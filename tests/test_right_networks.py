"""Of a hundred right networks no decision is called wrong, and of each at least some are judged."""

import pytest
from right_networks import judge, live, networks, on_steps

HUNDRED = networks()


def test_there_are_a_hundred_of_many_kinds():
    assert len({right.name for right in HUNDRED}) == len(HUNDRED) == 100
    for kind in (
        "convolution",
        "recurrent",
        "delayed",
        "read-out",
        "torch.compile",
        "bfloat16",
        "float16",
        "float64",
        "4096 wide",
        "2000 steps",
    ):
        assert sum(kind in right.name for right in HUNDRED) >= 5, kind


@pytest.mark.parametrize(
    "right",
    [
        on_steps("alif", "recurrent", "float32", (12, 10, 8), (2, 40), 3),
        live("LIF", "bfloat16", (12, 10, 8), (3, 30), 3),
        live("Leaky, hard", "float16", (12, 10, 8), (3, 30), 3),
    ],
    ids=lambda right: right.name,
)
@pytest.mark.parametrize("membranes", [False, True])
def test_a_right_network_is_judged_and_nothing_in_it_is_wrong(right, membranes):
    found = judge(right, membranes=membranes)
    assert found.wrong == 0
    assert found.judged > 0.3 * found.total
    assert found.verdict != "fail"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch.compile, which warns of its own
@pytest.mark.parametrize("number", range(100))
def test_of_a_hundred_right_networks_none_has_a_wrong_decision(number):
    found = judge(HUNDRED[number], membranes=number % 2 == 1)
    print(found, flush=True)
    assert found.judged > 0
    assert found.wrong == 0
    assert found.verdict != "fail"
