"""Streams from the files that `Stream.save` writes, without torch.

A file is data from elsewhere: it is read only if it can be that of a stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spikern._utils import json_file, tensor_file
from spikern._utils.errors import DataError, InputError, UnsupportedError
from spikern.data.task import Task
from spikern.engines.codegen import storage
from spikern.engines.codegen.program import Step
from spikern.engines.predicting import ANSWERS
from spikern.engines.stream import (
    FORMAT,
    Connections,
    Stream,
    StreamPopulation,
    StreamRouter,
    buffer_shape,
)

if TYPE_CHECKING:
    from spikern.neurons.model import NeuronModel

NAMES_ONLY = 3
"""An earlier format, which has the names of the neurons and not their steps."""
WITH_ANSWER, WITH_BODY = 5, 6
"""The first formats that say how the readout becomes an answer, and which populations are the body;
before, the answer is that of a stream and the last population is the readout."""
ENTRIES = {
    "format": int,
    "neurons": [str],
    "steps": [dict],
    "outputs": int,
    "wires": [([int], int)],
    "task": dict,
    "answer": str,
    "body": int,
    "routings": [(int, int)],
    "decaying": [int],
}
"""The forms of the entries of its header. Wires say what each population reads and sends, where it
reads more than what the one below sends, or later. With experts there are routings: for each
population how many groups are awake, 0 for none, and whether that is learned. `decaying` lists the
populations whose groups decay as they sleep; without it there are none."""
LAYOUT = {
    "params": ("float32", "constants", "neurons"),
    "w_in": ("float32", "neurons", "channels"),
    "bias": ("float32", "neurons"),
    "w_rec": ("float32", "neurons", "neurons"),
    "synapses": ("int64", "synapses", 2),
    "router": ("float32", "experts", "inputs"),
    "below": ("int64", "inputs"),
    "own": ("int64", "outputs"),
}
"""The type and shape of each array of a population."""
OPTIONAL = ("w_rec", "synapses", "router", "below", "own")
"""The arrays that need not be there."""
SHORTEST = {"below": 0, "own": 1}
"""The least delays in steps."""
LARGEST_BUFFER = 2**28
"""Most values of the delay buffer of a population: 1 GiB for each sample."""


def load_stream(path: str | Path, neurons: Sequence[NeuronModel] = ()) -> Stream:
    """Load a stream that `save` wrote, without torch.

    A file of spikern 0.1 has the names of its neurons alone: it needs torch, and those `neurons`
    that are not in `NEURONS`. Raises DataError if the file is broken, of another format, or not
    what a stream can be; InputError if it needs a neuron that is not known.
    """
    arrays, head = tensor_file.read(path)
    if head.get("format") not in [str(n) for n in range(NAMES_ONLY, FORMAT + 1)]:
        raise DataError(
            f"{path} is not a file of Stream.save in format {NAMES_ONLY} to {FORMAT}: its format "
            f"is {head.get('format', 'not said')}"
        )
    version = int(head["format"])
    try:
        entries = {name: json_file.parse(text, ENTRIES[name]) for name, text in head.items()}
        outputs, wires = entries["outputs"], entries.get("wires")
        routings, decaying = entries.get("routings"), entries.get("decaying", [])
        if version > NAMES_ONLY:
            steps = [storage.from_data(data) for data in entries["steps"]]
        else:
            names = entries["neurons"]
        task = Task.from_data(entries["task"]) if "task" in entries else None
        answer = entries["answer"] if version >= WITH_ANSWER else Stream.answer
        body = entries["body"] if version >= WITH_BODY else None
        if answer not in ANSWERS or (task and len(task.class_names) != outputs):
            raise ValueError(f"{outputs} outputs do not fit {task} and the answer {answer}")
    except (DataError, ValueError, KeyError) as error:
        raise DataError(f"{path} is not a file of Stream.save: {error}") from error
    if version == NAMES_ONLY:
        steps = _traced(path, names, neurons)
    try:
        populations, connections = _assemble(arrays, steps, outputs, wires, routings, decaying)
        body = len(populations) - 1 if body is None else body
        if not 0 <= body < len(populations):
            raise ValueError(f"{body} of {len(populations)} populations cannot be its body")
    except ValueError as error:
        raise DataError(f"{path}: {error}; save it again") from error
    stream = Stream(populations, outputs, connections)
    stream.task, stream.answer, stream.body = task, answer, body
    return stream


def _traced(path: str | Path, names: Sequence[str], own: Sequence[NeuronModel]) -> list[Step]:
    """The steps of neurons by their names."""
    try:
        from spikern.engines.codegen import trace
        from spikern.neurons import NEURONS
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            f"{path} is a file of spikern 0.1, which needs {error.name} to be read; load it where "
            "that is installed and save it again"
        ) from None

    known = NEURONS | {model.name: model for model in own}
    missing = [name for name in names if name not in known]
    if missing:
        raise InputError(
            f"{path} needs the neurons {missing}; pass them: load_stream(path, neurons=[NEURON])"
        )
    return [trace.step(known[name]) for name in names]


def _assemble(
    arrays: dict[str, NDArray[Any]],
    steps: Sequence[Step],
    outputs: int,
    wires: list[tuple[list[int], int]] | None,
    routings: list[list[int]] | None,
    decaying: list[int],
) -> tuple[list[StreamPopulation], list[Connections]]:
    """The populations of a file and how they are connected; ValueError says what is impossible.

    Without `wires` there are no delays, and a population reads all neurons of the one below it.
    """
    last = len(steps) - 1
    ends = [outputs] if wires is None else [size for _, size in wires[last:]]
    if not steps or ends != [outputs]:
        raise ValueError(f"{len(steps)} populations and {outputs} outputs do not fit {wires}")
    if routings is not None and len(routings) != len(steps):
        raise ValueError(f"{len(steps)} populations do not fit the routings {routings}")
    without_groups = [k for k in decaying if f"{k}.router" not in arrays]
    if without_groups:
        raise ValueError(f"populations {without_groups} have no groups that could decay")
    left = dict(arrays)
    populations, connections = [], []
    widths: list[int] = []  # of what a population can read
    for k, step in enumerate(steps):
        own = {name: left.pop(f"{k}.{name}") for name in LAYOUT if f"{k}.{name}" in left}
        shape = own["w_in"].shape if "w_in" in own else ()
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"expected {k}.w_in as a matrix, got the shape {shape}")
        hidden, fan_in = shape
        inputs, size = ([k], outputs if k == last else hidden) if wires is None else wires[k]
        delayed = own["own"].size if "own" in own else 0
        widths = widths or [fan_in - delayed]
        if not 0 < size <= hidden or widths[0] < 1:
            raise ValueError(
                f"population {k} has {hidden} neurons, {fan_in} inputs, {size} outputs"
            )
        if not inputs or not set(inputs) <= set(range(len(widths))):
            raise ValueError(f"population {k} cannot read {inputs}, only some of 0..{k}")
        width = sum(widths[source] for source in inputs)
        widths.append(size)
        sizes: dict[Any, int] = {
            "constants": len(step.params),
            "neurons": hidden,
            "channels": width + delayed,
            "experts": len(own["router"]) if "router" in own and own["router"].ndim else 0,
            "synapses": len(own["synapses"]) if "synapses" in own and own["synapses"].ndim else 0,
            "inputs": width,
            "outputs": size,
        }
        for name, (kind, *dims) in LAYOUT.items():
            expected = tuple(sizes.get(dim, dim) for dim in dims)
            found = f"{own[name].dtype} {own[name].shape}" if name in own else "nothing"
            if found != f"{kind} {expected}" and (name in own or name not in OPTIONAL):
                raise ValueError(f"expected {k}.{name} as {kind} {expected}, got {found}")
        if wrong := _impossible(own, step, k == last, wires is not None):
            raise ValueError(f"population {k}, {step.name}: {wrong}")
        fields: dict[str, Any] = {
            name: own.get(name) for name in ("params", "w_in", "w_rec", "bias")
        }
        router = None
        if routings is not None and "router" in own:
            awake, learned = routings[k]
            router = StreamRouter(own["router"], awake, bool(learned), k in decaying)
        if wrong := _impossible_groups(own, step, router):
            raise ValueError(f"population {k}, {step.name}: {wrong}")
        populations.append(
            StreamPopulation(step, **fields, synapses=own.get("synapses"), router=router)
        )
        connections.append(Connections(tuple(inputs), size, own.get("below"), own.get("own")))
    if left:
        raise ValueError(
            f"{', '.join(left)} are not arrays of a stream of {len(steps)} populations"
        )
    return populations, connections


def _impossible_groups(
    own: Mapping[str, NDArray[Any]], step: Step, router: StreamRouter | None
) -> str:
    """What no stream has in the groups of a population; empty if nothing."""
    if router is None:
        return "it has a router of which its file says nothing" if "router" in own else ""
    experts, hidden = len(router.weight), len(own["bias"])
    if not step.spikes or own.keys() & {"synapses", "own"} or experts < 1 or hidden % experts:
        return f"its {hidden} neurons cannot be in {experts} groups"
    if not 1 <= router.awake <= experts:
        return f"{router.awake} of {experts} groups cannot be awake"
    return ""


def _impossible(own: Mapping[str, NDArray[Any]], step: Step, last: bool, delays: bool) -> str:
    """What no stream has in a population whose arrays have the right shapes; empty if nothing."""
    if not all(np.isfinite(array).all() for array in own.values()):
        return "it holds NaN or infinite values"
    recurrent = own.keys() & {"w_rec", "own"}
    if not step.spikes and (recurrent or not (last or delays)):
        return "it never fires, so nothing can receive its spikes"
    if len(recurrent) > 1 or (not delays and own.keys() & {"below", "own"}):
        return "it has delays in addition to connections without"
    steps, axons = buffer_shape(Connections((), 0, own.get("below"), own.get("own")))
    early = [name for name, least in SHORTEST.items() if name in own and own[name].min() < least]
    if early or steps * axons > LARGEST_BUFFER:
        return f"its delays of up to {steps} steps on {axons} axons are too short or too long"
    if "synapses" in own:
        source, target = own["synapses"].T
        hidden, w_rec = len(own["bias"]), own.get("w_rec")
        inside = own["synapses"].min(initial=0) >= 0 and own["synapses"].max(initial=0) < hidden
        ascending = (np.diff(source * hidden + target) > 0).all()
        if (
            w_rec is None
            or not (inside and ascending)
            or np.count_nonzero(w_rec[target, source]) < np.count_nonzero(w_rec)
        ):
            return "its list of synapses is not that of its weights, ascending"
    return ""
