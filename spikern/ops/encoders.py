"""What an encoder of analog signals as events does, beside the network that it feeds."""

from __future__ import annotations

from torch import Tensor

from spikern.ops.counts import Layer, Storage
from spikern.ops.synapses import counted


def delta(events: Tensor, in_play: Tensor) -> Layer:
    """The work of `spikern.events.delta` that gave these events (T, B, F).

    A sample of one feature takes one addition, the distance from the level that was last sent,
    and one comparison of its size with the threshold; an event moves the level, one addition.
    """
    features = events.shape[2]
    uses = counted(in_play)
    sent = counted((events != 0).cpu() & in_play.unsqueeze(2))
    return Layer(
        "encoder",
        "delta",
        0,
        False,
        (),
        {
            "add": tuple(features * n + moved for n, moved in zip(uses, sent)),
            "compare": tuple(features * n for n in uses),
        },
        uses,
        (0,) * len(uses),
        Storage(states=features),
    )


ENCODERS = {"delta": delta}
