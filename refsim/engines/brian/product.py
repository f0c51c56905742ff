"""The layer product as C++ text: what arrives from each source, and how it is summed in grid and in fine mode."""

from dataclasses import dataclass
from pathlib import Path

from ...connection import DRIVE
from ...network import Layer

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Part:
    """One connection of a layer in C++: a namespace with `arrive` or `add`, and where its rows of the weight begin.

    Attributes
    ----------
    name : str
    kind : {"events", "frames", "spikes"}
        Spikes of the drive, currents of the drive, spikes of a layer.
    first, width : int
        Its columns of the layer's weight.
    source : int
        Number of a layer, or ``DRIVE``.
    delayed : bool
    """

    name: str
    kind: str
    first: int
    width: int
    source: int
    delayed: bool


def parts_of(layer: Layer, source: str) -> list[Part]:
    """Return the connections of a layer; `source` says what the drive is made of, ``"events"`` or ``"current"``."""
    of_drive = {"events": "events", "current": "frames"}[source]
    found, first = [], 0
    for index, wired in enumerate(layer.sources):
        kind = of_drive if wired.layer == DRIVE else "spikes"
        found.append(Part(f"c{index}", kind, first, wired.width, wired.layer, wired.delayed))
        first += wired.width
    return found


def fill(template: str, unit: str, real: str, batch: int, **names: object) -> str:
    """Fill a C++ template, with what all templates share in front of it."""
    return _filled((_HERE / "shared.cpp").read_text("utf-8") + (_HERE / template).read_text("utf-8"), UNIT=unit, REAL=real, BATCH=batch, **names)


def _filled(text: str, **names: object) -> str:
    for name, value in names.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def product_code(unit: str, real: str, batch: int, index: int, layer: Layer, mode: str, source: str) -> str:
    """Return the C++ text of one layer's product.

    Parameters
    ----------
    index : int
        Number of the layer.
    mode : {"grid", "pulse", "impulse"}
        The declared step, or fine mode for either kind of input.
    source : {"events", "current"}
        What the drive is made of.
    """
    parts = parts_of(layer, source)
    connections = "\n".join(_connection(part, f"{unit}_product", index) for part in parts)
    jump = "0" if mode == "grid" else f"brian::_array_{unit}_jump"
    return fill("product.cpp", f"{unit}_product", real, batch, PRE=layer.n_pre, POST=layer.n_post, CONNECTIONS=connections,
                CURRENT=f"brian::_array_{unit}_I", JUMP=jump, BODY=_BODY[mode](parts))  # fmt: skip


def _connection(part: Part, unit: str, index: int) -> str:
    text = (_HERE / f"{part.kind}.cpp").read_text("utf-8")
    later = (_HERE / "later.cpp").read_text("utf-8") if part.delayed else ""
    now = {"events": "later(list, step, step, 1)", "spikes": "later(list, in_chunk - AGE, in_chunk, plan->refine)", "frames": ""}[part.kind]
    return _filled(text, LATER=later, CONNECTION=part.name, PRE=part.width, FIRST=part.first, UNIT=unit, NOW=now if part.delayed else "list",
                   AGE=int(part.source >= index), SPIKES=f"brian::_array_L{part.source}__spikespace", WAIT="wait_of_inputs()[k]" if part.delayed else "0")  # fmt: skip


def _of_drive(parts: list[Part]) -> list[Part]:
    return [part for part in parts if part.source == DRIVE]


def _of_layers(parts: list[Part]) -> list[Part]:
    return [part for part in parts if part.source != DRIVE]


def _arrivals(parts: list[Part], when: str = "true") -> str:
    """Take what arrives now, a list a connection; an empty one where the condition does not hold."""
    lines = []
    for part in parts:
        if part.kind != "frames":
            call = f"{part.name}::arrive(plan, {'chunk, step' if part.kind == 'events' else 'in_chunk'})"
            lines.append(f"    List {part.name}_list = {{0, 0}}; if ({when}) {part.name}_list = {call};")
    return "\n".join(lines)


def _rows(parts: list[Part], out: str = "out") -> str:
    """Add what arrives to the sum of one sample."""
    lines = []
    for part in parts:
        rows = f"weight + {part.first}*POST"
        if part.kind == "frames":
            lines.append(f"        {part.name}::add({out}, plan, chunk*BATCH + sample, step, {rows});")
        else:
            lines.append(f"        add_spikes<1, {part.name}::PRE>({out}, sample, {part.name}_list, {rows});")
    return "\n".join(lines)


def _set(target: str, parts: list[Part], *, bias: str, when: str = "true") -> str:
    """Set a sum for all samples: zero, then each connection in order, the bias last."""
    return f"""{_arrivals(parts, when)}
    for (int64_t sample = 0; sample < BATCH; sample++) {{
        real* const out = {target} + sample*POST;
        clear(out);
{_rows(parts)}
        if (biased && ({bias})) add_bias(out, bias);
    }}"""


def _grid(parts: list[Part]) -> str:
    steady = all(part.kind == "frames" and not part.delayed for part in parts)
    return f"    if ({'plan->frames > 1 || in_chunk == 0' if steady else 'true'}) {{\n{_set('current', parts, bias='true')}\n    }}"


def _pulse(parts: list[Part]) -> str:
    """Give each spike a current of one step: what the drive brings is set once a step, the spikes of layers come and go in sub-steps."""
    drive, layers = _of_drive(parts), _of_layers(parts)
    if not layers:
        return f"    if (sub == 0) {{\n{_set('current', drive, bias='true')}\n    }}"
    # `held` is what does not come from layers; `sum` what does, unless the two can be one
    mixed = bool(drive)
    held = f"if (sub == 0) {{\n{_set('held.data()', drive, bias='true')}\n    }}" if mixed else ""
    start = "clear(to + sample*POST);" + ("" if mixed else " add_bias(to + sample*POST, bias);")
    total = "    for (int64_t m = 0; m < BATCH*POST; m++) current[m] = held[m] + sum[m];" if mixed else ""
    return f"""    static std::vector<real> held({"BATCH*POST" if mixed else "0"}), sum({"BATCH*POST" if mixed else "0"});
    real* const to = {"sum.data()" if mixed else "current"};
    static int64_t active = 0;  // spikes whose current flows
    {held}
    bool fresh = in_chunk == 0;
    if (fresh) active = 0;
{"".join(_leave(part) for part in layers)}
    if (fresh || active == 0) for (int64_t sample = 0; sample < BATCH; sample++) {{ {start} }}
{"".join(_come(part) for part in layers)}
{total}"""


def _leave(part: Part) -> str:
    """End the currents of the spikes that came one step ago."""
    return f"""
    static std::vector<std::vector<int32_t> > {part.name}_ring(K);
    if (in_chunk == 0) for (int64_t r = 0; r < K; r++) {part.name}_ring[r].clear();
    std::vector<int32_t>& {part.name}_slot = {part.name}_ring[in_chunk % K];
    if (!{part.name}_slot.empty()) {{
        active -= {part.name}_slot.size();
        List gone = {{{part.name}_slot.data(), {part.name}_slot.data() + {part.name}_slot.size()}};
        if (active) for (int64_t sample = 0; sample < BATCH; sample++) add_spikes<-1, {part.name}::PRE>(to + sample*POST, sample, gone, weight + {part.first}*POST);
    }}"""


def _come(part: Part) -> str:
    return f"""
{_arrivals([part])}
    {part.name}_slot.assign({part.name}_list.at, {part.name}_list.end);
    active += {part.name}_slot.size();
    for (int64_t sample = 0; sample < BATCH; sample++) {{
        real* const out = to + sample*POST;
{_rows([part])}
    }}"""


def _impulse(parts: list[Part]) -> str:
    """Let spikes jump: those of layers at once, those of the drive at the end of their step; analog input flows or jumps, as the plan says."""
    frames = [part for part in parts if part.kind == "frames"]
    spiking = [part for part in parts if part.kind != "frames"]
    drive, layers = _of_drive(spiking), _of_layers(spiking)
    often = "sub == 0" if frames else "in_chunk == 0"
    analog = f"        if (plan->analog_impulse && sub == K - 1) {{\n{_rows(frames)}\n        }}\n" if frames else ""
    return f"""    if (!plan->analog_impulse && ({often})) {{
{_set("current", frames, bias="true")}
    }}
{_arrivals(drive, "sub == K - 1")}
{_arrivals(layers)}
    for (int64_t sample = 0; sample < BATCH; sample++) {{
        real* const out = jump + sample*POST;
        clear(out);
{_rows(spiking)}
{analog}        if (biased && plan->analog_impulse && sub == K - 1) add_bias(out, bias);
    }}"""


_BODY = {"grid": _grid, "pulse": _pulse, "impulse": _impulse}
