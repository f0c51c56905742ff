"""The checks of a card: a table of functions from a model to a Verdict, and `check_card`.

The table serves your own tests as it serves ours::

    @pytest.mark.parametrize("check", CARD_CHECKS.values(), ids=CARD_CHECKS)
    def test_my_card(check):
        assert check(refsim.load("mine.toml")).status in ("pass", "skipped")

What each check measures is in `refsim.checks.card_measures`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ..cards.neuron import NeuronModel
from ..core.claims import Claim, Verdict
from ..core.errors import CrashError, RefsimError
from . import card_measures
from .suite import Answer, Check, run_checks

if TYPE_CHECKING:
    from ..pytorch.base import Step


def _check(
    name: str,
    limit: float,
    unit: str,
    because: str,
    measure: Callable[[NeuronModel], Answer],
    sense: str = "at most",
) -> Check:
    return Check(Claim("step", name, limit, unit, because, sense), _said(measure), _needs(name))


def _said(measure: Callable[[NeuronModel], Answer]) -> Callable[[NeuronModel], Answer]:
    """Return a measure that lets a card fail which cannot be run at all.

    The card is on trial, so that what the engine says of it is the finding and no error of the
    call.
    """

    def asked(model: NeuronModel) -> Answer:
        try:
            return measure(model)
        except CrashError:
            raise
        except RefsimError as error:
            raise CrashError(str(error)) from None

    return asked


def _needs(name: str) -> tuple[str, ...]:
    """Return what a check asks for: where one of these fails, its answer would be about that."""
    if name in ("names", "units"):
        return ()
    drawn = ("determinism",) if name not in ("declared_step", "determinism") else ()
    # an order is measured below threshold, which a neuron that fires by itself does not have
    # A card whose units or names are wrong fails every run for that reason.
    return ("units", "names", *drawn, *(("rest",) if name.endswith("_order") else ()))


CARD_CHECKS: dict[str, Check] = {
    "names": _check(
        "names",
        0,
        "names",
        (
            "a name that Brian2, C++ or Python also uses, or that nothing reads, is a trap or a "
            "typing error"
        ),
        card_measures.names,
    ),
    "units": _check(
        "units",
        0,
        "equations",
        "every term of an equation has the unit that the card declares; Brian2 checks it",
        card_measures.units,
    ),
    "declared_step": _check(
        "declared_step",
        0,
        "terms that differ",
        "a step that names its method is what that method makes of the ODE, term by term",
        card_measures.declared_step,
    ),
    "determinism": _check(
        "determinism",
        0,
        "numbers",
        "two runs of one engine on one input are equal to the last bit",
        card_measures.determinism,
    ),
    "engines": _check(
        "engines",
        0,
        "spikes",
        (
            "Brian2, Discrete and PyTorch run one declared step; a spike that differs is a fault "
            "in one"
        ),
        card_measures.engines,
    ),
    "finite": _check(
        "finite",
        0,
        "numbers",
        (
            "a state that is NaN or infinite tells nothing; ten times the rheobase of either sign "
            "must not make one"
        ),
        card_measures.finite,
    ),
    "rest": _check(
        "rest",
        0,
        "states",
        "without input a neuron stays at its start or settles at a fixed point, and is silent",
        card_measures.rest,
    ),
    "method_order": _check(
        "method_order",
        -0.5,
        "orders",
        "the membrane converges at the order of its method; half an order is left to the fit",
        card_measures.method_order,
        "at least",
    ),
    "step_order": _check(
        "step_order",
        -0.5,
        "orders",
        (
            "a step of a method converges to the ODE at that method's order; half an order is left "
            "to the fit"
        ),
        card_measures.step_order,
        "at least",
    ),
}


def check_card(
    model: NeuronModel,
    *,
    skip: Collection[str] | str = (),
    steps: "Mapping[str, Step] | None" = None,
) -> list[Verdict]:
    """Run the conformance suite on a card.

    Parameters
    ----------
    model : NeuronModel
        ``refsim.load("mine.toml")`` or ``refsim.NeuronModel("mine", ...)``.
    skip : name or names of checks to leave out
    steps : dict of str to function, optional
        A PyTorch step of your own, by the card's name; the engines are then compared with it too.

    Returns
    -------
    list of Verdict, one a check
        ``skipped`` where a check does not apply or another failure stands before it, with the
        reason.

    Raises
    ------
    RefsimError
        For a check that does not exist.
    """
    if not isinstance(model, NeuronModel):
        raise RefsimError(
            f'check_card: needs a neuron, such as refsim.load("mine.toml"), but {model!r} was '
            "given."
        )
    # A step of the user's own changes one check of the table, in a copy.
    checks = dict(CARD_CHECKS)
    if steps is not None:
        checks["engines"] = replace(
            checks["engines"], measure=_said(lambda card: card_measures.engines(card, steps))
        )
    return run_checks(checks, model, who="check_card", run=model.name, skip=skip)
