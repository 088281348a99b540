"""Which wave of a heartbeat it is, at every step: spiking networks beside standard ones."""

from spikern.studies import Plan
from spikern.train import Training

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
