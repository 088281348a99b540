"""The next character of Shakespeare, in bits: spiking networks beside standard ones.

python experiments/characters/run.py              # tune, train, write results, page, figure
python experiments/characters/run.py --no-train   # only page and figure again
python experiments/characters/run.py --smoke      # seconds; writes in runs/ only
"""

from pathlib import Path

import tyro

from spikern.report import study_page
from spikern.studies.protocol import Plan
from spikern.train.loop import Training

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

if __name__ == "__main__":
    study_page.main(Path(__file__).parent, PLANS, tyro.cli(study_page.Config))
