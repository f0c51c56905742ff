"""The distance of a surrogate gradient from the gradient of the expected loss.

The distance is reported. It is judged only where theory says that the two gradients are equal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..core.arrays import Floats
from ..core.claims import Claim, Verdict, judge
from ..core.errors import RefsimError
from ..gradients.bias import Distance, distances, expected_surrogate
from ..gradients.escape import EscapeNetwork
from ..gradients.expectation import MOST, expected_gradient, score_function
from ..gradients.losses import SpikeLoss

_ROUNDING = 1e-9
_REPORTED = Claim(
    "gradient",
    "surrogate_bias",
    None,
    "1",
    (
        "a surrogate gradient is the gradient of no loss in general (Gygax and Zenke 2025): its "
        "distance from the true one is a fact, and no fault"
    ),
)
IDENTITY = Claim(
    "gradient",
    "surrogate_identity",
    _ROUNDING,
    "1",
    (
        "for one layer without reset and a linear loss the two are one; float64 keeps 16 digits, "
        "and a sum over 2^20 patterns may lose six or seven of them"
    ),
)


@dataclass(frozen=True, eq=False)
class SurrogateBias:
    """The surrogate gradient against the gradient of the expected loss.

    Attributes
    ----------
    surrogate, truth : dict of str to array
        Expected surrogate gradient, and gradient of the expected loss; W1, b1, ... of the shapes of
        the parameters.
    distances : dict of str to Distance
        ``.relative`` and ``.cosine`` of each.
    noise : dict of str to float
        Standard error of the truth over its length, where it was drawn; 0 where it was enumerated.
    verdicts : list of Verdict
        One a parameter: "reported", or "pass" or "fail" where the two must be one.
    """

    surrogate: Mapping[str, Floats]
    truth: Mapping[str, Floats]
    distances: Mapping[str, Distance]
    noise: Mapping[str, float]
    verdicts: list[Verdict]

    def text(self) -> str:
        """Return a table for a terminal."""
        lines = [f"{'':<6}{'relative':>12}{'cosine':>10}{'noise':>10}  verdict"]
        for (name, far), verdict in zip(self.distances.items(), self.verdicts, strict=True):
            lines.append(
                f"{name:<6}{far.relative:>12.4g}{far.cosine:>10.4f}{self.noise[name]:>10.2g}  "
                f"{verdict.status}"
            )
        return "\n".join(lines)


def surrogate_bias(
    network: EscapeNetwork,
    inputs: object,
    loss: SpikeLoss,
    *,
    surrogate: str | Callable[[Floats], Floats] | None = None,
    detach_reset: bool = False,
    derivative: bool | None = None,
    n_draws: int | None = None,
    seed: int = 0,
    most: int = MOST,
    **parameters: float,
) -> SurrogateBias:
    """Compare a network's surrogate gradient with the gradient of its expected loss.

    Parameters
    ----------
    network : EscapeNetwork
    inputs : (n_samples, n_steps, n_inputs)
        Spikes or currents.
    loss : SpikeLoss
        `refsim.gradients.linear_loss`, `count_cross_entropy`, or your own.
    surrogate : str or function, optional
        What ds/du is taken to be: a name of ``refsim.pytorch.surrogate.SURROGATES`` with its
        `parameters`, or a function of distances to threshold. By default the derivative of each
        layer's escape function.
    detach_reset : bool
        Whether the reset passes no gradient.
    derivative : bool, optional
        Whether the surrogate is said to be the derivative of the escape function. Then, for one
        layer without reset and a linear loss, it must give the true gradient, and that is judged.
        By default only where no surrogate is given.
    n_draws : int, optional
        So many drawn runs of each sample in place of all patterns: for larger networks. Nothing is
        judged then.

    Raises
    ------
    RefsimError
        Where there are too many patterns to try, or the surrogate is not known.

    Notes
    -----
    Gygax and Zenke 2025 (Neural Computation, arXiv 2404.14964).
    """
    # Names are looked up first, so that a wrong one costs no run.
    known = known_surrogate(surrogate, parameters)
    # The truth is exact where all patterns are tried, and an estimate where runs are drawn.
    if n_draws is None:
        truth = expected_gradient(network, inputs, loss, most=most).gradient
        noise = dict.fromkeys(truth, 0.0)
    else:
        drawn = score_function(network, inputs, loss, n_draws=n_draws, seed=seed)
        truth, noise = (
            drawn.gradient,
            {
                name: _over(np.linalg.norm(drawn.error[name]), np.linalg.norm(values))
                for name, values in drawn.gradient.items()
            },
        )
    # Another seed than the truth's, so that the two share no luck.
    found = expected_surrogate(
        network,
        inputs,
        loss,
        surrogate=known,
        detach_reset=detach_reset,
        most=most,
        n_draws=n_draws,
        seed=seed + 1,
    )
    far = distances(found, truth)
    # The two gradients are one only under these conditions; else the distance is a fact.
    said = surrogate is None if derivative is None else derivative
    judged = (
        said
        and n_draws is None
        and loss.linear
        and len(network.layers) == 1
        and network.layers[0].reset == 0
    )
    return SurrogateBias(
        found,
        truth,
        far,
        noise,
        [_verdict(name, one, truth[name], judged) for name, one in far.items()],
    )


def _verdict(name: str, far: Distance, true: Floats, judged: bool) -> Verdict:
    if not judged:
        return Verdict(_REPORTED, far.relative, "reported", run=name, facts={"cosine": far.cosine})
    # A relative distance from 0 has no meaning.
    if not true.any():
        return Verdict(
            IDENTITY,
            None,
            "inconclusive",
            run=name,
            detail=(
                "the true gradient is 0: give inputs that reach the weights and a loss that changes"
            ),
        )
    return judge(IDENTITY, far.relative, run=name)


def known_surrogate(
    surrogate: object, parameters: Mapping[str, float]
) -> Callable[[Floats], Floats] | None:
    """Return a surrogate as a function of NumPy arrays: by its name, as it is, or None."""
    # A name may have parameters; a function has its own.
    if isinstance(surrogate, str):
        from ..modules.functions import surrogate_derivative

        return surrogate_derivative(surrogate, **parameters)
    if parameters:
        raise RefsimError(
            f"surrogate_bias: {', '.join(parameters)} is a parameter of a surrogate with a name; "
            "give one, such as surrogate='sigmoid', slope=4."
        )
    if surrogate is not None and not callable(surrogate):
        raise RefsimError(
            "surrogate_bias: surrogate must be a name, a function of distances to threshold, or "
            f"None, but is {surrogate!r}."
        )
    return surrogate


def _over(noise: np.floating, size: np.floating) -> float:
    return float(noise / size) if size else float("inf")


def surrogate_rows(
    derivative: Callable[[Floats], Floats],
    *,
    detach_reset: bool,
    threshold: float,
    n_networks: int = 8,
) -> list[Verdict]:
    """Report the bias of a surrogate in small networks of two layers.

    Case 5 of `refsim.gradients.bias`, the median over some of its networks.

    Parameters
    ----------
    derivative : function of distances to threshold to the derivative of a spike there
    detach_reset : bool
    threshold : float
        In the membrane's unit; the small networks' is 1.
    """
    from ..gradients.bias import case_network

    def scaled(x: Floats) -> Floats:
        return np.asarray(derivative((threshold * x).ravel()) * threshold).reshape(x.shape)

    # One list of distances for each parameter, a network each.
    rows: dict[str, list[Distance]] = {}
    for seed in range(n_networks):
        for name, far in surrogate_bias(
            *case_network(5, seed), surrogate=scaled, detach_reset=detach_reset
        ).distances.items():
            rows.setdefault(name, []).append(far)
    words = (
        "two layers, sigmoid escape noise, soft reset, count cross-entropy; median of "
        f"{n_networks} networks"
    )
    # The median is not moved by one odd network.
    return [
        Verdict(
            _REPORTED,
            float(np.nanmedian([far.relative for far in each])),
            "reported",
            run=name,
            detail=words,
            facts={"cosine": float(np.nanmedian([far.cosine for far in each]))},
        )
        for name, each in rows.items()
    ]
