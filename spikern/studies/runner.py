"""The runner of studies: it does every job that is not done yet, beside other runners."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from spikern._utils import atomic, json_file, processes, tensor_file
from spikern._utils.errors import DataError
from spikern._utils.phases import bar, say
from spikern.studies import backends, table
from spikern.studies.jobs import FORM, Files, Name, canonical, files, key, named, read_results
from spikern.studies.lock import claim, died

Job = Callable[[Any, Path], dict[str, Any]]
"""(config, checkpoint) -> result, which can be written as JSON."""

POLL_SECONDS = 1.0
"""Time between two looks at jobs that other runners do."""
DEATHS = 3
"""Deaths of its process after which a job is given up for this run."""


class Outcome(NamedTuple):
    """Keys of the jobs that are finished, and the last line of the error of those that failed."""

    finished: list[str]
    failed: dict[str, str]


class Ended(NamedTuple):
    """The end of one attempt at a job; `busy`: another runner does it."""

    key: str
    how: Literal["finished", "failed", "died", "busy"]
    message: str = ""


def run(
    job: Job,
    configs: Sequence[Any],
    out: str | Path,
    workers: int = 1,
    ray: str | None = None,
    progress: bool = True,
    name: Name = key,
) -> Outcome:
    """Do the jobs of a study that are not finished, then write all results to OUT/results.sqlite.

    Finished jobs are skipped, a killed one resumes from its checkpoint, one that failed is tried
    again; a failure is written to its `.error` file and the rest go on. A result or checkpoint that
    is damaged, and a result of another job, is set aside, which stderr says, and the job is done
    again; a job with the checkpoint of another one fails. Several
    runners may work on one folder: each job is done by one of them, and each returns when all jobs
    have ended.

    Jobs run in `workers` processes of one thread each, or, with `ray`, on the cluster of that
    address; the numbers are the same. `job` goes to other processes, so it is defined at the top
    of a module.

    Raises InputError for configs that are not frozen dataclasses or are there twice.
    """
    todo = named(configs, name)
    out = Path(out).absolute()  # the processes of a cluster start elsewhere
    backend = backends.cluster(ray) if ray is not None else backends.local(workers)
    work = partial(attempt, job, out, name)
    failed: dict[str, str] = {}
    deaths: Counter[str] = Counter()

    def left() -> list[Any]:
        return [
            config
            for stem, config in todo.items()
            if stem not in failed and not files(out, stem).result.exists()
        ]

    set_all_aside(todo, out)
    before = len(todo) - len(left())
    with bar(len(todo), "job", before, visible=progress) as shown:
        while remaining := left():
            idle = True
            for ended in tried(backend, work, remaining, out, name):
                idle = idle and ended.how == "busy"
                deaths[ended.key] += ended.how == "died"
                if ended.how == "failed" or deaths[ended.key] == DEATHS:
                    failed[ended.key] = ended.message
                    say(f"job {ended.key} failed: {ended.message}")
                shown.update(len(todo) - len(left()) - shown.n)
            if idle:
                time.sleep(POLL_SECONDS)
    table.write(out)
    return Outcome([stem for stem in todo if stem not in failed], failed)


def run_all(
    job: Job,
    configs: Sequence[Any],
    out: Path,
    workers: int = 1,
    ray: str | None = None,
    progress: bool = True,
    name: Name = key,
) -> list[dict[str, Any]]:
    """Run a study whose jobs must all succeed; their results, in the order of the configs.

    Raises DataError, which names a failed job and its error, when the others have ended.
    """
    failed = run(job, configs, out, workers, ray, progress, name).failed
    if failed:
        stem, message = next(iter(failed.items()))
        raise DataError(
            f"{len(failed)} of {len(configs)} jobs failed, {stem}: {message}; "
            f"see {out / 'jobs'}/*.error"
        )
    return read_results(configs, out, name)


def finished(configs: Sequence[Any], out: Path, name: Name = key) -> list[dict[str, Any]]:
    """The results of those jobs that are finished; what cannot be used is set aside as by `run`."""
    todo = named(configs, name)
    set_all_aside(todo, out)
    done = [config for stem, config in todo.items() if files(out, stem).result.exists()]
    return read_results(done, out, name)


def set_all_aside(todo: Mapping[str, Any], out: Path) -> None:
    """Rename what cannot be used of the jobs with these names; stderr says what and why."""
    for stem, config in todo.items():
        for line in set_aside(files(out, stem), config):
            say(line)


def set_aside(job: Files, config: Any) -> list[str]:
    """Rename what cannot be used of a job, so that it is done again; says what and why.

    A result goes with its checkpoint.
    """
    if not _unusable(job, config):
        return []
    with claim(job.lock) as ours:
        found = _unusable(job, config) if ours else {}
        for path in {*found, job.result} if found else ():
            if path.exists():
                path.replace(f"{path}.broken")
    return [
        f"{why}; it is now {path.name}.broken, and the job is done again"
        for path, why in found.items()
    ]


def _unusable(job: Files, config: Any) -> dict[Path, str]:
    """What is wrong with the files of a job that are damaged or foreign."""

    def check_result(path: Path) -> None:
        if canonical(config) != json_file.canonical(json_file.read(path, FORM)["config"]):
            raise DataError(f"{path} is the result of another job")

    found = {}
    for path, check in ((job.checkpoint, tensor_file.check), (job.result, check_result)):
        try:
            if path.exists():
                check(path)
        except DataError as error:
            found[path] = str(error)
    return found


def tried(
    backend: backends.Backend,
    work: backends.Work,
    configs: Sequence[Any],
    out: Path,
    name: Name,
) -> Iterator[Ended]:
    """Attempt every job once; yield how each ended, also those whose process died, where known."""
    try:
        for ended in backend(work, configs):
            if isinstance(ended, backends.Lost):
                yield given_up(files(out, name(ended.config)), ended.reason, "failed")
            else:
                yield ended
    except backends.Died:
        locks = [files(out, name(config)) for config in configs]
        dead = [(job, holder) for job in locks if (holder := died(job.lock))]
        if not dead:
            raise
        for job, holder in dead:
            yield given_up(job, f"its process died ({holder})", "died")


def given_up(job: Files, reason: str, how: Literal["failed", "died"]) -> Ended:
    """Write the error file of a job that could not write its own."""
    atomic.write(job.error, reason + "\n")
    return Ended(job.error.stem, how, reason)


def attempt(job: Job, out: Path, name: Name, config: Any) -> Ended:
    """Do a job if no other runner does it and it is not finished; write the result or the error."""
    stem = name(config)
    job_files = files(out, stem)
    with claim(job_files.lock) as ours:
        if not ours:
            return Ended(stem, "busy")
        if job_files.result.exists():
            return Ended(stem, "finished")
        try:
            with processes.one_thread():
                result = job(config, job_files.checkpoint)
            whole = {"key": stem, "config": asdict(config), "result": result}
            table.flat(whole)
            json_file.write(job_files.result, whole)
        except Exception as error:
            atomic.write(job_files.error, traceback.format_exc())
            return Ended(stem, "failed", traceback.format_exception_only(error)[-1].strip())
        job_files.error.unlink(missing_ok=True)
        return Ended(stem, "finished")
