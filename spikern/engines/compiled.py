"""From a trained stack to its stream, and from a file back to one."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import functional

from spikern.engines.late_stream import LateStream, Steps, Wires
from spikern.engines.stack import Population, is_linked, recurrence
from spikern.engines.stream import FORMAT, Floats, Stream, Streamed
from spikern.neurons import NEURONS
from spikern.types import DataError, InputError, NeuronModel, UnsupportedError


def load_stream(path: str | Path, *own: NeuronModel) -> Stream | LateStream:
    """A stream from its file; neurons that are not in the table are passed as `own`.

    A neuron is known by its name alone. Raises DataError if the file is not whole or not of this
    format, InputError if it needs a neuron that is not known.
    """
    known = NEURONS | {model.name: model for model in own}
    try:
        with safe_open(path, "np") as file:
            head = file.metadata() or {}
            arrays = {key: file.get_tensor(key) for key in list(file.keys())}
        names, outputs = json.loads(head["neurons"]), int(head["outputs"])
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise DataError(f"{path} is not a file of Stream.save: {error}") from error
    if head.get("format") != str(FORMAT):
        raise DataError(f"{path} has format {head.get('format')}, this version reads {FORMAT}")
    missing = [name for name in names if name not in known]
    if missing:
        raise InputError(
            f"{path} needs the neurons {missing}; pass them: load_stream(path, NEURON)"
        )
    populations = [_read(path, arrays, k, known[name]) for k, name in enumerate(names)]
    if "wires" not in head:
        for below, p in pairwise(populations):
            if p.w_in.shape[1] != len(below.bias):
                raise DataError(
                    f"{path}: a population of {len(below.bias)} neurons below one that reads "
                    f"{p.w_in.shape[1]}; save it again"
                )
        return Stream(populations, outputs)
    wires = [
        Wires(tuple(hears), outputs, arrays.get(f"{k}.below"), arrays.get(f"{k}.own"))
        for k, (hears, outputs) in enumerate(json.loads(head["wires"]))
    ]
    return LateStream(populations, wires)


def _read(
    path: str | Path, arrays: dict[str, NDArray[Any]], k: int, model: NeuronModel
) -> Streamed:
    """The k-th population of a file."""
    found = {name: arrays.get(f"{k}.{name}") for name in Streamed._fields[1:]}
    missing = [name for name in ("params", "w_in", "bias") if found[name] is None]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)} of population {k}; save it again")
    hidden, fan_in = len(arrays[f"{k}.bias"]), arrays[f"{k}.w_in"].shape[-1]
    shapes = {
        "params": (len(model.params._fields), hidden),
        "w_in": (hidden, fan_in),
        "w_rec": (hidden, hidden),
        "bias": (hidden,),
    }
    for name, shape in shapes.items():
        array = found[name]
        if array is None:
            continue
        if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
            raise DataError(
                f"{path}: expected {name} of population {k}, {model.name}, as finite float32 "
                f"{shape}, got {array.dtype} {array.shape}; save it again"
            )
    links = found["links"]
    if links is not None and (links.min(initial=0) < 0 or links.max(initial=0) >= hidden):
        raise DataError(f"{path}: population {k} has links to neurons that it lacks; save it again")
    return Streamed(model, **found)  # type: ignore[arg-type]  # what is missing was refused


def compile_stream(trained: Any) -> Stream | LateStream:
    """The inference engine of a SpikingRNN, or of a Network of a SpikingRNN and a Readout.

    Dropout does not act in it, and learned delays are whole steps. With delays or skip connections
    it is a `LateStream`, which is slower, else a `Stream`. Raises UnsupportedError on anything
    else, and on both directions.
    """
    parts = [getattr(trained, name, None) for name in ("body", "readout")]
    stacks: list[Any] = [trained] if hasattr(trained, "neuron") else parts
    if not all(hasattr(stack, "neuron") for stack in stacks):
        raise UnsupportedError(
            f"a {type(trained).__name__} cannot be streamed: only a spiking stack, alone or with a "
            f"spiking readout, can; use torch for RNN, GRU, LSTM"
        )
    if any(stack.bidirectional for stack in stacks):
        raise UnsupportedError(
            "a bidirectional layer needs the end of a sequence before its first step, so it cannot "
            "be streamed; train with bidirectional=False"
        )
    if any(stack.late or (stack.skip and not stack.feedback) for stack in stacks):
        return _late_stream(stacks)
    populations: list[Population] = []
    for stack in stacks:
        own = stack.populations()
        if populations:
            own[0] = _reading_the_last(own[0], len(populations[-1].w_in))
        populations += own
    return Stream([streamed(p) for p in populations], stacks[-1].hidden_size)


def _late_stream(stacks: list[Any]) -> LateStream:
    """One population after the other, with the delays and skip connections between them."""
    populations: list[Streamed] = []
    wires: list[Wires] = []
    for stack in stacks:
        base = len(wires)
        for name, p in zip(stack.names, stack.populations()):
            hears = (
                [len(wires), len(wires) - 1] if stack.skip and len(wires) > base else [len(wires)]
            )
            below, own = (_steps(getattr(stack, f"delay_{k}_{name}", None)) for k in ("ih", "hh"))
            populations.append(streamed(p))
            wires.append(Wires(tuple(hears), stack.hidden_size, below, own))
    return LateStream(populations, wires)


def _steps(axons: Any) -> Steps | None:
    """The delays of axons, None if there are none."""
    return None if axons is None else np.asarray(axons.steps.cpu().numpy(), np.int64)


def _reading_the_last(p: Population, width: int) -> Population:
    """A population that reads the last of `width` neurons: those of the top layer."""
    return p._replace(w_in=functional.pad(p.w_in, (width - p.w_in.shape[1], 0)))


def streamed(p: Population) -> Streamed:
    """A population of tensors as one of arrays."""
    w_rec = recurrence(p)
    return Streamed(
        p.model,
        np.stack([_floats(c) for c in p.params]),
        _floats(p.w_in),
        None if w_rec is None else _floats(w_rec),
        np.zeros(len(p.w_in), np.float32) if p.bias is None else _floats(p.bias),
        p.links.cpu().numpy() if p.links is not None and is_linked(p) else None,
    )


def _floats(x: Tensor) -> Floats:
    return np.ascontiguousarray(x.detach().cpu().numpy(), np.float32)
