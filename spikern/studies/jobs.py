"""Jobs: frozen dataclasses, and the files that each has in a study's folder.

jobs/<name>.json          config and result of a finished job
jobs/<name>.safetensors   checkpoint
jobs/<name>.lock          "host pid" of the runner that does the job now; otherwise empty
jobs/<name>.error         traceback of the last failure

The name is the key of the config, its hash, unless a study names its jobs otherwise.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from spikern._utils import json_file
from spikern._utils.errors import DataError, InputError

Config = TypeVar("Config")
Name = Callable[[Any], str]
"""The name of a job's files, from its config."""
KEY_LENGTH = 16
"""Hexadecimal digits of a key: 64 bits, enough to tell millions of jobs apart."""


FORM = {"key": str, "config": dict, "result": dict}
"""The form of a finished job's file."""


class Files(NamedTuple):
    """Where the files of a job are."""

    result: Path
    checkpoint: Path
    lock: Path
    error: Path


def files(out: Path, name: str) -> Files:
    """The files of the job with this key in the study's folder."""
    stem = out / "jobs" / name
    return Files(
        *(stem.with_name(f"{name}.{end}") for end in ("json", "safetensors", "lock", "error"))
    )


def canonical(config: Any) -> str:
    """A config as JSON with sorted names and no spaces: equal configs, equal text.

    Raises InputError unless it is a frozen dataclass of numbers, strings, booleans, None, and
    tuples, dicts and dataclasses of these.
    """
    made = is_dataclass(config) and not isinstance(config, type)
    if not (made and type(config).__dataclass_params__.frozen):
        raise InputError(f"a job is an instance of a frozen dataclass, got {config!r}")
    try:
        return json_file.canonical(asdict(config))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{type(config).__name__} cannot be written as JSON ({error}); a job holds finite "
            f"numbers, strings, booleans, None, and tuples and dataclasses of these"
        ) from error


def key(config: Any) -> str:
    """The key of a config: the first 16 digits of the SHA-256 of its canonical text.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Job:
    ...     model: str
    ...     seed: int
    >>> key(Job("LIF", 0)) == key(Job(seed=0, model="LIF")) != key(Job("LIF", 1))
    True
    """
    return hashlib.sha256(canonical(config).encode()).hexdigest()[:KEY_LENGTH]


def grid(base: Config, axes: Mapping[str, Sequence[Any]]) -> list[Config]:
    """The config with every combination of the values of the axes, the last axis fastest.

    A dotted name reaches into a config within the config, so the frontier of accuracy against
    operations is `grid(job, {"training.rate_penalty": [0, 1, 10, 100], "seed": range(5)})`.

    >>> from spikern.train import Training
    >>> [t.epochs for t in grid(Training(), {"batch_size": [8, 16], "epochs": [1, 2]})]
    [1, 2, 1, 2]
    """
    for name, values in axes.items():
        if len(values) == 0:
            raise InputError(f"the axis {name} of a grid has no values")
    made = []
    for combination in itertools.product(*axes.values()):
        config = base
        for name, value in zip(axes, combination):
            config = changed(config, name.split("."), value)
        made.append(config)
    return made


def changed(config: Any, path: Sequence[str], value: Any) -> Any:
    """The config with another value at the end of a path of field names."""
    first, *rest = path
    if not hasattr(config, first):
        raise InputError(f"{type(config).__name__} has no field {first}")
    return replace(
        config, **{first: changed(getattr(config, first), rest, value) if rest else value}
    )


def named(configs: Sequence[Any], name: Name = key) -> dict[str, Any]:
    """The configs by name; InputError if there is none or two have one name."""
    if not configs:
        raise InputError("a study needs at least one job, got none")
    by_name: dict[str, Any] = {}
    for config in configs:
        if name(config) in by_name:
            raise InputError(f"a job is asked for twice: {config}")
        by_name[name(config)] = config
    return by_name


def read_result(path: Path) -> dict[str, Any]:
    """A finished job's file: its key, config and result."""
    try:
        return json_file.read(path, FORM)
    except DataError as error:
        raise DataError(f"{error}; delete it to do the job again") from error


def read_results(configs: Sequence[Any], out: str | Path, name: Name = key) -> list[dict[str, Any]]:
    """The results of finished jobs, in the order of their configs; DataError if one is missing."""
    return [read_result(files(Path(out), name(config)).result)["result"] for config in configs]
