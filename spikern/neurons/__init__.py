"""The neurons that come with the package, by name; a user's own needs no entry here."""

from spikern.neurons.alif import ALIF
from spikern.neurons.li import LI
from spikern.neurons.lif import LIF
from spikern.types import NeuronModel

NEURONS: dict[str, NeuronModel] = {m.name: m for m in (LIF, ALIF, LI)}

__all__ = ["ALIF", "LI", "LIF", "NEURONS"]
