"""The states of a module: put back to their start before a run, and put aside so that a run leaves
no trace.

Which parts of a module that is set to train answer otherwise in evaluation, in which it is read and
judged.
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
    """Return a module and all that it is made of.

    A framework may give ``modules`` another meaning.
    """
    return list(nn.Module.modules(module))


@contextlib.contextmanager
def put_aside(module: nn.Module) -> Iterator[None]:
    """Put back, afterwards, every attribute and buffer of every part as it was.

    Parameters are not run.
    """
    kept = [
        (part, {key: _kept(value) for key, value in vars(part).items() if key not in _STRUCTURE})
        for part in parts_inside(module)
    ]
    try:
        yield
    finally:
        for part, values in kept:
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


def _kept(value: Any) -> Any:
    """Return a copy of what a run may change in place: tensors, and dicts and lists of them."""
    if isinstance(value, Tensor):
        return value.detach().clone() if not value.requires_grad else value
    if isinstance(value, dict):
        made = copy.copy(value)  # of its own class
        made.update({key: _kept(entry) for key, entry in value.items()})
        return made
    return [_kept(entry) for entry in value] if type(value) is list else value


def evaluation_copy(module: nn.Module) -> nn.Module:
    """Return a copy of a module in evaluation mode.

    States that still belong to a graph of gradients, which PyTorch does not copy, are cut from it.
    A weight that is made from another, such as one on a grid, is replaced by what is made, in the
    module's own precision: made anew in another, it could be another.

    Raises
    ------
    RefsimError
        Where a part cannot be copied.
    """
    return _without_parametrizations(copied(module, {}).eval())


def copied(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """Return a copy of a module in which what the memo names by its id is what the memo says.

    Raises
    ------
    RefsimError
        Where a part cannot be copied.
    """
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
        for part in own:  # its class would make it anew, with the options that it thinks of
            vars(memo[id(part)]).update(copy.deepcopy(vars(part), memo))
        return copy.deepcopy(module, memo)
    except Exception as error:  # a user's module can hold anything
        line = first_line(error)
        raise RefsimError(
            f"module: cannot be copied, which is needed to look into it ({line})."
        ) from None


def _without_parametrizations(module: nn.Module) -> nn.Module:
    """Put what is made in the place of what it is made from.

    PyTorch's own way would change the class, which the original shares.
    """
    for part in [each for each in parts_inside(module) if parametrize.is_parametrized(each)]:
        values = {name: getattr(part, name).detach() for name in part.parametrizations}  # type: ignore[union-attr]
        part.__class__ = parametrize.type_before_parametrizations(part)
        del part._modules["parametrizations"]
        for name, value in values.items():
            part.register_parameter(
                name, nn.Parameter(value, requires_grad=value.is_floating_point())
            )
    return module


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Return all tensors in a tensor, dict, list or tuple of them."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(entry)


def shown_states(
    part: nn.Module, before: dict[tuple[str, str], int]
) -> dict[tuple[str, str], Tensor]:
    """Return the tensors that a run left in a part's attributes, buffers and dicts, by (place,
    name); `before` has the identities of those that were there.
    """
    return {
        place: value.detach()
        for place, value in _tensors_by_place(part)
        if before.get(place) != id(value)
    }


def tensor_identities(part: nn.Module) -> dict[tuple[str, str], int]:
    """Return which tensors a part has in its attributes, buffers and dicts, by their identity."""
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
    """Put in the place of a part's states what is made of each, so that whoever looks at them by
    name sees that.
    """
    for (key, name), value in states.items():
        if not name:
            vars(part)[key] = made(value)
        elif isinstance(vars(part).get(key), dict):
            vars(part)[key][name] = made(value)
        else:
            vars(part)[key] = {name: made(value)}


def marked(value: Any, mark: float, n_from: int, n_to: int) -> Any:
    """Return states with one number in place of all of theirs, for so many samples in place of
    those that they were found for.
    """
    if isinstance(value, Tensor):
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
    """Return the parts, ``"'1' (BatchNorm2d)"``, that are set to train and whose code asks whether
    they are.

    Parameters
    ----------
    neurons : names
        Parts that are left out: layers of neurons, of which the card says all.
    """
    inside = nn.Module.named_modules(module)
    return tuple(
        f"'{name}' ({type(part).__name__})"
        for name, part in inside
        if part.training and name not in neurons and _asks(part)
    )


def _asks(part: nn.Module) -> bool:
    """Whether the forward of a part reads ``self.training``.

    The norms of PyTorch read it further inside.
    """
    code = getattr(inspect.unwrap(type(part).forward), "__code__", None)
    return isinstance(part, nn.modules.batchnorm._NormBase) or (
        code is not None and "training" in code.co_names
    )
