"""Axonal delays that are learnt.

The spikes of a channel arrive whole steps later. How many steps is a parameter with a gradient.
"""

import torch
from torch import Tensor, nn

from ..core.arrays import first_wrong
from ..core.errors import RefsimError


class AxonalDelay(nn.Module):
    """Delay each channel by whole steps, y(t) = x(t - floor(d)), one step a call.

    Zeros come before the first step. Put it behind a layer of neurons, or in front of the first
    Linear: a bias that it delayed would come late.

    Parameters
    ----------
    channels : int
        Length of axis 1 of the input, (batch, channels, ...).
    maximum : int, steps
        d stays in [0, maximum].
    start : float or Tensor (channels,), steps

    Raises
    ------
    RefsimError
        For a number of channels or steps below 1, or a start outside [0, maximum].

    Attributes
    ----------
    delay : Parameter (channels,), steps
        d, a real number of which only the whole part acts. A time divided by the duration of a
        step.

    Notes
    -----
    floor has no slope, so the gradient is declared: dL/dd = -sum_t g(t) (y(t) - y(t - 1)), summed
    over the batch and all that shares the channel, g the gradient that arrives at y, y(-1) = 0: the
    slope of y in time by its backward difference. Source: Shrestha and Orchard 2018, SLAYER, and
    slayerPytorch. Where an optimiser has left [0, maximum], d is put back at the start of the next
    record.

    It leads where a loss with a smooth kernel wants the spikes, ``spike_time(kernel="alpha")``.
    Under a kernel with a cusp, the exponential one, a spike's distance to itself outweighs that to
    its target, and delays grow whatever is wanted.
    """

    def __init__(self, channels: int, maximum: int, start: float | Tensor = 0.0) -> None:
        super().__init__()
        for name, value in (("channels", channels), ("maximum", maximum)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise RefsimError(
                    f"AxonalDelay: {name} must be a whole number from 1 on, but is {value!r}."
                )
        given = torch.as_tensor(start, dtype=torch.get_default_dtype()).detach()
        if given.shape not in ((), (channels,)) or not bool(
            ((given >= 0) & (given <= maximum)).all()
        ):
            raise RefsimError(
                f"AxonalDelay: start must be one number of steps, or {channels}, in "
                f"0..{maximum}, but is {start!r}; divide times by dt."
            )
        self.maximum = maximum
        self.delay = nn.Parameter(given.expand(channels).clone())
        self.past: Tensor | None = None
        self.before: Tensor | None = None

    def steps(self) -> Tensor:
        """Return the whole steps that act now, (channels,) int64."""
        if not bool(torch.isfinite(self.delay).all()):
            channel = first_wrong(self.delay.detach().cpu().numpy(), ("channel",))
            raise RefsimError(
                f"AxonalDelay: a delay is NaN or infinite; {channel}. The training diverged; "
                "lower its learning rate."
            )
        return self.delay.detach().clamp(0, self.maximum).floor().long()

    def forward(self, x: Tensor) -> Tensor:
        """Take the spikes of a step, (batch, channels, ...), and return those that arrive in it."""
        self._check(x)
        if self.past is None or self.before is None:
            self._put_back()
            self.past, self.before = x.new_zeros((self.maximum, *x.shape)), torch.zeros_like(x)
        if self.before.shape != x.shape:
            raise RefsimError(
                f"AxonalDelay: holds {tuple(self.before.shape)}, but its input is "
                f"{tuple(x.shape)}; call refsim.reset(module) between batches."
            )
        # The newest frame stands first, so that its index is its age in steps.
        frames = torch.cat([x[None], self.past])
        y = frames.gather(0, _along(self.steps(), x).expand_as(x)[None])[0]
        self.past, before = frames[:-1], self.before
        self.before = y.detach()
        return self._declared(y, before, x)

    def over_steps(self, x: Tensor) -> Tensor:
        """Return what arrives in all steps of a record, (step, batch, channels, ...).

        The result has the shape of the input. The record that `forward` keeps stays as it is.
        """
        self._check(x[0])
        self._put_back()
        frames = torch.cat([x.new_zeros((self.maximum, *x.shape[1:])), x])
        now = torch.arange(self.maximum, len(frames), device=x.device).view(-1, *[1] * (x.ndim - 1))
        y = frames.gather(0, (now - _along(self.steps(), x[0])).expand_as(x))
        return self._declared(y, torch.cat([torch.zeros_like(y[:1]), y[:-1]]).detach(), x[0])

    def forget(self) -> None:
        """Go back to the start of a record."""
        self.past = self.before = None

    def _declared(self, y: Tensor, before: Tensor, frame: Tensor) -> Tensor:
        """Return y, to the bit, with the declared gradient of d.

        `frame` is laid out as one step of y.
        """
        if not (torch.is_grad_enabled() and self.delay.requires_grad):
            return y
        return y - _along(self.delay - self.delay.detach(), frame) * (y.detach() - before)

    def _put_back(self) -> None:
        if self.training:
            self.delay.data.clamp_(0, self.maximum)

    def _check(self, x: Tensor) -> None:
        if x.ndim < 2 or x.shape[1] != len(self.delay):
            raise RefsimError(
                f"AxonalDelay: has {len(self.delay)} channels, but its input is "
                f"{tuple(x.shape)}; needed is (batch, {len(self.delay)}, ...)."
            )

    def extra_repr(self) -> str:
        """Show channels and bound."""
        return f"{len(self.delay)}, maximum={self.maximum}"


def _along(values: Tensor, frame: Tensor) -> Tensor:
    """Return values (channels,) laid along axis 1 of a frame (batch, channels, ...)."""
    return values.view(1, -1, *[1] * (frame.ndim - 2))
