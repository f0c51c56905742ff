"""Units joined by * and /, with powers: read as Brian2 reads them, in cards too."""

import pytest

import refsim
from refsim import Brian2, Discrete, Drive, Network, RefsimError
from refsim.core.units import check_unit, dimension, numbers_in_si, to_si

COMPOUND = [
    ("0.7 nS/mV", "siemens/volt", "nS/mV"),
    ("0.03/ms", "hertz", "1/ms"),
    ("5 mV/ms", "volt/second", "mV/ms"),
    ("2 nA*ms", "coulomb", "nA*ms"),
    ("1 uF/cm**2", "farad/metre**2", "uF/cm**2"),
    ("3 mV^2", "volt**2", "mV**2"),
    ("4 volt/(amp*second)", "ohm/second", "volt/amp/second"),
    ("2 mV*ms**-0.5", "volt*second**-0.5", "mV*ms**-0.5"),
]


@pytest.mark.parametrize(("text", "unit", "theirs"), COMPOUND)
def test_compound_units_are_those_of_brian2(text, unit, theirs):
    brian2 = pytest.importorskip("brian2")
    one = eval(theirs, vars(brian2))
    number = float(text.split()[0].split("/")[0])
    assert to_si(text, unit, "value") == pytest.approx(number * float(one), rel=1e-14)
    assert brian2.have_same_dimensions(one, eval(check_unit(unit, "card"), vars(brian2)))
    metre, kilogram, *others = one.dim._dims[:5]
    assert (kilogram, metre, *others) == tuple(dimension(unit))


def test_the_unit_behind_the_last_number_holds_for_all_and_zero_needs_none():
    assert numbers_in_si(["1", "2", "5 nA"], "amp", "here") == [1e-9, 2e-9, 5e-9]
    assert to_si("0", "volt", "here") == to_si(0, "volt", "here", written=True) == 0
    with pytest.raises(RefsimError, match="has no unit"):
        to_si(0.5, "volt", "here", written=True)


AQIF = """
name = "aqif"
title = "Adaptive quadratic integrate-and-fire"
family = "adaptive"
references = ["Izhikevich 2007, Dynamical Systems in Neuroscience, ch. 8"]
[input]
kind = "pulse"
target = "v"
unit = "amp"
[state]
v = { unit = "volt", start = "-65 mV", meaning = "membrane potential" }
w = { unit = "amp", start = 0.0, meaning = "adaptation" }
[parameters]
C = { value = "100 pF", unit = "farad", meaning = "capacitance" }
k = { value = "0.7 nS/mV", unit = "siemens/volt", meaning = "curvature" }
a = { value = "0.03/ms", unit = "hertz", meaning = "rate of adaptation" }
b = { value = "-2 nS", unit = "siemens", meaning = "coupling" }
[continuous]
equations = '''
dv/dt = (k*(v + 60*mV)*(v + 40*mV) - w + I)/C : volt
dw/dt = a*(b*(v + 60*mV) - w) : amp
'''
threshold = "v > 35*mV"
reset = "v = -50*mV; w += 100*pA"
[discrete]
solution = "euler"
integrate = "from continuous"
fire = "z = v > 35*mV"
reset = '''
v = v*(1 - z) - 50*mV*z
w = w + z*100*pA
'''
"""


def test_a_card_with_compound_units_runs_in_every_engine(tmp_path):
    """Izhikevich's quadratic neuron: k in siemens/volt, and its method is that of its step."""
    path = tmp_path / "aqif.toml"
    path.write_text(AQIF, "utf-8")
    model = refsim.load(path)
    assert model.parameters["k"].value == 0.7e-6
    assert model.parameters["a"].value == 30
    assert model.continuous.method == "euler"
    network = Network.dense([([[1.0]], None, model)], "0.5 ms")
    drive = Drive.constant(3e-10, 200, "0.5 ms")
    engines = (Discrete(), Brian2(target="numpy"), Brian2(mode="fine", target="numpy"))
    runs = [refsim.run(network, drive, each).spikes[0].step.tolist() for each in engines]
    assert len(runs[0]) > 2
    assert runs[0] == runs[1] == runs[2]
    assert refsim.check_declared_step(model).status == "pass"
    assert "k = 7e-07*siemens/volt" in refsim.to_brian2(model)
    wrong = AQIF.replace('"0.7 nS/mV", unit = "siemens/volt"', '"0.7 nS", unit = "siemens"')
    path.write_text(wrong, "utf-8")
    with pytest.raises(RefsimError, match="Brian2 refuses its equations"):
        refsim.check_declared_step(refsim.load(path))
