"""Which digit is said, from the spikes of a model cochlea: spiking beside standard networks."""

from spikern.studies import Plan
from spikern.train import Training

PLANS = (
    Plan(
        "shd",
        100_000,
        Training(epochs=30, batch_size=64),
        spiking=("ALIF", "AdLIF", "BRF"),
        answer="mean",
    ),
)
