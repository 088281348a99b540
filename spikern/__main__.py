"""The command line: compare models, count their operations, list data sets, neurons and tables.

A command imports what it runs when it runs, so that help, errors of spelling and the list of data
sets come at once: torch alone takes seconds.
"""

from __future__ import annotations

from spikern._utils import program

if __name__ == "__main__":
    program.begin()  # before imports that take a while, in which a signal may come

import json
import sys
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import tyro

from spikern import __version__
from spikern._utils import atomic, json_file
from spikern._utils.choices import check_choice
from spikern._utils.errors import DataError, InputError
from spikern._utils.phases import phase, say, say_warning
from spikern._utils.processes import cpus
from spikern.data.catalogue import DATASETS, check_dataset, own_path

if TYPE_CHECKING:
    from spikern.data import Dataset


STARTING = "Starting torch"
"""What a command does first, for seconds."""
USUAL_MODELS = "LIF ALIF BRF RNN GRU LSTM"
QUICK_MODELS = ("ALIF", "BRF", "LSTM")
QUICKER = 6
"""A quick look takes its recipe's epochs divided by this."""


def option(metavar: str, default: str | None = None) -> Any:
    """How --help shows an option: its value, and its default where that is not a constant."""
    hint = None if default is None else f"(default: {default})"
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=hint)


@dataclass(frozen=True)
class Compare:
    """Train spiking and standard recurrent networks on a data set and compare them.

    It prints a table and writes OUT/results.json and OUT/report.html. All models are brought to one
    parameter budget unless --hidden is given. Energies are estimates; each names its table.
    """

    dataset: Annotated[tyro.conf.Positional[str], option("DATASET")]
    """Name (see `spikern datasets`), or your own .ts, .tsv, .csv, .npz, or folder CLASS/*.wav."""
    models: Annotated[tuple[str, ...] | None, option("MODEL ...", USUAL_MODELS)] = None
    """Models to train: spiking neurons (see `spikern neurons`), and RNN, GRU, LSTM."""
    match_parameters: Annotated[int | None, option("N", "10,000; 20,000 for digits")] = None
    """Parameter budget of every model, met within 5 %."""
    hidden: Annotated[tuple[int, ...] | None, option("N ...", "as the budget allows")] = None
    """Hidden units of every model, instead of a budget; of each layer, for spiking models alone."""
    layers: Annotated[int | None, option("N", "1, or as many as --hidden has numbers")] = None
    """Number of recurrent layers."""
    recurrent_delay: Annotated[int, option("N")] = 1
    """Longest delay of recurrent spikes in steps, drawn per neuron; of spiking models alone."""
    seeds: Annotated[int | None, option("N", "3")] = None
    """Number of trainings of each model; intervals are over seeds."""
    delta: Annotated[float | None, option("SIZE", "no encoding")] = None
    """Threshold that encodes an analog input as events, one for every change of this size."""
    answer: Literal["last", "mean"] = "last"
    """What classifies a sequence: the readout's last step, or its mean over all steps."""
    epochs: Annotated[int | None, option("N", "40 to 60 by recipe")] = None
    """Passes over the training split; results.json has those that the recipe chose."""
    batch_size: Annotated[int | None, option("N", "16 to 32 by recipe")] = None
    """Number of sequences per training step."""
    learning_rate: Annotated[float | None, option("RATE", "0.001 to 0.02 by recipe")] = None
    """Initial learning rate of Adam; it falls to zero along a half cosine."""
    weight_decay: Annotated[float | None, option("X", "0 to 0.1 by recipe")] = None
    """Weight decay; not applied to biases and time constants."""
    input_noise: Annotated[float | None, option("X", "0 to 0.08 by recipe")] = None
    """Standard deviation of the noise that is added to an analog input in training."""
    rate_limit: Annotated[float | None, option("RATE", "0.1")] = None
    """Firing rate above which the regulariser acts."""
    rate_penalty: Annotated[float | None, option("X", "0")] = None
    """Weight of the firing-rate regulariser in the loss; 0 turns it off."""
    quick: bool = False
    """A first look, in runs/DATASET-quick: ALIF, BRF, LSTM, one seed, a sixth of the epochs."""
    out: Annotated[Path | None, option("OUT", "runs/DATASET")] = None
    """Folder of all output files."""
    resume: bool = False
    """Go on with the comparison in OUT, which has the same settings."""
    restart: bool = False
    """Begin again in OUT with any settings; the comparison that is there is moved to OUT-1."""
    workers: Annotated[int, option("N")] = field(default_factory=cpus)
    """Processes that train side by side, one thread each; by default one for every processor."""
    device: Annotated[str, option("DEVICE")] = "cpu"
    """Where networks train, such as cuda; they are tested, counted and timed on the CPU."""
    json: bool = False
    """Print results.json instead of the table."""

    def run(self) -> None:
        """Run the comparison and print it."""
        check_dataset(self.dataset)
        with phase(STARTING):
            from spikern.report import table, write_html
            from spikern.studies import Comparison, compare
            from spikern.train import recipe

        if self.rate_limit is not None and not self.rate_penalty:
            raise InputError(
                "--rate-limit is the rate above which --rate-penalty acts; give a penalty too"
            )
        training = recipe(self.dataset, events=self.delta is not None)
        name = Path(own_path(self.dataset) or self.dataset).resolve().stem
        if self.quick:
            training = training.shorter(QUICKER)
            name += "-quick"
        training = training.changed(
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
            training = replace(training, match_parameters=self.match_parameters)
        by_default = QUICK_MODELS if self.quick else Comparison.models
        models = by_default if self.models is None else self.models
        sizes = self.hidden or ()
        comparison = Comparison(
            dataset=self.dataset,
            models=models,
            recipe=training,
            hidden=sizes[0] if len(sizes) == 1 else self.hidden,
            layers=(len(sizes) or 1) if self.layers is None else self.layers,
            recurrent_delay=self.recurrent_delay,
            seeds=(1 if self.quick else Comparison.seeds) if self.seeds is None else self.seeds,
            delta=self.delta,
            answer=self.answer,
        )
        if self.resume and self.restart:
            raise InputError("go on with --resume or begin again with --restart, not both")
        begin = "resume" if self.resume else "restart" if self.restart else "fresh"
        out = self.out or Path("runs") / name
        compared = compare(comparison, out, begin, self.workers, True, self.device)
        with phase("Drawing the report"):
            write_html(compared.results, compared.samples, out / "report.html")
        print((out / "results.json").read_text() if self.json else table(compared.results))
        say(f"Report: {(out / 'report.html').resolve()}")


@dataclass(frozen=True)
class Count:
    """Count the networks of a finished comparison on its test split, and estimate their energies.

    The report has operations, memory traffic, energy estimates, and fair twins of the networks. It
    is written to count.txt and count.json in the run's folder, that of one checkpoint to
    count-NAME-SEED.txt and .json; a summary is printed. Energies are estimates.
    """

    run_path: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")]
    """Folder of a finished `spikern compare`, or a checkpoint jobs/NAME-SEED.safetensors in it."""
    seed: Annotated[int | None, option("N", "0, or that of the checkpoint")] = None
    """Seed of the networks that are counted."""
    tables: Annotated[Path | None, option("FOLDER", "none")] = None
    """Folder with your own energy tables, used beside those of spikern."""
    against: Annotated[tuple[str, ...], option("MODEL ...", "all")] = ()
    """Standard models of the run to compare with."""
    smallest: bool = False
    """Train smaller standard models, to find the smallest that reach the spiking accuracy."""
    measure: bool = False
    """Measure the time of every network on this machine, and its joules if it counts them."""
    full: bool = False
    """Print the whole report instead of the summary."""
    json: bool = False
    """Print count.json instead of the summary."""

    def run(self) -> None:
        """Count, write the report, print it."""
        with phase(STARTING):
            from spikern import cost
            from spikern.report import count_report, count_summary
            from spikern.studies import count_run, open_run

        if self.json and self.full:
            raise InputError("give --json or --full, not both")
        prices = cost.tables(self.tables)
        with phase("Loading the data and counting"):
            run = open_run(self.run_path, self.seed)
            counted = count_run(run, prices, self.against, self.smallest, self.measure)
        stem = "count" if self.run_path.is_dir() else f"count-{self.run_path.stem}"
        text = count_report(counted)
        json_file.write(run.folder / f"{stem}.json", counted)
        atomic.write(run.folder / f"{stem}.txt", text)
        if self.json:
            text = (run.folder / f"{stem}.json").read_text(encoding="utf-8") + "\n"
        elif not self.full:
            text = count_summary(counted)
        print(text, end="")
        say(f"Written: {(run.folder / stem).resolve()}.txt, .json")


@dataclass(frozen=True)
class Export:
    """Write a trained network as code for a device: C99, without dependencies or allocation."""

    run_path: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")]
    """Folder of a `spikern compare`, or a checkpoint jobs/NAME-SEED.safetensors in it."""
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """New folder; its name is that of the network in C."""
    model: Annotated[str | None, option("MODEL", "the only one")] = None
    """Model of the folder; left out where there is only one, and beside a checkpoint."""
    seed: Annotated[int | None, option("N", "0, or that of the checkpoint")] = None
    """Seed of the network in a folder."""
    to: Literal["c"] = "c"
    """Language of the code."""
    numbers: Literal["float32", "int8", "fixed"] = "float32"
    """float32 has the spikes of the stream, int8 small weights, fixed whole numbers throughout."""

    def run(self) -> None:
        """Write the folder and say how to go on."""
        with phase(STARTING):
            from spikern.interop import export_c
            from spikern.train import load_network

        network = load_network(self.run_path, self.model, self.seed)
        folder = export_c(network, self.out, self.numbers)
        print(f"{folder}/README.md says how to build and call it")


@dataclass(frozen=True)
class Predict:
    """Answer for new samples with a trained network: a line per sample, its class and probability.

    A network that answers at every step has a line per sample and step. If the file has labels, the
    accuracy is printed last, to stderr.
    """

    run_path: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(name="run", metavar="RUN")]
    """Folder of a `spikern compare`, or a checkpoint jobs/NAME-SEED.safetensors in it."""
    model_and_file: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="[MODEL] FILE", help_behavior_hint="(required)"),
    ]
    """Model, if RUN has several; raw samples: .ts .tsv .csv .npz .npy .wav .txt, or a folder."""
    seed: Annotated[int | None, option("N", "0, or that of the checkpoint")] = None
    """Seed of the network in a folder."""
    json: bool = False
    """Print JSON instead of lines."""

    def run(self) -> None:
        """Read, predict and print."""
        if len(self.model_and_file) not in (1, 2):
            raise InputError("expected RUN MODEL FILE, or RUN FILE where there is one model")
        from spikern.data import samples
        from spikern.data.task import known
        from spikern.train import load_network

        model, file = [None, *self.model_and_file][-2:]
        network = load_network(self.run_path, model, self.seed)
        found = samples(Path(str(file)), known(network.task))
        prediction = network.predict(found.readings)
        rows, accuracy = found.rows(prediction), found.accuracy(prediction)
        if self.json:
            print(json.dumps({"predictions": rows, "accuracy": accuracy}, indent=1))
            return
        for row in rows:
            print(*row.values(), sep="\t")
        if accuracy is not None:
            say(f"Accuracy on the labels of {file}: {accuracy:.4f}")


@dataclass(frozen=True)
class Tables:
    """List the energy tables with their prices, their sources, and what they leave out."""

    folder: Annotated[Path | None, option("FOLDER", "none")] = None
    """Folder with your own energy tables, used beside those of spikern."""

    def run(self) -> None:
        """Print a few lines per table."""
        from spikern import cost
        from spikern.cost.summary import table_texts
        from spikern.report import table_list

        print(table_list(table_texts(cost.tables(self.folder))))


@dataclass(frozen=True)
class Datasets:
    """List the data sets and whether their files are available, or load and describe some."""

    names: Annotated[tyro.conf.Positional[tuple[str, ...]], option("[DATASET ...]", "all")] = ()
    """Data sets to load and describe; by default all are listed without loading."""

    def run(self) -> None:
        """Print one line per data set."""
        if not self.names:
            for name, entry in DATASETS.items():
                missing = entry.missing()
                more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
                state = f"missing: {missing[0]}{more}" if missing else "available"
                print(f"{name:20} {entry.title} ({state})")
            print(f"{'PATH':20} Your own: .ts, .tsv, .csv, .npz, or a folder CLASS/*.wav")
            return
        for name in self.names:
            check_dataset(name)
        from spikern.data import load

        for name in self.names:
            print(describe(load(name)))


def describe(d: Dataset) -> str:
    """Describe a loaded data set in one line."""
    parts = "/".join(str(len(part)) for part in (d.train, d.validation, d.test))
    answer = "one label per step" if d.every_step else "one label per sequence"
    kind = "events" if d.events else "analog"
    return (
        f"{d.name:20} {d.title}: {parts} train/validation/test, up to {d.longest} steps "
        f"of {d.dt:g} ms x {d.input_size} {kind}, {d.classes} classes, {answer}"
    )


@dataclass(frozen=True)
class Neurons:
    """List the neurons with their constants, the cost of an update, and their source."""

    def run(self) -> None:
        """Print a few lines per neuron."""
        from spikern.engines.codegen.operations import update_ops
        from spikern.neurons import NEURONS
        from spikern.neurons.constants import UNITS

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

    neuron: Annotated[tyro.conf.Positional[str], option("NEURON")]
    """Name of a neuron; see `spikern neurons`."""

    def run(self) -> None:
        """Print the module's text."""
        from spikern.engines.derivation import show_kernel
        from spikern.neurons import NEURONS

        check_choice("neuron", self.neuron, NEURONS)
        print(show_kernel(NEURONS[self.neuron]))


Work = Literal["S", "H", "M", "L", "W", "A", "1", "1s"]


@dataclass(frozen=True)
class Bench:
    """Measure spikern beside snnTorch, torch's RNN, GRU and LSTM, and ONNX Runtime.

    It measures a training step, an inference and the peak memory, at equal firing rates,
    interleaved in one process, and prints ratios, which are above 1 where spikern takes less.
    """

    workloads: tuple[Work, ...] = get_args(Work)
    """Workloads, which are shapes of data and network; docs/performance.md describes them."""
    rates: Annotated[tuple[float, ...], option("RATE ...")] = (0.05, 0.10)
    """Firing rates of the spiking networks, in spikes per neuron and step."""
    repeats: Annotated[int, option("N")] = 7
    """Number of timings of each workload; the median is reported."""
    threads: Annotated[int, option("N")] = 2
    """Number of threads of every library; batch 1 always runs on one."""
    json: bool = False
    """Print the rows as JSON instead of the table."""
    out: Annotated[Path | None, option("FOLDER", "not written")] = None
    """Folder that results.json is written to."""
    smoke: bool = False
    """Use tiny sizes, which only show that everything runs."""

    def run(self) -> None:
        """Run the benchmark and print it."""
        if self.out is not None and self.out.exists() and not self.out.is_dir():
            raise DataError(f"{self.out} is a file; choose another --out")
        with phase(STARTING):
            from spikern import timing
            from spikern.report import benchmark_table

        settings = timing.Settings(
            self.workloads, self.rates, self.repeats, self.threads, self.smoke
        )

        results = timing.run_benchmark(settings, say, lambda rows: say(benchmark_table(rows)))
        if self.out:
            json_file.write(self.out / "results.json", results)
        print(
            json.dumps(results["rows"], indent=1) if self.json else benchmark_table(results["rows"])
        )


COMMANDS: dict[str, Any] = {
    "bench": Bench,
    "compare": Compare,
    "count": Count,
    "datasets": Datasets,
    "export": Export,
    "neurons": Neurons,
    "predict": Predict,
    "show-kernel": ShowKernel,
    "tables": Tables,
}


def in_one_line(kind: Any) -> Any:
    """The command with the first line of its description, for the list of all commands."""
    return type(kind.__name__, (kind,), {"__doc__": kind.__doc__.partition("\n")[0]})


def main(arguments: list[str] | None = None) -> None:
    """Run a command; a SpikernError is printed as one line, with exit status 2."""
    warnings.showwarning = say_warning
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments == ["--version"]:
        print(f"spikern {__version__}")
        return
    with program.errors_in_one_line():
        named = COMMANDS.keys() & arguments
        command: Any = tyro.extras.subcommand_cli_from_dict(
            COMMANDS if named else {name: in_one_line(kind) for name, kind in COMMANDS.items()},
            args=arguments,
            prog="spikern",
            config=(tyro.conf.FlagCreatePairsOff,),
            description="Train, compare, count and time spiking and standard recurrent networks; "
            "--version prints the version.",
        )
        command.run()


if __name__ == "__main__":
    program.carry_out(main)
