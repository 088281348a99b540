"""Every command of every page is one that runs as it is written, from where the page says."""

import importlib.util
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
import tyro

from spikern import __main__ as cli

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("experiments/*/README.md")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OF_THE_SYSTEM = {"apt", "export", "mypy", "pytest", "python3", "ruff"}
SHORT = ["--epochs", "1", "--seeds", "1", "--hidden", "4", "--workers", "1"]
"""Options that make a training short; everything else of a command stays as the page has it."""
NOT_HERE = ("make", "pip", "apt", "python3 -m venv", ".venv/bin", "export", "python -c")
"""What changes the machine or is for another one; `make` is what runs these tests."""
LONG = (
    "article/run.py",
    "experiments/run.py",
    "growth",
    "microcontroller/run.py",
    "robustness_law",
    "smaller",
    "bench",
)
"""Trainings and measurements of minutes to hours, which run small in tests of their own."""
NEEDS_FILES = ("BasicMotions", "heidelberg", "peers.sh", "readings.csv")


def commands(page):
    """The commands of a page's blocks, without their comments."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), flags=re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    parts = (part for line in lines for part in re.sub(r"\s+# .*", "", line).split("&&"))
    return [part.strip() for part in parts if part.strip()]


def understood(command, monkeypatch):
    """Fails unless the program, its files and its options are there."""
    program, *arguments = shlex.split(command.replace(".venv/bin/", ""))
    if program == "spikern":
        done = []
        for kind in vars(cli).values():
            if isinstance(kind, type) and hasattr(kind, "run"):
                monkeypatch.setattr(kind, "run", lambda self: done.append(self))
        cli.main(arguments)
        assert done or arguments == ["--version"]
    elif program == "python" and arguments[0] != "-c":
        script = ROOT / arguments[0]
        monkeypatch.syspath_prepend(str(script.parent))
        spec = importlib.util.spec_from_file_location("script", script)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "script", module)
        spec.loader.exec_module(module)
        if arguments[1:]:
            tyro.cli(module.Config, args=arguments[1:])
    elif program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif program == "pip":
        extras = re.findall(r"\[([\w,]+)\]", command)
        assert {e for extra in extras for e in extra.split(",")} <= set(
            PROJECT["optional-dependencies"]
        )
    elif "/" in program:
        assert os.access(ROOT / program, os.X_OK)
    else:
        assert program in OF_THE_SYSTEM | {"python"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_is_understood(page, monkeypatch):
    for command in commands(page):
        understood(command, monkeypatch)
    for command in re.findall(r"`spikern (\w[^`]*)`", page.read_text()):
        name, *words = command.split()
        kind = getattr(cli, "".join(map(str.title, name.split("-"))))
        options = {f"--{field.name.replace('_', '-')}" for field in fields(kind)} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= options, command


def test_a_stale_command_is_not_understood(monkeypatch):
    for stale in ("spikern count runs --whole", "python experiments/run.py ecg --fast"):
        with pytest.raises(SystemExit):
            understood(stale, monkeypatch)
    for stale in ("make everything", "pip install -e '.[all]'", "experiments/nothing.sh"):
        with pytest.raises(AssertionError):
            understood(stale, monkeypatch)


def shortened(command):
    """The command, a training made short."""
    if command.startswith("spikern compare"):
        return shlex.join([*shlex.split(command), *SHORT])
    return command


def runs_here(page):
    """The commands of a page that the test runs, in the order of the page."""
    return [
        shortened(command)
        for command in commands(page)
        if not command.startswith(NOT_HERE)
        and not any(name in command for name in NEEDS_FILES)
        and ("--no-train" in command or not any(name in command for name in LONG))
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if runs_here(page)],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_the_commands_of_a_page_run(page, tmp_path):
    """One after the other in a clean copy, since one uses what another wrote."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    for name in tracked.stdout.splitlines():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, arguments in (("python", ""), ("spikern", "-m spikern")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(tmp_path)
    }  # fmt: skip
    for command in runs_here(page):
        run = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert run.returncode == 0, f"{command}\n{run.stderr}"


def test_a_script_says_in_one_line_what_a_user_can_mend(monkeypatch, capsys):
    scripts = {path: path.read_text() for path in sorted((ROOT / "experiments").rglob("*.py"))}
    asking = [path for path, text in scripts.items() if "tyro.cli(" in text]
    assert len(asking) > 10
    assert all("with errors_in_one_line()" in scripts[path] for path in asking)
    monkeypatch.setattr(sys, "argv", ["run.py", "ecgs"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "experiments" / "run.py"), run_name="__main__")
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("spikern: no study 'ecgs'; did you mean 'ecg'?")
