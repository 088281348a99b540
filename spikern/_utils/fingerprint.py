"""What a function computes, as far as it can be told: its code and all values that it captures."""

from __future__ import annotations

import dis
import functools
import itertools
from collections.abc import Hashable
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

PLAIN = (bool, int, float, complex, str, bytes, type(None), CodeType)
ITSELF = (ModuleType, type, BuiltinFunctionType, torch.dtype, torch.device)


def fingerprint(value: Any, above: tuple[int, ...] = ()) -> Hashable:
    """A key that changes when a function's code changes, or a value that it captures.

    Captured are the cells of its closure, its defaults, the globals that it names, and the `self`
    of a method, with all that these hold; functions among them by their own fingerprints.

    >>> def amplifier(gain):
    ...     return lambda v: gain * v
    >>> fingerprint(amplifier(2.0)) == fingerprint(amplifier(2.0))
    True
    >>> fingerprint(amplifier(2.0)) == fingerprint(amplifier(3.0))
    False
    >>> fingerprint(functools.partial(max, 1)) == fingerprint(functools.partial(max, 2))
    False
    """
    if isinstance(value, PLAIN):
        return type(value), value
    if isinstance(value, ITSELF):
        return value
    if id(value) in above:
        return "above"
    above = (*above, id(value))
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, FunctionType):
        named = {name: value.__globals__.get(name) for name in _names(value.__code__)}
        cells = [_content(cell) for cell in value.__closure__ or ()]
        return fingerprint(
            (value.__code__, value.__defaults__, value.__kwdefaults__, cells, named), above
        )
    if isinstance(value, MethodType):
        return fingerprint((value.__func__, value.__self__), above)
    if isinstance(value, functools.partial):
        return fingerprint((value.func, value.args, value.keywords), above)
    if isinstance(value, dict):
        return tuple((repr(key), fingerprint(item, above)) for key, item in value.items())
    if isinstance(value, (tuple, list)):
        return type(value), tuple(fingerprint(item, above) for item in value)
    # What an object holds beside its attributes is not seen, so another object is another value.
    return type(value), id(value), fingerprint(getattr(value, "__dict__", None), above)


@functools.lru_cache(maxsize=1024)
def _names(code: CodeType) -> tuple[str, ...]:
    """The globals that a function looks up, those of the functions inside it too."""
    own = [i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")]
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return (*own, *itertools.chain(*inner))


def _content(cell: Any) -> Any:
    """What a closure's cell holds; None as long as it holds nothing."""
    try:
        return cell.cell_contents
    except ValueError:
        return None
