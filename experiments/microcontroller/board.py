"""Exported networks on an emulated board: their instructions, their answers, their sizes."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikern import DataError, Network, export_c
from spikern.data.dataset import Dataset, Split

HERE = Path(__file__).parent
NEEDED = ("arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm", "gcc")
PACKAGES = "apt install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm gcc"
EVENT = np.dtype([("channel", np.uint16), ("value", np.float32)], align=True)
SECONDS = 600
"""After so long an emulation has failed."""


@dataclass(frozen=True)
class Target:
    """A processor: QEMU's board that has it, and the flags that compile for it."""

    title: str
    board: str
    flags: tuple[str, ...]


TARGETS = {
    "m4f": Target(
        "Cortex-M4 with a floating-point unit",
        "mps2-an386",
        ("-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
    ),
    "m3": Target("Cortex-M3, floating point in software", "mps2-an385", ("-mcpu=cortex-m3",)),
}
OPTIMISED = ("-O2", "-O3")
"""Both are tried, and the faster counts."""


@dataclass(frozen=True)
class Run:
    """The instructions of each sequence, and the answers to it: one, or one per step."""

    instructions: list[int]
    answers: list[list[int]]


def check_tools() -> None:
    """Raise DataError if a tool is missing."""
    missing = [tool for tool in NEEDED if shutil.which(tool) is None]
    if missing:
        raise DataError(f"{', '.join(missing)} not found; {PACKAGES}")


def exported(
    network: Network, dataset: Dataset, samples: Sequence[int], events: bool, numbers: str,
    folder: Path,
) -> Path:  # fmt: skip
    """Export a network to a new folder, with sequences of the test split beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    export_c(network, folder, numbers, name="net")  # type: ignore[arg-type]
    lengths = _store(dataset.test, samples, events, folder)
    sizes = {
        "EVENTS": int(events),
        "EVERY_STEP": int(dataset.every_step),
        "SEQUENCES": len(samples),
        "LONGEST": max(lengths),
    }
    lines = [f"#define {name} {value}" for name, value in sizes.items()]
    (folder / "sizes.h").write_text("\n".join([*lines, f'#define FOLDER "{folder.resolve()}"\n']))
    return folder


def _store(split: Split, samples: Sequence[int], events: bool, folder: Path) -> list[int]:
    """Write sequences as the board reads them; return their lengths."""
    batch = split.batch(samples)
    x = batch.x if not hasattr(batch.x, "to_dense") else batch.x.to_dense()
    lengths = batch.lengths.tolist()
    steps = np.concatenate([x[:n, b].numpy() for b, n in enumerate(lengths)])
    np.append(0, np.cumsum(lengths)).astype(np.int32).tofile(folder / "starts.bin")
    if not events:
        steps.astype(np.float32).tofile(folder / "inputs.bin")
        return lengths
    rows, channels = np.nonzero(steps)
    listed = np.zeros(len(rows), EVENT)
    listed["channel"], listed["value"] = channels, steps[rows, channels]
    listed.tofile(folder / "events.bin")
    np.searchsorted(rows, np.arange(len(steps) + 1)).astype(np.int32).tofile(folder / "begins.bin")
    return lengths


def on_host(folder: Path) -> Run:
    """Run an exported network on this machine, which counts no instructions."""
    program = folder / "host"
    files = [HERE / "board.c", folder / "net.c"]
    flags = ["-O2", "-std=gnu99", "-ffp-contract=off", "-I", folder]
    _output("gcc", *flags, "-o", program, *files, "-lm")
    return _parsed(_output(program))


def emulated(folder: Path, target: Target) -> Run:
    """Run an exported network on an emulated processor, compiled as it is fastest."""
    runs = []
    for level in OPTIMISED:
        program = folder / "board.elf"
        flags = [*target.flags, "-mthumb", level, "-std=gnu99", "-I", folder]
        link = ["-nostartfiles", "--specs=nosys.specs", "-T", HERE / "board.ld"]
        files = [HERE / "board.c", folder / "net.c"]
        _output("arm-none-eabi-gcc", *flags, *link, "-o", program, *files, "-lm")
        emulator = ["qemu-system-arm", "-M", target.board, "-nographic", "-monitor", "none"]
        emulator += ["-serial", "none", "-icount", "shift=0", "-kernel", program]
        runs.append(_parsed(_output(*emulator, "-semihosting-config", "enable=on,target=native")))
    return min(runs, key=lambda run: sum(run.instructions))


def sizes(folder: Path, target: Target) -> dict[str, int]:
    """Bytes of code with its constants, and of a state; the libraries of C are not counted."""
    flags = [*target.flags, "-mthumb", "-O2", "-std=gnu99", "-I", folder]
    part = folder / "net.o"
    _output("arm-none-eabi-gcc", *flags, "-c", "-o", part, folder / "net.c")
    text = int(_output("arm-none-eabi-size", part).split("\n")[1].split()[0])
    header = (folder / "net.h").read_text()
    state = int(header.split("a state takes ")[1].split()[0].replace(",", ""))
    return {"flash": text, "ram": state}


def _parsed(text: str) -> Run:
    lines = [[int(word) for word in line.split()] for line in text.strip().split("\n")]
    return Run([line[0] for line in lines], [line[1:] for line in lines])


def _output(*command: object) -> str:
    """What a command prints; its messages are in the error if it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        raise DataError(f"{command[0]} failed: {done.stderr[-2000:]}")
    # QEMU prints what a program on the board says to its own standard error.
    return done.stdout or done.stderr
