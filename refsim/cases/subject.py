"""What is put on trial and what it is compared with: declared, read and trial, each with its name.

`subject_of` finds the three from what a user gives; `ReadOptions` are the options beside it;
`is_live` and `case_in` say what kind of thing was given.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.claims import Claim
from ..core.errors import RefsimError
from ..networks.network import Network
from ..networks.recording import Engine
from .case import Case, demo_case, read_case, standard_claims

if TYPE_CHECKING:
    import torch

    from ..files.reading import Reading

OWN_STEPS = "refsim's own steps: your own code did not run"


@dataclass(frozen=True, eq=False)
class Subject:
    """A network, and whose code runs it.

    Attributes
    ----------
    network : Network
        The declared network or, where nothing was declared, the one read from the module.
    title : str
    declared : str
        What declared it: a file, a description, a case. Empty where a module was read and nothing
        was declared.
    read : Network or None
        What refsim measured from the module, or None where there is no module or it could not be
        read.
    unread : str
        The reason why it could not be read.
    trial : Engine or None
        The engine that runs the module; None where refsim's own steps go on trial.
    name : str
        The name of the module.
    reading : Reading or None
        What was read from a file, and what was assumed.
    case : Case or None
    claims : tuple of Claim
    """

    network: Network
    title: str
    declared: str = ""
    read: Network | None = None
    unread: str = ""
    trial: Engine | None = None
    name: str = ""
    reading: "Reading | None" = None
    case: Case | None = None
    claims: tuple[Claim, ...] = field(default_factory=standard_claims)

    @property
    def parties(self) -> dict[str, str | None]:
        """The three parties in words: declared, read and trial; None where there is none."""
        if self.trial is None:
            return {"declared": self.declared, "read": None, "trial": OWN_STEPS}
        read = f"{self.name}, measured" if self.read is not None else f"not read: {self.unread}"
        return {
            "declared": self.declared or None,
            "read": read,
            "trial": f"{self.name}, its own code",
        }


@dataclass(frozen=True)
class ReadOptions:
    """The options beside a file or module; see `refsim.validate`."""

    describe: str | Path | Mapping[str, object] | None = None
    dt: object = None
    convention: Mapping[str, str] = field(default_factory=dict)
    input_shape: Sequence[int] | None = None
    layout: str | None = None
    device: str | None = None
    dtype: str | None = None


def subject_of(what: object, against: object, said: ReadOptions) -> Subject:
    """Return what is validated.

    Parameters
    ----------
    what : Network, nn.Module, path, "package.file:factory" or None
        None is the network that comes with refsim.
    against : Network, nn.Module, path or None
        What a module is compared with.
    said : ReadOptions

    Returns
    -------
    Subject

    Raises
    ------
    RefsimError
        Says what was given and what is needed.
    """
    if is_live(what):
        return _live(what, against, said)
    # What is not live has no code of its own, and options of modules do not apply.
    if against is not None:
        raise RefsimError(
            f"against: is what a live module is held against, and {_named(what)} has no code of "
            "its own to put on trial; "
            "name the code that makes one, net.py:make, or give the module itself."
        )
    if given := [name for name in ("input_shape", "layout") if getattr(said, name) is not None]:
        raise RefsimError(
            f"--{given[0].replace('_', '-')} is of a module, package.file:factory; a file of "
            "weights is described by its TOML."
        )
    return declared_subject(what, said)


def declared_subject(what: object, said: ReadOptions) -> Subject:
    """Return a declaration: a network, a case, a description, a file, or a module's reading."""
    from ..files.formats import read_file
    from ..files.reading import Asked
    from ..modules.read import from_module

    # What is a network already, or the default, needs no reading.
    if isinstance(what, Network):
        return Subject(what, "a network of refsim's", declared="a network made in Python")
    if what is None:
        if said.describe:
            raise RefsimError(
                "--describe needs the weights it describes: refsim validate net.pt --describe "
                "net.toml"
            )
        return _of_case(demo_case())
    # A module may be the declaration of another module.
    if is_live(what):
        module, name = _module(what, said)
        network = from_module(module, said.dt, said.input_shape, said.layout)
        return Subject(network, name, declared=f"{name}, as it was read")
    if not isinstance(what, str | os.PathLike):
        raise RefsimError(
            "validate: needs a refsim.Network, a torch.nn.Module, or the path of a file, but "
            f"{type(what).__name__} was given."
        )
    # A path: a case, else a file of weights.
    path = Path(what)
    if (case := case_in(path)) is not None:
        return _of_case(case)
    if not path.is_file():
        raise RefsimError(
            f"network {path}: {'is a folder' if path.is_dir() else 'there is no such file'}."
        )
    # A file of code names no module by itself.
    if path.suffix == ".py":
        raise RefsimError(
            f"network {path}: is code; name the function that makes the module, such as "
            f"{path}:make."
        )
    reading = read_file(path, Asked(said.describe, said.dt, said.convention))
    return Subject(reading.network, path.name, declared=path.name, reading=reading)


def _of_case(case: Case) -> Subject:
    """Return the network of a case, with the claims of that case."""
    if case.kind != "network":
        raise RefsimError(f"case {case.path}: is about single neurons, and holds no network.")
    return Subject(
        case.load(),
        str(case.table["title"]),
        declared=f"case {case.path.name}",
        case=case,
        claims=case.claims,
    )


def _live(what: object, against: object, said: ReadOptions) -> Subject:
    """Return a live module as a subject, with what it is compared with."""
    from ..engines.pytorch import Torch, checked_device
    from ..modules.read import from_module

    if against is None and (
        given := [name for name in ("describe", "convention") if getattr(said, name)]
    ):
        raise RefsimError(
            f"{_named(what)}: a module says its neurons and conventions itself; leave "
            f"--{given[0]} out, or hold it against a declaration, --against net.toml."
        )
    module, name = _module(what, said)
    device = said.device or _device_of(module)
    checked_device(device)
    # What is declared gives the step, where it is there.
    held = (
        None
        if against is None
        else declared_subject(against, said if not is_live(against) else ReadOptions(dt=said.dt))
    )
    dt = said.dt if held is None else held.network.dt
    # What is read from the module: without a declaration there must be something.
    read, unread = None, ""
    try:
        read = from_module(module, dt, said.input_shape, said.layout)
    except RefsimError as error:  # what is declared can be held against what nobody can read
        if held is None:
            raise
        unread = str(error).removeprefix("module: ")
    # On trial is the module itself.
    shape = None if said.input_shape is None else tuple(said.input_shape)
    trial = Torch(device=device, module=module, input_shape=shape, layout=said.layout)
    network = read if held is None else held.network
    assert network is not None
    if held is None:
        return Subject(network, name, read=read, trial=trial, name=name)
    return Subject(
        network,
        f"{name} against {held.title}",
        held.declared,
        read,
        unread,
        trial,
        name,
        held.reading,
        claims=held.claims,
    )


def _module(what: object, said: ReadOptions) -> tuple[Any, str]:
    """Return a module and its name.

    The user's own module is never changed. One that was made for this run is put where it is asked
    for.
    """
    if not isinstance(what, str):
        if said.dtype is not None:
            raise RefsimError(
                "validate: a module is run as it is; leave dtype out, or convert the module "
                "yourself, module.double()."
            )
        return what, type(what).__name__
    # A name of code makes a module for this run, which may be converted and moved.
    from ..modules.importing import import_network

    module = import_network(what)
    if said.dtype is not None:
        module = module.double() if said.dtype == "float64" else module.float()
    return (module if said.device is None else module.to(_checked(said.device))), what


def _checked(device: str) -> "torch.device":
    """Return a device of PyTorch, or refuse one that is not there."""
    from ..engines.pytorch import checked_device

    return checked_device(device)


def _device_of(module: Any) -> str:
    """Return the device of a module's parameters."""
    return next((str(each.device) for each in module.parameters()), "cpu")


def is_live(what: object) -> bool:
    """Return whether something is a module, or names code that makes one."""
    if what is None or isinstance(what, Network | os.PathLike):
        return False
    from ..modules.importing import is_code, is_module

    return is_code(what) if isinstance(what, str) else is_module(what)


def _named(what: object) -> str:
    """Return words for what was given."""
    return (
        str(what)
        if isinstance(what, str | os.PathLike)
        else "the network that comes with refsim"
        if what is None
        else f"a {type(what).__name__}"
    )


def case_in(path: Path) -> Case | None:
    """Return the case where a file is one; None where it is a network.

    Raises
    ------
    RefsimError
        Where there is no such file, or the case is wrong.
    """
    if path.suffix != ".toml":
        return None
    if not path.is_file():
        raise RefsimError(f"{path}: there is no such file.")
    # A case has a kind, and a description of weights has none.
    text = path.read_text("utf-8", errors="replace")
    return (
        read_case(path)
        if any(line.split("=")[0].strip() == "kind" for line in text.splitlines())
        else None
    )
