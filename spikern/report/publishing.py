"""A study with a script of its own: what it is told, and how its results become its page.

Its folder has NAME.json, figures and README.md, whose places are filled from the results. What it
trains is in a folder of runs/, where it goes on after a stop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from spikern._utils import atomic, json_file
from spikern._utils.errors import InputError
from spikern._utils.provenance import provenance
from spikern.plot.style import save
from spikern.report import markdown

Results = dict[str, Any]


@dataclass(frozen=True)
class Script:
    """Where the trainings of a study are, and how much is done."""

    out: Path
    """Folder of the trainings; what is finished there is not done again."""
    workers: int = 1
    """Processes that work side by side, one thread each."""
    seeds: int = 5
    """Trainings of every network."""
    train: bool = True
    """Train what is not trained yet; without, make figures and page from the results."""
    smoke: bool = False
    """A small run that shows only that the study runs; it writes in runs/ alone."""

    @property
    def folder(self) -> Path:
        """Where the trainings of this run are."""
        return self.out.with_name(f"{self.out.name}-smoke") if self.smoke else self.out


def publish(
    script: Script,
    home: Path,
    name: str,
    carry_out: Callable[[Any], Results],
    places: Callable[[Results], Mapping[str, str]],
    figures: Mapping[str, Callable[[Results], Figure]],
) -> None:
    """Carry out a study; write home/NAME.json, its figures, and its places in home/README.md.

    A small run writes all of this in its folder. Raises InputError where nothing is to be trained
    and there are no results.
    """
    target = script.folder if script.smoke else home
    path = target / f"{name}.json"
    if script.train:
        started = time.perf_counter()
        found = carry_out(script)
        own = provenance(time.perf_counter() - started, script.workers)
        json_file.write(path, found | {"provenance": own})
    elif not path.exists():
        raise InputError(f"{path} is not there; run the script without --no-train")
    results = json_file.read(path)
    for figure, draw in figures.items():
        save(draw(results), target / f"{figure}.svg")
    page = (home / "README.md").read_text(encoding="utf-8")
    atomic.write(target / "README.md", markdown.filled(page, places(results)))
