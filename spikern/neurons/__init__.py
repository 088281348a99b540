"""What a neuron is, its constants and surrogate gradients, and one file for each equation.

`NEURONS` has the neurons of the package by name; a user's own needs no entry there.
"""

from spikern._utils.choices import Choices
from spikern.neurons.adlif import AdLIF
from spikern.neurons.alif import ALIF
from spikern.neurons.balanced_resonator import BRF
from spikern.neurons.constants import Constant, between, decay, frequency, positive, real, steps
from spikern.neurons.cuba_lif import CubaLIF
from spikern.neurons.eif import EIF
from spikern.neurons.li import LI
from spikern.neurons.lif import LIF
from spikern.neurons.lif_hard import HardLIF
from spikern.neurons.lif_refractory import RefractoryLIF
from spikern.neurons.model import Fire, NeuronModel, Params, State, zero_state
from spikern.neurons.resonator import RF
from spikern.neurons.se_adlif import SEAdLIF
from spikern.neurons.surrogate import SURROGATES, Surrogate, spike
from spikern.neurons.tc_lif import TCLIF

NEURONS = Choices(
    "neuron",
    {
        m.name: m
        for m in (
            *(LIF, ALIF, HardLIF, RefractoryLIF, CubaLIF, AdLIF, SEAdLIF, RF, BRF, EIF, TCLIF),
            LI,
        )
    },
)

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
    "Constant",
    "CubaLIF",
    "Fire",
    "HardLIF",
    "NeuronModel",
    "Params",
    "RefractoryLIF",
    "SEAdLIF",
    "State",
    "Surrogate",
    "between",
    "decay",
    "frequency",
    "positive",
    "real",
    "spike",
    "steps",
    "zero_state",
]
