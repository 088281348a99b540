"""Which digit is seen, a pixel per step, in a fixed random order: BRF beside gated networks."""

from spikern.studies import Architecture, ConstantDraw, Plan
from spikern.train import Training

PLANS = (
    Plan(
        "psmnist",
        20_000,
        Training(epochs=8, batch_size=32, rate_penalty=10.0),
        spiking=("BRF",),
        standard=("GRU", "LSTM"),
        learning_rates=(1e-3, 3e-3, 6e-3, 1e-2, 2e-2, 3e-2, 6e-2),
        trial_epochs=2,
        seeds=3,
        variant_seeds=1,
        ablations=("no recurrence",),
        penalties=(),
        answer="mean",
        architecture=Architecture(
            constants=(ConstantDraw("omega", span=(0.15, 0.85)),), chrono=784
        ),
    ),
)
