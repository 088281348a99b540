"""Level crossings, of tensors and of numpy arrays alike."""

from __future__ import annotations

from typing import Any


def crossings(x: Any, threshold: float, level: Any) -> tuple[Any, Any]:
    """Return the events of x (T, ...) from a level (...), and the level after, in thresholds.

    The equation is that of `spikern.events.delta`.
    """
    events = 0 * x
    for t in range(len(x)):
        distance = x[t] - threshold * level
        events[t] = 1 * (distance >= threshold) - 1 * (distance <= -threshold)
        level = level + events[t]
    return events, level
