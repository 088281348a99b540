"""Which wave of a heartbeat it is, at every step: spiking networks beside standard ones."""

from dataclasses import replace

from spikern.studies import Architecture, Axis, ConstantDraw, Plan, Search
from spikern.train import Training


def searches(rates: tuple[float, ...], more: tuple[float, ...]) -> tuple[Search, ...]:
    """Every rate with two structures; for the RNN, which has no gates, `more` rates in their place.

    An LSTM of two layers cannot meet the budget; two layers of an RNN answer worse than one.
    """
    delays = Axis("architecture.recurrent_delay", (1, 30))
    layers = Axis("architecture.layers", (1, 2))
    memory = Axis("architecture.chrono", (None, 100))
    rate = Axis("learning_rate", rates)
    return (
        Search("ALIF", (rate, delays)),
        Search("BRF", (rate, delays)),
        Search("GRU", (rate, layers)),
        Search("LSTM", (rate, memory)),
        Search("RNN", (Axis("learning_rate", tuple(sorted(rates + more))),)),
    )


LABELLED = Plan(
    "qtdb",
    2_000,
    Training(epochs=60, batch_size=16),
    spiking=("ALIF", "BRF"),
    trial_epochs=30,
    ablations=("no recurrence", "no delays", "constants not trained"),
    penalties=(10.0, 100.0),
    answer="every_step",
    architecture=Architecture(readout_constants=(ConstantDraw("tau_mem", mean=3.0),)),
    searches=searches(
        (2e-3, 5e-3, 1e-2, 2e-2, 4e-2, 8e-2, 1.6e-1, 3.2e-1),
        (5e-4, 1e-3, 1.5e-3, 3e-3, 4e-3, 6e-3, 8e-3, 1.5e-2),
    ),
)
PUBLISHED = replace(
    LABELLED,
    dataset="qtdb_all_steps",
    training=replace(LABELLED.training, rate_penalty=10.0),
    searches=searches(
        (5e-3, 1e-2, 2e-2, 4e-2, 8e-2, 1.6e-1, 3.2e-1),
        (1e-3, 2e-3, 3e-3, 4e-3, 6e-3, 8e-3, 1.5e-2),
    ),
)
PLANS = (LABELLED, PUBLISHED)
