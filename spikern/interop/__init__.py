"""Exchange with NIR, snnTorch and ONNX, each an optional package, and networks as C."""

from spikern.interop.c import export_c
from spikern.interop.cuba_lif_hard import HardCubaLIF
from spikern.interop.nir import from_nir, network_from_nir, read_nir, to_nir, write_nir
from spikern.interop.nir_nodes import losses
from spikern.interop.onnx import int8_graph, onnx_graph
from spikern.interop.snntorch import from_snntorch, layers_from_snntorch, to_snntorch
from spikern.interop.snntorch_neurons import snntorch_neuron
from spikern.interop.snntorch_surrogates import surrogate_from_snntorch, surrogate_to_snntorch
from spikern.interop.stepwise import onnx_step

__all__ = [
    "HardCubaLIF",
    "export_c",
    "from_nir",
    "from_snntorch",
    "int8_graph",
    "layers_from_snntorch",
    "losses",
    "network_from_nir",
    "onnx_graph",
    "onnx_step",
    "read_nir",
    "snntorch_neuron",
    "surrogate_from_snntorch",
    "surrogate_to_snntorch",
    "to_nir",
    "to_snntorch",
    "write_nir",
]
