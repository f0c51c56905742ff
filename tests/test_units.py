"""Units at the door: spelled as Brian2 spells them, with its factors."""

import pytest

from refsim import RefsimError
from refsim.core.units import DIMENSIONS, check_unit, to_si


@pytest.mark.parametrize(
    "text", ["20 ms", "20ms", "0.02 s", "20*ms", "2e4 us", "0.02 second", "20000 µs", "20 msecond"]
)
def test_twenty_milliseconds(text):
    assert to_si(text, "second", "tau") == pytest.approx(0.02, rel=1e-15)


@pytest.mark.parametrize("unit", [unit for unit in DIMENSIONS if unit != "1"])
def test_dimensions_are_those_of_brian2(unit):
    brian2 = pytest.importorskip("brian2")
    kilogram, metre, second, amp, kelvin = (
        getattr(brian2, name) for name in ("kilogram", "metre", "second", "amp", "kelvin")
    )
    product = 1.0
    for base, exponent in zip(
        (kilogram, metre, second, amp, kelvin), DIMENSIONS[unit], strict=True
    ):
        product = product * base**exponent
    assert brian2.have_same_dimensions(product, getattr(brian2, unit))


@pytest.mark.parametrize("text", ["3 mV", "0.1 nA", "10 nS", "200 pF", "50 Hz", "2 Mohm"])
def test_factors_are_those_of_brian2(text):
    brian2 = pytest.importorskip("brian2")
    number, symbol = text.split()
    ours = to_si(text, next(unit for unit in DIMENSIONS if _fits(symbol, unit)), "value")
    assert ours == pytest.approx(float(number) * float(getattr(brian2, symbol)), rel=1e-15)


def _fits(symbol, unit):
    try:
        to_si(f"1 {symbol}", unit, "")
    except RefsimError:
        return False
    return unit != "1"


@pytest.mark.parametrize(
    ("value", "unit", "says"),
    [
        ("20 mV", "second", "tau: needs '20 ms' or a like unit, but '20 mV' is in volt."),
        ("twenty", "second", "needs a number in seconds, such as '20 ms'"),
        ("20 parsec", "second", "'parsec' is not a known unit"),
        (float("nan"), "1", "needs a finite number"),
        ("1e999", "1", "needs a finite number"),
        (True, "1", "needs a number, but True was given"),
        (None, "1", "needs a number, but None was given"),
        (
            "0.02",
            "second",
            "tau: '0.02' has no unit; write '0.02 ms', or '0.02 s' if that is meant.",
        ),
        ("3 nS/mV", "siemens", "is in siemens/volt"),
        ("3 nS/parsec", "siemens/volt", "'parsec' is not a known unit"),
        ("3 ms**900", "second", "is not a known unit"),
        ("3 2*ms", "second", "is not a known unit"),
    ],
)
def test_wrong_values_are_explained(value, unit, says):
    with pytest.raises(RefsimError) as caught:
        to_si(value, unit, "tau")
    assert says in str(caught.value)


def test_a_card_needs_base_units():
    with pytest.raises(RefsimError, match="write 'volt'"):
        check_unit("mV", "card")
