"""Recurrent spiking layers, in the conventions of torch.nn.LSTM."""

from spikern.layers.delay import Delay
from spikern.layers.spiking import Readout, SpikingRNN
from spikern.layers.stacks import ENGINES, run_stack

__all__ = ["ENGINES", "Delay", "Readout", "SpikingRNN", "run_stack"]
