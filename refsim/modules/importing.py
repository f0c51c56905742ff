"""The user's own code, where the user names it.

``package.module:factory`` or ``folder/net.py:factory``.
"""

import hashlib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from ..core.errors import RefsimError

_USER_FOLDERS: set[Path] = set()  # folders of the user's code
_INSTALLED = {Path(__file__).resolve().parents[1]}  # refsim itself, which may lie in one of them
_NEEDED = (
    "write package.module:factory or net.py:factory, where factory is a function without "
    "arguments that returns an nn.Module, or the module itself"
)


def is_code(name: str) -> bool:
    """Whether a name on the command line means code to import.

    It has a colon and ends in an identifier.
    """
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
        ``"package.module:factory"`` or ``"folder/net.py:factory"``; the folder of the command is
        searched behind what is installed.

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
    """Import a function of the user's, ``"losses.py:mine"`` or ``"package.module:mine"``, such as a
    loss.

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
    """Let the user's code import what lies beside it, behind all that is installed.

    A file numpy.py there is nobody's NumPy.
    """
    _USER_FOLDERS.add(folder.resolve())
    if (found := str(folder.resolve())) not in sys.path:
        sys.path.append(found)


def failed_in(error: BaseException) -> str:
    """Return where in the user's code an error came about, ``net.py, line 9``.

    Empty where it is not in that.
    """
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
    """Refuse a package of the working folder whose name is also that of an installed one, which
    would be imported in its place.
    """
    first, here = where.partition(".")[0], Path.cwd()
    local = next(
        (
            path
            for path in (here / first / "__init__.py", here / first, here / f"{first}.py")
            if path.exists()
        ),
        None,
    )
    origin = _origin(first)
    if local is not None and origin is not None and not _same(Path(origin), local):
        file = Path(*where.split(".")).with_suffix(".py")
        raise RefsimError(
            f"{name}: {first!r} is also the name of an installed package, {origin}; give the "
            f"file itself, such as {file}:{name.rpartition(':')[2]}."
        )


def _origin(module: str) -> str | None:
    """Return the file of a module that would be imported under a name.

    None where there is none, or where it has no file.
    """
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        # a module that is already there, and that nothing tells the file of
        return "built in" if module in sys.modules else None
    if spec is None:
        return None
    return spec.origin or next(iter(spec.submodule_search_locations or []), None)


def _same(path: Path, other: Path) -> bool:
    return path.exists() and path.resolve() == other.resolve()


def _from_file(path: Path) -> ModuleType:
    _make_importable(path.resolve().parent)
    spec = importlib.util.spec_from_file_location(_name_of(path), path)
    assert spec is not None
    assert spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = code  # classes of the file are copied by way of their module
    spec.loader.exec_module(code)
    return code


def _name_of(path: Path) -> str:
    """Return the name of a file as a module.

    Its own, or a longer one where that is the name of something else.
    """
    origin = _origin(path.stem)
    if origin is None or _same(Path(origin), path):
        return path.stem
    return f"{path.stem}_{hashlib.sha256(bytes(path.resolve())).hexdigest()[:8]}"


def _call(factory: Any, name: str) -> Any:
    try:
        return factory()
    except RefsimError:
        raise
    except (Exception, SystemExit) as error:
        raise RefsimError(
            f"{name}: fails when it is called without arguments ({_line(error)})."
        ) from None


def _line(error: BaseException) -> str:
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0][:160]}" if said else type(error).__name__
