"""Thin modules over the losses: the options at the start, spikes and target at each call."""

import inspect
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from ...core.errors import RefsimError, listed
from .membranes import max_membrane_cross_entropy, membrane_regulariser, tet
from .rates import rate_regulariser, spike_count_mse, spike_moid, spike_rate
from .spikemax import spikemax
from .times import num_spikes, spike_time, ttfs_cross_entropy


class Loss(nn.Module):
    """A loss with its options.

    Parameters
    ----------
    **options
        The keyword options of the function of the same name, all but ``mask``.

    Raises
    ------
    RefsimError
        For an option that the function does not have, or one that it needs and that is missing.
    """

    function: ClassVar[Callable[..., Tensor]]

    def __init__(self, **options: object) -> None:
        super().__init__()
        # The function itself says which options there are, and which must be given.
        known = {
            name: entry
            for name, entry in inspect.signature(type(self).function).parameters.items()
            if entry.kind is entry.KEYWORD_ONLY and name != "mask"
        }
        if unknown := set(options) - set(known):
            raise RefsimError(
                f"{type(self).__name__}: {listed(unknown)} is not an option; they are "
                f"{listed(known)}."
            )
        if missing := {name for name, entry in known.items() if entry.default is entry.empty} - set(
            options
        ):
            raise RefsimError(f"{type(self).__name__}: {listed(missing)} must be given.")
        self.options = options

    def forward(self, *tensors: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the loss of spikes or membranes (batch, class, step) and their target.

        A regulariser takes no target. The mask (batch, step) is true where a step counts.
        """
        return type(self).function(*tensors, **self.options, mask=mask)

    def extra_repr(self) -> str:
        """Show the options."""
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())


class Spikemax(Loss):
    """Cross-entropy of the classes' shares of the spikes: ``spikemax``."""

    function = staticmethod(spikemax)


class SpikeRate(Loss):
    """Squared distance of the rates: ``spike_rate``."""

    function = staticmethod(spike_rate)


class SpikeTime(Loss):
    """Squared distance of filtered trains: ``spike_time``."""

    function = staticmethod(spike_time)


class NumSpikes(Loss):
    """SLAYER's spike numbers in a region: ``num_spikes``."""

    function = staticmethod(num_spikes)


class SpikeMoid(Loss):
    """Binary cross-entropy of the rates: ``spike_moid``."""

    function = staticmethod(spike_moid)


class SpikeCountMSE(Loss):
    """Mean square of the counts: ``spike_count_mse``."""

    function = staticmethod(spike_count_mse)


class TTFSCrossEntropy(Loss):
    """Cross-entropy of the times to the first spike: ``ttfs_cross_entropy``."""

    function = staticmethod(ttfs_cross_entropy)


class MaxMembraneCrossEntropy(Loss):
    """Cross-entropy of the largest membranes: ``max_membrane_cross_entropy``."""

    function = staticmethod(max_membrane_cross_entropy)


class TET(Loss):
    """Temporal efficient training: ``tet``."""

    function = staticmethod(tet)


class MembraneRegulariser(Loss):
    """Membranes kept in a band: ``membrane_regulariser``."""

    function = staticmethod(membrane_regulariser)


class RateRegulariser(Loss):
    """Rates kept in a band: ``rate_regulariser``."""

    function = staticmethod(rate_regulariser)
