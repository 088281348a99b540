"""Level crossings, of tensors and of numpy arrays alike."""

from __future__ import annotations

from typing import Any

from spikern._utils.errors import InputError


def crossings(x: Any, threshold: float, level: Any) -> tuple[Any, Any]:
    """Return the events of x (T, ...) from a level (...), and the level after, in thresholds.

    The equation is that of `spikern.events.delta`, in the precision of `level`. Raises InputError
    for a threshold of 0 or less.
    """
    if not 0 < threshold < float("inf"):
        raise InputError(f"threshold must be above 0 and finite, got {threshold}")
    events = 0 * x
    for t in range(len(x)):
        distance = x[t] - threshold * level
        events[t] = 1 * (distance >= threshold) - 1 * (distance <= -threshold)
        level = level + events[t]
    return events, level
