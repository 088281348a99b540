"""Training: one loop for every model, calibration, checkpoints, and the default recipes."""

from spikern.train.calibration import calibrate, firing_rates
from spikern.train.evaluation import Evaluation, evaluate
from spikern.train.loading import load_network
from spikern.train.loop import History, fit
from spikern.train.progress import Epoch
from spikern.train.quantisation import int8_weights, rounded_weights
from spikern.train.recipes import Recipe, recipe
from spikern.train.training import Training
from spikern.train.trial import count_split, fresh_network, train_and_test

__all__ = [
    "Epoch",
    "Evaluation",
    "History",
    "Recipe",
    "Training",
    "calibrate",
    "count_split",
    "evaluate",
    "firing_rates",
    "fit",
    "fresh_network",
    "int8_weights",
    "load_network",
    "recipe",
    "rounded_weights",
    "train_and_test",
]
