"""Which digit is said, from the spikes of a model cochlea: spiking networks beside standard ones.

python experiments/heidelberg/run.py              # tune, train, write results, page, figure
python experiments/heidelberg/run.py --no-train   # only page and figure again
python experiments/heidelberg/run.py --smoke      # seconds, on files of noise; writes in runs/ only
"""

import os
import tempfile
from pathlib import Path

import noise
import tyro

from spikern.data.files import FOLDER
from spikern.report import study_page
from spikern.studies.protocol import Plan
from spikern.train.loop import Training

PLANS = (
    Plan(
        "shd",
        100_000,
        Training(epochs=30, batch_size=64),
        spiking=("ALIF", "AdLIF", "BRF"),
        answer="mean",
    ),
)

if __name__ == "__main__":
    cfg = tyro.cli(study_page.Config)
    with tempfile.TemporaryDirectory() as folder:
        if cfg.smoke:
            noise.write(Path(folder))
            os.environ[FOLDER] = folder
        study_page.main(Path(__file__).parent, PLANS, cfg)
