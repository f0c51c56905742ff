"""Ask NEST, an independent simulator, for spikes and membranes, and store them.

They are stored with their provenance in validation/nest/. NEST has an environment of its own, since
refsim may not need it: `make nest` makes the environment and runs this file. What is stored are
NEST's figures, not ours: the tests compare our cards with them.
"""

import platform
from importlib.metadata import version
from pathlib import Path

from benchmarks.nest_cases import (
    CASES,
    DELAY,
    DURATION,
    IZHIKEVICH_UNITS,
    METHODS,
    RESOLUTIONS,
    SAMPLE,
    UNITS,
)

SHELF = Path(__file__).resolve().parents[1] / "validation" / "nest"


def simulate(nest, case, resolution):
    """Run one case at one resolution (ms); return spike steps and the recorded traces."""
    nest.ResetKernel()
    nest.set(
        tics_per_ms=1000 if resolution == 0.1 else round(1 / min(RESOLUTIONS)),
        resolution=resolution,
        print_time=False,
    )
    neuron = nest.Create(case["model"], params=case["parameters"])
    neuron.set(case["start"])
    recorder = nest.Create("spike_recorder", {"time_in_steps": True})
    meter = nest.Create(
        "multimeter", {"record_from": ["V_m", *case.get("record", [])], "interval": SAMPLE}
    )
    nest.Connect(neuron, recorder)
    nest.Connect(meter, neuron)
    _drive(nest, case, neuron, resolution)
    nest.Simulate(DURATION + resolution)
    wanted = round(DURATION / SAMPLE)
    steps = [int(step) for step in recorder.events["times"] if step * resolution <= DURATION]
    return steps, {
        name: [float(x) for x in meter.events[name][:wanted]]
        for name in ("V_m", *case.get("record", []))
    }


def _drive(nest, case, neuron, resolution):
    if "spikes" in case:
        generator = nest.Create("spike_generator", {"spike_times": case["spikes"]})
        nest.Connect(generator, neuron, syn_spec={"weight": case["synapse"][0], "delay": DELAY})
    # A model without I_e; the generator's first current acts one delay after its start.
    if "current" in case:
        generator = nest.Create("dc_generator", {"amplitude": case["current"], "start": 1.0})
        nest.Connect(generator, neuron, syn_spec={"delay": DELAY})


def document(name, case, runs, provenance):
    """Return a case and its figures as TOML; `runs` maps a resolution to its spikes and traces."""
    units = IZHIKEVICH_UNITS if case["model"] == "izhikevich" else UNITS
    lines = [
        f'title = "{name}: what NEST computes"',
        f'model = "{case["model"]}"',
        "",
        "[provenance]",
    ]
    lines += [f"{key} = {_toml(value)}" for key, value in provenance.items()]
    for table in ("parameters", "start"):
        lines += ["", f"[{table}]"]
        lines += [
            f'{key} = {{ value = {_toml(value)}, unit = "{units.get(key, "1")}" }}'
            for key, value in case[table].items()
        ]
    lines += ["", "[input]", *_input(case)]
    for resolution, (steps, _) in runs.items():
        lines += ["", "[[spikes]]", f"resolution_ms = {resolution!r}", f"steps = {steps}"]
    finest = min(runs)
    for trace, values in runs[finest][1].items():
        lines += [
            "",
            "[[trace]]",
            f'name = "{trace}"',
            f'unit = "{units.get(trace, "mV")}"',
            f"resolution_ms = {finest!r}",
            f"every_ms = {SAMPLE!r}",
        ]
        lines += [
            f"values = [{', '.join(f'{value:.13g}' if value else '0.0' for value in values)}]"
        ]
    return "\n".join(lines) + "\n"


def _input(case):
    if "spikes" in case:
        weight, unit = case["synapse"]
        return [
            f"arrivals_ms = {[time + DELAY for time in case['spikes']]}",
            f'weight = {{ value = {weight!r}, unit = "{unit}" }}',
        ]
    if "current" in case:
        return [f'current = {{ value = {case["current"]!r}, unit = "pA" }}', "onset_ms = 2.0"]
    return ['constant = "I_e, from 0 ms"']


def _toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else repr(value)


def main():
    import nest

    nest.verbosity = nest.VerbosityLevel.ERROR
    for name, case in CASES.items():
        full = {"model": name, **case}
        provenance = {
            "simulator": f"NEST {nest.__version__}",
            "package": f"nest-simulator {version('nest-simulator')}",
            "python": platform.python_version(),
        }
        provenance |= {
            "machine": platform.machine(),
            "command": "make nest",
            "duration_ms": DURATION,
            "method": METHODS[full["model"]],
        }
        runs = {resolution: simulate(nest, full, resolution) for resolution in RESOLUTIONS}
        text = document(name, full, runs, provenance)
        (SHELF / f"{name}.toml").write_text(text, "utf-8")
        print(
            name,
            len(text),
            {resolution: len(steps) for resolution, (steps, _) in runs.items()},
            runs[min(runs)][0][:3],
            flush=True,
        )


if __name__ == "__main__":
    main()
