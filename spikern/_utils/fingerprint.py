"""What a function computes, as far as it can be told: its code and all values that it captures."""

from __future__ import annotations

import dis
import functools
import itertools
import sys
from array import array
from collections import deque, namedtuple
from collections.abc import Hashable
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch

from spikern._utils.tensors import to_numpy

PLAIN = (bool, int, str, bytes, type(None), CodeType)
NUMBERS = (float, complex)
"""These are told by their repr: 0.0 and -0.0 are two, and NaN is one."""
LISTS = (tuple, list, deque, array)
FIELD = type(namedtuple("One", "field").field)  # type: ignore[attr-defined]
ITSELF = (BuiltinFunctionType, FIELD, torch.dtype, torch.device)
LIBRARIES = {"torch", "numpy"}
"""What these define does not change."""


def fingerprint(
    value: Any, above: tuple[int, ...] = (), looked_up: tuple[str, ...] = ()
) -> Hashable:
    """A key that changes when a function's code changes, or a value that it captures.

    Captured are the cells of its closure, its defaults, the globals that it names, the modules that
    it imports, and the `self` of a method, with all that these hold; functions among them by their
    own fingerprints. Of classes and modules only the attributes that the code looks up are
    captured, and those that methods among these look up in turn.

    An object whose contents are not known enters by its identity, so whoever keeps a key keeps the
    function too: another object may have the identity of one that is gone.

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
    if isinstance(value, NUMBERS):
        return type(value), repr(value)
    if isinstance(value, ITSELF) or _of_a_library(value):
        return value  # type: ignore[no-any-return]
    if id(value) in above:
        return "above"
    of = functools.partial(fingerprint, above=(*above, id(value)), looked_up=looked_up)
    if isinstance(value, torch.Tensor):
        strided = value if value.layout == torch.strided else value.to_dense()
        return str(value.dtype), of(to_numpy(strided))
    if isinstance(value, (np.ndarray, np.generic)):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, FunctionType):
        code = value.__code__
        named = {name: value.__globals__.get(name) for name in _names(code, GLOBALS)}
        named |= {name: sys.modules.get(name) for name in _names(code, IMPORTS)}
        cells = [_content(cell) for cell in value.__closure__ or ()]
        captured = (code, value.__defaults__, value.__kwdefaults__, cells, named)
        return of(captured, looked_up=_names(code, ATTRIBUTES))
    if isinstance(value, MethodType):
        return of((value.__func__, value.__self__), looked_up=_names(value.__code__, ATTRIBUTES))
    if isinstance(value, functools.partial):
        return of((value.func, value.args, value.keywords))
    if isinstance(value, dict):
        return tuple((repr(key), of(item)) for key, item in value.items())
    if isinstance(value, LISTS):
        return type(value), tuple(map(of, value))
    if isinstance(value, (set, frozenset)):
        return type(value), frozenset(map(of, value))
    if isinstance(value, property):
        return of((value.fget,))
    if isinstance(value, (type, ModuleType)):
        return value, of(_attributes(value, looked_up))
    held = {name: getattr(value, name, None) for name in _slots(type(value))}
    held |= getattr(value, "__dict__", {})
    return of(type(value)), id(value), of(held)


def _attributes(holder: type | ModuleType, looked_up: tuple[str, ...]) -> dict[str, Any]:
    """The attributes of these names, and those of the names that functions among them look up."""
    found: dict[str, Any] = {}
    names = list(looked_up)
    while names:
        name = names.pop()
        if name not in found and hasattr(holder, name):
            found[name] = getattr(holder, name)
            function = found[name].fget if isinstance(found[name], property) else found[name]
            code = getattr(function, "__code__", None)
            names += _names(code, ATTRIBUTES) if isinstance(code, CodeType) else ()
    return dict(sorted(found.items()))


def _slots(kind: type) -> list[str]:
    """The names of a class's slots, those of its bases too; a single one may stand for itself."""
    found = (each.__dict__.get("__slots__", ()) for each in kind.__mro__)
    return [name for own in found for name in ((own,) if isinstance(own, str) else own)]


GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME")
ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM")
IMPORTS = ("IMPORT_NAME",)
"""Instructions that look something up by its name."""


@functools.lru_cache(maxsize=1024)
def _names(code: CodeType, instructions: tuple[str, ...]) -> tuple[str, ...]:
    """What a function looks up by these instructions, the functions inside it too."""
    own = [i.argval for i in dis.get_instructions(code) if i.opname in instructions]
    inner = (c for c in code.co_consts if isinstance(c, CodeType))
    names = itertools.chain(own, *(_names(each, instructions) for each in inner))
    return tuple(dict.fromkeys(names))


def _of_a_library(value: Any) -> bool:
    """Whether a function, class or module is one of LIBRARIES."""
    if isinstance(value, ModuleType):
        return value.__name__.partition(".")[0] in LIBRARIES
    if isinstance(value, (FunctionType, type)):
        return str(value.__module__).partition(".")[0] in LIBRARIES
    return False


def _content(cell: Any) -> Any:
    """What a closure's cell holds; None as long as it holds nothing."""
    try:
        return cell.cell_contents
    except ValueError:
        return None
