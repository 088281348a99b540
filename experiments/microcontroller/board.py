"""Exported networks on an emulated board: their instructions, their answers, their sizes."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spikern import DataError, Network, export_c
from spikern.data.dataset import Split

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
class Given:
    """What a network is given from its zero state on: x (T, F), and the labels of its answers."""

    x: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """The instructions of each sequence and of its longest step, and the answers to it."""

    instructions: list[int]
    longest: list[int]
    answers: list[list[int]]


def check_tools() -> None:
    """Raise DataError if a tool is missing."""
    missing = [tool for tool in NEEDED if shutil.which(tool) is None]
    if missing:
        raise DataError(f"{', '.join(missing)} not found; {PACKAGES}")


def given(split: Split, groups: Sequence[Sequence[int]]) -> list[Given]:
    """Groups of sequences of a split, each group one after the other, as one sequence."""
    found = []
    for group in groups:
        batch = split.batch(group)
        lengths = batch.lengths.tolist()
        x = np.concatenate([batch.x[:n, b].numpy() for b, n in enumerate(lengths)])
        y = batch.y.T if batch.y.ndim == 2 else batch.y[:, None]
        labels = [row[:n] for row, n in zip(y.numpy(), lengths)]
        found.append(Given(x.astype(np.float32), np.concatenate(labels)))
    return found


def exported(
    network: Network, sequences: Sequence[Given], events: bool, numbers: str, folder: Path
) -> Path:
    """Export a network to a new folder, with what it is given beside it.

    It is given a list of the inputs that are not zero if they are events.
    """
    shutil.rmtree(folder, ignore_errors=True)
    export_c(network, folder, numbers, name="net")  # type: ignore[arg-type]
    lengths = [len(sequence.x) for sequence in sequences]
    steps = np.concatenate([sequence.x for sequence in sequences])
    np.append(0, np.cumsum(lengths)).astype(np.int32).tofile(folder / "starts.bin")
    if events:
        rows, channels = np.nonzero(steps)
        listed = np.zeros(len(rows), EVENT)
        listed["channel"], listed["value"] = channels, steps[rows, channels]
        listed.tofile(folder / "events.bin")
        begins = np.searchsorted(rows, np.arange(len(steps) + 1))
        begins.astype(np.int32).tofile(folder / "begins.bin")
    else:
        steps.tofile(folder / "inputs.bin")
    sizes = {
        "EVENTS": int(events),
        "EVERY_STEP": int(network.answer == "every_step"),
        "SEQUENCES": len(sequences),
        "LONGEST": max(lengths),
    }
    lines = [f"#define {name} {value}" for name, value in sizes.items()]
    (folder / "sizes.h").write_text("\n".join([*lines, f'#define FOLDER "{folder.resolve()}"\n']))
    return folder


def on_host(folder: Path) -> NDArray[np.float32]:
    """The logits (N, C) of all answers of an exported network, which this machine computes."""
    program = folder / "host"
    files = [HERE / "board.c", folder / "net.c"]
    flags = ["-O2", "-std=gnu99", "-ffp-contract=off", "-I", folder]
    _output("gcc", *flags, "-o", program, *files, "-lm")
    answers = _parsed(_output(program)).answers
    logits = np.fromfile(folder / "logits.bin", np.float32)
    return logits.reshape(sum(map(len, answers)), -1)


def emulated(folder: Path, target: Target, levels: Sequence[str] = OPTIMISED) -> Run:
    """Run an exported network on an emulated processor, compiled as it is fastest."""
    runs = []
    for level in levels:
        emulator = ["qemu-system-arm", "-M", target.board, "-nographic", "-monitor", "none"]
        emulator += ["-serial", "none", "-icount", "shift=0"]
        emulator += ["-kernel", _program(folder, target, level)]
        runs.append(_parsed(_output(*emulator, "-semihosting-config", "enable=on,target=native")))
    return min(runs, key=lambda run: sum(run.instructions))


def sizes(folder: Path, target: Target) -> dict[str, int]:
    """Bytes of a whole program, libraries of C among it, beside what it is given: flash and RAM.

    The RAM is that of all variables; the stack is not in it.
    """
    text = _output("arm-none-eabi-size", _program(folder, target, "-O2")).split("\n")[1]
    code, data, zero = map(int, text.split()[:3])
    given = sum(path.stat().st_size for path in folder.glob("*.bin") if path.stem != "logits")
    longest = int((folder / "sizes.h").read_text().split("LONGEST ")[1].split()[0])
    return {"flash": code + data - given, "ram": data + zero - 2 * longest}


def _program(folder: Path, target: Target, level: str) -> Path:
    program = folder / "board.elf"
    flags = [*target.flags, "-mthumb", level, "-std=gnu99", "-I", folder]
    link = ["-nostartfiles", "--specs=nosys.specs", "-T", HERE / "board.ld"]
    files = [HERE / "board.c", folder / "net.c"]
    _output("arm-none-eabi-gcc", *flags, *link, "-o", program, *files, "-lm")
    return program


def _parsed(text: str) -> Run:
    lines = [[int(word) for word in line.split()] for line in text.strip().split("\n")]
    return Run(
        [line[0] for line in lines], [line[1] for line in lines], [line[2:] for line in lines]
    )


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
