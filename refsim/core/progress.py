"""Tell how far a long run is: engines call `advance`, whoever shows a bar opens `progress`."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

_LISTENER: ContextVar[Callable[[int], object] | None] = ContextVar("listener", default=None)


def advance(samples: int) -> None:
    """Say that so many more samples are done."""
    listener = _LISTENER.get()
    if listener is not None and samples:
        listener(samples)


@contextlib.contextmanager
def progress(total: int, what: str) -> Iterator[None]:
    """Show a bar with rate and time left on a terminal; nothing elsewhere."""
    from tqdm import tqdm

    with tqdm(
        total=total, desc=what, unit=" samples", disable=None, leave=False, dynamic_ncols=True
    ) as bar:
        token = _LISTENER.set(bar.update)
        try:
            yield
        finally:
            _LISTENER.reset(token)
