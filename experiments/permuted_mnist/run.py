"""A digit in a fixed random order of pixels: spiking networks beside standard ones.

python experiments/permuted_mnist/run.py              # tune, train, write results.json, tables and figure
python experiments/permuted_mnist/run.py --no-train   # only tables and figure again
python experiments/permuted_mnist/run.py --smoke      # seconds; writes in runs/ only
"""

from pathlib import Path

import tyro

from spikern.study import command
from spikern.study.protocol import Plan
from spikern.train import Training

PLANS = (Plan("psmnist", 20_000, Training(epochs=20, batch_size=128), trials=2),)

if __name__ == "__main__":
    command.main(Path(__file__).parent, PLANS, tyro.cli(command.Config))
