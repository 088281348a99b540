"""Studies: jobs that are skipped, resumed, shared, failed and killed; tables, tuning, figures."""

import importlib
import json
import math
import os
import runpy
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from data_files import write_shd
from matplotlib.figure import Figure
from study_jobs import Fit, Job, digits, square

from spikern import studies
from spikern._utils import json_file, processes
from spikern._utils.errors import DataError, DivergedError, InputError
from spikern.data import load
from spikern.data.dataset import Dataset, Split, encoded
from spikern.data.files import FOLDER
from spikern.layers.connectivity import existing_matrix
from spikern.layers.network import build
from spikern.plot import study
from spikern.plot.comparison import Look
from spikern.plot.study import frontier, growth, looks_of, part_frontier
from spikern.report import markdown
from spikern.report.markdown import filled
from spikern.studies import protocol, robustness, runner, scaling, table, trainings
from spikern.studies.jobs import canonical, files, key, read_result
from spikern.studies.lock import claim, died
from spikern.studies.plan import ABLATIONS, Axis, Plan, Search, ablated, carried_out
from spikern.studies.results import (
    by_model,
    errors_by_size,
    has_ended,
    independent,
    late_gain,
    laws,
)
from spikern.studies.search import best_that_learns
from spikern.studies.trainings import (
    Architecture,
    ConstantDraw,
    TrainingJob,
    hours_of,
    load_dataset,
    prepare,
    train,
    train_and_disturb,
    validate,
)
from spikern.studies.twins import density
from spikern.train.checkpoint import read
from spikern.train.evaluation import evaluate
from spikern.train.loading import load_network
from spikern.train.loop import fit
from spikern.train.training import Training
from spikern.train.trial import fresh_network, train_and_test

HERE = Path(__file__).parent
ROOT = HERE.parent
quiet = {"progress": False}
PATHS = os.pathsep.join([str(HERE), str(ROOT), os.environ.get("PYTHONPATH", "")])
RUNNER = """
import sys; from pathlib import Path; from study_jobs import Job, square
from spikern import studies
out, log, seconds, *ray = sys.argv[1:]
jobs = [Job(n, log, seconds=float(seconds)) for n in reversed(range(6))]
ray = ray[0] if ray else None
print(len(studies.run(square, jobs, Path(out), ray=ray, progress=False).finished))
"""


def another_runner(*arguments):
    """A process that runs RUNNER."""
    command = [sys.executable, "-c", RUNNER, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": PATHS}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def notes(folder):
    """Who did which job, in order."""
    found = sorted(folder.glob("[0-9]*"), key=lambda p: int(p.name.split("-")[2]))
    return [tuple(map(int, p.name.split("-")[:2])) for p in found]


def test_keys_never_change():
    """A key names files that last; the hash of this text was taken by sha256sum."""
    assert canonical(Job(3)) == '{"does":"square","folder":"","n":3,"seconds":0.0}'
    assert key(Job(3)) == "e39eab8b85a67beb"
    assert len({key(Job(n, does=does)) for n in range(9) for does in ("square", "fail")}) == 18


@dataclass
class Loose:
    n: int


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Loose(1), "an instance of a frozen dataclass"),
        ({"n": 1}, "an instance of a frozen dataclass"),
        (Job, "an instance of a frozen dataclass"),
        (Job(float("nan")), "not JSON compliant"),
        (Job(1, does=HERE), "Path is not JSON serializable"),
        (Job(1, does={1}), "set is not JSON serializable"),
    ],
)
def test_only_frozen_and_plain_configs(config, message):
    with pytest.raises(InputError, match=message):
        key(config)


def test_what_cannot_be_a_study(tmp_path):
    for configs, message in [([], "at least one"), ([Job(1), Job(1)], "twice")]:
        with pytest.raises(InputError, match=message):
            runner.run(square, configs, tmp_path, **quiet)
    with pytest.raises(InputError, match="workers"):
        runner.run(square, [Job(1)], tmp_path, workers=0, **quiet)


def test_grid_reaches_inside():
    made = studies.grid(Fit("LIF", 0), {"training.rate_penalty": [0.0, 1.0], "seed": [0, 1]})
    assert [(c.training.rate_penalty, c.seed) for c in made] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    with pytest.raises(InputError, match="no field"):
        studies.grid(Job(1), {"m": [1]})
    with pytest.raises(InputError, match="no values"):
        studies.grid(Job(1), {"n": []})


def test_finished_jobs_are_skipped_and_failed_ones_tried_again(tmp_path):
    out, log = tmp_path / "out", str(tmp_path / "log")
    jobs = [Job(n, log, does="fail" if n == 1 else "square") for n in range(4)]
    first = runner.run(square, jobs, out, **quiet)
    assert first.finished == [key(job) for job in jobs if job.n != 1]
    assert first.failed == {key(jobs[1]): "ValueError: no square of 1"}
    said = files(out, key(jobs[1])).error.read_text()
    assert "Traceback" in said
    assert "study_jobs.py" in said
    second = runner.run(square, jobs, out, **quiet)
    assert second == first
    assert [n for n, _ in notes(tmp_path / "log")] == [0, 1, 2, 3, 1]
    assert studies.read_results([jobs[3]], out) == [
        {"square": 9, "parts": {"half": 1.5}, "list": [3, 3]}
    ]
    with pytest.raises(DataError, match="do the job again"):
        studies.read_results(jobs, out)


BROKEN = {
    "empty": lambda text: "",
    "half": lambda text: text[: len(text) // 2],
    "no object": lambda text: "[1]",
    "deep": lambda text: "[" * 100_000,
    "foreign": lambda text: '{"a": 1}',
    "without a result": lambda text: text.replace('"result"', '"results"'),
    "of other types": lambda text: json.dumps({"key": 1, "config": [], "result": None}),
    "changed": lambda text: text.replace("9", "8", 1),
    "of another job": lambda text: json.dumps(
        {"key": key(Job(4)), "config": asdict(Job(4)), "result": {"square": 16}}
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_job_with_a_broken_file_is_done_again(what, tmp_path, capsys):
    jobs = [Job(2), Job(3)]
    runner.run(square, jobs, tmp_path, **quiet)
    results = studies.read_results(jobs, tmp_path)
    path = files(tmp_path, key(jobs[1])).result
    broken = BROKEN[what](path.read_text())
    path.write_text(broken)
    assert len(runner.run(square, jobs, tmp_path, **quiet).finished) == 2
    assert studies.read_results(jobs, tmp_path) == results
    assert Path(f"{path}.broken").read_text() == broken
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line
    assert line.endswith(f"it is now {path.name}.broken, and the job is done again")


def test_a_broken_checkpoint_is_trained_again(tmp_path, capsys):
    """With its result, which could not be reproduced from it."""
    job = Fit("LIF", 0)
    runner.run(digits, [job], tmp_path, **quiet)
    results = studies.read_results([job], tmp_path)
    result, checkpoint, *_ = files(tmp_path, key(job))
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    runner.run(digits, [job], tmp_path, **quiet)
    assert studies.read_results([job], tmp_path) == results
    assert read(checkpoint)[1]["epochs"]
    assert Path(f"{result}.broken").exists()
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{checkpoint} is corrupt" in line


def test_a_job_file_tells_of_every_flipped_bit(tmp_path):
    job = Job(3)
    runner.run(square, [job], tmp_path, **quiet)
    path = files(tmp_path, key(job)).result
    text, whole = path.read_bytes(), read_result(path)
    for at in range(len(text)):
        path.write_bytes(text[:at] + bytes([text[at] ^ 4]) + text[at + 1 :])
        try:
            found = read_result(path)
        except DataError:
            continue
        # A damaged name of the digest makes one entry more, of a file without digest.
        assert {name: found[name] for name in whole} == whole
    path.write_text(json.dumps(whole))  # as earlier versions wrote it
    assert read_result(path) == whole


def test_a_mended_job_loses_its_error(tmp_path):
    job = Job(2)
    error = files(tmp_path, key(job)).error
    error.parent.mkdir()
    error.write_text("from before")
    runner.run(square, [job], tmp_path, **quiet)
    assert not error.exists()


@pytest.mark.parametrize(
    ("does", "message"), [("not a number", "not JSON compliant"), ("clash", "two columns 'N'")]
)
def test_results_that_no_table_can_hold_are_failures(does, message, tmp_path):
    found = runner.run(square, [Job(1, does=does)], tmp_path, **quiet)
    assert message in found.failed[key(Job(1, does=does))]
    assert not list((tmp_path / "jobs").glob("*.json"))


@pytest.mark.slow
def test_processes_give_what_one_process_gives(tmp_path):
    jobs = [Fit(model, seed) for model in ("LIF", "GRU") for seed in (0, 1)]
    runner.run(digits, jobs, tmp_path / "one", **quiet)
    runner.run(digits, jobs, tmp_path / "two", workers=2, **quiet)
    assert studies.read_results(jobs, tmp_path / "one") == studies.read_results(
        jobs, tmp_path / "two"
    )


@pytest.mark.slow
def test_a_killed_process_does_not_take_the_study_along(tmp_path):
    jobs = [Job(n) for n in range(4)] + [Job(4, does="die once"), Job(5, does="die")]
    found = runner.run(square, jobs, tmp_path, workers=2, **quiet)
    assert found.finished == [key(job) for job in jobs[:5]]
    assert "its process died" in found.failed[key(jobs[5])]
    assert "its process died" in files(tmp_path, key(jobs[5])).error.read_text()


def test_a_claim_excludes_and_dies_with_its_holder(tmp_path):
    lock = tmp_path / "jobs" / "a.lock"
    with claim(lock) as ours, claim(lock) as theirs:
        assert ours
        assert not theirs
        assert died(lock) is None
    code = (
        "import sys, time; from pathlib import Path; from spikern.studies.lock import claim\n"
        "with claim(Path(sys.argv[1])) as ours: print(ours, flush=True); time.sleep(600)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, lock], stdout=subprocess.PIPE, text=True)
    with other:
        assert other.stdout.readline() == "True\n"
        with claim(lock) as ours:
            assert not ours
        other.send_signal(signal.SIGKILL)
    assert died(lock).endswith(f" {other.pid}")
    assert died(lock) is None
    with claim(lock) as ours:
        assert ours


def test_two_runners_share_a_folder(tmp_path):
    """Every job is done once, each runner does some, and both see the whole study."""
    out, log = tmp_path / "out", tmp_path / "log"
    jobs = [Job(n, str(log), seconds=0.3) for n in range(6)]
    with another_runner(out, log, 0.3) as other:
        while not (log.exists() and any(log.iterdir())):
            assert other.poll() is None
            time.sleep(0.02)
        found = runner.run(square, jobs, out, **quiet)
        assert other.stdout.read() == "6\n"
    assert len(found.finished) == 6
    done = notes(log)
    assert sorted(n for n, _ in done) == list(range(6))
    assert {pid for _, pid in done} == {os.getpid(), other.pid}


def test_a_killed_training_resumes_to_the_same(tmp_path):
    """The checkpoint of a first epoch is all that a killed job leaves."""
    job = Fit("LIF", 0)
    runner.run(digits, [job], tmp_path / "whole", **quiet)

    class Killed(BaseException):
        pass

    seen = []

    def kill(epoch):
        seen.append(epoch)
        raise Killed

    dataset = load("digits")
    checkpoint = files(tmp_path / "broken", key(job)).checkpoint
    with pytest.raises(Killed):
        fit(
            fresh_network("LIF", 8, dataset, 0),
            dataset,
            job.training,
            0,
            checkpoint,
            callbacks=[kill],
        )
    runner.run(digits, [job], tmp_path / "broken", **quiet)
    epochs = read(checkpoint)[1]["epochs"]
    assert len(epochs) == 2
    assert epochs[0] == list(*seen)  # with its seconds: it was not trained again
    assert studies.read_results([job], tmp_path / "broken") == studies.read_results(
        [job], tmp_path / "whole"
    )


def test_the_table_opens_anywhere(tmp_path):
    jobs = [Job(n) for n in (1, 2)]
    runner.run(square, jobs, tmp_path, **quiet)
    path = tmp_path / "results.sqlite"
    assert table.read(path) == studies.rows(tmp_path)
    row = next(r for r in table.read(path) if r["n"] == 2)
    assert (row["key"], row["square"], row["parts_half"], row["list"]) == (
        key(jobs[1]), 4, 1.0, "[2, 2]"
    )  # fmt: skip
    pandas = pytest.importorskip("pandas")
    connection = sqlite3.connect(path)
    frame = pandas.read_sql("select n, square from jobs order by n", connection)
    connection.close()
    assert frame.values.tolist() == [[1, 1], [2, 4]]
    with pytest.raises(DataError, match="run the study"):
        table.read(tmp_path / "none.sqlite")


def test_a_trial_that_goes_on_has_the_seconds_of_all_its_epochs(tmp_path):
    job, checkpoint = small("LIF"), tmp_path / "trial.safetensors"
    found = validate(job, checkpoint)
    epochs = read(checkpoint)[1]["epochs"]
    assert found["seconds"] == math.fsum(epoch[4] for epoch in epochs) > 0
    assert validate(job, checkpoint) == found


EVERYTHING_DRAWN = Architecture(
    layers=2, recurrent=0.5, recurrent_delay=5, delay=3, chrono=50,
    constants=(ConstantDraw("tau_mem", span=(5.0, 20.0)),),
)  # fmt: skip


@pytest.mark.parametrize("model", ["LIF", "GRU", "LSTM"])
def test_the_seed_alone_decides_every_number_of_a_network(model):
    made = []
    for seed in (0, 0, 1):
        torch.rand(7)  # what the caller draws changes nothing
        job = small(model, seed=seed, budget=None, hidden_size=6, architecture=EVERYTHING_DRAWN)
        made.append(prepare(job)[0].state_dict())
    first, same, other = made
    assert all(torch.equal(value, same[name]) for name, value in first.items())
    assert not all(torch.equal(value, other[name]) for name, value in first.items())


def test_groups_of_other_seeds_are_not_paired():
    found = [{"model": m, "seed": s, "accuracy": 0.1 * s} for m in ("LIF", "RNN") for s in range(3)]
    assert table.gathered(found, ["model"], "accuracy")["RNN",] == [0.0, 0.1, 0.2]
    for wrong in (found[:-1], [*found, found[-1]]):
        with pytest.raises(
            InputError, match=r"same seed can be paired; \('LIF',\) has \[0, 1, 2\]"
        ):
            table.gathered(wrong, ["model"], "accuracy")


def test_a_foreign_file_among_the_jobs_is_named(tmp_path):
    runner.run(square, [Job(1)], tmp_path, **quiet)
    (tmp_path / "jobs" / "x.json").write_text("{}")
    with pytest.raises(DataError, match=r"x\.json"):
        studies.rows(tmp_path)


@pytest.fixture(scope="module")
def trained():
    dataset = load("digits")
    network = fresh_network("GRU", 12, dataset, 0)
    with processes.one_thread():
        fit(network, dataset, Training(epochs=3, learning_rate=1e-2))
    return network, dataset


def test_level_zero_disturbs_nothing_and_much_does(trained):
    network, dataset = trained
    before = {name: p.clone() for name, p in network.named_parameters()}
    for disturbance, much in (("input noise", 20.0), ("weights", 20.0)):
        found = robustness.robustness(network, dataset, disturbance, [0.0, much])
        assert found[0.0] > found[much] + 0.1
        assert found == robustness.robustness(network, dataset, disturbance, [0.0, much])
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())
    with pytest.raises(InputError, match="no events to drop"):
        robustness.robustness(network, dataset, "dropped events", [0.1])
    with pytest.raises(InputError, match="holds events"):
        robustness.robustness(network, encoded(dataset, 0.25), "input noise", [0.1])


def test_disturbances_by_the_number(trained):
    _, dataset = trained
    events = encoded(dataset, 0.25).test
    kept = robustness.dropped(events, 0.25, seed=0)
    assert bool(((kept.x == events.x) | (kept.x == 0)).all())
    count = int(events.x.count_nonzero())
    # binomial: four deviations
    assert abs(int(kept.x.count_nonzero()) - 0.75 * count) < 4 * (count * 0.75 * 0.25) ** 0.5
    difference = robustness.noisy(dataset.test, 0.5, seed=0).x - dataset.test.x
    assert float(difference.std()) == pytest.approx(0.5, rel=0.02)  # 23,000 draws: 0.5 %
    for disturb, level, message in (
        (robustness.dropped, 1.5, "the share of dropped events lies in"),
        (robustness.noisy, -1.0, "noise must be 0 or more"),
    ):
        with pytest.raises(InputError, match=message):
            disturb(events, level, 0)


def test_noise_is_in_deviations_of_what_is_no_padding(monkeypatch):
    x = torch.zeros(10, 4, 1)
    x[:2] = torch.tensor([1.0, -1.0]).view(2, 1, 1)
    part = Split(x, torch.tensor([0, 1, 0, 1]), torch.full((4,), 2))
    data = Dataset("p", "p", part, part, part, ("a", "b"), False, False, "made", "-", 1.0)
    levels = {}

    def noted(network, dataset, disturbance, scaled, **rest):
        levels[disturbance] = scaled
        return dict.fromkeys(scaled, 1.0)

    monkeypatch.setattr(trainings, "robustness", noted)
    trainings.disturb(build("LIF", 1, 4, 2), data)
    unit = float(x[:2].std())
    assert levels["input noise"] == [unit * level for level in (0.0, 0.2, 0.5, 1.0)]
    assert unit > 1 > 2 * float(x.std())


@pytest.mark.parametrize("settings", [{}, {"hidden_size": [30, 20], "feedback": 0.2}])
def test_weights_are_disturbed_where_there_are_synapses(settings):
    network = build("LIF", 6, **{"hidden_size": 100} | settings, classes=3, recurrent=0.1)
    other = robustness.disturbed(network, 0.1, seed=0)
    names = [name for name, _ in network.body.named_parameters() if "weight" in name]
    assert len(names) == (4 if settings else 2) + bool(settings)
    for name in names:
        before, after = (n.body.get_parameter(name).detach() for n in (network, other))
        there = before != 0
        assert not after[~there].any()
        change = (after - before)[there].std() / before[there].std()
        assert 0.1 * 0.7 < change < 0.1 * 1.3  # 80 draws or more: 8 %
    assert density(other) == density(network) < 0.7


def test_what_is_written_beside_the_synapses_is_no_weight():
    network = build("LIF", 6, 30, 3, recurrent=0.2)
    found = density(network)
    with torch.no_grad():
        network.body.weight_hh_l0.fill_(1.0)
    assert existing_matrix(network.body, "weight_hh_l0").sum() == len(network.body.synapses_hh_l0)
    assert density(network) == found


def test_figures_take_an_axis_and_return_it():
    looks = {"LIF": Look("#0b62a8", "o", "-")}
    axis = Figure().add_subplot()
    drawn = frontier(axis, {"LIF": [(1e3, 0.8), (2e3, 0.9), (3e3, 0.85)]}, looks)
    assert drawn is axis
    assert list(axis.lines[1].get_xdata()) == [1e3, 2e3]
    sizes = [1e3, 2e3, 4e3, 8e3]
    found = scaling.fit(sizes, [[0.1 + 9 / n] * 3 for n in sizes], refits=3)
    axis = growth(Figure().add_subplot(), "LIF", found, looks["LIF"])
    assert [text.get_text() for text in axis.texts] == ["prediction"]
    assert axis.lines[-1].get_linestyle() == ":"


def test_a_page_without_the_place_is_refused():
    with pytest.raises(InputError, match="no place"):
        filled("nothing here", {"table": "x"})


def children(pid):
    """The processes that a process has started."""
    stats = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat")]
    pairs = [(int(s.split()[0]), int(s.rsplit(")", 1)[1].split()[1])) for s in stats]
    return {child for child, parent in pairs if parent == pid}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning")
def test_a_ray_cluster_that_loses_a_machine(tmp_path, monkeypatch):
    """Head and two workers; one goes dark, as a machine does, with a job in its hands."""
    ray = pytest.importorskip("ray")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    monkeypatch.setenv("PYTHONPATH", PATHS)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    small = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    log = tmp_path / "log"
    jobs = [Job(n, str(log), seconds=3.0) for n in range(6)]
    protocol = [Fit(model, 0) for model in ("LIF", "GRU")]
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    try:
        nodes = [cluster.add_node(num_cpus=1, **small) for _ in range(2)]
        with another_runner(tmp_path / "ray", log, 3.0, cluster.address) as driver:
            while not (log.exists() and len({pid for _, pid in notes(log)}) == 2):
                assert driver.poll() is None
                time.sleep(0.05)
            raylet = nodes[0].all_processes["raylet"][0].process.pid
            (worker,) = children(raylet) & {pid for _, pid in notes(log)}
            (lost, *_) = [n for n, pid in reversed(notes(log)) if pid == worker]
            cluster.remove_node(nodes[0], allow_graceful=False)
            os.kill(worker, signal.SIGKILL)
            assert driver.stdout.read().splitlines()[-1] == "6"
        runner.run(digits, protocol, tmp_path / "ray", ray=cluster.address, **quiet)
    finally:
        ray.shutdown()
        cluster.shutdown()
    done = notes(log)
    assert {n for n, _ in done} == set(range(6))
    assert [pid == worker for n, pid in done if n == lost] == [True, False]
    runner.run(square, jobs, tmp_path / "local", **quiet)
    runner.run(digits, protocol, tmp_path / "local", **quiet)
    for configs in (jobs, protocol):
        assert studies.read_results(configs, tmp_path / "ray") == studies.read_results(
            configs, tmp_path / "local"
        )


def test_a_dense_network_that_a_cheaper_one_equals_does_not_count(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "experiments" / "smaller"))
    common = importlib.import_module("common")
    found = {
        "small": (3.0, 10.0),
        "good": (1.0, 40.0),
        "dear": (2.0, 90.0),
        "largest": (0.5, 160.0),
    }
    rows = [{"model": name, "bits": b, "cost": c} for name, (b, c) in found.items()]
    dense = [common.Model(name, "ALIF", ()) for name in found]
    cost = common.frontier(rows, dense, "bits", "cost")
    # between small and good, as if "dear" were not there: the logarithm of the cost is a line
    assert cost(2.0) == pytest.approx(20.0, rel=1e-12)  # a logarithm and back
    assert cost(1.0) == pytest.approx(40.0, rel=1e-12)
    assert cost(0.75) == pytest.approx(80.0, rel=1e-12)
    assert np.isnan([cost(0.4), cost(3.1)]).all()


def test_only_the_seeds_that_results_lack_are_trained(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "experiments" / "smaller"))
    experts = importlib.import_module("experts")
    first, second, *_ = experts.MODELS
    own = {"rate": 0.5, "bits": 2.5, "microseconds": 1.5}
    known = [{"model": first.name, "seed": seed, **own} for seed in range(2)]
    known += [{"model": second.name, "seed": 0, **own}]
    asked = []

    def learned(model, whole, out, workers, job, before):
        asked.append((model.name, model.rates, before))
        job = model.job(model.rates[0], before, 1)
        return model.rates[0], [experts.Learning(job)], [{"validation": 0.5}]

    monkeypatch.setattr(experts, "learned", learned)
    monkeypatch.setattr(experts, "run_all", lambda *_: [{"bits": 2.0}])
    config = experts.Config(out=tmp_path, seeds=2)
    rows = experts.rows_of((first, second), config, known)
    assert asked == [(second.name, (0.5,), 1)]
    added = {"model": second.name, "seed": 1, **own, "bits": 2.0, "validation": 0.5}
    assert rows == [*known, added]


STUDIES = sorted(path.parent.name for path in ROOT.glob("experiments/*/plan.py"))
"""All that have a plan for the command of the studies."""
OWN_DATA = {"heidelberg": write_shd, "memory": lambda folder: None}
"""Studies whose smoke run needs no original files: theirs are written here, or made by spikern."""
OWN = (
    "growth/run.py",
    *(f"smaller/{n}.py" for n in ("memory", "experts", "sleep", "sounds", "classes")),
)
"""Studies with a command of their own that read original files."""
SMOKES = [
    *(["run.py", name, "--smoke"] for name in STUDIES),
    ["article/run.py", "--smoke"],
    *([name, "--smoke", "--workers", "2"] for name in (*OWN, "robustness_law/run.py")),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        pytest.param(
            command,
            id=" ".join(command[: command.index("--smoke")]),
            marks=[pytest.mark.data] if {*command} & ({*STUDIES, *OWN} - {*OWN_DATA}) else [],
        )
        for command in SMOKES
    ],
)
def test_smoke_run(command, tmp_path):
    """Every study runs, small, and writes only where it is started."""
    script, *arguments = command
    home = ROOT / "experiments"
    before = {p: p.stat().st_mtime_ns for p in home.rglob("*") if "__pycache__" not in p.parts}
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    if FOLDER in environment:
        environment[FOLDER] = str(Path(environment[FOLDER]).resolve())
    if command[1] in OWN_DATA:
        environment[FOLDER] = str(tmp_path / "data")
        OWN_DATA[command[1]](tmp_path / "data")
    done = subprocess.run(
        [sys.executable, home / script, *arguments],
        cwd=tmp_path, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    after = {p: p.stat().st_mtime_ns for p in home.rglob("*") if "__pycache__" not in p.parts}
    assert after == before
    assert list(tmp_path.glob("runs/*/README.md")) or "| --- |" in done.stdout


CARRIED_OUT = [name for name in STUDIES if (ROOT / "experiments" / name / "results.json").exists()]


def test_studies_are_found():
    """Otherwise the tests of all studies would prove nothing."""
    assert len(STUDIES) >= 8
    assert len(CARRIED_OUT) >= 7


@pytest.mark.parametrize("name", CARRIED_OUT)
def test_a_planned_study_holds_what_its_page_says(name):
    home = ROOT / "experiments" / name
    results = json.loads((home / "results.json").read_text())
    page = (home / "README.md").read_text()
    assert filled(page, markdown.study(results)) == page
    plans = runpy.run_path(str(home / "plan.py"))["PLANS"]
    assert len(plans) == len(results["parts"])
    assert all(map(carried_out, plans, results["parts"]))
    assert not carried_out(replace(plans[0], seeds=plans[0].seeds + 1), results["parts"][0])


def small(run, **changes):
    """A run of 8 digits for two epochs."""
    training = Training(epochs=2, batch_size=4)
    base = TrainingJob("digits", run, 0, training, budget=500, sequences=8)
    return replace(base, **changes)


@pytest.mark.parametrize(
    ("size", "got"), [({"budget": None}, "neither"), ({"hidden_size": 4}, "both")]
)
def test_a_run_has_one_size(size, got):
    with pytest.raises(InputError, match=f"hidden_size= or budget=, got {got}"):
        prepare(small("LIF", **size))


def test_a_run_changes_just_what_is_ablated():
    whole, _ = prepare(small("ALIF"))
    alone, fixed, other = (
        prepare(small("ALIF", architecture=Architecture(**ABLATIONS[name])))[0]
        for name in ("no recurrence", "constants not trained", "surrogate: fast sigmoid")
    )
    assert {n.body.hidden_size for n in (whole, alone, fixed, other)} == {whole.body.hidden_size}
    assert "weight_hh_l0" not in dict(alone.body.named_parameters())
    raw = [name for name, p in fixed.body.named_parameters() if not p.requires_grad]
    assert raw == ["raw_tau_mem_l0", "raw_tau_adapt_l0"]
    assert whole.parameter_count - fixed.parameter_count == 2 * whole.body.hidden_size
    assert other.body.surrogate.name == "fast_sigmoid"


@pytest.mark.parametrize(
    ("settings", "ablation", "changes"),
    [
        ({}, "no delays", {}),
        ({"recurrent": False}, "no recurrence", {}),
        ({"recurrent_delay": 9}, "no recurrence", {"recurrent": False, "recurrent_delay": 1}),
        ({"delay": 5, "recurrent_delay": 9}, "no delays", {"delay": 0, "recurrent_delay": 1}),
        (
            {"recurrent_delay": 9, "learn_delays": True},
            "no recurrence",
            {"recurrent": False, "recurrent_delay": 1, "learn_delays": False},
        ),
        (
            {"delay": 5, "recurrent_delay": 9, "learn_delays": True},
            "no recurrence",
            {"recurrent": False, "recurrent_delay": 1},
        ),
    ],
)
def test_an_ablation_leaves_a_network_that_can_be_built(settings, ablation, changes):
    whole = Architecture(**settings)
    found = ablated(ablation, whole)
    assert found == {f"architecture.{name}": [value] for name, value in changes.items()}
    (job,) = studies.grid(small("LIF", architecture=whole), found)
    prepare(job)


def test_a_search_takes_the_best_rate_of_every_model_and_leaves_the_test_split(
    tmp_path, monkeypatch
):
    rates = (1e-3, 3e-2, 1e30)
    tried = studies.grid(small("LIF"), {"model": ("LIF", "RNN"), "training.learning_rate": rates})
    monkeypatch.setattr(trainings, "train_and_test", None)
    with pytest.warns(UserWarning, match="left out"):  # at a rate of 1e30
        found = [validate(run, tmp_path / str(k)) for k, run in enumerate(tried)]
    network, data = prepare(tried[1])
    history = fit(network, data, tried[1].training)
    kept = history.epochs[history.best_epoch - 1]
    assert found[1]["validation_accuracy"] == kept.validation_accuracy
    assert found[1]["validation_loss"] == kept.validation_loss
    plan = Plan("digits", 500, Training(), ("LIF",), ("RNN",), learning_rates=rates)
    tuned = protocol.searched(plan, tried, found)
    for k, model in enumerate(("LIF", "RNN")):
        reached = [one["validation_accuracy"] for one in found[3 * k : 3 * k + 3]]
        assert [trial["accuracy"] for trial in tuned[model]["trials"]] == reached
        best, *_ = protocol.best_first(tuned[model]["trials"], "accuracy")
        equals = [trial for trial in tuned[model]["trials"] if trial["accuracy"] == max(reached)]
        losses = [math.inf if trial["loss"] is None else trial["loss"] for trial in equals]
        assert best == equals[losses.index(min(losses))]["settings"]


def test_a_plan_says_how_a_network_is_built():
    structure = Architecture(
        layers=2,
        delay=3,
        surrogate="triangular",
        surrogate_settings=(0.5,),
        constants=(ConstantDraw("omega", span=(0.015, 0.05)), ConstantDraw("v_th", mean=0.9)),
        readout_constants=(ConstantDraw("tau_mem", mean=5.0, spread=0.0, trainable=False),),
    )
    network, dataset = prepare(small("BRF", budget=None, hidden_size=40, architecture=structure))
    body = network.body
    assert (body.num_layers, body.delay, body.surrogate.support) == (2, 3, 0.5)
    constants = {c.symbol: c for c in body.neuron.constants.values()}
    omega = constants["omega"].value(body.raw_omega_l1.detach())
    assert 0.015 <= float(omega.min()) < 0.025 < 0.04 < float(omega.max()) <= 0.05
    assert constants["v_th"].mean == 0.9
    assert not network.readout.raw_tau_mem_l0.requires_grad
    assert torch.allclose(network.readout.raw_tau_mem_l0.exp(), torch.tensor(5.0))
    assert body.dt == dataset.dt


def test_gates_that_remember_are_drawn():
    """b_forget = -b_input = log t with t in 1..longest - 1."""
    network, _ = prepare(
        small("LSTM", budget=None, hidden_size=50, architecture=Architecture(chrono=100))
    )
    bias = network.body.rnn.bias_ih_l0.detach().view(4, 50)
    assert torch.equal(bias[0], -bias[1])
    times = bias[1].exp()
    assert 1 <= float(times.min()) < 30 < 70 < float(times.max()) <= 99
    with pytest.raises(InputError, match="needs gates"):
        prepare(small("RNN", architecture=Architecture(chrono=100)))


def test_a_search_may_vary_more_than_the_rate_with_as_many_trials():
    axes = (
        Axis("learning_rate", (1e-3, 1e-2)),
        Axis("architecture.dropout", (0.0, 0.2)),
    )
    rates = (1e-3, 3e-3, 1e-2, 3e-2)
    plan = Plan("digits", 500, Training(epochs=7), ("LIF",), ("RNN",), rates,
                trial_epochs=2, searches=(Search("LIF", axes),))  # fmt: skip
    trials = protocol.trials_of(plan)
    assert [t.model for t in trials] == ["LIF"] * 4 + ["RNN"] * 4
    assert {t.training.epochs for t in trials} == {2}
    varied = [(t.training.learning_rate, t.architecture.dropout) for t in trials[:4]]
    assert varied == [(1e-3, 0.0), (1e-3, 0.2), (1e-2, 0.0), (1e-2, 0.2)]
    results = [
        {"validation_accuracy": k / 8, "validation_loss": 1.0, "seconds": 2.0} for k in range(8)
    ]
    search = protocol.searched(plan, trials, results)["LIF"]
    best = protocol.best_first(search["trials"], "accuracy")[0]
    assert best == {"learning_rate": 1e-2, "architecture.dropout": 0.2}
    assert search["seconds"] == 8.0
    job = protocol.tuned_job(plan, "LIF", best)
    assert (job.training.learning_rate, job.architecture.dropout) == (1e-2, 0.2)
    assert job.training.epochs == 7
    with pytest.raises(InputError, match=r"as many trials .* got \{'LIF': 4, 'RNN': 3\}"):
        replace(plan, learning_rates=rates[:3])
    both = replace(plan, learning_rates=rates[:3], searches=(*plan.searches, Search("RNN", axes)))
    assert len(protocol.trials_of(both)) == 8


def test_a_trial_that_diverges_counts_nothing(tmp_path, monkeypatch):
    def diverges(*_, **settings):
        raise DivergedError("on purpose")

    monkeypatch.setattr(trainings, "fit", diverges)
    found = validate(small("LIF"), tmp_path / "x")
    assert (found["validation_accuracy"], found["validation_loss"]) == (0.0, None)


def test_a_training_that_diverges_gives_its_rate_up_for_the_next_best(tmp_path, monkeypatch):
    def diverges_late(network, dataset, training, seed, *rest):
        if training.learning_rate > 0.02 and seed == 1:
            raise DivergedError("on purpose")
        return train_and_test(network, dataset, training, seed, *rest)

    monkeypatch.setattr(trainings, "train_and_test", diverges_late)
    monkeypatch.setattr(protocol, "time_networks", lambda jobs, out: [])
    accuracies = {0.005: 0.5, 0.01: 0.6, 0.03: 0.9}
    monkeypatch.setattr(
        protocol,
        "validate",
        lambda job, checkpoint, device=None: {
            "validation_accuracy": accuracies[job.training.learning_rate],
            "validation_loss": 1.0,
            "seconds": 1.0,
        },
    )
    plan = replace(
        protocol.Plan("digits", 2_200, Training(), standard=("LSTM",)).brief(),
        learning_rates=tuple(accuracies),
        penalties=(),
    )
    part = protocol.carry_out(plan, tmp_path, workers=1)
    assert part["frontier"] == []
    assert [run["model"] for run in part["int8"]] == [*plan.models]
    assert "| trained in int8, 1 seed |" in markdown.accuracy(part)
    for model in plan.models:
        # of the rate that was given up the first seed trained to its end
        assert part["tuning"][model]["seconds_given_up"] > 0
        assert part["tuning"][model]["best"] == {"learning_rate": 0.01}
        assert [t.get("diverged") for t in part["tuning"][model]["trials"]] == [None, None, True]
    assert {run["learning_rate"] for run in part["runs"]} == {0.01}
    assert {search["seconds"] for search in part["tuning"].values()} == {3.0}
    assert "0.03: 90.0 %, diverged later |" in markdown.tuning(part)
    # a setting that was given up is not trained on by a later run
    beside = replace(protocol.tuned_job(plan, "LIF", {"learning_rate": 0.03}), seed=0)
    result = files(tmp_path, key(beside)).result
    result.unlink()
    assert protocol.carry_out(plan, tmp_path, workers=1)["runs"] == part["runs"]
    assert not result.exists()


def test_a_plan_that_selects_by_loss_searches_and_chooses_by_it(tmp_path, monkeypatch):
    """The more accurate rate and model have more loss here; one trial diverged."""
    losses = {0.005: 0.7, 0.01: 0.5, 0.03: None}
    monkeypatch.setattr(protocol, "time_networks", lambda jobs, out: [])
    monkeypatch.setattr(
        protocol,
        "validate",
        lambda job, checkpoint, device=None: {
            "validation_accuracy": 0.0 if job.training.learning_rate == 0.03 else 0.6,
            "validation_loss": losses[job.training.learning_rate],
            "seconds": 1.0,
        },
    )
    reached = {"LIF": (0.5, 0.1), "ALIF": (0.9, 0.2), "BRF": (0.3, 0.3), "LSTM": (0.9, 0.2)}

    def answers(network, *rest):
        kept = train_and_test(network, *rest)
        name = network.body.neuron.name if network.spiking else "LSTM"
        accuracy, loss = reached[name]
        return kept | {"validation_accuracy": accuracy, "validation_loss": loss}

    monkeypatch.setattr(trainings, "train_and_test", answers)
    plan = replace(
        protocol.Plan("digits", 2_200, Training(), standard=("LSTM",), measure="bits").brief(),
        spiking=("LIF", "ALIF", "BRF"),
        learning_rates=tuple(losses),
        ablations=(),
        penalties=(),
    )
    for measure, best in (("accuracy", "ALIF"), ("loss", "LIF")):
        chosen = replace(plan, training=replace(plan.training, select_by=measure))
        part = protocol.carry_out(chosen, tmp_path / measure, workers=1)
        assert part["best"] == {"spiking": best, "standard": "LSTM"}
        # of two rates with one accuracy, too, that with less loss is taken
        assert {run["learning_rate"] for run in part["runs"]} == {0.01}
    shown = "| LIF | 0.01: 0.721 bits | 0.005: 1.010 bits | 0.03: diverged |"
    assert shown in markdown.tuning(part)


def test_a_plan_searches_and_trains_on_the_device_that_is_asked_for(tmp_path, monkeypatch):
    for work in (validate, train_and_disturb):
        with pytest.raises(InputError, match="cannot be moved to nowhere"):
            work(small("LIF"), tmp_path / "x", "nowhere")
    devices = []

    def tried(job, checkpoint, device=None):
        devices.append(device)
        return {"validation_accuracy": 0.5, "validation_loss": 1.0, "seconds": 1.0}

    def trained(job, checkpoint, device=None):
        devices.append(device)
        raise InputError("far enough")

    monkeypatch.setattr(protocol, "validate", tried)
    monkeypatch.setattr(protocol, "train_and_disturb", trained)
    plan = protocol.Plan("digits", 2_200, Training()).brief()
    with pytest.raises(DataError, match="far enough"):
        protocol.carry_out(plan, tmp_path, workers=1, device="meta")
    assert devices == ["meta"] * 6
    with pytest.raises(InputError, match="cannot be moved to nowhere"):
        protocol.carry_out(plan, tmp_path, workers=1, device="nowhere")
    assert len(devices) == 6


def test_a_plan_is_not_carried_on_with_other_data(tmp_path):
    mine = tmp_path / "mine.csv"
    rows = [f"{'ab'[k % 2]},{k % 2},{k % 3}\n" for k in range(30)]
    mine.write_text("".join(rows))
    plan = protocol.Plan(str(mine), 200, Training())
    plans = {"whole": plan, "turns": replace(plan, dataset="digits", turns=(str(mine),))}
    for name, each in plans.items():
        protocol.hold_data(each, tmp_path / name)
    mine.write_text("".join([*rows[:-1], f"a{rows[-1][1:]}"]))
    for name, each in plans.items():
        with pytest.raises(DataError, match="mine is not what it was when the trainings in"):
            protocol.carry_out(each, tmp_path / name, workers=1)
        assert not (tmp_path / name / "jobs").exists()


def test_the_hours_of_a_job_are_those_of_its_epochs(tmp_path):
    job = small("LIF")
    assert hours_of(job, tmp_path) == 0  # it diverged in its first epoch
    result = train(job, files(tmp_path, key(job)).checkpoint)
    assert hours_of(job, tmp_path) == result["seconds"] / 3600 > 0


def test_a_page_says_how_long_each_device_trained():
    versions = dict.fromkeys(("spikern", "torch", "numba", "python"), "1")
    provenance = versions | {"processor": "a CPU", "commit": "abc"}
    on = {"seconds": 7200.0, "trained_on": "a GPU"}
    part = {"ablations": {}, "frontier": [], "growth": [], "runs": [on, {"seconds": 3600.0}]}
    for searched, took in (
        (on, "one core 1.0 hours and a GPU 4.0 hours in sum, with those of the search"),
        ({}, "one core 1.0 hours and a GPU 2.0 hours in sum, without those of the search"),
    ):
        text = markdown.machine(provenance, [part | {"tuning": {"LIF": searched}}])
        assert f"a CPU, one thread per job; its trainings took {took};" in text


def test_a_search_in_which_all_diverge_says_so():
    with pytest.raises(
        DivergedError, match=r"every setting that was tried, \[0.1, 0.01\]; try low"
    ):
        best_that_learns([0.1, 0.01], lambda rate: [{"bits": 2.0}, {"diverged": "loss is nan"}])


def test_a_variant_that_diverges_takes_the_next_best_rate_alone(tmp_path, monkeypatch):
    """Without recurrence, the second seed diverges at the rate that is best for the whole model."""

    def diverges_without_recurrence(network, dataset, training, seed, *rest):
        if (
            training.learning_rate > 0.02
            and seed == 1
            and not getattr(network.body, "recurrent", 1)
        ):
            raise DivergedError("on purpose")
        return train_and_test(network, dataset, training, seed, *rest)

    monkeypatch.setattr(trainings, "train_and_test", diverges_without_recurrence)
    monkeypatch.setattr(protocol, "time_networks", lambda jobs, out: [])
    monkeypatch.setattr(
        protocol,
        "validate",
        lambda job, checkpoint, device=None: {
            "validation_accuracy": job.training.learning_rate,
            "validation_loss": 1.0,
            "seconds": 1.0,
        },
    )
    plan = replace(
        protocol.Plan("digits", 2_200, Training(), standard=("LSTM",)).brief(),
        learning_rates=(0.001, 0.01, 0.03),
        variant_seeds=2,
    )
    part = protocol.carry_out(plan, tmp_path, workers=1)
    assert {run["learning_rate"] for run in part["runs"]} == {0.03}
    (variant,) = part["ablations"].values()
    assert [(run["learning_rate"], run["seed"]) for run in variant] == [(0.01, 0), (0.01, 1)]
    assert {run["learning_rate"] for run in (*part["frontier"], *part["int8"])} == {0.03}
    shown = markdown.variants(part)
    assert "| no recurrence (learning rate 0.01) |" in shown
    assert shown.count("learning rate") == 1


@pytest.mark.parametrize(
    ("curve", "late"),
    [
        ([0.0, *[0.5] * 10, 1.0], 0.5),  # twelve epochs: the last 1.2 of them
        ([0.0, *[0.5] * 9, 0.75, 1.0], 0.3),  # and 0.2 of the one before
        ([0.2, 0.9, 0.5, *[0.3] * 17], 0.0),
        ([0.0, 1.0], 0.2),
        ([0.5], 1.0),
        ([0.14] * 60, 1.0),  # it learned nothing
        ([0.5, 0.4], 1.0),
        ([1.0] * 60, 0.0),
    ],
)
def test_the_late_gain_is_that_of_the_last_tenth(curve, late):
    assert late_gain(curve) == pytest.approx(late)  # sums of a few floats
    assert has_ended([{"curve": curve}], "accuracy") == (late <= 0.02)


def test_what_is_measured_says_whether_a_training_has_ended():
    run = {"curve": [0.1, 0.5, *[0.5] * 18], "loss_curve": [20.0 - k for k in range(20)]}
    assert has_ended([run], "accuracy")
    assert not has_ended([run], "bits")
    assert has_ended([{"curve": run["curve"]}], "bits")  # of before, when no loss was kept


def test_of_equal_trials_the_one_with_less_loss_is_best():
    reached = ((0.001, 0.98, 0.5), (0.003, 0.98, 0.1), (0.01, 0.9, 0.01), (0.03, 0.98, None))
    trials = [
        {"settings": {"learning_rate": rate}, "accuracy": a, "loss": b} for rate, a, b in reached
    ]
    rates = [best["learning_rate"] for best in protocol.best_first(trials, "accuracy")]
    assert rates == [0.003, 0.001, 0.03, 0.01]
    part = {
        "plan": {"training": {}},
        "tuning": {"LIF": {"trials": trials, "best": trials[1]["settings"]}},
    }
    assert "| LIF | 0.003: 98.0 % | 0.001: 98.0 % |" in markdown.tuning(part)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"measure": "bit"}, "no measure 'bit'"),
        ({"answer": "first"}, "no answer 'first'"),
        ({"standard": ("GRU", "GRU")}, "each model once, got GRU twice"),
        ({"learning_rates": (0.1, 0.1)}, "each learning rate once, got 0.1 twice"),
        ({"penalties": (1.0, 1.0)}, "each penalty once, got 1.0 twice"),
        ({"budgets": (500, 500)}, "each budget once, got 500 twice"),
        ({"turns": ("digits", "digits")}, "each turn once, got digits twice"),
        (
            {"searches": (Search("GRU", (Axis("clip", (1.0, 2.0)),)),) * 2,
             "learning_rates": (0.1, 0.2)},
            "each search of once, got GRU twice",
        ),
    ],
)  # fmt: skip
def test_a_plan_that_contradicts_itself_is_refused_at_once(changes, message):
    with pytest.raises(InputError, match=message):
        protocol.Plan("digits", 2_200, Training(), **changes)


def test_side_by_side_no_settings_are_trained_that_are_known_to_diverge(tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(protocol.Trainer, "run", lambda trainer, jobs: trained.extend(jobs))
    monkeypatch.setattr(
        protocol.Trainer,
        "diverged",
        lambda trainer, jobs: [job for job in jobs if job.training.learning_rate > 0.01],
    )
    settings = [{"learning_rate": rate} for rate in (0.03, 0.02, 0.01)]
    order = {"GRU": settings[:2], "LIF": settings}
    plan = protocol.Plan("digits", 2_200, Training())
    groups = {"GRU": ("GRU", {}), "LIF": ("LIF", {})}
    protocol.Trainer(plan, tmp_path).side_by_side(groups, 2, order)
    rates = [(job.model, job.training.learning_rate, job.seed) for job in trained]
    assert rates == [("LIF", 0.01, 0), ("LIF", 0.01, 1)]


def test_a_training_that_two_variants_share_is_done_once(tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(protocol.Trainer, "run", lambda trainer, jobs: trained.extend(jobs))
    plan = protocol.Plan("digits", 2_200, Training(weights="int8", rate_penalty=0.0))
    same = {"0": ("LIF", {"training.rate_penalty": [0.0]}), "LIF": ("LIF", {})}
    protocol.Trainer(plan, tmp_path).side_by_side(same, 2, {"LIF": [{"learning_rate": 0.01}]})
    assert [job.seed for job in trained] == [0, 1]


def test_a_variant_that_diverges_at_every_rate_is_named_and_ends_nothing(tmp_path, monkeypatch):
    """The second of two penalties, where the first learns, and the LSTM in int8."""

    def diverges(network, dataset, training, seed, *rest):
        lstm_in_int8 = training.weights == "int8" and not network.spiking
        if seed == 1 and (training.rate_penalty == 100.0 or lstm_in_int8):
            raise DivergedError("on purpose")
        return train_and_test(network, dataset, training, seed, *rest)

    monkeypatch.setattr(trainings, "train_and_test", diverges)
    monkeypatch.setattr(protocol, "time_networks", lambda jobs, out: [])
    plan = replace(
        protocol.Plan("digits", 2_200, Training(), standard=("LSTM",)).brief(),
        learning_rates=(0.01, 0.03),
        ablations=(),
        penalties=(10.0, 100.0),
        variant_seeds=2,
    )
    part = protocol.carry_out(plan, tmp_path, workers=1)
    assert [run["rate_penalty"] for run in part["frontier"]] == [10.0, 10.0]
    assert {run["model"] for run in part["int8"]} == {"LIF"}
    assert "| rate penalty 100 | - | diverges at every rate | - |" in markdown.variants(part)
    lif, lstm = markdown.accuracy(part).split("\n\n")[0].splitlines()[2:]
    assert lstm.endswith("| diverges |")
    assert "diverges" not in lif
    part_frontier(Figure().add_subplot(), part, looks_of([part]))


def test_growth_is_fitted_against_parameters_and_operations():
    """Operations grow here as the square of the parameters, so their exponent is half as large."""

    def run(budget, noise):
        ops = {"body": {"ac": {"recurrent": budget**2 * 5}, "mac": budget**2 * 15}}
        return {
            "model": "LIF",
            "budget": budget,
            "parameters": budget,
            "ops": ops,
            "inferences": 10,
            "test_accuracy": 1 - noise * budget**-0.5,
        }

    sizes = [1e3, 2e3, 4e3, 8e3]
    runs = [run(budget, noise) for budget in sizes for noise in (0.99, 1.0, 1.01)]
    part = {"plan": {"measure": "accuracy"}, "growth": runs}
    assert errors_by_size(part, "operations")["LIF"][0] == [2 * n**2 for n in sizes]
    found = {law["axis"]: law for law in laws(part)}
    assert found["parameters"]["parameters"]["b"] == pytest.approx(0.5, abs=0.01)  # of the seeds
    assert found["operations"]["parameters"]["b"] == pytest.approx(0.25, abs=0.01)
    assert found["operations"]["prediction"]["x"] == 4 * 2 * sizes[-1] ** 2
    assert "| LIF | operations | power |" in markdown.growth({"laws": list(found.values())})


def test_a_trial_by_hand_is_what_the_search_does(tmp_path):
    asked = "--dataset digits --model LIF --seed 0 --budget 500"
    brief = "--sequences 8 --training.epochs 2 --training.batch-size 4"
    done = subprocess.run(
        [sys.executable, ROOT / "experiments" / "trial.py", *asked.split(), *brief.split()],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = validate(small("LIF"), tmp_path / "run.safetensors")
    assert f"'validation_accuracy': {found['validation_accuracy']}," in done.stdout


def test_no_verdict_stands_on_trainings_that_had_not_ended():
    plan = Plan("digits", 500, Training(), ("LIF",), ("LSTM",))
    flat, rising = [0.1, *[0.9] * 19], [k / 20 for k in range(20)]
    runs = [
        {"model": m, "seed": s, "test_accuracy": accuracy + s * accuracy / 1e3, "curve": curve}
        for m, accuracy, curve in (("LIF", 0.9, flat), ("LSTM", 0.5, rising))
        for s in (0, 1, 2)
    ]
    claim = protocol.judge(runs, "LIF", plan)["LIF > LSTM"]
    assert (claim["verdict"], claim["ended"]) == ("confirmed", False)
    assert "not ended (else confirmed)" in markdown.claims(
        {"plan": {"measure": "accuracy"}, "claims": {"LIF > LSTM": claim}}
    )
    for curve, has in ((flat, True), ([0.9], False)):  # one epoch shows no end
        judged = protocol.judge([run | {"curve": curve} for run in runs], "LIF", plan)
        assert judged["LIF > LSTM"]["ended"] == has


def test_seeds_take_the_data_sets_of_a_plan_in_turn():
    plan = protocol.Plan("copy_5", 500, Training(), turns=("copy_5", "copy_20"))
    job = protocol.tuned_job(plan, "LIF", {"learning_rate": 0.1})
    jobs = protocol.by_seed(plan, job, 3, {"training.rate_penalty": (0.0, 1.0)})
    assert [(j.seed, j.dataset) for j in jobs[:3]] == [(0, "copy_5"), (1, "copy_20"), (2, "copy_5")]
    assert [j.training.rate_penalty for j in jobs] == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    alone = protocol.by_seed(replace(plan, turns=()), job, 2)
    assert [j.dataset for j in alone] == ["copy_5", "copy_5"]


def test_times_of_a_study_have_the_range_of_their_rounds(monkeypatch, tmp_path):
    rounds = {"stream": [1.0, 2.0, 3.0], "eager": [3.0, 2.0, 6.0]}
    rows = [
        {"name": "LIF", "runtime": name, "samples": own, "ms": sorted(own)[1], "ratio": 1.5}
        for name, own in rounds.items()
    ]
    monkeypatch.setattr(protocol, "trained_network", lambda job, out: None)
    monkeypatch.setattr(protocol, "measure", lambda *given, **named: SimpleNamespace(rows=rows))
    plan = protocol.Plan("copy_5", 500, Training())
    job = protocol.tuned_job(plan, "LIF", {"learning_rate": 0.1})
    stream, eager = protocol.time_networks([job], tmp_path)
    assert (stream["ms_range"], stream["ratio_range"]) == ((1.0, 3.0), (1.0, 1.0))
    assert (eager["ms_range"], eager["ratio_range"]) == ((2.0, 6.0), (1.0, 3.0))
    shown = markdown.times({"times": [stream, eager], "best": {"spiking": "LIF"}})
    assert "| LIF on eager | 3 (2 to 6) | 2.00 (1.00 to 3.00) |" in shown
    del eager["ms_range"], eager["ratio_range"]
    shown = markdown.times({"times": [eager], "best": {"spiking": "LIF"}})
    assert "| LIF on eager | 3 | 2.00 |" in shown


def test_claims_of_a_study_are_about_bits_where_fewer_win():
    runs = [
        {"dataset": "text", "model": m, "seed": s, "bits": bits + s, "test_accuracy": 0.0}
        for m, bits in (("LIF", 2.0), ("LSTM", 3.0))
        for s in (1, 0)
    ]
    found = protocol.pairs(runs, "LIF", ["LSTM"], "bits")
    assert found == {"LIF > LSTM": ([-2.0, -3.0], [-3.0, -4.0])}


def test_seeds_that_share_a_test_are_one_pair():
    """Four trainings on two speakers say as much about speakers as two."""
    runs = [
        {"dataset": f"speaker {s % 2}", "model": m, "seed": s, "test_accuracy": accuracy + s / 8}
        for m, accuracy in (("LIF", 0.5), ("LSTM", 0.25))
        for s in range(4)
    ]
    found = protocol.pairs(runs, "LIF", ["LSTM"], "accuracy")
    assert found == {"LIF > LSTM": ([0.625, 0.75], [0.375, 0.5])}
    part = {"plan": {"measure": "accuracy"}}
    assert markdown.score(part, runs[:4]) == "68.8 ± 79.4 %"  # not 68.8 ± 25.7 %, as of four


def test_a_figure_does_not_join_the_easiest_speakers():
    path = ROOT / "experiments" / "spoken_digits" / "results.json"
    part = json.loads(path.read_text())["parts"][1]
    axis = part_frontier(Figure().subplots(), part, looks_of([part]))
    shown = {line.get_label(): line.get_ydata() for line in axis.get_lines()}
    by_speaker = independent(by_model(part["runs"])["GRU"], "test_accuracy")
    assert len(by_speaker) == 6
    assert shown["GRU"] == pytest.approx([sum(by_speaker) / 6])


def test_a_run_as_a_job(tmp_path):
    found = train_and_disturb(small("LIF"), tmp_path / "run.safetensors")
    assert found["robustness"]["input noise"][0] == [0.0, found["test_accuracy"]]
    assert found["robustness"]["weights"][0] == [0.0, found["test_accuracy"]]
    assert found["bits"] == pytest.approx(found["test_loss"] / 0.6931471805599453)
    assert found["test_loss"] > 0


def test_a_run_that_falls_apart_has_diverged(tmp_path, monkeypatch):
    real = trainings.train_and_test

    def broken_at_the_end(*arguments):
        result = real(*arguments)
        losses = [1.0, 0.5, 1.0]
        return result | {"epochs": [result["epochs"][0] | {"loss": loss} for loss in losses]}

    job = small("LIF", training=Training(epochs=1, batch_size=4))
    monkeypatch.setattr(trainings, "train_and_test", broken_at_the_end)
    with pytest.raises(DivergedError, match=r"1 in the first epoch, 0\.5 in the best and 1 in the"):
        train_and_disturb(job, tmp_path / "run.safetensors")


def test_a_run_that_carries_its_state_is_tested_so(tmp_path):
    name, path = "copy_5", tmp_path / "run.safetensors"
    training = Training(epochs=1, batch_size=4, carry_state=True)
    job = small("GRU", dataset=name, training=training, sequences=40, budget=3_000)
    found = train_and_disturb(job, path)
    network, test = load_network(path), load_dataset(name, 40).test
    tests = [evaluate(network, test, carry_state=carry) for carry in (True, False)]
    assert found["test_loss"] == tests[0].loss != tests[1].loss
    for curve in found["robustness"].values():
        assert curve[0] == [0.0, found["test_accuracy"]]


def test_the_memory_study_holds_what_its_page_says():
    home = ROOT / "experiments" / "memory"
    among_spiking = runpy.run_path(str(home / "page.py"))["among_spiking"]
    results = json.loads((home / "results.json").read_text())
    page = (home / "README.md").read_text()
    assert filled(page, {"among spiking": among_spiking(results["parts"])}) == page


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 1, "variant_seeds": 1}, "claims need two seeds or more"),
        ({"variant_seeds": 6}, "variants no more than these; got 5 and 6"),
        ({"standard": ()}, "a spiking and a standard model at least"),
        ({"learning_rates": ()}, "a learning rate to try"),
        ({"ablations": ("no recurence",)}, "did you mean 'no recurrence'"),
        ({"spiking": ("LSTM",)}, "no spiking model 'LSTM'"),
        ({"standard": ("LIF",)}, "no standard model 'LIF'"),
        ({"trial_epochs": 0}, "trial_epochs must be at least 1, got 0"),
        ({"penalties": (1.0, -1.0)}, "rate_penalty"),
        ({"penalties": (math.nan,)}, "rate_penalty"),
        ({"budgets": (1000, 0)}, "budgets must be at least 1, got 0"),
    ],
)
def test_a_plan_that_cannot_end_is_refused_at_once(changes, message):
    with pytest.raises(InputError, match=message):
        Plan("digits", 2_000, Training(), **changes)


@pytest.mark.parametrize("errors", [[[0.3] * 3] * 3, [[0.3] * 3, [0.2] * 3, [0.1] * 3, [0.0] * 3]])
def test_what_no_law_fits_is_drawn_as_points(errors):
    sizes = [1_000 * 2**k for k in range(len(errors))]
    growth = [
        {"model": "LIF", "budget": size, "parameters": size, "test_accuracy": 1 - error}
        | {"ops": {"all": {"ac": 10 * size, "mac": 0}}, "inferences": 1}
        for size, seeds in zip(sizes, errors)
        for error in seeds
    ]
    part = {"growth": growth, "plan": {"measure": "accuracy"}}
    assert laws(part) == []
    axis = Figure().subplots()
    study._growth(axis, part, {"LIF": Look("k", "o", "-")}, "parameters")
    (points,) = axis.lines
    assert points.get_xdata().tolist() == sizes


def test_an_input_without_variance_is_disturbed_at_every_level(trained):
    network, digits = trained
    flat = digits.with_splits(lambda part: Split(part.x * 0 + 1, part.y, part.lengths))
    curves = trainings.disturb(network, flat.thinned(30))
    levels = {name: [level for level, _ in curve] for name, curve in curves.items()}
    assert levels == {name: list(trainings.LEVELS[name]) for name in ("input noise", "weights")}


def test_columns_of_two_jobs_that_differ_in_case_are_named(tmp_path):
    for k, name in enumerate(("AC", "ac")):
        found = {"key": f"{k}", "config": {"seed": k}, "result": {name: 1}}
        json_file.write(tmp_path / "jobs" / f"{k}.json", found)
    with pytest.raises(InputError, match="columns 'AC' and 'ac'"):
        table.write(tmp_path)
