"""Turn a file or a live module of Linear layers and neurons into a Network, with every tensor accounted for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...errors import RefsimError, listed
from ...network import Network, positive_time
from ..layers import Neuron, reset
from .checkpoint import read_checkpoint, tensors_of
from .description import Description, LayerDescription, read_description


def load(source: str | Path | nn.Module | Mapping[str, Any], describe: str | Path | Mapping[str, Any] | None = None, *, dt: object = None) -> Network:
    """Load a trained network.

    Parameters
    ----------
    source : path, nn.Module or state_dict
        A ``.pt`` file, a live module, or a dict of tensors.
    describe : path or dict, optional
        The description: dt, and the neuron behind each Linear. Beside a file ``net.pt`` it is looked for as
        ``net.toml``. A module built of refsim's own layers needs none.
    dt : float or str, optional
        Duration of a step, for a module without a description.

    Raises
    ------
    RefsimError
        Where a tensor is missing, surplus, misshapen or not finite, or the file cannot be read as data.
    """
    if isinstance(source, nn.Module) and describe is None:
        return _from_module(source, dt)
    if describe is None and isinstance(source, str | Path):
        describe = Path(source).with_suffix(".toml")
    if describe is None:
        raise RefsimError("a dict of tensors does not say which neuron stands behind which Linear; give describe=...")
    description = read_description(describe)
    if isinstance(source, nn.Module):
        return from_tensors(tensors_of(source.state_dict(), "module"), description, "module")
    if isinstance(source, Mapping):
        return from_tensors(tensors_of(source, "state_dict"), description, "state_dict")
    return from_tensors(read_checkpoint(Path(source), description.key), description, f"checkpoint {source}")


def load_described(describe: str | Path) -> Network:
    """Load the network whose weights a description names."""
    description = read_description(describe)
    if description.weights is None:
        raise RefsimError(f'description {describe}: names no weights; write weights = "net.pt", or give the weights beside it.')
    return from_tensors(read_checkpoint(description.weights, description.key), description, f"checkpoint {description.weights}")


def from_tensors(tensors: Mapping[str, NDArray[Any]], description: Description, where: str) -> Network:
    """Build the network and refuse any tensor that nothing accounts for."""
    used: set[str] = set()

    def take(name: str) -> NDArray[Any]:
        if name not in tensors:
            raise RefsimError(
                f"{where}: has no tensor '{name}', which the description asks for; it has {listed(tensors)}. Correct linear = ... in the description."
            )
        used.add(name)
        return tensors[name]

    rows = []
    for layer in description.layers:
        bias = take(f"{layer.linear}.bias") if f"{layer.linear}.bias" in tensors else None
        own = {name: take(tensor) for name, tensor in layer.tensors.items()}
        rows.append((take(f"{layer.linear}.weight"), bias, layer.model, own))
    if missing := set(description.ignore) - set(tensors):
        raise RefsimError(f"{where}: is to ignore {listed(missing)}, but has no such tensor; it has {listed(tensors)}.")
    if both := set(description.ignore) & used:
        raise RefsimError(
            f"{where}: {listed(both)} is to be ignored, but a layer of the description uses it; a bias that is to be left out must leave the file."
        )
    if surplus := set(tensors) - used - set(description.ignore):
        raise RefsimError(
            f"{where}: the description does not account for {listed(surplus)}. Name the layer it belongs to, or put it under ignore = [...] if it means nothing."
        )
    try:
        return Network.dense(rows, description.dt)
    except RefsimError as error:
        raise RefsimError(f"{where}: {error}") from None


def _from_module(module: nn.Module, dt: object) -> Network:
    """Read a module of Linear and refsim neurons, in the order in which one step runs them."""
    if dt is None:
        raise RefsimError('module: says nothing of the duration of a step; give dt="1 ms", or what was meant in training.')
    for name, part in module.named_modules():
        if not list(part.children()) and not isinstance(part, nn.Linear | Neuron | nn.Flatten | nn.Identity):
            raise RefsimError(
                f"module: '{name}' is a {type(part).__name__}; this bridge reads Linear layers and refsim's neurons. Give describe=... to say what the tensors mean."
            )
    rows, linears = [], _executed(module)
    names = {id(part): name for name, part in module.named_modules()}
    for linear, neuron in linears:
        if neuron.model.timed and neuron.dt != positive_time(dt, "module: dt"):
            raise RefsimError(f"module: its '{neuron.model.name}' was made for steps of {neuron.dt:g} s, but dt is {dt!r}.")
        rows.append(LayerDescription(names[id(linear)], neuron.declared()))
    # dt is checked by Network; every tensor must belong to a Linear that ran.
    description = read_description({"dt": dt, "layer": [{"linear": row.linear, "neuron": row.model.name} for row in rows]})
    layers = tuple(rows)
    learnt = {f"{names[id(neuron)]}.{key}" for _, neuron in linears for key, _ in neuron.named_parameters()}  # they are in the declared card
    tensors = {name: values for name, values in tensors_of(module.state_dict(), "module").items() if name not in learnt}
    return from_tensors(tensors, Description(description.dt, layers), "module")


def _executed(module: nn.Module) -> list[tuple[nn.Linear, Neuron]]:
    """Run one step on zeros and pair each Linear with the neuron that takes its output unchanged."""
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []

    def note(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls.append((part, inputs[0], output))

    parts = [part for part in module.modules() if isinstance(part, nn.Linear | Neuron)]
    linears = [part for part in parts if isinstance(part, nn.Linear)]
    if not linears:
        raise RefsimError("module: has no Linear layer.")
    kept = [(part, part.state, part.seen) for part in parts if isinstance(part, Neuron)]
    hooks = [part.register_forward_hook(note) for part in parts]
    try:
        _dry_run(module, linears, calls)
    finally:
        for hook in hooks:
            hook.remove()
        for neuron, state, seen in kept:
            neuron.state, neuron.seen = state, seen
    return _pairs(calls, len(parts))


def _dry_run(module: nn.Module, linears: list[nn.Linear], calls: list[Any]) -> None:
    """Run one step on zeros; any Linear may be the first to run, so each of their widths is tried."""
    widths = dict.fromkeys(linear.in_features for linear in linears)
    tried: list[str] = []
    for width in widths:
        calls.clear()
        reset(module)
        try:
            with torch.no_grad():
                module(torch.zeros(1, width, dtype=linears[0].weight.dtype, device=linears[0].weight.device))
            return
        except Exception as error:  # a user's module can raise anything
            tried.append(f"(1, {width}): {str(error).splitlines()[0] if str(error) else type(error).__name__}")
    raise RefsimError(f"module: one step on zeros failed, of shape {'; '.join(tried)}. forward(x) must take one step, (batch, inputs).")


def _pairs(calls: list[tuple[nn.Module, Tensor, Tensor]], n_parts: int) -> list[tuple[nn.Linear, Neuron]]:
    order = " -> ".join(type(part).__name__ for part, _, _ in calls) or "nothing"
    needed = "one step must run Linear -> neuron -> Linear -> neuron ..., each once and nothing in between"
    if len(calls) != n_parts or len(calls) % 2:
        raise RefsimError(f"module: one step ran {order}, but it has {n_parts} such parts; {needed}.")
    pairs, before = [], None
    for (linear, x, current), (neuron, taken, spikes) in zip(calls[::2], calls[1::2], strict=True):
        chained = before is None or x is before
        if not isinstance(linear, nn.Linear) or not isinstance(neuron, Neuron) or taken is not current or not chained:
            raise RefsimError(f"module: one step ran {order}, with something between them; {needed}.")
        pairs.append((linear, neuron))
        before = spikes
    return pairs


def linear_responses(module: nn.Module) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return, for each Linear in the order in which one step runs them, (response to each input alone, response to silence).

    The first is (n_post, n_pre), less the response to silence; the responses are measured, not read from attributes.
    """
    rows = []
    for linear, _ in _executed(module):
        with torch.no_grad():
            eye = torch.eye(linear.in_features, dtype=linear.weight.dtype, device=linear.weight.device)
            silence = linear(torch.zeros_like(eye[:1]))
            mute = {} if linear.bias is None else {"bias": torch.zeros_like(linear.bias)}  # x + b - b would round
            alone = torch.func.functional_call(linear, mute, (eye,))
        rows.append((alone.T.double().cpu().numpy(), silence[0].double().cpu().numpy()))
    return rows
