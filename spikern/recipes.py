"""How each data set is trained by default.

The digits' recipe was found by trials on the validation split; the others use the general one,
untuned. Spiking weights are larger, so their steps are; a plain RNN needs smaller ones. Gated
networks have converged after half of the epochs that spiking ones take.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from spikern.baselines import BASELINES
from spikern.train import Training


@dataclass(frozen=True)
class Recipe:
    """Trainings of spiking, gated (GRU, LSTM) and plain (RNN) models, and the budget they fit."""

    spiking: Training
    gated: Training
    plain: Training
    match_parameters: int

    def changed(self, **settings: Any) -> Recipe:
        """The recipe with the settings that are not None put in place of its own, for all kinds.

        >>> recipe("digits").changed(epochs=3, batch_size=None).gated.epochs
        3
        """
        given = {name: value for name, value in settings.items() if value is not None}
        return replace(
            self,
            spiking=replace(self.spiking, **given),
            gated=replace(self.gated, **given),
            plain=replace(self.plain, **given),
        )

    def of(self, model: str) -> Training:
        """The training of a model, by its kind."""
        if model not in BASELINES:
            return self.spiking
        return self.plain if model == "RNN" else self.gated


GENERAL = Recipe(
    spiking=Training(epochs=60, batch_size=32, learning_rate=2e-2, rate=0.05),
    gated=Training(epochs=60, batch_size=32, learning_rate=5e-3),
    plain=Training(epochs=60, batch_size=32, learning_rate=1e-3),
    match_parameters=10_000,
)

RECIPES: dict[str, Recipe] = {
    "digits": Recipe(
        spiking=Training(epochs=120, batch_size=16, learning_rate=2e-2, input_noise=0.08, rate=0.1),
        gated=Training(
            epochs=60, batch_size=16, learning_rate=5e-3, input_noise=0.08, weight_decay=0.1
        ),
        plain=Training(
            epochs=60, batch_size=16, learning_rate=1e-3, input_noise=0.08, weight_decay=0.01
        ),
        match_parameters=20_000,
    ),
}


def recipe(dataset: str) -> Recipe:
    """The recipe of a data set, or the general one."""
    return RECIPES.get(dataset, GENERAL)
