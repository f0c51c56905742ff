"""The scripts of `refsim show --brian2`.

Each runs without refsim and does what refsim itself does, and a changed one is caught.
"""

import functools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import refsim
from refsim.cards.read import load_all
from refsim.cases.neuron import network_of_one
from refsim.export.script import to_brian2, usual_input

REFINE, N_STEPS = 8, 40
MODELS = {model.name: model for model in load_all()}
MODELS |= {
    name: refsim.load(Path(__file__).parent / "cards" / f"{name}.toml")
    for name in ("integer", "kernels", "rising", "two_state")
}
# Planted faults: (card, text of the script, what stands in its place). Each is a script that runs
# and is not the card.
FAULTS = {
    "another parameter": ("adex", "b = 80.5*pA", "b = 81*pA"),
    "resets in another order": (
        "alif",
        "v -= b0 + beta*b; b += jump_b",
        "b += jump_b; v -= b0 + beta*b",
    ),
    "a refractory period one sub-step short": ("lif_refractory", "t_ref + dt", "t_ref"),
    "another method": ("izhikevich", 'method="euler"', 'method="rk4"'),
    "another start": ("hh", "neurons.m = 0.05293100663718271", "neurons.m = 0.0529"),
    "another input": ("lif", "neurons.I = ", "neurons.I = 1e-6 + "),
    "a pulse a sub-step late": ("rf", "t_in_timesteps %", "(t_in_timesteps - 1) %"),
    "a threshold that every second spike of a crossing passes": (
        "wang_buzsaki",
        'refractory="v >= v_th"',
        "refractory=False",
    ),
    "statements in another order": (
        "cuba_loihi",
        "u = shr(u*i_keep, 12) + scale*I\n    v = shr(v*v_keep, 12) + u",
        "v = shr(v*v_keep, 12) + u\n    u = shr(u*i_keep, 12) + scale*I",
    ),
    "a reset left out": ("rf_iz_loihi", "im = im*(1 - z) + (v_th - 1)*z", "im = im"),
    "the chance of another step": ("bernoulli", "uniform < p", "uniform > 1 - p"),
}
# Each step adds some hundred roundings of 1.1e-16, and the upstroke of an action potential enlarges
# what is there by some thousands.
DIGITS = 1e-9


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Every card's script and every faulty one, run in one process that knows nothing of refsim.

    Name -> what its monitors saw.
    """
    folder = tmp_path_factory.mktemp("scripts")
    with pytest.MonkeyPatch.context() as patch:
        # Once a card is enough.
        patch.setattr("refsim.export.script.usual_input", lambda model, _step: chosen(model.name))
        scripts = {name: judged(model) for name, model in MODELS.items()}
    for fault, (card, old, new) in FAULTS.items():
        assert scripts[card].count(old) == 1, fault
        scripts[fault] = scripts[card].replace(old, new)
    for name, script in scripts.items():
        (folder / f"{name}.py").write_text(script, "utf-8")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "run_scripts.py"), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "WARNING" not in done.stderr
    return {name: dict(np.load(folder / f"{name}.npz")) for name in scripts}


def judged(model):
    """Return a card's script, with refsim's random numbers in place of Brian2's own, so that both
    can be equal.
    """
    script = to_brian2(model, refine=REFINE, duration=f"{N_STEPS} ms")
    if model.draws:
        draw, refine = drive_of(model).draws(0, 1), REFINE if model.continuous else 1
        table = {
            name: [float(draw(step, name)[0, 0]) for step in range(N_STEPS * refine)]
            for name in model.draws
        }
        lines = [
            f"drawn_{name} = TimedArray(np.array({values}), dt=defaultclock.dt)"
            for name, values in table.items()
        ]
        for name in model.draws:
            assert f"{name} = rand()" in script
            script = script.replace(f"{name} = rand()", f"{name} = drawn_{name}(t)")
        script = script.replace('equations = """', "\n".join([*lines, 'equations = """']))
    return script


@functools.cache
def chosen(name):
    return usual_input(MODELS[name], 1e-3)


def drive_of(model):
    values = np.array(chosen(model.name).values(N_STEPS))
    return refsim.Drive.current(values[None, :, None], "1 ms", seed=0)


@functools.cache
def own_run(name):
    """Run a card in refsim: the ODE in sub-steps, or the declared step of a card without one."""
    model = MODELS[name]
    fine = {"mode": "fine", "refine": REFINE} if model.continuous else {"mode": "grid"}
    return refsim.run(
        network_of_one(model, "1 ms"),
        drive_of(model),
        engine=refsim.Brian2(target="numpy", **fine),
        record=states_of(model),
    )


def states_of(model):
    return tuple(model.solved if model.continuous else model.stepped)


def differences(model, seen):
    """Return what a script's run and refsim's own differ in, in words."""
    own = own_run(model.name)
    found = [] if np.array_equal(own.spikes[0].step, seen.get("spikes", [])) else ["spikes"]
    for name in states_of(model):
        trace = own.traces[0][name][0, :, 0]
        assert np.isfinite(trace).all()
        found += (
            [name]
            if np.abs(seen[name] - trace).max() > DIGITS * max(np.abs(trace).max(), 1e-15)
            else []
        )
    return found


@pytest.mark.parametrize("name", MODELS)
def test_a_script_does_what_refsim_does(name, ran):
    assert differences(MODELS[name], ran[name]) == []


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.discrete.fire])
def test_a_script_shows_spikes(name, ran):
    assert 1 <= len(ran[name]["spikes"]) < N_STEPS * (REFINE if MODELS[name].continuous else 1)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_changed_script_is_caught(fault, ran):
    assert differences(MODELS[FAULTS[fault][0]], ran[fault])
