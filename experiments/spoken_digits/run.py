"""Which digit is said, by voices known and unknown: spiking networks beside standard ones.

python experiments/spoken_digits/run.py              # tune, train, write results, page, figure
python experiments/spoken_digits/run.py --no-train   # only page and figure again
python experiments/spoken_digits/run.py --smoke      # seconds; writes in runs/ only
"""

from pathlib import Path

import tyro

from spikern.report import study_page
from spikern.studies.protocol import Plan
from spikern.train.loop import Training

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

if __name__ == "__main__":
    study_page.main(Path(__file__).parent, PLANS, tyro.cli(study_page.Config))
