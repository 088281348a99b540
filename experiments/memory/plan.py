"""Two symbols over growing delays: spiking networks beside standard ones."""

from spikern.data.catalogue import DELAYS
from spikern.studies import Plan
from spikern.train import Training

PLANS = tuple(
    Plan(
        f"copy_{delay}",
        3_000,
        Training(epochs=60, batch_size=20),
        spiking=("LIF", "ALIF", "BRF"),
        standard=("GRU", "LSTM"),
        learning_rates=(3e-3, 1e-2, 3e-2, 1e-1),
        trial_epochs=20,
        ablations=("no recurrence",),
        penalties=(10.0,),
        answer="every_step",
    )
    for delay in DELAYS
)
