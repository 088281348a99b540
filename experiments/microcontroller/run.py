"""Count the instructions of exported networks on an emulated microcontroller; fill in the pages.

python experiments/microcontroller/run.py             # train, export, emulate; hours; resumes
python experiments/microcontroller/run.py --no-train  # only the pages again, from results.json
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import board
import tables
import tyro
from measurement import NUMBERS, Counting, Measurement, count, measure
from networks import GATED, SEEDS, TASKS, Trained, of_equal_quality, of_equal_size, train
from operations import Priced, price

from spikern._utils import atomic, json_file
from spikern._utils.processes import one_thread
from spikern._utils.program import errors_in_one_line
from spikern._utils.provenance import provenance
from spikern.layers.network import BASELINES
from spikern.report import markdown
from spikern.studies.runner import run_all

HERE = Path(__file__).parent
PAGES = (HERE / "README.md", HERE.parent.parent / "docs" / "instructions.md")


@dataclass(frozen=True)
class Config:
    """What is done, and where the trainings lie."""

    out: Path = Path("runs/microcontroller")
    """Folder of the trainings and of the measurements; what is finished there is not done again."""
    seeds: tuple[int, ...] = SEEDS
    """Seeds of the trainings."""
    tasks: tuple[str, ...] = tuple(task.dataset for task in TASKS)
    """Data sets."""
    search: tuple[str, ...] = tasks
    """Those on which the smallest GRU and LSTM are sought that are as good as the best spiking
    network; DATASET:MODEL for one of the two."""
    train: bool = True
    """Train and measure; without, make the pages from results.json."""


def networks_of(config: Config) -> list[Trained]:
    """The networks of all tasks; those of equal quality are trained."""
    found: list[Trained] = []
    for task in (t for t in TASKS if t.dataset in config.tasks):
        found += of_equal_size(task, config.seeds)
        asked = [m for m in GATED if {task.dataset, f"{task.dataset}:{m}"} & {*config.search}]
        if asked:
            found += of_equal_quality(task, config.seeds, config.out, asked)
    return found


def done(job: Callable[..., Any], configs: Iterable[Any], out: Path) -> dict[Any, dict[str, Any]]:
    """The results of jobs by their configs, each done once."""
    once = list(dict.fromkeys(configs))
    return dict(zip(once, run_all(job, once, out), strict=True))


def measured(found: Sequence[Trained], out: Path) -> list[dict[str, Any]]:
    """Export and emulate networks in all their numbers."""
    validation = done(train, (each.job for each in found), out)
    wanted = [
        (each, Measurement(each.job, numbers))
        for each in found
        for numbers in NUMBERS[each.job.model not in BASELINES]
    ]
    counted = done(count, (Counting(each.job) for each in found), out)
    results = done(measure, (job for _, job in wanted), out)
    return [
        {
            "dataset": each.job.dataset,
            "model": each.job.model,
            "seed": each.job.seed,
            "equals": each.equals,
            "numbers": job.numbers,
            "validation": validation[each.job],
            **results[job],
            **counted[Counting(each.job)],
        }
        for each, job in wanted
    ]


def priced(out: Path) -> list[dict[str, Any]]:
    """The instructions of each operation, on every target and in all numbers."""
    jobs = [Priced(target, numbers) for target in board.TARGETS for numbers in NUMBERS[True]]
    return [asdict(job) | {"prices": found} for job, found in done(price, jobs, out).items()]


def main(config: Config) -> None:
    """Measure if asked to, and fill in the pages."""
    if config.train:
        board.check_tools()
        started = time.perf_counter()
        with one_thread():
            results = {
                "schema": 2,
                "networks": measured(networks_of(config), config.out),
                "operations": priced(config.out),
            }
        results["provenance"] = provenance(time.perf_counter() - started, 1)
        json_file.write(HERE / "results.json", results)
    results = json_file.read(HERE / "results.json")
    for page in PAGES:
        atomic.write(page, markdown.filled(page.read_text(), tables.of(page.stem, results)))


if __name__ == "__main__":
    with errors_in_one_line():
        main(tyro.cli(Config))
