"""The states of a module, and copies of it: what lets refsim run a module and leave no trace.

`forget` puts states back to their start, and `put_aside` saves and restores all of them.
`evaluation_copy` makes the copies that are run. `shown_states`, `show` and `marked` find the states
that a layer shows, and replace them. `otherwise_in_training` lists the parts of a module that
answer otherwise in training than in evaluation, in which it is read and judged.
"""

import contextlib
import copy
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..core.errors import RefsimError, first_line
from .find import framework_of


def forget(module: nn.Module) -> None:
    """Put the states of all layers that refsim knows back to their start."""
    for part in parts_inside(module):
        framework = framework_of(part)
        if framework is not None:
            framework.forget(part)


def expect(module: nn.Module, n_samples: int) -> None:
    """Tell all layers how many samples come."""
    for part in parts_inside(module):
        framework = framework_of(part)
        if framework is not None:
            framework.expect(part, n_samples)


def parts_inside(module: nn.Module) -> list[nn.Module]:
    """Return a module and all its parts, whatever meaning a framework gives to ``modules``."""
    return list(nn.Module.modules(module))


def zeros_for(module: nn.Module, *shape: int) -> Tensor:
    """Return zeros of the dtype and on the device of a module's floating-point parameters."""
    like = next(
        (each for each in nn.Module.parameters(module) if each.is_floating_point()), torch.zeros(1)
    )
    return torch.zeros(shape, dtype=like.dtype, device=like.device)


@contextlib.contextmanager
def put_aside(module: nn.Module) -> Iterator[None]:
    """Save every attribute and buffer of every part, and restore them afterwards.

    Parameters stay where they are: no run changes them.
    """
    kept = [
        (part, {key: _kept(value) for key, value in vars(part).items() if key not in _STRUCTURE})
        for part in parts_inside(module)
    ]
    try:
        yield
    finally:
        for part, values in kept:
            # What the run added is removed, and the rest is put back.
            for key in [key for key in vars(part) if key not in _STRUCTURE and key not in values]:
                del vars(part)[key]
            vars(part).update(values)


_STRUCTURE = (
    "_parameters",
    "_modules",
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
)


def _kept(value: object) -> Any:
    """Return a copy of what a run may change in place: tensors, and dicts and lists of tensors."""
    if isinstance(value, Tensor):
        return value.detach().clone() if not value.requires_grad else value
    if isinstance(value, dict):
        made = copy.copy(value)  # a framework may use a class of its own
        made.update({key: _kept(entry) for key, entry in value.items()})
        return made
    return [_kept(entry) for entry in value] if type(value) is list else value


def evaluation_copy(module: nn.Module) -> nn.Module:
    """Return a copy of a module in evaluation mode.

    States that belong to a graph of gradients, which PyTorch does not copy, are detached from it. A
    weight that is computed from another, such as one on a grid, is replaced by its value in the
    precision of the module. Computed again in another precision, it could differ.

    Raises
    ------
    RefsimError
        Where a part cannot be copied.
    """
    return _without_parametrizations(copied(module, {}).eval())


def copied(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """Return a copy of a module that has what the memo says in place of each id in the memo.

    Raises
    ------
    RefsimError
        Where a part cannot be copied.
    """
    # PyTorch copies no tensor of a graph of gradients.
    memo |= {
        id(tensor): tensor.detach().clone()
        for part in parts_inside(module)
        for tensor in tensors_in(vars(part))
        if not tensor.is_leaf
    }
    own = [
        part
        for part in parts_inside(module)
        if hasattr(type(part), "__deepcopy__") and framework_of(part)
    ]
    try:
        memo |= {id(part): type(part).__new__(type(part)) for part in own}
        # The class would make it anew, with only the options that its own copying knows.
        for part in own:
            vars(memo[id(part)]).update(copy.deepcopy(vars(part), memo))
        return copy.deepcopy(module, memo)
    except Exception as error:  # a user's module can hold anything
        line = first_line(error)
        raise RefsimError(
            f"module: cannot be copied, which is needed to look into it ({line})."
        ) from None


def _without_parametrizations(module: nn.Module) -> nn.Module:
    """Replace each computed weight by its value, in place.

    The function of PyTorch for this would change the class, which the original shares.
    """
    for part in [each for each in parts_inside(module) if parametrize.is_parametrized(each)]:
        names = list(part.parametrizations)  # type: ignore[arg-type]
        values = {name: getattr(part, name).detach() for name in names}
        part.__class__ = parametrize.type_before_parametrizations(part)
        del part._modules["parametrizations"]
        for name, value in values.items():
            part.register_parameter(
                name, nn.Parameter(value, requires_grad=value.is_floating_point())
            )
    return module


def tensors_in(value: object) -> Iterator[Tensor]:
    """Yield all tensors in a tensor, or in a dict, list or tuple, however deep."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(entry)


def shown_states(
    part: nn.Module, before: dict[tuple[str, str], int]
) -> dict[tuple[str, str], Tensor]:
    """Return the tensors that a run left in the attributes, buffers and dicts of a part.

    Parameters
    ----------
    before : dict of (place, name) to int
        The identities of the tensors that were there before, from `tensor_identities`.

    Returns
    -------
    dict of (place, name) to Tensor
    """
    return {
        place: value.detach()
        for place, value in _tensors_by_place(part)
        if before.get(place) != id(value)
    }


def tensor_identities(part: nn.Module) -> dict[tuple[str, str], int]:
    """Return the identity of each tensor in the attributes, buffers and dicts of a part."""
    return {place: id(value) for place, value in _tensors_by_place(part)}


def _tensors_by_place(part: nn.Module) -> Iterator[tuple[tuple[str, str], Tensor]]:
    for key, value in vars(part).items():
        inner = (
            value.items() if isinstance(value, dict) and key not in _STRUCTURE else [("", value)]
        )
        yield from (((key, str(name)), each) for name, each in inner if isinstance(each, Tensor))


def show(
    part: nn.Module, states: Mapping[tuple[str, str], Tensor], made: Callable[[Tensor], Tensor]
) -> None:
    """Replace the states of a part by what `made` returns for each.

    Code that looks at a state by its name then sees the replacement.
    """
    for (key, name), value in states.items():
        if not name:
            vars(part)[key] = made(value)
        elif isinstance(vars(part).get(key), dict):
            vars(part)[key][name] = made(value)
        else:
            vars(part)[key] = {name: made(value)}


def marked(value: object, mark: float, n_from: int, n_to: int) -> Any:
    """Return states that hold the number `mark` everywhere, for another number of samples.

    Parameters
    ----------
    value : tensor, or dict, tuple or list of them
        The states, found for `n_from` samples.
    mark : float
    n_from, n_to : int
        The number of samples before and after.
    """
    if isinstance(value, Tensor):
        # Only a first axis that counts samples changes.
        shape = (n_to, *value.shape[1:]) if value.shape[:1] == (n_from,) else value.shape
        return (
            value.new_full(shape, mark, dtype=torch.float64, device="cpu")
            if value.is_floating_point()
            else value
        )
    if isinstance(value, dict):
        return {key: marked(entry, mark, n_from, n_to) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        entries = [marked(entry, mark, n_from, n_to) for entry in value]
        return type(value)(*entries) if hasattr(value, "_fields") else type(value)(entries)
    return value


def otherwise_in_training(module: nn.Module, neurons: Collection[str]) -> tuple[str, ...]:
    """Return the parts that are in training mode and whose code asks for it.

    Parameters
    ----------
    neurons : names
        Layers of neurons, which are left out, since their cards say all of them.

    Returns
    -------
    tuple of str
        Such as ``"'1' (BatchNorm2d)"``.
    """
    inside = nn.Module.named_modules(module)
    return tuple(
        f"'{name}' ({type(part).__name__})"
        for name, part in inside
        if part.training and name not in neurons and _asks(part)
    )


def _asks(part: nn.Module) -> bool:
    """Return whether the forward of a part reads ``self.training``.

    The norms of PyTorch read it further inside.
    """
    code = getattr(inspect.unwrap(type(part).forward), "__code__", None)
    return isinstance(part, nn.modules.batchnorm._NormBase) or (
        code is not None and "training" in code.co_names
    )
