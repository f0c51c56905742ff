"""The one style of all pictures.

The colours are those of Okabe and Ito, which colour-blind readers tell apart; lines and markers
differ too, so that grey print keeps them apart.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .errors import RefsimError
from .outside import outside
from .whole_files import whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, BLACK, GREEN, PURPLE, SKY = (
    "#0072B2",
    "#D55E00",
    "#000000",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
)
# A curve's colour, line and marker go together, so that no two look alike without the colour.
CURVES = (
    {"color": BLUE, "linestyle": "-", "marker": "o"},
    {"color": ORANGE, "linestyle": "--", "marker": "s"},
    {"color": BLACK, "linestyle": ":", "marker": "^"},
    {"color": GREEN, "linestyle": "-.", "marker": "D"},
    {"color": PURPLE, "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "v"},
    {"color": SKY, "linestyle": (0, (1, 3)), "marker": "x"},
)
FORMATS = (".png", ".svg", ".pdf")


@dataclass(frozen=True, eq=False)
class Drawing:
    """A finished figure of matplotlib, which saves itself."""

    figure: "Figure"

    def bytes(self, kind: str = "png") -> bytes:
        """Return the picture as PNG, SVG or PDF; without a date, equal pictures are equal files."""
        matplotlib = _matplotlib()
        buffer = io.BytesIO()
        metadata = {
            "png": {"Software": None},
            "svg": {"Date": None},
            "pdf": {"CreationDate": None},
        }[kind]
        with matplotlib.rc_context({"svg.hashsalt": "refsim"}):
            self.figure.savefig(buffer, format=kind, metadata=metadata)
        return buffer.getvalue()

    def save(self, path: str | Path) -> Path:
        """Write the picture; the ending of the name says in which format.

        Raises
        ------
        RefsimError
            For another ending, a file that cannot be written, or numbers too large to be drawn.
        """
        target = Path(path)
        if target.suffix not in FORMATS:
            raise RefsimError(f"{target}: a picture's name must end in {', '.join(FORMATS)}.")
        try:
            with whole(target) as made:
                made.write_bytes(self.bytes(target.suffix[1:]))
        except OSError as error:
            raise RefsimError(f"{target}: cannot be written ({error.strerror}).") from None
        except (ValueError, OverflowError):
            raise RefsimError(
                f"{target}: its numbers are too large to be drawn; the table, as .csv or .npz, "
                "holds them."
            ) from None
        return target


def _matplotlib() -> ModuleType:
    """Import matplotlib, without the settings that lie in the working folder."""
    with outside():
        import matplotlib
    return matplotlib


def new_figure(height: float, rows: int = 1, **options: Any) -> tuple["Figure", Any]:
    """Return a figure of the width of a page, and its axes, several where there are several rows.

    Parameters
    ----------
    height : float
        In inches.
    **options
        As `Figure.subplots` takes them.
    """
    _matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, **options)


def finished(figure: "Figure") -> Drawing:
    """Take away the two borders of each panel that carry no scale, and return the drawing."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return Drawing(figure)


def curve(index: int, **options: Any) -> dict[str, Any]:
    """Return the options of matplotlib for the n-th curve of a picture."""
    return {**CURVES[index % len(CURVES)], "linewidth": 1.4, "markersize": 4, **options}
