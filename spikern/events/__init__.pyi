from .encoders import delta, integrate, latency, on_off, population, rate
from .trains import MILLISECONDS, Events, valid_steps

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
