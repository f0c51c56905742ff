"""Write neurons for a reader: one as text (`describe`), all as Markdown tables.

Every word comes from the cards.
"""

import textwrap
from collections.abc import Sequence

from .equations import SOLUTIONS
from .frameworks import FrameworkLayer
from .language import Statement
from .names import INPUT_KINDS
from .neuron import NeuronModel
from .read import notes
from .traits import OPTIONS


def describe(model: NeuronModel, width: int = 80) -> str:
    """Return equations, discrete step, parameters with units and references of a neuron as text.

    Parameters
    ----------
    width : int
        Columns of the text.
    """
    discrete = model.discrete
    lines = [*textwrap.wrap(f"{model.name}: {model.title}", width), ""]
    # A framework's layer says first how it steps.
    if model.convention:
        lines += [
            "Convention",
            *(
                line
                for trait, option in model.convention.items()
                for line in _entry(trait, f"{option}: {OPTIONS[trait][option]}", width)
            ),
            "",
        ]
    if continuous := model.continuous:
        lines += [
            "Continuous",
            *_entry("equations", continuous.equations.replace("\n", "; "), width),
        ]
        for key in ("threshold", "reset", "refractory", "method"):
            lines += (
                _entry(key, getattr(continuous, key), width) if getattr(continuous, key) else []
            )
        lines += [""]
    lines += [
        # The declared step follows, statement by statement, and what is said of its output.
        "Discrete, one step of dt, in this order",
        *_entry("integrate", _written(discrete.integrate), width),
    ]
    if discrete.modulate:
        lines += _entry("modulate", _written(discrete.modulate), width)
    lines += (
        _entry("fire", _written((discrete.fire,)), width)
        if discrete.fire
        else _entry("readout", discrete.readout, width)
    )
    over = (
        f"{discrete.over_steps} of what has arrived over the steps so far; what it is after "
        "the last step decides"
    )
    lines += _entry("over_steps", over, width) if discrete.over_steps else []
    lines += _entry("reset", _written(discrete.reset), width) if discrete.reset else []
    lines += (
        _entry(
            "payload", f"{discrete.payload}: what a spike carries to the layers behind it", width
        )
        if discrete.payload
        else []
    )
    lines += (
        _entry(
            "streams",
            f"{', '.join(discrete.streams)}: events beside the spikes, 0 or 1 in each step",
            width,
        )
        if discrete.streams
        else []
    )
    # Last comes what the step is built on: input, kernels, states, constants, notes.
    lines += _entry("solution", f"{discrete.solution}: {SOLUTIONS[discrete.solution]}", width)
    reached = ", ".join(
        f"{name}{_unit(model.input_unit)} reaches {state}" for name, state in model.inputs.items()
    )
    lines += [
        "",
        "Input",
        *_entry(model.input_kind, f"{INPUT_KINDS[model.input_kind]}; {reached}", width),
    ]
    for name, kernel in model.kernels.items():
        lines += _entry(
            name, f"{kernel.text} over {kernel.of}, cut where {kernel.cut}: {kernel.meaning}", width
        )
    lines += ["", "State"]
    for name, state in model.state.items():
        only = f", in the {state.only} part only" if state.only else ""
        lines += _entry(
            name,
            (
                "starts at "
                f"{f'{state.at}, ' if state.at else ''}{state.start:g}{_unit(state.unit)}{only}: "
                f"{state.meaning}"
            ),
            width,
        )
    lines += ["", "Parameters"] if model.parameters else []
    for name, parameter in model.parameters.items():
        bounds = f" ({parameter.bounds})" if parameter.bounds else ""
        lines += _entry(
            name, f"{parameter.value:g}{_unit(parameter.unit)}{bounds}: {parameter.meaning}", width
        )
    lines += ["", "Derived, once, in double precision"] if model.derived else []
    for name, derived in model.derived.items():
        lines += _entry(name, f"{derived.text}{_unit(derived.unit)}: {derived.meaning}", width)
    if found := notes(model):
        lines += ["", "Notes", *(line for note in found for line in _entry("", note, width))]
    lines += [
        "",
        "References",
        *(line for reference in model.references for line in _entry("", reference, width)),
    ]
    return "\n".join(lines)


def _written(statements: tuple[Statement, ...]) -> str:
    return "; ".join(f"{statement.target} = {statement.text}" for statement in statements)


def _unit(unit: str) -> str:
    return "" if unit == "1" else f" {unit}"


def _entry(name: str, text: str, width: int) -> list[str]:
    start = f"  {name:<12} " if name else "  "
    return textwrap.wrap(text, width, initial_indent=start, subsequent_indent=" " * len(start))


_HEAD = ("model", "family", "states", "parameters", "input", "reset", "discrete step", "reference")


def models_table(models: Sequence[NeuronModel]) -> str:
    """Return equations/README.md: one Markdown table of all models, by family, one row a card."""
    families = list(dict.fromkeys(model.family for model in models))
    rows = [
        _row(model)
        for model in sorted(models, key=lambda model: (families.index(model.family), model.name))
    ]
    lines = [
        "# The neurons",
        "",
        (
            "Made by `refsim models --markdown` from the cards in this folder; change a card, not "
            "this page."
        ),
        "",
    ]
    lines += [_line(_HEAD), _line(["---"] * len(_HEAD)), *(_line(row) for row in rows)]
    return "\n".join(lines)


_FRAMEWORK_HEAD = (
    "card",
    "layers",
    "synapse",
    "leak",
    "input",
    "fires",
    "reset",
    "moment",
    "options of the framework",
    "reference",
)


def frameworks_table(models: Sequence[NeuronModel], layers: Sequence[FrameworkLayer]) -> str:
    """Return equations/frameworks/README.md: the conventions of all layers the bridge reads."""
    cards = {layer.card: layer for layer in layers}
    lines = [
        "# The layers of the frameworks",
        "",
        (
            "Made by `refsim models --frameworks --markdown` from the cards in this folder; "
            "change a "
            "card, not this page. `refsim show NAME` says what each word means."
        ),
        "`python -m probes` holds each row against the framework itself.",
        "",
        _line(_FRAMEWORK_HEAD),
        _line(["---"] * len(_FRAMEWORK_HEAD)),
    ]
    return "\n".join(
        [
            *lines,
            *(
                _line(_framework_row(model, cards[model.name]))
                for model in models
                if model.name in cards
            ),
        ]
    )


def _framework_row(model: NeuronModel, layer: FrameworkLayer) -> list[str]:
    says = model.convention
    # A card with a convention shows its traits, any other card its statements.
    traits = (
        [
            says["synapse"],
            says["leak"],
            says["input"],
            says["spikes"]
            if says["spikes"].startswith("none")
            else f"{says['spikes']}, where v {says['comparison']} v_th",
            says["reset"],
            says["moment"],
        ]
        if says
        else [
            "in statements",
            "",
            "",
            f"`{model.discrete.fire.text}`" if model.discrete.fire else "never",
            f"`{_written(model.discrete.reset)}`" if model.discrete.reset else "none",
            "",
        ]
    )
    # Options that change a trait come first, then those that are refused.
    options = [
        ", ".join(f"{name} = {_option_text(value)}" for name, value in when.items())
        + ": "
        + ", ".join(f"{trait} {option}" for trait, option in then.items())
        for when, then in layer.variants
    ]
    options += [
        ", ".join(f"{name} = {_option_text(value)}" for name, value in when.items()) + ": refused"
        for when, _ in layer.refusals
    ]
    return [
        f"[`{model.name}`]({model.name}.toml)",
        ", ".join(layer.layers),
        *traits,
        "; ".join(options),
        model.references[0],
    ]


def _option_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _row(model: NeuronModel) -> list[str]:
    reached = ", ".join(f"`{state}`" for state in model.inputs.values())
    reset = (
        model.continuous.reset if model.continuous is not None else _written(model.discrete.reset)
    )
    return [
        f"[`{model.name}`]({model.name}.toml) {model.title}",
        model.family,
        ", ".join(f"`{name}`" for name in model.state),
        ", ".join(
            f"`{name}` = {entry.value:g}{_unit(entry.unit)}"
            for name, entry in model.parameters.items()
        ),
        f"{model.input_kind} to {reached}",
        f"`{reset}`" if reset else "none",
        model.discrete.solution,
        model.references[0],
    ]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"
