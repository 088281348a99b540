"""A study's script: results are written, read again, and fill its page; a small run stays apart."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from spikern import InputError
from spikern._utils import json_file
from spikern.report.publishing import Script, publish

PAGE = "# A study\n\n<!-- sum -->\n<!-- end -->\n"


def one(results):
    return {"sum": f"It is {sum(results['rows'])}."}


def published(script, home):
    publish(
        script, home, "found", lambda s: {"rows": [s.seeds, 2]}, one, {"own": lambda _: Figure()}
    )


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "README.md").write_text(PAGE)
    return tmp_path / "home"


def test_results_become_the_page_and_are_kept(home, tmp_path):
    published(Script(tmp_path / "runs", seeds=3), home)
    assert "It is 5." in (home / "README.md").read_text()
    results = json_file.read(home / "found.json")
    assert results["rows"] == [3, 2]
    assert results["provenance"]["seconds"] >= 0
    assert (home / "own.svg").exists()
    # without training the page is that of the file, not of the script
    json_file.write(home / "found.json", results | {"rows": [40, 2]})
    published(Script(tmp_path / "runs", train=False), home)
    assert "It is 42." in (home / "README.md").read_text()


def test_a_small_run_writes_beside_its_trainings_alone(home, tmp_path):
    published(Script(tmp_path / "runs", smoke=True), home)
    assert (home / "README.md").read_text() == PAGE
    assert sorted(path.name for path in home.iterdir()) == ["README.md"]
    small = tmp_path / "runs-smoke"
    assert "It is 7." in (small / "README.md").read_text()
    assert {path.name for path in small.iterdir()} == {"README.md", "found.json", "own.svg"}


def test_a_page_without_results_says_what_to_do(home):
    with pytest.raises(InputError, match=r"found\.json is not there; run the script"):
        published(Script(Path("runs"), train=False), home)
