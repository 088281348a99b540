"""Spiking recurrent networks: trained, counted and run at the cost of their spikes."""

from spikern.baselines import Baseline
from spikern.constants import Constant, between, decay, frequency, positive, real, steps
from spikern.engines.compiled import compile_stream, load_stream
from spikern.events import Events
from spikern.init import calibrate
from spikern.layers import Delay, LearnedDelay, Readout, SpikingRNN, narrow
from spikern.network import Network, build
from spikern.neurons import (
    ALIF,
    BRF,
    EIF,
    LI,
    LIF,
    NEURONS,
    RF,
    TCLIF,
    AdLIF,
    CubaLIF,
    HardLIF,
    RefractoryLIF,
    SEAdLIF,
)
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
    "BRF",
    "EIF",
    "LI",
    "LIF",
    "NEURONS",
    "RF",
    "SURROGATES",
    "TCLIF",
    "AdLIF",
    "Baseline",
    "Constant",
    "CubaLIF",
    "DataError",
    "Delay",
    "DivergedError",
    "Events",
    "HardLIF",
    "InputError",
    "LearnedDelay",
    "Network",
    "NeuronModel",
    "Readout",
    "RefractoryLIF",
    "SEAdLIF",
    "SpikernError",
    "SpikingRNN",
    "UnsupportedError",
    "between",
    "build",
    "calibrate",
    "compile_stream",
    "decay",
    "frequency",
    "load_stream",
    "narrow",
    "positive",
    "real",
    "record",
    "steps",
]
