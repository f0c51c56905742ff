"""The only file that touches Brian2's global state: device, preferences and clock.

They are put back as they were found.
"""

import contextlib
import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...core.outside import outside
from ..arrivals import Array

# Brian2 has no types; these names say what is meant. Package is brian2 itself, open in a session,
# and BrianObject a group, a monitor, synapses, a network or a function of it.
Package = Any
BrianObject = Any

# Fast-math is off and multiply-add is not contracted, since both change the last bit.
COMPILER_FLAGS = (
    "-w",
    "-O3",
    "-march=native",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-std=c++11",
)


@contextlib.contextmanager
def session(
    target: str, dtype: str, dt: float, folder: Path | None = None, *, literal: bool = False
) -> Iterator[Package]:
    """Open Brian2 for one network.

    Parameters
    ----------
    target : {"numpy", "cpp_standalone"}
    dtype : {"float32", "float64"}
    dt : float
        Seconds a (sub-)step.
    folder : Path, optional
        Where the C++ project goes.
    literal : bool
        Whether each operation stays as it is written. Otherwise Brian2 turns ``x/tau`` into
        ``x*(1/tau)``, and the last bit changes.

    Yields
    ------
    module
        The ``brian2`` package; use nothing of it outside this block.
    """
    brian2 = _import_brian2()
    from brian2.devices.device import get_device, reset_device

    brian2.BrianLogger.log_level_error()
    # What must be put back at the end.
    preferences = brian2.prefs
    usual = _usual(preferences)
    kept = {name: preferences[name] for name in usual}
    clock = float(brian2.defaultclock.dt)
    standalone = target == "cpp_standalone"
    spared = gc.get_freeze_count() == 0
    if spared:
        # Brian2 collects garbage at each run; a tenth of a second less where it need not look at
        # what was there before.
        gc.freeze()
    try:
        # Every preference as Brian2 ships it, then those that refsim sets.
        for name, value in usual.items():
            preferences[name] = value
        preferences["core.default_float_dtype"] = np.dtype(dtype).type
        preferences["codegen.target"] = "auto" if standalone else "numpy"
        preferences["codegen.loop_invariant_optimisations"] = not literal
        preferences["codegen.cpp.extra_compile_args_gcc"] = list(COMPILER_FLAGS)
        preferences["codegen.cpp.extra_compile_args"] = None
        preferences["devices.cpp_standalone.openmp_threads"] = 0
        preferences["devices.cpp_standalone.extra_make_args_unix"] = ["-j2"]
        # Otherwise Ctrl-C would end a run as if it were complete, with half of its spikes.
        preferences["core.stop_on_keyboard_interrupt"] = False
        if standalone:
            brian2.set_device("cpp_standalone", build_on_run=False, directory=str(folder))
        brian2.defaultclock.dt = dt * brian2.second
        yield brian2
    finally:
        # Brian2 leaves this set where a run is interrupted, and catches the next Ctrl-C itself.
        brian2.Network._globally_running = False
        if spared:
            gc.unfreeze()
        if standalone:
            get_device().reinit()
            reset_device()
        brian2.defaultclock.dt = clock * brian2.second
        for name, value in kept.items():
            preferences[name] = value


def recorded_traces(monitor: BrianObject) -> dict[str, Array]:
    """Return a copy of what a StateMonitor recorded, by variable, (n_steps, n_neurons) each.

    From Brian2 2.10 on a monitor gives a view of C++ memory, which is freed with the monitor.
    Nothing that Brian2 owns may leave its session.
    """
    return {
        key: np.array(getattr(monitor, f"{key}_").T, order="C") for key in monitor.record_variables
    }


def _import_brian2() -> Package:
    """Import Brian2 without the handlers of errors and of Ctrl-C that it would set.

    A handler could not be set at all in a thread of a worker, nor may it replace a Ctrl-C that was
    ignored before (`nohup`). Nothing of the working folder is read: Brian2 would run a file
    `brian_preferences` there.
    """
    hook, handle, words = sys.excepthook, signal.signal, sys.argv
    signal.signal = lambda *_: None
    # Brian2 logs the words of the command line, and fails at a name that is not UTF-8.
    sys.argv = [word.encode("utf-8", "replace").decode() for word in words]
    try:
        with outside():
            import brian2
    finally:
        sys.excepthook, signal.signal, sys.argv = hook, handle, words
    return brian2


def _usual(preferences: BrianObject) -> dict[str, object]:
    """Return every preference of Brian2 that a run depends on, as Brian2 ships it.

    A file in the user's home, or a notebook, may have changed it.
    """
    shelves = preferences.pref_register.items()
    return {
        f"{shelf}.{name}": entry.default
        for shelf, (entries, _) in shelves
        if shelf != "logging"
        for name, entry in entries.items()
    }
