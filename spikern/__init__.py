"""Spiking recurrent networks: trained, counted and run at the cost of their spikes."""

from spikern.baselines import Baseline
from spikern.constants import Constant, decay, positive, real
from spikern.engines.stream import compile_stream, load_stream
from spikern.init import calibrate
from spikern.layers import Readout, SpikingRNN
from spikern.network import Network, build
from spikern.neurons import ALIF, LI, LIF, NEURONS
from spikern.record import record
from spikern.surrogate import SURROGATES
from spikern.types import (
    DataError,
    DivergedError,
    InputError,
    NeuronModel,
    SpikernError,
    UnsupportedError,
)

__version__ = "0.1.0"

__all__ = [
    "ALIF",
    "LI",
    "LIF",
    "NEURONS",
    "SURROGATES",
    "Baseline",
    "Constant",
    "DataError",
    "DivergedError",
    "InputError",
    "Network",
    "NeuronModel",
    "Readout",
    "SpikernError",
    "SpikingRNN",
    "UnsupportedError",
    "build",
    "calibrate",
    "compile_stream",
    "decay",
    "load_stream",
    "positive",
    "real",
    "record",
]
