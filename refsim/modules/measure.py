"""Run code in float64 that asks for float32.

What a module computes is one question, how it rounds another.

Which parameters of a module lead to no layer of neurons: what stands behind the last spikes is run,
and not judged.

How the neurons of a module are wired: measured, not read.

In place of each layer of neurons a stand-in answers with spikes that we choose. What then arrives
at each layer, for one input or neuron at a time, is the weight of the connection, whatever stands
between: convolutions, pooling, batch norm, a residual sum, plain Python. All of it must be linear,
and that is checked.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..core.arrays import Floats, first_wrong
from ..core.errors import RefsimError, counted, first_line, listed
from ..core.memory import check_matrix_room
from ..files.affine import agree, random_inputs, unit_answers
from .call import in_time, out_of_time, tensor_in
from .find import POOLING, fault_of_answers, fault_of_weights, framework_of, neurons_of
from .frameworks.framework import first, with_first
from .run import BATCH, Tried
from .states import marked, parts_inside, put_aside, show, twin


class _Float64(TorchFunctionMode):
    """Takes every wish for float32 as one for float64."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        arguments: Sequence[Any] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        if function is Tensor.float:
            return arguments[0].double()
        wishes = {name: _wide(value) for name, value in (options or {}).items()}
        return function(*map(_wide, arguments), **wishes)


def _wide(value: Any) -> Any:
    return torch.float64 if value is torch.float32 else value


@contextlib.contextmanager
def in_float64() -> Iterator[None]:
    """Make tensors of float64 where code says float32, or says nothing."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Float64():
            yield
    finally:
        torch.set_default_dtype(usual)


@dataclass(frozen=True)
class Reach:
    """The parts of a module whose parameters change nothing that arrives at its neurons, such as a
    Linear behind the last of them.

    Attributes
    ----------
    behind : tuple of str
        Those that change what the module gives; all of them where it gives no tensor, and nobody
        can say.
    nowhere : tuple of str
        The others.
    """

    behind: tuple[str, ...] = ()
    nowhere: tuple[str, ...] = ()


def reach(module: nn.Module, tried: Tried) -> Reach:
    """Return what stands behind the neurons of a module.

    What arrives, and what the module gives, is asked for its gradient; spikes have none here, so
    that only what leads straight there counts.
    """
    copied, arrived = twin(module), list[Tensor]()
    inside = dict(copied.named_modules())
    for part in tried.parts:
        inside[part.name].forward = _listened(inside[part.name].forward, arrived)
    own = tuple(f"{part.name}." if part.name else "" for part in tried.parts)
    asked = {
        name: each.requires_grad_()
        for name, each in copied.named_parameters()
        if each.is_floating_point() and not name.startswith(own)
    }
    if not asked:
        return Reach()
    like = next(iter(nn.Module.parameters(copied)), torch.zeros(1))
    zeros = torch.zeros(BATCH, tried.feeding.width, dtype=like.dtype, device=like.device)
    with torch.enable_grad():
        gave = [
            tensor
            for output in tried.feeding.run(copied, [zeros] * 2)
            if (tensor := tensor_in(output)) is not None
        ]
        to_neurons, to_caller = (_leading(asked, tensors) for tensors in (arrived, gave))
    left = [name for name in asked if name not in to_neurons]
    answering = [name for name in left if name in to_caller or not gave]
    return Reach(_parts(answering), _parts([name for name in left if name not in answering]))


def _leading(asked: Mapping[str, Tensor], tensors: Sequence[Tensor]) -> set[str]:
    """Return the names of parameters that lead to any of some tensors."""
    reached = [tensor.double().sum() for tensor in tensors if tensor.requires_grad]
    if not reached:
        return set()
    found = torch.autograd.grad(
        torch.stack(reached).sum(), list(asked.values()), allow_unused=True, retain_graph=True
    )
    return {name for name, gradient in zip(asked, found, strict=True) if gradient is not None}


def _parts(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.rpartition(".")[0] or name for name in names))


def _listened(called: Callable[..., Any], arrived: list[Tensor]) -> Callable[..., Any]:
    """Return a forward that keeps what it is given, and whose spikes lead no gradient on."""

    def forward(x: Tensor, *states: Any, **more: Any) -> Any:
        arrived.append(x)
        output = called(x.detach(), *states, **more)
        return with_first(output, first(output).detach())

    return forward


INPUT = -1  # as a source: what the module is given


@dataclass(frozen=True)
class Wiring:
    """What arrives at each layer of neurons.

    Attributes
    ----------
    weights : dict of (target, source, delay) to (n_target, n_source)
        Delay 0 within a step, 1 from the step before, more where the module has parts that delay.
    biases : tuple of (n_target,)
    """

    weights: dict[tuple[int, int, int], Floats]
    biases: tuple[Floats, ...]


def measure(module: nn.Module, tried: Tried) -> Wiring:
    """Measure a module.

    Raises
    ------
    RefsimError
        Where what stands between two layers is not linear, changes from step to step, or remembers
        more than it can say.
    """
    bench = Bench(module, tried)
    sizes = sizes_of(tried)
    weights: dict[tuple[int, int, int], Floats] = {}
    with torch.no_grad():
        biases = _biases(bench)
        for source, n in sizes.items():
            _check_room(bench, source, n)
            found = unit_answers(bench.respond(source), n)
            for number, answer in enumerate(found):
                delay, target = divmod(number, len(tried.parts))
                if delay and bench.stays(source):
                    answer = answer - found[number - len(tried.parts)]
                if delay <= bench.latest and answer.any():
                    weights[target, source, delay] = np.ascontiguousarray(answer.T)
        _check(bench, weights, biases, sizes)
        _check_pools(bench, weights, biases, sizes)
    return Wiring(weights, biases)


def sizes_of(tried: Tried) -> dict[int, int]:
    """Return how many numbers each source gives in a step."""
    return {
        INPUT: tried.feeding.width,
        **{index: math.prod(shape) for index, shape in enumerate(tried.shapes)},
    }


def _check_room(bench: "Bench", source: int, n: int) -> None:
    """Refuse a map whose weights, written as a matrix, no memory would hold.

    Random numbers show which there are.
    """
    respond = bench.respond(source)
    for number, (answer, quiet) in enumerate(
        zip(respond(random_inputs(n)), respond(torch.zeros(1, n, dtype=torch.float64)), strict=True)
    ):
        if (answer != quiet).any():
            check_matrix_room(
                answer.shape[1], n, bench.tried.parts[number % len(bench.tried.parts)].where
            )


class Bench:
    """A copy of the module in float64 whose neurons are stand-ins."""

    def __init__(self, module: nn.Module, tried: Tried) -> None:
        self.module, self.tried = twin(module).cpu().double(), tried
        inside = dict(self.module.named_modules())
        # A spike arrives in its step or in the next; later only through a part that says it delays.
        # One step more shows what does not keep to that.
        self.latest = 1 + sum(
            framework.delay(each) for each in inside.values() if (framework := framework_of(each))
        )
        self.steps = min(self.latest + 2, tried.feeding.own_steps or self.latest + 2)
        for index, part in enumerate(tried.parts):
            inside[part.name].forward = self._stand_in(index, inside[part.name])
        self.given: Mapping[int, Sequence[Tensor]] = {}
        self.heard: list[list[Tensor]] = []
        self.unpooled: list[list[Tensor]] = []  # what pools were given
        self.gave: list[Any] = []  # what each call of the module gave
        self.n_samples = 0
        self.mark = 0.0  # in place of the states that stand-ins give

    def _stand_in(self, index: int, copied: nn.Module) -> Callable[..., Any]:
        part, template = self.tried.parts[index], self.tried.outputs[index]

        def forward(x: Tensor, *_states: Any, **_more: Any) -> Any:
            given = in_time(x, part.axes, self.n_samples)
            frames = part.framework.arriving(copied, given)
            answers, now = torch.zeros_like(frames), len(self.heard[index])
            for step, put_in in enumerate(self.given.get(index, ())[now : now + len(frames)]):
                answers[step] = put_in.reshape(frames[0].shape)
            self.heard[index] += [frame.flatten(1) for frame in frames]
            self.unpooled[index] += list(given) if part.framework is POOLING else []
            show(
                copied,
                self.tried.states[index],
                lambda state: marked(state, self.mark, BATCH, self.n_samples),
            )
            return with_first(
                template,
                out_of_time(answers, part.axes),
                lambda state: marked(state, self.mark, BATCH, self.n_samples),
            )

        return forward

    def stays(self, source: int) -> bool:
        """Whether what is put in at a source is there in all later steps too.

        The input of a module that runs its steps by itself.
        """
        return source == INPUT and self.tried.feeding.layout == "held"

    def respond(self, source: int) -> Callable[[Tensor], list[Tensor]]:
        """Return what answers to numbers put in at one source in the first step.

        What arrives, step by step, layer by layer.
        """
        return lambda x: [
            arrived for step in self.answers({source: [x]}, len(x)) for arrived in step
        ]

    def answers(self, given: Mapping[int, Sequence[Tensor]], n_samples: int) -> list[list[Tensor]]:
        """Return what arrives in each step at each layer, (n_samples, n), where numbers are put in
        at sources in the first steps.
        """
        quiet = torch.zeros(n_samples, self.tried.feeding.width, dtype=torch.float64)
        self.given, self.n_samples = given, n_samples
        self.heard, self.unpooled = [[] for _ in self.tried.parts], [[] for _ in self.tried.parts]
        frames = [*given.get(INPUT, ()), *[quiet] * self.steps][: self.steps]
        try:
            with put_aside(self.module), in_float64():
                self.gave = self.tried.feeding.run(self.module, frames)
        except Exception as error:  # a user's module can raise anything
            raise RefsimError(
                f"module: runs on zeros of {BATCH} samples in its own dtype, but not in float64 "
                f"with other numbers and {counted(n_samples, 'sample')}, "
                f"which shows what its weights are ({first_line(error)})."
            ) from None
        return [[arrived[step] for arrived in self.heard] for step in range(self.steps)]


def _biases(bench: Bench) -> tuple[Floats, ...]:
    """Return what arrives without any input, which must be the same in all steps, and must not be
    told by the states of other layers.
    """
    silence, again = (
        [[arrived[0].numpy() for arrived in row] for row in bench.answers({}, 1)] for _ in range(2)
    )
    bench.mark = math.nan
    told = bench.answers({}, 1)
    bench.mark = 0.0
    for step, row in enumerate(silence):
        for index, (part, found, bias) in enumerate(
            zip(bench.tried.parts, row, silence[0], strict=True)
        ):
            if not np.isfinite(found).all():
                raise RefsimError(
                    f"{part.where}: what leads to it is NaN or infinite without any "
                    f"input{_broken(bench)}."
                )
            if told[step][index].isnan().any():
                raise RefsimError(
                    f"{part.where}: hears the membrane or current of another layer, not its "
                    "spikes alone; a membrane that is passed on is not read. "
                    "Give it the spikes, what the layer returns first."
                )
            if not np.array_equal(found, again[step][index]):
                raise RefsimError(
                    f"{part.where}: what leads to it gives other numbers when it is run "
                    f"again{usual_suspects(bench)}; it draws random numbers in evaluation too "
                    "(F.dropout without training=self.training?), or it keeps something that is "
                    "not put back."
                )
            if not agree(found, bias, np.abs(bias)):
                raise RefsimError(
                    f"{part.where}: what leads to it gives in step {step}, without any input, "
                    f"other numbers than at the start{usual_suspects(bench)}; "
                    "it remembers, counts its steps, or delays a bias, and a bias here is the "
                    "same in all steps. Put a delay in front of the Linear that has the "
                    "bias, not behind it."
                )
    return tuple(silence[0])


def _broken(bench: Bench) -> str:
    """Name the tensors of a module that hold a number that is none."""
    tensors = {**dict(bench.module.named_parameters()), **dict(bench.module.named_buffers())}
    wrong = {
        name: each.detach().cpu()
        for name, each in tensors.items()
        if not torch.isfinite(each).all()
    }
    places = [f"{name} ({first_wrong(each.double().numpy())})" for name, each in wrong.items()]
    return f": look at {listed(places)}" if wrong else ""


def _check(
    bench: Bench,
    weights: dict[tuple[int, int, int], Floats],
    biases: Sequence[Floats],
    sizes: dict[int, int],
) -> None:
    """Hold the measured maps against the answers to random numbers from all sources at once, in all
    steps: a product of two would show.
    """
    given = drawn(bench, sizes)
    for step, row in enumerate(bench.answers(given, len(given[INPUT][0]))):
        for target, found in enumerate(row):
            if bench.tried.parts[target].framework is POOLING:
                continue
            maps = [(x, weight.T) for x, weight in _arrived(bench, weights, given, target, step)]
            expected = biases[target] + sum(x @ weight for x, weight in maps)
            size = np.abs(biases[target]) + sum(np.abs(x) @ np.abs(weight) for x, weight in maps)
            if not agree(
                found.numpy(),
                np.broadcast_to(expected, found.shape),
                np.broadcast_to(size, found.shape),
            ):
                _check_drawn(bench, given, target)
                what = (
                    "is not linear"
                    if step <= bench.latest
                    else (
                        "remembers more than "
                        f"{'one step' if bench.latest == 1 else f'{bench.latest} steps'}"
                    )
                )
                raise RefsimError(
                    f"{bench.tried.parts[target].where}: what leads to it "
                    f"{what}{usual_suspects(bench)}; only linear maps can stand between layers "
                    "of neurons, and nn.MaxPool on spikes."
                )


def _check_drawn(bench: Bench, given: Mapping[int, Sequence[Tensor]], target: int) -> None:
    """Refuse what draws random numbers of its input, which silence does not show, for that and not
    for being no linear map.
    """
    n_samples = len(given[INPUT][0])
    rows = [[row[target] for row in bench.answers(given, n_samples)] for _ in range(2)]
    if any(not torch.equal(a, b) for a, b in zip(*rows, strict=True)):
        raise RefsimError(
            f"{bench.tried.parts[target].where}: what leads to it gives other numbers when it is "
            f"run again{usual_suspects(bench)}: the module draws random numbers "
            "of what it is given, as torch.bernoulli does. Leave the drawing to the data, "
            "--encoder bernoulli, and let the module take spikes."
        )


def _check_pools(
    bench: Bench,
    weights: dict[tuple[int, int, int], Floats],
    biases: Sequence[Floats],
    sizes: dict[int, int],
) -> None:
    """Refuse a pool that is given anything but the spikes of one neuron at each place."""
    pools = [index for index, part in enumerate(bench.tried.parts) if part.framework is POOLING]
    if not pools:
        return
    given = {
        source: [number.abs() for number in numbers]
        for source, numbers in drawn(bench, sizes).items()
    }
    answers = bench.answers(given, len(given[INPUT][0]))
    for pool in pools:
        said = [(source, weight) for (to, source, _), weight in weights.items() if to == pool]
        fault = fault_of_weights(
            any(source == INPUT for source, _ in said), [weight for _, weight in said], biases[pool]
        )
        for step, row in enumerate(answers):
            fault = fault or fault_of_answers(
                bench.unpooled[pool][step], row[pool], _arrived(bench, weights, given, pool, step)
            )
        if fault:
            raise RefsimError(
                f"{bench.tried.parts[pool].where}: is a max pool, which is exact on spikes of 0 "
                f"and 1 alone, but {fault}; the largest of other numbers is no "
                "linear map. Put the pool behind the neurons (convolution, neuron, pool), or "
                "take an average pool."
            )


def drawn(bench: Bench, sizes: dict[int, int]) -> dict[int, Sequence[Tensor]]:
    """Return random numbers for all sources and steps."""
    drawn = torch.tensor_split(
        random_inputs(bench.steps * sum(sizes.values())),
        np.cumsum([bench.steps * n for n in sizes.values()])[:-1].tolist(),
        dim=1,
    )
    return {
        source: numbers.reshape(len(numbers), bench.steps, -1).unbind(1)
        for source, numbers in zip(sizes, drawn, strict=True)
    }


def _arrived(
    bench: Bench,
    weights: dict[tuple[int, int, int], Floats],
    given: Mapping[int, Sequence[Tensor]],
    target: int,
    step: int,
) -> list[tuple[Floats, Floats]]:
    """Return the numbers that reach a layer in a step, (n_samples, n_source), each with its weight."""
    return [
        (given[source][0 if bench.stays(source) else step - delay].numpy(), weight)
        for (to, source, delay), weight in weights.items()
        if to == target and delay <= step
    ]


_USUAL = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Flatten,
    nn.Identity,
    nn.Dropout,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
)


def usual_suspects(bench: Bench) -> str:
    """Name the parts between the neurons that are none of the usual linear ones."""
    inside = {id(each) for part in neurons_of(bench.module) for each in parts_inside(part.module)}
    odd = [
        f"'{name}' is a {type(part).__name__}"
        for name, part in bench.module.named_modules()
        if name
        and not list(part.children())
        and id(part) not in inside
        and not isinstance(part, _USUAL)
    ]
    return f" ({', '.join(odd[:4])})" if odd else ""
