"""Responses of one neuron: to an input, to one input spike, and with three resets.

First comes `Ode`, the right-hand side of a card as functions of arrays, read from the card's own
text. `trace` records every state, the threshold, the input and the spikes over time. `psp` records
how every state moves after one input spike, less what it would have done without. `resets` runs the
card with a hard, a soft and no reset on the same input; the variants are the card with another
text of the reset.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..cards.language import Statement, evaluate, names_in, parse_statements
from ..cards.names import STEP
from ..cards.neuron import NeuronModel
from ..cards.parts import Parameter
from ..cards.questions import ode_part, split_input
from ..core.arrays import Floats
from ..core.errors import RefsimError
from ..core.units import to_si
from ..engines.discrete import FUNCTIONS
from ..networks.drive import Drive
from ..networks.network import Network
from ..networks.recording import Recording
from .inputs import Stimulus, constant, noise
from .one_neuron import Setting, chosen, fine, rheobase, smallest, states_of, times_of, trains
from .result import Column, Fact, Result, readable

Number = float | Floats  # one number, or one for each point


@dataclass(frozen=True, eq=False)
class Ode:
    """A card's equations, ready to be evaluated.

    Attributes
    ----------
    model : NeuronModel
    slopes : dict of str to expression
        The right-hand side of each state.
    named : dict of str to expression
        Subexpressions, and what [discrete] modulate gives a name.
    """

    model: NeuronModel
    slopes: Mapping[str, ast.expr]
    named: Mapping[str, ast.expr]

    @classmethod
    def of(cls, model: NeuronModel) -> "Ode":
        """Read the equations of a card."""
        odes = ode_part(model).odes
        # What [discrete] modulate names, the threshold of the ODE may read too.
        modulated = {statement.target: statement.tree for statement in model.discrete.modulate}
        return cls(model, odes.slopes, {**odes.subexpressions, **modulated})

    def scope(
        self, states: Mapping[str, Number], current: Number, step: float
    ) -> dict[str, Number]:
        """Return every name of the card with its value.

        Names are the states, constants, inputs and subexpressions.
        """
        values: dict[str, Number] = {
            **self.model.constants(step),
            **states,
            **split_input(self.model, current),
            STEP: step,
        }
        # A subexpression is computed once all names that it reads are known.
        waiting = dict(self.named)
        while waiting:
            ready = [name for name, tree in waiting.items() if _known(tree, values)]
            if not ready:
                raise RefsimError(
                    f"card '{self.model.name}': {', '.join(waiting)} cannot be computed from the "
                    "states alone."
                )
            for name in ready:
                values[name] = evaluate(waiting.pop(name), values, FUNCTIONS)
        return values

    def slope(
        self, states: Mapping[str, Number], current: Number, step: float
    ) -> dict[str, Number]:
        """Return d/dt of each state in SI units a second, of the shape of the states."""
        values = self.scope(states, current, step)
        return {name: evaluate(tree, values, FUNCTIONS) for name, tree in self.slopes.items()}

    def threshold(self, states: Mapping[str, Number], current: Number, step: float) -> Number:
        """Return what the membrane is compared with, which may move with the states."""
        sides = ode_part(self.model).tests
        if not sides:
            raise RefsimError(f"card '{self.model.name}': has no threshold.")
        found: Number = evaluate(sides[0][2], self.scope(states, current, step), FUNCTIONS)
        return found


def _known(tree: ast.expr, values: Mapping[str, object]) -> bool:
    return names_in(tree) <= set(values)


def trace(
    model: NeuronModel,
    stimulus: Stimulus | None = None,
    *,
    duration: float | str = "100 ms",
    setting: Setting | None = None,
) -> Result:
    """Record one run.

    Parameters
    ----------
    model : NeuronModel
    stimulus : Stimulus, optional
        From `constant`, `step`, `noise` or `train`; by default a constant 1.5 times the rheobase.
    duration : float or str
    setting : Setting, optional
        ``Setting(mode="grid")`` runs the declared step in place of the ODE.

    Returns
    -------
    Result
        Columns time (end of each sub-step), input, seen (what the threshold saw), threshold, spike,
        and every state of the part that runs after the step.
    """
    setting = chosen(model, setting)
    n_steps = setting.steps(duration)
    # An input above threshold, so that there is something to see.
    if stimulus is None:
        stimulus = constant(1.5 * rheobase(model, setting, n_steps))
    # One run, and everything that it records.
    run = record_states(model, stimulus, setting, n_steps)
    (times,) = trains(run)
    columns = columns_of(run)
    facts = {
        "spikes": Fact(float(len(times)), "1", "within the duration"),
        "first_spike": Fact(
            float(times[0]) if len(times) else float("nan"),
            "second",
            "end of the sub-step that crosses",
        ),
    }
    return Result(
        "trace",
        model,
        {"trace": columns},
        facts,
        {"input": stimulus.words(model), **setting.said()},
    )


def record_states(
    model: NeuronModel, stimulus: Stimulus, setting: Setting, n_steps: int
) -> Recording:
    """Run one neuron and keep all of its states."""
    if not isinstance(stimulus, Stimulus):
        raise RefsimError(
            'the input: needs a stimulus, such as experiments.constant("1 nA"), but '
            f"{stimulus!r} was given."
        )
    weight, drive = stimulus.make(model, setting, n_steps)
    network = Network.dense([([[weight]], None, model)], setting.step)
    return setting.engine.run(network, drive, ("before_reset", *states_of(model, setting)))


def columns_of(run: Recording) -> Mapping[str, Column]:
    """Return the columns of a run of one neuron."""
    model, traces = run.network.layers[0].model, run.traces[0]
    states = {name: traces[name][0, :, 0] for name in model.state if name in traces}
    unit = model.state[model.membrane_in(fine=model.membrane not in states)].unit
    # The input in the card's unit, repeated for each sub-step.
    weight = float(run.network.layers[0].weight[0, 0])
    given = np.repeat([frame[0, 0] * weight for frame in run.drive.frames()], run.refine)
    return {
        "time": Column(times_of(run), "second", "end of the sub-step"),
        "input": Column(given, model.input_unit, "input of the step"),
        "seen": Column(
            traces["before_reset"][0, :, 0], unit, "what the threshold saw, before the reset"
        ),
        "threshold": Column(
            threshold_over(model, states, given, run.network.dt),
            unit,
            "what it was compared with, after the step",
        ),
        "spike": Column(
            run.spikes[0].dense()[0, :, 0].astype(np.float64), "1", "1 where the neuron fires"
        ),
        **{
            name: Column(values, model.state[name].unit, model.state[name].meaning)
            for name, values in states.items()
        },
    }


def threshold_over(
    model: NeuronModel, states: Mapping[str, Number], given: Floats, step: float
) -> Floats:
    """Return the threshold at each sub-step.

    It is NaN where the states after the step do not say it.
    """
    try:
        return np.broadcast_to(Ode.of(model).threshold(states, given, step), given.shape).astype(
            np.float64
        )
    except (RefsimError, KeyError):
        return np.full(given.shape, np.nan)


_BEFORE = 2  # steps before the spike, so that the picture has a base line


def psp(
    model: NeuronModel,
    weight: float | str | None = None,
    *,
    duration: float | str = "100 ms",
    setting: Setting | None = None,
) -> Result:
    """Record the response to one spike.

    Parameters
    ----------
    model : NeuronModel
    weight : float or str, optional
        Of the spike, in the unit of the card's input; by default half of what makes the neuron
        fire.
    duration : float or str
        After the spike.

    Returns
    -------
    Result
        Columns time (from the arrival of the spike) and, a state, its response; facts peak, time to
        it, width, area.

    Raises
    ------
    RefsimError
        Where the neuron fires, so that there is no response below threshold.
    """
    setting = fine(model, setting)
    n_steps, unit = _BEFORE + setting.steps(duration), model.input_unit
    # By default half of what makes the neuron fire.
    chosen = (
        _half_critical(model, setting, n_steps) if weight is None else to_si(weight, unit, "weight")
    )
    # Two neurons at once: one gets the spike, the other none.
    run = _run(model, np.array([chosen, 0.0]), setting, n_steps, tuple(model.solved))
    # A spike of the neuron would hide the response.
    if len(run.spikes[0]):
        raise RefsimError(
            f"psp: the neuron '{model.name}' fires at a weight of {readable(chosen, unit)}; give "
            "a smaller one."
        )
    # an impulse jumps at the end of its step, a pulse begins with it
    time = times_of(run) - (_BEFORE + (1 if model.input_kind == "impulse" else 0)) * setting.step
    columns = {"time": Column(time, "second", "from the arrival of the spike")}
    # The response is the difference of the two.
    for name, state in model.solved.items():
        trace = run.traces[0][name][0]
        columns[name] = Column(
            trace[:, 0] - trace[:, 1], state.unit, f"response of the {state.meaning}"
        )
    response = columns[model.membrane_in(fine=True)]
    facts = _shape(time, response.values, response.unit)
    return Result(
        "psp",
        model,
        {"response": columns},
        facts,
        {"weight": readable(chosen, unit) or "0", **setting.said()},
    )


def _run(
    model: NeuronModel, weights: Floats, setting: Setting, n_steps: int, record: tuple[str, ...]
) -> Recording:
    drive = Drive.events([0], [_BEFORE], [0], (1, n_steps, 1), setting.step)
    return setting.engine.run(
        Network.dense([(weights[:, None], None, model)], setting.step), drive, record
    )


def _half_critical(model: NeuronModel, setting: Setting, n_steps: int) -> float:
    def fires(weights: Floats):  # type: ignore[no-untyped-def]
        return (
            _run(model, weights.ravel(), setting, n_steps, ())
            .spikes[0]
            .counts()
            .reshape(weights.shape)
            > 0
        )

    found = float(smallest(fires, 1)[0])
    if not found > 0:
        raise RefsimError(
            f"psp: no single spike makes '{model.name}' fire, or it fires without one; give its "
            "weight."
        )
    return 0.5 * found


def _shape(time: Floats, response: Floats, unit: str) -> dict[str, Fact]:
    """Return peak, time to peak, width at half height and area of a response."""
    # The largest deflection, of either sign.
    at = int(np.argmax(np.abs(response)))
    # The two outermost points at half height.
    above = time[np.abs(response) >= 0.5 * abs(response[at])]
    sub_step = float(time[1] - time[0])
    area = float(response.sum() * sub_step)
    mean_time = area / float(response[at]) if response[at] else float("nan")
    return {
        "peak": Fact(float(response[at]), unit, "largest deflection of the membrane"),
        "time_to_peak": Fact(float(time[at]), "second", "from the arrival of the spike"),
        "half_width": Fact(
            float(above[-1] - above[0] + sub_step),
            "second",
            "between the two half heights, to a sub-step",
        ),
        "area_over_peak": Fact(mean_time, "second", "area under the response over its peak"),
    }


RESETS = ("hard", "soft", "none")


def resets(
    model: NeuronModel,
    stimulus: Stimulus | None = None,
    *,
    duration: float | str = "60 ms",
    setting: Setting | None = None,
) -> Result:
    """Run a neuron with each of three resets on the same input.

    Parameters
    ----------
    model : NeuronModel
    stimulus : Stimulus, optional
        By default noise about twice the rheobase.
    duration : float or str
    setting : Setting, optional
        By default the declared step, where the rest above threshold that a hard reset loses is
        largest.

    Returns
    -------
    Result
        Columns time, input and, a reset, the membrane after it (``v_hard``) and the spikes
        (``spike_hard``).
    """
    setting = chosen(model, setting, "grid")
    n_steps = setting.steps(duration)
    # Noise that passes the threshold by different amounts.
    if stimulus is None:
        level = rheobase(model, setting, n_steps)
        stimulus = noise(2 * level, level, seed=1)
    name, unit = model.membrane, model.state[model.membrane].unit
    columns: dict[str, Column] = {}
    facts: dict[str, Fact] = {}
    # The same input for each reset.
    for kind in RESETS:
        run = record_states(with_reset(model, kind), stimulus, setting, n_steps)
        (times,) = trains(run)
        # The time is the same in all runs.
        if not columns:
            columns["time"] = Column(
                (np.arange(run.spikes[0].n_steps) + 1) * run.spikes[0].dt,
                "second",
                "end of the step",
            )
        columns[f"{name}_{kind}"] = Column(
            run.traces[0][name][0, :, 0], unit, f"membrane after a step, reset {kind}"
        )
        columns[f"spike_{kind}"] = Column(
            run.spikes[0].dense()[0, :, 0].astype(np.float64), "1", f"spikes, reset {kind}"
        )
        facts[f"spikes_{kind}"] = Fact(float(len(times)), "1", _words(kind))
    return Result(
        "resets",
        model,
        {"runs": columns},
        facts,
        {"input": stimulus.words(model), **setting.said()},
    )


def with_reset(model: NeuronModel, kind: str) -> NeuronModel:
    """Return the card with another reset of its membrane; what a spike does to other states stays.

    ``hard`` sets the membrane to the card's reset value, or its start where the card has none;
    ``soft`` takes away the distance from there to the threshold, or what the card's own soft reset
    takes; ``none`` leaves the membrane alone.

    Raises
    ------
    RefsimError
        For another kind, or a neuron that has no threshold.
    """
    if kind not in RESETS:
        raise RefsimError(f"reset must be one of {', '.join(RESETS)}, but is {kind!r}.")
    if model.continuous is None or not model.continuous.tests:
        raise RefsimError(
            f"card '{model.name}': the variants are made from the threshold and reset of its "
            "ODE, and it has none."
        )
    # The card's own reset says what a spike does to other states.
    membrane, own = model.membrane, _statements(model.continuous.reset)
    # The new text of the membrane, for the ODE and for the step.
    ode, step = _texts(model, next((row for row in own if row.target == membrane), None), kind)
    others = [f"{row.target} = {row.text}" for row in own if row.target != membrane]
    kept = tuple(row for row in model.discrete.reset if row.target != membrane)
    # A card that sets no membrane is reset to its start.
    state = model.state[membrane]
    start = {
        f"{membrane}_start": Parameter(
            state.start, state.unit, "where a card that sets no membrane is reset to"
        )
    }
    return replace(
        model,
        parameters={**model.parameters, **start},
        continuous=replace(model.continuous, reset="\n".join([f"{membrane} = {ode}", *others])),
        discrete=replace(model.discrete, reset=(*_statements(f"{membrane} = {step}"), *kept)),
    )


def _statements(text: str) -> tuple[Statement, ...]:
    return parse_statements(text, "reset") if text.strip() else ()


def _texts(model: NeuronModel, own: Statement | None, kind: str) -> tuple[str, str]:
    """Return the membrane's new right-hand sides: at a spike of the ODE, and in every step."""
    membrane = model.membrane
    soft_card = own is not None and membrane in own.names
    base = f"({own.text})" if own is not None and not soft_card else f"{membrane}_start"
    if kind == "none":
        return membrane, membrane
    # In the step z is 1 at a spike and 0 elsewhere.
    if kind == "hard":
        return base, f"{membrane}*(1 - z) + {base}*z"
    if soft_card:
        assert own is not None
        return own.text, f"{membrane}*(1 - z) + ({own.text})*z"
    # A soft reset takes the distance from there to the threshold.
    taken = f"(({ast.unparse(ode_part(model).tests[0][2])}) - {base})"
    return f"{membrane} - {taken}", f"{membrane} - z*{taken}"


def _words(kind: str) -> str:
    return {
        "hard": "the membrane is set",
        "soft": "an amount is taken off it",
        "none": "it is left alone",
    }[kind]
