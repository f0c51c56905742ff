"""The replay: every decision of a run, judged on its own.

Each declared layer is run on what the run itself sent to it, and each neuron follows the run's own
spikes: its reset, its refractory time and its adaptation use what was fired. So a wrong spike is
one wrong decision, and not the first of an avalanche. A tie in one neuron hides nothing beside it
or behind it, and the layers with wrong decisions are those that are not the declared ones.
docs/decisions/0014 says why.

`replay` judges some samples of a run, block by block; `_Block` follows a block in float64 and
bounds its rounding.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.arrays import Floats, Ints
from ..engines.arrivals import LayerInputs
from ..networks.drive import Drive
from ..networks.network import Layer, Network
from ..networks.recording import Recording
from .bounded import Bounded
from .bounds import Each, Ranges, Step, instead, sums_of
from .judgement import Decision, LayerJudgement, Replay
from .over_steps import bound_of, heard_exactly
from .rounding import OPERATE, BoundedLayer, Rounding, decisive, known

FINE_ENOUGH = 1 / 20  # of the way from reset to threshold: a coarser bound judges nothing
_ROOM = 1 << 22  # numbers of a layer that are in memory at once
_FEW = 8  # samples that are bounded one by one at once
_CELLS = 65536  # cells that are bounded at once
# Cells times steps of a layer in a block whose rounding is bounded one by one.
_BOUNDED_AT_MOST = 1 << 21


Own = Callable[[Ints], Sequence[NDArray[np.bool_]]]


def replay(
    trial: Recording,
    samples: Ints,
    dtypes: Sequence[str],
    own: Own | None = None,
    in_doubt: Collection[int] = (),
) -> Replay:
    """Judge every decision of some samples of a run.

    Parameters
    ----------
    trial : Recording
        Its spikes are followed. Its traces ``before_reset`` and ``payload`` are compared with the
        replay where it has them.
    samples : (n,) int64
        Numbers of the samples to judge.
    dtypes : list of str
        Dtypes of the run and of the replay itself.
    own : function (samples) -> spikes a layer, optional
        What refsim's own steps decide in the run's own dtype, on the run's own spikes. In a dtype
        so short that the proven bound says nothing, a decision is wrong where it is neither that
        nor within one rounding a step of the replay.
    in_doubt : collection of int
        Samples of which no decision can be called wrong.

    Returns
    -------
    Replay
    """
    rounding = Rounding.of(dtypes, once=own is not None)
    network = trial.network
    # Layers that nobody recorded are followed, but not judged.
    found = Replay([LayerJudgement() for _ in network.layers], samples)
    for index, layer in enumerate(found.layers):
        layer.judged = index in trial.recorded_layers
    # Blocks of samples keep the memory small.
    widest = max(layer.n_post for layer in network.layers) * trial.drive.n_steps
    at_once = max(1, _ROOM // widest)
    for first in range(0, len(samples), at_once):
        _Block(trial, samples[first : first + at_once], rounding, found, own, in_doubt).judge()
    # Blocks end sample by sample; the reader wants the first step first.
    for rows in (found.wrong, found.open):
        rows.sort(key=lambda row: (row.step, row.layer, row.sample, row.neuron))
    return found


@dataclass
class _Followed:
    """The activity of one layer of a block, (n_samples, n_steps, n_neurons) each."""

    fired: NDArray[np.bool_]
    given: NDArray[np.float64] | None  # what its spikes carried, where that is known
    differs: NDArray[np.bool_]
    distance: Floats
    seen: Floats
    off: Floats | None  # what the known membrane is off by
    off_number: Floats | None  # and what its spikes carry
    way: list[Floats]  # from reset to threshold, at spikes


class _Block:
    """Some samples of a replay: followed in float64, then bounded."""

    def __init__(
        self,
        trial: Recording,
        samples: Ints,
        rounding: Rounding,
        found: Replay,
        own: Own | None,
        in_doubt: Collection[int],
    ) -> None:
        self.trial, self.samples, self.rounding, self.found = trial, samples, rounding, found
        self.unit = rounding.unit
        self.in_doubt = np.isin(samples, list(in_doubt))[:, None, None]
        self.own = None if own is None else own(samples)
        self.network: Network = trial.network
        self.drive: Drive = trial.drive.take(samples)
        self.weighted = [sums_of(layer, rounding) for layer in self.network.layers]
        self.heard: list[list[Any]] = [[] for _ in self.network.layers]

    def judge(self) -> None:
        """Follow, bound, and put what was found into the replay."""
        with np.errstate(all="ignore"):  # a neuron that runs away may leave float64
            # A few samples are bounded one by one, many as ranges over all of them.
            few = len(self.samples) <= _FEW
            reach = (Each if few else Ranges)(
                self.network, self.drive, self.rounding, self.weighted
            )
            self.layers = self._follow(reach)
            limits, sent = reach.limits, reach.offs
            for index, row in enumerate(self.layers):
                # The report asks for these bounds where two equal runs come nearest to threshold.
                if few:
                    rows = zip(self.samples.tolist(), row.distance, limits[index], strict=True)
                    self.found.bounds |= {
                        (index, sample): (distance, limit) for sample, distance, limit in rows
                    }
                if self.found.layers[index].judged:
                    self._judge_layer(index, row, limits[index], sent[index])

    def _follow(self, reach: Each | Ranges) -> list[_Followed]:
        """Run each layer on what the run sent to it, along the run's own spikes.

        The rounding of each step is bounded on the way.
        """
        layers, drive = self.network.layers, self.drive
        rows = [self._empty(index, layer) for index, layer in enumerate(layers)]
        hear = LayerInputs(self.network, drive.n_samples)
        for step, frame in enumerate(drive.frames()):
            for index, row in enumerate(rows):
                heard = hear(index, frame)
                self.heard[index].append(heard)
                sums = {
                    name: heard @ weigh.weight + weigh.bias
                    for name, weigh in self.weighted[index].items()
                }
                given = None if row.given is None else row.given[:, step]
                hear.spikes[index] = self._noted(
                    index,
                    row,
                    step,
                    reach.step(index, step, heard, sums, row.fired[:, step], given),
                )
        return rows

    def _empty(self, index: int, layer: Layer) -> _Followed:
        """Return a layer's row, with room for what the replay will find."""
        train, traces = (
            self.trial.spikes[index],
            self.trial.traces[index] if self.trial.traces else {},
        )
        fired = train.take(self.samples).dense()
        seen, given = ("before_reset" in traces), traces.get("payload")
        shape = fired.shape
        payload = (
            None
            if given is None or not layer.model.discrete.payload
            else np.asarray(given[self.samples], np.float64)
        )
        return _Followed(
            fired,
            payload,
            np.zeros(shape, bool),
            np.zeros(shape),
            np.zeros(shape),
            np.zeros(shape) if seen else None,
            None if payload is None else np.zeros(shape),
            [],
        )

    def _noted(self, index: int, row: _Followed, step: int, took: Step) -> Any:
        """Note what differs in a step of a layer, and return what it sent."""
        model, fired, tested = self.network.layers[index].model, row.fired[:, step], took.tested
        gaps = [np.broadcast_to(left - right, fired.shape) for left, _, right in tested]
        if model.discrete.fire:
            holds = [OPERATE[symbol](left, right) for left, symbol, right in tested]
            wanted = np.logical_and.reduce([np.broadcast_to(each, fired.shape) for each in holds])
            row.differs[:, step] = wanted != fired
            row.distance[:, step] = gaps[0] if len(gaps) == 1 else _nearest(gaps, holds, wanted)
            if fired.any():
                threshold = np.broadcast_to(tested[0][2], fired.shape)
                row.way.append(np.abs(threshold - took.states[model.membrane])[fired])
        seen = np.broadcast_to(tested[0][0], fired.shape)
        row.seen[:, step] = seen
        # Where the run's membrane is known, it is compared as well.
        if row.off is not None:
            row.off[:, step] = _apart(
                self.trial.traces[index]["before_reset"][self.samples, step], seen
            )
        if row.given is not None and row.off_number is not None:
            row.off_number[:, step] = _apart(row.given[:, step], took.computed)
        return (
            took.states[model.discrete.payload]
            if model.discrete.payload
            else np.asarray(fired, np.float64)
        )

    def _judge_layer(self, index: int, row: _Followed, limit: Floats, sent: list[Any]) -> None:
        """Count the decisions of a layer.

        Cells in which the bound over all samples is too coarse to tell are bounded one by one.
        """
        layer, judged = self.network.layers[index], self.found.layers[index]
        if layer.model.discrete.over_steps and heard_exactly(self.network, index):
            self._judge_over_steps(index, row)
            return
        # The input is rounded as well, and a run may add it up in another order.
        if row.off is not None and layer.model.discrete.over_steps:
            row.off = np.maximum(
                row.off - bound_of(layer, self.heard[index], self.unit + self.rounding.once), 0.0
            )
        way = self._way(index, row)
        fine = limit <= FINE_ENOUGH * way
        fires = bool(layer.model.discrete.fire)
        # Cells need a bound of their own where numbers are off, or tests are near their bound.
        near = np.zeros((len(self.samples), layer.n_post), bool)
        if row.off is not None:
            near |= (~(row.off <= limit)).any(axis=1)
        if row.off_number is not None:
            near |= (row.off_number > 0).any(axis=1)
        coarse: NDArray[np.bool_] = np.zeros(layer.n_post, bool)
        # Else each was bounded by itself already; but a test of two sides has a bound of its own
        # for the membrane.
        if limit.ndim == 2 and fires:
            sample, step, neuron = np.nonzero(row.differs)
            reach = limit[step, neuron]
            tipped = ~((np.abs(row.distance[sample, step, neuron]) > reach) & np.isfinite(reach))
            near[sample[tipped], neuron[tipped]] = True
            coarse = np.asarray((~fine).any(axis=0))
        sure = [np.argwhere(near), np.argwhere(near | coarse)]
        chosen = next(
            (each for each in reversed(sure) if len(each) * self.drive.n_steps <= _BOUNDED_AT_MOST),
            sure[0],
        )
        bound = np.broadcast_to(limit, row.differs.shape)
        seen_bound = number_bound = bound
        if len(chosen):
            bound, seen_bound, number_bound = (np.array(bound) for _ in range(3))
            self._bound_cells(
                index, row, chosen, sent, self.rounding, bound, seen_bound, number_bound
            )
        # In a short dtype a number is judged by what is proven alone.
        if self.rounding.once and (row.off is not None or row.off_number is not None):
            seen_bound, number_bound = self._proven(index, row, sent, seen_bound, number_bound)
        if fires:
            self._count(index, row, bound, way)
        else:
            judged.right += row.differs.size
            judged.coarsest = max(judged.coarsest, 0.0)
        if row.off is not None:
            judged.membranes += self._off(
                index,
                row,
                row.off,
                seen_bound,
                "membrane",
                self._parted_before(row.off, row, bound, way),
            )
        if row.off_number is not None:
            judged.numbers += self._off(
                index,
                row,
                row.off_number,
                number_bound,
                "payload",
                self._parted_before(row.off_number, row, bound, way),
            )

    def _judge_over_steps(self, index: int, row: _Followed) -> None:
        """Compare a read-out over the steps with the replay.

        A run may add over inputs and steps in any order.
        """
        judged = self.found.layers[index]
        judged.right += row.differs.size
        if row.off is not None:
            bound = bound_of(
                self.network.layers[index], self.heard[index], self.unit + self.rounding.once
            )
            judged.membranes += self._off(index, row, row.off, bound, "membrane")

    def _count(self, index: int, row: _Followed, bound: Floats, way: float) -> None:
        """Count the decisions of a layer, and note those that are not right."""
        judged = self.found.layers[index]
        # Nearly all decisions are as declared and bounded finely enough. Only the others are looked
        # at one by one.
        at = np.nonzero(row.differs | ~(bound <= FINE_ENOUGH * way))
        differs, doubted, distance = (
            row.differs[at],
            self.in_doubt[at[0], 0, 0],
            np.abs(row.distance[at]),
        )
        reach = np.where(doubted & differs, np.inf, bound[at])
        # At a bound of 0 the sums are exact, and even a distance of 0 is a real difference.
        beyond = differs & np.isfinite(reach) & ((distance > reach) | (reach == 0))
        beyond |= (
            differs
            & np.isnan(distance)
            & ~doubted
            & ~self._parted_before(row.distance, row, bound, way)[at]
        )
        if self.own is not None:
            beyond &= self.own[index][at] != row.fired[at]
        # A membrane far beyond its threshold is large, and rounds by as much more.
        coarse = ~(reach <= FINE_ENOUGH * np.fmax(distance, way)) & ~beyond
        within = differs & ~beyond & ~coarse
        judged.wrong += int(beyond.sum())
        judged.unjudged += int(coarse.sum())
        judged.within += int(within.sum())
        judged.right += int(row.differs.size - beyond.sum() - coarse.sum() - within.sum())
        judged.coarsest = max(judged.coarsest, self._coarsest(row, bound, way))
        places = np.stack(at, axis=1)
        for rows, chosen in (
            (self.found.wrong, beyond),
            (self.found.open, within | (coarse & differs)),
        ):
            rows += list(
                self._told(
                    index, row, places[chosen], row.distance[at][chosen], reach[chosen], "spike"
                )
            )
        self.found.wrong_samples |= set(self.samples[np.unique(at[0][beyond])].tolist())

    def _parted_before(
        self, numbers: Floats, row: _Followed, bound: Floats, way: float
    ) -> NDArray[np.bool_]:
        """Return where the replay is NaN, and had lost the run before that.

        It has lost the run where an earlier bound was coarse, or an earlier decision another. A
        neuron whose step doubles an error takes the replay another way than the run, though both
        are right. If the replay then leaves the range of numbers, because a spike that it needed
        was none of the run's, that says nothing of the run.
        """
        found = np.zeros(numbers.shape, bool)
        sample, neuron = np.nonzero(np.isnan(numbers).any(axis=1))
        if len(sample):
            fine = bound[sample, :, neuron] <= FINE_ENOUGH * np.fmax(
                np.abs(row.distance[sample, :, neuron]), way
            )
            parted = np.logical_or.accumulate(~fine | row.differs[sample, :, neuron], axis=1)
            found[sample, 1:, neuron] = parted[:, :-1]
            found &= np.isnan(numbers)
        return found

    def _coarsest(self, row: _Followed, bound: Floats, way: float) -> float:
        """Return the largest bound as a share of the way from reset to threshold.

        For a membrane that is farther from threshold than that, its own distance is the measure.
        """
        far = np.abs(row.distance)
        np.fmax(far, way, out=far)
        share = np.divide(bound, far, out=far)
        return float(np.max(share, where=~(self.in_doubt & row.differs), initial=0.0))

    def _off(
        self,
        index: int,
        row: _Followed,
        off: Floats,
        bound: Floats,
        what: str,
        unknown: Any = False,
    ) -> int:
        """Count known numbers that are farther from the replay than rounding reaches.

        Numbers of which the replay knows nothing are left out.
        """
        beyond = (
            ~np.asarray(unknown)
            & ~(off <= bound)
            & np.isfinite(np.where(np.isnan(off), 0.0, bound))
        )
        beyond &= ~row.differs if what != "membrane" else True  # a wrong spike is told once
        self.found.wrong += list(
            self._told(
                index,
                row,
                np.argwhere(beyond),
                off[beyond],
                np.broadcast_to(bound, off.shape)[beyond],
                what,
            )
        )
        self.found.wrong_samples |= set(self.samples[beyond.any(axis=(1, 2))].tolist())
        return int(beyond.sum())

    def _told(
        self, index: int, row: _Followed, places: Ints, distance: Floats, bound: Floats, what: str
    ) -> Iterator[Decision]:
        """Yield the first hundred of some places, (n, 3), each with its distance and bound."""
        order = np.lexsort((places[:, 2], places[:, 0], places[:, 1]))[:100]
        for (sample, step, neuron), far, reach in zip(
            places[order].tolist(), distance[order].tolist(), bound[order].tolist(), strict=True
        ):
            at = (sample, step, neuron)
            fired, seen = bool(row.fired[at]), float(row.seen[at])
            yield Decision(
                index,
                int(self.samples[sample]),
                step,
                neuron,
                fired,
                far,
                reach,
                seen,
                what,
                self._trial_seen(index, at),
            )

    def _trial_seen(self, index: int, at: tuple[int, int, int]) -> float | None:
        """Return the membrane of the run at a decision, or None where nobody recorded it."""
        traces = self.trial.traces[index] if self.trial.traces else {}
        if "before_reset" not in traces:
            return None
        value = float(traces["before_reset"][self.samples[at[0]], at[1], at[2]])
        return None if math.isnan(value) else value

    def _way(self, index: int, row: _Followed) -> float:
        """Return how far it is from reset to threshold.

        It is seen at spikes; without any, it is the way from the start to the nearest approach.
        """
        if row.way:
            ways = np.concatenate(row.way)
            ways = ways[np.isfinite(ways) & (ways > 0)]
            if ways.size:
                return float(np.median(ways))
        layer = self.network.layers[index]
        if not layer.model.discrete.fire:
            return np.inf
        far = np.abs(row.distance)
        far = far[np.isfinite(far)]
        return float(far.max()) if far.size and far.max() > 0 else 1.0

    def _proven(
        self, index: int, row: _Followed, sent: list[Any], seen_bound: Floats, number_bound: Floats
    ) -> tuple[Floats, Floats]:
        """Return the bounds on known numbers, proven where one is off by more than once.

        A spike in a short dtype is compared with refsim's own arithmetic as well. But a number may
        be computed in any order, and with more roundings or fewer. So it is other than declared
        only where the bound of all operations excludes it.
        """
        off = np.zeros_like(row.differs) if row.off is None else ~(row.off <= seen_bound)
        off |= (
            np.zeros_like(row.differs)
            if row.off_number is None
            else ~(row.off_number <= number_bound)
        )
        cells = np.argwhere(off.any(axis=1))
        if not len(cells):
            return seen_bound, number_bound
        found = np.array(seen_bound), np.array(number_bound)
        self._bound_cells(
            index,
            row,
            cells,
            sent,
            Rounding(self.unit + self.rounding.once),
            np.zeros(off.shape),
            *found,
        )
        return found

    def _bound_cells(
        self,
        index: int,
        row: _Followed,
        cells: Ints,
        sent: list[Any],
        rounding: Rounding,
        *bounds: Floats,
    ) -> None:
        """Bound the rounding of some neurons in some samples, step by step, each by itself."""
        for part in np.array_split(cells, max(1, len(cells) // _CELLS)):
            self._bound_part(index, row, part, sent, rounding, *bounds)

    def _bound_part(
        self,
        index: int,
        row: _Followed,
        cells: Ints,
        sent: list[Any],
        rounding: Rounding,
        *bounds: Floats,
    ) -> None:
        """Bound the rounding of so many cells as fit into memory at once."""
        layer = self.network.layers[index]
        weighted = self.weighted[index] if rounding == self.rounding else sums_of(layer, rounding)
        at = (cells[:, 0], cells[:, 1])
        # Each sample's input is weighed once, for all its neurons.
        involved, place = np.unique(at[0], return_inverse=True)
        bounded = BoundedLayer(
            layer,
            self.network.dt,
            rounding,
            self.drive.n_samples,
            self.drive.draws(index, layer.n_post),
            at,
        )
        for step in range(self.drive.n_steps):
            frames = self.heard[index][step][involved]
            # What was sent may be off by as much in every sample, or by each its own.
            off = (
                np.repeat(sent[step], len(frames), axis=0)
                if len(sent[step]) == 1
                else sent[step][involved]
            )
            sums = {}
            for name, weigh in weighted.items():
                # Of each sum only the cells that are followed are kept.
                total = weigh(frames, off)
                sums[name] = replace(
                    total,
                    value=total.value[place, at[1]],
                    local=np.broadcast_to(total.local, total.value.shape)[place, at[1]],
                )
            computed: list[Any] = []
            given = None if row.given is None else row.given[at[0], step, at[1]]

            def follow(number: Any, given: Any = given, computed: list[Any] = computed) -> Any:
                computed.append(number)
                return number if given is None else instead(given, rounding.unit)

            # The decision, the membrane and what the spike carries have a bound each.
            tested = bounded.step(sums, row.fired[at[0], step, at[1]], follow=follow)
            whole = (at[0], step, at[1])
            fires = bool(layer.model.discrete.fire)
            bounds[0][whole] = known(decisive(tested)[1] if fires else tested[0][0].error)
            bounds[1][whole] = known(tested[0][0].error)
            bounds[2][whole] = (
                known(computed[-1].error) if computed and isinstance(computed[-1], Bounded) else 0.0
            )


def _apart(trial: Any, declared: Any) -> Any:
    """Return how far two numbers lie apart.

    A NaN of the trial is a number that its module hides, and counts as equal. Where the declared
    number is NaN the distance is NaN, which lies within no bound.
    """
    trial = np.asarray(trial, np.float64)
    return np.where(np.isnan(trial), 0.0, np.abs(trial - declared))


def _nearest(gaps: list[Any], holds: list[Any], fires: Any) -> Any:
    """Return the distance of the comparison on which a spike depends; see `decisive`."""
    distance, holding = (
        np.stack(gaps),
        np.stack([np.broadcast_to(each, fires.shape) for each in holds]),
    )
    rank = np.where(fires, np.abs(distance), np.where(holding, np.inf, -np.abs(distance)))
    return np.take_along_axis(distance, np.argmin(rank, axis=0)[None], 0)[0]
