"""Which wave of a heartbeat it is, at every step: spiking networks beside standard ones."""

from dataclasses import replace

from spikern.studies import Architecture, ConstantDraw, Plan
from spikern.train import Training

LABELLED = Plan(
    "qtdb",
    2_000,
    Training(epochs=60, batch_size=16),
    spiking=("ALIF", "BRF"),
    learning_rates=(2e-3, 5e-3, 1e-2, 2e-2, 4e-2, 8e-2, 1.6e-1),
    trial_epochs=30,
    ablations=("no recurrence", "constants not trained"),
    penalties=(10.0, 100.0),
    answer="every_step",
    architecture=Architecture(readout_constants=(ConstantDraw("tau_mem", mean=3.0),)),
)
PUBLISHED = replace(
    LABELLED,
    dataset="qtdb_all_steps",
    training=replace(LABELLED.training, rate_penalty=10.0),
    learning_rates=(5e-3, 1e-2, 2e-2, 4e-2, 8e-2, 1.6e-1, 3.2e-1),
)
PLANS = (LABELLED, PUBLISHED)
