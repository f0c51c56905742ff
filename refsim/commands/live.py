"""A live module on the command line: imported by name, read, and put on trial."""

import argparse
from dataclasses import dataclass
from typing import Any

from ..errors import RefsimError
from ..network import Network
from ..pytorch.bridge import from_module
from ..pytorch.bridge.importing import import_network
from ..pytorch.engine import checked_device
from .reading import shape_given


@dataclass(frozen=True)
class LiveModule:
    """The user's module, the network that it is read as, and the engine that runs it."""

    name: str
    module: Any
    network: Network
    device: str
    input_shape: tuple[int, ...] | None
    layout: str | None

    @classmethod
    def of(cls, options: argparse.Namespace) -> "LiveModule":
        """Import and read what the options name."""
        if given := [name for name in ("describe", "convention") if getattr(options, name)]:
            raise RefsimError(f"{options.network}: a module says its neurons and conventions itself; leave --{given[0]} out.")
        module = import_network(options.network)
        for dtype in (options.dtype or [])[:1]:
            if len(options.dtype) > 1:
                raise RefsimError(f"{options.network}: is run in one dtype; give --dtype once, or none, and it is run as it is.")
            module = module.double() if dtype == "float64" else module.float()
        shape = shape_given(options.input_shape)
        network = from_module(module, options.dt, shape, options.layout)
        checked_device(options.device)
        return cls(options.network, module.to(options.device), network, options.device, shape, options.layout)
