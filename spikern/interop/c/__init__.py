"""Trained networks as C99: arrays, spiking networks, gated networks, and the folder they go to."""

from spikern.interop.c.folder import export_c

__all__ = ["export_c"]
