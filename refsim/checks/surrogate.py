"""The check of somebody's spike function, trait by trait.

Forward it must be a step; back it must give the declared surrogate derivative.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from ..core.arrays import Floats
from ..core.claims import Claim, Verdict
from ..core.errors import CrashError
from .bias import surrogate_rows
from .suite import DIGITS, FLOAT32_DIGITS, Answer, Check, names_skipped, run_checks

if TYPE_CHECKING:
    from torch import Tensor

_WIDEST = 1e12
# A scan over so many half-widths to either side; bisections to the last bit.
_REACH, _POINTS, _HALVINGS = 30.0, 6001, 60


@dataclass(frozen=True, eq=False)
class Bell:
    """A surrogate derivative, measured: where it is half as high as at its highest.

    Attributes
    ----------
    slope : function of distances (n,) to the derivative there
    span : float
        How far to either side of threshold it is looked for.
    """

    slope: Callable[[Floats], Floats]
    span: float

    @cached_property
    def _scan(self) -> tuple[Floats, Floats]:
        grid = np.linspace(-self.span, self.span, _POINTS)
        return grid, self.slope(grid)

    @cached_property
    def height(self) -> float:
        """The highest value, of the scan or in the middle of what is at least half as high."""
        highest = float(self._scan[1].max())
        # The highest point may lie between two points of the scan.
        middle = 0.5 * sum(self._crossings(highest / 2))
        return (
            max(highest, float(self.slope(np.array([middle]))[0]))
            if np.isfinite(middle)
            else highest
        )

    @cached_property
    def edges(self) -> tuple[float, float]:
        """Distances at which it rises to half its height and falls below it again.

        They are NaN where it does not do both within the span.
        """
        return self._crossings(self.height / 2)

    def _crossings(self, level: float) -> tuple[float, float]:
        grid, slope = self._scan
        # The outermost points that are high enough, with lower ones outside.
        high = np.flatnonzero(slope >= level)
        if not level > 0 or high[0] == 0 or high[-1] == _POINTS - 1:
            return float("nan"), float("nan")
        return self._crossing(level, grid[high[0] - 1], grid[high[0]]), self._crossing(
            level, grid[high[-1] + 1], grid[high[-1]]
        )

    def _crossing(self, level: float, low: float, high: float) -> float:
        # Bisection between a low and a high point of the scan.
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (
                (low, middle) if self.slope(np.array([middle]))[0] >= level else (middle, high)
            )
        return high

    @property
    def width(self) -> float:
        """Width at half height."""
        return self.edges[1] - self.edges[0]

    @property
    def centre(self) -> float:
        """The middle between the edges."""
        return 0.5 * (self.edges[0] + self.edges[1])


@dataclass(frozen=True, eq=False)
class SurrogatePair:
    """Somebody's spike function and the declared surrogate."""

    spikes: Callable[[Floats], Floats]
    back: Callable[..., Floats | None]
    trial: Bell
    declared: Bell
    normalised: bool

    @cached_property
    def used(self) -> bool:
        """Whether anything comes back at all."""
        return self.trial.height > 0


def _forward(pair: SurrogatePair) -> Answer:
    """Count distances beside threshold at which the spike is not 0 below and 1 above."""
    x = np.array([-1e3, -1.0, -0.1, -1e-3, -1e-6, 1e-6, 1e-3, 0.1, 1.0, 1e3])
    return float((pair.spikes(x) != (x > 0)).sum()), ""


def _comparison(pair: SurrogatePair) -> Answer:
    return float(pair.spikes(np.zeros(1))[0] != 1), ""


def _used(pair: SurrogatePair) -> Answer:
    return float(not pair.used), "" if pair.used else "no gradient comes back from the spikes"


def _chain(pair: SurrogatePair) -> Answer:
    """Compare gradients of all signs and sizes that are sent back with what comes back of them.

    Each must come back times the derivative at its place.
    """
    if not pair.used:
        return None, _UNUSED
    x = np.linspace(-2, 2, 41) * pair.declared.width
    upstream = np.linspace(-3, 5, 41)
    found, single = pair.back(x, upstream), pair.trial.slope(x)
    assert found is not None
    return float(np.abs(found - upstream * single).max() / np.abs(upstream * single).max()), ""


def _centre(pair: SurrogatePair) -> Answer:
    if not np.isfinite(pair.trial.width):
        return None, _NO_EDGES
    return abs(pair.trial.centre - pair.declared.centre) / pair.declared.width, ""


def _width(pair: SurrogatePair) -> Answer:
    if not np.isfinite(pair.trial.width):
        return None, _NO_EDGES
    ratio = pair.trial.width / pair.declared.width
    return abs(ratio - 1), f"{ratio:.6g} times as wide as declared" if abs(
        ratio - 1
    ) > DIGITS else ""


def _scale(pair: SurrogatePair) -> Answer:
    """Return the factor in height that the width does not account for, less 1."""
    if not np.isfinite(pair.trial.width):
        return None, _NO_EDGES
    # A surrogate of fixed area is lower where it is wider.
    ratio = (
        pair.trial.height
        / pair.declared.height
        * (pair.trial.width / pair.declared.width if pair.normalised else 1)
    )
    return abs(ratio - 1), f"{ratio:.6g} times the declared one" if abs(ratio - 1) > DIGITS else ""


def _shape(pair: SurrogatePair) -> Answer:
    if not pair.used:
        return None, _UNUSED
    x = pair.declared.width * np.linspace(-8, 8, 2001)
    # An edge may belong to either side.
    # Points on an edge are left out, for either side may own them.
    x = x[
        np.abs(np.abs(x - pair.declared.centre) - pair.declared.width / 2)
        > 1e-9 * pair.declared.width
    ]
    return float(
        np.abs(pair.trial.slope(x) - pair.declared.slope(x)).max() / pair.declared.height
    ), ""


_UNUSED = "no gradient comes back"
_NO_EDGES = "what comes back does not rise and fall within thirty widths of threshold"


def _check(
    measure: str, limit: float, unit: str, because: str, how: Callable[[SurrogatePair], Answer]
) -> Check:
    return Check(Claim("gradient", measure, limit, unit, because), how, last=measure == "shape")


SURROGATE_CHECKS: dict[str, Check] = {
    "forward": _check(
        "forward",
        0,
        "wrong spikes",
        "forward a spike is a step: 0 below threshold and 1 above it, and not the smooth stand-in",
        _forward,
    ),
    "comparison": _check(
        "comparison",
        0,
        "wrong spikes",
        (
            "a membrane exactly at threshold fires; > for >= is a difference that random input "
            "never shows"
        ),
        _comparison,
    ),
    "used": _check(
        "used",
        0,
        "1 if not",
        "a step has derivative zero: without its surrogate nothing below it learns",
        _used,
    ),
    "chain": _check(
        "chain",
        DIGITS,
        "1",
        (
            f"the gradient that arrives is multiplied by the derivative, sign and size; "
            f"{FLOAT32_DIGITS}"
        ),
        _chain,
    ),
    "centre": _check(
        "centre",
        DIGITS,
        "widths",
        (
            f"the derivative stands where the declared one does: at threshold, not at rest; "
            f"{FLOAT32_DIGITS}"
        ),
        _centre,
    ),
    "width": _check(
        "width",
        DIGITS,
        "1",
        (
            "at half its height it is as wide as declared: a slope or a temperature of the "
            f"declared size; {FLOAT32_DIGITS}"
        ),
        _width,
    ),
    "scale": _check(
        "scale",
        DIGITS,
        "1",
        f"its height is the declared one, or its area where the width is another; {FLOAT32_DIGITS}",
        _scale,
    ),
    "shape": _check(
        "shape",
        DIGITS,
        "1",
        (
            "the derivative is the declared one everywhere, whatever the checks with a name of "
            f"their own found; {FLOAT32_DIGITS}"
        ),
        _shape,
    ),
}


def check_surrogate(
    fire: Callable[["Tensor"], "Tensor"],
    against: str,
    *,
    skip: Collection[str] | str = (),
    bias: bool = False,
    **parameters: float,
) -> list[Verdict]:
    """Check somebody's spike function with a surrogate gradient against a declared surrogate.

    Parameters
    ----------
    fire : function ``x -> spikes``
        x is a tensor (n,) of distances to threshold, v - v_th, float64.
    against : str
        A surrogate of ``refsim.pytorch.surrogate.SURROGATES``.
    skip : name or names of checks to leave out, such as ``"comparison"`` for a step that is > by
    intent
    bias : bool
        Also report how far what it sends back is from the gradient of an expected loss, in small
        networks of threshold 1; see `surrogate_bias`.
    **parameters
        Of the declared surrogate: ``slope=25``.

    Returns
    -------
    list of Verdict, one a check
        The last one, shape, compares the whole derivative, and is run only where none before it
        fails. A function that raises fails.

    Raises
    ------
    RefsimError
        For a check, a surrogate or a parameter that is not known, or a function that does not
        return as many spikes.
    """
    from ..modules.functions import (
        fire_slope,
        surrogate_derivative,
        surrogate_slope,
        surrogate_spikes,
    )
    from ..pytorch.surrogate import SURROGATES

    # Wrong names are refused before anything is run.
    names_skipped(skip, SURROGATE_CHECKS, "check_surrogate")
    declared = _declared(surrogate_derivative(against, **parameters))
    # Both derivatives are measured over the span of the declared one.
    pair = SurrogatePair(
        partial(surrogate_spikes, fire),
        partial(surrogate_slope, fire),
        Bell(fire_slope(fire), declared.span),
        declared,
        SURROGATES[against].normalised,
    )
    verdicts = run_checks(SURROGATE_CHECKS, pair, who="check_surrogate", run=against, skip=skip)
    return verdicts + (_bias_rows(fire_slope(fire)) if bias else [])


def _bias_rows(slope: Callable[[Floats], Floats]) -> list[Verdict]:
    """Return the verdicts of the bias, which is reported.

    A function that raises has none, and a check has failed for it already.
    """
    try:
        return surrogate_rows(slope, detach_reset=False, threshold=1.0)
    except CrashError:
        return []


def _declared(slope: Callable[[Floats], Floats]) -> Bell:
    """Return a derivative, measured over a span of so many of its own half-widths.

    A derivative that never falls to half its height is infinitely wide.
    """
    span = 1.0
    # The span grows until the bell falls to half its height on both sides.
    while not np.isfinite(Bell(slope, span).width) and span < _WIDEST:
        span *= 4
    return Bell(slope, _REACH / 2 * Bell(slope, span).width)
