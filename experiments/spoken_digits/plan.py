"""Which digit is said, by voices known and unknown: spiking networks beside standard ones."""

from spikern.studies import Plan
from spikern.train import Training

PLANS = tuple(
    Plan(
        name,
        20_000,
        Training(epochs=10, batch_size=32),
        spiking=("LIF", "ALIF", "AdLIF"),
        penalties=(1.0, 10.0),
        answer="mean",
    )
    for name in ("fsdd", "fsdd_speakers")
)
