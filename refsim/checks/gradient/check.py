"""The check of a module's gradients against back-propagation through its cards' own text.

The declared gradients are computed in float64, and compared trait by trait, layer by layer. First
comes the report's text for a terminal of 80 columns; then the checks; then `GradientReport` and
`check_gradient`.
"""

import textwrap
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ...core.claims import Claim, Verdict, judge, overall
from ...core.errors import CrashError, RefsimError, counted, listed
from ...networks.drive import Drive
from ...networks.network import Network
from ..bias import surrogate_rows
from ..suite import DIFFERENCE_DIGITS, Answer, Check, ask_each, names_skipped, verdict_rows
from .layers import LayerGradient, LayerPassage, worst_of
from .loss import LOSS_LIMIT, UserLoss
from .runs import BLIND, GradientRuns

if TYPE_CHECKING:
    from torch import nn

    from .inputs import Surrogate

_WORDS = {"pass": "PASS", "fail": "FAIL", "inconclusive": "INCONCLUSIVE"}


def gradient_text(report: "GradientReport") -> str:
    """Return a line a layer, a line a check, the bias where it was asked for, and the verdict."""
    width = max(12, *(len(each.name) for each in report.layers)) + 2
    # From the loss to each layer: how far off, and where most.
    lines = [
        f"{'from the loss to':<{width}}{'relative':>10}{'cosine':>10}  worst (step, sample, input)"
    ]
    for each in report.layers:
        step, sample, entry = each.worst
        lines.append(
            f"{each.name:<{width}}{each.far.relative:>10.1e}{each.far.cosine:>10.6f}  ({step}, "
            f"{sample}, {entry}): {each.found:.3g} for {each.true:.3g}"
        )
    lines.append("")
    # The checks, then the bias, which is reported.
    judged = [verdict for verdict in report.verdicts if verdict.status != "reported"]
    lines += verdict_rows(judged)
    if bias := [verdict for verdict in report.verdicts if verdict.status == "reported"]:
        lines += ["", "Bias of the surrogate, reported and not judged:"]
        lines += [
            f"  {verdict.run}: relative {verdict.value:.3g}, cosine {verdict.facts['cosine']:.4f}"
            for verdict in bias
        ]
        lines.append(
            textwrap.fill(f"({bias[0].detail})", 80, initial_indent="  ", subsequent_indent="  ")
        )
    # Parameters whose gradients say nothing, and why.
    if report.unjudged:
        why = (
            "frozen, what weights are made from, not in the card, or a gradient of 0 on these "
            "inputs, or of hardly more than rounding"
        )
        lines += ["", textwrap.fill(f"Not judged ({why}): {', '.join(report.unjudged)}.", 80)]
    # One sentence that counts the outcomes.
    failed = [verdict.claim.measure for verdict in judged if verdict.status == "fail"]
    passed = sum(verdict.status == "pass" for verdict in judged)
    rest = {
        words: sum(verdict.status == status for verdict in judged)
        for status, words in (("inconclusive", "inconclusive"), ("skipped", "left out"))
    }
    said = [
        f"{passed} check{'s' if passed != 1 else ''} pass{'es' if passed == 1 else ''}",
        *([f"{', '.join(failed)} fail{'s' if len(failed) == 1 else ''}"] if failed else []),
        *[
            f"{count} {'are' if count > 1 else 'is'} {words}"
            for words, count in rest.items()
            if count
        ],
        *(
            [f"gradients of {counted(len(report.unjudged), 'parameter')} are not judged"]
            if report.unjudged
            else []
        ),
    ]
    lines += ["", textwrap.fill(f"Limits of rounding: {report.rounding}.", 80)]
    lines += ["", textwrap.fill(f"{_WORDS[report.status]}. {'; '.join(said)}.", 80)]
    return "\n".join(lines)


def _claim(measure: str, limit: float | None, unit: str, because: str) -> Claim:
    return Claim("gradient", measure, limit, unit, because)


# Whether there is anything to compare.
_FINITE = _claim("finite", 0, "numbers", "one NaN in a gradient ends the training")
_SPIKES = _claim(
    "spikes", 0, "spikes", "gradients of two runs can be compared where the runs are one"
)
_LOSS = _claim("loss", LOSS_LIMIT, "1", DIFFERENCE_DIGITS)


def _finite(runs: GradientRuns) -> Answer | Verdict:
    value, words = runs.not_finite()
    # Where the declared gradient overflows too, the trial is not to blame.
    if value and runs.runs_away:
        return Verdict(
            _FINITE,
            value,
            "inconclusive",
            run=runs.title,
            detail=f"{words}; as in the card's own gradient: take a smaller dt, or other inputs",
        )
    return value, words


def _spikes(runs: GradientRuns) -> Answer | Verdict:
    apart = runs.other_spikes()
    # Rounding at a threshold explains the difference, so nothing follows from it.
    if apart.tie:
        return Verdict(
            _SPIKES,
            apart.count,
            "inconclusive",
            run=runs.title,
            detail=f"{apart.words}; gradients of other spikes say nothing: take other inputs",
        )
    return apart.count, apart.words


def _loss(runs: GradientRuns) -> Answer | Verdict:
    value, words = runs.loss_error()
    # The loss could not be compared with differences.
    if value is None:
        return Verdict(
            _LOSS,
            None,
            "inconclusive",
            run=runs.title,
            detail=f"{words}; leave this check out where that is meant",
        )
    return value, words


# Where nothing right comes back at once through a layer, its memory and reset cannot be judged.
_AT_ONCE = ("used", "chain", "surrogate", "scale")


def _each(
    measure: str, limit: float | None, unit: str, because: str, of: Callable[[LayerPassage], Answer]
) -> Check:
    """Return a check of each layer alone.

    A limit of None is the limit of rounding, which depends on the dtype, the steps and the
    surrogate.
    """
    claim = _claim(measure, limit, unit, because)

    def asked(runs: GradientRuns) -> Verdict:
        if silent := [each.name for each in runs.through if each.at_once is None]:
            words = (
                f"{listed(silent)}: no gradient of any spike is declared on these inputs; "
                "give some that bring membranes near threshold, or a wider surrogate"
            )
            return Verdict(claim, None, "inconclusive", run=runs.title, detail=words)
        return _within_rounding(
            runs, claim, worst_of({each.name: of(each) for each in runs.through})
        )

    return Check(
        claim, asked, needs=_AT_ONCE if measure != "layer" else (), last=measure == "layer"
    )


def _whole(measure: str, because: str, of: Callable[[GradientRuns], Answer]) -> Check:
    """Return a check of all layers together."""
    claim = _claim(measure, None, "1", because)

    def asked(runs: GradientRuns) -> Verdict:
        if not runs.sends:
            return Verdict(
                claim,
                None,
                "inconclusive",
                run=runs.title,
                detail="the loss sends no gradient to any layer: nothing is compared",
            )
        if measure == "weights" and runs.none_judged:
            return Verdict(
                claim,
                None,
                "inconclusive",
                run=runs.title,
                detail="there are parameters, but no gradient of any can be judged",
            )
        return _within_rounding(runs, claim, of(runs))

    return Check(claim, asked, last=True)


def _within_rounding(runs: GradientRuns, claim: Claim, answer: Answer) -> Verdict:
    """Judge an answer; by the limit of rounding where the claim has none of its own."""
    if claim.limit is not None:
        return judge(claim, answer[0], run=runs.title, detail=answer[1])
    # The limit depends on the run, and so does its reason.
    held = replace(claim, limit=runs.limit, because=f"{claim.because}; {runs.rounding}")
    verdict = judge(held, answer[0], run=runs.title, detail=answer[1])
    # A limit so wide would pass anything.
    if verdict.status == "pass" and runs.limit > BLIND:
        words = (
            f"rounding alone may move these gradients by {runs.limit:.1e}: in so steep or so "
            "unstable a network nothing is told from it; take fewer steps, or float64"
        )
        return replace(verdict, status="inconclusive", detail=words)
    return verdict


_FIRST = {
    "finite": Check(_FINITE, _finite),
    "spikes": Check(_SPIKES, _spikes),
    "loss": Check(_LOSS, _loss),
}
_JUDGED: dict[str, Check] = {
    "used": _each(
        "used",
        0,
        "1 if not",
        "a step has derivative zero: without its surrogate nothing below it learns",
        lambda each: each.used(),
    ),
    "chain": _each(
        "chain",
        None,
        "1",
        (
            "what arrives from above is multiplied by derivatives, sign and size: thrice the "
            "gradient from above is thrice the gradient below"
        ),
        lambda each: each.chain(),
    ),
    "surrogate": _each(
        "surrogate",
        None,
        "1",
        (
            "the derivative of a spike is the declared one at every membrane of the run, but for a "
            "factor"
        ),
        lambda each: each.surrogate(),
    ),
    "scale": _each(
        "scale",
        None,
        "1",
        (
            "a factor in a surrogate is one for each layer that is passed: deep layers learn at "
            "another rate"
        ),
        lambda each: each.scale(),
    ),
    "truncated": _each(
        "truncated",
        0,
        "steps",
        "a state that is detached forgets: what came earlier is never learnt",
        lambda each: each.truncated(),
    ),
    "reset": _each(
        "reset",
        0,
        "1 if not",
        "whether the reset passes a gradient is a choice, made once and declared",
        lambda each: each.read_as("reset"),
    ),
    "refractory": _each(
        "refractory",
        0,
        "1 if so",
        "a neuron that cannot fire cannot be made to fire",
        lambda each: each.read_as("refractory"),
    ),
    "recurrence": _each(
        "recurrence",
        0,
        "1 if not",
        "recurrent weights act through time, and so does their gradient",
        lambda each: each.read_as("recurrence"),
    ),
    "memory": _each(
        "memory",
        None,
        "1",
        "a step hands back what the membrane keeps, no more and no less",
        lambda each: each.memory(),
    ),
    "layer": _each(
        "layer",
        None,
        "1",
        (
            "everything that comes back through a layer, whatever the checks with a name of their "
            "own found"
        ),
        lambda each: each.layer(),
    ),
    "connections": _whole(
        "connections",
        "from the loss to every layer: weights hand back what they hand on, each in its step",
        GradientRuns.connections,
    ),
    "weights": _whole(
        "weights",
        (
            "each parameter's gradient along a random direction is the slope by differences of "
            "what arrives; neurons held to their spikes"
        ),
        GradientRuns.weights,
    ),
}
GRADIENT_CHECKS: dict[str, Check] = _FIRST | _JUDGED


@dataclass(frozen=True, eq=False)
class GradientReport:
    """What came out.

    Attributes
    ----------
    verdicts : list of Verdict, one a check; then, where it was asked for, the bias of the
    surrogate, "reported"
    layers : list of LayerGradient
        From the loss to what arrives at each layer: relative error, cosine, worst entry.
    rounding : str
        Why the limits of rounding are what they are.
    unjudged : tuple of str
        Parameters whose gradients are not judged: frozen ones, those that weights are made from,
        those of a neuron that its card does not have, and those whose gradient is 0 on these
        inputs, or so small beside what it is a sum of that rounding hides it.
    """

    verdicts: list[Verdict]
    layers: list[LayerGradient]
    rounding: str
    unjudged: tuple[str, ...]

    @property
    def status(self) -> str:
        """Fail before inconclusive before pass."""
        return overall(self.verdicts)

    def as_dict(self) -> dict[str, object]:
        """Return status, verdicts and the parameters that are not judged as plain values."""
        return {
            "status": self.status,
            "verdicts": [verdict.as_dict() for verdict in self.verdicts],
            "unjudged": list(self.unjudged),
        }

    def text(self) -> str:
        """Return tables for a terminal of 80 columns."""
        return gradient_text(self)


def check_gradient(
    module: "nn.Module | Network",
    loss: UserLoss,
    inputs: ArrayLike | Drive | None = None,
    target: ArrayLike | None = None,
    *,
    surrogate: "Surrogate | Sequence[Surrogate]",
    detach_reset: bool | Sequence[bool] = False,
    dt: object = None,
    input_shape: Sequence[int] | None = None,
    layout: str | None = None,
    bias: bool = False,
    skip: Collection[str] | str = (),
    device: str = "cpu",
    dtype: str | None = None,
    seed: int = 0,
    **parameters: float,
) -> GradientReport:
    """Check what a module's backward pass gives.

    Parameters
    ----------
    module : nn.Module or Network
        Of refsim's layers or a framework's, run as it is. Of a network, refsim's own PyTorch steps
        are put on trial, on `device`, in `dtype`.
    loss : function ``(values, target) -> Tensor``, one number; or ``(values) -> Tensor`` where
    there is no target
        values (n_samples, n_classes, n_steps): the spikes of the last layer of neurons, or its
        membrane where it is a readout.
    inputs : (n_samples, n_steps, n_inputs) or Drive, optional
        Spikes or currents; by default random spikes, 8 samples of 25 steps.
    target : array, optional
        By default, where `loss` takes one, random labels.
    surrogate : str or function, or a sequence of them, one a layer
        The declared one: a name of ``refsim.pytorch.surrogate.SURROGATES`` with its `parameters`,
        or a function from distance to spikes.
    detach_reset : bool, or a sequence
        Whether the reset is declared to pass no gradient.
    dt, input_shape, layout
        Of a module, as of `refsim.bridge.from_module`.
    device, dtype
        Of a network, "cpu" and "float32" if not said; a module has its own, and is run in
        evaluation mode but for its neurons, which train.
    skip : name or names of checks to leave out
    seed : int, from 0
    bias : bool
        Also report how far the surrogate is from the gradient of an expected loss, in small
        networks; see `surrogate_bias`.

    Returns
    -------
    GradientReport
        layer, connections and weights find that something differs, not what, and are run only where
        none before them fails. A module that raises on its way forth or back fails.

    Raises
    ------
    RefsimError
        For a check, a surrogate or a parameter that is not known, inputs that do not fit, or a card
        that declares no gradient: stochastic, integer or graded ones.

    Notes
    -----
    The same surrogate and the same detached resets in another program must give the same numbers
    but for rounding; that is judged. Whether a surrogate is a good one is another question: it is
    the gradient of no loss in general (Gygax and Zenke 2025, arXiv 2404.14964).
    """
    from ...modules.functions import graphs_kept

    # Wrong names are refused before anything is run.
    left = names_skipped(skip, GRADIENT_CHECKS, "check_gradient")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise RefsimError(f"check_gradient: seed must be a whole number from 0, but is {seed!r}.")
    with graphs_kept():
        runs = GradientRuns.of(
            module,
            loss,
            inputs,
            target,
            surrogate=surrogate,
            parameters=parameters,
            detach_reset=detach_reset,
            dt=dt,
            input_shape=input_shape,
            layout=layout,
            device=device,
            dtype=dtype,
            seed=seed,
        )
        # A loss that raises on the declared outputs is no fault of the module.
        runs.check_loss()
        first, judged = (
            [check for name, check in checks.items() if name not in left]
            for checks in (_FIRST, _JUDGED)
        )
        # Gradients of other spikes, or of NaN, say nothing: then only the first checks are asked.
        verdicts = ask_each(first, runs, runs.title)
        if all(verdict.status == "pass" for verdict in verdicts if verdict.claim is not _LOSS):
            verdicts += ask_each(judged, runs, runs.title, verdicts)
        try:
            # The bias is a property of the surrogate, so it is measured on small networks.
            bias_rows = (
                surrogate_rows(
                    runs.derivative, detach_reset=runs.detach_reset[-1], threshold=runs.threshold
                )
                if bias
                else []
            )
            return GradientReport(verdicts + bias_rows, runs.layers(), runs.rounding, runs.unjudged)
        except CrashError:  # of the module, for which a check has failed
            return GradientReport(verdicts, [], "not told, for the module raised", ())
