"""Which digit is seen, a pixel a step, row by row: a spiking network beside an LSTM.

python experiments/sequential_mnist/run.py              # tune, train, write results, page, figure
python experiments/sequential_mnist/run.py --no-train   # only page and figure again
python experiments/sequential_mnist/run.py --smoke      # seconds; writes in runs/ only
"""

from pathlib import Path

import tyro

from spikern.report import study_page
from spikern.studies.protocol import Plan
from spikern.train.loop import Training

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

if __name__ == "__main__":
    study_page.main(Path(__file__).parent, PLANS, tyro.cli(study_page.Config))
