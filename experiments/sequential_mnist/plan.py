"""Which digit is seen, a pixel a step, row by row: a spiking network beside an LSTM."""

from spikern.studies import Plan
from spikern.train import Training

PLANS = (
    Plan(
        "smnist",
        20_000,
        Training(epochs=6, batch_size=32),
        spiking=("BRF",),
        standard=("LSTM",),
        learning_rates=(3e-3, 1e-2, 3e-2),
        trial_epochs=2,
        variant_seeds=1,
        ablations=("no recurrence",),
        penalties=(10.0,),
        answer="mean",
        sequences=10_000,
    ),
)
