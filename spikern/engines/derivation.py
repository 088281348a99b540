"""The kernels of a neuron: their text, derived once, and whether they can be.

The text depends on the step, the surrogate and all that these capture, and on the target: the CPU
or a GPU.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from spikern._utils.errors import UnsupportedError
from spikern._utils.fingerprint import fingerprint
from spikern.engines.codegen import cache, kernels, trace
from spikern.engines.codegen.program import Gradient, Step
from spikern.neurons.model import NeuronModel
from spikern.neurons.surrogate import Surrogate, triangular

Function = TypeVar("Function", bound=Callable[..., Any])


class Target(Protocol):
    """A module that writes kernels, as `kernels` does for the CPU."""

    def source(self, step: Step, gradient: Gradient) -> str:
        """The text of a module with the kernels of a neuron."""


_sources: dict[Any, tuple[str, NeuronModel, Surrogate]] = {}
_supported: dict[Any, bool] = {}


def constant(function: Function) -> Function:
    """What `torch.compiler.assume_constant_result` does, which imports the compiler: a second."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


@constant
def supports(model: NeuronModel, surrogate: Surrogate, target: Target = kernels) -> bool:
    """Whether kernels can be derived from the neuron's step; asked once per step and surrogate.

    Where they cannot, a warning says why; Python shows the same warning once.
    """
    key = (model.step, model.params, model.state, model.spikes, surrogate, target)
    if key not in _supported:
        try:
            _source(model, surrogate, False, target)
            _supported[key] = True
        except UnsupportedError as error:
            _supported[key] = False
            warnings.warn(f"engine='auto' is the reference: {error}", stacklevel=2)
    return _supported[key]


@constant
def kernel_name(
    model: NeuronModel,
    surrogate: Surrogate,
    smooth: bool = False,
    target: Target = kernels,
) -> str:
    """The name of the neuron's kernels, which are loaded if they were not."""
    text = _source(model, surrogate, smooth, target)
    cache.load(text)
    return cache.name_of(text)


def _derived(model: NeuronModel, surrogate: Surrogate, smooth: bool, target: Target) -> str:
    return target.source(trace.step(model), trace.gradient(model, surrogate, smooth))


def _source(model: NeuronModel, surrogate: Surrogate, smooth: bool, target: Target) -> str:
    """The kernels' text, derived once per step and surrogate, with the values they capture."""
    key = (
        *(fingerprint(model.step), model.params, model.state, model.spikes),
        *(surrogate.key, surrogate.scale, smooth, target),
    )
    if key not in _sources:
        text = trace.apart(_derived, model, surrogate, smooth, target)
        _sources[key] = text, model, surrogate  # as long as a key is kept, see `fingerprint`
    return _sources[key][0]


def show_kernel(model: NeuronModel, surrogate: Surrogate | None = None) -> str:
    """The text of a neuron's training kernels; the surrogate is triangular by default."""
    surrogate = triangular() if surrogate is None else surrogate
    return kernels.source(trace.step(model), trace.gradient(model, surrogate))
