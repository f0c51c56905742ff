"""The user's own code, where the user names it: ``package.module:factory`` or ``folder/net.py:factory``."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from ...errors import RefsimError

_NEEDED = "write package.module:factory or net.py:factory, where factory is a function without arguments that returns an nn.Module, or the module itself"


def is_code(name: str) -> bool:
    """Whether a name on the command line means code to import: it has a colon and ends in an identifier."""
    where, colon, what = name.rpartition(":")
    return bool(colon) and what.isidentifier() and not where.endswith((".toml", ".pt"))


def is_module(what: object) -> bool:
    """Whether something is a live module."""
    return isinstance(what, nn.Module)


def import_network(name: str) -> nn.Module:
    """Import the user's code and return the module that it makes.

    Parameters
    ----------
    name : str
        ``"package.module:factory"`` or ``"folder/net.py:factory"``; the folder of the command is searched first.

    Raises
    ------
    RefsimError
        Where the code is not there, fails, or makes something else.
    """
    where, _, what = name.rpartition(":")
    code = _import(where, name)
    if not hasattr(code, what):
        raise RefsimError(f"{name}: {where} has no '{what}'; {_NEEDED}.")
    made = getattr(code, what)
    if not isinstance(made, nn.Module) and callable(made):
        made = _call(made, name)
    if not isinstance(made, nn.Module):
        raise RefsimError(f"{name}: gives {type(made).__name__} and no nn.Module; {_NEEDED}.")
    return made


def import_function(name: str) -> Any:
    """Import a function of the user's, ``"losses.py:mine"`` or ``"package.module:mine"``, such as a loss.

    Raises
    ------
    RefsimError
        Where the code is not there, fails, or holds something else.
    """
    where, _, what = name.rpartition(":")
    made = getattr(_import(where, name), what, None)
    if not callable(made):
        raise RefsimError(f"{name}: {where} has no function '{what}'.")
    return made() if isinstance(made, type) else made


def _import(where: str, name: str) -> ModuleType:
    path = Path(where)
    try:
        if path.suffix == ".py":
            if not path.is_file():
                raise RefsimError(f"{name}: there is no file {path}.")
            return _from_file(path)
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.insert(0, here)
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        raise RefsimError(f"{name}: cannot be imported, {str(error)[0].lower()}{str(error)[1:]}; {_NEEDED}.") from None
    except RefsimError:
        raise
    except (Exception, SystemExit) as error:  # the user's code can raise anything
        raise RefsimError(f"{name}: its code fails when it is imported ({_line(error)}).") from None


def _from_file(path: Path) -> ModuleType:
    if (folder := str(path.resolve().parent)) not in sys.path:
        sys.path.insert(0, folder)  # for what lies beside it
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, code)  # classes of the file are copied by way of their module
    spec.loader.exec_module(code)
    return code


def _call(factory: Any, name: str) -> Any:
    try:
        return factory()
    except RefsimError:
        raise
    except (Exception, SystemExit) as error:
        raise RefsimError(f"{name}: fails when it is called without arguments ({_line(error)}).") from None


def _line(error: BaseException) -> str:
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0][:160]}" if said else type(error).__name__
