"""The documents: every example runs, and what pages say of the code is so."""

import ast
import importlib
import json
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from c_library import needs_gcc

from spikern import plot
from spikern._utils import json_file
from spikern.neurons import NEURONS
from spikern.report.markdown import filled
from spikern.report.terminal import table

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
COMPILED = ROOT / "docs" / "embedded.md"


@pytest.fixture
def page_examples(monkeypatch):
    """The module that runs the examples of a page, here and when the documents are built."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("page_examples")


LIGHTNING = pytest.mark.filterwarnings("ignore:.*isinstance.treespec:")  # its own


@LIGHTNING
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[needs_gcc] * (page == COMPILED)) for page in PAGES],
    ids=lambda page: page.stem,
)
def test_examples_run(page, page_examples, tmp_path):
    assert page_examples.run(page, tmp_path) == ""
    saved = {path.name for path in tmp_path.iterdir()}
    assert set(re.findall(r"\]\(figures/(.*?)\)", page.read_text())) <= saved


def test_the_example_of_the_readme_runs(capsys, tmp_path, monkeypatch):
    """As it stands there, warnings being errors, and it prints what its comments say."""
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    torch.manual_seed(0)
    exec(code, {})
    layer, accuracy, picojoules = capsys.readouterr().out.splitlines()
    assert layer.startswith("fused 0.0")
    assert 0.65 < float(accuracy) < 0.95
    assert 1e4 < float(picojoules) < 1e6


def test_the_examples_are_found():
    """Else the test above would prove nothing."""
    with_examples = {page.stem for page in PAGES if ">>> " in page.read_text()}
    expected = {
        "architecture",
        "energy_report",
        "first_network",
        "library",
        "neurons",
        "new_neuron",
        "notation",
        "op_counting",
        "streaming",
        "topologies",
    }
    assert expected <= with_examples


def test_an_example_that_goes_otherwise_is_reported(page_examples, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```pycon\n>>> 1 + 1\n3\n```\n")
    assert "Got:\n    2" in page_examples.run(page, tmp_path)


@pytest.mark.parametrize(
    ("found", "accepted"), [("58 %", True), ("50 %", True), ("80 %", False), ("58 of", False)]
)
def test_a_number_that_is_measured_may_differ_a_little(page_examples, tmp_path, found, accepted):
    page = tmp_path / "page.md"
    page.write_text(f"```pycon\n>>> print('{found}')  # doctest: +ABOUT\n58 %\n```\n")
    assert (page_examples.run(page, tmp_path) == "") == accepted


@pytest.fixture
def neuron_pages(monkeypatch):
    """The module that makes the neurons' pages when the documents are built."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import neuron_pages

    yield neuron_pages
    del sys.modules["neuron_pages"]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", NEURONS)
def test_every_neuron_has_its_page(name, neuron_pages):
    model = NEURONS[name]
    text = neuron_pages.page(model)
    assert text == (ROOT / "docs" / "neurons" / f"{name}.md").read_text()
    assert neuron_pages.equations(model) in text
    for constant in model.constants.values():
        assert f"| `{constant.symbol}` | {constant.mean:g}" in text
    assert f"{name}_step.svg" in text
    drawn = neuron_pages.step_figure(model)
    assert [axis.texts[0].get_text() for axis in drawn.axes if axis.texts] == [
        "i", *(field for field in model.state._fields if field != "z")
    ]  # fmt: skip
    assert neuron_pages.second_figure(model).axes[0].lines
    if model.spikes:
        current = neuron_pages.step_current(neuron_pages.amplitude(model))
        assert neuron_pages.run(model, current)["z"].sum() >= neuron_pages.SPIKES


def test_one_symbol_means_one_thing():
    """Every symbol of every neuron is in the table of symbols, once."""
    page = (ROOT / "docs" / "notation.md").read_text()
    table = page.split("## Symbols")[1].split("\n## ")[0]
    first = re.findall(r"^\| (`.*?`) \|", table, flags=re.MULTILINE)
    listed = [symbol for cell in first for symbol in re.findall(r"`(\w+)`", cell)]
    assert len(listed) == len(set(listed))
    used = {s for m in NEURONS.values() for s in (*m.params._fields, *m.state._fields)}
    used |= {c.symbol for m in NEURONS.values() for c in m.constants.values()}
    assert used <= set(listed)


def test_the_readmes_table_is_that_of_a_real_run():
    results = json.loads((ROOT / "experiments" / "digits" / "results.json").read_text())
    assert results["provenance"]["command"] == "spikern compare digits --restart"
    assert f"```text\n{table(results)}\n```" in (ROOT / "README.md").read_text()


def test_the_flows_visit_a_room_once_and_name_functions_of_it():
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.split("## Four flows")[1].split("\n## ")[0]
    flows = [re.findall(r"^\| `(\w+)` \| (.*) \|$", t, re.M) for t in section.split("| --- |")[1:]]
    assert len(flows) == 4
    for flow in flows:
        rooms = [room for room, _ in flow]
        assert len(set(rooms)) == len(rooms) >= 4
        for room, text in flow:
            missing = set(re.findall(r"`([\w.]+)`", text)) - defined(room)
            assert not missing, f"{room} has no {missing}"


def defined(room):
    """Names of the functions, classes and class members of a room; `file.name` too."""
    folder = ROOT / "spikern" / room
    files = folder.rglob("*.py") if folder.is_dir() else [folder.with_suffix(".py")]
    names = set()
    for file in files:
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names |= {node.name, f"{file.stem}.{node.name}"}
                members = ast.walk(node) if isinstance(node, ast.ClassDef) else ()
                for member in members:
                    if isinstance(member, ast.FunctionDef):
                        names |= {member.name, f"{node.name}.{member.name}"}
                    elif isinstance(member, ast.AnnAssign):
                        names.add(f"{node.name}.{ast.unparse(member.target)}")
    return names


def test_the_readmes_picture_is_the_same_in_light_and_dark(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    readme_picture = importlib.import_module("readme_picture")
    light, dark = (
        (readme_picture.STATIC / f"readme_{page}.svg").read_text() for page in ("light", "dark")
    )
    assert dark == readme_picture.in_dark(light) != light
    models = json.loads(readme_picture.RESULTS.read_text())["models"]
    assert all(f">{model['name']}</text>" in light for model in models)


@pytest.fixture
def generated(monkeypatch):
    """The module that writes what the pages have from the code."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    yield importlib.import_module("generated")
    for name in ("generated", "neuron_pages", "notebooks"):
        del sys.modules[name]


@pytest.mark.usefixtures("one_thread")
def test_pages_have_what_the_code_says(generated):
    """`python docs/generated.py` writes them again."""
    for name in generated.PAGES:
        assert generated.page(name) == (ROOT / "docs" / f"{name}.md").read_text(), name
    notebooks = generated.notebooks
    for name in notebooks.TUTORIALS:
        written = (notebooks.FOLDER / f"{name}.ipynb").read_text()
        assert notebooks.notebook(name) == written, name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the kernel's own packages
@pytest.mark.parametrize("name", ["first_network", "training"])
def test_a_notebook_runs_and_shows_its_figures(name, generated, tmp_path):
    import nbformat
    from nbclient import NotebookClient

    found = nbformat.reads(generated.notebooks.notebook(name), 4)
    NotebookClient(found, timeout=500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    kinds = [
        kind for cell in found.cells for o in cell.get("outputs", ()) for kind in o.get("data", ())
    ]
    page = (ROOT / "docs" / f"{name}.md").read_text()
    assert kinds.count("image/png") >= page.count("plot.save(")
    assert not [page.name for page in PAGES if re.search(r"@@|literalinclude", page.read_text())]


MARKDOWN = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("experiments/*/README.md")]


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere_in_the_repository(page):
    """To a file that is there without a build, and to a heading of it."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"(.*?)\"", text)
    for target in filter(None, (a or b for a, b in links)):
        if target.startswith("https://"):
            continue
        path, _, fragment = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if fragment and found.name != "api.md":  # which Sphinx makes
            headings = re.findall(r"^#+ (.*)$", found.read_text(), flags=re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings]
            assert fragment in slugs, target


def test_figures_have_the_colours_of_a_dark_page_and_no_background():
    figures = [*ROOT.glob("docs/*/*.svg"), *ROOT.glob("experiments/*/*.svg")]
    assert len(figures) > 40
    known = {*plot.COLOURS.values(), "#000000", "#ffffff"}
    for figure in figures:
        text = figure.read_text()
        if not figure.name.startswith("readme_"):
            assert "prefers-color-scheme:dark" in text, figure
            used = set(re.findall(r"(?:fill|stroke): (#\w+)", text.split("</style>")[1]))
            assert used <= known, figure
        background = re.search(r'<g id="patch_1">\s*<path[^>]*style="(.*?)"', text)
        assert not background or "fill: none" in background[1], figure


def test_the_results_page_is_made_of_the_studies_results(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    results_page = importlib.import_module("results_page")
    page = results_page.PAGE.read_text()
    assert filled(page, results_page.tables()) == page


def test_a_verdict_of_the_page_is_never_bolder_than_that_of_its_data_set(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    results_page = importlib.import_module("results_page")
    judged = results_page.corrected()
    own = {
        (part["dataset"]["name"], name): claim["verdict"]
        for part in results_page.studies()
        for name, claim in part["claims"].items()
    }
    assert judged.keys() == own.keys()
    decided = {key: c["verdict"] for key, c in judged.items() if c["verdict"] != "undecided"}
    assert all(own[key] == verdict for key, verdict in decided.items())
    assert 0 < len(decided) < sum(verdict != "undecided" for verdict in own.values())


def test_no_result_names_a_folder_of_one_machine():
    for path in ROOT.glob("experiments/*/*.json"):
        for line in path.read_text().splitlines():
            if '"command":' in line:
                assert not re.search("[ =]/", line), path


@pytest.mark.parametrize(
    ("script", "results", "page"),
    [
        ("bench/gpu.py", "bench/results_gpu.json", "docs/gpu.md"),
        ("growth/run.py", "growth/fsdd.json", "experiments/growth/README.md"),
        (
            "robustness_law/run.py",
            "robustness_law/results.json",
            "experiments/robustness_law/README.md",
        ),
        ("smaller/classes.py", "smaller/classes.json", "experiments/smaller/README.md"),
        ("smaller/experts.py", "smaller/experts.json", "experiments/smaller/README.md"),
        ("smaller/memory.py", "smaller/memory.json", "experiments/smaller/README.md"),
        ("smaller/sleep.py", "smaller/sleep.json", "experiments/smaller/README.md"),
        ("smaller/sounds.py", "smaller/sounds.json", "experiments/smaller/README.md"),
    ],
)
def test_a_page_is_made_of_its_results(script, results, page, monkeypatch):
    path = ROOT / "experiments" / script
    monkeypatch.syspath_prepend(str(path.parent))
    places = runpy.run_path(str(path))["places"]
    text = (ROOT / page).read_text()
    assert filled(text, places(json_file.read(ROOT / "experiments" / results))) == text
