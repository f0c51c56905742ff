"""The weighted sum of a layer in PyTorch.

A linear map a connection, its input delayed where the network says so.

Torch: run a network with the hand-written steps, or put the user's own module on trial.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ..cards.names import INPUT, STEP
from ..cards.neuron import NeuronModel
from ..cards.read import load
from ..core.errors import RefsimError, first_line, listed
from ..core.progress import advance as advance_progress
from ..core.random import truncated
from ..core.spikes import SpikeTrains
from ..modules.trial import FEW, Result, Trial
from ..networks.connection import DRIVE
from ..networks.drive import Draw, Drive
from ..networks.network import Layer, Network
from ..networks.recording import (
    BLOCK,
    LAST_STEP,
    Recording,
    check_range,
    check_run,
    make_provenance,
    traces_of,
)
from ..pytorch.base import Step, autocast_in_use, no_autocast
from ..pytorch.convention_steps import convention_step
from ..pytorch.steps import STEPS
from ..pytorch.surrogate import heaviside
from .discrete import Tap, constant_threshold, first_lost, parts_by_input


class WeightedSum:
    """What a layer gets in each step.

    Call it with the frame of the drive and the latest spikes of all layers.

    The spikes of a layer that comes later, and the layer's own, are those of the step before.
    """

    def __init__(
        self,
        index: int,
        layer: Layer,
        n_samples: int,
        dtype: torch.dtype,
        device: torch.device,
        held: bool,
    ) -> None:
        self.sources = layer.sources
        self.weights = [torch.as_tensor(weight).to(device, dtype) for weight in layer.weights]
        self.bias = torch.as_tensor(layer.bias).to(device, dtype)
        waits = [
            torch.as_tensor(source.delay - (source.layer >= index)).to(device)
            for source in layer.sources
        ]
        self.past = [_Past(wait, n_samples, dtype) if bool(wait.any()) else None for wait in waits]
        self.steady = (
            held and all(source.layer == DRIVE for source in layer.sources) and not any(self.past)
        )
        self.kept: Tensor | None = None

    def __call__(self, frame: Tensor, spikes: list[Tensor]) -> Tensor:
        """Return the current of this step, (n_samples, n_post)."""
        if self.kept is not None:
            return self.kept
        total: Tensor | None = None
        for source, weight, past in zip(self.sources, self.weights, self.past, strict=True):
            x = frame if source.layer == DRIVE else spikes[source.layer]
            x = x if past is None else past(x)
            total = linear(x, weight, self.bias) if total is None else total + linear(x, weight)
        assert total is not None
        if self.steady:
            self.kept = total
        return total


class _Past:
    """The frames of the last steps, as a roll: the newest in front."""

    def __init__(self, wait: Tensor, n_samples: int, dtype: torch.dtype) -> None:
        self.index = wait.view(1, 1, -1).expand(1, n_samples, -1)
        self.roll = torch.zeros(
            int(wait.max()) + 1, n_samples, len(wait), device=wait.device, dtype=dtype
        )

    def __call__(self, frame: Tensor) -> Tensor:
        """Take the newest frame, return what arrives."""
        self.roll = torch.cat([frame[None], self.roll[:-1]])
        return self.roll.gather(0, self.index)[0]


DTYPES = {"float32": torch.float32, "float64": torch.float64}

Advance = Callable[[Tensor], list[Result]]


@dataclass(frozen=True)
class Torch:
    """PyTorch on trial.

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"``, ...
    dtype : {"float32", "float64"} or None
        None: float32 for a network, the module's own for a module.
    module : nn.Module, optional
        Your own module, of refsim's layers or a framework's, run as it is and recorded by hooks.
        Without it, refsim's hand-written steps run the network.
    steps : dict of str to function, optional
        Steps for cards of your own, by the card's name; see `refsim.pytorch.steps`.
    input_shape, layout
        Of the module, where it does not say them; see `refsim.bridge.load`.
    """

    device: str = "cpu"
    dtype: str | None = None
    module: nn.Module | None = None
    steps: Mapping[str, Step] = field(default_factory=dict)
    input_shape: tuple[int, ...] | None = None
    layout: str | None = None

    def run(self, network: Network, drive: Drive, record: tuple[str, ...] = ()) -> Recording:
        """Run a batch; see `refsim.run`."""
        with (
            Trial.opened(self.module, network, self.input_shape, self.layout)
            if self.module is not None
            else contextlib.nullcontext() as trial
        ):
            return self._run(network, drive, record, trial)

    def _run(
        self, network: Network, drive: Drive, record: tuple[str, ...], trial: Trial | None
    ) -> Recording:
        record = check_run(network, drive, record, states=True)
        dtype, device = self._dtype(), checked_device(self.device)
        check_range(network, str(dtype).removeprefix("torch."))
        own = [traces_of(layer, record, states=True) for layer in network.layers]
        taps = [
            Tap.empty(drive.n_samples, drive.n_steps, layer.n_post, names, _numpy(dtype))
            for layer, names in zip(network.layers, own, strict=True)
        ]
        # for the margin only: rounded to the dtype of the run
        thresholds = [
            constant_threshold(layer, network.dt).astype(_numpy(dtype)) for layer in network.layers
        ]
        if trial is not None:
            trial.check_steps(drive.n_steps, drive.held)
        with torch.no_grad():
            for first in range(0, drive.n_samples, BLOCK):
                samples = np.arange(first, min(first + BLOCK, drive.n_samples))
                for step, results in enumerate(
                    self._results(network, drive.take(samples), dtype, device, trial)
                ):
                    for tap, layer, threshold, (fired, seen, after, payload, states) in zip(
                        taps, network.layers, thresholds, results, strict=True
                    ):
                        _check_binary(fired, layer)
                        carried = {} if payload is None else {"payload": _array(payload)}
                        carried |= {
                            name: _array(states[name]) if states and name in states else np.nan
                            for name in tap.traces
                            if name in layer.model.stepped
                        }
                        view = _view(tap, samples)
                        view.keep(
                            step,
                            _array(fired) > 0,
                            _array(seen),
                            threshold,
                            _array(after),
                            carried,
                            hidden=seen_is_hidden(seen, trial),
                        )
                        tap.lost += [
                            (sample + int(samples[0]), neuron, at)
                            for sample, neuron, at in view.lost[: 1 - len(tap.lost)]
                        ]
                advance_progress(len(samples))
        own_cards = sorted({layer.model.name for layer in network.layers} & set(self.steps))
        given = f", but of card {', '.join(own_cards)} the step that was given" if own_cards else ""
        said = (
            {"module": f"refsim's hand-written steps with the same weights{given}"}
            if trial is None
            else trial.facts(self._few(drive, dtype, device))
        )
        name = str(dtype).removeprefix("torch.")
        label = " ".join(
            [
                "PyTorch",
                name,
                *([] if device.type == "cpu" else [str(device)]),
                *(["module"] if self.module is not None else []),
            ]
        )
        provenance = make_provenance(
            label,
            network,
            drive,
            engine="Torch",
            mode="grid",
            dtype=_rounds_to(name, device, trial),
            device=_device_name(device),
            code="steps" if trial is None else "module",
            trial="own code" if trial is not None or own_cards else "refsim's steps",
            **({"output": LAST_STEP} if trial is not None and trial.last_step_alone else {}),
            **said,
        )
        if trial is not None and trial.undecided and not network.undecided:
            network = replace(network, undecided=trial.undecided)
        return Recording(
            network,
            drive,
            tuple(SpikeTrains.from_dense(tap.spikes, network.dt) for tap in taps),
            tuple(tap.traces for tap in taps),
            tuple(tap.approach() for tap in taps),
            provenance,
            not_a_number=first_lost(taps),
        )

    def _dtype(self) -> torch.dtype:
        if self.dtype is not None:
            if self.dtype not in DTYPES:
                raise RefsimError(
                    f"Torch: dtype must be one of {listed(DTYPES)}, but is {self.dtype!r}."
                )
            if self.module is not None and self.dtype != str(_own_dtype(self.module)).removeprefix(
                "torch."
            ):
                raise RefsimError(
                    f"Torch: the module on trial is {_own_dtype(self.module)} and is run as it "
                    "is; leave dtype out, or convert the module yourself."
                )
            return DTYPES[self.dtype]
        return torch.float32 if self.module is None else _own_dtype(self.module)

    @staticmethod
    def _few(drive: Drive, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
        """Return the input of the first samples, a frame a step."""
        few = drive.take(np.arange(min(FEW, drive.n_samples)))
        return [torch.as_tensor(frame).to(device, dtype) for frame in few.frames()]

    def _results(
        self,
        network: Network,
        drive: Drive,
        dtype: torch.dtype,
        device: torch.device,
        trial: Trial | None,
    ) -> Iterator[list[Result]]:
        """Run a block of samples; yield the results of all layers, step by step."""
        frames = (torch.as_tensor(frame).to(device, dtype) for frame in drive.frames())
        if trial is None:
            return map(self._own_steps(network, drive, dtype, device), frames)
        return trial.results(
            frames, drive.n_samples, [draws.next for draws in _draws(network, drive, dtype, device)]
        )

    def _own_steps(
        self, network: Network, drive: Drive, dtype: torch.dtype, device: torch.device
    ) -> Advance:
        """Return a function that advances all layers by one step with the hand-written steps."""
        steps = [self.step_of(layer.model) for layer in network.layers]
        sums = [
            _sums(index, layer, drive, dtype, device) for index, layer in enumerate(network.layers)
        ]
        outputs = [
            torch.zeros(drive.n_samples, layer.n_post, device=device, dtype=dtype)
            for layer in network.layers
        ]
        constants = [constants_on(layer, network.dt, device, dtype) for layer in network.layers]
        states = [
            states_like(output, layer)
            for output, layer in zip(outputs, network.layers, strict=True)
        ]
        drawn = _draws(network, drive, dtype, device)

        def advance(x: Tensor) -> list[Result]:
            results = []
            for index, step in enumerate(steps):
                with no_autocast(device):
                    current = sums[index](x, outputs)
                    spikes, seen, states[index] = step(
                        current, states[index], constants[index] | drawn[index].next(), heaviside
                    )
                model = network.layers[index].model
                payload = states[index][model.discrete.payload] if model.discrete.payload else None
                outputs[index] = spikes if payload is None else payload
                results.append(
                    Result(spikes, seen, states[index][model.membrane], payload, states[index])
                )
            return results

        return advance

    def step_of(self, model: NeuronModel) -> Step:
        """Return the PyTorch step of a card, or say that there is none."""
        if model.convention and model.name not in self.steps:
            return convention_step(model.convention)
        known, card = {**STEPS, **self.steps}, model.name
        ours = card in STEPS and card not in self.steps
        if card not in known or (ours and model.discrete.texts != load(card).discrete.texts):
            raise RefsimError(
                f"Torch: there is no PyTorch step for this card '{card}'; known are "
                f"{listed(STEPS)}. Give yours, Torch(steps={{'{card}': function}}), "
                "put your module on trial, Torch(module=...), or try another engine (--engine "
                "discrete or brian2)."
            )
        return known[card]


def checked_device(name: str) -> torch.device:
    """Return a device of PyTorch, or say why it cannot be used."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu().numpy()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise RefsimError(
            f"Torch: device {name!r} cannot be used here ({first_line(error)})."
        ) from None
    return device


def _sums(
    index: int, layer: Layer, drive: Drive, dtype: torch.dtype, device: torch.device
) -> Callable[[Tensor, list[Tensor]], Any]:
    """Return the weighted sum of a layer.

    A tensor, or where weights are split by sign a tensor for each input.
    """
    sums = {
        name: WeightedSum(index, part, drive.n_samples, dtype, device, drive.held)
        for name, part in parts_by_input(layer).items()
    }
    if len(sums) == 1:
        return sums[INPUT]
    return lambda x, spikes: {name: each(x, spikes) for name, each in sums.items()}


@dataclass
class _Draws:
    """The random numbers of a layer, step after step, as tensors by name."""

    draw: Draw
    names: tuple[str, ...]
    dtype: torch.dtype
    device: torch.device
    now: int = 0

    def next(self) -> dict[str, Tensor]:
        """Return the numbers of the next step."""
        self.now += 1
        short = str(self.dtype).removeprefix("torch.")
        return {
            name: torch.as_tensor(truncated(self.draw(self.now - 1, name), short)).to(self.device)
            for name in self.names
        }


def _draws(
    network: Network, drive: Drive, dtype: torch.dtype, device: torch.device
) -> list[_Draws]:
    return [
        _Draws(drive.draws(index, layer.n_post), layer.model.draws, dtype, device)
        for index, layer in enumerate(network.layers)
    ]


def _check_binary(spikes: Tensor, layer: Layer) -> None:
    if not bool(((spikes == 0) | (spikes == 1)).all()):
        raise RefsimError(
            f"Torch: {layer.name} gives {float(spikes.max()):g} for a spike; spikes are 0 or 1 "
            "here. Scale the weights behind them instead."
        )


def _rounds_to(name: str, device: torch.device, trial: Trial | None) -> str:
    """Return the shortest dtype that a run rounds to.

    A module's own, float32 where a layer has it, or that of autocast around it.
    """
    if trial is None:
        return name
    if autocast_in_use(device) and name == "float32":
        return str(torch.get_autocast_dtype(device.type)).removeprefix("torch.")
    return "float32" if trial.single else name


def _own_dtype(module: nn.Module) -> torch.dtype:
    return next(
        (tensor.dtype for tensor in nn.Module.parameters(module)), torch.get_default_dtype()
    )


def constants_on(
    layer: Layer, dt: float, device: torch.device, dtype: torch.dtype
) -> dict[str, Any]:
    """Return the constants of a layer's step by name."""
    return {
        name: _constant_on(value, device, dtype)
        for name, value in {**layer.constants(dt), STEP: dt}.items()
    }


def states_like(output: Tensor, layer: Layer) -> dict[str, Tensor]:
    """Return the states of a layer at its start, of the shape, device and dtype of its output
    (n_samples, n_post).
    """
    starts = layer.starts(layer.model.stepped)
    return {
        name: torch.zeros_like(output) + _constant_on(start, output.device, output.dtype)
        for name, start in starts.items()
    }


def _constant_on(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """Keep a number a Python number, as in a trained module; make a tensor of values per neuron."""
    return float(value) if np.ndim(value) == 0 else torch.as_tensor(value).to(device, dtype)


def seen_is_hidden(seen: Tensor, trial: Trial | None) -> bool:
    """Return whether a module does not show what its threshold saw."""
    return trial is not None and bool(torch.isnan(seen).all())


def _view(tap: Tap, samples: Any) -> Tap:
    part = slice(int(samples[0]), int(samples[-1]) + 1)
    return Tap(
        tap.spikes[part], {name: trace[part] for name, trace in tap.traces.items()}, tap.gap[part]
    )


def _array(tensor: Tensor) -> Any:
    held = tensor.detach().cpu()
    # NumPy has no bfloat16.
    return (held if held.dtype in DTYPES.values() else held.double()).numpy()


def _numpy(dtype: torch.dtype) -> Any:
    return np.float32 if dtype == torch.float32 else np.float64


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
