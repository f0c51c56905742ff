"""The layer product as C++ text: what arrives from each source, and how it is summed.

First the connections of a layer and the templates, then the text of one product. What it does in a
(sub-)step depends on the mode: the declared step, or in fine mode a current of one step a spike,
or an impulse.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...cards.names import INPUT
from ...networks.connection import DRIVE
from ...networks.network import Layer

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class ConnectionCode:
    """One connection of a layer in C++, a namespace with a function ``arrive`` or ``add``.

    Attributes
    ----------
    name : str
    kind : {"events", "frames", "spikes", "payload"}
        Spikes of the drive, currents of the drive, spikes of a layer, or what the spikes of a
        layer carry.
    first, width : int
        Its columns of the layer's weight: the first one, and how many.
    source : int
        Number of a layer, or ``DRIVE``.
    delayed : bool
    payload : str
        State that its spikes carry, ``""`` for none.
    """

    name: str
    kind: str
    first: int
    width: int
    source: int
    delayed: bool
    payload: str


def connections_of(layer: Layer, source: str, payloads: Sequence[str]) -> list[ConnectionCode]:
    """Return the connections of a layer.

    Parameters
    ----------
    source : {"events", "current"}
        What the drive is made of.
    payloads : sequence of str, one a layer
        The state that the spikes of each layer carry, ``""`` where they are 0 and 1.
    """
    of_drive = {"events": "events", "current": "frames"}[source]
    found, first = [], 0
    for index, wired in enumerate(layer.sources):
        payload = "" if wired.layer == DRIVE else payloads[wired.layer]
        kind = of_drive if wired.layer == DRIVE else "payload" if payload else "spikes"
        found.append(
            ConnectionCode(
                f"c{index}", kind, first, wired.width, wired.layer, wired.delayed, payload
            )
        )
        first += wired.width
    return found


def fill_template(template: str, unit: str, real: str, batch: int, **names: object) -> str:
    """Fill the names of a C++ template, with the text that all templates share in front of it."""
    return _filled(
        (_HERE / "shared.cpp").read_text("utf-8") + (_HERE / template).read_text("utf-8"),
        UNIT=unit,
        REAL=real,
        BATCH=batch,
        **names,
    )


def _filled(text: str, **names: object) -> str:
    for name, value in names.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def product_of(given: str) -> str:
    """Return the name of the product that sums an input.

    It is ``product`` for ``I``, and ``product_excitatory`` for ``I_excitatory``.
    """
    return "product" + given.removeprefix(INPUT)


def product_code(
    group: str,
    given: str,
    real: str,
    batch: int,
    index: int,
    layer: Layer,
    mode: str,
    parts: list[ConnectionCode],
) -> str:
    """Return the C++ text of one layer's product.

    Parameters
    ----------
    group : str
        The layer's neurons in Brian2, ``L0``.
    given : str
        The input that it sums for.
    index : int
        Number of the layer.
    mode : {"grid", "pulse", "impulse"}
        The declared step, or fine mode for either kind of input.
    parts : list of ConnectionCode
        Its connections.
    real : str
        The C++ type of a state.
    batch : int
        Samples taken at once.
    """
    unit = f"{group}_{product_of(given)}"
    connections = "\n".join(_connection(part, unit, index) for part in parts)
    jump = "0" if mode == "grid" else f"brian::_array_{group}_jump{given.removeprefix(INPUT)}"
    return fill_template(
        "product.cpp",
        unit,
        real,
        batch,
        PRE=layer.n_pre,
        POST=layer.n_post,
        CONNECTIONS=connections,
        CURRENT=f"brian::_array_{group}_{given}",
        JUMP=jump,
        BODY=_BODY[mode](parts),
    )


def _connection(part: ConnectionCode, unit: str, index: int) -> str:
    """Return the namespace of one connection, filled from the template of its kind."""
    text = (_HERE / f"{part.kind}.cpp").read_text("utf-8")
    later = (_HERE / "later.cpp").read_text("utf-8") if part.delayed else ""
    # What arrives now, where a delay puts it into a later list first.
    now = {
        "events": "later(list, step, step, 1)",
        "spikes": "later(list, in_chunk - AGE, in_chunk, plan->refine)",
        "frames": "",
        "payload": "",
    }[part.kind]
    return _filled(
        text,
        LATER=later,
        CONNECTION=part.name,
        PRE=part.width,
        FIRST=part.first,
        UNIT=unit,
        NOW=now if part.delayed else "list",
        AGE=int(part.source >= index),
        SPIKES=f"brian::_array_L{part.source}__spikespace",
        WAIT="wait_of_inputs()[k]" if part.delayed else "0",
        PAYLOAD=f"brian::_array_L{part.source}_{part.payload}",
    )


def _of_drive(parts: list[ConnectionCode]) -> list[ConnectionCode]:
    return [part for part in parts if part.source == DRIVE]


def _of_layers(parts: list[ConnectionCode]) -> list[ConnectionCode]:
    return [part for part in parts if part.source != DRIVE]


def _arrivals(parts: list[ConnectionCode], when: str = "true") -> str:
    """Return text that takes what arrives now; where the condition is false nothing arrives."""
    lines = []
    for part in parts:
        if part.kind == "payload":
            lines.append(f"    {part.name}::take(in_chunk);")
        elif part.kind != "frames":
            call = (
                f"{part.name}::arrive(plan, "
                f"{'chunk, step' if part.kind == 'events' else 'in_chunk'})"
            )
            lines.append(
                f"    static Arrivals<{part.name}::PRE> {part.name}_now; {{ List due = {{0, 0}}; "
                f"if ({when}) due = {call}; {part.name}_now.take(due); }}"
            )
    return "\n".join(lines)


def _rows(parts: list[ConnectionCode]) -> str:
    """Return text that adds what arrives to some columns of the sum of one sample."""
    lines = []
    for part in parts:
        rows = f"weight + {part.first}*POST"
        if part.kind == "frames":
            lines.append(
                f"        {part.name}::add(out, first, last, plan, chunk*BATCH + sample, step, "
                f"{rows});"
            )
        elif part.kind == "payload":
            lines.append(f"        {part.name}::add(out, first, last, sample, {rows});")
        else:
            lines.append(f"        {part.name}_now.add<1>(out, first, last, sample, {rows});")
    return "\n".join(lines)


def _set(target: str, parts: list[ConnectionCode], *, bias: str, when: str = "true") -> str:
    """Return text that sums for all samples, from zero, each connection in order, the bias last."""
    return f"""{_arrivals(parts, when)}
    FOR_COLUMNS_AND_SAMPLES({target}) {{
        clear(out, first, last);
{_rows(parts)}
        if (biased && ({bias})) add_bias(out, first, last, bias);
    }}"""


def _grid(parts: list[ConnectionCode]) -> str:
    """Return text that sums in each step, or once for currents that stay as they are."""
    steady = all(part.kind == "frames" and not part.delayed for part in parts)
    return (
        f"    if ({'plan->frames > 1 || in_chunk == 0' if steady else 'true'}) "
        f"{{\n{_set('current', parts, bias='true')}\n    }}"
    )


def _pulse(parts: list[ConnectionCode]) -> str:
    """Return text that gives each spike a current of one step.

    The current from the drive is set once a step; the spikes of layers come and go in sub-steps.
    """
    drive, layers = _of_drive(parts), _of_layers(parts)
    if not layers:
        return f"    if (sub == 0) {{\n{_set('current', drive, bias='true')}\n    }}"
    if not drive:
        return _spike_currents(
            "current", layers, "clear(out, first, last); add_bias(out, first, last, bias);"
        )
    return f"""    static std::vector<real> held(BATCH*POST), flowing(BATCH*POST);
    if (sub == 0) {{
{_set("held.data()", drive, bias="true")}
    }}
{_spike_currents("flowing.data()", layers, "clear(out, first, last);")}
    for (int64_t m = 0; m < BATCH*POST; m++) current[m] = held[m] + flowing[m];"""


def _spike_currents(target: str, layers: list[ConnectionCode], start: str) -> str:
    """Return text that ends the current of each spike after one step, and starts those of new ones.

    Where no current is left the sum starts from zero, so that no rounding error stays in it.
    """
    return f"""    static int64_t flow = 0;  // spikes whose current flows
    if (in_chunk == 0) flow = 0;
{"".join(_end_currents(part, target) for part in layers)}
    if (flow == 0) FOR_COLUMNS_AND_SAMPLES({target}) {{ {start} }}
{"".join(_start_currents(part, target) for part in layers)}"""


def _end_currents(part: ConnectionCode, target: str) -> str:
    """Return text that takes back what came through a connection one step ago."""
    name = part.name
    return f"""
    static std::vector<std::vector<int32_t> > {name}_ring(K);
    static Arrivals<{name}::PRE> {name}_gone;
    if (in_chunk == 0) for (int64_t r = 0; r < K; r++) {name}_ring[r].clear();
    std::vector<int32_t>& {name}_slot = {name}_ring[in_chunk % K];
    flow -= {name}_slot.size();
    if (flow && !{name}_slot.empty()) {{
        const List due = {{{name}_slot.data(), {name}_slot.data() + {name}_slot.size()}};
        {name}_gone.take(due);
        FOR_COLUMNS_AND_SAMPLES({target})
            {name}_gone.add<-1>(out, first, last, sample, weight + {part.first}*POST);
    }}"""


def _start_currents(part: ConnectionCode, target: str) -> str:
    """Return text that adds what comes through a connection now, and keeps it for a step."""
    return f"""
{_arrivals([part])}
    {part.name}_slot.assign({part.name}_now.from[0], {part.name}_now.from[BATCH]);
    flow += {part.name}_slot.size();
    if (!{part.name}_slot.empty()) FOR_COLUMNS_AND_SAMPLES({target}) {{
{_rows([part])}
    }}"""


def _impulse(parts: list[ConnectionCode], arrival: str = "sub == K - 1") -> str:
    """Return text that lets each spike make the membrane jump.

    The spikes of layers act at once, those of the drive at ``arrival``, by default the end of
    their step. Analog input is a current or a jump, as the plan of the run says.
    """
    frames = [part for part in parts if part.kind == "frames"]
    spiking = [part for part in parts if part.kind != "frames"]
    often = "sub == 0" if frames else "in_chunk == 0"
    analog = (
        f"        if (plan->analog_impulse && {arrival}) {{\n{_rows(frames)}\n        }}\n"
        if frames
        else ""
    )
    return f"""    if (!plan->analog_impulse && ({often})) {{
{_set("current", frames, bias="true")}
    }}
{_arrivals(_of_drive(spiking), arrival)}
{_arrivals(_of_layers(spiking))}
    FOR_COLUMNS_AND_SAMPLES(jump) {{
        clear(out, first, last);
{_rows(spiking)}
{analog}        if (biased && plan->analog_impulse && {arrival}) add_bias(out, first, last, bias);
    }}"""


_BODY: dict[str, Callable[[list[ConnectionCode]], str]] = {
    "grid": _grid,
    "pulse": _pulse,
    "impulse": _impulse,
    "early_impulse": partial(_impulse, arrival="sub == 0"),
}
