"""Fair twins of a spiking network: standard ones in int8, pruned, and at equal accuracy."""

from spikern.twins.graph import onnx_graph
from spikern.twins.int8 import Int8, int8_graph, int8_weights, measured_graph, measured_weights
from spikern.twins.ladder import Climb, Rung, Trained, climb, trainer
from spikern.twins.pruned import Pruned, density, prune

__all__ = [
    "Climb",
    "Int8",
    "Pruned",
    "Rung",
    "Trained",
    "climb",
    "density",
    "int8_graph",
    "int8_weights",
    "measured_graph",
    "measured_weights",
    "onnx_graph",
    "prune",
    "trainer",
]
