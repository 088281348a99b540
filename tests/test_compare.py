"""`spikern compare`, end to end on real data, and every refusal."""

import json
import os
import shutil
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from data_files import toy

from spikern.__main__ import Compare, main
from spikern._utils import json_file
from spikern._utils.errors import DataError, InputError
from spikern.data.dataset import UNLABELLED, Dataset, Split
from spikern.events import Events
from spikern.layers.baseline import Baseline
from spikern.studies import simple
from spikern.studies.comparison import Comparison, move_away, open_folder
from spikern.studies.finished import read_settings
from spikern.studies.results import compare_models, summarise
from spikern.studies.samples import confusion, right_and_wrong
from spikern.studies.simple import logistic_regression
from spikern.studies.statistics import interval
from spikern.studies.trainings import load_dataset, prepare
from spikern.train import recipe
from spikern.train.loading import load_network

QUICK = ("--seeds", "2", "--epochs", "2", "--hidden", "8", "--workers", "1")
SCHEMA = json.loads((resources.files("spikern") / "report" / "schema.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small comparison, run once for several tests."""
    out = tmp_path_factory.mktemp("compare") / "digits"
    main(["compare", "digits", "--models", "ALIF", "LSTM", *QUICK, "--out", str(out)])
    return out


def test_results_follow_the_schema(finished):
    results = json.loads((finished / "results.json").read_text())
    jsonschema.validate(results, SCHEMA)
    spiking, standard = results["models"]
    assert spiking["kind"] == "spiking"
    assert 0 < spiking["rate"] < 1
    assert standard["ops_per_inference"]["ac"] == 0
    # 64 steps, one analog input: MACs of the input layer are exactly hidden x steps
    assert spiking["ops_by_layer"][0]["mac"] == 64 * 8
    assert standard["ops_per_inference"]["mac"] == 64 * 4 * 8 * (1 + 8) + 8 * 10
    assert spiking["energy_pj"]["45nm_fp32"] > 0
    assert spiking["energy_pj"]["loihi1"] is None


def test_what_stands_beside_the_models(finished):
    results = json.loads((finished / "results.json").read_text())
    confusion = np.array(results["answers"]["confusion"])
    (spiking,) = (m for m in results["models"] if m["name"] == results["answers"]["model"])
    assert spiking["kind"] == "spiking"
    assert confusion.sum() == results["dataset"]["test"]
    assert confusion.trace() / confusion.sum() == spiking["test_accuracy"]["per_seed"][0]
    assert 0.94 < results["logistic_regression"]["test_accuracy"] < 0.99
    runtimes = [m["inference_engine"] for m in results["models"]]
    assert runtimes[0] == "spikern stream"
    assert runtimes[1] in ("torch eager", "ONNX Runtime fp32")
    page = (finished / "report.html").read_text()
    assert ", correct" in page
    assert ", label " in page


def test_report_is_self_contained(finished):
    page = (finished / "report.html").read_text()
    assert "ALIF" in page
    assert "estimate" in page
    for load in ('src="http', "src='http", "@import", "url(http"):
        assert load not in page


def test_finished_jobs_are_not_done_again(finished, capsys):
    before = {p: p.stat().st_mtime_ns for p in (finished / "jobs").iterdir()}
    assert len([path for path in before if path.suffix == ".json"]) == 4
    models = ["--models", "ALIF", "LSTM", *QUICK, "--out", str(finished), "--resume"]
    main(["compare", "digits", *models])
    assert {p: p.stat().st_mtime_ns for p in (finished / "jobs").iterdir()} == before
    assert "ALIF" in capsys.readouterr().out


def test_layers_of_widths(tmp_path, capsys):
    """Trained, counted, reported and counted once more from its files."""
    out = ["--out", str(tmp_path / "run"), "--workers", "1"]
    settings = ["--models", "LIF", "--hidden", "8", "5", "--seeds", "1", "--epochs", "1"]
    main(["compare", "digits", *settings, *out])
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    jsonschema.validate(results, SCHEMA)
    assert (results["models"][0]["hidden"], results["settings"]["layers"]) == ([8, 5], 2)
    assert "<td>8, 5</td>" in (tmp_path / "run" / "report.html").read_text()
    main(["compare", "digits", *settings, *out, "--resume"])
    capsys.readouterr()
    main(["count", str(tmp_path / "run"), "--full"])
    assert "LIF: spiking, 8, 5 hidden units" in capsys.readouterr().out


def test_json_goes_to_stdout(finished, capsys):
    models = ["--models", "ALIF", "LSTM", *QUICK, "--out", str(finished), "--resume", "--json"]
    main(["compare", "digits", *models])
    assert json.loads(capsys.readouterr().out)["schema"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digist"], "did you mean 'digits'"),
        (["digits", "--models", "LSMT"], "did you mean 'LSTM'"),
        (["digits", "--seeds", "0"], "seeds must be at least 1"),
        (["digits", "--epochs", "0"], "epochs must be at least 1"),
        (["digits", "--match-parameters", "50"], "cannot come within 5%"),
        (["digits", "--hidden", "8", "--match-parameters", "5000"], "not both"),
        (["digits", "--models", "LIF", "LIF"], "named twice"),
        (["digits", "--delta", "-1"], "threshold must be above 0"),
        (["digits", "--out", "/proc/nowhere"], "choose another folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, message, tmp_path, capsys):
    out = [] if "--out" in arguments else ["--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stopped:
        main(["compare", *arguments, *out])
    assert stopped.value.code == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("spikern: ")
    assert message in error


def test_a_used_folder_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SystemExit):
        main(["compare", "digits", *QUICK, "--out", str(tmp_path)])
    assert "already in use" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.fixture
def broken(finished, tmp_path):
    """A copy of the comparison, to be broken."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def resume(out):
    main(["compare", "digits", "--models", "ALIF", "LSTM", *QUICK, "--out", str(out), "--resume"])


FOREIGN = ["", "{", "[]", "null", '{"editor.fontSize": 12}', "[" * 100_000, "\x00\x01"]


@pytest.mark.parametrize("command", ["compare", "count"])
@pytest.mark.parametrize("content", FOREIGN)
def test_settings_of_another_form_are_one_line(content, command, broken, capsys):
    (broken / "settings.json").write_text(content)
    with pytest.raises(SystemExit) as stopped:
        resume(broken) if command == "compare" else main(["count", str(broken)])
    assert stopped.value.code == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert "settings" in error or "other" in error


def test_a_comparison_is_not_continued_or_counted_with_other_data(tmp_path, capsys):
    mine, out = tmp_path / "mine.csv", tmp_path / "out"
    rows = [f"{'ab'[k % 2]},{k % 2},{k % 3}\n" for k in range(30)]
    mine.write_text("".join(rows))
    sizes = ["--hidden", "4", "--seeds", "1", "--epochs", "1", "--workers", "1"]
    arguments = ["compare", str(mine), "--models", "LIF", "RNN", *sizes, "--out", str(out)]
    main(arguments)
    main([*arguments, "--resume"])
    main(["count", str(out)])
    found = json.loads((out / "results.json").read_text())
    mine.write_text("".join([*rows[:-1], f"a{rows[-1][1:]}"]))
    for command in ([*arguments, "--resume"], ["count", str(out)]):
        with pytest.raises(SystemExit) as stopped:
            main(command)
        assert stopped.value.code == 2
        assert "mine is not what it was when the trainings in" in capsys.readouterr().err
    assert json.loads((out / "results.json").read_text()) == found


def test_a_resumed_comparison_goes_on_without_a_broken_job(finished, broken, capsys):
    (broken / "jobs" / "ALIF-0.json").write_text('{"key": ')
    (broken / "jobs" / "LSTM-1.safetensors").write_bytes(b"half")
    resume(broken)
    said = capsys.readouterr().err
    assert "it is now ALIF-0.json.broken, and the job is done again" in said
    assert "it is now LSTM-1.safetensors.broken, and the job is done again" in said
    before, after = (json_file.read(out / "results.json") for out in (finished, broken))
    for one, other in zip(before["models"], after["models"]):
        assert one["test_accuracy"] == other["test_accuracy"]


def test_a_foreign_job_is_one_line_when_it_is_counted(broken, capsys):
    (broken / "jobs" / "ALIF-0.json").write_text('{"kind": "spiking"}')
    with pytest.raises(SystemExit):
        main(["count", str(broken)])
    (error,) = capsys.readouterr().err.splitlines()
    assert "ALIF-0.json is not the result of a training" in error


def test_resume_with_other_settings_is_refused(finished, capsys):
    with pytest.raises(SystemExit):
        main(["compare", "digits", "--models", "LIF", *QUICK, "--out", str(finished), "--resume"])
    assert "other models" in capsys.readouterr().err


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "models"),
    [("qtdb", ["ALIF", "LSTM"]), ("japanese_vowels", ["ALIF", "LSTM"])],
)
@pytest.mark.slow
def test_real_data_beats_the_majority_class(name, models, tmp_path):
    settings = ["--seeds", "1", "--epochs", "3", "--out", str(tmp_path / "out")]
    main(["compare", name, "--models", *models, *settings])
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    jsonschema.validate(results, SCHEMA)
    for model in results["models"]:
        assert model["test_accuracy"]["mean"] > results["dataset"]["majority_accuracy"]
        assert ("test_accuracy_all_steps" in model) == (name == "qtdb")


def test_lists_and_help(capsys):
    main(["neurons"])
    assert "ALIF" in capsys.readouterr().out
    main(["show-kernel", "ALIF"])
    assert "def forward" in capsys.readouterr().out
    main(["datasets"])
    assert "digits" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main(["compare", "--help"])
    assert stopped.value.code == 0
    assert "--match-parameters" in capsys.readouterr().out


def test_missing_data_says_which_file(tmp_path):
    environment = os.environ | {"SPIKERN_DATA": str(tmp_path / "none"), "COLUMNS": "200"}
    run = subprocess.run(
        [sys.executable, "-m", "spikern", "compare", "qtdb", "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert run.returncode == 2
    assert "SPIKERN_DATA" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (tmp_path / "out").exists()


def job(name, accuracies, pj):
    return summarise(
        [
            {
                "name": name, "seed": s, "kind": "standard", "engine": "torch", "hidden": 2,
                "parameters": 9, "test_accuracy": a, "rates": [], "inferences": 10,
                "ops": {"readout": {"ac": 0, "mac": 20, "updates": {}, "neuron_updates": 0,
                                    "spikes": 0, "dense": 20}},
                "energy_pj": {"t": pj, "u": None}, "best_epoch": 1,
                "epochs": [],
            }
            for s, a in enumerate(accuracies)
        ]
    )  # fmt: skip


def test_comparisons_are_paired_by_seed():
    models = [job("GRU", [0.8, 0.9, 1.0], 10.0), job("LSTM", [0.7, 0.8, 0.9], 40.0)]
    (entry,) = compare_models(models)
    assert entry["accuracy_difference"]["mean"] == pytest.approx(0.1)
    low, high = entry["accuracy_difference"]["ci95"]
    # all differences are 0.1 but for rounding, where the unpaired interval would be 0.25 wide
    assert high - low < 1e-9
    assert entry["energy_ratio"] == {"t": 4.0, "u": None}
    assert models[0]["ops_per_inference"]["mac"] == 2.0


def test_intervals_cover_the_mean():
    """About 95 of 100 intervals of 5 normal values hold the true mean."""
    generator = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(1000):
        low, high = interval(torch.randn(5, generator=generator).tolist())
        held += low < 0 < high
    assert 930 < held < 970
    assert interval([0.5]) is None


def test_spiking_models_may_have_recurrent_delays(tmp_path, capsys):
    """Trained, counted, resumed; a folder from before there were any has none."""
    out = ["--out", str(tmp_path / "run"), "--workers", "1"]
    settings = ["--models", "LIF", "GRU", "--hidden", "6", "--seeds", "1", "--epochs", "1"]
    delayed = [*settings, "--recurrent-delay", "9"]
    main(["compare", "digits", *delayed, *out])
    spiking, standard = (
        load_network(tmp_path / "run" / "jobs" / f"{name}-0.safetensors") for name in ("LIF", "GRU")
    )
    assert spiking.body.recurrent_delay == 9
    assert spiking.body.delay_hh_l0.steps.unique().numel() > 1
    assert isinstance(standard.body, Baseline)
    main(["compare", "digits", *delayed, *out, "--resume"])
    main(["count", str(tmp_path / "run")])
    with pytest.raises(SystemExit):
        main(["compare", "digits", *settings, *out, "--resume"])
    assert "other recurrent_delay" in capsys.readouterr().err
    assert {job.architecture.recurrent_delay for job in Comparison("digits").jobs()} == {1}
    path = tmp_path / "run" / "settings.json"
    content = json_file.read(path)
    del content["recurrent_delay"]
    json_file.write(path, content)
    assert read_settings(path.parent).recurrent_delay == 1
    open_folder(path.parent, read_settings(path.parent), "resume")
    for training in content["recipe"].values():
        if isinstance(training, dict):
            del training["clip"]
    json_file.write(path, content)
    with pytest.raises(DataError, match="another version of spikern, whose trainings have no clip"):
        open_folder(path.parent, read_settings(path.parent), "resume")
    with pytest.raises(InputError, match=r"recurrent_delay must be .*got 0"):
        Comparison("digits", recurrent_delay=0)


def test_hidden_or_budget():
    assert {job.hidden_size for job in Comparison("digits", hidden=7).jobs()} == {7}
    (job,) = Comparison("digits", models=("LIF",), hidden=(7, 5), layers=2, seeds=1).jobs()
    assert prepare(job)[0].body.hidden_sizes == (7, 5)
    with pytest.raises(InputError, match="hidden has 2 numbers for 3 layers"):
        Comparison("digits", models=("LIF",), hidden=(7, 5), layers=3)
    with pytest.raises(InputError, match="RNN, GRU, LSTM have layers of one width; name spiking"):
        Comparison("digits", hidden=(7, 5), layers=2)
    sizes = {job.model: job.hidden_size for job in Comparison("digits").jobs()}
    assert sizes["LSTM"] < sizes["GRU"] < sizes["LIF"]


def test_settings_that_would_do_nothing_are_refused(tmp_path, capsys):
    with pytest.raises(InputError, match="every step of copy_5 has a label and is answered; leave"):
        Comparison("copy_5", answer="mean").jobs()
    assert Comparison("digits", answer="mean").jobs()
    with pytest.raises(SystemExit):
        main(f"compare digits --rate-limit 0.02 --out {tmp_path}".split())
    assert "give a penalty too" in capsys.readouterr().err


def test_what_acts_on_spiking_models_is_refused_without_one(tmp_path, capsys):
    for name, settings in (
        ("recurrent_delay", {"recurrent_delay": 3}),
        ("rate_penalty", {"recipe": recipe("digits").changed(rate_penalty=1.0)}),
    ):
        assert Comparison("digits", models=("LIF", "GRU"), **settings)
        with pytest.raises(InputError, match=f"{name} acts on spiking models; name one beside GRU"):
            Comparison("digits", models=("GRU",), **settings)
    with pytest.raises(SystemExit):
        main(f"compare digits --models RNN --rate-penalty 2 --out {tmp_path}".split())
    assert "rate_penalty acts on spiking models" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_workers_are_the_processors_that_may_be_used():
    mine = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(mine)})
        assert Compare("digits").workers == 1
    finally:
        os.sched_setaffinity(0, mine)


def alive(pid):
    """Whether a process runs; one that has ended and is not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")
def test_a_killed_comparison_leaves_no_process_behind(tmp_path):
    command = [
        sys.executable, "-m", "spikern", "compare", "digits", "--models", "LIF", "LSTM",
        "--seeds", "1", "--epochs", "500", "--hidden", "64", "--workers", "2",
        "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("out/jobs/*.safetensors"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.wait()
    assert len(children) >= 2  # the workers; joblib has helpers of its own
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, children))


def test_right_and_wrong_are_found_where_steps_have_labels():
    """The second sequence has no label; of the others each has two."""
    y = torch.tensor([[0, UNLABELLED, 1], [0, UNLABELLED, 1], [UNLABELLED, UNLABELLED, 0]])
    split = Split(torch.zeros(3, 3, 1), y, torch.full((3,), 3))
    answers = torch.tensor([[0, 0, 1], [1, 0, 1], [0, 0, 0]])
    assert right_and_wrong(split, answers) == [2, 0]
    assert confusion(y, answers, 2) == [[2, 1], [0, 2]]


@pytest.mark.parametrize("events", [True, False])
def test_logistic_regression_sees_what_is_labelled(events):
    """At every step the class is the sign of the input, which steps without a label do not show."""
    x = torch.randn(50, 8, 1, generator=torch.Generator().manual_seed(0)).sign()
    y = (x[..., 0] > 0).long()
    y[::2] = UNLABELLED
    split = Split(Events.from_dense(x) if events else x, y, torch.full((8,), 50))
    dataset = Dataset(
        "signs", "Signs", split, split, split, ("-", "+"), True, events, "made", "free", 1.0
    )
    entry = logistic_regression(dataset)
    assert entry["test_accuracy"] == 1.0
    assert (entry["features"], entry["answers"]) == (1, 200)


def test_a_long_sequence_is_averaged_over_bins():
    split = Split(torch.ones(3001, 4, 1), torch.tensor([0, 1, 0, 1]), torch.full((4,), 3001))
    dataset = Dataset("a", "A", split, split, split, ("0", "1"), False, False, "made", "free", 1.0)
    entry = logistic_regression(dataset)
    assert (entry["bin"], entry["features"]) == (4, 751)


def test_a_file_that_changed_is_read_again_in_one_process(tmp_path):
    mine = tmp_path / "mine.csv"
    rows = [f"{'ab'[k % 2]},{k % 2},{k % 3}\n" for k in range(60)]
    mine.write_text("".join(rows[:30]))
    before = load_dataset(str(mine))
    assert load_dataset(str(mine)) is before
    mine.write_text("".join(rows))
    assert len(load_dataset(str(mine)).train) > len(before.train)


def test_an_answer_at_every_step_is_that_of_the_data():
    with pytest.raises(InputError, match="every_step"):
        Comparison("digits", ("LIF",), answer="every_step")


def test_the_widths_of_layers_may_be_a_list():
    given = Comparison("digits", ("LIF",), hidden=[8, 4], layers=2)
    assert given == Comparison("digits", ("LIF",), hidden=(8, 4), layers=2)


def test_the_folder_that_a_comparison_runs_in_is_not_moved(finished, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(finished, tmp_path / "here"))
    monkeypatch.chdir(folder / "jobs")
    with pytest.raises(DataError, match="the folder that this runs in"):
        move_away(Path(".."))
    assert (folder / "settings.json").is_file()


def test_logistic_regression_sees_every_class_whatever_their_order(monkeypatch):
    monkeypatch.setattr(simple, "ANSWERS", 10)
    y = torch.arange(40) % 2
    part = Split(torch.randn(3, 40, 1) + y.view(1, 40, 1), y, torch.full((40,), 3))
    assert logistic_regression(toy(part))["answers"] == 10
