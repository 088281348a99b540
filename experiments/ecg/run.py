"""Which wave of a heartbeat it is, at every step: spiking networks beside standard ones.

python experiments/ecg/run.py              # tune, train, write results, page, figure
python experiments/ecg/run.py --no-train   # only page and figure again
python experiments/ecg/run.py --smoke      # seconds; writes in runs/ only
"""

from pathlib import Path

import tyro

from spikern.report import study_page
from spikern.studies.protocol import Plan
from spikern.train.loop import Training

PLANS = (
    Plan(
        "qtdb",
        2_000,
        Training(epochs=30, batch_size=64),
        spiking=("ALIF", "BRF"),
        trial_epochs=10,
        ablations=("no recurrence", "constants not trained"),
        penalties=(10.0, 100.0),
        answer="every_step",
    ),
    Plan(
        "qtdb_all_steps",
        2_000,
        Training(epochs=80, batch_size=16, rate_penalty=10.0),
        spiking=("ALIF", "BRF"),
        standard=("GRU", "LSTM"),
        learning_rates=(3e-3, 1e-2, 3e-2),
        trial_epochs=16,
        ablations=("no recurrence",),
        penalties=(10.0, 100.0),
        answer="every_step",
    ),
)

if __name__ == "__main__":
    study_page.main(Path(__file__).parent, PLANS, tyro.cli(study_page.Config))
