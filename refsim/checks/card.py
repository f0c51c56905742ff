"""The conformance suite of a card: functions from a model to a Verdict, for your own tests as for ours.

@pytest.mark.parametrize("check", CARD_CHECKS.values(), ids=CARD_CHECKS)
def test_my_card(check):
    assert check(refsim.load("mine.toml")).status in ("pass", "skipped")
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..claims import Claim, Verdict, judge
from ..errors import RefsimError, listed
from ..model import NeuronModel
from . import card_ode, card_runs


@dataclass(frozen=True)
class CardCheck:
    """One check: a claim, and a function from a model to (value or None where it does not apply, a sentence)."""

    claim: Claim
    measure: Callable[[NeuronModel], tuple[float | None, str]]

    def __call__(self, model: NeuronModel) -> Verdict:
        """Check a model; a card that cannot be run at all fails, with what the engine says."""
        try:
            with np.errstate(all="ignore"):  # a rogue may overflow; `finite` is there to say so
                value, words = self.measure(model)
        except RefsimError as error:
            return Verdict(self.claim, None, "fail", run=model.name, detail=str(error))
        return judge(self.claim, value, run=model.name, detail=words)


def _check(name: str, limit: float, unit: str, because: str, measure: Callable[[NeuronModel], tuple[float | None, str]], sense: str = "at most") -> CardCheck:
    return CardCheck(Claim("step", name, limit, unit, because, sense), measure)


CARD_CHECKS: dict[str, CardCheck] = {
    "names": _check("names", 0, "names", "a name that Brian2, C++ or Python also uses, or that nothing reads, is a trap or a typing error", card_ode.names),
    "units": _check("units", 0, "equations", "every term of an equation has the unit that the card declares; Brian2 checks it", card_ode.units),
    "declared_step": _check("declared_step", 0, "terms that differ", "a step that names its method is what that method makes of the ODE, term by term", card_ode.declared_step),
    "determinism": _check("determinism", 0, "numbers", "two runs of one engine on one input are equal to the last bit", card_runs.determinism),
    "engines": _check("engines", 0, "spikes", "Brian2, Discrete and PyTorch run one declared step; a spike that differs is a fault in one", card_runs.engines),
    "finite": _check("finite", 0, "numbers", "a state that is NaN or infinite tells nothing; ten times the rheobase of either sign must not make one", card_runs.finite),
    "rest": _check("rest", 0, "states", "without input a neuron stays at its start or settles at a fixed point, and is silent", card_ode.rest),
    "method_order": _check("method_order", -0.5, "orders", "the membrane converges at the order of its method; half an order is left to the fit", card_runs.method_order, "at least"),
    "step_order": _check("step_order", -0.5, "orders", "a step of a method converges to the ODE at that method's order; half an order is left to the fit", card_runs.step_order, "at least"),
}  # fmt: skip
# What cannot be asked once another check has failed: its answer would be about that.
_NEEDS: Mapping[str, tuple[str, ...]] = {
    name: ("units", "names", *(("determinism",) if name not in ("declared_step", "determinism") else ()))
    for name in CARD_CHECKS
    if name not in ("names", "units")
}
# An order is measured below threshold, which a neuron that fires by itself does not have.
_NEEDS = {**_NEEDS, "method_order": (*_NEEDS["method_order"], "rest"), "step_order": (*_NEEDS["step_order"], "rest")}


def check_card(model: NeuronModel, *, skip: Collection[str] = (), steps: Mapping[str, Any] | None = None) -> list[Verdict]:
    """Run the conformance suite on a card.

    Parameters
    ----------
    model : NeuronModel
        ``refsim.load("mine.toml")`` or ``refsim.NeuronModel("mine", ...)``.
    skip : names of checks to leave out
    steps : dict of str to function, optional
        A PyTorch step of your own, by the card's name; the engines are then held against it too.

    Returns
    -------
    list of Verdict, one a check
        ``skipped`` where a check does not apply or another failure stands before it, with the reason.

    Raises
    ------
    RefsimError
        For a check that does not exist.
    """
    if not isinstance(model, NeuronModel):
        raise RefsimError(f'check_card: needs a neuron, such as refsim.load("mine.toml"), but {model!r} was given.')
    if unknown := set(skip) - set(CARD_CHECKS):
        raise RefsimError(f"check_card: {listed(unknown)} is not a check; known are {listed(CARD_CHECKS)}.")
    verdicts: dict[str, Verdict] = {}
    for name, check in CARD_CHECKS.items():
        if name in skip:
            continue
        if name == "engines" and steps is not None:
            check = CardCheck(check.claim, lambda card: card_runs.engines(card, steps))
        first = next((need for need in _NEEDS.get(name, ()) if need in verdicts and verdicts[need].status == "fail"), None)
        verdicts[name] = check(model) if first is None else Verdict(check.claim, None, "skipped", run=model.name, detail=f"left out: {first} fails")
    return list(verdicts.values())
