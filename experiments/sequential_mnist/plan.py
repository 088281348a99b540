"""Which digit is seen, a pixel a step, row by row: a spiking network beside gated ones."""

from spikern.studies import Architecture, ConstantDraw, Plan
from spikern.train import Training

PLANS = (
    Plan(
        "smnist",
        20_000,
        Training(epochs=12, batch_size=32, rate_penalty=10.0),
        spiking=("BRF",),
        standard=("GRU", "LSTM"),
        learning_rates=(1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
        trial_epochs=3,
        seeds=5,
        variant_seeds=1,
        ablations=("no recurrence",),
        penalties=(0.0, 30.0),
        answer="mean",
        architecture=Architecture(constants=(ConstantDraw("omega", span=(0.15, 0.5)),), chrono=784),
    ),
)
