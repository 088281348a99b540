"""Spiking layers, standard baselines, networks of them, and their recording and streaming."""

from spikern.layers.baseline import BASELINES, Baseline
from spikern.layers.delays import Axons, Delay, LearnedDelay, narrow
from spikern.layers.network import (
    ANSWERS,
    MODELS,
    Activity,
    Answer,
    Network,
    build,
    hidden_for_budget,
)
from spikern.layers.recording import Recording, Trace, record
from spikern.layers.rnn import Readout, SpikingRNN
from spikern.layers.stacking import stack_layers
from spikern.layers.streaming import compile_stream

__all__ = [
    "ANSWERS",
    "BASELINES",
    "MODELS",
    "Activity",
    "Answer",
    "Axons",
    "Baseline",
    "Delay",
    "LearnedDelay",
    "Network",
    "Readout",
    "Recording",
    "SpikingRNN",
    "Trace",
    "build",
    "compile_stream",
    "hidden_for_budget",
    "narrow",
    "record",
    "stack_layers",
]
