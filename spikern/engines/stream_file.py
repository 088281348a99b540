"""A stream in a file and back."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from spikern._utils.errors import DataError, InputError
from spikern.engines.stream import FORMAT, LateStream, Stream, Streamed, Wires
from spikern.neurons import NEURONS
from spikern.neurons.model import NeuronModel


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
