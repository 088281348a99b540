"""Measured, not estimated: time and joules of one inference, a spiking network and its twins."""

from spikern.measured.run import Contestant, Measured, measure

__all__ = ["Contestant", "Measured", "measure"]
