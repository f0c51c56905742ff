"""Show how far a long run is: engines call `advance`, and whoever shows a bar opens `progress`."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar

_LISTENER: ContextVar[Callable[[int], object] | None] = ContextVar("listener", default=None)


def advance(samples: int) -> None:
    """Report that so many more samples are done."""
    listener = _LISTENER.get()
    if listener is not None and samples:
        listener(samples)


@contextlib.contextmanager
def progress(total: int, what: str) -> Iterator[None]:
    """Show a bar with rate and remaining time on a terminal, and nothing elsewhere.

    Parameters
    ----------
    total : int
        Samples of the whole run.
    what : str
        What the bar is labelled with.
    """
    from tqdm import tqdm

    with tqdm(
        total=total, desc=what, unit=" samples", disable=None, leave=False, dynamic_ncols=True
    ) as bar:
        token = _LISTENER.set(bar.update)
        try:
            yield
        finally:
            _LISTENER.reset(token)
