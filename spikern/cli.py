"""The command line: compare models, count what they did, list what there is."""

from __future__ import annotations

import json
import os
import sys
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from spikern import cost, timing
from spikern._utils import atomic
from spikern._utils.choices import check_choice
from spikern._utils.errors import InputError, SpikernError
from spikern.data import ARCHIVE, DATASETS, load
from spikern.data.dataset import Dataset
from spikern.engines.codegen.kernels import show_kernel
from spikern.engines.codegen.operations import update_ops
from spikern.neurons import NEURONS
from spikern.neurons.constants import UNITS
from spikern.report import benchmark_table, count_report, table, table_list, write_html
from spikern.studies.comparison import Comparison, compare
from spikern.studies.finished import count_run, open_run
from spikern.train.recipes import recipe


@dataclass(frozen=True)
class Compare:
    """Train spiking and standard recurrent networks on a data set and compare them.

    Prints a table and writes OUT/results.json and OUT/report.html. All models are brought to one
    parameter budget unless --hidden is given. Energies are estimates from the tables named with
    them.
    """

    dataset: tyro.conf.Positional[str]
    """A name of `spikern datasets`, or ts:PATH, a .ts or .tsv file of the UCR/UEA archive."""
    models: tuple[str, ...] = ("LIF", "ALIF", "BRF", "RNN", "GRU", "LSTM")
    """Spiking neurons (see `spikern neurons`) and RNN, GRU, LSTM."""
    match_parameters: int | None = None
    """Parameter budget that every model is brought to."""
    hidden: int | None = None
    """Hidden units of every model, instead of a budget."""
    layers: int = 1
    """Recurrent layers."""
    seeds: int = 3
    """Trainings of each model; intervals are over seeds."""
    delta: float | None = None
    """Encode an analog input as events, one for every move of this size."""
    answer: Literal["last", "mean"] = "last"
    """How a sequence is answered: the readout's last step, or its mean over all steps."""
    epochs: int | None = None
    """Passes over the training split. This and the next: by default what was tuned for DATASET,
    for spiking and standard models each; see `spikern.train.recipes`."""
    batch_size: int | None = None
    """Sequences of one step."""
    learning_rate: float | None = None
    """Adam's step at the start; it falls to zero along a half cosine."""
    weight_decay: float | None = None
    """Of the weights; biases and time constants are not decayed."""
    input_noise: float | None = None
    """Standard deviation of the noise on an analog input in training."""
    rate_limit: float | None = None
    """Firing rate above which the regulariser acts."""
    rate_penalty: float | None = None
    """Weight of the firing-rate regulariser; 0: none."""
    out: Path | None = None
    """Folder for everything written; by default runs/DATASET."""
    resume: bool = False
    """Go on with what is in OUT."""
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Processes that train side by side, one thread each."""
    json: bool = False
    """Print results.json instead of the table."""

    def run(self) -> None:
        """Run the comparison and print it."""
        chosen = recipe(self.dataset).changed(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            input_noise=self.input_noise,
            rate_limit=self.rate_limit,
            rate_penalty=self.rate_penalty,
        )
        if self.match_parameters is not None:
            if self.hidden is not None:
                raise InputError("give --hidden or --match-parameters, not both")
            chosen = replace(chosen, match_parameters=self.match_parameters)
        asked = Comparison(
            dataset=self.dataset,
            models=self.models,
            recipe=chosen,
            hidden=self.hidden,
            layers=self.layers,
            seeds=self.seeds,
            delta=self.delta,
            answer=self.answer,
        )
        out = self.out or Path("runs") / Path(self.dataset.removeprefix(ARCHIVE)).stem
        found = compare(asked, out, self.resume, self.workers, bar=True)
        write_html(found.results, found.sample, out / "report.html")
        print(json.dumps(found.results, indent=1) if self.json else table(found.results))
        print(f"Report: {(out / 'report.html').resolve()}", file=sys.stderr)


@dataclass(frozen=True)
class Count:
    """Count a finished comparison on its test split: operations, memory, energy, fair twins.

    Prints the account and writes it to count.txt and count.json in the run's folder; of one
    checkpoint to count-NAME-SEED.txt and .json. Energies are estimates under the tables named.
    """

    run_path: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run")]
    """Folder of a finished `spikern compare`, or a checkpoint jobs/NAME-SEED.safetensors in it."""
    seed: int | None = None
    """Which of the run's trainings; none: the first, or the checkpoint's own."""
    tables: Path | None = None
    """Folder with energy tables of your own, beside those that come with spikern."""
    against: tuple[str, ...] = ()
    """Standard models of the run to compare with; none: all."""
    climb: bool = False
    """Train the standard models in halves of their size up to the spiking accuracy."""
    measure: bool = False
    """Time every network on this machine, and take its joules where it tells them."""
    json: bool = False
    """Print count.json instead of the text."""

    def run(self) -> None:
        """Make the account, write it, print it."""
        prices = cost.tables(self.tables)
        run = open_run(self.run_path, self.seed)
        found = count_run(run, prices, self.against, self.climb, self.measure)
        stem = "count" if self.run_path.is_dir() else f"count-{self.run_path.stem}"
        as_json, text = json.dumps(found, indent=1), count_report(found)
        atomic.write(run.folder / f"{stem}.json", as_json)
        atomic.write(run.folder / f"{stem}.txt", text)
        print(as_json if self.json else text, end="")
        print(f"Written: {(run.folder / stem).resolve()}.txt, .json", file=sys.stderr)


@dataclass(frozen=True)
class Tables:
    """List the energy tables: what they price, where it is from, what they leave out."""

    folder: Path | None = None
    """Folder with energy tables of your own, beside those that come with spikern."""

    def run(self) -> None:
        """Print a few lines each."""
        print(table_list(cost.tables(self.folder)))


@dataclass(frozen=True)
class Datasets:
    """List the data sets, and whether their files are at hand; or load some and describe them."""

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Data sets to load; none: only list them all."""

    def run(self) -> None:
        """Print one line each."""
        for name in self.names:
            print(described(load(name)))
        if not self.names:
            for name, entry in DATASETS.items():
                missing = entry.missing()
                at_hand = f"not at hand: {', '.join(missing)}" if missing else "at hand"
                print(f"{name:20} {entry.title} ({at_hand})")
            print(f"{ARCHIVE + 'PATH':20} Any task of the UCR/UEA archive, .ts or .tsv")


def described(d: Dataset) -> str:
    """One line on a data set that is loaded."""
    parts = "/".join(str(len(part)) for part in (d.train, d.validation, d.test))
    answer = "a label every step" if d.every_step else "a label a sequence"
    kind = "events" if d.events else "analog"
    return (
        f"{d.name:20} {d.title}: {parts} train/validation/test, up to {d.train.x.shape[0]} steps "
        f"of {d.dt:g} ms x {d.input_size} {kind}, {d.classes} classes, {answer}"
    )


@dataclass(frozen=True)
class Neurons:
    """List the neurons with their constants, the cost of an update and their source."""

    def run(self) -> None:
        """Print a few lines each."""
        for name, model in NEURONS.items():
            constants = ", ".join(
                f"{c.symbol} {c.mean:g} {UNITS.get(c.kind, '')}".rstrip()
                for c in model.constants.values()
            )
            cost = ", ".join(f"{n} {kind}" for kind, n in update_ops(model).items())
            what = "" if model.spikes else " (readout, never fires)"
            print(f"{name}{what}\n  constants  {constants}\n  update     {cost}")
            print(f"  source     {model.source}")


@dataclass(frozen=True)
class ShowKernel:
    """Print the fused kernels that are derived from a neuron's equation."""

    neuron: tyro.conf.Positional[str]
    """A name of `spikern neurons`."""

    def run(self) -> None:
        """Print the module's text."""
        check_choice("neuron", self.neuron, NEURONS)
        print(show_kernel(NEURONS[self.neuron]))


@dataclass(frozen=True)
class Bench:
    """Time spikern beside snnTorch, torch's RNN, GRU and LSTM, and ONNX Runtime.

    Training step, inference and peak memory at equal firing rates, in one process, interleaved;
    prints ratios, above 1 where spikern takes less. `--rates` are spikes per neuron and step.
    """

    works: tuple[Literal["S", "H", "M", "L", "1", "1s"], ...] = ("S", "H", "M", "L", "1", "1s")
    """Shapes of data and network; docs/performance.md describes them."""
    rates: tuple[float, ...] = (0.05, 0.10)
    """Firing rates that the spiking networks are set to."""
    repeats: int = 7
    """Timings of each; the median counts."""
    threads: int = 2
    """Threads of everyone; batch 1 always has one."""
    json: bool = False
    """Print the rows as JSON instead of the table."""
    out: Path | None = None
    """Folder for results.json."""
    smoke: bool = False
    """Tiny sizes that show only that everything runs."""

    def run(self) -> None:
        """Run the benchmark and print it."""
        settings = timing.Settings(self.works, self.rates, self.repeats, self.threads, self.smoke)

        def progress(line: str) -> None:
            print(line, file=sys.stderr, flush=True)

        results = timing.run_benchmark(
            settings, progress, lambda rows: progress(benchmark_table(rows))
        )
        if self.out:
            atomic.write(self.out / "results.json", json.dumps(results, indent=1))
        print(
            json.dumps(results["rows"], indent=1) if self.json else benchmark_table(results["rows"])
        )


def main(arguments: list[str] | None = None) -> None:
    """Entry point: an error of the user's is one line and exit status 2."""
    warnings.showwarning = _one_line_warning
    try:
        command: Any = tyro.extras.subcommand_cli_from_dict(
            {
                "bench": Bench,
                "compare": Compare,
                "count": Count,
                "datasets": Datasets,
                "neurons": Neurons,
                "show-kernel": ShowKernel,
                "tables": Tables,
            },
            args=arguments,
            prog="spikern",
            description="Spiking recurrent networks beside standard ones, honestly compared.",
        )
        command.run()
    except SpikernError as error:
        print(f"spikern: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("spikern: interrupted; go on with --resume", file=sys.stderr)
        raise SystemExit(130) from None


def _one_line_warning(message: Warning | str, *rest: Any, **more: Any) -> None:
    print(f"spikern: warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
