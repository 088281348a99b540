"""Who of nine says a vowel: spiking networks beside RNN, GRU and LSTM."""

from spikern.studies import Plan
from spikern.train import Training

PLANS = (
    Plan(
        "japanese_vowels",
        5_000,
        Training(epochs=120, batch_size=16),
        spiking=("LIF", "ALIF", "AdLIF", "RF"),
        learning_rates=(3e-4, 1e-3, 3e-3, 1e-2, 3e-2),
        budgets=(900, 1_600, 2_500, 4_000, 6_400, 10_000, 16_000),
        answer="mean",
    ),
)
