"""The next character of Shakespeare, in bits: spiking networks beside standard ones."""

from spikern.studies import Plan
from spikern.train import Training

PLANS = (
    Plan(
        "tinyshakespeare",
        50_000,
        Training(epochs=3, batch_size=32),
        spiking=("ALIF", "AdLIF"),
        learning_rates=(3e-3, 1e-2, 3e-2, 1e-1),
        trial_epochs=1,
        penalties=(1.0, 10.0),
        budgets=(2_300, 4_200, 8_000, 16_000, 32_000, 64_000, 128_000),
        measure="bits",
        answer="every_step",
    ),
)
