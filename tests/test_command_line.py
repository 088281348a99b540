"""What the commands say of themselves, and while they work."""

import json
import os
import pty
import re
import subprocess
import sys

import pytest

from spikern import cli
from spikern._utils.phases import phase
from spikern.data.catalogue import DATASETS
from spikern.studies.jobs import files
from spikern.studies.lock import claim
from spikern.train import recipe
from spikern.train.recipes import KINDS

SMALL = ["--models", "LIF", "--seeds", "1", "--epochs", "1", "--hidden", "4", "--workers", "1"]


def help_of(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    return re.sub(r"[\s│|]+", " ", capsys.readouterr().out)


@pytest.mark.parametrize(
    "command",
    ["bench", "compare", "count", "datasets", "export", "neurons", "show-kernel", "tables"],
)
def test_help_names_what_a_value_is_and_its_default(command, capsys, monkeypatch):
    text = help_of(command, capsys, monkeypatch)
    assert not re.search(r"[ {](STR|INT|FLOAT|PATH|None)\b|--no-", text)


@pytest.mark.parametrize(
    "name",
    ["epochs", "batch_size", "learning_rate", "weight_decay", "input_noise", "rate_limit",
     "rate_penalty", "match_parameters"],
)  # fmt: skip
def test_the_defaults_of_help_are_those_of_the_recipes(name, capsys, monkeypatch):
    recipes = [recipe(dataset) for dataset in DATASETS]
    if name == "match_parameters":
        said, found = [10_000, 20_000], {r.match_parameters for r in recipes}
    else:
        found = {getattr(getattr(r, kind), name) for r in recipes for kind in KINDS}
        text = help_of("compare", capsys, monkeypatch)
        (default,) = re.findall(rf"--{name.replace('_', '-')} .*?\(default: (.*?)\)", text)
        said = [float(number) for number in re.findall(r"[\d.]+", default)]
    assert [min(said), max(said)] == [min(found), max(found)]


def test_a_folder_is_used_again_and_nothing_is_lost(tmp_path, capsys):
    out = tmp_path / "out"
    cli.main(["compare", "digits", *SMALL, "--out", str(out)])
    first = (out / "results.json").read_bytes()
    cli.main(
        ["compare", "digits", *SMALL, "--learning-rate", "0.5", "--out", str(out), "--restart"]
    )
    assert f"What was in {out} is now in {out}-1" in capsys.readouterr().err
    assert (tmp_path / "out-1" / "results.json").read_bytes() == first
    settings = json.loads((out / "settings.json").read_text())
    assert settings["recipe"]["spiking"]["learning_rate"] == 0.5


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ([], "go on with --resume, begin again with --restart, or choose another --out"),
        (["--restart"], "a process works in"),
        (["--restart", "--resume"], "not both"),
    ],
)
def test_a_folder_in_use_stays(extra, message, tmp_path, capsys):
    (tmp_path / "settings.json").write_text("{}")
    with claim(files(tmp_path, "LIF-0").lock), pytest.raises(SystemExit):
        cli.main(["compare", "digits", *SMALL, "--out", str(tmp_path), *extra])
    assert message in capsys.readouterr().err
    assert (tmp_path / "settings.json").exists()


def test_what_is_no_comparison_is_not_moved(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SystemExit):
        cli.main(["compare", "digits", *SMALL, "--out", str(tmp_path), "--restart"])
    assert "already in use" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_quick_look_is_short_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cli.main(["compare", "digits", "--quick", "--models", "LIF", "--hidden", "4", "--workers", "1"])
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name == "digits-quick"
    assert "A quick look: 10 epochs of training instead of 60, too few" in capsys.readouterr().out
    settings = json.loads((folder / "settings.json").read_text())
    assert (settings["seeds"], settings["models"]) == (1, ["LIF"])
    assert settings["recipe"]["gated"]["epochs"] == 6


def test_a_list_that_is_cut_off_ends_without_a_word():
    command = f"{sys.executable} -m spikern tables | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


def test_a_phase_is_named_on_a_terminal_alone(monkeypatch, capsys):
    with phase("Counting"):
        pass
    assert capsys.readouterr().err == ""
    master, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with pytest.raises(ValueError, match="broken"), phase("Counting"):
            raise ValueError("broken")
    shown = os.read(master, 100).decode()
    assert "Counting ..." in shown
    assert shown.endswith("\r\x1b[K")
