"""Which digit is said, by voices known and unknown: spiking networks beside standard ones."""

from dataclasses import replace

from spikern.studies import Plan
from spikern.train import Training

KNOWN = Plan(
    "fsdd",
    20_000,
    Training(epochs=40, batch_size=32, channel_shift=2, time_stretch=0.1),
    spiking=("LIF", "ALIF", "AdLIF"),
    learning_rates=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    trial_epochs=20,
    penalties=(1.0, 10.0),
    answer="mean",
)
UNKNOWN = replace(
    KNOWN,
    dataset="fsdd_speakers",
    seeds=12,
    variant_seeds=6,
    turns=("fsdd_speakers", *(f"fsdd_speakers_{k}" for k in range(1, 6))),
)
PLANS = (KNOWN, UNKNOWN)
