"""How each data set is trained by default.

The digits' recipe was found by trials on the validation split; the others use the general one,
untuned. Spiking weights are larger, so their learning rates are; a neuron of two coupled variables,
which can oscillate, needs a smaller one, and a plain RNN the smallest. On the digits gated networks
converge in two thirds of the epochs that spiking ones take.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from spikern.layers.baseline import BASELINES
from spikern.train.training import Training

OSCILLATING = ("AdLIF", "SEAdLIF", "RF", "BRF")
"""Neurons of two coupled variables that oscillate, and need the smaller learning rate."""

KINDS = ("spiking", "oscillating", "gated", "plain")


@dataclass(frozen=True)
class Recipe:
    """Trainings of each kind of model, and the parameter budget they fit.

    spiking   neurons that integrate
    oscillating  neurons of OSCILLATING
    gated     GRU, LSTM
    plain     RNN
    """

    spiking: Training
    oscillating: Training
    gated: Training
    plain: Training
    match_parameters: int

    def changed(self, **settings: Any) -> Recipe:
        """The recipe with the settings that are not None put in place of its own, for all kinds.

        >>> recipe("digits").changed(epochs=3, batch_size=None).gated.epochs
        3
        """
        given = {name: value for name, value in settings.items() if value is not None}
        return replace(self, **{kind: replace(getattr(self, kind), **given) for kind in KINDS})

    def shorter(self, divisor: int) -> Recipe:
        """The recipe with its epochs divided, at least one each.

        >>> recipe("digits").shorter(6).gated.epochs
        6
        """
        trainings = {kind: getattr(self, kind) for kind in KINDS}
        return replace(
            self,
            **{
                kind: replace(t, epochs=max(1, t.epochs // divisor))
                for kind, t in trainings.items()
            },
        )

    def of(self, model: str) -> Training:
        """The training of a model, by its kind."""
        training: Training = getattr(self, kind_of(model))
        return training


def kind_of(model: str) -> str:
    """The kind of a model, of KINDS.

    >>> kind_of("BRF"), kind_of("LSTM")
    ('oscillating', 'gated')
    """
    if model not in BASELINES:
        return "oscillating" if model in OSCILLATING else "spiking"
    return "plain" if model == "RNN" else "gated"


GENERAL = Recipe(
    spiking=Training(epochs=60, batch_size=32, learning_rate=2e-2, rate=0.05),
    oscillating=Training(epochs=60, batch_size=32, learning_rate=1e-2, rate=0.05),
    gated=Training(epochs=60, batch_size=32, learning_rate=5e-3),
    plain=Training(epochs=60, batch_size=32, learning_rate=1e-3),
    match_parameters=10_000,
)
RECIPES: dict[str, Recipe] = {
    "digits": Recipe(
        spiking=Training(epochs=60, batch_size=32, learning_rate=2e-2, input_noise=0.08, rate=0.05),
        oscillating=Training(
            epochs=60, batch_size=32, learning_rate=1e-2, input_noise=0.08, rate=0.05
        ),
        gated=Training(
            epochs=40, batch_size=32, learning_rate=1e-2, input_noise=0.08, weight_decay=0.1
        ),
        plain=Training(
            epochs=60, batch_size=16, learning_rate=1e-3, input_noise=0.08, weight_decay=0.01
        ),
        match_parameters=20_000,
    ),
}


def recipe(dataset: str, events: bool = False) -> Recipe:
    """The recipe of a data set, or the general one; as events, it takes no noise.

    >>> recipe("digits").gated.input_noise, recipe("digits", events=True).gated.input_noise
    (0.08, 0.0)
    """
    found = RECIPES.get(dataset, GENERAL)
    return found.changed(input_noise=0.0) if events else found
