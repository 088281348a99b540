"""The rooms of the package: what is at its root, and who may import whom."""

import ast
import copy
import functools
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import spikern

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "spikern"
LARGEST = 17
"""Entries at the root of the package."""


def floors():
    """The rooms in the order of the table in docs/architecture.md, lowest first."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.split("## Rooms")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)


def entries():
    """The modules and rooms at the root of the package."""
    return {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}


def module_of(path):
    """The dotted name of a file of the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
PACKAGES = {module for module, path in MODULES.items() if path.name == "__init__.py"}


def text_of(path):
    """The text of a module; of a lazy room, the stub that its names come from."""
    stub = path.with_suffix(".pyi")
    return (stub if stub.exists() else path).read_text()


@functools.cache
def named(text, module):
    """Every name that a module's text imports, wherever it stands.

    Those under TYPE_CHECKING, those inside functions and those imported by a string count too.
    """
    found = []
    for node in ast.walk(ast.parse(text)):
        names = []
        if isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            package = parts[: len(parts) - node.level + (module in PACKAGES)] if node.level else []
            base = ".".join([*package, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            names = [
                a.value
                for a in node.args
                if isinstance(a, ast.Constant) and isinstance(a.value, str)
            ]
        found += names
    return found


def imported(text, module, modules):
    """Every module of the package that a module's text imports."""
    for name in named(text, module):
        while name and name not in modules:
            name = name.rpartition(".")[0]
        if name.startswith("spikern.") and name != module:
            yield name


def room(module):
    return module.split(".")[1]


def arrows_up(texts, order):
    """The imports from a room on a lower floor to one on a higher."""
    return {
        f"{module} imports {other}"
        for module, text in texts.items()
        if module != "spikern"
        for other in imported(text, module, texts)
        if order.index(room(other)) > order.index(room(module))
    }


def circles(texts):
    """The circles of modules that import each other; a room's `__init__` only gathers its files."""
    graph = {
        module: {other for other in imported(text, module, texts) if other.count(".") > 1}
        for module, text in texts.items()
    }
    found, finished = set(), set()

    def visit(module, path):
        if module in path:
            found.add(" -> ".join([*path[path.index(module) :], module]))
        elif module not in finished:
            for other in sorted(graph.get(module, ())):
                visit(other, [*path, module])
            finished.add(module)

    for module in texts:
        visit(module, [])
    return found


TEXTS = {module: text_of(path) for module, path in MODULES.items()}


def test_the_root_is_seen_at_a_glance():
    assert len(entries()) <= LARGEST
    assert entries() == {*floors(), "__init__"}


def test_rooms_import_only_from_floors_below():
    assert arrows_up(TEXTS, floors()) == set()


def test_no_modules_import_each_other():
    assert circles(TEXTS) == set()


IMPORTS = {
    "at the top": "from spikern.__main__ import main",
    "of a room": "from spikern import __main__",
    "inside a function": "def f():\n    import spikern.__main__",
    "for annotations": "if TYPE_CHECKING:\n    from spikern.__main__ import main",
    "relative": "from ..__main__ import main",
    "by its name": "importlib.import_module('spikern.__main__')",
}


@pytest.mark.parametrize("kind", IMPORTS)
def test_an_arrow_up_is_seen(kind):
    planted = TEXTS | {"spikern.neurons.lif": IMPORTS[kind]}
    assert arrows_up(planted, floors()) == {"spikern.neurons.lif imports spikern.__main__"}


def test_a_circle_is_seen():
    planted = TEXTS | {
        "spikern.neurons.lif": "from spikern.neurons import alif",
        "spikern.neurons.alif": "def f():\n    from spikern.neurons.lif import LIF",
    }
    assert circles(planted) == {
        "spikern.neurons.alif -> spikern.neurons.lif -> spikern.neurons.alif"
    }


def test_no_module_has_the_name_of_what_its_room_exports():
    for module, path in MODULES.items():
        if path.name == "__init__.py" or module.count(".") < 2:
            continue
        gathered = ast.parse(text_of(path.parent / "__init__.py"))
        exported = {
            alias.asname or alias.name
            for node in ast.walk(gathered)
            if isinstance(node, ast.ImportFrom) and (node.level or node.module.count(".") > 1)
            for alias in node.names
        }
        assert path.stem not in exported, f"{module} hides what its room exports"


LATE = {
    *("matplotlib", "sklearn", "onnx", "onnxruntime", "ray", "snntorch", "nir"),
    *("scipy.signal", "scipy.stats", "scipy.optimize", "scipy.io"),
}
"""Packages that no name of the flat API imports before it is used; numba imports SciPy's root."""


def test_the_flat_api_is_lazy_and_shows_no_internals():
    code = (
        "import json, sys, spikern\n"
        "at_first = [name for name in ('torch', 'numba') if name in sys.modules]\n"
        "names = dir(spikern)\n"
        "rooms = {'plot', 'report', 'studies', 'timing'}\n"
        "every = [getattr(spikern, name) for name in names if name not in rooms]\n"
        "print(json.dumps([at_first, names, list(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    at_first, names, modules = json.loads(done.stdout)
    assert at_first == []
    assert {"SpikingRNN", "build", "fit", "load", "load_network", "count", "record"} <= set(names)
    internals = [name for name in names if name.startswith("_") or name == "engines"]
    assert internals == []
    assert LATE.isdisjoint(modules)


def loaded_by(code):
    """The modules that a new process has at the end of this code."""
    code += "\nimport json, sys; print(json.dumps([*sys.modules]), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def command(*arguments):
    return (
        f"from spikern.__main__ import main\ntry:\n    main({arguments!r})\nexcept SystemExit: pass"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("datasets",),
        ("coompare",),
        ("compare", "digit"),
        ("count", "-h"),
    ],
)
def test_the_command_line_reads_its_arguments_before_it_loads_torch(arguments):
    loaded = loaded_by(command(*arguments))
    assert "spikern.__main__" in loaded
    assert loaded.isdisjoint({"torch", "numba", "scipy", "matplotlib", "sklearn", "pooch"})


def test_a_layer_is_made_without_the_compilers():
    loaded = loaded_by("import spikern\nspikern.SpikingRNN('LIF', 2, 3)")
    assert "torch" in loaded
    assert loaded.isdisjoint({"torch._dynamo", "numba", "scipy", *LATE})


ROOMS_WITH_FILES = (
    "cost",
    "data",
    "engines.stream_loading",
    "interop",
    "plot",
    "report",
    "retrieval",
    "studies",
    "train",
)


@pytest.mark.parametrize("room", ROOMS_WITH_FILES)
def test_whoever_takes_a_path_takes_a_string(room):
    public = importlib.import_module(f"spikern.{room}")
    names = getattr(public, "__all__", ["load_stream"])
    functions = [f for name in names if inspect.isfunction(f := getattr(public, name))]
    taken = [
        (function.__name__, name, str(parameter.annotation))
        for function in functions
        for name, parameter in inspect.signature(function).parameters.items()
        if re.search(r"\bPath\b", str(parameter.annotation))
    ]
    assert [where for where in taken if not re.search(r"\bstr\b", where[2])] == []


@pytest.mark.parametrize(
    ("table", "near"),
    [(spikern.NEURONS, "ALIF"), (spikern.SURROGATES, "boxcar"), (spikern.tables(), "45nm_fp32")],
)
def test_a_table_names_what_is_near_to_what_it_does_not_have(table, near):
    with pytest.raises(spikern.InputError, match=f"did you mean '{near}'"):
        table[f"{near}s"]
    assert copy.deepcopy(table).keys() == table.keys()
    assert f"{near}s" not in table
    assert table.get(f"{near}s") is None
