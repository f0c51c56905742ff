"""The pickle of a PyTorch file, walked before it is loaded: a few hundred bytes can say what no machine ever finishes.

PyTorch loads no code, but it does load tuples of tuples: where each holds the one before it twice, n of them are 2^n to whoever
takes the hash of the last, as a dictionary does of a key.
"""

import io
import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch

from ...errors import RefsimError

_LARGEST = 20_000_000  # parts of all that is put together, each counted as often as it is held; a state_dict has some ten a tensor
_PICKLES = 5  # of the old format: magic number, version, facts of the system, the object, its storages
_ZIP = b"PK\x03\x04"
_INTO = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")  # they put things into what lies below, which was counted before


def check_pickle(path: Path, where: str, cure: str) -> None:
    """Refuse a file whose pickle would be put together from more than any network has.

    Raises
    ------
    RefsimError
        Also where the pickle ends early or has no such operation.
    """
    with open(path, "rb") as file:
        begins = file.read(len(_ZIP))
        file.seek(0)
        try:
            if begins == _ZIP:
                _walk(io.BytesIO(_record(path)), where, cure)
            else:
                for _ in range(_PICKLES):
                    _walk(file, where, cure)
        except RefsimError:
            raise
        except Exception as error:  # of a damaged file; what PyTorch says of it is no better
            said = (str(error).strip().splitlines() or [type(error).__name__])[0][:120].rstrip(".")
            raise RefsimError(f"{where}: is not a PyTorch file, damaged or cut short ({said}). {cure}") from None


def _record(path: Path) -> bytes:
    """Return the pickle of an archive, read by PyTorch's own reader: another one might find another entry of the name."""
    reader: Any = torch._C.PyTorchFileReader(str(path))
    return bytes(reader.get_record("data.pkl"))


def _walk(file: BinaryIO, where: str, cure: str) -> None:
    """Follow the stack of one pickle, of each thing only how large it is when everything is counted as often as it is held."""
    stack: list[int | None] = []  # None: a mark
    memo: dict[int, int] = {}
    spent = 0
    for name, argument, before, after in _operations(file):
        size = 1
        if name in ("GET", "BINGET", "LONG_BINGET"):
            size = memo.get(int(argument), 1)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else int(argument)] = _top(stack)
            continue
        elif before:
            taken = _taken(stack, before)
            spent += sum(taken[1:] if name in _INTO else taken)
            size += sum(taken)
        stack += [None if kind == "mark" else size for kind in after]
        if spent > _LARGEST or size > _LARGEST:
            raise RefsimError(f"{where}: its things hold each other so often that there would be more than {_LARGEST:,} of them; no network has. {cure}")


def _operations(file: BinaryIO) -> Iterator[tuple[str, Any, list[str], list[str]]]:
    """Yield name, argument, and what is taken from and put on the stack, of each operation."""
    for operation, argument, _ in pickletools.genops(file):
        yield operation.name, argument, [each.name for each in operation.stack_before], [each.name for each in operation.stack_after]


def _top(stack: list[int | None]) -> int:
    return stack[-1] or 1


def _taken(stack: list[int | None], kinds: list[str]) -> list[int]:
    """Take from the stack what an operation takes, all down to a mark where it takes so many; the lowest first."""
    found: list[int] = []
    for kind in reversed(kinds):
        if kind == "stackslice":
            while stack[-1] is not None:
                found.append(stack.pop() or 1)
        else:
            found.append(stack.pop() or 1)
    return found[::-1]
