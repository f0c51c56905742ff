"""What is on trial in a gradient check, run with its graph.

`ModuleTrial` is the user's own module, with what its layers of neurons are given and what they
give. `StepsTrial` is refsim's hand-written PyTorch steps of a network, on any device and in any
dtype.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.arrays import Floats
from ...core.errors import RefsimError, crash, listed
from ...engines.arrivals import LayerInputs
from ...engines.pytorch import DTYPES, Torch, WeightedSum, checked_device, constants_on, states_like
from ...modules.call import in_time
from ...modules.frameworks.framework import first
from ...modules.read import from_module
from ...modules.run import DryRun
from ...modules.states import put_aside
from ...modules.trial import Trial
from ...networks.network import Network
from ...pytorch.base import stepped
from ...pytorch.surrogate import Fire
from .parameters import Along, Slope, parameter_slopes
from .traced import Traced, tapped


@dataclass(frozen=True, eq=False)
class ModuleTrial:
    """A module on trial.

    Attributes
    ----------
    trial : Trial
    network : Network
        What the module is held to be.
    """

    trial: Trial
    network: Network

    title = "the module"

    @classmethod
    def of(
        cls, module: object, dt: object, input_shape: Sequence[int] | None, layout: str | None
    ) -> "ModuleTrial":
        """Read a module."""
        if not isinstance(module, nn.Module):
            raise RefsimError(
                "check_gradient: needs a torch.nn.Module or a refsim.Network, but "
                f"{type(module).__name__} was given."
            )
        if any(each.is_inference() for each in nn.Module.parameters(module)):
            raise RefsimError(
                "check_gradient: the module was made in torch.inference_mode(), and such "
                "parameters pass no gradient; make it outside."
            )
        # Half precision rounds too much to compare anything.
        short = next(
            (
                each.dtype
                for each in nn.Module.parameters(module)
                if each.is_floating_point() and each.element_size() < 4
            ),
            None,
        )
        if short is not None:
            raise RefsimError(
                f"check_gradient: the module is {short}, whose rounding is as large as the "
                "faults that are looked for; give module.float()."
            )
        # What stands behind them belongs to the loss.
        network = from_module(module, dt, input_shape, layout, neurons_only=True)
        return cls(Trial.of(module, network, input_shape, layout), network)

    def check_device_and_dtype(self, device: str, dtype: str | None) -> None:
        """Refuse a device or a dtype that is not the module's own."""
        for each in nn.Module.parameters(self.trial.module):
            if device not in ("cpu", str(each.device), each.device.type) or (
                each.is_floating_point()
                and dtype not in (None, str(each.dtype).removeprefix("torch."))
            ):
                raise RefsimError(
                    f"check_gradient: the module is {each.dtype} on {each.device} and is run as "
                    "it is; leave device and dtype out, or convert the module yourself."
                )

    @property
    def single(self) -> bool:
        """Whether it computes in float32; a module without parameters does."""
        floating = [
            each.dtype
            for each in nn.Module.parameters(self.trial.module)
            if each.is_floating_point()
        ]
        return self.trial.single or not floating or any(each != torch.float64 for each in floating)

    @property
    def learnt(self) -> dict[str, Tensor]:
        """The parameters that are not frozen, by name."""
        return {
            name: each
            for name, each in nn.Module.named_parameters(self.trial.module)
            if each.requires_grad
        }

    def trace(
        self, inputs: Floats, _fires: Sequence[Fire], _detach_reset: Sequence[bool]
    ) -> Traced:
        """Run the module as it is.

        What it takes for the derivative of a spike is its own choice.
        """
        return trace_module(self.trial, inputs)

    def slopes(
        self,
        inputs: Floats,
        gave: Sequence[Floats],
        deltas: Sequence[Floats],
        by_card: Sequence[Mapping[str, Floats]],
        seed: int,
    ) -> tuple[list[Slope], list[str]]:
        """Return what the gradients of parameters must be; see `parameter_slopes`."""
        return parameter_slopes(self.trial, inputs, gave, deltas, by_card, seed)

    def spread(self, traced: Traced, layer: int, deltas: Floats) -> Floats:
        """Return gradients at what arrives at each neuron as gradients at what its layer is given.

        Given are (..., n_samples, n_neurons). Between the two lie several synapses a neuron, or
        weights that a layer holds itself; else they are one.
        """
        part = self.trial.tried.parts[layer]
        # Only shapes and weights matter here, so the first step stands for all.
        given = (
            in_time(traced.arrived[layer][0].detach(), part.axes, traced.gave[layer].shape[1])[:1]
            .cpu()
            .double()
        )
        x = given.expand(int(np.prod(deltas.shape[:-2])), *given.shape[1:]).clone().requires_grad_()
        # From what the layer is given to what arrives at its neurons.
        arrived = part.framework.arriving(part.module, x)
        if arrived is x:
            return deltas
        (found,) = torch.autograd.grad(
            arrived, x, torch.as_tensor(deltas.copy()).reshape(arrived.shape).to(arrived)
        )
        return np.asarray(found.flatten(2).numpy()).reshape(*deltas.shape[:-1], -1)


def trace_module(trial: Trial, inputs: Floats) -> Traced:
    """Run a module on inputs (n_samples, n_steps, n_inputs) with its graph, in evaluation mode.

    Only its neurons are in training mode, so that they pass gradients.

    Raises
    ------
    RefsimError
        Where the layers run unlike numbers of steps.
    """
    # A layer that runs its own steps must run as many as the inputs have.
    trial.check_steps(inputs.shape[1], held=bool((inputs == inputs[:, :1]).all()))
    taps = _Taps(trial.tried, inputs.shape[0])
    # Inputs in the dtype and on the device of the module.
    like = next(
        (each for each in nn.Module.parameters(trial.module) if each.is_floating_point()),
        torch.zeros(1),
    )
    frames = [torch.as_tensor(inputs[:, step]).to(like) for step in range(inputs.shape[1])]
    # The module's own states come back afterwards.
    with put_aside(trial.module), taps.hooked(trial.module), torch.enable_grad():
        trial.module.eval()
        for part in taps.parts(trial.module):
            part.train()  # in evaluation SpikingJelly's neurons pass no gradient
        try:
            trial.tried.feeding.run(trial.module, frames)
        except RefsimError:
            raise
        except Exception as error:  # a user's module can raise anything
            raise crash("check_gradient: the module", error, f"on inputs {inputs.shape}") from error
    # Every layer must have run every step.
    gave = [torch.cat(each) for each in taps.gave]
    if len({len(each) for each in gave}) != 1 or len(gave[0]) != inputs.shape[1]:
        raise RefsimError(
            "check_gradient: the module's layers ran "
            f"{', '.join(str(len(each)) for each in gave)} steps on inputs of {inputs.shape[1]}; "
            "each must run them all."
        )
    return Traced(taps.arrived, [part.axes for part in trial.tried.parts], gave, whose="the module")


class _Taps:
    """Hooks that read what layers of neurons are given and give."""

    def __init__(self, tried: DryRun, n_samples: int) -> None:
        self.tried, self.n_samples = tried, n_samples
        self.arrived: list[list[Tensor]] = [[] for _ in tried.parts]
        self.gave: list[list[Tensor]] = [[] for _ in tried.parts]

    def parts(self, module: nn.Module) -> list[nn.Module]:
        """Return the layers of neurons in a module."""
        inside = dict(module.named_modules())
        return [inside[part.name] for part in self.tried.parts]

    @contextlib.contextmanager
    def hooked(self, module: nn.Module) -> Iterator[None]:
        """Listen while a module runs."""
        hooks = []
        for index, part in enumerate(self.parts(module)):
            hooks.append(part.register_forward_pre_hook(self._before(index)))
            hooks.append(part.register_forward_hook(self._after(index)))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _before(self, index: int) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
        def before(_module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
            x = tapped(given[0])
            self.arrived[index].append(x)
            return (x, *given[1:])

        return before

    def _after(self, index: int) -> Callable[..., None]:
        axes = self.tried.parts[index].axes
        return lambda _module, _given, output: self.gave[index].append(
            in_time(first(output), axes, self.n_samples).flatten(2)
        )


@dataclass(frozen=True, eq=False)
class StepsTrial:
    """A network on trial.

    Attributes
    ----------
    network : Network
    device : torch.device
    dtype : torch.dtype
    sums : list of WeightedSum
        With the weights and biases whose gradients are asked for; made anew for each run.
    """

    network: Network
    device: torch.device
    dtype: torch.dtype
    sums: list[WeightedSum] = field(default_factory=list)

    @classmethod
    def of(cls, network: Network, device: str, dtype: str) -> "StepsTrial":
        """Take a network."""
        if dtype not in DTYPES:
            raise RefsimError(
                f"check_gradient: dtype must be one of {listed(DTYPES)}, but is {dtype!r}."
            )
        return cls(network, checked_device(device), DTYPES[dtype])

    @property
    def title(self) -> str:
        """Who is on trial."""
        return f"refsim's PyTorch steps, {str(self.dtype).removeprefix('torch.')}" + (
            "" if self.device.type == "cpu" else f", {self.device}"
        )

    @property
    def single(self) -> bool:
        """Whether it computes in float32."""
        return self.dtype != torch.float64

    @property
    def learnt(self) -> dict[str, Tensor]:
        """The weights and biases of the last run, by name."""
        found: dict[str, Tensor] = {}
        for layer, each in zip(self.network.layers, self.sums, strict=True):
            found |= {
                f"{layer.name}: weight" + (f" {number}" if number else ""): weight
                for number, weight in enumerate(each.weights)
            }
            found[f"{layer.name}: bias"] = each.bias
        return found

    def trace(self, inputs: Floats, fires: Sequence[Fire], detach_reset: Sequence[bool]) -> Traced:
        """Run the steps on inputs (n_samples, n_steps, n_inputs)."""
        layers, engine = self.network.layers, Torch()
        # Weights with gradients, made anew for each run.
        self.sums[:] = [
            WeightedSum(index, layer, len(inputs), self.dtype, self.device, held=False)
            for index, layer in enumerate(layers)
        ]
        for each in self.sums:
            for tensor in (*each.weights, each.bias):
                tensor.requires_grad_()
        steps = [engine.step_of(layer.model) for layer in layers]
        constants = [
            constants_on(layer, self.network.dt, self.device, self.dtype) for layer in layers
        ]
        outputs = [
            torch.zeros(len(inputs), layer.n_post, device=self.device, dtype=self.dtype)
            for layer in layers
        ]
        states = [states_like(output, layer) for output, layer in zip(outputs, layers, strict=True)]
        arrived: list[list[Tensor]] = [[] for _ in layers]
        gave: list[list[Tensor]] = [[] for _ in layers]
        # Layers run in their sequence within a step.
        for frame in torch.as_tensor(inputs).to(self.device, self.dtype).unbind(1):
            for index, step in enumerate(steps):
                arrived[index].append(tapped(self.sums[index](frame, outputs)))
                how = (arrived[index][-1], states[index], constants[index], fires[index])
                # Other layers receive nothing from a readout.
                outputs[index], _, states[index] = stepped(
                    step, *how, detach_reset=detach_reset[index]
                )
                readout = layers[index].model.discrete.readout
                gave[index].append(states[index][readout] if readout else outputs[index])
        return Traced(arrived, ["step"] * len(layers), [torch.stack(each) for each in gave])

    def spread(self, _traced: Traced, _layer: int, deltas: Floats) -> Floats:
        """Return gradients at what arrives as they are."""
        return deltas

    def slopes(
        self,
        inputs: Floats,
        gave: Sequence[Floats],
        deltas: Sequence[Floats],
        _by_card: Sequence[Mapping[str, Floats]],
        seed: int,
    ) -> tuple[list[Slope], list[str]]:
        """Return the slope of a loss along a random direction of each weight and bias.

        It is the loss's gradient by what arrives, times what the direction adds to that.
        """
        generator, found = np.random.default_rng(seed), []
        # What arrives is computed once more in NumPy, with the spikes as they were.
        arrivals, received = LayerInputs(self.network, len(inputs)), []
        for step in range(inputs.shape[1]):
            row = []
            # The inputs of a layer lie behind one another, source by source.
            for index, layer in enumerate(self.network.layers):
                row.append(arrivals(index, inputs[:, step]))
                arrivals.spikes[index] = (
                    np.zeros_like(gave[index][step])
                    if layer.model.discrete.readout
                    else gave[index][step]
                )
            received.append(row)
        for index, layer in enumerate(self.network.layers):
            rows, delta, at = [row[index] for row in received], deltas[index], 0
            for number, weight in enumerate(self.sums[index].weights):
                part = [row[:, at : at + weight.shape[1]] for row in rows]
                name = f"{layer.name}: weight" + (f" {number}" if number else "")
                found.append(
                    _slope(
                        name,
                        weight,
                        generator.standard_normal(tuple(weight.shape)),
                        partial(_weight_terms, part, delta),
                    )
                )
                at += weight.shape[1]
            found.append(
                _slope(
                    f"{layer.name}: bias",
                    self.sums[index].bias,
                    generator.standard_normal(layer.n_post),
                    partial(np.multiply, delta),
                )
            )
        return found, []


def _slope(
    name: str, parameter: Tensor, direction: Floats, terms: Callable[[Floats], Floats]
) -> Slope:
    def along(direction: Floats) -> Along:
        added = terms(direction)
        return float(added.sum()), 0.0, float(np.linalg.norm(added))

    return Slope(name, parameter, direction, along, along(direction))


def _weight_terms(received: Sequence[Floats], delta: Floats, direction: Floats) -> Floats:
    return np.array([delta[step] * (x @ direction.T) for step, x in enumerate(received)])
