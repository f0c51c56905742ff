"""The user's own code, imported by the name that the user gives.

A name is ``package.module:factory`` or ``folder/net.py:factory``. `import_network` imports a
module, and `import_function` a function such as a loss. `failed_in` finds the line of the user's
code in which an error came about.
"""

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from ..core.errors import RefsimError

_USER_FOLDERS: set[Path] = set()  # folders from which code of the user was imported
_INSTALLED = {Path(__file__).resolve().parents[1]}  # refsim itself may lie in one of them
_NEEDED = (
    "write package.module:factory or net.py:factory, where factory is a function without "
    "arguments that returns an nn.Module, or the module itself"
)


def is_code(name: str) -> bool:
    """Return whether a name on the command line means code: a colon, then an identifier."""
    where, colon, what = name.rpartition(":")
    return bool(colon) and what.isidentifier() and not where.endswith((".toml", ".pt"))


def is_module(what: object) -> bool:
    """Return whether something is a live module of PyTorch."""
    return isinstance(what, nn.Module)


def import_network(name: str) -> nn.Module:
    """Import the user's code and return the module that it makes.

    Parameters
    ----------
    name : str
        ``"package.module:factory"`` or ``"folder/net.py:factory"``. Python searches the working
        folder after all that is installed.

    Raises
    ------
    RefsimError
        Where the code does not exist, fails, or returns something else.
    """
    where, _, what = name.rpartition(":")
    code = _import(where, name)
    if not hasattr(code, what):
        raise RefsimError(f"{name}: {where} has no '{what}'; {_NEEDED}.")
    # A factory is called; a module is taken as it is.
    made = getattr(code, what)
    if not isinstance(made, nn.Module) and callable(made):
        made = _call(made, name)
    if not isinstance(made, nn.Module):
        raise RefsimError(f"{name}: gives {type(made).__name__} and no nn.Module; {_NEEDED}.")
    return made


def import_function(name: str) -> Callable[..., Any]:
    """Import a function of the user, such as a loss; a class is called to make one.

    Parameters
    ----------
    name : str
        ``"losses.py:mine"`` or ``"package.module:mine"``.

    Raises
    ------
    RefsimError
        Where the code does not exist, fails, or holds something else.
    """
    where, _, what = name.rpartition(":")
    found: object = getattr(_import(where, name), what, None)
    if not callable(found):
        raise RefsimError(f"{name}: {where} has no function '{what}'.")
    function: Callable[..., Any] = found() if isinstance(found, type) else found
    return function


def _import(where: str, name: str) -> ModuleType:
    """Import a file or a package; every error of its code becomes one sentence."""
    path = Path(where)
    try:
        if path.suffix == ".py":
            if not path.is_file():
                raise RefsimError(f"{name}: there is no file {path}.")
            return _from_file(path)
        # Installed packages come first, so that a local one of that name would never be found.
        _check_package(where, name)
        _make_importable(Path.cwd())
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        raise RefsimError(
            f"{name}: cannot be imported, {str(error)[0].lower()}{str(error)[1:]}; {_NEEDED}."
        ) from None
    except RefsimError:
        raise
    except (Exception, SystemExit) as error:  # the user's code can raise anything
        raise RefsimError(f"{name}: its code fails when it is imported ({_line(error)}).") from None


def _make_importable(folder: Path) -> None:
    """Let the user's code import the files beside it, after all that is installed.

    A file named numpy.py there does so not replace NumPy.
    """
    _USER_FOLDERS.add(folder.resolve())
    if (found := str(folder.resolve())) not in sys.path:
        sys.path.append(found)


def failed_in(error: BaseException) -> str:
    """Return the line of the user's code that failed, ``net.py, line 9``; empty for other code."""
    # The last line in a folder of the user is the one that failed.
    rows = [(Path(row.filename), row.lineno) for row in traceback.extract_tb(error.__traceback__)]
    own = [
        (path, line)
        for path, line in rows
        if _USER_FOLDERS & set(path.parents)
        and not _INSTALLED & set(path.parents)
        and "site-packages" not in path.parts
    ]
    return f"{own[-1][0].name}, line {own[-1][1]}" if own else ""


def _check_package(where: str, name: str) -> None:
    """Refuse a package of the working folder that an installed one of the same name would hide."""
    first, here = where.partition(".")[0], Path.cwd()
    local = next(
        (
            path
            for path in (here / first / "__init__.py", here / first, here / f"{first}.py")
            if path.exists()
        ),
        None,
    )
    # Both exist, and they are not the same file: the user means the local one.
    origin = _origin(first)
    if local is not None and origin is not None and not _same(Path(origin), local):
        file = Path(*where.split(".")).with_suffix(".py")
        raise RefsimError(
            f"{name}: {first!r} is also the name of an installed package, {origin}; give the "
            f"file itself, such as {file}:{name.rpartition(':')[2]}."
        )


def _origin(module: str) -> str | None:
    """Return the file of the module that a name would import; None without such a file."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        # Such a module is loaded already, and does not say where from.
        return "built in" if module in sys.modules else None
    if spec is None:
        return None
    return spec.origin or next(iter(spec.submodule_search_locations or []), None)


def _same(path: Path, other: Path) -> bool:
    return path.exists() and path.resolve() == other.resolve()


def _from_file(path: Path) -> ModuleType:
    """Import one file."""
    _make_importable(path.resolve().parent)
    spec = importlib.util.spec_from_file_location(_name_of(path), path)
    assert spec is not None
    assert spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = code  # copies and pickles look for a class in its module
    spec.loader.exec_module(code)
    return code


def _name_of(path: Path) -> str:
    """Return the name under which a file is imported; a longer one where its own is taken."""
    origin = _origin(path.stem)
    if origin is None or _same(Path(origin), path):
        return path.stem
    return f"{path.stem}_{hashlib.sha256(bytes(path.resolve())).hexdigest()[:8]}"


def _call(factory: Callable[[], object], name: str) -> object:
    """Call the user's function, and turn its errors into one sentence."""
    try:
        return factory()
    except RefsimError:
        raise
    except (Exception, SystemExit) as error:
        raise RefsimError(
            f"{name}: fails when it is called without arguments ({_line(error)})."
        ) from None


def _line(error: BaseException) -> str:
    """Return the kind and the first line of an error."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0][:160]}" if said else type(error).__name__
