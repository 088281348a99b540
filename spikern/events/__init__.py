"""Spike trains as index lists, and the encoders that make them from analog signals."""

from spikern.events.encoders import delta, integrate, latency, on_off, population, rate
from spikern.events.trains import MILLISECONDS, Events, valid_steps

__all__ = [
    "MILLISECONDS",
    "Events",
    "delta",
    "integrate",
    "latency",
    "on_off",
    "population",
    "rate",
    "valid_steps",
]
