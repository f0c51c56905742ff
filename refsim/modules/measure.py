"""How the neurons of a module are wired: measured, and not read from its code.

`measure_wiring` replaces each layer of neurons by a stand-in that answers with numbers that refsim
chooses (`Bench`). What then arrives at each layer, for one input or neuron at a time, is the weight
of the connection, whatever lies between: convolutions, pools, a batch norm, a residual sum, or
plain Python. All of it must be linear, which is checked.

`in_float64` runs code in float64 that asks for float32, because what a module computes is one
question, and how it rounds another. `find_unjudged` lists the parts whose parameters lead to no
layer of neurons: what lies behind the last spikes is run, and not judged.
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
from .run import BATCH, DryRun
from .states import evaluation_copy, marked, parts_inside, put_aside, show, zeros_for


class _Float64(TorchFunctionMode):
    """Replaces every float32 in a call of PyTorch by float64."""

    def __torch_function__(
        self,
        function: Callable[..., object],
        types: Any,
        arguments: Sequence[Any] = (),
        options: Mapping[str, object] | None = None,
    ) -> Any:
        if function is Tensor.float:
            return arguments[0].double()
        wishes = {name: _wide(value) for name, value in (options or {}).items()}
        return function(*map(_wide, arguments), **wishes)


def _wide(value: object) -> Any:
    return torch.float64 if value is torch.float32 else value


@contextlib.contextmanager
def in_float64() -> Iterator[None]:
    """Make tensors of float64 where code says float32, or says nothing."""
    # Tensors that the code makes itself follow the default.
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with _Float64():
            yield
    finally:
        torch.set_default_dtype(usual)


@dataclass(frozen=True)
class Unjudged:
    """The parts of a module whose parameters change nothing that arrives at its neurons.

    Such a part is a Linear behind the last layer of neurons.

    Attributes
    ----------
    behind : tuple of str
        The parts that change what the module returns. Where it returns no tensor, nobody can tell,
        and these are all parts.
    nowhere : tuple of str
        The other parts.
    """

    behind: tuple[str, ...] = ()
    nowhere: tuple[str, ...] = ()


def find_unjudged(module: nn.Module, tried: DryRun) -> Unjudged:
    """Return the parts of a module that change nothing that arrives at its neurons.

    They show in the gradients of what arrives, and of what the module returns. Spikes pass no
    gradient on here, so that only direct paths count.
    """
    copied, arrived = evaluation_copy(module), list[Tensor]()
    inside = dict(copied.named_modules())
    for part in tried.parts:
        inside[part.name].forward = _listened(inside[part.name].forward, arrived)
    own = tuple(f"{part.name}." if part.name else "" for part in tried.parts)
    # Parameters of the layers themselves are judged by their cards.
    asked = {
        name: each.requires_grad_()
        for name, each in copied.named_parameters()
        if each.is_floating_point() and not name.startswith(own)
    }
    if not asked:
        return Unjudged()
    # Two steps show paths within a step and to the next one.
    zeros = zeros_for(copied, BATCH, tried.feeding.width)
    with torch.enable_grad():
        gave = [
            tensor
            for output in tried.feeding.run(copied, [zeros] * 2)
            if (tensor := tensor_in(output)) is not None
        ]
        to_neurons, to_caller = (_leading(asked, tensors) for tensors in (arrived, gave))
    # Where the module returns no tensor, any parameter may change what it gives.
    left = [name for name in asked if name not in to_neurons]
    answering = [name for name in left if name in to_caller or not gave]
    return Unjudged(
        _owners_of(answering), _owners_of([name for name in left if name not in answering])
    )


def _leading(asked: Mapping[str, Tensor], tensors: Sequence[Tensor]) -> set[str]:
    """Return the names of the parameters on which any of some tensors depends."""
    reached = [tensor.double().sum() for tensor in tensors if tensor.requires_grad]
    if not reached:
        return set()
    found = torch.autograd.grad(
        torch.stack(reached).sum(), list(asked.values()), allow_unused=True, retain_graph=True
    )
    return {name for name, gradient in zip(asked, found, strict=True) if gradient is not None}


def _owners_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return the parts that have parameters of these names, each once."""
    return tuple(dict.fromkeys(name.rpartition(".")[0] or name for name in names))


def _listened(called: Callable[..., object], arrived: list[Tensor]) -> Callable[..., object]:
    """Return a forward that keeps its input, and whose spikes pass no gradient on."""

    def forward(x: Tensor, *states: object, **more: object) -> object:
        arrived.append(x)
        output = called(x.detach(), *states, **more)
        return with_first(output, first(output).detach())

    return forward


INPUT = -1  # the number of the input of the module, as a source


@dataclass(frozen=True)
class Wiring:
    """What arrives at each layer of neurons.

    Attributes
    ----------
    weights : dict of (target, source, delay) to (n_target, n_source)
        The delay is 0 within a step and 1 from the step before; it is larger only where the module
        has parts that delay.
    biases : tuple of (n_target,)
    """

    weights: dict[tuple[int, int, int], Floats]
    biases: tuple[Floats, ...]


def measure_wiring(module: nn.Module, tried: DryRun) -> Wiring:
    """Measure what leads to each layer of neurons of a module.

    Parameters
    ----------
    module : nn.Module
    tried : DryRun
        What a run of it showed.

    Raises
    ------
    RefsimError
        Where a map between two layers is not linear, changes from step to step, or remembers more
        steps than its parts say.
    """
    bench = Bench(module, tried)
    sizes = sizes_of(tried)
    weights: dict[tuple[int, int, int], Floats] = {}
    with torch.no_grad():
        biases = _biases(bench)
        # One source after another answers with unit inputs, all others with 0.
        for source, n in sizes.items():
            _check_matrix_rooms(bench, source, n)
            found = unit_answers(bench.respond(source), n)
            for number, answer in enumerate(found):
                # Answers are ordered by step, and within a step by layer.
                delay, target = divmod(number, len(tried.parts))
                if delay and bench.stays(source):
                    answer = answer - found[number - len(tried.parts)]
                if delay <= bench.latest and answer.any():
                    weights[target, source, delay] = np.ascontiguousarray(answer.T)
        # Unit inputs cannot show a product of two sources; random numbers from all of them do.
        _check(bench, weights, biases, sizes)
        _check_pools(bench, weights, biases, sizes)
    return Wiring(weights, biases)


def sizes_of(tried: DryRun) -> dict[int, int]:
    """Return how many numbers each source sends in a step."""
    return {
        INPUT: tried.feeding.width,
        **{index: math.prod(shape) for index, shape in enumerate(tried.shapes)},
    }


def _check_matrix_rooms(bench: "Bench", source: int, n: int) -> None:
    """Refuse a map whose matrix would not fit the memory; random numbers show which maps exist."""
    respond = bench.respond(source)
    for number, (answer, quiet) in enumerate(
        zip(respond(random_inputs(n)), respond(torch.zeros(1, n, dtype=torch.float64)), strict=True)
    ):
        if (answer != quiet).any():
            check_matrix_room(
                answer.shape[1], n, bench.tried.parts[number % len(bench.tried.parts)].where
            )


class Bench:
    """A copy of a module in float64 whose neurons are stand-ins.

    Parameters
    ----------
    module : nn.Module
    tried : DryRun
        What a run of it showed.

    Attributes
    ----------
    latest : int
        The longest delay in steps that a connection may have.
    steps : int
        How many steps each run takes.
    gave : list
        What each call of the module returned in the last run.
    """

    def __init__(self, module: nn.Module, tried: DryRun) -> None:
        self.module, self.tried = evaluation_copy(module).cpu().double(), tried
        inside = dict(self.module.named_modules())
        # A spike arrives in its step or in the next; it arrives later only through a part that says
        # so. One step more shows maps that break this rule.
        self.latest = 1 + sum(
            framework.delay(each) for each in inside.values() if (framework := framework_of(each))
        )
        self.steps = min(self.latest + 2, tried.feeding.own_steps or self.latest + 2)
        for index, part in enumerate(tried.parts):
            inside[part.name].forward = self._stand_in(index, inside[part.name])
        self.given: Mapping[int, Sequence[Tensor]] = {}
        self.received: list[list[Tensor]] = []
        self.unpooled: list[list[Tensor]] = []  # the inputs of pools
        self.gave: list[object] = []
        self.n_samples = 0
        self.mark = 0.0  # stand-ins return it in place of their states

    def _stand_in(self, index: int, copied: nn.Module) -> Callable[..., object]:
        """Return a forward that records its input, and answers with the chosen numbers."""
        part, template = self.tried.parts[index], self.tried.outputs[index]

        def forward(x: Tensor, *_states: object, **_more: object) -> object:
            given = in_time(x, part.axes, self.n_samples)
            frames = part.framework.arriving(copied, given)
            answers, now = torch.zeros_like(frames), len(self.received[index])
            # Numbers for the steps of this call only: a module may call the layer step by step.
            for step, put_in in enumerate(self.given.get(index, ())[now : now + len(frames)]):
                answers[step] = put_in.reshape(frames[0].shape)
            self.received[index] += [frame.flatten(1) for frame in frames]
            self.unpooled[index] += list(given) if part.framework is POOLING else []
            # States that the module may read are marked, so that maps from them show.
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
        """Return whether a number that is put in at a source stays there in all later steps.

        It does for the input of a module that runs its steps by itself.
        """
        return source == INPUT and self.tried.feeding.layout == "held"

    def respond(self, source: int) -> Callable[[Tensor], list[Tensor]]:
        """Return the function from numbers at one source in the first step to all that arrives.

        Its outputs are ordered by step, and within a step by layer.
        """
        return lambda x: [
            arrived for step in self.answers({source: [x]}, len(x)) for arrived in step
        ]

    def answers(self, given: Mapping[int, Sequence[Tensor]], n_samples: int) -> list[list[Tensor]]:
        """Return what arrives in each step at each layer, (n_samples, n).

        Parameters
        ----------
        given : dict of int to sequence of (n_samples, n_source)
            The numbers that sources send in the first steps; all else is 0.
        n_samples : int
        """
        quiet = torch.zeros(n_samples, self.tried.feeding.width, dtype=torch.float64)
        self.given, self.n_samples = given, n_samples
        self.received, self.unpooled = (
            [[] for _ in self.tried.parts],
            [[] for _ in self.tried.parts],
        )
        # Where no number is given, the input is 0.
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
        return [[arrived[step] for arrived in self.received] for step in range(self.steps)]


def _biases(bench: Bench) -> tuple[Floats, ...]:
    """Return what arrives at each layer without any input.

    It must be the same in all steps and in another run, and must not depend on the states of other
    layers.
    """
    silence, again = (
        [[arrived[0].numpy() for arrived in row] for row in bench.answers({}, 1)] for _ in range(2)
    )
    # States of NaN spread to all that depends on them.
    bench.mark = math.nan
    from_states = bench.answers({}, 1)
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
            if from_states[step][index].isnan().any():
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
    """Return in words which tensors of a module hold NaN or infinity."""
    tensors = {**dict(bench.module.named_parameters()), **dict(bench.module.named_buffers())}
    wrong = {
        name: each.detach().cpu()
        for name, each in tensors.items()
        if not torch.isfinite(each).all()
    }
    found = [f"{name} ({first_wrong(each.double().numpy())})" for name, each in wrong.items()]
    return f": look at {listed(found)}" if wrong else ""


def _check(
    bench: Bench,
    weights: dict[tuple[int, int, int], Floats],
    biases: Sequence[Floats],
    sizes: dict[int, int],
) -> None:
    """Compare the measured maps with the answers to random numbers from all sources and steps.

    A product of two sources shows here, and so does a memory of more steps than are allowed.
    """
    given = random_signals(bench, sizes)
    for step, row in enumerate(bench.answers(given, len(given[INPUT][0]))):
        for target, found in enumerate(row):
            # Pools are not linear, and are checked by themselves.
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
    """Refuse a map that draws random numbers from its input, before it is called not linear."""
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
    """Refuse a pool that receives anything but the spike of one neuron at each place."""
    pools = [index for index, part in enumerate(bench.tried.parts) if part.framework is POOLING]
    if not pools:
        return
    # Positive numbers of its own for each neuron show which ones reach the pool.
    given = {
        source: [number.abs() for number in numbers]
        for source, numbers in random_signals(bench, sizes).items()
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


def random_signals(bench: Bench, sizes: dict[int, int]) -> dict[int, Sequence[Tensor]]:
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
    """Return the numbers (n_samples, n_source) that reach a layer in a step, and the weights."""
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
    """Return in words the parts between the neurons that are none of the usual linear ones."""
    # Parts of a layer of neurons belong to it, and are no maps.
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
