"""The next character of Shakespeare, in bits: a spiking network beside standard ones.

A character lasts 70 ms, so the times of adaptation are spread from half a character to twenty.
"""

from spikern.studies import Architecture, Axis, ConstantDraw, Plan, Search
from spikern.train import Training

PLANS = (
    Plan(
        "tinyshakespeare",
        50_000,
        Training(epochs=12, batch_size=16, carry_state=True, patience=3),
        spiking=("AdLIF",),
        standard=("GRU", "LSTM", "RNN"),
        learning_rates=(1e-2, 2e-2, 4e-2),
        trial_epochs=3,
        ablations=("no recurrence",),
        penalties=(0.0, 300.0),
        measure="bits",
        answer="every_step",
        architecture=Architecture(
            surrogate="fast_sigmoid",
            surrogate_settings=(2.5,),
            constants=(
                ConstantDraw("tau_mem", mean=30.0, spread=1.0),
                ConstantDraw("tau_adapt", mean=220.0, spread=1.0),
            ),
            readout_constants=(ConstantDraw("tau_mem", mean=10.0),),
        ),
        searches=(
            Search(
                "AdLIF",
                (
                    Axis("learning_rate", (2e-2,)),
                    Axis("batch_size", (8,)),
                    Axis("rate_limit", (0.01,)),
                    Axis("rate_penalty", (10.0, 30.0, 100.0)),
                ),
            ),
            Search("LSTM", (Axis("learning_rate", (3e-2, 1e-1, 3e-1)),)),
            Search("RNN", (Axis("learning_rate", (3e-3, 1e-2, 3e-2)),)),
        ),
    ),
)
