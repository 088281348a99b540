"""What the commands say of themselves, and while they work."""

import io
import itertools
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import docstring_parser
import pytest
from tqdm import std

from spikern import __main__ as cli
from spikern._utils import phases
from spikern._utils.phases import CLEAR, bar, phase, say_warning
from spikern.data.catalogue import DATASETS
from spikern.engines.codegen import cache
from spikern.studies.comparison import Comparison
from spikern.studies.jobs import files
from spikern.studies.lock import claim
from spikern.train import recipe
from spikern.train.progress import Epoch, advance
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


def test_help_breaks_lines_where_the_terminal_ends_alone():
    """Argparse keeps the line breaks of an option's text."""
    described = [docstring_parser.parse_from_object(kind).params for kind in cli.COMMANDS.values()]
    texts = [parameter.description for command in described for parameter in command]
    assert len(texts) > 40
    assert not [text for text in texts if "\n" in text]


@pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
def test_the_list_of_commands_has_a_line_for_each(arguments, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit):
        cli.main(arguments)
    lines = capsys.readouterr().out.splitlines()
    at = next(n for n, line in enumerate(lines) if "bench" in line and "•" in line)
    assert len([line for line in lines[at:-1] if "•" in line]) == len(lines[at:-1])


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


def test_the_models_of_help_are_those_that_are_trained():
    assert tuple(cli.USUAL_MODELS.split()) == Comparison.models


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
    assert "is already in use; choose another --out" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["compare", "digits", *SMALL, "--out", str(tmp_path / "thesis.txt"), "--restart"])
    assert "thesis.txt is a file; choose another --out" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_quick_look_is_short_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    quick = ["compare", "digits", "--quick", "--models", "LIF", "--hidden", "8", "--workers", "1"]
    cli.main(quick)
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name == "digits-quick"
    assert "A quick look: 10 epochs of training instead of 60; more may" in capsys.readouterr().out
    settings = json.loads((folder / "settings.json").read_text())
    assert (settings["seeds"], settings["models"]) == (1, ["LIF"])
    assert settings["recipe"]["gated"]["epochs"] == 6
    cli.main([*quick, "--epochs", "1", "--seeds", "3", "--out", "asked"])  # as many as by default
    assert json.loads((tmp_path / "asked" / "settings.json").read_text())["seeds"] == 3


def test_a_list_that_is_cut_off_ends_without_a_word():
    command = f"{sys.executable} -m spikern tables | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def on_a_terminal(monkeypatch):
    """What shows there; no fixture, since pytest sets its own streams between setup and call."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    return sys.stderr


def test_a_phase_is_named_on_a_terminal_alone(capsys, monkeypatch):
    with phase("Counting"):
        pass
    assert capsys.readouterr().err == ""
    terminal = on_a_terminal(monkeypatch)
    with pytest.raises(ValueError, match="broken"), phase("Counting"):
        raise ValueError("broken")
    assert "Counting ..." in terminal.getvalue()
    assert terminal.getvalue().endswith(CLEAR)


def test_what_is_said_beside_a_bar_is_a_line(monkeypatch, tmp_path):
    """Of the kernel cache too, and of warnings."""
    terminal = on_a_terminal(monkeypatch)
    with bar(3, "job"):
        cache._warn(f"cannot write {tmp_path}")
        say_warning(UserWarning("slow"))
    said = terminal.getvalue()
    assert "\r  0%|" in said
    for line in (f"cannot be used: cannot write {tmp_path}; kernels", "spikern: warning: slow"):
        assert re.search(rf"\r\x1b\[K[^\r]*{line}[^\r]*\n", said)


def test_only_one_function_writes_to_stderr():
    """Which is how all lines begin one."""
    root = Path(cli.__file__).parent
    writers = {
        path.name
        for path in root.rglob("*.py")
        if re.search(r"file=sys\.stderr|stderr\.write", path.read_text())
    }
    assert writers == {"phases.py"}


def test_a_bar_in_a_file_is_lines_now_and_then(capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)  # of another test
    now = itertools.count(step=phases.LINE_SECONDS / 4)
    monkeypatch.setattr(phases.time, "monotonic", lambda: next(now))
    with bar(9, "epoch") as progress:
        for epoch in range(9):
            advance(progress, epoch + 1, Epoch(epoch + 1, 0.5, 0.9, None, 1.0))
    said = capsys.readouterr().err
    assert "\r" not in said
    assert [line.split("|")[2].split()[0] for line in said.splitlines()] == [
        "0/9",
        "4/9",
        "8/9",
        "9/9",
    ]


def test_the_clock_of_a_bar_starts_when_an_epoch_has_ended(monkeypatch):
    terminal = on_a_terminal(monkeypatch)
    now = [0.0]
    for place in (std, time):
        monkeypatch.setattr(place, "time", lambda: now[0])
    with bar(11, "epoch") as progress:
        for epoch, now[0] in enumerate((600.0, 602.0, 604.0)):
            advance(progress, epoch + 1, Epoch(epoch + 1, 0.5, 0.9, None, 2.0))
    assert "3/11 [00:04<00:16, " in terminal.getvalue()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--workers", "0"], "workers must be at least 1, got 0"),
        (["--delta", "0.1", "--input-noise", "0.3"], "take no input_noise; leave it at 0"),
        (["--resume"], "nothing to resume in"),
    ],
)
def test_what_is_refused_leaves_no_folder(extra, message, tmp_path, capsys):
    out = tmp_path / "out"
    with pytest.raises(SystemExit):
        cli.main(["compare", "digits", *SMALL, "--out", str(out), *extra])
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_benchmark_that_cannot_be_written_does_not_begin(tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        cli.main(["bench", "--out", str(tmp_path / "file")])
    assert "is a file; choose another --out" in capsys.readouterr().err
