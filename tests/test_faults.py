"""A comparison under faults of what surrounds it: one line each, and `--resume` to the same end."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from spikern._utils import json_file

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc"),
]
ROOT = Path(__file__).parent.parent
COMMAND = [
    sys.executable, "-m", "spikern", "compare", "digits", "--models", "LIF", "GRU",
    "--seeds", "1", "--epochs", "6", "--hidden", "8", "--workers", "2", "--out",
]  # fmt: skip
ALONE = ["--workers", "1"]
"""In one process, which starts sooner and gives the same numbers."""
TIMES = {"provenance", "seconds", "milliseconds_per_inference"}
STRANGE = "Ordner mit ü 中文"


def start(out, *more, **settings):
    return subprocess.Popen(
        [*COMMAND, str(out), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        **settings,
    )


def end(process):
    """Exit status, stdout and the lines of stderr but for progress; no process may be left."""
    out, errors = process.communicate(timeout=200)
    deadline = time.monotonic() + 10
    while session(process.pid):
        assert time.monotonic() < deadline, "orphans"
        time.sleep(0.05)
    lines = errors.replace("\r", "\n").splitlines()
    return process.returncode, out, [line for line in lines if line and "%|" not in line]


def session(leader):
    """The processes that run in a session."""
    stats = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            stats.append((path.parent.name, path.read_text().rsplit(")", 1)[1].split()))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return {pid for pid, fields in stats if int(fields[3]) == leader and fields[0] != "Z"}


def until(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def without_times(value):
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in TIMES}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def results(out):
    return without_times(json_file.read(out / "results.json"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a comparison that nothing disturbed."""
    out = tmp_path_factory.mktemp("faults") / "whole"
    assert end(start(out, *ALONE))[0] == 0
    return out


@pytest.fixture
def copy(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / STRANGE))


def finish(out, whole):
    """Go on undisturbed, to the same results."""
    assert end(start(out, *ALONE, *["--resume"] * out.exists()))[0] == 0
    assert results(out) == results(whole)


def hears(process):
    """Whether the command has its signal handlers, which is when Python has started."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def trains(out, model="*"):
    return lambda: any(out.glob(f"jobs/{model}-0.safetensors"))


def test_a_killed_comparison(whole, tmp_path):
    out = tmp_path / "out"
    process = start(out)
    until(trains(out), process)
    process.kill()
    assert end(process)[::2] == (-signal.SIGKILL, [])
    finish(out, whole)


INTERRUPTED = (130, ["spikern: interrupted; go on with --resume"])
TERMINATED = (143, ["spikern: terminated; go on with --resume"])


def test_signals_at_any_moment(whole, tmp_path):
    """In imports, while workers start, and later."""
    out, moments = tmp_path / "out", random.Random()
    for number, latest, expected in (
        (signal.SIGINT, 2.0, INTERRUPTED),
        (signal.SIGTERM, 5.0, TERMINATED),
        (signal.SIGINT, 9.0, INTERRUPTED),
    ):
        process = start(out, *["--resume"] * out.exists())
        until(partial(hears, process), process)
        delay = moments.uniform(0, latest)
        time.sleep(delay)
        os.killpg(process.pid, number)
        status, _, said = end(process)
        if status != 0:  # it may have been faster
            assert (status, said) == expected, delay
    finish(out, whole)


def test_a_killed_worker(whole, tmp_path):
    out = tmp_path / "out"
    process = start(out)
    until(trains(out, "GRU"), process)
    worker = int((out / "jobs" / "GRU-0.lock").read_text().split()[1])
    os.kill(worker, signal.SIGKILL)
    assert end(process)[0] == 0
    assert results(out) == results(whole)


@pytest.mark.parametrize("largest", [8_500, 20_000])
def test_a_file_that_cannot_be_written_whole(largest, whole, tmp_path):
    """A checkpoint, the results."""
    resource = pytest.importorskip("resource")
    limit = (largest, largest)
    out = tmp_path / "out"
    process = start(out, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    status, _, said = end(process)
    assert status == 2
    assert "File too large" in said[-1]
    assert said[-1].startswith("spikern: ")
    assert not any("Traceback" in line for line in said)
    finish(out, whole)


def test_a_full_disk(whole, tmp_path):
    def mount(size, *options):
        command = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "tmpfs"]
        return subprocess.run([*command, tmp_path], capture_output=True).returncode == 0

    if not mount("20k"):
        pytest.skip("this user cannot mount a small tmpfs")
    try:
        status, _, said = end(start(tmp_path / "out"))
        assert status == 2
        assert "No space left on device" in said[-1]
        assert not any("Traceback" in line for line in said)
        assert mount("4m", "remount")
        finish(tmp_path / "out", whole)
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def flip(path):
    content = bytearray(path.read_bytes())
    content[-100] ^= 4
    path.write_bytes(content)


DAMAGES = {
    "a bit of a finished checkpoint": lambda jobs: flip(jobs / "LIF-0.safetensors"),
    "a bit of a checkpoint": lambda jobs: (
        (jobs / "LIF-0.json").unlink(),
        flip(jobs / "LIF-0.safetensors"),
    ),
    "an empty result": lambda jobs: (jobs / "LIF-0.json").write_bytes(b""),
    "a foreign file": lambda jobs: (jobs / "LIF-9.json").write_text("[1]"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file(damage, copy, whole):
    """It is mended, or named in one line; without the files of that name the end is the same."""
    DAMAGES[damage](copy / "jobs")
    status, _, said = end(start(copy, *ALONE, "--resume"))
    if status != 0:
        assert status == 2
        (line,) = [line for line in said if line.startswith("spikern: ")]
        assert not any("Traceback" in line for line in said)
        for path in (copy / "jobs").glob(re.search(r"LIF-\d", line)[0] + ".*"):
            path.unlink()
        finish(copy, whole)
    assert results(copy) == results(whole)


def test_a_reader_that_leaves(copy, whole):
    process = start(copy, "--resume", "--json")
    process.stdout.close()
    process.stdout = None
    status, _, said = end(process)
    assert (status, said[-1]) == (141, "spikern: [Errno 32] Broken pipe; go on with --resume")
    assert results(copy) == results(whole)


def test_a_reader_that_leaves_in_training(whole, tmp_path):
    """The progress bar meets the closed pipe first, in a thread."""
    process = start(tmp_path / "out")
    process.stderr.close()
    process.stderr = None
    process.communicate(timeout=200)
    assert process.returncode == 141
    finish(tmp_path / "out", whole)


def test_a_stream_that_takes_nothing(copy):
    with open("/dev/full", "w") as full:
        command = [*COMMAND, copy, "--resume"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    said = "spikern: [Errno 28] No space left on device; go on with --resume"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, said)


def test_closed_streams(whole, tmp_path):
    """Workers inherit them."""
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *COMMAND, tmp_path / "out"]
    assert subprocess.run(command).returncode == 0
    assert results(tmp_path / "out") == results(whole)


def test_ascii(copy, whole):
    names = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment = os.environ | names | {"PYTHONIOENCODING": "ascii"}
    (copy / "report.html").unlink()
    status, said, _ = end(start(copy, "--resume", env=environment))
    assert status == 0
    assert " \\xb5s" in said
    assert (copy / "report.html").exists()
    assert results(copy) == results(whole)


BLOCKED = """
import sys
import filelock  # it locks as the platform does
import multiprocessing
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"):
    sys.modules[name] = None
multiprocessing.set_start_method("spawn", force=True)
"""


@pytest.mark.parametrize("home", [True, False])
def test_another_platform(home, whole, tmp_path):
    """Without modules of POSIX, in folders with spaces and other scripts, and without a home."""
    folder = tmp_path / STRANGE
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(BLOCKED)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        "SPIKERN_CACHE": str(folder / "kernels"),
    }
    alone = [] if home else ALONE
    if not home:  # and no entry in the passwords, as pwd is blocked
        for name in ("HOME", "XDG_CACHE_HOME", "SPIKERN_CACHE"):
            environment.pop(name, None)
    status, _, said = end(start(folder / "out", *alone, env=environment))
    assert status == 0
    assert any((folder / "kernels").glob("*.py")) == home
    assert any("no home folder; set HOME" in line for line in said) != home
    assert results(folder / "out") == results(whole)
