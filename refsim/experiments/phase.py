"""The phase plane: nullclines, slopes, fixed points and a trajectory.

For a neuron of one state it is dv/dt over v.
"""

import itertools
from collections.abc import Mapping

import numpy as np

from ..cards.neuron import NeuronModel
from ..core.arrays import Floats
from ..core.errors import RefsimError
from ..core.units import to_si
from .inputs import constant
from .one_neuron import Setting, fine, rheobase
from .responses import Ode, record_states, threshold_over
from .result import Column, Fact, Result, readable

POINTS = 201  # a side of the plane


def phase(
    model: NeuronModel,
    current: float | str | None = None,
    *,
    states: tuple[str, ...] | None = None,
    duration: float | str = "200 ms",
    setting: Setting | None = None,
) -> Result:
    """Lay out the slopes of a neuron of one or two states for a constant input.

    Parameters
    ----------
    model : NeuronModel
    current : float or str, optional
        By default 1.5 times the rheobase.
    states : (x,) or (x, y), optional
        Which states span the plane; others are held at their start. Needed where the card has more
        than two.
    duration : float or str
        Of the trajectory.

    Returns
    -------
    Result
        Tables trajectory (time and every state), flow (states and their slopes on a grid) and
        fixed_points (with 1 where stable, by the eigenvalues of the Jacobian).
    """
    setting = fine(model, setting)
    # Which states span the plane, and the input they move under.
    chosen = _axes(model, states)
    n_steps, unit = setting.steps(duration), model.input_unit
    level = (
        1.5 * rheobase(model, setting, n_steps)
        if current is None
        else to_si(current, unit, "current")
    )
    # The trajectory from the start, all states of it.
    run = record_states(model, constant(level), setting, n_steps)
    path = {
        name: np.append(state.start, run.traces[0][name][0, :, 0])
        for name, state in model.solved.items()
    }
    # The slopes on a grid that shows the trajectory.
    plane = Plane(Ode.of(model), chosen, level, setting.step)
    grid = np.meshgrid(
        *(_range(path[name], model, name, setting) for name in chosen), indexing="ij"
    )
    slopes = plane.slopes([axis.ravel() for axis in grid])
    flow = {
        name: _column(axis.ravel(), model, name) for name, axis in zip(chosen, grid, strict=True)
    }
    flow |= {
        f"d{name}_dt": Column(slope, model.state[name].unit, f"slope of {name}, a second")
        for name, slope in zip(chosen, slopes, strict=True)
    }
    # Where all slopes are 0.
    points, stable = plane.fixed_points([axis for axis in grid])
    fixed = {name: _column(points[:, index], model, name) for index, name in enumerate(chosen)} | {
        "stable": Column(stable, "1", "1 where stable")
    }
    # Time 0 is the start, before the first sub-step.
    times = np.arange(len(path[chosen[0]])) * setting.sub_step
    trajectory = {"time": Column(times, "second", "0 is the start")} | {
        name: _column(values, model, name) for name, values in path.items()
    }
    facts = {
        "fixed_points": Fact(float(len(points)), "1", "within the plane shown"),
        "stable": Fact(float(stable.sum()), "1", "of them stable"),
    }
    settings = {"input": readable(level, unit) or "0", **setting.said()}
    return Result(
        "phase",
        model,
        {"trajectory": trajectory, "flow": flow, "fixed_points": fixed},
        facts,
        settings,
    )


def _axes(model: NeuronModel, states: tuple[str, ...] | None) -> tuple[str, ...]:
    membrane = model.membrane_in(fine=True)
    own = (membrane, *(name for name in model.solved if name != membrane))
    chosen = tuple(states or own)
    # A state that the ODE does not have.
    if unknown := [name for name in chosen if name not in model.solved]:
        raise RefsimError(
            f"phase: the ODE of '{model.name}' has no state {unknown[0]!r}; it has "
            f"{', '.join(model.solved)}."
        )
    # More than two states do not fit a plane.
    if len(chosen) > 2 or len(set(chosen)) != len(chosen):
        said = (
            f"{', '.join(chosen)} were given for '{model.name}'"
            if states
            else f"'{model.name}' has {', '.join(own)}"
        )
        cure = (
            f"choose two, --states {','.join(own[:2])}"
            if len(own) > 1
            else f"it has one, --states {membrane}"
        )
        raise RefsimError(f"phase: a plane has two different states, but {said}; {cure}.")
    return chosen


def _column(values: Floats, model: NeuronModel, name: str) -> Column:
    return Column(values, model.state[name].unit, model.state[name].meaning)


def _range(path: Floats, model: NeuronModel, name: str, setting: Setting) -> Floats:
    """Return the values of a state that are shown, POINTS of them.

    They cover the trajectory, the threshold where the state is the membrane, and a margin.
    """
    # The trajectory must be in the picture, and the threshold too.
    low, high = float(path.min()), float(path.max())
    if name == model.membrane_in(fine=True):
        at = {other: state.start for other, state in model.state.items()}
        # NaN where it is drawn by chance.
        (bound,) = threshold_over(model, at, np.zeros(1), setting.step)
        low, high = float(np.fmin(low, bound)), float(np.fmax(high, bound))
    margin = 0.2 * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, POINTS)


class Plane:
    """The slopes of one or two of a neuron's states over these states, for a constant input.

    The other states stay at their start.
    """

    def __init__(self, ode: Ode, chosen: tuple[str, ...], current: float, step: float) -> None:
        self.ode, self.chosen, self.current, self.step = ode, chosen, current, step
        self.held: Mapping[str, float] = {
            name: state.start for name, state in ode.model.state.items() if name not in chosen
        }

    def slopes(self, at: list[Floats]) -> list[Floats]:
        """Return the slope of each chosen state, of the shape of the states."""
        with np.errstate(all="ignore"):
            found = self.ode.slope(
                {**self.held, **dict(zip(self.chosen, at, strict=True))}, self.current, self.step
            )
        return [
            np.broadcast_to(np.asarray(found[name], np.float64), at[0].shape).copy()
            for name in self.chosen
        ]

    def fixed_points(self, grid: list[Floats]) -> tuple[Floats, Floats]:
        """Return the points where every slope is zero, (n, n_states), and 1 for each stable one.

        Newton's method starts in the cells of the grid in which every slope changes sign.
        """
        from scipy.optimize import root

        # A cell in which every slope changes sign may hold a fixed point.
        slopes = [
            slope.reshape(grid[0].shape) for slope in self.slopes([axis.ravel() for axis in grid])
        ]
        cells = np.logical_and.reduce([_changes_sign(slope) for slope in slopes])
        widths = np.array([axis.max() - axis.min() for axis in grid])
        found: list[Floats] = []
        # Newton's method from each such cell.
        for cell in np.argwhere(cells):
            begin = np.array([axis[tuple(cell)] for axis in grid])
            answer = root(
                lambda x: np.array(
                    [float(slope[0]) for slope in self.slopes([np.array([value]) for value in x])]
                ),
                begin,
            )
            # A root far from its cell belongs to another one, or lies outside.
            near = np.abs(answer.x - begin) <= 0.05 * widths
            if (
                answer.success
                and near.all()
                and not any((np.abs(answer.x - other) < 1e-6 * widths).all() for other in found)
            ):
                found.append(answer.x)
        stable = np.array([float(self._stable(point, widths)) for point in found])
        return np.array(found).reshape(len(found), len(self.chosen)), stable

    def _stable(self, point: Floats, widths: Floats) -> bool:
        """Return whether every eigenvalue of the Jacobian has a negative real part.

        The Jacobian is taken by central differences.
        """
        jacobian = np.empty((len(point), len(point)))
        # A column of the Jacobian for each state.
        for index, width in enumerate(widths):
            nudge = np.zeros(len(point))
            nudge[index] = 1e-5 * width
            up, down = (
                np.array(
                    [
                        slope[0]
                        for slope in self.slopes(
                            [np.array([value]) for value in point + sign * nudge]
                        )
                    ]
                )
                for sign in (1, -1)
            )
            jacobian[:, index] = (up - down) / (2e-5 * width)
        return bool((np.linalg.eigvals(jacobian).real < 0).all())


def _changes_sign(slope: Floats) -> np.ndarray:
    """Return, for each cell of the grid, whether the corners of a slope differ in sign."""
    # The grid, shifted by 0 or 1 along each axis.
    corners = [
        slope[
            tuple(
                slice(offset, slope.shape[axis] - 1 + offset) for axis, offset in enumerate(offsets)
            )
        ]
        for offsets in itertools.product((0, 1), repeat=slope.ndim)
    ]
    stacked = np.stack(corners)
    return np.asarray((stacked.min(axis=0) <= 0) & (stacked.max(axis=0) >= 0))
