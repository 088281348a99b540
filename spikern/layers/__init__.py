"""Recurrent spiking layers, in the conventions of torch.nn.LSTM."""

from spikern.layers.delay import Axons, Delay, LearnedDelay, narrow
from spikern.layers.spiking import Readout, SpikingRNN
from spikern.layers.stacks import ENGINES, run_stack

__all__ = [
    "ENGINES",
    "Axons",
    "Delay",
    "LearnedDelay",
    "Readout",
    "SpikingRNN",
    "narrow",
    "run_stack",
]
