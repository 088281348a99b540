"""Who of nine says a vowel: spiking networks beside RNN, GRU and LSTM.

python experiments/vowels/run.py              # tune, train, write results, page, figure
python experiments/vowels/run.py --no-train   # only page and figure again
python experiments/vowels/run.py --smoke      # seconds; writes in runs/ only
"""

from pathlib import Path

import tyro

from spikern.report import study_page
from spikern.studies.protocol import Plan
from spikern.train.loop import Training

PLANS = (
    Plan(
        "japanese_vowels",
        5_000,
        Training(epochs=60, batch_size=16),
        spiking=("LIF", "ALIF", "AdLIF", "RF"),
        budgets=(900, 1_600, 2_500, 4_000, 6_400, 10_000, 16_000),
        answer="mean",
    ),
)

if __name__ == "__main__":
    study_page.main(Path(__file__).parent, PLANS, tyro.cli(study_page.Config))
