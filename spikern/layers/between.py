"""What may lie between the layers of a stack, and what of it goes together."""

from __future__ import annotations

import warnings

from spikern.types import InputError, UnsupportedError


def check_between(
    layers: int, dropout: float, bidirectional: bool, feedback: bool, skip: bool
) -> None:
    """Raise InputError on connections between layers that are none, or do not go together."""
    if not 0 <= dropout < 1:
        raise InputError(f"dropout must be at least 0 and below 1, got {dropout}")
    if dropout and layers == 1:
        warnings.warn(
            f"dropout={dropout} acts between layers and there is only one; give num_layers > 1",
            stacklevel=3,
        )
    if skip and layers == 1:
        raise InputError("skip leads past a layer to the one above it; give num_layers > 1")
    if not feedback:
        return
    if layers == 1:
        raise InputError("feedback leads from a layer to the one below it; give num_layers > 1")
    if dropout or bidirectional:
        what = "dropout" if dropout else "bidirectional"
        raise InputError(
            f"a network with feedback is one population, all of whose layers advance together; "
            f"{what} needs layers that run one after the other"
        )


def check_delays(
    delay: int,
    recurrent_delay: int,
    learned: bool,
    recurrent: bool,
    feedback: bool,
    bidirectional: bool,
) -> None:
    """Raise InputError on delays that are none, or UnsupportedError where they are not built."""
    for name, steps, least in [("delay", delay, 0), ("recurrent_delay", recurrent_delay, 1)]:
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < least:
            raise InputError(
                f"{name} must be the longest delay in whole steps, {least} or more, got {steps}"
            )
    if recurrent_delay > 1 and not recurrent:
        raise InputError("recurrent_delay needs a recurrence; give recurrent=True")
    late = delay > 0 or recurrent_delay > 1
    if learned and not late:
        raise InputError("there is no delay to learn; give delay= or recurrent_delay=")
    if late and feedback:
        raise UnsupportedError(
            "delays are not built with feedback, where every connection takes one step"
        )
    if late and bidirectional:
        raise UnsupportedError(
            "delays are not built with bidirectional, where half of a layer runs backward in time"
        )
