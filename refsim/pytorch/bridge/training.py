"""Which parts of a module that is set to train answer otherwise in evaluation, in which it is read and judged."""

import inspect
from collections.abc import Collection

from torch import nn


def otherwise_in_training(module: nn.Module, neurons: Collection[str]) -> tuple[str, ...]:
    """Return the parts, ``"'1' (BatchNorm2d)"``, that are set to train and whose code asks whether they are.

    Parameters
    ----------
    neurons : names
        Parts that are left out: layers of neurons, of which the card says all.
    """
    inside = nn.Module.named_modules(module)
    return tuple(f"'{name}' ({type(part).__name__})" for name, part in inside if part.training and name not in neurons and _asks(part))


def _asks(part: nn.Module) -> bool:
    """Whether the forward of a part reads ``self.training``; the norms of PyTorch read it further inside."""
    code = getattr(inspect.unwrap(type(part).forward), "__code__", None)
    return isinstance(part, nn.modules.batchnorm._NormBase) or (code is not None and "training" in code.co_names)
