"""Generated modules: written once to the user's cache folder, imported, compiled there by numba.

The file of a module is named by the hash of its text, so a name always has the same text, and
processes that write it at the same time write the same bytes. A folder that cannot be written, or
that another numba or a crash left broken, costs a compilation in memory, never a run. A folder that
can only be read, as one that was shipped, is used by way of a copy.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import linecache
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

from spikern._utils import atomic
from spikern._utils.folders import user_cache
from spikern._utils.phases import say

PREFIX = "spikern_kernel_"
_LOCK = threading.RLock()
_modules: dict[str, ModuleType] = {}
_texts: dict[str, str] = {}
_ready: set[tuple[str, str]] = set()


def folder() -> Path:
    """$SPIKERN_CACHE, otherwise spikern/kernels in the user's cache folder."""
    if "SPIKERN_CACHE" in os.environ:
        return Path(os.environ["SPIKERN_CACHE"])
    return user_cache() / "spikern" / "kernels"


@functools.lru_cache(maxsize=256)
def name_of(text: str) -> str:
    """The name of a module: the hash of its text."""
    return PREFIX + hashlib.sha256(text.encode()).hexdigest()[:20]


def load(text: str) -> ModuleType:
    """The module with this text, imported from the cache folder if that works, else from memory."""
    name = name_of(text)
    with _LOCK:
        _texts[name] = text
        if name not in _modules:
            try:
                _modules[name] = _imported(name, _write(name, text))
            except (OSError, RuntimeError) as error:
                _modules[name] = _from_memory(name, text, error)
        return _modules[name]


def module(name: str) -> ModuleType:
    """A module that was loaded before."""
    return _modules[name]


def function(name: str, entry: str, signature: str, title: str) -> Any:
    """A compiled function of a loaded module; with a title, compiling is announced on stderr."""
    with _LOCK:
        if (name, entry) not in _ready:
            from numba import config  # late, like the runtime: a layer is made without it

            if not config.DISABLE_JIT:
                _compile(name, entry, signature, title)
                getattr(_modules[name], entry).disable_compile()  # other types are an error
            _ready.add((name, entry))
        return getattr(_modules[name], entry)


def address(name: str, entry: str) -> int:
    """Where a function that was compiled is in memory; 0 where nothing is compiled."""
    with _LOCK:
        compiled = list(getattr(getattr(_modules[name], entry), "overloads", {}).values())
    if not compiled:
        return 0
    (version,) = compiled
    return int(version.library.get_pointer_to_function(version.fndesc.llvm_func_name))


def _compile(name: str, entry: str, signature: str, title: str) -> None:
    from numba.core.errors import NumbaError

    cached = Path(getattr(_modules[name], "__file__", None) or "/nowhere").parent / "__pycache__"
    loud = bool(title) and not any(cached.glob(f"{name}.{entry}-*.nbi"))
    if loud:
        say(f"spikern: compiling {title}, first use")
    try:
        getattr(_modules[name], entry).compile(signature)
    except NumbaError:  # of the text, not of the cache
        raise
    except Exception:
        # A broken cache fails in as many ways as pickles can: rebuild it, then do without it.
        try:
            _forget(name, entry, cached)
            _replace(name, _import(name, cached.parent / f"{name}.py"))
            getattr(_modules[name], entry).compile(signature)
        except Exception as error:
            _replace(name, _from_memory(name, _texts[name], error))
            getattr(_modules[name], entry).compile(signature)


def _replace(name: str, other: ModuleType) -> None:
    """Put another module, of which nothing is compiled yet, in the place of that of a name."""
    _modules[name] = other
    _ready.difference_update([ready for ready in _ready if ready[0] == name])


def _imported(name: str, path: Path) -> ModuleType:
    """The module of a file; Python's own compiled copy is made anew if it is torn."""
    try:
        return _import(name, path)
    except OSError:
        raise
    except Exception:  # in as many ways as `marshal` can fail
        for torn in path.parent.glob(f"__pycache__/{name}.*.pyc"):
            torn.unlink()
        return _import(name, path)


def _forget(name: str, entry: str, cached: Path) -> None:
    """Remove numba's cache of a function."""
    for path in cached.glob(f"{name}.{entry}-*.nb[ic]"):
        path.unlink(missing_ok=True)


def _write(name: str, text: str) -> Path:
    path = folder() / f"{name}.py"
    if not path.is_file() or path.read_bytes() != text.encode():
        atomic.write(path, text)
    elif not os.access(path.parent, os.W_OK):
        return _copy(path)
    return path


@functools.cache
def _copies() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="spikern-kernels-")


def _copy(path: Path) -> Path:
    """A copy of a module and its compiled code; numba reads none where it cannot write."""
    target = Path(_copies().name)
    (target / "__pycache__").mkdir(exist_ok=True)
    for file in [path, *path.parent.glob(f"__pycache__/{path.stem}.*")]:
        shutil.copy2(file, target / file.relative_to(path.parent))
    return target / path.name


def _import(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    imported = importlib.util.module_from_spec(spec)
    sys.modules[name] = imported
    spec.loader.exec_module(imported)
    return imported


def _from_memory(name: str, text: str, reason: BaseException) -> ModuleType:
    """The module without a file, which every process compiles anew."""
    _warn(f"{type(reason).__name__}: {reason}")
    imported = ModuleType(name)
    sys.modules[name] = imported
    uncached = text.replace("cache=True", "cache=False")
    exec(compile(uncached, f"<{name}>", "exec"), imported.__dict__)
    lines = uncached.splitlines(keepends=True)  # Triton reads the text of a function
    linecache.cache[f"<{name}>"] = len(uncached), None, lines, f"<{name}>"
    return imported


@functools.cache
def _warn(reason: str) -> None:
    """Say once per process why the cache is not used."""
    say(
        f"spikern: the kernel cache cannot be used: {reason}; kernels are compiled anew in this "
        "process; set SPIKERN_CACHE to a folder you can write"
    )
